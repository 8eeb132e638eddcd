//! Stock adds up to the unit: see [`Pieces`].

use std::collections::HashMap;

use factfold_consumers::goods::GoodsDecider;
use factfold_projections::auditing::stock::Pieces;
use factfold_schemas::ids::StreamId;

use crate::{history::ServiceLog, report::Report};

const NAME: &str = "stock";

/// Checks the goods.
pub fn check(log: &ServiceLog<GoodsDecider>, report: &mut Report) {
    let mut pieces = HashMap::<&StreamId, Pieces>::new();
    for event in &log.events {
        let goods = pieces.entry(&event.record.stream).or_default();
        goods.see(&event.record.data, |what| report.add(NAME, event.at, what));
    }
    for (stream, goods) in pieces {
        if let Err(what) = goods.end() {
            report.add(NAME, None, format!("{stream}: {what}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use factfold_schemas::goods::Event;

    use super::*;
    use crate::fixture::{finds, finds_at, sound};

    #[test]
    fn a_wrong_number_is_found() {
        let mut log = sound();
        let event = log.goods.events.iter_mut().find_map(|event| match &mut event.record.data {
            Event::StockAdjusted(adjusted) => Some((event.at, adjusted)),
            _ => None,
        });
        let (at, adjusted) = event.expect("an adjustment");
        adjusted.stock += 1;
        finds_at(NAME, at, |report| check(&log.goods, report));
    }

    #[test]
    fn a_line_that_is_set_aside_twice_is_found() {
        let mut log = sound();
        let reserved = |event: &Event| matches!(event, Event::StockReserved(_));
        let twice = log.goods.events.iter().find(|event| reserved(&event.record.data));
        let mut twice = twice.expect("a reservation").clone();
        twice.at.offset += 1000;
        let at = twice.at;
        log.goods.events.push(twice);
        finds_at(NAME, at, |report| check(&log.goods, report));
    }

    #[test]
    fn what_is_given_back_without_having_been_set_aside_is_found() {
        let mut log = sound();
        let event = log.goods.events.iter_mut().find_map(|event| match &mut event.record.data {
            Event::StockReleased(released) => Some((event.at, released)),
            _ => None,
        });
        let (at, released) = event.expect("a release");
        released.line += 7;
        finds_at(NAME, at, |report| check(&log.goods, report));
    }

    #[test]
    fn pieces_that_vanish_are_found() {
        let mut log = sound();
        log.goods.events.retain(|event| !matches!(event.record.data, Event::StockReleased(_)));
        finds(NAME, |report| check(&log.goods, report));
    }
}
