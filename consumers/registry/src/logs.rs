//! What functions say: lines on a topic of their own, so that every process shows those of all. The last ones of each function
//! are kept in memory; the topic keeps them for a day.
//!
//! It must never hold a call up: lines that Kafka does not take at once are dropped, and counted.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use factfold_schemas::{
    functions::{FunctionName, LOGS},
    kafka::Cluster,
};
use jiff::Timestamp;
use rdkafka::{
    error::KafkaError,
    producer::{FutureProducer, FutureRecord},
};
use serde::{Deserialize, Serialize};

/// How many lines of one function are kept in memory.
const LINES_MAX: usize = 500;
/// How many lines of all functions are.
const LINES_MAX_IN_ALL: usize = 20_000;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Level {
    /// For whoever looks closely.
    Debug,
    /// As usual.
    Info,
    /// Somebody should look.
    Warn,
    /// Something went wrong.
    Error,
}

/// A line that a function said, or that was said of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When.
    pub time: Timestamp,
    /// Which function.
    pub function: FunctionName,
    /// Which of its revisions.
    pub revision: u32,
    /// Which call; or the id of the event that it was given.
    pub call: String,
    /// How much it matters.
    pub level: Level,
    /// What.
    pub text: String,
}

/// What functions said lately.
pub struct Logs {
    topic: String,
    producer: FutureProducer,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    lines: HashMap<FunctionName, VecDeque<Line>>,
    /// In which order they came.
    order: VecDeque<FunctionName>,
}

impl std::fmt::Debug for Logs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Logs").finish_non_exhaustive()
    }
}

impl Logs {
    pub(crate) fn open(cluster: &Cluster) -> Result<Self, KafkaError> {
        let producer = cluster
            .client()
            .set("queue.buffering.max.messages", "10000")
            .set("queue.buffering.max.kbytes", "16384")
            .set("linger.ms", "5")
            .set("message.timeout.ms", "5000")
            .create()?;
        let topic = cluster.namespace.qualify(LOGS);
        Ok(Self { topic, producer, kept: Mutex::default() })
    }

    /// The last lines of a function that were said after this time, the oldest first.
    pub fn of(&self, name: FunctionName, since: Timestamp, limit: usize) -> Vec<Line> {
        let kept = self.kept();
        let lines = kept.lines.get(&name).into_iter().flatten().filter(|line| line.time > since);
        let lines: Vec<&Line> = lines.collect();
        let skipped = lines.len().saturating_sub(limit);
        lines.into_iter().skip(skipped).cloned().collect()
    }

    /// Says these lines to everybody.
    pub(crate) fn say(&self, lines: impl IntoIterator<Item = Line>) {
        for line in lines {
            let Ok(value) = serde_json::to_string(&line) else { continue };
            let record = FutureRecord::to(&self.topic).key(line.function.as_str()).payload(&value);
            if self.producer.send_result(record).is_err() {
                metrics::counter!("factfold_function_log_lines_dropped_total").increment(1);
            }
        }
    }

    /// A line came.
    pub(crate) fn keep(&self, value: &[u8]) {
        let Ok(line) = serde_json::from_slice::<Line>(value) else { return };
        self.kept().add(line);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn add(&mut self, line: Line) {
        let name = line.function;
        let lines = self.lines.entry(name).or_default();
        lines.push_back(line);
        self.order.push_back(name);
        if lines.len() > LINES_MAX {
            self.forget_oldest_of(name);
        }
        if self.order.len() > LINES_MAX_IN_ALL
            && let Some(name) = self.order.front().copied()
        {
            self.forget_oldest_of(name);
        }
    }

    fn forget_oldest_of(&mut self, name: FunctionName) {
        let Some(lines) = self.lines.get_mut(&name) else { return };
        lines.pop_front();
        if lines.is_empty() {
            self.lines.remove(&name);
        }
        if let Some(place) = self.order.iter().position(|of| *of == name) {
            self.order.remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_for_one_and_for_all() {
        let mut kept = Kept::default();
        let line = |function: &str, text: usize| Line {
            time: Timestamp::UNIX_EPOCH,
            function: function.parse().expect("a name"),
            revision: 1,
            call: String::new(),
            level: Level::Info,
            text: text.to_string(),
        };
        (0..LINES_MAX + 7).for_each(|n| kept.add(line("talker", n)));
        let lines = &kept.lines[&"talker".parse::<FunctionName>().expect("a name")];
        assert_eq!((lines.len(), lines[0].text.as_str()), (LINES_MAX, "7"));
        (0..LINES_MAX_IN_ALL).for_each(|n| kept.add(line(&format!("f{}", n % 1000), n)));
        assert_eq!(kept.order.len(), LINES_MAX_IN_ALL);
        assert_eq!(kept.lines.values().map(VecDeque::len).sum::<usize>(), LINES_MAX_IN_ALL);
        assert!(!kept.lines.contains_key(&"talker".parse().expect("a name")), "the oldest go first");
    }
}
