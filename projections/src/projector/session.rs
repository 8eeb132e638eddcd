//! The loop of one read model: batch after batch, each in one Postgres transaction. When anything goes wrong everything
//! in memory is dropped and the loop begins again at the checkpoint, so there is one way to start and no way to drift.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use factfold_schemas::{kafka::Cluster, topics::Namespace};
use fail::fail_point;
use metrics::{counter, gauge, histogram};
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions, raw_sql};
use tokio::sync::watch;
use tracing::Instrument;

use super::{
    batch::{Batch, Checkpoint, Place},
    catching_up,
    checkpoint::{self, Checkpoints},
    comparing,
    pace::Pace,
    retry::Backoff,
    source::{Size, Source},
    stop::Stop,
};
use crate::{
    Build, Error, Projection, command_outcomes, functions, goods, order_timeline, orders, sales_by_day, users,
};

/// How often an idle read model writes down that it has passed markers, which hold no records.
const MARKERS_INTERVAL: Duration = Duration::from_secs(1);
/// How long Postgres may take for anything.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the other is left alone where two projectors follow the same read model: who was too late steps aside.
const STEP_ASIDE: Duration = Duration::from_secs(1);
/// How often the lag is measured.
pub(super) const LAG_INTERVAL: Duration = Duration::from_secs(5);
/// Within how many offsets of the end of the log a build has caught up: it comes no nearer under a steady load.
const CAUGHT_UP_LAG: i64 = 5_000;
/// The most trace parents that the span of a batch names.
const TRACE_PARENTS_MAX: usize = 8;

/// One build of a read model, being kept up to date.
#[derive(Clone)]
pub(crate) struct Session {
    pub(super) build: Build,
    pub(super) cluster: Cluster,
    database: PgConnectOptions,
    pub(super) pace: Arc<Pace>,
    /// Closed when the work shall end.
    stopped: watch::Receiver<()>,
}

impl Session {
    pub(crate) fn new(
        build: Build,
        cluster: &Cluster,
        database_url: &str,
        pace: Arc<Pace>,
        stopped: watch::Receiver<()>,
    ) -> Result<Self, Error> {
        let database = build.options(database_url, &cluster.namespace)?;
        Ok(Self { build, cluster: cluster.clone(), database, pace, stopped })
    }

    /// Folds until asked to stop, or until the log contradicts what was folded. Calls to Kafka block: this needs a thread.
    pub(super) async fn run(self) -> Result<(), Error> {
        let name = self.build.projection.name();
        let version = self.build.version.to_string();
        let failed = gauge!("factfold_projection_failed", "projection" => name, "version" => version);
        failed.set(0);
        let (mut backoff, mut was_overtaken) = (Backoff::new(), false);
        loop {
            let Err(stop) = self.follow(&mut backoff).await else { return Ok(()) };
            if stop.is_final() {
                tracing::error!(projection.name = name, error = %stop, "stopped: trying again would not help");
                failed.set(1);
                self.note_failure(&stop).await;
                return Err(stop.into_error(self.build.projection));
            }
            counter!("factfold_projection_retries_total", "projection" => name, "reason" => stop.name())
                .increment(1);
            let is_overtaken = matches!(stop, Stop::Overtaken);
            let delay = if is_overtaken { STEP_ASIDE } else { backoff.next() };
            let delay_ms = delay.as_millis();
            match (is_overtaken, was_overtaken) {
                (false, _) => tracing::warn!(projection.name = name, error = %stop, delay_ms, "trying again"),
                (true, false) => {
                    tracing::info!(projection.name = name, "{stop}: taking turns with it from now on")
                }
                (true, true) => tracing::debug!(projection.name = name, delay_ms, "{stop}"),
            }
            was_overtaken |= is_overtaken;
            // Ready when the work shall end, which the next round sees at once.
            let _ = tokio::time::timeout(delay, self.stopped.clone().changed()).await;
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.has_changed().is_err()
    }

    /// From the checkpoint on, until something is in the way.
    async fn follow(&self, backoff: &mut Backoff) -> Result<(), Stop> {
        if self.is_stopped() {
            return Ok(());
        }
        let mut database = self.connect().await?;
        let mut source = Source::connect(&self.cluster, self.build.projection, Size::FOLLOWING)?;
        fail_point!("projector::connected");
        source.folded(self.resume(&mut database, &source).await?);
        fail_point!("projector::resumed");
        while source.lag()?.iter().map(|(_, lag)| lag).sum::<i64>() > catching_up::DISTANCE_MIN {
            if !catching_up::until(self, source.ends()?, |_| {}).await? {
                return Ok(());
            }
            backoff.reset();
            source.folded(checkpoint::load(&mut database, self.build).await?);
        }
        self.make_indexes(&mut database).await?;
        if !comparing::with_shown(self).await? {
            return Ok(());
        }
        source.start(checkpoint::load(&mut database, self.build).await?)?;
        tracing::debug!(projection.name = self.build.projection.name(), "following");

        let mut pace = self.pace.following();
        let (mut written, mut measured, mut caught_up) = (Instant::now(), None::<Instant>, false);
        while !self.is_stopped() {
            let batch = source.gather()?;
            pace.is_behind(Size::FOLLOWING.is_full(&batch));
            if !batch.entries.is_empty() || (!batch.moves.is_empty() && written.elapsed() >= MARKERS_INTERVAL)
            {
                fail_point!("projector::gathered");
                in_time(self.commit(&mut database, &batch)).await?;
                fail_point!("projector::before-memory");
                source.committed(&batch);
                fail_point!("projector::moved-on");
                written = Instant::now();
                backoff.reset();
            }
            let is_at_rest = !caught_up && batch.entries.is_empty();
            if is_at_rest || measured.is_none_or(|at| at.elapsed() >= LAG_INTERVAL) {
                let lag = self.report_lag(&source)?;
                if !caught_up && lag <= CAUGHT_UP_LAG {
                    in_time(checkpoint::note_caught_up(&mut database, self.build)).await?;
                    caught_up = true;
                }
                measured = Some(Instant::now());
            }
        }
        // Whoever goes on with it measures it.
        self.report(source.places().map(|place| (place, 0)));
        Ok(in_time(database.close()).await?)
    }

    /// Reads the checkpoints, and checks that the log still has what lies behind them.
    pub(super) async fn resume(
        &self,
        database: &mut PgConnection,
        source: &Source,
    ) -> Result<Checkpoints, Stop> {
        // In this order: meanwhile another projector may go on, so the ends must be newer than what is compared with them.
        let known = checkpoint::load(database, self.build).await?;
        let extents = source.extents()?;
        if let Some(cluster_id) = source.cluster_id() {
            checkpoint::check_cluster(database, &cluster_id).await?;
        }
        for (place @ (topic, partition), Checkpoint { next, .. }) in &known {
            let replaced = |what: String| {
                let what = format!("{topic}/{partition} is folded up to offset {next}, but {what}");
                Stop::LogReplaced(format!("{what}: the topic was replaced, truncated or pruned"))
            };
            match extents.get(place) {
                None => return Err(replaced("there is no such partition".to_owned())),
                Some(extent) if *next > extent.high => {
                    return Err(replaced(format!("the log ends at {}", extent.high)));
                }
                Some(extent) if *next < extent.low => {
                    return Err(replaced(format!("the log begins at {}", extent.low)));
                }
                Some(_) => {}
            }
        }
        let starts: Vec<_> = extents.iter().map(|(place, extent)| (*place, extent.low)).collect();
        fail_point!("projector::checkpoints-read");
        checkpoint::create(database, self.build, &starts).await?;
        fail_point!("projector::checkpoints-made");
        checkpoint::note_failure(database, self.build, None).await?;
        Ok(checkpoint::load(database, self.build).await?)
    }

    /// Makes the indexes of the tables, where they are not there yet: all rows at once take less than one by one.
    async fn make_indexes(&self, database: &mut PgConnection) -> Result<(), Stop> {
        let begun = Instant::now();
        let mut transaction = database.begin().await?;
        let is_wanted = checkpoint::note_indexed(&mut transaction, self.build).await?;
        if is_wanted {
            raw_sql(self.build.projection.indexes()).execute(&mut *transaction).await?;
        }
        // Also where there was nothing to do: who has waited for another's transaction has the row's lock since.
        transaction.commit().await?;
        if is_wanted {
            tracing::info!(build = %self.build, duration_ms = begun.elapsed().as_millis(), "indexed");
        }
        Ok(())
    }

    /// One batch, one transaction: the checkpoint first, then the rows.
    pub(super) async fn commit(&self, database: &mut PgConnection, batch: &Batch) -> Result<(), Stop> {
        let name = self.build.projection.name();
        let span = tracing::info_span!(
            "fold",
            projection.name = name,
            batch.records = batch.entries.len(),
            trace.parent = tracing::field::Empty,
        );
        if !span.is_disabled() {
            span.record("trace.parent", trace_parents(batch));
        }
        let begun = Instant::now();
        async {
            let mut transaction = database.begin().await?;
            fail_point!("projector::begun");
            checkpoint::advance(&mut transaction, self.build, &self.cluster.namespace, batch).await?;
            fail_point!("projector::checkpoint-moved", |_| Err(injected()));
            self.write(&mut transaction, batch).await.map_err(|stop| stop.blaming(batch))?;
            fail_point!("projector::rows-written", |_| Err(injected()));
            transaction.commit().await?;
            fail_point!("projector::committed", |_| Err(injected()));
            tracing::debug!(duration_ms = begun.elapsed().as_secs_f64() * 1e3, "committed");
            Ok::<_, Stop>(())
        }
        .instrument(span)
        .await?;
        counter!("factfold_projection_records_total", "projection" => name)
            .increment(batch.entries.len() as u64);
        histogram!("factfold_projection_batch_seconds", "projection" => name).record(begun.elapsed());
        histogram!("factfold_projection_batch_records", "projection" => name)
            .record(batch.entries.len() as f64);
        Ok(())
    }

    async fn write(&self, transaction: &mut PgConnection, batch: &Batch) -> Result<(), Stop> {
        if batch.entries.is_empty() {
            return Ok(());
        }
        match self.build.projection {
            Projection::Goods => goods::write(transaction, batch.goods()).await,
            Projection::Orders => orders::write(transaction, batch.orders()).await,
            Projection::SalesByDay => sales_by_day::write(transaction, batch.orders()).await,
            Projection::Users => users::write(transaction, batch.users()).await,
            Projection::Functions => functions::write(transaction, batch.functions()).await,
            Projection::OrderTimeline => order_timeline::write(transaction, batch.orders()).await,
            Projection::CommandOutcomes => command_outcomes::write(transaction, &batch.entries).await,
        }
    }

    /// Measures how far it is behind, in all partitions together.
    pub(super) fn report_lag(&self, source: &Source) -> Result<i64, Stop> {
        let lag = source.lag()?;
        let whole = lag.iter().map(|(_, lag)| lag).sum();
        self.report(lag.into_iter());
        Ok(whole)
    }

    fn report(&self, lag: impl Iterator<Item = (Place, i64)>) {
        for ((topic, partition), lag) in lag {
            gauge!(
                "factfold_projection_lag_offsets",
                "projection" => self.build.projection.name(),
                "version" => self.build.version.to_string(),
                "topic" => topic.to_string(),
                "partition" => partition.to_string(),
            )
            .set(lag as f64);
        }
    }

    pub(super) fn namespace(&self) -> &Namespace {
        &self.cluster.namespace
    }

    pub(super) async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        in_time(PgConnection::connect_with(&self.database)).await
    }

    /// So that whoever asks why it stands still is told. When that fails too, the log of this process still says it.
    async fn note_failure(&self, stop: &Stop) {
        let noted = async {
            let mut database = self.connect().await?;
            checkpoint::note_failure(&mut database, self.build, Some(&stop.to_string())).await
        };
        if let Err(error) = noted.await {
            tracing::warn!(projection.name = self.build.projection.name(), %error, "could not note the failure");
        }
    }
}

/// What Postgres does, or the error that it took too long: a connection can die without a sign.
pub(super) async fn in_time<T, E: From<sqlx::Error>>(
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match tokio::time::timeout(DATABASE_TIMEOUT, work).await {
        Ok(done) => done,
        Err(_) => Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into()).into()),
    }
}

/// What a failpoint puts in the place of a connection that breaks.
#[cfg(feature = "failpoints")]
fn injected() -> Stop {
    sqlx::Error::Io(io::ErrorKind::ConnectionReset.into()).into()
}

/// The traces that meet in this batch: the last step of each, from the request to the commit.
fn trace_parents(batch: &Batch) -> String {
    let mut parents: Vec<&str> = Vec::new();
    for entry in &batch.entries {
        if let Some(parent) = entry.record.cause().traceparent.as_deref()
            && parents.len() < TRACE_PARENTS_MAX
            && !parents.contains(&parent)
        {
            parents.push(parent);
        }
    }
    parents.join(",")
}
