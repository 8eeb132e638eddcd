//! Lets orders expire that nobody pays: each new order is to expire some time after it was made. One that is paid or over by
//! then stays as it is; one that was never confirmed, for whatever reason, does not wait for ever either.

use factfold_schemas::{
    command::NOT_BEFORE_MAX,
    ids::OrderId,
    orders::{Command, Event, ExpireOrder},
    topics::{Service, Topic},
};
use jiff::SignedDuration;

use super::{Fact, Reactor, Request};

/// Sets a timer for each order.
#[derive(Debug, Clone, Copy)]
pub struct OrderExpiry {
    after: SignedDuration,
}

impl OrderExpiry {
    /// Orders expire so long after they were made; no later than a command can wait.
    pub fn after(after: SignedDuration) -> Self {
        Self { after: after.min(NOT_BEFORE_MAX) }
    }
}

impl Reactor for OrderExpiry {
    const NAME: &'static str = "order-expiry";
    const INPUTS: &'static [Topic] = &[Service::Orders.events()];
    // An order that was over long ago stays as it is, however often it is to expire; one that was forgotten expires.
    const MAY_BEGIN_ANEW: bool = true;

    fn react(&self, fact: &Fact) -> Vec<Request> {
        let Fact::Orders(event) = fact else { return Vec::new() };
        match (&event.data, OrderId::of_stream(event.stream.as_str())) {
            (Event::OrderCreated(_), Some(order)) => {
                let expire = Request::Orders(order, Command::ExpireOrder(ExpireOrder {}));
                vec![Request::Later(event.cause.time + self.after, Box::new(expire))]
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use factfold_schemas::{goods, orders::OrderCreated};

    use super::*;
    use crate::given::{id, recorded};

    const ORDER: OrderId = id(1);

    fn react(event: Event) -> Vec<Request> {
        let fact = Fact::Orders(recorded(Service::Orders, ORDER.stream(), event));
        OrderExpiry::after(SignedDuration::from_mins(15)).react(&fact)
    }

    #[test]
    fn a_new_order_is_to_expire_when_its_time_is_over() {
        let created = Event::OrderCreated(OrderCreated { user_id: id(2), lines: Vec::new() });
        let [Request::Later(due, expire)] = &react(created)[..] else { panic!("one request for later") };
        assert_eq!(*due, crate::given::time(0) + SignedDuration::from_mins(15));
        assert_eq!(**expire, Request::Orders(ORDER, Command::ExpireOrder(ExpireOrder {})));
    }

    #[test]
    fn nothing_else_sets_a_timer() {
        assert_eq!(
            react(Event::OrderExpired(factfold_schemas::orders::OrderExpired { lines: Vec::new() })),
            []
        );
        let discontinued = goods::Event::GoodsDiscontinued(goods::GoodsDiscontinued {});
        let fact = Fact::Goods(recorded(Service::Goods, ORDER.stream(), discontinued));
        assert_eq!(OrderExpiry::after(SignedDuration::from_mins(15)).react(&fact), []);
    }
}
