//! The read models are a fold of the events: each resource is what its events say, asked for alone or found in the list;
//! the lists show all of them, once, in their order; and the timelines are the events. True when all is quiet.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt::Debug,
};

use factfold_consumers::decider::Decider;
use factfold_projections::TimelineEntry;
use factfold_schemas::{
    codec::{Named as _, encode},
    ids::{EmailId, StreamId},
    topics::Service,
};
use serde_json::Value;

use crate::{
    fold::fold,
    history::{Log, ServiceLog},
    report::Report,
    shown::{Resources, Shown},
};

const NAME: &str = "read models";

/// Compares what is shown with what was folded.
pub fn check(log: &Log, shown: &Shown, report: &mut Report) {
    for (projection, failure) in &shown.failures {
        report.add(NAME, None, format!("{projection} has stopped: {failure}"));
    }
    resources(&log.goods, &shown.goods, |_| true, newest, report);
    resources(&log.orders, &shown.orders, |_| true, newest, report);
    // A registration that came to nothing is no user, unless somebody asks for those.
    resources(&log.users, &shown.users, |user| user["status"] != "rejected", newest, report);
    // Nor is what was removed a function.
    resources(&log.functions, &shown.functions, |function| !function["revision"].is_null(), by_name, report);
    timelines(log, &shown.timelines, report);
}

fn resources<D: Decider, K: Ord>(
    log: &ServiceLog<D>,
    shown: &Resources,
    is_listed: impl Fn(&Value) -> bool,
    order: impl Fn(&Value) -> K,
    report: &mut Report,
) {
    let mut folded = fold(log, &HashSet::new()).last;
    let service = D::SERVICE;
    // An address is nobody's to see: it has no read model.
    folded.retain(|stream, _| EmailId::of_stream(stream.as_str()).is_none());
    for (stream, expected) in &folded {
        let found = shown.found.get(stream);
        if found != Some(expected) {
            report.add(NAME, None, different(service, "asked for alone", stream, Some(expected), found));
        }
    }
    let mut listed = BTreeMap::new();
    for (stream, resource) in &shown.listed {
        if listed.insert(stream, resource).is_some() {
            report.add(NAME, None, format!("{service}: {stream} is listed twice"));
        }
    }
    for stream in
        folded.keys().chain(shown.found.keys()).chain(listed.keys().copied()).collect::<BTreeSet<_>>()
    {
        let expected = folded.get(stream).filter(|resource| is_listed(resource));
        let found = listed.get(stream).copied();
        if expected != found {
            report.add(NAME, None, different(service, "in the list", stream, expected, found));
        }
    }
    let keys: Vec<_> = shown.listed.iter().map(|(_, resource)| order(resource)).collect();
    if !keys.is_sorted_by(|one, next| one < next) {
        report.add(NAME, None, format!("{service}: the list is not in its order"));
    }
}

fn timelines(log: &Log, shown: &BTreeMap<StreamId, Vec<TimelineEntry>>, report: &mut Report) {
    let mut expected = BTreeMap::<&StreamId, Vec<TimelineEntry>>::new();
    for event in log.orders.events.iter().map(|event| &event.record) {
        let cause = &event.cause;
        expected.entry(&event.stream).or_default().push(TimelineEntry {
            version: event.version,
            event: event.data.type_name().to_owned(),
            data: serde_json::from_slice(&encode(&event.data)).unwrap_or_default(),
            at: cause.time,
            auth: cause.auth.clone(),
            correlation: cause.correlation.clone(),
            command_id: cause.command_id.clone(),
            decided: cause.decided,
        });
    }
    for (stream, expected) in &expected {
        let found = shown.get(*stream);
        if found != Some(expected) {
            report.add(NAME, None, different(Service::Orders, "its timeline", stream, Some(expected), found));
        }
    }
}

/// What most lists are sorted by.
pub(crate) fn newest(resource: &Value) -> Reverse<(Option<jiff::Timestamp>, Option<String>)> {
    let text = |name: &str| resource[name].as_str().map(str::to_owned);
    Reverse((text("created_at").and_then(|time| time.parse().ok()), text("id")))
}

/// What functions are sorted by.
fn by_name(resource: &Value) -> Option<String> {
    resource["name"].as_str().map(str::to_owned)
}

fn different<T: Debug>(
    service: Service,
    place: &str,
    stream: &StreamId,
    expected: Option<T>,
    found: Option<T>,
) -> String {
    format!("{service}: {stream}, {place}: folded {expected:?}, shown {found:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{finds, shown, sound};

    #[test]
    fn what_is_folded_right_is_no_finding() {
        let log = sound();
        let mut report = Report::default();
        check(&log, &shown(&log), &mut report);
        assert_eq!(report.findings, []);
    }

    fn planted(plant: impl Fn(&mut Shown)) {
        let log = sound();
        let mut shown = shown(&log);
        plant(&mut shown);
        finds(NAME, |report| check(&log, &shown, report));
    }

    #[test]
    fn a_wrong_stock_is_found() {
        planted(|shown| {
            shown.goods.found.values_mut().next().expect("goods")["stock"] = Value::from(999);
        });
        planted(|shown| shown.goods.listed[0].1["stock"] = Value::from(999));
    }

    #[test]
    fn what_is_missing_surplus_or_twice_is_found() {
        planted(|shown| drop(shown.orders.found.pop_first()));
        planted(|shown| drop(shown.orders.listed.pop()));
        planted(|shown| {
            let again = shown.orders.listed[0].clone();
            shown.orders.listed.insert(0, again);
        });
        planted(|shown| {
            let (_, resource) = shown.goods.listed[0].clone();
            shown.goods.listed.insert(0, (StreamId::new("goods-of-nobody"), resource));
        });
    }

    #[test]
    fn a_list_in_another_order_is_found() {
        planted(|shown| shown.orders.listed.reverse());
    }

    #[test]
    fn a_timeline_with_a_gap_is_found() {
        planted(|shown| drop(shown.timelines.values_mut().next().expect("a timeline").pop()));
    }

    #[test]
    fn a_read_model_that_stopped_is_found() {
        planted(|shown| shown.failures.push(("orders".to_owned(), "a contradiction".to_owned())));
    }
}
