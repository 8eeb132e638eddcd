//! Deciding a backlog: one worker, as many commands as wait on the topic, from the first transaction to the last.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use factfold_consumers::{
    goods::GoodsDecider,
    worker::{self, Shutdown, Status, deciding},
};
use factfold_schemas::topics::Service;

use super::{
    Sizes,
    floor::{Loop, last_record},
    ground::Ground,
    machine,
    report::{Figure, Unit},
};

const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A worker in a thread of its own.
pub(super) struct Worker {
    pub(super) status: Status,
    shutdown: Shutdown,
    thread: thread::JoinHandle<Result<(), worker::Error>>,
}

impl Worker {
    /// Starts the worker of the goods service.
    pub(super) fn start(ground: &Ground, settings: worker::Settings) -> Result<Self> {
        let (shutdown, status) = (Shutdown::default(), Status::default());
        let (cluster, stop, shown) = (ground.cluster.clone(), shutdown.clone(), status.clone());
        let run = move || {
            deciding::run::<GoodsDecider>(&cluster, settings, stop, shown)
                .inspect_err(|error| tracing::error!(%error, "the worker stopped"))
        };
        let thread = thread::Builder::new().name("worker".to_owned()).spawn(run)?;
        Ok(Self { status, shutdown, thread })
    }

    /// Waits until it is so, and says when that was.
    pub(super) fn wait(&self, is_so: impl Fn(&Status) -> bool) -> Result<Instant> {
        while !is_so(&self.status) {
            if self.thread.is_finished() {
                bail!("the worker stopped: its error is in the log");
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(Instant::now())
    }

    /// Stops it.
    pub(super) fn stop(self) -> Result<()> {
        self.shutdown.set();
        match self.thread.join() {
            Ok(ended) => Ok(ended?),
            Err(_) => bail!("the worker has panicked"),
        }
    }
}

/// Decides what waits there. `beside` is where the floor writes to.
pub(super) async fn measure(ground: &Ground, beside: &Ground, sizes: &Sizes) -> Result<Vec<Figure>> {
    let commands = sizes.commands;
    let settings = ground.settings.worker("bench");
    let (batch, turns) = (settings.batch_records_max, settings.turns);
    let (from, events) = (ground.topic(Service::Goods.commands()), Service::Goods.events());
    let (to, partitions) = (beside.topic(events), ground.partitions);
    let floor = Loop { cluster: &ground.cluster, from: &from, to: &to, partitions, batch, turns };
    let (before, took) = tokio::task::block_in_place(|| {
        // A broker that has just started compiles its code while it runs. Whoever comes first must not pay for that.
        floor.run(commands / 4, &last_record(&ground.cluster, &from, partitions)?)?;
        let worker = Worker::start(ground, settings)?;
        let begun = worker.wait(|status| status.records() > 0)?;
        let before = worker.status.records();
        let ended = worker.wait(|status| status.records() >= commands as u64)?;
        worker.stop()?;
        anyhow::Ok((before, ended - begun))
    })?;
    let rate = (commands as u64 - before) as f64 / took.as_secs_f64();

    let ran = tokio::task::block_in_place(|| {
        floor.run(commands, &last_record(&ground.cluster, &ground.topic(events), partitions)?)
    })?;
    let bare = ran.records as f64 / ran.took.as_secs_f64();
    Ok(vec![
        Figure::new("deciding", Unit::PerSecond("commands"), rate, Some(bare))
            .with_stall(ran.transactions.iter().max().copied().filter(|longest| *longest > machine::STALL)),
    ])
}
