//! Dead letters: what could not be read, or with which a function failed, as it came; the reason stands in headers of its own.

use crate::{
    cloudevents::{Headers, Incoming, Outgoing},
    position::Position,
    record::DeadLetterReason,
    topics::Topic,
};

/// Where it lay before.
pub const POSITION: &str = "factfold_position";
/// Why it was put aside, in kebab-case.
pub const REASON: &str = "factfold_reason";
/// The same in a sentence.
pub const DETAIL: &str = "factfold_detail";
/// When it was stored where it lay before, in milliseconds since 1970.
pub const TIMESTAMP: &str = "factfold_timestamp";
/// Of an event: the function that failed with it.
pub const FUNCTION: &str = "factfold_function";
/// Of an event: the number of the function's binding.
pub const BINDING: &str = "factfold_binding";
/// Of an event that is to be given once more: where its letter lies.
pub const LETTER: &str = "factfold_letter";

/// What was done about a letter: `published` or `dropped`. Of a record beside the letters, a *marker*.
pub const MARKER: &str = "factfold_marker";
/// Of a marker: the position of the letter.
pub const MARKS: &str = "factfold_marks";

/// Whether a header of this name is a letter's or a marker's own.
pub fn is_own(name: &str) -> bool {
    [POSITION, REASON, DETAIL, TIMESTAMP, FUNCTION, BINDING, LETTER, MARKER, MARKS].contains(&name)
}

/// The letter of this record. Headers that came under the letter's own names are left out: nobody makes it look like another, or
/// like dealt with.
pub fn dead_letter(record: &Incoming<'_>, topic: Topic, reason: &DeadLetterReason) -> Outgoing {
    let position = Position::new(topic, record.partition, record.offset);
    let own: [(&'static str, String); 4] = [
        (POSITION, position.to_string()),
        (REASON, reason.name.clone()),
        (DETAIL, reason.detail.clone()),
        (TIMESTAMP, record.timestamp_ms.to_string()),
    ];
    let as_it_came = record.headers.iter().filter(|(name, _)| !is_own(name));
    let mut headers: Headers = as_it_came.map(|(name, value)| ((*name).to_owned(), value)).collect();
    headers.extend(own);
    Outgoing { key: record.key.map(<[u8]>::to_vec), value: record.value.map(<[u8]>::to_vec), headers }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topics::Service;

    #[test]
    fn nobody_makes_a_letter_look_like_another_or_like_dealt_with() {
        let forged =
            [(POSITION, "orders.events/0@1"), (MARKER, "dropped"), (FUNCTION, "points"), ("ce_id", "x")];
        let headers = forged.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let record =
            Incoming { partition: 2, offset: 7, timestamp_ms: 5, key: None, value: Some(b"?"), headers };
        let reason = DeadLetterReason { name: "unreadable".to_owned(), detail: "it is not".to_owned() };
        let letter = dead_letter(&record, Service::Orders.commands(), &reason);
        let names: Vec<_> = letter.headers.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["ce_id", POSITION, REASON, DETAIL, TIMESTAMP]);
        let (_, at) = letter.headers.iter().nth(1).expect("a header");
        assert_eq!(at, b"orders.commands/2@7");
    }
}
