//! Dealing with a dead letter, once. The marker, and the command if there is one, are one transaction; and the
//! transactional id belongs to the letter's partition, so whoever comes second fences the first *before* looking whether the
//! letter is marked. Of two at once, one finds the marker of the other, or the other can no longer commit.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use factfold_projections::log_reader::{Log, Stop};
use factfold_schemas::{
    cloudevents::Outgoing,
    command::Header,
    functions::REDELIVERIES,
    kafka::headers,
    letter::{MARKER, MARKS},
    partitioner::partition_of,
    position::Position,
};
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, BaseRecord, Producer as _},
};

use super::letter::{self, Letter, Note};
use crate::{
    commands::send::{sender::source, vocabulary::Checked},
    failure::Failure,
};

/// How long a broker may take for a step.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where one letter is dealt with, and by nobody else.
pub(super) struct Desk<'a> {
    log: &'a Log,
    letter: Letter,
    producer: BaseProducer,
}

impl<'a> Desk<'a> {
    /// Fences whoever else is at it, then looks whether somebody has dealt with it.
    pub(super) fn open(log: &'a Log, position: Position) -> Result<Self, Failure> {
        // Nothing is fenced for a letter that does not exist.
        letter::find(log, position, &Stop::default())?;
        let id = format!("factfold.dead-letters.{}.{}", position.topic.service, position.partition);
        let producer: BaseProducer = log
            .cluster()
            .client()
            .set("transactional.id", log.cluster().namespace.qualify(id))
            .set("transaction.timeout.ms", "30000")
            .set("retry.backoff.ms", "1")
            .set("linger.ms", "0")
            .create()
            .context("making a Kafka producer")?;
        producer.init_transactions(PATIENCE).context("beginning to publish")?;
        let (letter, markers) = letter::find(log, position, &Stop::default())?;
        if let Some(marker) = markers.first() {
            let (done, time, by) = (&marker.done, marker.time, &marker.note.by);
            return Err(Failure::Refused(anyhow!("{position} was {done} at {time} by {by} already")));
        }
        Ok(Self { log, letter, producer })
    }

    /// What it is about.
    pub(super) fn letter(&self) -> &Letter {
        &self.letter
    }

    /// Sends the command to where its key belongs, and marks the letter.
    pub(super) fn publish(self, header: &Header, command: &Checked) -> Result<(), Failure> {
        let topic = self.log.cluster().topic(command.service.commands());
        let partition = partition_of(command.stream.as_str().as_bytes(), self.log.partitions(&topic)?);
        let record =
            header.record(command.service, &command.stream, &command.type_name, command.value.clone());
        let (command_id, stream) = (Some(header.id.clone()), Some(command.stream.to_string()));
        let marker = self.marker("published", &Note { by: source(), reason: None, command_id, stream });
        self.commit(&[(topic, partition, record), marker])
    }

    /// Has the event given once more, and marks the letter.
    pub(super) fn give_again(self) -> Result<(), Failure> {
        let topic = self.log.cluster().namespace.qualify(REDELIVERIES);
        let marker = self.marker("published", &Note { by: source(), ..Note::default() });
        let redelivery = self.letter.redelivery();
        self.commit(&[(topic, 0, redelivery), marker])
    }

    /// Marks the letter as dropped.
    pub(super) fn drop_letter(self, reason: &str) -> Result<(), Failure> {
        let note = Note { by: source(), reason: Some(reason.to_owned()), ..Note::default() };
        let marker = self.marker("dropped", &note);
        self.commit(&[marker])
    }

    fn marker(&self, done: &str, note: &Note) -> (String, i32, Outgoing) {
        let position = self.letter.position;
        let headers = [
            ("content-type", "application/json".to_owned()),
            (MARKER, done.to_owned()),
            (MARKS, position.to_string()),
        ];
        let record = Outgoing {
            key: Some(position.to_string().into_bytes()),
            value: serde_json::to_vec(note).ok(),
            headers: headers.into_iter().collect(),
        };
        (self.log.cluster().topic(position.topic), position.partition, record)
    }

    /// All of these, or none.
    fn commit(self, records: &[(String, i32, Outgoing)]) -> Result<(), Failure> {
        self.producer.begin_transaction().context("beginning a transaction")?;
        if let Err(error) = self.write(records) {
            // The first error says what happened; an abort that fails too is the broker's to finish.
            let _ = self.producer.abort_transaction(PATIENCE);
            return Err(Failure::OutOfReach(error.context("nothing was published")));
        }
        let began = Instant::now();
        loop {
            match self.producer.commit_transaction(PATIENCE) {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error)) if error.is_retriable() && began.elapsed() < PATIENCE => {
                }
                Err(KafkaError::Transaction(error)) if error.code() == RDKafkaErrorCode::Fenced => {
                    return Err(Failure::Refused(anyhow!(
                        "somebody else deals with this partition: look again"
                    )));
                }
                Err(error) => {
                    return Err(Failure::OutOfReach(
                        anyhow!(error).context("whether it was published is not known: look at the list"),
                    ));
                }
            }
        }
    }

    fn write(&self, records: &[(String, i32, Outgoing)]) -> Result<()> {
        for (topic, partition, record) in records {
            let mut sent: BaseRecord<'_, [u8], [u8]> =
                BaseRecord::to(topic).partition(*partition).headers(headers(record));
            sent.key = record.key.as_deref();
            sent.payload = record.value.as_deref();
            self.producer
                .send(sent)
                .map_err(|(error, _)| error)
                .with_context(|| format!("writing to {topic}"))?;
        }
        let began = Instant::now();
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(Duration::from_millis(1));
            if began.elapsed() > PATIENCE {
                bail!("Kafka did not take the records in time");
            }
        }
        Ok(())
    }
}
