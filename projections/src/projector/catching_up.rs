//! Catching up with a long log: several lanes fold it at once, each with partitions of its own, a connection of its own, and
//! batches that are as large as memory allows. What lies in different partitions has different checkpoints, so nothing needs to be
//! agreed on. What it folds is what a session would fold that follows.

use std::{
    collections::BTreeMap,
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::Connection as _;
use tokio::{
    runtime::Handle,
    task::{JoinError, JoinSet},
};

use super::{
    batch::Place,
    checkpoint::Checkpoints,
    session::{LAG_INTERVAL, Session, in_time},
    source::{Size, Source},
    stop::Stop,
};

/// From how many offsets on it is worth the lanes.
pub(super) const DISTANCE_MIN: i64 = 50_000;

/// Folds up to these offsets and no further; says of each batch how many records it had. False when it was told to stop.
pub(crate) async fn until(
    session: &Session,
    bounds: BTreeMap<Place, i64>,
    each: impl Fn(usize) + Send + Sync + 'static,
) -> Result<bool, Stop> {
    let catching_up = session.pace.catching_up();
    let mut database = session.connect().await?;
    let source = Source::connect(&session.cluster, session.build.projection, Size::FOLLOWING)?;
    let checkpoints = session.resume(&mut database, &source).await?;
    in_time(database.close()).await?;
    drop(source);

    let (each, failed) = (Arc::new(each), Arc::new(AtomicBool::new(false)));
    let mut working = JoinSet::new();
    for (checkpoints, bounds) in shared_out(&checkpoints, &bounds, catching_up.lanes()) {
        let (session, each, failed) = (session.clone(), Arc::clone(&each), Arc::clone(&failed));
        let runtime = Handle::current();
        working.spawn_blocking(move || {
            let ended = runtime.block_on(fold(&session, checkpoints, bounds, &failed, &*each));
            failed.fetch_or(ended.is_err(), Ordering::Relaxed);
            ended
        });
    }
    let mut is_there = Ok(true);
    while let Some(ended) = working.join_next().await {
        let ended = match ended.map_err(JoinError::try_into_panic) {
            Ok(ended) => ended,
            Err(Ok(panic)) => resume_unwind(panic),
            // The whole process ends.
            Err(Err(_)) => Ok(false),
        };
        is_there = is_there.and_then(|is_there| Ok(ended? && is_there));
    }
    is_there
}

/// The partitions of each lane: as much for one as for another.
fn shared_out(
    checkpoints: &Checkpoints,
    bounds: &BTreeMap<Place, i64>,
    lanes: usize,
) -> Vec<(Checkpoints, BTreeMap<Place, i64>)> {
    let distance = |(place, bound): (&Place, &i64)| {
        let checkpoint = checkpoints.get(place)?;
        Some((bound - checkpoint.next, *place, *checkpoint)).filter(|(distance, ..)| *distance > 0)
    };
    let mut wanted: Vec<_> = bounds.iter().filter_map(distance).collect();
    wanted.sort_unstable_by_key(|(distance, place, _)| (-distance, *place));
    let whole: i64 = wanted.iter().map(|(distance, ..)| distance).sum();
    let lanes = if whole > DISTANCE_MIN { lanes } else { 1 };
    let mut shares = vec![(0, Checkpoints::new(), BTreeMap::new()); lanes];
    for (distance, place, checkpoint) in wanted {
        let least = shares.iter_mut().min_by_key(|(sum, ..)| *sum).expect("there is a lane");
        least.0 += distance;
        least.1.insert(place, checkpoint);
        least.2.insert(place, bounds[&place]);
    }
    shares.retain(|(sum, ..)| *sum > 0);
    shares.into_iter().map(|(_, checkpoints, bounds)| (checkpoints, bounds)).collect()
}

/// One lane.
async fn fold(
    session: &Session,
    checkpoints: Checkpoints,
    bounds: BTreeMap<Place, i64>,
    failed: &AtomicBool,
    each: &impl Fn(usize),
) -> Result<bool, Stop> {
    let mut database = session.connect().await?;
    let ahead = session.pace.ahead();
    let size = Size::catching_up(ahead.kbytes());
    let mut source = Source::connect(&session.cluster, session.build.projection, size)?;
    source.start(checkpoints)?;
    source.limit(bounds);
    let (mut took, mut measured) = (Duration::ZERO, Instant::now());
    while !source.is_at_bounds() {
        if session.is_stopped() || failed.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let turn = session.pace.turn(took).await;
        let begun = Instant::now();
        let batch = source.gather()?;
        if !batch.moves.is_empty() {
            in_time(session.commit(&mut database, &batch)).await?;
            source.committed(&batch);
            each(batch.entries.len());
        }
        drop(turn);
        took = begun.elapsed();
        if measured.elapsed() >= LAG_INTERVAL {
            session.report_lag(&source)?;
            measured = Instant::now();
        }
    }
    in_time(database.close()).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use factfold_schemas::topics::Service;

    use super::*;
    use crate::projector::batch::Checkpoint;

    #[test]
    fn the_work_is_shared_out() {
        let place = |partition| (Service::Orders.events(), partition);
        let checkpoints: Checkpoints =
            (0..4).map(|partition| (place(partition), Checkpoint { next: 10, decided: None })).collect();
        let bounds: BTreeMap<_, _> =
            [(place(0), 10), (place(1), 90_010), (place(2), 60_010), (place(3), 40_010)].into();
        let shares = shared_out(&checkpoints, &bounds, 2);
        let partitions: Vec<Vec<i32>> = shares
            .iter()
            .map(|(_, bounds)| bounds.keys().map(|(_, partition)| *partition).collect())
            .collect();
        assert_eq!(partitions, [vec![1], vec![2, 3]]);
        let near = [(place(1), 11), (place(2), 12)].into();
        assert_eq!(shared_out(&checkpoints, &near, 2).len(), 1);
        assert_eq!(shared_out(&checkpoints, &[(place(0), 10)].into(), 2), []);
    }
}
