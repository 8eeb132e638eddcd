//! Where a replay goes, as people say it.

use std::{fmt, path::PathBuf, str::FromStr};

/// Where a replay goes, if not to stdout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// A file that is not there yet.
    File(PathBuf),
    /// A topic.
    Topic(TopicTarget),
}

/// A topic by Kafka's name of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TopicTarget {
    /// `host:port,…` of its cluster; of the same one when nothing is said.
    pub(super) brokers: Option<String>,
    /// Its name.
    pub(super) name: String,
}

impl fmt::Display for TopicTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.brokers {
            Some(brokers) => write!(f, "kafka://{brokers}/{}", self.name),
            None => write!(f, "topic:{}", self.name),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix("topic:") {
            return Ok(Self::Topic(TopicTarget { brokers: None, name: topic_name(name)? }));
        }
        if let Some(place) = text.strip_prefix("kafka://") {
            let (brokers, name) = place.split_once('/').unwrap_or((place, ""));
            if !brokers.split(',').all(is_broker) {
                return Err(format!("`{brokers}` are no brokers: expected host:port[,host:port]"));
            }
            let brokers = Some(brokers.to_owned());
            return Ok(Self::Topic(TopicTarget { brokers, name: topic_name(name)? }));
        }
        if text.is_empty() || text.contains("://") {
            return Err("expected FILE, topic:NAME or kafka://HOST:PORT[,HOST:PORT]/NAME".to_owned());
        }
        Ok(Self::File(text.into()))
    }
}

fn is_broker(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// What Kafka takes for the name of a topic.
fn topic_name(name: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let is_name = (1..=249).contains(&name.len()) && name.bytes().all(fits);
    if is_name { Ok(name.to_owned()) } else { Err(format!("`{name}` is no name of a topic")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_file_or_a_topic() {
        let parse = |text: &str| text.parse::<Target>();
        let topic = |brokers: Option<&str>, name: &str| {
            Ok(Target::Topic(TopicTarget { brokers: brokers.map(str::to_owned), name: name.to_owned() }))
        };
        assert_eq!(parse("a/b.parquet"), Ok(Target::File("a/b.parquet".into())));
        assert_eq!(parse("topic:copy.orders.events"), topic(None, "copy.orders.events"));
        assert_eq!(parse("kafka://a:1,b:2/orders.events"), topic(Some("a:1,b:2"), "orders.events"));
        assert_eq!(parse("kafka://[::1]:9092/x"), topic(Some("[::1]:9092"), "x"));
        for wrong in ["", "topic:", "topic:a b", "kafka://a/x", "kafka://a:1", "kafka://a:1/", "s3://a/b"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
