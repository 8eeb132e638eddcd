//! Comparing a build that has come to the end with the one that is shown, before it takes its place: at one position, where both are
//! whole. What differs is noted for people, and keeps nothing from going on: a fold that was mended is to differ.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use sqlx::{Connection as _, PgConnection, Row as _, types::Json};

use super::{
    batch::Place,
    catching_up,
    checkpoint::{self, Checkpoints},
    session::{Session, in_time},
    stop::Stop,
};
use crate::verifying::{Comparison, compare, shown};

/// The most differences that are noted; all are counted.
const TOLD_MAX: usize = 100;
/// For how long it is tried to be where the shown build is.
const MEETING_TIME: Duration = Duration::from_secs(30);
const MEETING_REST: Duration = Duration::from_millis(50);

/// Compares, where that was not done yet, and notes what was found. False when it was told to stop.
pub(super) async fn with_shown(session: &Session) -> Result<bool, Stop> {
    let mut database = session.connect().await?;
    if !is_wanted(session, &mut database).await? {
        return Ok(true);
    }
    let projection = session.build.projection;
    let deadline = Instant::now() + MEETING_TIME;
    let comparison = loop {
        if session.is_stopped() {
            return Ok(false);
        }
        let (shown, mut their_snapshot) = shown(session.connect().await?, projection).await?;
        let own = checkpoint::load(&mut database, session.build).await?;
        let bounds = shared(&own, &shown.bounds);
        if own.iter().all(|(place, at)| bounds.get(place).is_none_or(|bound| at.next <= *bound)) {
            if !catching_up::until(session, bounds.clone(), |_| {}).await? {
                return Ok(false);
            }
            let mut snapshot = session.connect().await?;
            sqlx::query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").execute(&mut snapshot).await?;
            let own = checkpoint::load(&mut snapshot, session.build).await?;
            // Another projector may be at it, too, and have gone on.
            if bounds.iter().all(|(place, bound)| own.get(place).is_some_and(|at| at.next == *bound)) {
                let schemas = [session.build, shown.build].map(|build| build.schema(session.namespace()));
                let found = compare::builds(&mut snapshot, &mut their_snapshot, &schemas, TOLD_MAX).await?;
                break Comparison { with: shown.build.version, found: Some(found) };
            }
        }
        if Instant::now() >= deadline {
            break Comparison { with: shown.build.version, found: None };
        }
        // Nothing of a snapshot is kept over the rest.
        let _ = their_snapshot.close().await;
        tokio::time::sleep(MEETING_REST).await;
    };
    tracing::info!(build = %session.build, "compared with build {}: {comparison}", comparison.with);
    in_time(note(session, &mut database, &comparison)).await?;
    Ok(true)
}

/// Only one that nobody has seen yet is compared.
async fn is_wanted(session: &Session, database: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let row = sqlx::query(
        "SELECT NOT current AND shown_until IS NULL AND comparison IS NULL AS is_wanted FROM projections
         WHERE projection = $1 AND version = $2",
    );
    let row = row.bind(session.build.projection.name()).bind(session.build.version);
    row.fetch_optional(database).await?.map_or(Ok(false), |row| row.try_get("is_wanted"))
}

/// How far the other is, of what both are folded from.
fn shared(own: &Checkpoints, other: &BTreeMap<Place, i64>) -> BTreeMap<Place, i64> {
    own.keys().filter_map(|place| Some((*place, *other.get(place)?))).collect()
}

async fn note(
    session: &Session,
    database: &mut PgConnection,
    comparison: &Comparison,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE projections SET comparison = $3 WHERE projection = $1 AND version = $2")
        .bind(session.build.projection.name())
        .bind(session.build.version)
        .bind(Json(comparison))
        .execute(database)
        .await
        .map(drop)
}
