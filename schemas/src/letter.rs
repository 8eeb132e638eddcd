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

/// Whether a header of this name is the letter's own: what came has no such header.
pub fn is_own(name: &str) -> bool {
    [POSITION, REASON, DETAIL, TIMESTAMP, FUNCTION, BINDING, LETTER].contains(&name)
}

/// The letter of this record.
pub fn dead_letter(record: &Incoming<'_>, topic: Topic, reason: &DeadLetterReason) -> Outgoing {
    let position = Position::new(topic, record.partition, record.offset);
    let own: [(&'static str, String); 4] = [
        (POSITION, position.to_string()),
        (REASON, reason.name.clone()),
        (DETAIL, reason.detail.clone()),
        (TIMESTAMP, record.timestamp_ms.to_string()),
    ];
    let mut headers: Headers =
        record.headers.iter().map(|(name, value)| ((*name).to_owned(), value)).collect();
    headers.extend(own);
    Outgoing { key: record.key.map(<[u8]>::to_vec), value: record.value.map(<[u8]>::to_vec), headers }
}
