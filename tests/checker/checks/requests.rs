//! Each reactor's request follows exactly once: what the reactors ask for is asked again of every fact, and compared with
//! the commands that bear their names. So every line of an order that was created has one `ReserveStock`, every
//! `StockReserved` one `RecordReservation`, and none comes from nowhere.

use std::collections::HashMap;

use factfold_consumers::reactors::{
    Fact, Reactor, order_expiry::OrderExpiry, order_stock::OrderStock, registrations::Registrations,
    reservations::Reservations, schedules::Schedules,
};
use factfold_schemas::{cloudevents::Outgoing, ids::StreamId, position::Position, topics::Service};
use jiff::SignedDuration;

use crate::{history::Log, read::Command, report::Report};

const NAME: &str = "requests";

/// A request that must have been made.
pub struct Expected {
    /// Whose command it is.
    pub service: Service,
    /// For which stream.
    pub stream: StreamId,
    /// The record.
    pub record: Outgoing,
    /// The fact that asks for it.
    pub of: Position,
}

/// Checks all reactors.
pub fn check(log: &Log, report: &mut Report) {
    let names =
        [OrderStock::NAME, Reservations::NAME, OrderExpiry::NAME, Registrations::NAME, Schedules::NAME];
    let reactors = names.map(|name| format!("/reactors/{name}"));
    let commands = log.goods.commands.iter().chain(&log.orders.commands).chain(&log.users.commands);
    let commands = commands.chain(&log.functions.commands);
    let mut made = HashMap::<(Service, StreamId, String, String), Vec<&Command>>::new();
    for command in commands {
        let Some((stream, source, id)) = command.identity() else { continue };
        // What a timer published is another's business.
        if reactors.contains(&source) && command.header().scheduled_from.is_none() {
            made.entry((command.at.topic.service, stream, source, id)).or_default().push(command);
        }
    }
    for expected in requests(log) {
        let header = |name| header(&expected.record, name);
        let (source, id) = (header("ce_source"), header("ce_id"));
        let key = (expected.service, expected.stream.clone(), source, id.clone());
        let made = made.remove(&key).unwrap_or_default();
        let [command] = made.as_slice() else {
            let places: Vec<_> = made.iter().map(|command| command.at.to_string()).collect();
            let what = format!(
                "it asks for {} {id} of {}, but that lies at {places:?}",
                header("ce_type"),
                expected.stream
            );
            report.add(NAME, expected.of, what);
            continue;
        };
        let record = &command.record;
        let (wanted, headers) = (&expected.record, &record.headers);
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        let same_headers = wanted.headers.iter().map(but_when).eq(headers.map(but_when));
        if !(same_headers && (&wanted.key, &wanted.value) == (&record.key, &record.value)) {
            report.add(NAME, command.at, format!("it is not what {} asks for", expected.of));
        }
    }
    for command in made.into_values().flatten() {
        report.add(NAME, command.at, "no fact asks for it");
    }
}

/// What all facts ask for.
pub fn requests(log: &Log) -> Vec<Expected> {
    let mut expected = Vec::new();
    for event in &log.goods.events {
        ask(event.at, &Fact::Goods(event.record.clone()), &mut expected);
    }
    for event in &log.orders.events {
        ask(event.at, &Fact::Orders(event.record.clone()), &mut expected);
    }
    for event in &log.users.events {
        ask(event.at, &Fact::Users(event.record.clone()), &mut expected);
    }
    for event in &log.functions.events {
        ask(event.at, &Fact::Functions(event.record.clone()), &mut expected);
    }
    for (service, outcomes) in [
        (Service::Goods, &log.goods.outcomes),
        (Service::Orders, &log.orders.outcomes),
        (Service::Users, &log.users.outcomes),
        (Service::Functions, &log.functions.outcomes),
    ] {
        for outcome in outcomes {
            ask(outcome.at, &Fact::Outcome(service, outcome.record.clone()), &mut expected);
        }
    }
    expected
}

fn ask(at: Position, fact: &Fact, expected: &mut Vec<Expected>) {
    ask_one(&OrderStock, at, fact, expected);
    ask_one(&Reservations, at, fact, expected);
    ask_one(&OrderExpiry::after(SignedDuration::from_mins(15)), at, fact, expected);
    ask_one(&Registrations, at, fact, expected);
    ask_one(&Schedules, at, fact, expected);
}

/// For how long a request is to wait is a setting, which may have been another then.
fn but_when<'a>((name, value): (&'a str, &'a [u8])) -> (&'a str, &'a [u8]) {
    if name == "ce_notbefore" { (name, b"") } else { (name, value) }
}

fn ask_one<R: Reactor>(reactor: &R, at: Position, fact: &Fact, expected: &mut Vec<Expected>) {
    if !R::INPUTS.contains(&at.topic) {
        return;
    }
    for (ordinal, request) in reactor.react(fact).into_iter().enumerate() {
        let Some((service, stream)) = request.target() else { continue };
        expected.push(Expected { service, stream, record: request.record(R::NAME, fact, ordinal), of: at });
    }
}

fn header(record: &Outgoing, name: &str) -> String {
    let value = record.headers.iter().find(|(other, _)| *other == name).map(|(_, value)| value);
    value.map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{finds, finds_at, sound};

    fn a_request(log: &Log) -> usize {
        let of_reactor = |command: &Command| command.header().source.starts_with("/reactors/");
        log.goods.commands.iter().position(of_reactor).expect("a request")
    }

    #[test]
    fn a_lost_request_is_found() {
        let mut log = sound();
        let place = a_request(&log);
        log.goods.commands.remove(place);
        finds(NAME, |report| check(&log, report));
    }

    #[test]
    fn a_request_that_was_made_twice_is_found() {
        let mut log = sound();
        let mut twice = log.goods.commands[a_request(&log)].clone();
        twice.at.offset += 1000;
        log.goods.commands.push(twice);
        finds(NAME, |report| check(&log, report));
    }

    #[test]
    fn a_request_that_says_something_else_is_found() {
        let mut log = sound();
        let place = a_request(&log);
        let command = &mut log.goods.commands[place];
        command.record.value.as_mut().expect("a value").push(b' ');
        let at = command.at;
        finds_at(NAME, at, |report| check(&log, report));
    }

    #[test]
    fn a_request_from_nowhere_is_found() {
        let mut log = sound();
        let place = a_request(&log);
        let mut other = log.goods.commands[place].clone();
        other.at.offset += 1000;
        other.read.as_mut().expect("readable").header.id.push('x');
        let at = other.at;
        log.goods.commands.push(other);
        finds_at(NAME, at, |report| check(&log, report));
    }
}
