//! What of an event people may see. Every way on which events leave (history, replay, live, over HTTP or on the command line)
//! comes through here.

use std::borrow::Cow;

use factfold_schemas::visible;
pub use factfold_schemas::visible::hide;
use rdkafka::message::Message;

use super::Record;

/// The data of this record, as it may be shown.
pub fn data<'a, M: Message>(record: &'a Record<'_, M>) -> Option<Cow<'a, [u8]>> {
    Some(visible::data(record.topic.service, record.message.payload()?))
}
