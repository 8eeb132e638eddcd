//! Folding events into the resources that people see, through the pure deciders.

use std::collections::{BTreeMap, HashMap, HashSet};

use factfold_consumers::decider::{Decider, Entry};
use factfold_schemas::{ids::StreamId, record::Recorded};
use serde_json::Value;

use crate::history::ServiceLog;

/// The aggregates of a service as people see them.
pub struct Folded {
    /// Each as it is after its last event.
    pub last: BTreeMap<StreamId, Value>,
    /// Those that were wanted at a version.
    pub at: HashMap<(StreamId, u64), Value>,
}

/// Folds all events of a service; keeps what is wanted of the past.
pub fn fold<D: Decider>(log: &ServiceLog<D>, wanted: &HashSet<(StreamId, u64)>) -> Folded {
    let mut entries = HashMap::new();
    let mut folded = Folded { last: BTreeMap::new(), at: HashMap::new() };
    let mut streams = HashMap::new();
    for event in &log.events {
        let event = &event.record;
        let Some(id) = D::aggregate(event.stream.as_str()) else { continue };
        evolve::<D>(&mut entries, id, event);
        let place = (event.stream.clone(), event.version);
        if let Some(entry) = entries.get(&id).filter(|_| wanted.contains(&place)) {
            folded.at.insert(place, D::resource(id, entry));
        }
        streams.insert(id, event.stream.clone());
    }
    for (id, entry) in &entries {
        folded.last.insert(streams[id].clone(), D::resource(*id, entry));
    }
    folded
}

/// One event. It never refuses: what does not fit is found by other checks.
pub fn evolve<D: Decider>(
    entries: &mut HashMap<D::Id, Entry<D::State>>,
    id: D::Id,
    event: &Recorded<D::Event>,
) {
    let time = event.cause.time;
    let (created_at, state) = match entries.remove(&id) {
        Some(entry) => (entry.created_at, Some(entry.state)),
        None => (time, None),
    };
    if let Some(state) = D::evolve(state, &event.data) {
        entries.insert(id, Entry { version: event.version, created_at, updated_at: time, state });
    }
}
