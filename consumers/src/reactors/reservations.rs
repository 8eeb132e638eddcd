//! Tells the orders what became of their reservations: recorded with its price, or refused with the reason.

use factfold_schemas::{
    goods::{Event, Rejection, StockReserved},
    orders::{Command, RecordReservation, RejectOrder, RejectionReason},
    record::{Outcome, Rejected},
    topics::{Service, Topic},
};

use super::{Fact, Reactor, Request};

/// Carries the goods' answers back to the orders.
#[derive(Debug)]
pub struct Reservations;

impl Reactor for Reservations {
    const NAME: &'static str = "reservations";
    const INPUTS: &'static [Topic] = &[Service::Goods.events(), Service::Goods.outcomes()];

    fn react(fact: &Fact) -> Vec<Request> {
        let request = match fact {
            Fact::Goods(event) => match &event.data {
                Event::StockReserved(reserved) => Some(record(reserved)),
                _ => None,
            },
            Fact::Outcome(Service::Goods, outcome) => match &outcome.outcome {
                Outcome::Rejected(rejected) => reject(rejected),
                _ => None,
            },
            Fact::Orders(_) | Fact::Outcome(Service::Orders, _) => None,
        };
        request.into_iter().collect()
    }
}

fn record(reserved: &StockReserved) -> Request {
    let StockReserved { order_id, line, unit_price, .. } = *reserved;
    Request::Orders(order_id, Command::RecordReservation(RecordReservation { line, unit_price }))
}

fn reject(rejected: &Rejected) -> Option<Request> {
    let refused = rejected.rejection.typed::<Rejection>()?.refused_reservation()?;
    let reason = RejectionReason {
        name: rejected.rejection.name.clone(),
        detail: rejected.rejection.detail.clone(),
        line: refused.line,
    };
    Some(Request::Orders(refused.order_id, Command::RejectOrder(RejectOrder { reason })))
}
