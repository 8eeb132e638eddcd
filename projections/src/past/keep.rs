//! What was folded for one moment, and is kept for the next question. A build of the past is in the catalogue like any other, with a
//! fold that no projector goes on with; its checkpoints say which moment it is.

use std::{collections::BTreeMap, sync::Arc};

use factfold_schemas::{
    kafka::Cluster,
    topics::{Namespace, Topic},
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, raw_sql};
use tokio::sync::watch;

use crate::{
    Build, Error, Projection,
    catalogue::{BuildError, Catalogue, of_the_past},
    postgres::connect_options,
    projector::{catching_up, checkpoint, pace::Pace, session::Session},
};

type Bounds = BTreeMap<(Topic, i32), i64>;

/// For how long nobody may ask before it goes.
const UNUSED_HOURS: i32 = 24;
/// How much of the past is kept at most, in bytes, but for what was asked for last.
const BYTES_MAX: i64 = 2 * 1024 * 1024 * 1024;

pub(super) async fn connect(cluster: &Cluster, database_url: &str) -> Result<PgConnection, Error> {
    let options = connect_options(database_url, &cluster.namespace)?;
    Ok(PgConnection::connect_with(&options).await?)
}

/// Finds builds of the past, and makes those that are missing.
pub(super) struct Keeper<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) database_url: &'a str,
    pub(super) projection: Projection,
    /// What keeps a build from going, while it is open.
    pub(super) in_use: &'a mut PgConnection,
}

impl Keeper<'_> {
    /// The build of this moment: one that is there, or a new one. `None` when it was told to stop.
    pub(super) async fn build(
        self,
        bounds: Bounds,
        stopped: watch::Receiver<()>,
        each: impl Fn(usize) + Clone + Send + Sync + 'static,
    ) -> Result<Option<Build>, Error> {
        let mut catalogue = Catalogue::open(self.cluster, self.database_url).await?;
        // One makes them at a time: the next finds what it made.
        catalogue.wait_for_turn(&format!("the past of {}", self.projection)).await?;
        let build = match self.nearest(&mut catalogue, &bounds).await? {
            Some((build, true)) => build,
            nearest => {
                let own = catalogue.make_of_the_past(self.projection).await?;
                let made = self.fold(own, nearest.map(|(build, _)| build), bounds, stopped, each).await;
                if !matches!(made, Ok(true)) {
                    // What stays behind when this fails, too, is of an earlier moment, and goes like all others.
                    let _ = catalogue.drop_build(own).await;
                }
                if !made? {
                    return Ok(None);
                }
                own
            }
        };
        use_it(self.in_use, build, &self.cluster.namespace).await?;
        Ok(Some(build))
    }

    /// The build of this moment, or the latest of those before it; and whether it is of this very moment.
    async fn nearest(
        &self,
        catalogue: &mut Catalogue,
        bounds: &Bounds,
    ) -> Result<Option<(Build, bool)>, Error> {
        let mut nearest: Option<(i64, Build)> = None;
        for entry in catalogue.builds().await? {
            if entry.build.projection != self.projection || entry.fold != of_the_past(self.projection) {
                continue;
            }
            let at = catalogue.progress(entry.build).await?.into_iter();
            let at: Bounds = at.map(|(topic, partition, next)| ((topic, partition), next)).collect();
            if at == *bounds {
                return Ok(Some((entry.build, true)));
            }
            let is_before = at.iter().all(|(place, next)| bounds.get(place).is_some_and(|b| next <= b));
            let distance: i64 = at.values().sum();
            if is_before && nearest.is_none_or(|(nearest, _)| distance > nearest) {
                nearest = Some((distance, entry.build));
            }
        }
        Ok(nearest.map(|(_, build)| (build, false)))
    }

    async fn fold(
        &self,
        own: Build,
        nearest: Option<Build>,
        bounds: Bounds,
        stopped: watch::Receiver<()>,
        each: impl Fn(usize) + Send + Sync + 'static,
    ) -> Result<bool, Error> {
        let Self { cluster, database_url, .. } = *self;
        let mut database = connect(cluster, database_url).await?;
        if let Some(nearest) = nearest {
            copy(&mut database, nearest, own, &cluster.namespace).await?;
        }
        let session = Session::new(own, cluster, database_url, Arc::new(Pace::new()), stopped)?;
        let folded = catching_up::until(&session, bounds, each).await;
        if !folded.map_err(|stop| stop.into_error(self.projection))? {
            return Ok(false);
        }
        let schema = own.schema(&cluster.namespace);
        sqlx::query("SELECT show_to_readers($1)").bind(schema).execute(&mut database).await?;
        Ok(true)
    }
}

/// Begins with the rows of an earlier moment.
async fn copy(
    database: &mut PgConnection,
    from: Build,
    to: Build,
    namespace: &Namespace,
) -> Result<(), Error> {
    let [source, target] = [from, to].map(|build| build.schema(namespace));
    let mut transaction = database.begin().await?;
    for table in to.projection.table_names() {
        let insert = format!("INSERT INTO {target}.{table} SELECT * FROM {source}.{table}");
        raw_sql(AssertSqlSafe(insert)).execute(&mut *transaction).await?;
    }
    checkpoint::copy(&mut transaction, from, to).await?;
    Ok(transaction.commit().await?)
}

/// Keeps it from going while this connection is open, and as what was used last.
async fn use_it(in_use: &mut PgConnection, build: Build, namespace: &Namespace) -> Result<(), Error> {
    sqlx::query("SELECT pg_advisory_lock_shared(hashtextextended($1, 0))")
        .bind(build.schema(namespace))
        .execute(&mut *in_use)
        .await?;
    sqlx::query("UPDATE projections SET used_at = now() WHERE projection = $1 AND version = $2")
        .bind(build.projection.name())
        .bind(build.version)
        .execute(in_use)
        .await?;
    Ok(())
}

/// Throws away what nobody has asked for in a day, and the oldest of what is too much.
pub(crate) async fn tidy(catalogue: &mut Catalogue) -> Result<(), Error> {
    for build in catalogue.unused_past(UNUSED_HOURS, BYTES_MAX).await? {
        match catalogue.drop_unless_used(build).await {
            Ok(_) | Err(BuildError::NoBuild(_)) => {}
            Err(BuildError::Database(error)) => return Err(error),
            Err(error) => tracing::warn!(%error, "what was kept of the past stays"),
        }
    }
    Ok(())
}
