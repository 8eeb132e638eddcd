//! Hears from Postgres what the projectors have folded, and keeps [`Progress`] up to date: one connection a process.
//!
//! Whenever it (re)connects it reads the checkpoints after it has begun to listen, so nothing falls between. A connection
//! can also die without a sign; so every now and then it looks at the checkpoints, which heals what was missed.

use std::{collections::HashSet, sync::Arc, time::Duration};

use factfold_schemas::topics::{Namespace, Topic};
use metrics::gauge;
use sqlx::{PgPool, Row, postgres::PgListener};
use tokio::task::JoinHandle;

use super::Progress;
use crate::{
    Build, Projection,
    moved::{Moved, channel},
    postgres::required,
};

const LOOK_INTERVAL: Duration = Duration::from_secs(10);
const RECONNECT_DELAY: Duration = Duration::from_millis(500);

/// A running listener; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Listener(JoinHandle<()>);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Listener {
    /// Listens on a connection of its own, and reads with this pool.
    pub(crate) fn start(own: PgPool, pool: PgPool, namespace: &Namespace, progress: Arc<Progress>) -> Self {
        let channel = channel(namespace);
        Self(tokio::spawn(async move {
            tokio::join!(listen(&own, &pool, &channel, &progress), look(&pool, &progress));
        }))
    }
}

/// Listens for ever.
async fn listen(own: &PgPool, pool: &PgPool, channel: &str, progress: &Progress) {
    let mut is_away = false;
    loop {
        if let Err(error) = follow(own, pool, channel, progress, &mut is_away).await
            && !std::mem::replace(&mut is_away, true)
        {
            tracing::warn!(%error, "cannot hear what the projectors fold; trying again until Postgres is back");
        }
        tokio::time::sleep(RECONNECT_DELAY).await;
    }
}

async fn follow(
    own: &PgPool,
    pool: &PgPool,
    channel: &str,
    progress: &Progress,
    is_away: &mut bool,
) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(own).await?;
    listener.listen(channel).await?;
    reload(pool, progress).await?;
    *is_away = false;
    loop {
        match listener.try_recv().await? {
            Some(notification) => match Moved::read(notification.payload()) {
                Some(moved) => hear(progress, &moved),
                None => raise_all(pool, progress).await?,
            },
            // The connection was lost and is back: what was said in between is not heard.
            None => reload(pool, progress).await?,
        }
    }
}

fn hear(progress: &Progress, moved: &Moved) {
    // Builds beside the one that is shown do not concern readers.
    let Some(build) = moved.build().filter(|build| progress.shows(*build)) else { return };
    for (topic, partition, decided) in moved.reached() {
        progress.raise((build.projection, topic, partition), decided);
    }
}

async fn look(pool: &PgPool, progress: &Progress) {
    let mut interval = tokio::time::interval(LOOK_INTERVAL);
    loop {
        interval.tick().await;
        gauge!("factfold_postgres_connections", "pool" => "reads", "state" => "open").set(pool.size());
        gauge!("factfold_postgres_connections", "pool" => "reads", "state" => "idle")
            .set(pool.num_idle() as f64);
        // When Postgres is away, `listen` says so.
        let _ = raise_all(pool, progress).await;
    }
}

async fn reload(pool: &PgPool, progress: &Progress) -> Result<(), sqlx::Error> {
    progress.show(shown(pool).await?);
    progress.replace(load(pool).await?.iter().filter_map(Partition::reached));
    Ok(())
}

async fn raise_all(pool: &PgPool, progress: &Progress) -> Result<(), sqlx::Error> {
    progress.show(shown(pool).await?);
    for (place, decided) in load(pool).await?.iter().filter_map(Partition::reached) {
        progress.raise(place, decided);
    }
    Ok(())
}

/// A partition, as a read model has folded it.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) build: Build,
    pub(crate) topic: Topic,
    pub(crate) partition: i32,
    pub(crate) next_offset: i64,
    pub(crate) decided_offset: Option<i64>,
}

impl Partition {
    fn reached(&self) -> Option<((Projection, Topic, i32), i64)> {
        Some(((self.build.projection, self.topic, self.partition), self.decided_offset?))
    }
}

/// The builds that are shown.
async fn shown(pool: &PgPool) -> Result<HashSet<Build>, sqlx::Error> {
    let rows =
        sqlx::query("SELECT projection, version FROM projections WHERE current").fetch_all(pool).await?;
    rows.iter().filter_map(|row| Build::of(row).transpose()).collect()
}

/// The checkpoints of the builds that are shown.
pub(crate) async fn load(pool: &PgPool) -> Result<Vec<Partition>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT projection, version, topic, partition, next_offset, decided_offset
         FROM checkpoints JOIN projections USING (projection, version) WHERE current
         ORDER BY projection, topic, partition",
    )
    .fetch_all(pool)
    .await?;
    let read = |row| {
        let Some(build) = Build::of(row)? else { return Ok(None) };
        Ok(Some(Partition {
            build,
            topic: required(row, "topic")?,
            partition: row.try_get("partition")?,
            next_offset: row.try_get("next_offset")?,
            decided_offset: row.try_get("decided_offset")?,
        }))
    };
    rows.iter().filter_map(|row| read(row).transpose()).collect()
}
