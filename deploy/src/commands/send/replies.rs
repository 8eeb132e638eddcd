//! Hearing what became of one's commands: the replies topic, read as a gateway reads it, from its end on.

use std::time::Duration;

use anyhow::{Context as _, Result};
use factfold_projections::log_reader::Log;
use factfold_schemas::{command::ReplyTo, record::Reply, topics::REPLIES};
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    message::Headers as _,
};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(10);

/// The replies to this process.
pub(super) struct Replies {
    consumer: BaseConsumer,
    address: ReplyTo,
}

impl Replies {
    /// Listens from now on.
    pub(super) fn listen(log: &Log) -> Result<Self> {
        let cluster = log.cluster();
        let topic = cluster.namespace.qualify(REPLIES);
        let id = Uuid::new_v4();
        // Any partition will do; those who come at once should not all read the same.
        let partition = (id.as_u128() % log.partitions(&topic)?.unsigned_abs() as u128) as i32;
        let consumer: BaseConsumer = cluster
            .reader("factfold.cli")
            .set("fetch.wait.max.ms", "100")
            .create()
            .context("making a Kafka consumer")?;
        let (_, end) =
            consumer.fetch_watermarks(&topic, partition, PATIENCE).context("asking for replies")?;
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(&topic, partition, Offset::Offset(end))?;
        consumer.assign(&assignment).context("assigning the replies")?;
        Ok(Self { consumer, address: ReplyTo { partition, gateway: format!("cli-{}", id.simple()) } })
    }

    /// Where workers must answer.
    pub(super) fn address(&self) -> &ReplyTo {
        &self.address
    }

    /// The next reply to us, if one comes within this time.
    pub(super) fn next(&self, timeout: Duration) -> Result<Option<Reply>> {
        let Some(message) = self.consumer.poll(timeout) else { return Ok(None) };
        let Ok(message) = message else {
            // The library reconnects by itself; whoever waits has a deadline.
            return Ok(None);
        };
        let address = self.address.to_string();
        let is_ours = message.headers().is_some_and(|headers| {
            headers.iter().any(|h| h.key == "ce_replyto" && h.value == Some(address.as_bytes()))
        });
        if !is_ours {
            return Ok(None);
        }
        let reply = serde_json::from_slice(message.payload().unwrap_or_default());
        reply.map(Some).context("reading a reply")
    }
}
