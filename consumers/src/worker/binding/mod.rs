//! Bound functions: each event of a topic is given to a function, and what it returns (commands, events, a state for the
//! event's key) is written in the same transaction as the event's offset. So each event counts once, whatever dies.
//!
//! - [`Giving`] is the story of one event, from its record to its effects.
//! - [`event`] is how a function sees it, [`effects`] what a function may answer, by the [`vocabulary`] that it has;
//!   [`records`] is how that is written.
//! - [`states`] is what is kept for each key: a cache of its topic, which is folded at takeover.
//! - [`tries`] says when a function that failed is tried again, [`pace`] how much is given before a transaction is made of it.
//! - [`redeliveries`] are events that are given once more, since an operator wants it.
//!
//! It knows no sandbox: whatever is [`Bound`] can be run. All of a batch is given before its transaction begins, since a
//! function may take long. It may be given the same event more often than once, when a transaction fails or a worker dies;
//! then nothing of what it returned before was written.

mod effects;
mod event;
mod giving;
mod pace;
mod records;
mod redeliveries;
mod states;
mod tries;
mod vocabulary;

use std::sync::Arc;

use factfold_schemas::{
    functions::{FunctionBound, FunctionName, STATE},
    kafka::Cluster,
    topics::Topic,
};

use self::giving::Giving;
pub use self::{redeliveries::Redeliveries, states::States};
use super::{Layout, Settings, Shutdown, Status, error::Error};

/// A function, as whoever runs it sees it. The sandbox is one, tests have another.
pub trait Bound: Send + 'static {
    /// Gives it an event (JSON) with its context (JSON). Blocks until it is done, or over its time. The same event with the
    /// same context must come to the same.
    fn give(&mut self, event: &str, context: &str) -> Result<Given, Failed>;

    /// A batch is over: what was kept warm may go.
    fn rest(&mut self) {}
}

/// What a function returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// JSON, or nothing.
    pub output: String,
}

/// Why a function returned nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// What happened, for people.
    pub message: String,
    /// Whether it is the function's fault, and likely to happen again: it threw, or was over its limits. Else it is ours
    /// (its code is not there yet): the event waits for as long as that takes.
    pub is_lasting: bool,
}

/// Which function is given which events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The function.
    pub name: FunctionName,
    /// The events.
    pub bound: FunctionBound,
}

/// Gives a function the events of its topic, and those that are to be given once more, until told to stop.
pub fn run(
    binding: Binding,
    function: impl Bound,
    redeliveries: Arc<Redeliveries>,
    cluster: &Cluster,
    settings: Settings,
    shutdown: Shutdown,
    status: Status,
) -> Result<(), Error> {
    let topic = binding.topic()?;
    let bytes_max = settings.batch_bytes_max;
    // There may be many bindings, and each producer has threads of its own.
    let settings = Settings { turns: 1, ..settings };
    super::run(cluster, settings, shutdown, status, |layout| {
        check(&layout, topic)?;
        Ok(Giving::new(binding, topic, function, redeliveries, layout, bytes_max))
    })
}

/// The consumer group of a binding, without the namespace. It is part of stored ids and keys: it never changes.
pub fn group(name: FunctionName, number: u32) -> String {
    format!("factfold.function.{name}.{number}")
}

impl Binding {
    /// Where the events are.
    ///
    /// # Errors
    /// When there is no such topic of events.
    pub fn topic(&self) -> Result<Topic, Error> {
        let topic = self.bound.topic.parse::<Topic>().ok().filter(|topic| topic.holds_events());
        topic.ok_or_else(|| Error::NoTopic(self.bound.topic.clone()))
    }
}

/// What is kept lies in the partition of the events that it comes from, so there must be one.
fn check(layout: &Layout, input: Topic) -> Result<(), Error> {
    let (partitions, expected) = (layout.partitions(STATE), layout.partitions(input));
    if partitions < expected {
        return Err(Error::PartitionsDiffer { topic: STATE, partitions, expected_of: input, expected });
    }
    Ok(())
}

#[cfg(test)]
mod bench;
#[cfg(test)]
#[path = "binding_test.rs"]
mod tests;
