//! The topics: which there are, what they are called, and how Kafka must keep them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    functions::{self, FunctionName},
    ids::{EmailId, GoodsId, OrderId, UserId},
};

/// A service of the domain. Each has its own topics, and can be deployed and scaled alone.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    Serialize,
    Deserialize,
)]
#[strum(serialize_all = "kebab-case")]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// What users write, deploy, call and bind.
    Functions,
    /// What is sold: name, price, stock.
    Goods,
    /// Who bought what, and whether it was paid.
    Orders,
    /// Who there is, and what they may do.
    Users,
}

impl Service {
    /// All services.
    pub const ALL: [Self; 4] = [Self::Functions, Self::Goods, Self::Orders, Self::Users];

    /// `functions`, `goods`, `orders`, `users`.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The service whose stream this is; `None` when it is no stream.
    pub fn of_stream(stream: &str) -> Option<Self> {
        if GoodsId::of_stream(stream).is_some() {
            Some(Self::Goods)
        } else if OrderId::of_stream(stream).is_some() {
            Some(Self::Orders)
        } else if FunctionName::of_stream(stream).is_some() {
            Some(Self::Functions)
        } else {
            let is_of_users = UserId::of_stream(stream).is_some() || EmailId::of_stream(stream).is_some();
            is_of_users.then_some(Self::Users)
        }
    }

    /// The topic on which this service's commands arrive.
    pub const fn commands(self) -> Topic {
        Topic { service: self, kind: TopicKind::Commands }
    }
    /// The topic of this service's events: the source of truth.
    pub const fn events(self) -> Topic {
        Topic { service: self, kind: TopicKind::Events }
    }
    /// The topic with one record for each command that gave no events.
    pub const fn outcomes(self) -> Topic {
        Topic { service: self, kind: TopicKind::Outcomes }
    }
    /// The topic of what could not be read.
    pub const fn dead_letters(self) -> Topic {
        Topic { service: self, kind: TopicKind::DeadLetters }
    }
    /// The topic of commands that wait for their time.
    pub const fn timers(self) -> Topic {
        Topic { service: self, kind: TopicKind::Timers }
    }
}

/// What a topic of a service holds.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, strum::EnumString, strum::IntoStaticStr,
)]
#[strum(serialize_all = "kebab-case")]
pub enum TopicKind {
    /// Requests, in the imperative.
    Commands,
    /// Facts, in the past tense.
    Events,
    /// What became of commands that gave no events.
    Outcomes,
    /// What could not be read, with the reason.
    DeadLetters,
    /// Commands that wait for their time.
    Timers,
    /// What functions say. Only the functions service has it.
    Emitted,
    /// What functions keep. Only the functions service has it.
    State,
}

/// A topic of a service, by its name without the namespace: `orders.commands`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic {
    /// Whose.
    pub service: Service,
    /// Of what.
    pub kind: TopicKind,
}

impl Topic {
    /// The topics of every service, and those that one of them has besides.
    pub fn all() -> impl Iterator<Item = Self> {
        Service::ALL
            .into_iter()
            .flat_map(|s| [s.commands(), s.events(), s.outcomes(), s.dead_letters(), s.timers()])
            .chain([functions::EMITTED, functions::STATE])
    }

    /// Whether facts lie here that a function can be given: a service's events, or what other functions say.
    pub const fn holds_events(self) -> bool {
        matches!(self.kind, TopicKind::Events | TopicKind::Emitted)
    }

    /// What Kafka must be told when this topic is created. DESIGN: commands, events and outcomes are kept for ever; on
    /// commands and events the broker's clock counts, since a client's clock can lie.
    pub const fn configuration(self) -> &'static [(&'static str, &'static str)] {
        match self.kind {
            TopicKind::Commands if matches!(self.service, Service::Users) => &[
                ("message.timestamp.type", "LogAppendTime"),
                // Whoever writes straight onto the topic may have written a name or an address in the clear.
                ("retention.ms", "604800000"),
                ("retention.bytes", "-1"),
                ("max.message.bytes", "1048588"),
            ],
            TopicKind::Commands => &[
                ("message.timestamp.type", "LogAppendTime"),
                ("retention.ms", "-1"),
                ("retention.bytes", "-1"),
                ("max.message.bytes", "1048588"),
            ],
            TopicKind::Events | TopicKind::Outcomes | TopicKind::Emitted => &[
                ("message.timestamp.type", "LogAppendTime"),
                ("retention.ms", "-1"),
                ("retention.bytes", "-1"),
                ("max.message.bytes", "2097164"),
            ],
            TopicKind::DeadLetters => &[("retention.ms", "2592000000"), ("max.message.bytes", "2097164")],
            // What waits stays, what was published goes. A takeover reads all of it, so it is compacted soon; and no takeover
            // takes so long that it meets a timer and misses its end.
            TopicKind::Timers => &[
                ("cleanup.policy", "compact"),
                ("segment.bytes", "67108864"),
                ("delete.retention.ms", "3600000"),
                ("message.timestamp.type", "LogAppendTime"),
                ("max.message.bytes", "2097164"),
            ],
            // The last state of each key stays, and one that was removed goes. A takeover reads all of it, as of timers.
            TopicKind::State => functions::STATE_CONFIGURATION,
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind: &str = self.kind.into();
        write!(f, "{}.{kind}", self.service)
    }
}

/// A name that is no topic of a service.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not a topic: expected <service>.<commands|events|outcomes|dead-letters|timers>, as in orders.commands"
)]
pub struct UnknownTopic(String);

impl FromStr for Topic {
    type Err = UnknownTopic;
    fn from_str(text: &str) -> Result<Self, UnknownTopic> {
        let parse = || {
            let (service, kind) = text.split_once('.')?;
            let topic = Self { service: service.parse().ok()?, kind: kind.parse().ok()? };
            Self::all().find(|known| *known == topic)
        };
        parse().ok_or_else(|| UnknownTopic(text.chars().take(200).collect()))
    }
}

/// The topic of replies: one outcome for each command that asked for one, keyed by the command's id.
pub const REPLIES: &str = "replies";

/// How Kafka must keep [`REPLIES`]: an hour is longer than anybody waits.
pub const REPLIES_CONFIGURATION: &[(&str, &str)] = &[("retention.ms", "3600000"), ("segment.ms", "3600000")];

/// The topic of the keys that seal what is stored about people. One partition: what matters is the order, and there is one
/// record a person.
pub const SUBJECT_KEYS: &str = "subject-keys";

/// How Kafka must keep [`SUBJECT_KEYS`]: the last word on each key for ever, and what was said before it, as a key that is
/// destroyed since, no longer than two hours.
pub const SUBJECT_KEYS_CONFIGURATION: &[(&str, &str)] = &[
    ("cleanup.policy", "compact"),
    ("max.compaction.lag.ms", "3600000"),
    ("segment.ms", "3600000"),
    ("min.cleanable.dirty.ratio", "0.01"),
    ("delete.retention.ms", "3600000"),
];

/// A prefix of topics, groups, transactional ids and the Postgres schema, so that several systems (and tests) can
/// share one cluster. Empty by default.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Namespace(String);

/// A namespace with characters that Kafka or Postgres would not take.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` cannot be a namespace: use up to 40 lower-case letters, digits and `_`, beginning with a letter"
)]
pub struct InvalidNamespace(String);

impl Namespace {
    /// Kafka's name for a thing that is called `name` here: `<namespace>.<name>`, or `<name>` without a namespace.
    pub fn qualify(&self, name: impl fmt::Display) -> String {
        if self.0.is_empty() { name.to_string() } else { format!("{}.{name}", self.0) }
    }

    /// The Postgres schema of the read models: `factfold`, or `<namespace>_factfold`.
    pub fn schema(&self) -> String {
        if self.0.is_empty() { "factfold".to_owned() } else { format!("{}_factfold", self.0) }
    }
}

impl FromStr for Namespace {
    type Err = InvalidNamespace;
    fn from_str(text: &str) -> Result<Self, InvalidNamespace> {
        let fits = text.len() <= 40
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
            && !text.starts_with(|c: char| !c.is_ascii_lowercase());
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidNamespace(text.chars().take(60).collect())) }
    }
}

impl TryFrom<String> for Namespace {
    type Error = InvalidNamespace;
    fn try_from(text: String) -> Result<Self, InvalidNamespace> {
        text.parse()
    }
}

impl From<Namespace> for String {
    fn from(namespace: Namespace) -> Self {
        namespace.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_has_a_name_that_parses_back() {
        for topic in Topic::all() {
            assert_eq!(topic.to_string().parse::<Topic>().expect("a topic"), topic);
        }
        assert!("orders".parse::<Topic>().is_err());
        assert!("orders.facts".parse::<Topic>().is_err());
        assert!("orders.emitted".parse::<Topic>().is_err(), "only functions have it");
    }

    #[test]
    fn a_namespace_prefixes_and_is_safe_in_sql() {
        let namespace: Namespace = "t_1".parse().expect("a namespace");
        assert_eq!(namespace.qualify(Service::Orders.commands()), "t_1.orders.commands");
        assert_eq!(namespace.schema(), "t_1_factfold");
        assert_eq!(Namespace::default().qualify("replies"), "replies");
        for wrong in ["1t", "T", "a-b", "a\"b", "_a"] {
            assert!(wrong.parse::<Namespace>().is_err(), "{wrong}");
        }
    }
}
