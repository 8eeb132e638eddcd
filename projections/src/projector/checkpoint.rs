//! How far a read model has come, kept beside its rows and moved in the transaction that writes them.

use std::collections::BTreeMap;

use factfold_schemas::topics::{Namespace, Topic};
use sqlx::{PgConnection, Row};

use super::{
    batch::{Batch, Checkpoint, Place},
    stop::Stop,
};
use crate::{
    Build,
    moved::{Moved, channel},
};

/// The checkpoints of a read model.
pub(crate) type Checkpoints = BTreeMap<Place, Checkpoint>;

/// Reads the checkpoints.
pub(crate) async fn load(connection: &mut PgConnection, build: Build) -> Result<Checkpoints, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT topic, partition, next_offset, decided_offset FROM checkpoints WHERE projection = $1 AND version = $2",
    )
    .bind(build.projection.name())
    .bind(build.version)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let topic: Topic = crate::postgres::required(row, "topic")?;
            let checkpoint =
                Checkpoint { next: row.try_get("next_offset")?, decided: row.try_get("decided_offset")? };
            Ok(((topic, row.try_get("partition")?), checkpoint))
        })
        .collect()
}

/// Makes checkpoints for partitions that have none: nothing is folded below these offsets.
pub(super) async fn create(
    connection: &mut PgConnection,
    build: Build,
    starts: &[(Place, i64)],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO checkpoints (projection, version, topic, partition, next_offset)
         SELECT $1, $2, s.* FROM UNNEST($3::TEXT[], $4::INTEGER[], $5::BIGINT[]) AS s ON CONFLICT DO NOTHING",
    )
    .bind(build.projection.name())
    .bind(build.version)
    .bind(starts.iter().map(|((topic, _), _)| topic.to_string()).collect::<Vec<_>>())
    .bind(starts.iter().map(|((_, partition), _)| *partition).collect::<Vec<_>>())
    .bind(starts.iter().map(|(_, start)| *start).collect::<Vec<_>>())
    .execute(connection)
    .await
    .map(drop)
}

/// Gives a build that has none the checkpoints of another.
pub(crate) async fn copy(transaction: &mut PgConnection, from: Build, to: Build) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO checkpoints (projection, version, topic, partition, next_offset, decided_offset)
         SELECT projection, $3, topic, partition, next_offset, decided_offset
         FROM checkpoints WHERE projection = $1 AND version = $2",
    )
    .bind(from.projection.name())
    .bind(from.version)
    .bind(to.version)
    .execute(transaction)
    .await
    .map(drop)
}

/// Moves the checkpoints by compare-and-set, and tells those who wait once the transaction commits.
///
/// It comes first in the transaction: rows are locked in one order by everyone, and who is too late has written nothing.
/// (Postgres looks at a row again when it had to wait for its lock, so the comparison is with what is there then.)
pub(super) async fn advance(
    transaction: &mut PgConnection,
    build: Build,
    namespace: &Namespace,
    batch: &Batch,
) -> Result<(), Stop> {
    let reached: Vec<_> = batch
        .moves
        .iter()
        .filter(|(_, (from, to))| from.decided != to.decided)
        .filter_map(|((topic, partition), (_, to))| Some((*topic, *partition, to.decided?)))
        .collect();
    let payload = (!reached.is_empty()).then(|| Moved::new(build, reached.into_iter()).payload());
    let moved: i64 = sqlx::query_scalar(
        "WITH wanted AS (
             SELECT * FROM UNNEST($3::TEXT[], $4::INTEGER[], $5::BIGINT[], $6::BIGINT[], $7::BIGINT[])
                 AS w (topic, partition, expected, next_offset, decided_offset)
         ), locked AS (
             SELECT c.topic, c.partition, w.next_offset, w.decided_offset
             FROM checkpoints c JOIN wanted w USING (topic, partition)
             WHERE c.projection = $1 AND c.version = $2 AND c.next_offset = w.expected
             ORDER BY c.topic, c.partition
             FOR NO KEY UPDATE OF c
         ), moved AS (
             UPDATE checkpoints c
             SET next_offset = l.next_offset, decided_offset = GREATEST(c.decided_offset, l.decided_offset),
                 updated_at = now()
             FROM locked l
             WHERE c.projection = $1 AND c.version = $2 AND c.topic = l.topic AND c.partition = l.partition
             RETURNING 1
         )
         SELECT count(*), CASE WHEN $9::TEXT IS NOT NULL THEN pg_notify($8, $9)::TEXT END FROM moved",
    )
    .bind(build.projection.name())
    .bind(build.version)
    .bind(batch.moves.keys().map(|(topic, _)| topic.to_string()).collect::<Vec<_>>())
    .bind(batch.moves.keys().map(|(_, partition)| *partition).collect::<Vec<_>>())
    .bind(batch.moves.values().map(|(from, _)| from.next).collect::<Vec<_>>())
    .bind(batch.moves.values().map(|(_, to)| to.next).collect::<Vec<_>>())
    .bind(batch.moves.values().map(|(_, to)| to.decided).collect::<Vec<_>>())
    .bind(channel(namespace))
    .bind(payload)
    .fetch_one(transaction)
    .await?;
    if moved == batch.moves.len() as i64 { Ok(()) } else { Err(Stop::Overtaken) }
}

/// Checks that the events come from the cluster that was folded before; the first one seen is kept.
pub(super) async fn check_cluster(connection: &mut PgConnection, cluster_id: &str) -> Result<(), Stop> {
    sqlx::query("INSERT INTO source (cluster_id) VALUES ($1) ON CONFLICT DO NOTHING")
        .bind(cluster_id)
        .execute(&mut *connection)
        .await?;
    let known: String = sqlx::query_scalar("SELECT cluster_id FROM source").fetch_one(connection).await?;
    if known == cluster_id {
        return Ok(());
    }
    Err(Stop::LogReplaced(format!(
        "the read models were folded from the Kafka cluster `{known}`, but this is `{cluster_id}`"
    )))
}

/// Notes in the catalogue why a read model stopped, or that it goes on.
pub(super) async fn note_failure(
    connection: &mut PgConnection,
    build: Build,
    failure: Option<&str>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE projections SET failure = $3, failed_at = CASE WHEN $3 IS NOT NULL THEN now() END
         WHERE projection = $1 AND version = $2 AND failure IS DISTINCT FROM $3",
    )
    .bind(build.projection.name())
    .bind(build.version)
    .bind(failure)
    .execute(connection)
    .await
    .map(drop)
}

/// Notes that a build has come to the end of the log.
pub(super) async fn note_caught_up(connection: &mut PgConnection, build: Build) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE projections SET caught_up_at = now()
         WHERE projection = $1 AND version = $2 AND caught_up_at IS NULL",
    )
    .bind(build.projection.name())
    .bind(build.version)
    .execute(connection)
    .await
    .map(drop)
}

/// Notes that the tables of a build have their indexes. False when that is noted already; the transaction keeps others waiting.
pub(super) async fn note_indexed(transaction: &mut PgConnection, build: Build) -> Result<bool, sqlx::Error> {
    let noted = sqlx::query(
        "UPDATE projections SET indexed = TRUE WHERE projection = $1 AND version = $2 AND NOT indexed",
    )
    .bind(build.projection.name())
    .bind(build.version)
    .execute(transaction)
    .await?;
    Ok(noted.rows_affected() > 0)
}
