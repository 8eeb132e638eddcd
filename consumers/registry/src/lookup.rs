//! Records that are read again, by their places.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use factfold_schemas::kafka::Cluster;
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    types::RDKafkaErrorCode,
};
use tokio::sync::Mutex;

/// How long Kafka may take to give what is asked for.
const READ_TIME: Duration = Duration::from_secs(5);

/// What reads records of one topic again. Whoever asks does it by turns: opening and closing a consumer takes ten times as long.
pub(crate) struct Lookup {
    reader: Arc<Mutex<BaseConsumer>>,
    topic: String,
}

impl Lookup {
    pub(crate) fn open(cluster: &Cluster, topic: &str) -> Result<Self, KafkaError> {
        // Behind the last record it would wait for more, half a second, and whoever comes next with it.
        let reader = cluster.reader(format!("{topic}.lookup")).set("fetch.wait.max.ms", "1").create()?;
        Ok(Self { reader: Arc::new(Mutex::new(reader)), topic: cluster.namespace.qualify(topic) })
    }

    /// The values that lie at these offsets, one after the other; `None` where one of them is gone.
    pub(crate) async fn read(
        &self,
        partition: i32,
        offsets: Vec<i64>,
    ) -> Result<Option<Vec<u8>>, KafkaError> {
        let (reader, topic) = (self.reader.clone().lock_owned().await, self.topic.clone());
        let read = tokio::task::spawn_blocking(move || {
            let read = read(&reader, &topic, partition, &offsets);
            // It must not read ahead when nobody reads.
            reader.unassign()?;
            read
        });
        read.await.map_err(|_| KafkaError::Canceled)?
    }
}

fn read(
    reader: &BaseConsumer,
    topic: &str,
    partition: i32,
    offsets: &[i64],
) -> Result<Option<Vec<u8>>, KafkaError> {
    let deadline = Instant::now() + READ_TIME;
    let mut bytes = Vec::new();
    let mut next = None;
    for offset in offsets {
        if next != Some(*offset) {
            let mut place = TopicPartitionList::new();
            place.add_partition_offset(topic, partition, Offset::Offset(*offset))?;
            // Assigning over an assignment can end the process (librdkafka #5573).
            reader.unassign()?;
            reader.assign(&place)?;
        }
        loop {
            match reader.poll(deadline.saturating_duration_since(Instant::now())) {
                Some(Ok(message)) if message.offset() == *offset => {
                    bytes.extend_from_slice(message.payload().unwrap_or_default());
                    next = Some(offset + 1);
                    break;
                }
                // It is gone: nothing of it comes any more.
                Some(Ok(message)) if message.offset() > *offset => return Ok(None),
                Some(Ok(_)) => {}
                Some(Err(error)) if is_gone(&error) => return Ok(None),
                Some(Err(error)) if Instant::now() >= deadline => return Err(error),
                Some(Err(error)) => tracing::debug!(%error, topic, "reading a record again"),
                None => return Err(KafkaError::Canceled),
            }
        }
    }
    Ok(Some(bytes))
}

/// Whether there is nothing at the place any more: the log begins behind it.
fn is_gone(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
    )
}
