//! What holds for orders whatever comes, sense or nonsense.

use proptest::{
    prelude::*,
    sample::{Index, select},
};

use super::*;
use crate::given::History;

/// What somebody does. Some of it looks at the order first: nonsense alone would never pay one.
#[derive(Debug, Clone)]
enum Step {
    Send(Command),
    ReserveNext(Money),
    PayExactly,
    RefundPercent(i64),
}

/// Numbers that are small, or at the edge of something.
fn number() -> impl Strategy<Value = i64> {
    let edges =
        vec![0, 1, -1, QUANTITY_MAX, QUANTITY_MAX + 1, AMOUNT_MAX, AMOUNT_MAX + 1, i64::MIN, i64::MAX];
    prop_oneof![3 => -2..=10_i64, 1 => select(edges)]
}

fn money() -> impl Strategy<Value = Money> {
    prop_oneof![9 => number().prop_map(eur), 1 => number().prop_map(usd)]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![5 => Just("broken".to_owned()), 1 => select(vec![String::new(), "x".repeat(501)])]
}

fn auth() -> impl Strategy<Value = Option<Auth>> {
    let others = vec![Some(user(BERT)), Some(Auth::User("nobody".to_owned())), trusted()[0].clone().into()];
    prop_oneof![2 => Just(None), 4 => Just(Some(user(ANNA))), 1 => select(others)]
}

fn create() -> impl Strategy<Value = Command> {
    let line = (0..4_u128, prop_oneof![9 => 1..5_i64, 1 => number()]).prop_map(|(goods, n)| (id(goods), n));
    prop::collection::vec(line, 0..4).prop_map(create_order)
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        2 => create(),
        3 => (0..4_u16, money()).prop_map(|(line, price)| record(line, price)),
        1 => Just(reject(sold_out())),
        2 => (money(), text()).prop_map(|(amount, method)| Command::PayOrder(PayOrder { amount, method })),
        2 => (proptest::option::of(money()), text())
            .prop_map(|(amount, reason)| Command::RefundOrder(RefundOrder { amount, reason })),
        1 => text().prop_map(|reason| Command::CancelOrder(CancelOrder { reason })),
        1 => Just(Command::ExpireOrder(ExpireOrder {})),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => command().prop_map(Step::Send),
        3 => (0..10_i64).prop_map(|price| Step::ReserveNext(eur(price))),
        1 => Just(Step::PayExactly),
        1 => (1..=100_i64).prop_map(Step::RefundPercent),
    ]
}

fn steps() -> impl Strategy<Value = Vec<(Step, Option<Auth>)>> {
    let order = create_order([(TEA, 3), (MATE, 2)]);
    prop::collection::vec((step(), auth()), 1..60).prop_map(move |mut steps| {
        // Most sequences begin with an order that is there.
        if steps.len() % 8 != 0 {
            steps.insert(0, (Step::Send(order.clone()), None));
        }
        steps
    })
}

impl Step {
    fn command(&self, state: Option<&State>) -> Command {
        let total = state.and_then(State::total).unwrap_or(eur(1));
        match self {
            Self::Send(command) => command.clone(),
            Self::ReserveNext(price) => {
                let next = state.and_then(|order| order.lines.iter().position(|l| l.unit_price.is_none()));
                record(next.unwrap_or(0) as u16, *price)
            }
            Self::PayExactly => pay(total),
            Self::RefundPercent(percent) => {
                refund(Some(Money::new(total.amount / 100 * percent + 1, total.currency)))
            }
        }
    }
}

/// Whether the life of an order may go this way, in one event.
fn is_allowed(from: Option<Status>, to: Status) -> bool {
    use Status::{Cancelled, Confirmed, Created, Expired, Paid, Refunded, Rejected};
    match from {
        None => to == Created,
        Some(Created) => matches!(to, Created | Confirmed | Rejected | Cancelled | Expired),
        Some(Confirmed) => matches!(to, Paid | Cancelled | Expired),
        Some(Paid) => matches!(to, Paid | Refunded),
        Some(Rejected | Refunded | Cancelled | Expired) => false,
    }
}

/// What must be true of an order at any time.
fn check_sums(order: &Order, events: &[Event]) {
    let price = |line: &Line| Some(i128::from(line.unit_price?.amount) * i128::from(line.quantity));
    if let Some(total) = order.total {
        let sum: Option<i128> = order.lines.iter().map(price).sum();
        assert_eq!(sum, Some(total.amount.into()), "the total is the lines'");
        assert!(order.lines.iter().all(|line| line.unit_price.is_some_and(|p| p.currency == total.currency)));
        assert!(total.is_price());
    }
    let given_back: i64 = events
        .iter()
        .map(|event| if let Event::OrderRefunded(refund) = event { refund.amount.amount } else { 0 })
        .sum();
    match (order.paid, order.refunded) {
        (Some(paid), Some(refunded)) => {
            assert_eq!(Some(paid), order.total, "it is paid in full");
            assert_eq!((refunded.amount, refunded.currency), (given_back, paid.currency));
            assert!(refunded.amount <= paid.amount, "no more is given back than was paid");
            assert!(order.status != Status::Refunded || refunded == paid, "refunded is given back in full");
        }
        (paid, refunded) => assert_eq!((paid, refunded, given_back), (None, None, 0)),
    }
}

proptest! {
    #[test]
    fn an_order_only_goes_allowed_ways_and_its_money_adds_up(steps in steps()) {
        let mut order = History::<OrdersDecider>::new(id(5));
        for (step, by) in &steps {
            let command = step.command(order.state());
            let before = order.entry.clone();
            match order.send(&command, by.as_ref()) {
                Ok(events) => {
                    let (mut state, mut status) = (before.clone().map(|e| e.state), before.map(|e| e.state.status()));
                    for event in &events {
                        state = OrdersDecider::evolve(state, event);
                        let to = state.as_ref().expect("it is there").status();
                        prop_assert!(is_allowed(status, to), "{status:?} -> {to}: {event:?}");
                        prop_assert!(!status.is_some_and(Status::is_final));
                        status = Some(to);
                    }
                }
                Err(_) => prop_assert_eq!(&order.entry, &before, "a rejected command changes nothing"),
            }
            if let Some(resource) = order.resource::<Order>() {
                check_sums(&resource, &order.events);
            }
        }
        order.check_refolded();
    }

    #[test]
    fn nobody_touches_anothers_order(steps in steps(), last in command()) {
        let mut order = History::<OrdersDecider>::new(id(5));
        for (step, by) in &steps {
            let _either_way = order.send(&step.command(order.state()), by.as_ref());
        }
        let refused = order.send(&last, Some(&user(BERT)));
        match last {
            Command::PayOrder(_) | Command::CancelOrder(_) if order.state().is_some() => {
                prop_assert_eq!(refused, Err(Rejection::NotYourOrder));
            }
            Command::CreateOrder(_) if order.state().is_none() => {
                prop_assert_eq!(refused, Err(Rejection::NotYourName));
            }
            _ => {}
        }
    }

    #[test]
    fn whatever_was_stored_can_be_folded_in_any_order(
        steps in steps(),
        picks in prop::collection::vec(any::<Index>(), 0..20),
    ) {
        let mut order = History::<OrdersDecider>::new(id(5));
        order.append(created());
        for (step, by) in &steps {
            let _either_way = order.send(&step.command(order.state()), by.as_ref());
        }
        let folded = picks.iter().map(|pick| pick.get(&order.events)).fold(None, OrdersDecider::evolve);
        let created = picks.iter().any(|pick| matches!(pick.get(&order.events), Event::OrderCreated(_)));
        prop_assert_eq!(folded.is_some(), created, "an order is there from the event that created it");
    }
}
