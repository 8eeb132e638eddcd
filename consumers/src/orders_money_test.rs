//! Paying and giving back.

use super::*;

/// Paid, and partly given back.
fn to_partly_refunded() -> Vec<Event> {
    [to_paid(), vec![refunded(eur(400), eur(400), false)]].concat()
}

#[test]
fn an_order_is_paid_after_it_is_confirmed_and_only_once() {
    for (status, history) in in_every_status() {
        let when = given(history).when(pay(eur(1000))).by(user(ANNA));
        match status {
            Status::Confirmed => when.then([paid(eur(1000))]),
            Status::Created => when.rejected(Rejection::OrderNotConfirmed),
            Status::Paid | Status::Refunded => when.rejected(Rejection::AlreadyPaid),
            Status::Rejected | Status::Cancelled | Status::Expired => {
                when.rejected(Rejection::OrderClosed { status });
            }
        }
    }
    given(to_partly_refunded()).when(pay(eur(1000))).rejected(Rejection::AlreadyPaid);
}

#[test]
fn an_order_is_paid_by_its_owner_or_by_the_trusted() {
    for (_, history) in in_every_status() {
        given(history).when(pay(eur(1000))).by(user(BERT)).rejected(Rejection::NotYourOrder);
    }
    for auth in trusted() {
        given(to_confirmed()).when(pay(eur(1000))).by(auth).then([paid(eur(1000))]);
    }
    given(to_confirmed()).when(pay(eur(1000))).then([paid(eur(1000))]);
}

#[test]
fn an_order_is_paid_exactly() {
    for amount in [0, 1, 999, 1001, AMOUNT_MAX] {
        let wrong = Rejection::WrongAmount { expected: eur(1000), given: eur(amount) };
        given(to_confirmed()).when(pay(eur(amount))).rejected(wrong);
    }
    for amount in [-1, -1000, AMOUNT_MAX + 1, i64::MIN, i64::MAX] {
        given(to_confirmed()).when(pay(eur(amount))).rejected(Rejection::InvalidAmount { given: amount });
    }
    let wrong = Rejection::WrongCurrency { expected: eur(0).currency, given: usd(0).currency };
    given(to_confirmed()).when(pay(usd(1000))).rejected(wrong);
}

#[test]
fn the_largest_amount_can_be_paid_and_given_back() {
    let most = eur(AMOUNT_MAX);
    let history = || vec![created(), line_reserved(0, eur(0)), line_reserved(1, eur(0)), confirmed(most)];
    given(history()).when(pay(most)).then([paid(most)]);
    given([history(), vec![paid(most)]].concat()).when(refund(Some(most))).then([refunded(most, most, true)]);
}

#[test]
fn what_is_free_is_paid_with_nothing() {
    let free = [created(), line_reserved(0, eur(0)), line_reserved(1, eur(0)), confirmed(eur(0))];
    given(free.clone()).when(pay(eur(0))).then([paid(eur(0))]);
    let paid = || free.clone().into_iter().chain([paid(eur(0))]);
    given(paid()).when(refund(None)).then([refunded(eur(0), eur(0), true)]);
    given(paid()).when(refund(Some(eur(0)))).rejected(Rejection::InvalidAmount { given: 0 });
}

#[test]
fn a_method_has_1_to_500_characters() {
    let by = |method: &str| Command::PayOrder(PayOrder { amount: eur(1000), method: method.to_owned() });
    let method = "ü".repeat(500);
    let paid = OrderPaid { amount: eur(1000), method: method.clone() };
    given(to_confirmed()).when(by(&method)).then([Event::OrderPaid(paid)]);
    for method in ["", &"ü".repeat(501)] {
        let invalid = Rejection::InvalidText { field: "method".to_owned() };
        given(to_confirmed()).when(by(method)).rejected(invalid);
    }
}

#[test]
fn only_what_was_paid_is_given_back_and_only_once() {
    for (status, history) in in_every_status() {
        let when = given(history).when(refund(None));
        match status {
            Status::Paid => when.then([refunded(eur(1000), eur(1000), true)]),
            Status::Refunded => when.rejected(Rejection::AlreadyRefunded),
            _ => when.rejected(Rejection::NotPaid { status }),
        }
    }
}

#[test]
fn a_part_is_given_back_and_then_the_rest() {
    given(to_paid()).when(refund(Some(eur(400)))).then([refunded(eur(400), eur(400), false)]);
    given(to_partly_refunded()).when(refund(Some(eur(599)))).then([refunded(eur(599), eur(999), false)]);
    for rest in [None, Some(eur(600))] {
        given(to_partly_refunded()).when(refund(rest)).then([refunded(eur(600), eur(1000), true)]);
    }
}

#[test]
fn a_partly_refunded_order_is_still_paid() {
    let order: Order = given(to_partly_refunded()).resource();
    assert_eq!(order.status, Status::Paid);
    let amounts = (order.total, order.paid, order.refunded);
    assert_eq!(amounts, (Some(eur(1000)), Some(eur(1000)), Some(eur(400))));
}

#[test]
fn every_part_that_was_given_back_counts() {
    let twice = || [to_partly_refunded(), vec![refunded(eur(599), eur(999), false)]].concat();
    let exceeds = Rejection::RefundExceedsPayment { left: eur(1), given: eur(2) };
    given(twice()).when(refund(Some(eur(2)))).rejected(exceeds);

    let whole = [twice(), vec![refunded(eur(1), eur(1000), true)]].concat();
    let order: Order = given(whole).resource();
    assert_eq!(order.status, Status::Refunded);
    let amounts = (order.total, order.paid, order.refunded);
    assert_eq!(amounts, (Some(eur(1000)), Some(eur(1000)), Some(eur(1000))));
}

#[test]
fn no_more_is_given_back_than_is_left() {
    for amount in [601, AMOUNT_MAX] {
        let exceeds = Rejection::RefundExceedsPayment { left: eur(600), given: eur(amount) };
        given(to_partly_refunded()).when(refund(Some(eur(amount)))).rejected(exceeds);
    }
    for amount in [0, -1, AMOUNT_MAX + 1, i64::MIN, i64::MAX] {
        given(to_paid()).when(refund(Some(eur(amount)))).rejected(Rejection::InvalidAmount { given: amount });
    }
    let wrong = Rejection::WrongCurrency { expected: eur(0).currency, given: usd(0).currency };
    given(to_paid()).when(refund(Some(usd(1)))).rejected(wrong);
}

#[test]
fn a_refund_is_the_merchants_to_give() {
    given(to_paid()).when(refund(None)).by(user(BERT)).then([refunded(eur(1000), eur(1000), true)]);
}

#[test]
fn a_refund_has_a_reason_of_1_to_500_characters() {
    for reason in ["", &"ü".repeat(501)] {
        let because = RefundOrder { amount: None, reason: reason.to_owned() };
        let invalid = Rejection::InvalidText { field: "reason".to_owned() };
        given(to_paid()).when(Command::RefundOrder(because)).rejected(invalid);
    }
    let reason = "ü".repeat(500);
    let because = RefundOrder { amount: None, reason: reason.clone() };
    let refunded = OrderRefunded { amount: eur(1000), refunded: eur(1000), in_full: true, reason };
    given(to_paid()).when(Command::RefundOrder(because)).then([Event::OrderRefunded(refunded)]);
}
