//! The path of one command: who waits is written down, the command is stored, and the answer comes back. It reads top to
//! bottom as what happens.
//!
//! A command that is stored is never reported as failed: when the answer does not come in time, the client is told where
//! the command lies.

use std::{sync::Arc, time::Duration};

use factfold_schemas::{
    command::Digest,
    ids::StreamId,
    position::Position,
    record::{Answer, Reply},
    rejection::RejectionKind,
    topics::Service,
};
use serde_json::{Value, json};

use crate::{
    answers::POSITION, gateway::Gateway, problems::Problem, reading::write::Write, vocabulary::Checked,
    writer::NoPosition,
};

/// A command that is stored.
#[derive(Debug)]
pub(crate) struct Submitted {
    pub(crate) command_id: String,
    pub(crate) position: Position,
    /// What was decided; `None` when that is not known yet, or nobody wanted to wait.
    pub(crate) reply: Option<Arc<Reply>>,
}

impl Gateway {
    /// The command as it may be stored: what it says about people, and the secrets of functions, nobody can read.
    pub(crate) async fn sealed(&self, command: Checked, stream: &StreamId) -> Result<Checked, Problem> {
        match command.service {
            Service::Users => self.sealed_for_a_person(command, stream).await,
            Service::Functions => self.sealed_for_a_function(command, stream).await,
            Service::Goods | Service::Orders => Ok(command),
        }
    }

    /// Stores a command about this stream, and waits for its answer as long as the client likes to.
    pub(crate) async fn submit(
        &self,
        write: &Write,
        command: Checked,
        stream: &StreamId,
    ) -> Result<Submitted, Problem> {
        let Checked { service, type_name, value } = self.sealed(command, stream).await?;
        let command_id = write.identity.command_id().to_string();
        let patience = write.prefer.patience();
        let mut header = write.header(command_id.clone());

        // Who waits must be known before the answer can come.
        let mut waiting = None;
        if patience > Duration::ZERO {
            let slot = self.slot()?;
            waiting = Some((self.replies.expect(&command_id, Digest::of(type_name, &value)), slot));
            header.reply_to = Some(self.replies.address().clone());
        }

        let record = header.record(service, stream, type_name, value);
        let storing = self.writer.send(service, &record).map_err(|error| not_stored(error, &command_id))?;
        let stored = storing.position();

        let (position, reply) = match &mut waiting {
            None => (stored.await.map_err(|error| not_stored(error, &command_id))?, None),
            Some((waiter, _slot)) => {
                tokio::select! {
                    biased;
                    // The answer can overtake the report of the delivery, and then says itself where the command lies.
                    Some(reply) = waiter.reply() => (reply.position, Some(reply)),
                    stored = stored => {
                        let answer = async {
                            let left = patience.saturating_sub(write.arrived.elapsed());
                            tokio::time::timeout(left, waiter.reply()).await.ok().flatten()
                        };
                        match stored {
                            Ok(position) => (position, answer.await),
                            Err(error @ NoPosition::Surely(_)) => return Err(not_stored(error, &command_id)),
                            // In doubt: if it is stored, its answer comes, and says where it lies.
                            Err(error) => {
                                let reply = answer.await.ok_or_else(|| not_stored(error, &command_id))?;
                                (reply.position, Some(reply))
                            }
                        }
                    }
                }
            }
        };
        self.own_writes.remember(write.caller.user, position);
        let reply = match reply {
            Some(reply) if service == Service::Users => Some(Arc::new(self.revealed(&reply))),
            reply => reply,
        };
        Ok(Submitted { command_id, position, reply })
    }
}

impl Submitted {
    /// The same, answered with this resource: it has changed since.
    pub(crate) fn with_resource(self, resource: Option<Value>) -> Self {
        let reply = self.reply.map(|reply| Arc::new(Reply { resource, ..(*reply).clone() }));
        Self { reply, ..self }
    }

    /// What was decided, if it was a yes; `None` while it is not known. A no says which command it was, and where that lies.
    pub(crate) fn settled(&self) -> Result<Option<&Reply>, Problem> {
        let Some(reply) = &self.reply else { return Ok(None) };
        let no = match &reply.answer {
            Answer::Accepted { .. } | Answer::NoChange | Answer::Scheduled { .. } => return Ok(Some(reply)),
            Answer::Rejected { rejection } if rejection.kind == RejectionKind::NoChange => {
                return Ok(Some(reply));
            }
            Answer::Rejected { rejection } => Problem::rejected(rejection),
            Answer::DeadLettered { reason } => {
                Problem::new("dead-lettered", reason.detail.clone()).with("reason", json!(reason.name))
            }
        };
        Err(no
            .with("command_id", json!(self.command_id))
            .with("position", json!(self.position))
            .with_header(POSITION, &self.position.to_string()))
    }
}

/// What the client is told about a command without a position.
pub(crate) fn not_stored(error: NoPosition, command_id: &str) -> Problem {
    tracing::warn!(%error, command.id = command_id, "a command has no position");
    match error {
        NoPosition::Surely(_) => {
            Problem::of_load("storage-unavailable", "nothing was written: repeat it in a moment")
        }
        NoPosition::Unknown(_) | NoPosition::Somewhere => {
            let detail = "Kafka did not say in time whether or where it stored the command: repeat it under the same \
                          Idempotency-Key (or command id), and it takes effect once";
            Problem::new("outcome-unknown", detail).with("command_id", json!(command_id))
        }
    }
}
