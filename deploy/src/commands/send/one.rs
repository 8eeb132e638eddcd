//! One command: written, waited for, and its outcome.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use factfold_projections::log_reader::{Log, Stop};
use factfold_schemas::{command::Digest, kafka::Cluster, topics::Service};
use uuid::Uuid;

use super::{
    Args, fresh, misfits,
    outcome::{Decided, Fate, Outcome, Sent},
    seal::Seal,
    sender::Sender,
    until::Until,
    vocabulary::{Checked, Vocabulary},
};
use crate::{blocking::interrupted, console::notice, failure::Failure, output};

/// A command that is fit to be sent.
pub(super) struct Job {
    id: String,
    command: Checked,
}

impl Job {
    /// Checks everything that can be checked without Kafka.
    pub(super) fn read(args: &Args) -> Result<Self, Failure> {
        let type_name = args.type_name.as_deref().unwrap_or_default();
        let vocabulary = Vocabulary::new();
        let service =
            vocabulary.service(type_name).map_err(|misfit| Failure::Usage(anyhow!("{}", misfit.detail)))?;
        if args.until.is_some() && service != Service::Orders {
            return Err(Failure::Usage(anyhow!(
                "--until is for orders: {type_name} is a command of {service}"
            )));
        }
        let data = args.read_data()?;
        let fresh = fresh(type_name, args.id.as_deref());
        let checked = vocabulary.check(type_name, args.stream.as_deref(), fresh, &data);
        let command = checked.map_err(|wrong| misfits(type_name, &wrong))?;
        Ok(Self { id: args.id.clone().unwrap_or_else(|| Uuid::now_v7().to_string()), command })
    }

    /// The same, as it may be stored.
    pub(super) fn sealed(self, seal: &Seal) -> Result<Self, Failure> {
        Ok(Self { command: seal.apply(self.command)?, ..self })
    }

    /// Sends it.
    pub(super) fn run(&self, args: &Args, cluster: &Cluster, stop: &Stop) -> Result<ExitCode, Failure> {
        let log = Log::open(cluster, notice)?;
        // What happens from now on: asked for before the command can have any effect.
        let until = args.until.map(|status| Until::new(&log, &self.command.stream, status)).transpose()?;
        let sender = Sender::new(&log)?;
        sender.send(0, &self.id, &self.command, args.not_before)?;
        let sent = Sent::new(None, &self.id, &self.command);
        let outcome = self.wait(&sender, sent, args.wait(), stop)?;
        self.show(args, &outcome)?;
        let status = match &outcome.fate {
            Fate::Decided(Decided { resource: Some(order), .. }) if outcome.code() == 0 => &order["status"],
            _ => return Ok(ExitCode::from(outcome.code())),
        };
        match until {
            None => Ok(ExitCode::SUCCESS),
            Some(until) => {
                until.wait(&log, status, args.wait.unwrap_or(Duration::from_secs(30)), args.json, stop)
            }
        }
    }

    fn wait(&self, sender: &Sender, mut sent: Sent, wait: Duration, stop: &Stop) -> Result<Outcome, Failure> {
        let digest = Digest::of(&self.command.type_name, &self.command.value);
        let deadline = Instant::now() + wait;
        while Instant::now() < deadline {
            if stop.is_wanted() {
                return Err(interrupted());
            }
            for (_, delivery) in sender.deliveries() {
                match delivery {
                    Ok(position) => sent.position = position,
                    Err(error) => return Ok(Outcome { sent, fate: Fate::not_stored(&error) }),
                }
            }
            // Deliveries are looked at between replies, so the first wait is short.
            let patience = if sent.position.is_some() { 100 } else { 1 };
            let Some(reply) = sender.reply(Duration::from_millis(patience))? else { continue };
            if reply.command_id == self.id && reply.digest == digest {
                sent.position = Some(reply.position);
                return Ok(Outcome { sent, fate: Fate::of(reply) });
            }
        }
        let fate = match sent.position {
            Some(_) => Fate::pending(),
            None => Fate::not_stored(
                &"Kafka did not say in time that it stored the command; send it again with --id",
            ),
        };
        Ok(Outcome { sent, fate })
    }

    fn show(&self, args: &Args, outcome: &Outcome) -> anyhow::Result<()> {
        if args.json {
            return output::json(outcome);
        }
        if outcome.code() != 0 {
            eprintln!("{}", outcome.headline());
            if matches!(outcome.fate, Fate::Open { .. }) {
                eprintln!("its id is {}: with --id it can be sent again safely", self.id);
            }
            return Ok(());
        }
        output::line(&outcome.headline())?;
        match &outcome.fate {
            Fate::Decided(Decided { resource: Some(resource), .. }) if args.until.is_none() => {
                output::json(resource)
            }
            _ => Ok(()),
        }
    }
}
