//! The past: read models as they were, as SQL, beside those that are shown and without disturbing them.
//!
//! A moment is an offset in each partition ([`moment`]); a build of its own is folded exactly so far ([`keep`]), and kept for whoever
//! asks about that time again. What was folded for a moment before is copied, and folded on from there.

mod keep;
mod moment;

use std::collections::BTreeMap;

use factfold_schemas::{kafka::Cluster, position::Position, topics::Topic};
use sqlx::PgConnection;
use tokio::sync::watch;

use self::keep::Keeper;
pub(crate) use self::keep::tidy;
pub use self::moment::{At, InvalidAt};
use crate::{
    Error, Projection,
    catalogue::Catalogue,
    log_reader::{Log, LogError},
};

/// Read models as they were.
#[derive(Debug)]
pub struct Past {
    /// Up to where: the next offset of each partition that was asked about.
    pub positions: Vec<Position>,
    /// The schemas of their tables, for a search path.
    pub schemas: Vec<String>,
    /// While it is open, nobody throws them away.
    _in_use: PgConnection,
}

/// Why the past cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// There is no such moment in this log.
    #[error(transparent)]
    Moment(#[from] LogError),
    /// The command has left no trace yet.
    #[error("{0} has left no trace: was it decided, and are its events still there?")]
    NoTrace(Position),
    /// Kafka or Postgres cannot be asked, or the log contradicts itself.
    #[error(transparent)]
    Projection(#[from] Error),
}

impl From<sqlx::Error> for PastError {
    fn from(error: sqlx::Error) -> Self {
        Self::Projection(error.into())
    }
}

/// These read models, as they were at this moment. `each` hears of every batch that is folded how many records it had. `None` when it
/// was told to stop: when nobody holds the other end of `stopped` any more.
pub async fn past(
    cluster: &Cluster,
    database_url: &str,
    projections: &[Projection],
    at: &At,
    stopped: watch::Receiver<()>,
    each: impl Fn(usize) + Clone + Send + Sync + 'static,
) -> Result<Option<Past>, PastError> {
    let moment = {
        let (cluster, projections, at) = (cluster.clone(), projections.to_vec(), at.clone());
        let find = move || moment::find(&Log::open_for_many(&cluster, |_| {})?, &projections, &at);
        tokio::task::spawn_blocking(find).await.map_err(Error::from)??
    };
    let mut in_use = keep::connect(cluster, database_url).await?;
    let mut schemas = Vec::with_capacity(projections.len());
    for projection in projections {
        let of = |(topic, _): &(Topic, i32)| projection.topics().contains(topic);
        let bounds: BTreeMap<_, _> =
            moment.iter().filter(|(place, _)| of(place)).map(|(place, next)| (*place, *next)).collect();
        let kept = Keeper { cluster, database_url, projection: *projection, in_use: &mut in_use };
        let Some(build) = kept.build(bounds, stopped.clone(), each.clone()).await? else { return Ok(None) };
        schemas.push(build.schema(&cluster.namespace));
    }
    tidy(&mut Catalogue::open(cluster, database_url).await?).await?;
    let positions = moment.into_iter();
    let positions =
        positions.map(|((topic, partition), next)| Position::new(topic, partition, next)).collect();
    Ok(Some(Past { positions, schemas, _in_use: in_use }))
}
