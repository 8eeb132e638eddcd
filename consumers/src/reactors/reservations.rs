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

    fn react(&self, fact: &Fact) -> Vec<Request> {
        let request = match fact {
            Fact::Goods(event) => match &event.data {
                Event::StockReserved(reserved) => Some(record(reserved)),
                _ => None,
            },
            Fact::Outcome(Service::Goods, outcome) => match &outcome.outcome {
                Outcome::Rejected(rejected) => reject(rejected),
                _ => None,
            },
            Fact::Functions(_) | Fact::Orders(_) | Fact::Users(_) | Fact::Outcome(..) => None,
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

#[cfg(test)]
mod tests {
    use factfold_schemas::{
        goods::{GoodsDiscontinued, Reservation, StockReleased},
        ids::{GoodsId, OrderId},
        orders,
        record::{NoChange, RecordedOutcome},
        rejection::{Common, Reject},
    };

    use super::*;
    use crate::given::{cause, eur, id, recorded};

    const ORDER: OrderId = id(1);
    const TEA: GoodsId = id(10);
    const LINE: Reservation = Reservation { order_id: ORDER, line: 7 };

    fn check(fact: &Fact, expected: &[Request]) {
        assert_eq!(Reservations.react(fact), expected, "what follows from {fact:?}");
    }

    fn event(data: Event) -> Fact {
        Fact::Goods(recorded(Service::Goods, TEA.stream(), data))
    }

    fn outcome(service: Service, outcome: Outcome) -> Fact {
        let stream = Some(TEA.stream());
        Fact::Outcome(service, RecordedOutcome { stream, cause: cause(service), after: None, outcome })
    }

    fn refused(rejection: &impl Reject) -> Outcome {
        let rejection = rejection.to_rejection();
        Outcome::Rejected(Rejected { command: "ReserveStock".to_owned(), rejection })
    }

    #[test]
    fn a_reservation_is_recorded_with_its_price() {
        let Reservation { order_id, line } = LINE;
        let reserved = StockReserved { order_id, line, quantity: 3, unit_price: eur(250), stock: 0 };
        let record = RecordReservation { line, unit_price: eur(250) };
        check(
            &event(Event::StockReserved(reserved)),
            &[Request::Orders(ORDER, Command::RecordReservation(record))],
        );
    }

    #[test]
    fn a_line_that_cannot_be_had_rejects_its_order_with_the_reason() {
        for (rejection, name) in [
            (Rejection::SoldOut { reservation: LINE, available: 2 }, "sold-out"),
            (Rejection::UnknownGoods { reservation: LINE }, "unknown-goods"),
            (Rejection::NotForSale { reservation: LINE }, "not-for-sale"),
        ] {
            let reason = RejectionReason { name: name.to_owned(), detail: rejection.to_string(), line: 7 };
            check(
                &outcome(Service::Goods, refused(&rejection)),
                &[Request::Orders(ORDER, Command::RejectOrder(RejectOrder { reason }))],
            );
        }
    }

    #[test]
    fn what_is_no_answer_to_a_reservation_is_left_alone() {
        let Reservation { order_id, line } = LINE;
        check(&event(Event::StockReleased(StockReleased { order_id, line, quantity: 3, stock: 3 })), &[]);
        check(&event(Event::GoodsDiscontinued(GoodsDiscontinued {})), &[]);

        let no_change = Outcome::NoChange(NoChange { command: "ReserveStock".to_owned() });
        check(&outcome(Service::Goods, no_change), &[]);
        check(&outcome(Service::Goods, refused(&Rejection::InsufficientStock { available: 2 })), &[]);
        check(&outcome(Service::Goods, refused(&Rejection::ReservedOtherwise { reserved: 2 })), &[]);
        check(&outcome(Service::Goods, refused(&Common::CommandIdReused)), &[]);
    }

    #[test]
    fn what_happens_to_orders_is_not_its_business() {
        let expired = orders::Event::OrderExpired(orders::OrderExpired { lines: Vec::new() });
        check(&Fact::Orders(recorded(Service::Orders, ORDER.stream(), expired)), &[]);
        let sold_out = Rejection::SoldOut { reservation: LINE, available: 2 };
        check(&outcome(Service::Orders, refused(&sold_out)), &[]);
    }
}
