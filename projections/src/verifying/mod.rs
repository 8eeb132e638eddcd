//! Verifying: a read model is folded again, beside the one that is shown and while that goes on, and compared with it at one
//! position, row by row and column by column.
//!
//! The position is where the shown build is in one snapshot of Postgres: rows and checkpoints move in one transaction, so the
//! snapshot has exactly the rows of its checkpoints. The other build is folded exactly as far. It must never write to what is
//! shown.

mod compare;

use std::collections::BTreeMap;

use factfold_schemas::{kafka::Cluster, topics::Topic};
use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::sync::watch;

pub use self::compare::Difference;
use crate::{
    Build, Error, Projection,
    catalogue::{BuildError, Catalogue, OF_NOBODY},
    postgres::required,
    projector::session::Session,
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
    /// How many rows were compared.
    pub rows: u64,
    /// How many differ.
    pub different: u64,
    /// The first of those.
    pub differences: Vec<Difference>,
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
    each: impl FnMut(usize),
) -> Result<Option<Verified>, Error> {
    let mut catalogue = Catalogue::open(cluster, database_url).await?;
    // Two at once would clear each other away.
    catalogue.wait_to_verify(projection).await?;
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
    mut each: impl FnMut(usize),
) -> Result<Option<Verified>, Error> {
    let projection = own.projection;
    let session = Session::new(own, cluster, database_url, stopped)?;
    let stop = |stop: crate::projector::Stop| stop.into_error(projection);
    // Nearly all of it without a snapshot: one that lives for long keeps Postgres from clearing up.
    let (nearly, _) = shown(cluster, database_url, projection).await?;
    if !session.fold_until(nearly.bounds, &mut each).await.map_err(stop)? {
        return Ok(None);
    }
    let (shown, mut snapshot) = shown(cluster, database_url, projection).await?;
    if !session.fold_until(shown.bounds.clone(), &mut each).await.map_err(stop)? {
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
        rows: found.rows,
        different: found.different,
        differences: found.differences,
    }))
}

/// The build that is shown, and where it is.
struct Shown {
    build: Build,
    bounds: BTreeMap<(Topic, i32), i64>,
}

/// What is shown, and a connection that sees it as it is now, for as long as it is open.
async fn shown(
    cluster: &Cluster,
    database_url: &str,
    projection: Projection,
) -> Result<(Shown, PgConnection), Error> {
    let options = crate::postgres::connect_options(database_url, &cluster.namespace)?;
    let mut connection = PgConnection::connect_with(&options).await?;
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
