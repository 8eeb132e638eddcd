//! The glue to rdkafka that every part of the system needs: where the cluster is, and records in its types. No I/O.

use std::{collections::BTreeMap, fmt};

use rdkafka::{
    ClientConfig,
    config::RDKafkaLogLevel,
    message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders},
};

use crate::{
    cloudevents::{Incoming, Outgoing},
    topics::{Namespace, Topic},
};

/// A Kafka cluster, and which part of it is ours.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    /// `host:port,…`: where to ask for the rest.
    pub brokers: String,
    /// The prefix of everything.
    pub namespace: Namespace,
    /// Settings that are passed through to librdkafka: `security.protocol`, `sasl.*`, `ssl.*`.
    pub properties: BTreeMap<String, String>,
}

impl Cluster {
    /// The settings with which every client begins.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("socket.nagle.disable", "true")
            // Each new connection doubles the pause before the next, up to this, unless the last is longer ago than this: also
            // where the one before was closed because it was idle. By default (ten seconds) whoever wrote now and then waited for
            // seconds, and so did everybody after a restart of Kafka.
            .set("reconnect.backoff.max.ms", "1000");
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        // Otherwise rdkafka takes the level of the `log` crate, which nobody here sets.
        let debugging = self.properties.contains_key("debug");
        config.set_log_level(if debugging { RDKafkaLogLevel::Debug } else { RDKafkaLogLevel::Warning });
        config
    }

    /// The settings of a consumer that follows partitions by itself, from explicit offsets: it joins no group and commits
    /// nothing. (The library wants the name of a group even so.)
    pub fn reader(&self, name: impl fmt::Display) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", self.namespace.qualify(name))
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "error");
        config
    }

    /// Kafka's name of a topic.
    pub fn topic(&self, topic: Topic) -> String {
        self.namespace.qualify(topic)
    }
}

/// The record in this message.
pub fn incoming<'a>(message: &'a BorrowedMessage<'_>) -> Incoming<'a> {
    let headers = message.headers();
    Incoming {
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(0),
        key: message.key(),
        value: message.payload(),
        headers: headers
            .map(|headers| headers.iter().map(|h| (h.key, h.value.unwrap_or_default())).collect())
            .unwrap_or_default(),
    }
}

/// The headers of this record, as rdkafka wants them.
pub fn headers(record: &Outgoing) -> OwnedHeaders {
    record
        .headers
        .iter()
        .fold(OwnedHeaders::new_with_capacity(record.headers.iter().len()), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        })
}
