//! Stock adds up to the unit: after every event, what is left and what is set aside is what was added and adjusted; no
//! line is set aside twice, none is given back that is not set aside, or in part; and never is less left than nothing.

use std::collections::HashMap;

use factfold_consumers::goods::GoodsDecider;
use factfold_schemas::{
    goods::{Event, Reservation, StockReleased, StockReserved},
    ids::StreamId,
};

use crate::{history::ServiceLog, report::Report};

const NAME: &str = "stock";

#[derive(Default)]
struct Pieces {
    owned: i64,
    reserved: HashMap<Reservation, i64>,
}

impl Pieces {
    fn left(&self) -> i64 {
        self.owned - self.reserved.values().sum::<i64>()
    }
}

/// Checks the goods.
pub fn check(log: &ServiceLog<GoodsDecider>, report: &mut Report) {
    let mut pieces = HashMap::<&StreamId, (Pieces, i64)>::new();
    for event in &log.events {
        let at = event.at;
        let (goods, left) = pieces.entry(&event.record.stream).or_default();
        let shown = match &event.record.data {
            Event::GoodsAdded(added) => {
                if goods.owned != 0 || !goods.reserved.is_empty() {
                    report.add(NAME, at, "added again");
                }
                *left += added.stock;
                goods.owned += added.stock;
                added.stock
            }
            Event::StockAdjusted(adjusted) => {
                *left += adjusted.delta;
                goods.owned += adjusted.delta;
                adjusted.stock
            }
            Event::StockReserved(StockReserved { order_id, line, quantity, stock, .. }) => {
                *left -= i64::from(*quantity);
                let line = Reservation { order_id: *order_id, line: *line };
                if let Some(before) = goods.reserved.insert(line, (*quantity).into()) {
                    report.add(NAME, at, format!("{line:?} is set aside twice: {before}, then {quantity}"));
                }
                *stock
            }
            Event::StockReleased(StockReleased { order_id, line, quantity, stock }) => {
                *left += i64::from(*quantity);
                let line = Reservation { order_id: *order_id, line: *line };
                let before = goods.reserved.remove(&line);
                if before != Some((*quantity).into()) {
                    let what = format!("{quantity} of {line:?} are given back, but set aside are {before:?}");
                    report.add(NAME, at, what);
                }
                *stock
            }
            Event::GoodsRenamed(_) | Event::PriceChanged(_) | Event::GoodsDiscontinued(_) => *left,
        };
        if shown != *left || shown < 0 {
            report.add(NAME, at, format!("it says that {shown} are left, but {left} are"));
            // One wrong number is one finding.
            *left = shown;
        }
    }
    for (stream, (goods, left)) in pieces {
        if goods.left() != left {
            let set_aside: i64 = goods.reserved.values().sum();
            let owned = goods.owned;
            report.add(
                NAME,
                None,
                format!("{stream}: {left} are left and {set_aside} set aside, but there were {owned}"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
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
