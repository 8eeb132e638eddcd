//! Verifying: a read model is folded again, beside the one that is shown and while that goes on, and compared with it at one
//! position, row by row and column by column.
//!
//! The position is where the shown build is in one snapshot of Postgres: rows and checkpoints move in one transaction, so the
//! snapshot has exactly the rows of its checkpoints. The other build is folded exactly as far. It must never write to what is
//! shown.

pub(crate) mod compare;

use std::{collections::BTreeMap, sync::Arc};

use factfold_schemas::{kafka::Cluster, topics::Topic};
use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::sync::watch;

pub use self::compare::{Comparison, Difference, Found};
use crate::{
    Build, Error, Projection,
    catalogue::{BuildError, Catalogue, OF_NOBODY},
    postgres::{connect_options, required},
    projector::{catching_up, pace::Pace, session::Session},
};

/// The most differences that are told; all are counted.
const TOLD_MAX: usize = 1_000;

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// The build that is shown.
    pub build: Build,
    /// Up to where: the next offset of each partition.
    pub positions: Vec<(Topic, i32, i64)>,
    /// What was found.
    pub found: Found,
}

/// Folds this read model again, and compares it with what is shown. `each` hears of every batch how many records it had.
/// `None` when it was told to stop: when nobody holds the other end of `stopped` any more.
///
/// # Errors
/// When Kafka or Postgres cannot be asked, or the log contradicts itself.
pub async fn verify(
    cluster: &Cluster,
    database_url: &str,
    projection: Projection,
    stopped: watch::Receiver<()>,
    each: impl Fn(usize) + Clone + Send + Sync + 'static,
) -> Result<Option<Verified>, Error> {
    let mut catalogue = Catalogue::open(cluster, database_url).await?;
    // Two at once would clear each other away.
    catalogue.wait_for_turn(&format!("verifying {projection}")).await?;
    clear_away(&mut catalogue, projection).await?;
    let own = catalogue.make_unseen(projection).await?;
    let verified = fold_and_compare(cluster, database_url, own, stopped, each).await;
    clear_away(&mut catalogue, projection).await?;
    verified
}

async fn fold_and_compare(
    cluster: &Cluster,
    database_url: &str,
    own: Build,
    stopped: watch::Receiver<()>,
    each: impl Fn(usize) + Clone + Send + Sync + 'static,
) -> Result<Option<Verified>, Error> {
    let projection = own.projection;
    let session = Session::new(own, cluster, database_url, Arc::new(Pace::new()), stopped)?;
    let stop = |stop: crate::projector::Stop| stop.into_error(projection);
    // Nearly all of it without a snapshot: one that lives for long keeps Postgres from clearing up.
    let options = connect_options(database_url, &cluster.namespace)?;
    let (nearly, _) = shown(PgConnection::connect_with(&options).await?, projection).await?;
    if !catching_up::until(&session, nearly.bounds, each.clone()).await.map_err(stop)? {
        return Ok(None);
    }
    let (shown, mut snapshot) = shown(PgConnection::connect_with(&options).await?, projection).await?;
    if !catching_up::until(&session, shown.bounds.clone(), each).await.map_err(stop)? {
        return Ok(None);
    }
    let mut folded = PgConnection::connect_with(&own.options(database_url, &cluster.namespace)?).await?;
    let schemas = [own, shown.build].map(|build| build.schema(&cluster.namespace));
    let found = compare::builds(&mut folded, &mut snapshot, &schemas, TOLD_MAX).await?;
    // What they say at the end is of no interest.
    let _ = folded.close().await;
    let _ = snapshot.close().await;
    Ok(Some(Verified {
        build: shown.build,
        positions: shown
            .bounds
            .into_iter()
            .map(|((topic, partition), next)| (topic, partition, next))
            .collect(),
        found,
    }))
}

/// The build that is shown, and where it is.
pub(crate) struct Shown {
    pub(crate) build: Build,
    pub(crate) bounds: BTreeMap<(Topic, i32), i64>,
}

/// What is shown, and the connection, which sees it as it is now for as long as it is open.
pub(crate) async fn shown(
    mut connection: PgConnection,
    projection: Projection,
) -> Result<(Shown, PgConnection), sqlx::Error> {
    sqlx::query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").execute(&mut connection).await?;
    let rows = sqlx::query(
        "SELECT version, topic, partition, next_offset
         FROM projections LEFT JOIN checkpoints USING (projection, version) WHERE current AND projection = $1",
    );
    let rows = rows.bind(projection.name()).fetch_all(&mut connection).await?;
    let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let build = Build { projection, version: first.try_get("version")? };
    let mut bounds = BTreeMap::new();
    for row in &rows {
        if row.try_get::<Option<&str>, _>("topic")?.is_some() {
            let place = (required(row, "topic")?, row.try_get("partition")?);
            bounds.insert(place, row.try_get("next_offset")?);
        }
    }
    Ok((Shown { build, bounds }, connection))
}

/// Throws away what was folded to be compared, also by somebody who did not come to an end.
async fn clear_away(catalogue: &mut Catalogue, projection: Projection) -> Result<(), Error> {
    for entry in catalogue.builds().await? {
        if entry.build.projection == projection && entry.fold == OF_NOBODY && !entry.current {
            match catalogue.drop_build(entry.build).await {
                Ok(()) | Err(BuildError::NoBuild(_)) => {}
                Err(BuildError::Database(error)) => return Err(error),
                Err(error) => tracing::warn!(%error, "what was compared stays"),
            }
        }
    }
    Ok(())
}
