//! The catalogue of builds: which there are, which one people see, and how another takes its place.
//!
//! The switch is one transaction. It holds the current build where it is (its checkpoints are locked, so its projector waits)
//! until the next has come at least as far, and then points the views there: no reader sees less than before, and none fails.

use std::time::Duration;

use factfold_schemas::{
    kafka::Cluster,
    topics::{Namespace, Topic},
};
use jiff::Timestamp;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, postgres::PgRow, raw_sql, types::Json};
use tokio::time::Instant;

use crate::{
    Build, Error, Projection,
    moved::channel,
    postgres::{Time, connect_options, end},
    projector::checkpoint,
    verifying::Comparison,
};

/// For how long the current build may be held up.
const HOLD_TIME: Duration = Duration::from_secs(2);
/// How often to look meanwhile whether the next has come as far.
const LOOK_REST: Duration = Duration::from_millis(10);

/// How often a switch steps aside for long questions.
const SWITCH_TRIES: u32 = 20;

/// The fold of builds that no projector goes on with: they are made to be compared.
pub const OF_NOBODY: i32 = 0;

/// The fold of builds that were folded up to one moment, and stay there: below that of nobody, and another for each fold of the code,
/// since what another fold made of that moment is no answer.
pub(crate) fn of_the_past(projection: Projection) -> i32 {
    -projection.fold()
}

/// A build, as the catalogue has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Which.
    pub build: Build,
    /// Which fold it has.
    pub fold: i32,
    /// Whether the views show it.
    pub current: bool,
    /// Whether projectors leave it alone.
    pub paused: bool,
    /// Whether it is shown as soon as it has caught up.
    pub goes_live: bool,
    /// Whether its tables have their indexes.
    pub indexed: bool,
    /// When it first came to the end of the log.
    pub caught_up_at: Option<Timestamp>,
    /// Until when it was shown.
    pub shown_until: Option<Timestamp>,
    /// How it differed from what was shown, when it had caught up.
    pub comparison: Option<Comparison>,
    /// Why it does not go on.
    pub failure: Option<String>,
}

/// Why a build cannot be what it was asked to be.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// There is none of this number.
    #[error("there is no build {0}: `factfold projections list` shows those that are there")]
    NoBuild(Build),
    /// There is none that was shown before.
    #[error("{0} has no build that was shown before: there is no way back")]
    NoWayBack(Projection),
    /// It is what people see.
    #[error("{0} is what people see: switch to another build first")]
    IsCurrent(Build),
    /// It is not as far as the one that is shown, and did not come so far in time.
    #[error(
        "{0} has not come as far as the build that is shown: is a projector at work on it, and is it not paused?"
    )]
    Behind(Build),
    /// Questions to what is shown take too long.
    #[error(
        "{0} is being asked all the time, by questions that take long: try it again when they are answered"
    )]
    Busy(Projection),
    /// Postgres cannot be asked.
    #[error(transparent)]
    Database(#[from] Error),
}

impl From<sqlx::Error> for BuildError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// The catalogue of one namespace, over a connection of its own.
#[derive(Debug)]
pub struct Catalogue {
    connection: PgConnection,
    namespace: Namespace,
}

impl Catalogue {
    /// Connects.
    pub async fn open(cluster: &Cluster, database_url: &str) -> Result<Self, Error> {
        let options = connect_options(database_url, &cluster.namespace)?;
        let connection = PgConnection::connect_with(&options).await?;
        Ok(Self { connection, namespace: cluster.namespace.clone() })
    }

    /// All builds, the oldest first.
    pub async fn builds(&mut self) -> Result<Vec<Entry>, Error> {
        Ok(entries(&mut self.connection).await?)
    }

    /// How far a build has come: the next offset of each partition.
    pub async fn progress(&mut self, build: Build) -> Result<Vec<(Topic, i32, i64)>, Error> {
        let checkpoints = checkpoint::load(&mut self.connection, build).await?;
        Ok(checkpoints.into_iter().map(|((topic, partition), at)| (topic, partition, at.next)).collect())
    }

    /// Builds a read model anew: see [`rebuild`].
    pub async fn rebuild(&mut self, projection: Projection) -> Result<Build, Error> {
        Ok(rebuild(&mut self.connection, &self.namespace, projection).await?)
    }

    /// Makes a build that nobody sees and no projector goes on with.
    pub(crate) async fn make_unseen(&mut self, projection: Projection) -> Result<Build, Error> {
        self.make(projection, OF_NOBODY).await
    }

    /// Makes a build for one moment.
    pub(crate) async fn make_of_the_past(&mut self, projection: Projection) -> Result<Build, Error> {
        self.make(projection, of_the_past(projection)).await
    }

    async fn make(&mut self, projection: Projection, fold: i32) -> Result<Build, Error> {
        let mut transaction = self.connection.begin().await?;
        lock(&mut transaction).await?;
        let build = make(&mut transaction, projection, fold, &self.namespace).await?;
        Ok(transaction.commit().await.map(|()| build)?)
    }

    /// Waits until nobody else in this namespace does what has this name; the turn is given back when this is dropped.
    pub(crate) async fn wait_for_turn(&mut self, name: &str) -> Result<(), Error> {
        sqlx::query("SELECT pg_advisory_lock(hashtextextended($1 || ': ' || $2, 0))")
            .bind(self.namespace.schema())
            .bind(name)
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    /// The builds of the past that were not used for so many hours, and the longest unused of those that are more than so many
    /// bytes together.
    pub(crate) async fn unused_past(&mut self, hours: i32, bytes_max: i64) -> Result<Vec<Build>, Error> {
        let rows = sqlx::query(
            "SELECT projection, version FROM (
                 SELECT projection, version, used_at, row_number() OVER latest AS place, sum(bytes) OVER latest AS bytes
                 FROM projections, LATERAL (
                     SELECT COALESCE(sum(pg_total_relation_size(c.oid)), 0) AS bytes
                     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                     WHERE c.relkind = 'r' AND n.nspname = current_schema() || '_' || projection || '_' || version
                 ) AS size
                 WHERE fold < $1
                 WINDOW latest AS (ORDER BY used_at DESC, version DESC ROWS UNBOUNDED PRECEDING)
             ) AS past
             WHERE used_at < now() - make_interval(hours => $2) OR (place > 1 AND bytes > $3)",
        );
        let rows = rows.bind(OF_NOBODY).bind(hours).bind(bytes_max).fetch_all(&mut self.connection).await?;
        Ok(rows.iter().filter_map(|row| Build::of(row).transpose()).collect::<Result<_, _>>()?)
    }

    /// Throws a build of the past away, unless somebody looks at it.
    pub(crate) async fn drop_unless_used(&mut self, build: Build) -> Result<bool, BuildError> {
        let schema = build.schema(&self.namespace);
        let is_free: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended($1, 0))")
            .bind(&schema)
            .fetch_one(&mut self.connection)
            .await?;
        if is_free {
            let dropped = self.drop_build(build).await;
            sqlx::query("SELECT pg_advisory_unlock(hashtextextended($1, 0))")
                .bind(&schema)
                .execute(&mut self.connection)
                .await?;
            dropped?;
        }
        Ok(is_free)
    }

    /// Leaves a build alone, or no more.
    pub async fn pause(&mut self, build: Build, paused: bool) -> Result<(), BuildError> {
        let entry = self.find(build).await?;
        if entry.current && paused {
            return Err(BuildError::IsCurrent(build));
        }
        self.set("paused", build, paused).await
    }

    /// Whether a build is shown as soon as it has caught up.
    pub async fn goes_live(&mut self, build: Build, goes_live: bool) -> Result<(), BuildError> {
        self.find(build).await?;
        self.set("goes_live", build, goes_live).await
    }

    /// Throws a build away that nobody sees.
    pub async fn drop_build(&mut self, build: Build) -> Result<(), BuildError> {
        let mut transaction = self.connection.begin().await?;
        let dropped = drop_unseen(&mut transaction, build, &self.namespace).await;
        end(transaction, dropped).await
    }

    /// The build that was shown before the current one.
    pub async fn previous(&mut self, projection: Projection) -> Result<Build, BuildError> {
        let entries = self.builds().await?;
        let before = entries.iter().filter(|entry| entry.build.projection == projection && !entry.current);
        let before = before.filter(|entry| entry.shown_until.is_some()).max_by_key(|entry| entry.shown_until);
        Ok(before.ok_or(BuildError::NoWayBack(projection))?.build)
    }

    /// Shows this build instead of the current one, which is held where it is until this one has come as far.
    pub async fn switch(&mut self, build: Build) -> Result<(), BuildError> {
        for _ in 0..SWITCH_TRIES {
            match self.try_to_switch(build).await {
                Err(BuildError::Database(error)) if is_busy(&error) => tokio::time::sleep(LOOK_REST).await,
                switched => return switched,
            }
        }
        Err(BuildError::Busy(build.projection))
    }

    async fn try_to_switch(&mut self, build: Build) -> Result<(), BuildError> {
        let mut transaction = self.connection.begin().await?;
        let switched = show_instead(&mut transaction, build, &self.namespace).await;
        end(transaction, switched).await
    }

    async fn find(&mut self, build: Build) -> Result<Entry, BuildError> {
        let entries = self.builds().await?;
        entries.into_iter().find(|entry| entry.build == build).ok_or(BuildError::NoBuild(build))
    }

    async fn set(&mut self, column: &'static str, build: Build, value: bool) -> Result<(), BuildError> {
        let update = format!("UPDATE projections SET {column} = $3 WHERE projection = $1 AND version = $2");
        sqlx::query(AssertSqlSafe(update))
            .bind(build.projection.name())
            .bind(build.version)
            .bind(value)
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }
}

/// Whether a lock was not to be had in time, or somebody else waited for ours.
fn is_busy(error: &Error) -> bool {
    let Error::Database(error) = error else { return false };
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("55P03" | "40P01"))
}

/// Makes the tables of a new build of this read model, with the fold of this code. It is shown once it has caught up. Where one
/// is under way already, that is the one: who asks twice gets no second.
pub(crate) async fn rebuild(
    connection: &mut PgConnection,
    namespace: &Namespace,
    projection: Projection,
) -> Result<Build, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    lock(&mut transaction).await?;
    let entries = entries(&mut transaction).await?;
    let is_under_way = |entry: &&Entry| {
        let is_such = entry.build.projection == projection && entry.fold == projection.fold();
        is_such && entry.goes_live && !entry.current && !entry.paused && entry.failure.is_none()
    };
    let build = match entries.iter().find(is_under_way) {
        Some(under_way) => under_way.build,
        None => make(&mut transaction, projection, projection.fold(), namespace).await?,
    };
    transaction.commit().await?;
    Ok(build)
}

/// One changes the catalogue at a time; the transaction's end gives it free.
pub(crate) async fn lock(transaction: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("LOCK TABLE build_numbers IN SHARE ROW EXCLUSIVE MODE").execute(transaction).await.map(drop)
}

pub(crate) async fn entries(connection: &mut PgConnection) -> Result<Vec<Entry>, sqlx::Error> {
    let rows = sqlx::query("SELECT * FROM projections ORDER BY projection, version");
    rows.fetch_all(connection).await?.iter().filter_map(|row| entry(row).transpose()).collect()
}

fn entry(row: &PgRow) -> Result<Option<Entry>, sqlx::Error> {
    let Some(build) = Build::of(row)? else { return Ok(None) };
    Ok(Some(Entry {
        build,
        fold: row.try_get("fold")?,
        current: row.try_get("current")?,
        paused: row.try_get("paused")?,
        goes_live: row.try_get("goes_live")?,
        indexed: row.try_get("indexed")?,
        caught_up_at: row.try_get::<Option<Time>, _>("caught_up_at")?.map(|time| time.0),
        shown_until: row.try_get::<Option<Time>, _>("shown_until")?.map(|time| time.0),
        comparison: row.try_get::<Option<Json<_>>, _>("comparison")?.map(|comparison| comparison.0),
        failure: row.try_get("failure")?,
    }))
}

/// Makes the tables of a new build with this fold; the search path is the catalogue's, before and after.
pub(crate) async fn make(
    transaction: &mut PgConnection,
    projection: Projection,
    fold: i32,
    namespace: &Namespace,
) -> Result<Build, sqlx::Error> {
    let version = sqlx::query_scalar(
        "INSERT INTO build_numbers VALUES ($1, 1)
         ON CONFLICT (projection) DO UPDATE SET last = build_numbers.last + 1 RETURNING last",
    );
    let version = version.bind(projection.name()).fetch_one(&mut *transaction).await?;
    let build = Build { projection, version };
    let (catalogue, schema) = (namespace.schema(), build.schema(namespace));
    sqlx::query("INSERT INTO projections (projection, version, fold, goes_live) VALUES ($1, $2, $3, $4)")
        .bind(projection.name())
        .bind(version)
        .bind(fold)
        .bind(fold > OF_NOBODY)
        .execute(&mut *transaction)
        .await?;
    let own = format!("CREATE SCHEMA {schema}; SET LOCAL search_path TO {schema}");
    raw_sql(AssertSqlSafe(own)).execute(&mut *transaction).await?;
    raw_sql(projection.tables()).execute(&mut *transaction).await?;
    let back = format!("SET LOCAL search_path TO {catalogue}");
    raw_sql(AssertSqlSafe(back)).execute(&mut *transaction).await?;
    let is_first =
        !entries(&mut *transaction).await?.iter().any(|e| e.build.projection == projection && e.current);
    if is_first {
        show(transaction, build, &schema).await?;
    }
    Ok(build)
}

/// Drops a build with its tables, unless it is what people see.
async fn drop_unseen(
    transaction: &mut PgConnection,
    build: Build,
    namespace: &Namespace,
) -> Result<(), BuildError> {
    lock(transaction).await?;
    let entries = entries(transaction).await?;
    let entry = entries.iter().find(|entry| entry.build == build).ok_or(BuildError::NoBuild(build))?;
    if entry.current {
        return Err(BuildError::IsCurrent(build));
    }
    // The checkpoints go with it, so that a projector which is just at it writes nothing more.
    sqlx::query("DELETE FROM projections WHERE projection = $1 AND version = $2")
        .bind(build.projection.name())
        .bind(build.version)
        .execute(&mut *transaction)
        .await?;
    // What goes with it is no news.
    let schema = build.schema(namespace);
    let quietly = format!("SET LOCAL client_min_messages TO warning; DROP SCHEMA IF EXISTS {schema} CASCADE");
    Ok(raw_sql(AssertSqlSafe(quietly)).execute(transaction).await.map(drop)?)
}

/// Shows a build instead of the current one, once it has come as far.
async fn show_instead(
    transaction: &mut PgConnection,
    build: Build,
    namespace: &Namespace,
) -> Result<(), BuildError> {
    lock(transaction).await?;
    let entries = entries(transaction).await?;
    // One that no projector goes on with would grow old before its readers.
    let entry = entries.iter().find(|entry| entry.build == build && entry.fold > OF_NOBODY);
    if entry.ok_or(BuildError::NoBuild(build))?.current {
        return Ok(());
    }
    let current = entries.iter().find(|entry| entry.build.projection == build.projection && entry.current);
    if let Some(current) = current {
        hold(transaction, current.build).await?;
        let deadline = Instant::now() + HOLD_TIME;
        while is_behind(transaction, build, current.build).await? {
            if Instant::now() >= deadline {
                return Err(BuildError::Behind(build));
            }
            tokio::time::sleep(LOOK_REST).await;
        }
    }
    // Whoever reads must never be who gives way: Postgres looks for somebody to blame after a second.
    sqlx::query("SET LOCAL lock_timeout = '300ms'").execute(&mut *transaction).await?;
    show(transaction, build, &build.schema(namespace)).await?;
    // Nobody can read this as progress, so everybody looks at the checkpoints, and at which build is shown.
    let notify = sqlx::query("SELECT pg_notify($1, 'switched')").bind(channel(namespace));
    Ok(notify.execute(transaction).await.map(drop)?)
}

/// Points the views at this build.
async fn show(transaction: &mut PgConnection, build: Build, schema: &str) -> Result<(), sqlx::Error> {
    for statement in [
        "UPDATE projections SET current = FALSE, shown_until = now() WHERE projection = $1 AND version <> $2 AND current",
        "UPDATE projections SET current = TRUE, goes_live = FALSE, paused = FALSE WHERE projection = $1 AND version = $2",
    ] {
        sqlx::query(statement)
            .bind(build.projection.name())
            .bind(build.version)
            .execute(&mut *transaction)
            .await?;
    }
    sqlx::query("SELECT publish($1)").bind(schema).execute(transaction).await.map(drop)
}

/// Keeps the checkpoints of a build where they are until the transaction ends.
async fn hold(transaction: &mut PgConnection, build: Build) -> Result<(), sqlx::Error> {
    sqlx::query(
        "SELECT FROM checkpoints WHERE projection = $1 AND version = $2 ORDER BY topic, partition FOR UPDATE",
    )
    .bind(build.projection.name())
    .bind(build.version)
    .execute(transaction)
    .await
    .map(drop)
}

/// Whether a build has folded less than another, of anything that both are folded from.
async fn is_behind(transaction: &mut PgConnection, build: Build, other: Build) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "WITH own AS (SELECT * FROM checkpoints WHERE projection = $1 AND version = $2),
              other AS (SELECT * FROM checkpoints WHERE projection = $1 AND version = $3)
         SELECT NOT EXISTS (SELECT FROM own) OR EXISTS (
             SELECT FROM other LEFT JOIN own USING (topic, partition)
             WHERE topic IN (SELECT topic FROM own)
                 AND (own.next_offset IS NULL OR own.next_offset < other.next_offset)
         )",
    )
    .bind(build.projection.name())
    .bind(build.version)
    .bind(other.version)
    .fetch_one(transaction)
    .await
}
