//! The rules of orders, one by one. What holds whatever comes is in [`properties`].

use factfold_schemas::{
    money::AMOUNT_MAX,
    orders::{ExpireOrder, RequestedLine},
    rejection::{Reject, RejectionKind},
};

use super::*;
use crate::given::{Given, eur, id, time, usd};

#[path = "orders_properties.rs"]
mod properties;

/// Whose order it is.
const ANNA: UserId = id(1);
/// Somebody else.
const BERT: UserId = id(2);
const TEA: GoodsId = id(10);
const MATE: GoodsId = id(11);

fn given(events: impl IntoIterator<Item = Event>) -> Given<OrdersDecider> {
    Given::events(id(5), events)
}

/// On behalf of this user.
fn user(user: UserId) -> Auth {
    Auth::User(user.to_string())
}

/// All who may act for anyone.
fn trusted() -> [Auth; 2] {
    [Auth::System("a reactor".to_owned()), Auth::Other("service_account".to_owned(), Some("erp".to_owned()))]
}

// ---- Histories

/// Three times tea, twice mate.
fn lines() -> Vec<OrderedLine> {
    vec![OrderedLine { goods_id: TEA, quantity: 3 }, OrderedLine { goods_id: MATE, quantity: 2 }]
}

fn created() -> Event {
    Event::OrderCreated(OrderCreated { user_id: ANNA, lines: lines() })
}

fn line_reserved(line: u16, unit_price: Money) -> Event {
    Event::LineReserved(LineReserved { line, unit_price })
}

fn confirmed(total: Money) -> Event {
    Event::OrderConfirmed(OrderConfirmed { total })
}

fn sold_out() -> RejectionReason {
    RejectionReason { name: "sold-out".to_owned(), detail: "There is none.".to_owned(), line: 1 }
}

fn rejected(reason: RejectionReason) -> Event {
    Event::OrderRejected(OrderRejected { reason, lines: lines() })
}

fn paid(amount: Money) -> Event {
    Event::OrderPaid(OrderPaid { amount, method: "card".to_owned() })
}

fn refunded(amount: Money, refunded: Money, in_full: bool) -> Event {
    Event::OrderRefunded(OrderRefunded { amount, refunded, in_full, reason: "broken".to_owned() })
}

fn cancelled() -> Event {
    Event::OrderCancelled(OrderCancelled { reason: "too late".to_owned(), lines: lines() })
}

fn expired() -> Event {
    Event::OrderExpired(OrderExpired { lines: lines() })
}

/// Everything that leads to an order of 10.00 EUR that can be paid.
fn to_confirmed() -> Vec<Event> {
    vec![created(), line_reserved(0, eur(200)), line_reserved(1, eur(200)), confirmed(eur(1000))]
}

fn to_paid() -> Vec<Event> {
    [to_confirmed(), vec![paid(eur(1000))]].concat()
}

/// An order in each status, by what happened to it.
fn in_every_status() -> [(Status, Vec<Event>); 7] {
    let and = |events: Vec<Event>, then| [events, vec![then]].concat();
    [
        (Status::Created, vec![created(), line_reserved(0, eur(200))]),
        (Status::Confirmed, to_confirmed()),
        (Status::Rejected, vec![created(), line_reserved(0, eur(200)), rejected(sold_out())]),
        (Status::Paid, to_paid()),
        (Status::Refunded, and(to_paid(), refunded(eur(1000), eur(1000), true))),
        (Status::Cancelled, and(to_confirmed(), cancelled())),
        (Status::Expired, and(to_confirmed(), expired())),
    ]
}

// ---- CreateOrder

fn create_order(lines: impl IntoIterator<Item = (GoodsId, i64)>) -> Command {
    let lines = lines.into_iter().map(|(goods_id, quantity)| RequestedLine { goods_id, quantity });
    Command::CreateOrder(CreateOrder { user_id: ANNA, lines: lines.collect() })
}

/// So many lines, of different goods.
fn different(lines: usize) -> Vec<(GoodsId, i64)> {
    (0..lines).map(|line| (id(line as u128), 1)).collect()
}

#[test]
fn an_order_is_created_as_it_was_placed() {
    given([]).when(create_order([(TEA, 3), (MATE, 2)])).by(user(ANNA)).then([created()]);
}

#[test]
fn an_order_is_created_once() {
    for (_, history) in in_every_status() {
        given(history).when(create_order([(TEA, 3), (MATE, 2)])).rejected(Rejection::OrderExists);
    }
}

#[test]
fn an_order_is_placed_in_ones_own_name() {
    for somebody in [user(BERT), Auth::User("nobody".to_owned()), Auth::User(String::new())] {
        given([]).when(create_order([(TEA, 3)])).by(somebody).rejected(Rejection::NotYourName);
    }
}

#[test]
fn whoever_is_trusted_places_orders_for_anyone() {
    given([]).when(create_order([(TEA, 3), (MATE, 2)])).then([created()]);
    for auth in trusted() {
        given([]).when(create_order([(TEA, 3), (MATE, 2)])).by(auth).then([created()]);
    }
}

#[test]
fn an_order_has_1_to_100_lines() {
    for count in [1, 100] {
        let lines = different(count);
        let ordered = lines.iter().map(|(goods_id, _)| OrderedLine { goods_id: *goods_id, quantity: 1 });
        let created = OrderCreated { user_id: ANNA, lines: ordered.collect() };
        given([]).when(create_order(lines)).then([Event::OrderCreated(created)]);
    }
    given([]).when(create_order([])).rejected(Rejection::NoLines);
    given([]).when(create_order(different(101))).rejected(Rejection::TooManyLines { given: 101 });
}

#[test]
fn a_quantity_is_1_to_a_million() {
    for quantity in [1, 1_000_000] {
        let lines = vec![OrderedLine { goods_id: TEA, quantity }];
        given([])
            .when(create_order([(TEA, quantity.into())]))
            .then([Event::OrderCreated(OrderCreated { user_id: ANNA, lines })]);
    }
    for quantity in [0, -1, 1_000_001, i64::from(u32::MAX) + 2, i64::MIN, i64::MAX] {
        given([])
            .when(create_order([(TEA, 1), (MATE, quantity)]))
            .rejected(Rejection::QuantityOutOfRange { line: 1, given: quantity });
    }
}

#[test]
fn no_goods_stand_in_two_lines() {
    given([]).when(create_order([(TEA, 1), (MATE, 1), (TEA, 2)])).rejected(Rejection::GoodsTwice { line: 2 });
}

#[test]
fn an_order_that_nobody_placed_is_not_found() {
    for command in [
        pay(eur(1)),
        refund(None),
        cancel(),
        record(0, eur(1)),
        reject(sold_out()),
        Command::ExpireOrder(ExpireOrder {}),
    ] {
        given([]).when(command).by(user(ANNA)).rejected(Rejection::OrderNotFound);
    }
}

// ---- RecordReservation, RejectOrder: see `reservation`

fn record(line: u16, unit_price: Money) -> Command {
    Command::RecordReservation(RecordReservation { line, unit_price })
}

fn reject(reason: RejectionReason) -> Command {
    Command::RejectOrder(RejectOrder { reason })
}

#[path = "orders_reservation_test.rs"]
mod reservation;

// ---- PayOrder, RefundOrder: see `money`

fn pay(amount: Money) -> Command {
    Command::PayOrder(PayOrder { amount, method: "card".to_owned() })
}

fn refund(amount: Option<Money>) -> Command {
    Command::RefundOrder(RefundOrder { amount, reason: "broken".to_owned() })
}

#[path = "orders_money_test.rs"]
mod money;

// ---- CancelOrder

fn cancel() -> Command {
    Command::CancelOrder(CancelOrder { reason: "too late".to_owned() })
}

#[test]
fn an_order_is_called_off_before_it_is_paid_and_only_then() {
    for (status, history) in in_every_status() {
        let when = given(history).when(cancel()).by(user(ANNA));
        match status {
            Status::Created | Status::Confirmed => when.then([cancelled()]),
            Status::Cancelled => when.rejected(Rejection::NoChange),
            Status::Paid => when.rejected(Rejection::PaidNotCancellable),
            Status::Refunded | Status::Rejected | Status::Expired => {
                when.rejected(Rejection::OrderClosed { status })
            }
        }
    }
}

#[test]
fn an_order_is_called_off_by_its_owner_or_by_the_trusted() {
    for (_, history) in in_every_status() {
        given(history).when(cancel()).by(user(BERT)).rejected(Rejection::NotYourOrder);
    }
    for auth in trusted() {
        given(to_confirmed()).when(cancel()).by(auth).then([cancelled()]);
    }
    given(to_confirmed()).when(cancel()).then([cancelled()]);
}

#[test]
fn a_reason_has_1_to_500_characters() {
    let because = |reason: &str| Command::CancelOrder(CancelOrder { reason: reason.to_owned() });
    let reason = "ü".repeat(500);
    let cancelled = OrderCancelled { reason: reason.clone(), lines: lines() };
    given([created()]).when(because(&reason)).then([Event::OrderCancelled(cancelled)]);
    for reason in ["", &"ü".repeat(501)] {
        let invalid = Rejection::InvalidText { field: "reason".to_owned() };
        given([created()]).when(because(reason)).rejected(invalid);
    }
}

// ---- ExpireOrder

#[test]
fn only_an_unpaid_order_expires() {
    for (status, history) in in_every_status() {
        let when = given(history).when(Command::ExpireOrder(ExpireOrder {}));
        match status {
            Status::Created | Status::Confirmed => when.then([expired()]),
            _ => when.rejected(Rejection::NoChange),
        }
    }
}

// ---- What people see

#[test]
fn an_order_shows_where_it_is_and_what_was_paid() {
    for (status, history) in in_every_status() {
        let last = history.len() as u64;
        let order: Order = given(history).resource();
        assert_eq!((order.id, order.user_id, order.status), (id(5), ANNA, status));
        assert_eq!((order.version, order.created_at, order.updated_at), (last, time(1), time(last)));

        let (total, paid, refunded) = match status {
            Status::Created | Status::Rejected => (None, None, None),
            Status::Confirmed | Status::Cancelled | Status::Expired => (Some(eur(1000)), None, None),
            Status::Paid => (Some(eur(1000)), Some(eur(1000)), Some(eur(0))),
            Status::Refunded => (Some(eur(1000)), Some(eur(1000)), Some(eur(1000))),
        };
        assert_eq!((order.total, order.paid, order.refunded), (total, paid, refunded), "{status}");
        assert_eq!(order.rejection, (status == Status::Rejected).then(sold_out));

        let second_price = (!matches!(status, Status::Created | Status::Rejected)).then_some(eur(200));
        let line = |goods_id, quantity, unit_price| Line { goods_id, quantity, unit_price };
        assert_eq!(order.lines, [line(TEA, 3, Some(eur(200))), line(MATE, 2, second_price)]);
    }
}

#[test]
fn an_order_that_was_called_off_before_it_had_a_price_has_none() {
    for end in [cancelled(), expired()] {
        let order: Order = given([created(), end]).resource();
        assert_eq!(order.total, None);
    }
}

#[test]
fn an_answer_says_whether_the_command_or_the_state_is_to_blame() {
    use RejectionKind::{Conflict, Invalid, NoChange, NotFound};
    let (status, field, given) = (Status::Created, "method".to_owned(), eur(2));
    let (expected, other) = (eur(1).currency, usd(1).currency);
    for (rejection, kind, pointer) in [
        (Rejection::NoChange, NoChange, None),
        (Rejection::OrderNotFound, NotFound, None),
        (Rejection::NotYourOrder, NotFound, None),
        (Rejection::NotYourName, Invalid, Some("/user_id")),
        (Rejection::NoLines, Invalid, Some("/lines")),
        (Rejection::TooManyLines { given: 101 }, Invalid, Some("/lines")),
        (Rejection::QuantityOutOfRange { line: 3, given: 0 }, Invalid, Some("/lines/3/quantity")),
        (Rejection::GoodsTwice { line: 3 }, Invalid, Some("/lines/3/goods_id")),
        (Rejection::InvalidText { field }, Invalid, Some("/method")),
        (Rejection::NoSuchLine { line: 3 }, Invalid, Some("/line")),
        (Rejection::InvalidAmount { given: -1 }, Invalid, Some("/amount/amount")),
        (Rejection::WrongAmount { expected: eur(1), given }, Invalid, Some("/amount/amount")),
        (Rejection::RefundExceedsPayment { left: eur(1), given }, Invalid, Some("/amount/amount")),
        (Rejection::WrongCurrency { expected, given: other }, Invalid, Some("/amount/currency")),
        (Rejection::OrderExists, Conflict, None),
        (Rejection::OrderNotConfirmed, Conflict, None),
        (Rejection::OrderClosed { status }, Conflict, None),
        (Rejection::AlreadyPaid, Conflict, None),
        (Rejection::PaidNotCancellable, Conflict, None),
        (Rejection::NotPaid { status }, Conflict, None),
        (Rejection::AlreadyRefunded, Conflict, None),
    ] {
        assert_eq!((rejection.kind(), rejection.pointer().as_deref()), (kind, pointer), "{rejection:?}");
    }
    let as_another_sees_it = Rejection::NotYourOrder.to_string();
    assert_eq!(as_another_sees_it, Rejection::OrderNotFound.to_string(), "it tells nothing");
}

#[test]
fn only_streams_of_orders_are_orders() {
    let order: OrderId = id(7);
    assert_eq!(OrdersDecider::aggregate(order.stream().as_str()), Some(order));
    assert_eq!(OrdersDecider::aggregate(TEA.stream().as_str()), None);
}
