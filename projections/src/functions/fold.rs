//! Functions, folded from their events. The fold is pure: what the functions come to be, and what was deployed on the way.

use std::collections::{BTreeMap, btree_map::Entry};

use factfold_schemas::{
    codec::Named as _,
    functions::{Configuration, Event, Function, FunctionDeployed, FunctionName, REVISIONS_KEPT},
    position::Position,
    record::Recorded,
};
use jiff::Timestamp;
use sqlx::PgConnection;

use super::{query, store};
use crate::{
    error::{Contradiction, Violation},
    projector::Stop,
};

/// What is being folded.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// The functions, with the revisions that people see.
    pub(super) functions: BTreeMap<FunctionName, Function>,
    /// What was deployed meanwhile: rows of which none is there yet, also where a function keeps it no more.
    pub(super) deployed: Vec<Deployed>,
}

/// A revision, and where it belongs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Deployed {
    pub(super) name: FunctionName,
    pub(super) at: Timestamp,
    pub(super) revision: FunctionDeployed,
}

/// Folds these events into the tables.
pub(crate) async fn write<'a>(
    connection: &mut PgConnection,
    events: impl Iterator<Item = (Position, &'a Recorded<Event>)> + Clone,
) -> Result<(), Stop> {
    let names = events.clone().filter_map(|(_, e)| FunctionName::of_stream(e.stream.as_str()));
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names.dedup();
    let functions = query::load(&mut *connection, &names).await?;
    let functions = functions.into_iter().map(|function| (function.name, function)).collect();
    let mut rows = Rows { functions, deployed: Vec::new() };
    for (at, event) in events {
        fold(&mut rows, event).map_err(|contradiction| Violation {
            at,
            stream: Some(event.stream.clone()),
            contradiction,
        })?;
    }
    rows.deployed.sort_unstable_by_key(|deployed| (deployed.name, deployed.revision.revision));
    Ok(store::functions(connection, &rows).await?)
}

fn fold(rows: &mut Rows, event: &Recorded<Event>) -> Result<(), Contradiction> {
    let misfit = |why| Contradiction::Misfit { event: event.data.type_name(), why };
    let name = FunctionName::of_stream(event.stream.as_str())
        .ok_or_else(|| misfit("its stream is not one of a function"))?;
    let version = rows.functions.get(&name).map_or(0, |function| function.version);
    Contradiction::check_version(version, event.version)?;

    let function = match (rows.functions.entry(name), &event.data) {
        (Entry::Occupied(there), _) => there.into_mut(),
        (Entry::Vacant(place), Event::FunctionDeployed(_)) => place.insert(new_function(name, event)),
        (Entry::Vacant(_), _) => return Err(misfit("there is no such function")),
    };
    match &event.data {
        Event::FunctionDeployed(deployed) => {
            let last = function.revisions.last().map_or(0, |last| last.revision);
            if last.checked_add(1) != Some(deployed.revision) {
                return Err(misfit("its revision does not follow the one before"));
            }
            function.revision = Some(deployed.revision);
            function.revisions.push(deployed.clone());
            function.revisions.drain(..function.revisions.len().saturating_sub(REVISIONS_KEPT));
            let revision = deployed.clone();
            rows.deployed.push(Deployed { name, at: event.cause.time, revision });
        }
        Event::FunctionRolledBack(back) => {
            if !function.revisions.iter().any(|deployed| deployed.revision == back.revision) {
                return Err(misfit("the function does not keep such a revision"));
            }
            function.revision = Some(back.revision);
        }
        Event::FunctionRemoved(_) => {
            function.revision = None;
            function.configuration = Configuration::default();
        }
        Event::FunctionConfigured(event) => function.configuration = event.configuration.clone(),
        Event::FunctionBound(bound) => function.binding = Some(bound.clone()),
        Event::FunctionUnbound(_) => function.binding = None,
        Event::FunctionScheduled(scheduled) => function.schedule = Some(scheduled.clone()),
        Event::FunctionUnscheduled(_) => function.schedule = None,
        Event::FunctionTicked(ticked) => {
            let schedule = function.schedule.as_mut().filter(|of| of.schedule == ticked.schedule);
            schedule.ok_or_else(|| misfit("the function has no such schedule"))?.next = ticked.next;
        }
    }
    function.version = event.version;
    function.updated_at = event.cause.time;
    Ok(())
}

/// As it is before its first revision.
fn new_function(name: FunctionName, event: &Recorded<Event>) -> Function {
    Function {
        name,
        version: 0,
        created_at: event.cause.time,
        updated_at: event.cause.time,
        revision: None,
        revisions: Vec::new(),
        binding: None,
        schedule: None,
        configuration: Configuration::default(),
    }
}

#[cfg(test)]
mod tests {
    use factfold_schemas::{
        functions::{
            Code, FunctionBound, FunctionRemoved, FunctionRolledBack, FunctionScheduled, FunctionTicked,
            FunctionUnbound, FunctionUnscheduled, Language, Limits,
        },
        ids::StreamId,
        topics::Service,
    };
    use serde_json::json;

    use super::*;
    use crate::projector::fixtures::cause;

    fn name() -> FunctionName {
        "add".parse().expect("a name")
    }

    fn recorded(version: u64, data: Event) -> Recorded<Event> {
        let cause = cause(Service::Functions, "c", version.cast_signed());
        Recorded { stream: name().stream(), version, cause, data }
    }

    /// These events, as versions 1, 2, 3 … of one stream.
    fn folded(events: impl IntoIterator<Item = Event>) -> Result<(Function, Vec<Deployed>), Contradiction> {
        let mut rows = Rows::default();
        for (version, data) in (1..).zip(events) {
            fold(&mut rows, &recorded(version, data))?;
        }
        Ok((rows.functions.remove(&name()).expect("the function"), rows.deployed))
    }

    fn function(events: impl IntoIterator<Item = Event>) -> Function {
        folded(events).expect("a sound history").0
    }

    fn revision(revision: u32) -> FunctionDeployed {
        FunctionDeployed {
            revision,
            language: Language::TypeScript,
            code: Code::of(&revision.to_be_bytes()),
            path: Some("/shop/add".to_owned()),
            public: true,
            limits: Limits { time_ms: 10 * revision, ..Limits::default() },
            input_schema: Some(json!({ "maximum": revision })),
            output_schema: None,
        }
    }

    fn deployed(number: u32) -> Event {
        Event::FunctionDeployed(revision(number))
    }

    fn rolled_back(revision: u32) -> Event {
        Event::FunctionRolledBack(FunctionRolledBack { revision })
    }

    fn removed() -> Event {
        Event::FunctionRemoved(FunctionRemoved {})
    }

    fn binding(binding: u32) -> FunctionBound {
        let types = vec!["OrderPaid".to_owned()];
        FunctionBound { binding, topic: "orders.events".to_owned(), types, from: Some(Timestamp::UNIX_EPOCH) }
    }

    #[test]
    fn the_row_says_what_the_events_said() {
        let events = [deployed(1), Event::FunctionBound(binding(1)), deployed(2), rolled_back(1)];
        let time = |decided| cause(Service::Functions, "c", decided).time;
        let expected = Function {
            name: name(),
            version: 4,
            created_at: time(1),
            updated_at: time(4),
            revision: Some(1),
            revisions: vec![revision(1), revision(2)],
            binding: Some(binding(1)),
            schedule: None,
            configuration: Configuration::default(),
        };
        let (function, deployed) = folded(events).expect("a sound history");
        assert_eq!(function, expected);
        assert_eq!(function.current(), Some(&revision(1)));
        let row = |number, at| Deployed { name: name(), at, revision: revision(number) };
        assert_eq!(deployed, [row(1, time(1)), row(2, time(3))]);
    }

    #[test]
    fn a_binding_ends_and_another_begins() {
        let bound = |number| Event::FunctionBound(binding(number));
        let unbound = || Event::FunctionUnbound(FunctionUnbound {});
        assert_eq!(function([deployed(1), bound(1), unbound()]).binding, None);
        assert_eq!(function([deployed(1), bound(1), unbound(), bound(2)]).binding, Some(binding(2)));
    }

    fn schedule(schedule: u32, next: Timestamp) -> FunctionScheduled {
        FunctionScheduled {
            schedule,
            cron: "0 6 * * *".to_owned(),
            time_zone: "Europe/Berlin".to_owned(),
            input: json!({ "of": "tea" }),
            next: Some(next),
        }
    }

    fn ticked(schedule: u32, due: Timestamp, next: Option<Timestamp>) -> Event {
        Event::FunctionTicked(FunctionTicked { schedule, due, input: json!({ "of": "tea" }), next })
    }

    #[test]
    fn a_schedule_says_what_is_next() {
        let [first, second] =
            ["2026-11-27T05:00:00Z", "2026-11-28T05:00:00Z"].map(|time| time.parse().expect("a time"));
        let scheduled = |number| Event::FunctionScheduled(schedule(number, first));
        let unscheduled = || Event::FunctionUnscheduled(FunctionUnscheduled {});
        assert_eq!(function([deployed(1), scheduled(1)]).schedule, Some(schedule(1, first)));
        let after = [deployed(1), scheduled(1), ticked(1, first, Some(second))];
        assert_eq!(function(after).schedule, Some(schedule(1, second)));
        let last = function([deployed(1), scheduled(1), ticked(1, first, None)]).schedule;
        assert_eq!(last.expect("it is there").next, None);
        assert_eq!(function([deployed(1), scheduled(1), unscheduled()]).schedule, None);
        let anew = function([deployed(1), scheduled(1), unscheduled(), scheduled(2)]);
        assert_eq!(anew.schedule, Some(schedule(2, first)));
    }

    #[test]
    fn what_was_removed_can_return() {
        let gone = function([deployed(1), removed()]);
        assert_eq!((gone.revision, gone.current()), (None, None));
        assert_eq!(gone.revisions, [revision(1)]);
        let back = function([deployed(1), removed(), rolled_back(1)]);
        assert_eq!((back.version, back.revision), (3, Some(1)));
        let anew = function([deployed(1), removed(), deployed(2)]);
        assert_eq!((anew.revision, anew.revisions), (Some(2), vec![revision(1), revision(2)]));
    }

    /// People see the last ones; the rows of all of them are written.
    #[test]
    fn only_the_last_revisions_are_kept() {
        let kept = u32::try_from(REVISIONS_KEPT).expect("a few");
        let (function, rows) = folded((1..=kept + 2).map(deployed)).expect("a sound history");
        assert_eq!(function.revisions, (3..=kept + 2).map(revision).collect::<Vec<_>>());
        assert_eq!(rows.len(), REVISIONS_KEPT + 2);
        assert!(matches!(
            folded((1..=kept + 2).map(deployed).chain([rolled_back(2)])),
            Err(Contradiction::Misfit { .. })
        ));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for events in [
            vec![removed()],
            vec![deployed(2)],
            vec![deployed(1), deployed(1)],
            vec![deployed(1), deployed(3)],
            vec![deployed(1), rolled_back(2)],
            vec![deployed(1), ticked(1, Timestamp::UNIX_EPOCH, None)],
        ] {
            assert!(matches!(folded(events), Err(Contradiction::Misfit { .. })));
        }
        let stream = StreamId::new("goods-1");
        let foreign = Recorded { stream, ..recorded(1, deployed(1)) };
        assert!(matches!(fold(&mut Rows::default(), &foreign), Err(Contradiction::Misfit { .. })));
    }

    /// DESIGN, section 4: each fold checks for itself that versions are contiguous.
    #[test]
    fn a_gap_and_a_repetition_are_refused() {
        for version in [1, 3] {
            let mut rows = Rows::default();
            fold(&mut rows, &recorded(1, deployed(1))).expect("the first event");
            let next = fold(&mut rows, &recorded(version, removed()));
            assert!(matches!(next, Err(Contradiction::Version { expected: 2, .. })));
        }
    }
}
