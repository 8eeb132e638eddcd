//! From a dead letter to a command that can be read: what it said, with what is to be different.

use factfold_schemas::{cloudevents::CloudEvent, command::Header, json::Misfit};
use serde_json::Value;
use uuid::Uuid;

use super::letter::Letter;
use crate::{
    commands::send::{
        read_json,
        vocabulary::{Checked, Vocabulary},
    },
    failure::Failure,
};

/// What is to be different.
#[derive(Debug)]
pub(super) struct Mending {
    data: Option<Value>,
    key: Option<String>,
    type_name: Option<String>,
}

impl Mending {
    /// Reads the new data from wherever it is.
    pub(super) fn read(
        data: Option<&str>,
        key: Option<String>,
        type_name: Option<String>,
    ) -> Result<Self, Failure> {
        let data = data.map(read_json).transpose().map_err(Failure::Usage)?;
        Ok(Self { data, key, type_name })
    }

    /// Whether everything stays as it is.
    pub(super) const fn is_nothing(&self) -> bool {
        self.data.is_none() && self.key.is_none() && self.type_name.is_none()
    }

    /// The command, if it can be read now. Other services' commands go to other services' topics.
    pub(super) fn mend(&self, letter: &Letter) -> Result<Checked, Vec<Misfit>> {
        let record = letter.incoming();
        let event = CloudEvent::read(&record);
        let misfit = |pointer, detail: String| vec![Misfit::new(pointer, detail)];
        let type_name = match (&self.type_name, &event) {
            (Some(type_name), _) => type_name,
            (None, Ok(event)) => event.get("type").ok_or_else(|| misfit("/type", "is missing".to_owned()))?,
            (None, Err(error)) => return Err(misfit("/type", error.to_string())),
        };
        let data = match (&self.data, &event) {
            (Some(data), _) => data.clone(),
            (None, Ok(event)) => serde_json::from_slice(&event.data)
                .map_err(|error| misfit("/data", format!("is not JSON: {error}")))?,
            (None, Err(error)) => return Err(misfit("/data", error.to_string())),
        };
        let as_it_came = letter.key.as_ref().map(|key| String::from_utf8_lossy(key).into_owned());
        let stream = self.key.as_ref().or(as_it_came.as_ref());
        // A creating command without a key always creates the same.
        let fresh = Uuid::new_v5(&Uuid::NAMESPACE_URL, letter.position.to_string().as_bytes());
        Vocabulary::with_internal().check(type_name, stream.map(String::as_str), fresh, &data)
    }
}

/// The headers that it came with, as far as they can be read. Nobody waits for its answer any more, and it is no copy.
/// Without an id of its own it is named after the letter, so that it stays the same command.
pub(super) fn header(letter: &Letter) -> Header {
    let record = letter.incoming();
    let read = CloudEvent::read(&record).ok().and_then(|event| {
        let header = Header::read(&event, letter.position).ok()?;
        Some(Header { reply_to: None, forwarded_from: None, ..header })
    });
    let source = format!("/topics/{}", letter.position.topic);
    read.unwrap_or_else(|| Header::new(letter.position.to_string(), source))
}

#[cfg(test)]
mod tests {
    use factfold_schemas::ids::OrderId;
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    fn letter(key: Option<&str>, headers: &[(&str, &str)], value: &str) -> Letter {
        Letter {
            position: "orders.dead-letters/0@12".parse().expect("a position"),
            time: Timestamp::UNIX_EPOCH,
            command_position: String::new(),
            stored_ms: String::new(),
            reason: String::new(),
            detail: String::new(),
            binding: None,
            key: key.map(Into::into),
            value: Some(value.into()),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect(),
        }
    }

    const NOTHING: Mending = Mending { data: None, key: None, type_name: None };

    #[test]
    fn what_is_wrong_must_be_mended() {
        let stream = OrderId::generate().stream();
        let broken = letter(Some(stream.as_str()), &[("ce_type", "CancelOrdr")], "{");
        assert!(NOTHING.mend(&broken).is_err());
        let mending = Mending { type_name: Some("CancelOrder".to_owned()), ..NOTHING };
        assert_eq!(mending.mend(&broken).expect_err("no JSON")[0].pointer, "/data");
        let mending = Mending { data: Some(json!({"reason": "x"})), ..mending };
        let command = mending.mend(&broken).expect("a command");
        assert_eq!((command.stream, command.value), (stream, br#"{"reason":"x"}"#.to_vec()));
    }

    #[test]
    fn it_keeps_its_id_and_drops_what_nobody_waits_for() {
        let own = letter(None, &[("ce_id", "1"), ("ce_source", "/me"), ("ce_replyto", "0/gone")], "{}");
        assert_eq!(header(&own), Header::new("1", "/me"));
        let bare = letter(None, &[], "{}");
        assert_eq!(header(&bare), Header::new("orders.dead-letters/0@12", "/topics/orders.dead-letters"));
        let unreadable = letter(None, &[("ce_id", "1"), ("ce_expirytime", "soon")], "{}");
        assert_eq!(header(&unreadable).id, "orders.dead-letters/0@12");
    }
}
