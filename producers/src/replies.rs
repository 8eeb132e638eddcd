//! Replies: how the answer to a command finds the request that waits for it. Every gateway reads one partition of the
//! replies topic, from its end on, and skips what is addressed to others.
//!
//! It must be reading before the first command is sent, it must never commit an offset (a restarted gateway has nobody
//! waiting), and a reply that nobody waits for any more is no error.

mod waiters;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use factfold_schemas::{
    command::{Digest, ReplyTo},
    kafka::Cluster,
    record::Reply,
};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode as Code},
    message::{BorrowedMessage, Headers},
};

pub(crate) use self::waiters::Waiter;
use self::waiters::Waiters;

/// How long Kafka may take to say where the partition ends.
const END_TIME: Duration = Duration::from_secs(5);
/// How soon the thread sees that it must stop.
const POLL_TIME: Duration = Duration::from_millis(100);

/// The consumer of this gateway's replies.
pub(crate) struct Replies {
    address: ReplyTo,
    waiters: Arc<Waiters>,
    shared: Arc<Shared>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    assigned: AtomicBool,
    stop: AtomicBool,
}

impl Replies {
    /// The settings of the consumer. It is made by the caller, who asks it for the topics' partitions first.
    pub(crate) fn consumer(cluster: &Cluster, instance: &str) -> Result<BaseConsumer, KafkaError> {
        cluster.reader(format_args!("gateway.{instance}")).set("fetch.error.backoff.ms", "50").create()
    }

    /// Leaves a consumer that [`begin_at_end`] has settled to a thread of its own.
    pub(crate) fn start(consumer: BaseConsumer, topic: String, address: ReplyTo) -> Result<Self, KafkaError> {
        let (waiters, shared) = (Arc::new(Waiters::default()), Arc::new(Shared::default()));
        shared.assigned.store(true, Ordering::Release);
        let reader = Reader {
            consumer,
            topic,
            address: address.clone(),
            waiters: waiters.clone(),
            shared: shared.clone(),
        };
        let thread = thread::Builder::new()
            .name("replies".to_owned())
            .spawn(move || reader.run())
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self { address, waiters, shared, thread: Mutex::new(Some(thread)) })
    }

    /// What the worker must be told.
    pub(crate) fn address(&self) -> &ReplyTo {
        &self.address
    }

    /// Waits, from now on, for the answer to this command.
    pub(crate) fn expect(&self, command_id: &str, digest: Digest) -> Waiter {
        self.waiters.enter(command_id, digest)
    }

    /// Whether answers come in.
    pub(crate) fn is_assigned(&self) -> bool {
        self.shared.assigned.load(Ordering::Acquire)
    }

    /// Ends all waiting: whoever waits is told that its command is stored, and where.
    pub(crate) fn close(&self) {
        self.waiters.close();
    }

    /// Stops reading, and blocks until that is done.
    pub(crate) fn stop(&self) {
        self.close();
        self.shared.stop.store(true, Ordering::Release);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that reads replies had panicked");
        }
    }
}

struct Reader {
    consumer: BaseConsumer,
    topic: String,
    address: ReplyTo,
    waiters: Arc<Waiters>,
    shared: Arc<Shared>,
}

impl Reader {
    fn run(self) {
        let address = self.address.to_string();
        while !self.shared.stop.load(Ordering::Acquire) {
            match self.consumer.poll(POLL_TIME) {
                Some(Ok(message)) => self.answer(&message, address.as_bytes()),
                Some(Err(error)) => self.recover(&error),
                None if !self.shared.assigned.load(Ordering::Acquire) => self.begin_again(),
                None => {}
            }
        }
    }

    fn answer(&self, message: &BorrowedMessage<'_>, address: &[u8]) {
        let ours = message
            .headers()
            .is_some_and(|h| h.iter().any(|h| h.key == "ce_replyto" && h.value == Some(address)));
        if !ours {
            return;
        }
        match serde_json::from_slice::<Reply>(message.payload().unwrap_or_default()) {
            Ok(reply) => self.waiters.answer(reply),
            Err(error) => {
                tracing::error!(kafka.offset = message.offset(), %error, "a reply cannot be read");
            }
        }
    }

    fn recover(&self, error: &KafkaError) {
        match error.rdkafka_error_code() {
            // The partition was cut or made anew below us. What lay there is lost to those who wait: their wait runs out,
            // and they are told that their command is stored.
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
                self.shared.assigned.store(false, Ordering::Release);
                tracing::warn!(%error, "replies are read from the end of the partition again");
                self.begin_again();
            }
            // The library reconnects by itself.
            _ => tracing::warn!(%error, "replies cannot be read now"),
        }
    }

    fn begin_again(&self) {
        match begin_at_end(&self.consumer, &self.topic, self.address.partition) {
            Ok(()) => self.shared.assigned.store(true, Ordering::Release),
            Err(error) => tracing::warn!(%error, "the end of the replies is not known yet"),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.assigned.store(false, Ordering::Release);
    }
}

/// Reads from the partition's end on. The offset is explicit, so that nothing is missed from here on, however late the
/// first fetch comes.
pub(crate) fn begin_at_end(consumer: &BaseConsumer, topic: &str, partition: i32) -> Result<(), KafkaError> {
    let (_, end) = consumer.fetch_watermarks(topic, partition, END_TIME)?;
    let mut assignment = TopicPartitionList::with_capacity(1);
    assignment.add_partition_offset(topic, partition, Offset::Offset(end))?;
    consumer.assign(&assignment)
}
