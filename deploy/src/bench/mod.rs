//! How fast the system is, each figure beside its floor: the same work done by a program that does nothing but the protocol,
//! in the same run, on the same brokers. (The machine's own speed drifts; a ratio says more than a figure.)
//!
//! [`run`] is the order of events; [`ground`] the topics and tables of one round, [`floor`] the loops that only move bytes;
//! then one file for each thing that is measured. [`machine`] says whether the machine had something else to do,
//! [`report`] makes medians.
//!
//! It measures what the product's own roles do, through the ways in which everybody uses them. It must never have a faster
//! way of its own.

mod clients;
mod deciding;
mod floor;
mod functions;
mod ground;
mod grpc;
mod histories;
mod http;
mod machine;
mod projecting;
mod rebuilding;
mod replaying;
pub mod report;
mod system;
mod taking_over;

use std::path::PathBuf;

use anyhow::Result;

use self::{ground::Ground, report::Report, system::System};
use crate::{addresses::Addresses, console::Console, settings::Settings};

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Measure {
    /// Commands that wait on the topic become events
    Deciding,
    /// A worker takes a partition over, from the log alone and with its own store
    TakingOver,
    /// Events are read in order, as `factfold replay` does
    Replaying,
    /// Events become rows of the read models
    Projecting,
    /// A read model is built anew from a long history of orders, and verified
    Rebuilding,
    /// One client over HTTP, and one over gRPC: a command, its answer, and the row that shows it
    Latency,
    /// Many clients over HTTP, then over gRPC, each waiting for its answer before it asks again
    Clients,
    /// Users' functions: called over HTTP, deployed, and given events
    Functions,
}

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Sizes {
    /// What.
    pub measures: Vec<Measure>,
    /// How often.
    pub rounds: usize,
    /// How many commands wait on the topic.
    pub commands: usize,
    /// How many events a history has that read models are built anew from.
    pub events: usize,
    /// How many commands one client sends, one after the other.
    pub single: usize,
    /// How many clients ask at the same time.
    pub clients: usize,
    /// For how long.
    pub seconds: u64,
}

/// Where it is measured.
#[derive(Debug, Clone)]
pub struct Site {
    /// Kafka and PostgreSQL.
    pub addresses: Addresses,
    /// For what the roles keep on disk.
    pub folder: PathBuf,
    /// How the roles are to be.
    pub settings: Settings,
}

impl Sizes {
    fn wants(&self, measure: Measure) -> bool {
        self.measures.contains(&measure)
    }

    /// Whether anything is measured on a log full of commands.
    fn wants_log(&self) -> bool {
        self.measures.iter().any(|measure| {
            !matches!(measure, Measure::Rebuilding | Measure::Latency | Measure::Clients | Measure::Functions)
        })
    }
}

/// Measures everything, round after round.
pub async fn run(site: &Site, sizes: &Sizes) -> Result<Report> {
    let mut report = Report::new(sizes, site.settings.partitions);
    for number in 1..=sizes.rounds {
        Console::Talking.say(&format!("round {number} of {}", sizes.rounds));
        report.note_machine(machine::busy_beside_us().await);
        if sizes.wants_log() {
            on_a_full_log(site, sizes, &mut report).await?;
        }
        if sizes.wants(Measure::Rebuilding) {
            from_a_long_history(site, sizes, &mut report).await?;
        }
        if [Measure::Latency, Measure::Clients, Measure::Functions].into_iter().any(|one| sizes.wants(one)) {
            through_a_gateway(site, sizes, &mut report).await?;
        }
    }
    Ok(report)
}

/// What is measured where many commands wait, and then many events lie.
async fn on_a_full_log(site: &Site, sizes: &Sizes, report: &mut Report) -> Result<()> {
    let grounds = [Ground::new(site).await?, Ground::new(site).await?];
    let [ground, beside] = &grounds;
    let measured = async {
        ground.fill(sizes.commands).await?;
        // Done in any case: the events that everything else reads come from here.
        let decided = deciding::measure(ground, beside, sizes).await?;
        if sizes.wants(Measure::Deciding) {
            report.add(decided);
        }
        if sizes.wants(Measure::TakingOver) {
            report.add(taking_over::measure(ground, sizes).await?);
        }
        if sizes.wants(Measure::Replaying) {
            report.add(replaying::measure(ground).await?);
        }
        if sizes.wants(Measure::Projecting) {
            report.add(projecting::measure(ground, sizes).await?);
        }
        Ok(())
    };
    cleared(measured.await, grounds).await
}

/// What is measured where a long history lies.
async fn from_a_long_history(site: &Site, sizes: &Sizes, report: &mut Report) -> Result<()> {
    let ground = Ground::new(site).await?;
    let measured = async {
        report.add(rebuilding::measure(&ground, sizes).await?);
        Ok(())
    };
    cleared(measured.await, [ground]).await
}

/// Leaves nothing behind, whatever was measured.
async fn cleared<const N: usize>(measured: Result<()>, grounds: [Ground; N]) -> Result<()> {
    for ground in grounds {
        let done = ground.clear().await;
        if measured.is_ok() {
            done?;
        }
    }
    measured
}

/// What is measured through a gateway, with all roles in this process.
async fn through_a_gateway(site: &Site, sizes: &Sizes, report: &mut Report) -> Result<()> {
    let grounds = [Ground::new(site).await?, Ground::new(site).await?];
    let [ground, beside] = &grounds;
    let measured = async {
        let system = System::start(ground).await?;
        if sizes.wants(Measure::Latency) {
            report.add(clients::one(&system, ground, beside, sizes).await?);
        }
        if sizes.wants(Measure::Clients) {
            report.add(clients::many(&system, sizes).await?);
        }
        if sizes.wants(Measure::Functions) {
            report.add(functions::measure(&system, ground, sizes).await?);
        }
        system.stop().await
    };
    cleared(measured.await, grounds).await
}
