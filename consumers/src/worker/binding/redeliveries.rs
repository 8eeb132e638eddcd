//! Events that a function is to be given once more: dead letters of it that an operator has published again.
//!
//! They lie on a topic of their own. Whoever has the partition that the event came from gives it, with the state that is kept
//! there, and writes that it was given in the same transaction: so it counts once, as any other.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use factfold_schemas::{
    cloudevents::Incoming,
    functions::FunctionName,
    letter::{self, BINDING, FUNCTION, LETTER, POSITION, TIMESTAMP},
    position::Position,
};

use super::group;

/// What was published again, of all bindings, as far as it was read. Whoever follows the topic [puts](Self::put) it here.
#[derive(Debug, Default)]
pub struct Redeliveries(RwLock<HashMap<String, Vec<Arc<Redelivery>>>>);

/// An event that is to be given once more.
#[derive(Debug)]
pub(super) struct Redelivery {
    /// Where the letter lies.
    pub(super) letter: Position,
    /// Where the event lies.
    pub(super) at: Position,
    timestamp_ms: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
}

impl Redeliveries {
    /// One more came.
    ///
    /// # Errors
    /// A sentence, where it is none.
    pub fn put(&self, record: &Incoming<'_>) -> Result<(), String> {
        let (group, redelivery) = Redelivery::read(record)?;
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(group).or_default().push(Arc::new(redelivery));
        Ok(())
    }

    /// This one was given: it need not be kept any more.
    pub(super) fn forget(&self, group: &str, letter: Position) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(redeliveries) = known.get_mut(group) {
            redeliveries.retain(|redelivery| redelivery.letter != letter);
            if redeliveries.is_empty() {
                known.remove(group);
            }
        }
    }

    /// The first one of this binding that fits.
    pub(super) fn first(&self, group: &str, fits: impl Fn(&Redelivery) -> bool) -> Option<Arc<Redelivery>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.get(group)?.iter().find(|redelivery| fits(redelivery)).cloned()
    }
}

impl Redelivery {
    fn read(record: &Incoming<'_>) -> Result<(String, Self), String> {
        let text = |name: &str| {
            let (_, value) = record.headers.iter().find(|(known, _)| *known == name)?;
            std::str::from_utf8(value).ok()
        };
        fn parsed<T: std::str::FromStr>(name: &str, text: Option<&str>) -> Result<T, String> {
            text.and_then(|text| text.parse().ok())
                .ok_or_else(|| format!("the header {name} is missing, or wrong"))
        }
        let parse = |name: &'static str| parsed::<Position>(name, text(name));
        let function: FunctionName = parsed(FUNCTION, text(FUNCTION))?;
        let headers = record.headers.iter().filter(|(name, _)| !letter::is_own(name));
        let redelivery = Self {
            letter: parse(LETTER)?,
            at: parse(POSITION)?,
            timestamp_ms: parsed(TIMESTAMP, text(TIMESTAMP))?,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: headers.map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect(),
        };
        Ok((group(function, parsed(BINDING, text(BINDING))?), redelivery))
    }

    /// The record of the event, as it lies where it came from.
    pub(super) fn record(&self) -> Incoming<'_> {
        Incoming {
            partition: self.at.partition,
            offset: self.at.offset,
            timestamp_ms: self.timestamp_ms,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect(),
        }
    }
}
