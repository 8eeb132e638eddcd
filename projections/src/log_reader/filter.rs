//! Which records somebody wants to see.

use factfold_schemas::ids::StreamId;
use rdkafka::message::Message;

use super::Record;

/// Records of one stream, of some types, or both. By default all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only of this stream.
    pub stream: Option<StreamId>,
    /// Only of these types, if there are any.
    pub types: Vec<String>,
}

impl Filter {
    /// Whether this record is wanted.
    pub fn lets_through<M: Message>(&self, record: &Record<'_, M>) -> bool {
        let is_wanted = |name: &str| self.types.iter().any(|wanted| wanted == name);
        (self.types.is_empty() || record.header("ce_type").is_some_and(is_wanted))
            && self.is_of_stream(record)
    }

    /// The same, whatever its type is.
    pub fn is_of_stream<M: Message>(&self, record: &Record<'_, M>) -> bool {
        self.stream.as_ref().is_none_or(|stream| record.key() == Some(stream.as_str().as_bytes()))
    }
}
