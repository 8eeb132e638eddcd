//! What of an event's data anybody may see. Whoever hands events on (as history, live, to functions) comes through here.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::topics::Service;

/// The field that is nobody's business: even a good hash helps whoever wants to guess a password.
const HASH: &str = "password_hash";
/// What is shown instead.
const HIDDEN: &str = "[hidden]";

/// The data of a record of this service, as it may be shown.
pub fn data(service: Service, value: &[u8]) -> Cow<'_, [u8]> {
    if service == Service::Users { without_hash(value) } else { Cow::Borrowed(value) }
}

/// Leaves of such data what may be shown.
pub fn hide(fields: &mut Map<String, Value>) {
    if let Some(hash) = fields.get_mut(HASH) {
        *hash = HIDDEN.into();
    }
}

fn without_hash(value: &[u8]) -> Cow<'_, [u8]> {
    match serde_json::from_slice::<Map<String, Value>>(value) {
        Ok(mut fields) if fields.contains_key(HASH) => {
            hide(&mut fields);
            Cow::Owned(Value::Object(fields).to_string().into_bytes())
        }
        _ => Cow::Borrowed(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_hash_is_shown() {
        let shown = data(Service::Users, br#"{"user_id":"1","password_hash":"$argon2id$","by":"x"}"#);
        assert_eq!(&*shown, br#"{"user_id":"1","password_hash":"[hidden]","by":"x"}"#);
        for other in [&br#"{"a":1}"#[..], b"[]", b"\xff"] {
            assert_eq!(&*data(Service::Users, other), other);
        }
    }
}
