//! What the goods' answers do to an order.

use super::*;

#[test]
fn an_order_is_confirmed_when_its_last_line_is_reserved() {
    given([created()]).when(record(1, eur(250))).then([line_reserved(1, eur(250))]);
    given([created(), line_reserved(1, eur(250))])
        .when(record(0, eur(100)))
        .then([line_reserved(0, eur(100)), confirmed(eur(800))]);
}

#[test]
fn what_is_free_can_be_ordered() {
    given([created(), line_reserved(0, eur(0))])
        .when(record(1, eur(0)))
        .then([line_reserved(1, eur(0)), confirmed(eur(0))]);
}

#[test]
fn a_line_is_reserved_once() {
    let before = [created(), line_reserved(0, eur(200))];
    for price in [eur(200), eur(300), usd(200)] {
        given(before.clone()).when(record(0, price)).rejected(Rejection::NoChange);
    }
}

#[test]
fn a_reservation_that_comes_late_changes_nothing() {
    for (status, history) in in_every_status() {
        if status != Status::Created {
            given(history).when(record(1, eur(200))).rejected(Rejection::NoChange);
        }
    }
}

#[test]
fn a_line_that_the_order_does_not_have_is_not_reserved() {
    for line in [2, u16::MAX] {
        given([created()]).when(record(line, eur(1))).rejected(Rejection::NoSuchLine { line });
    }
}

#[test]
fn lines_in_different_currencies_reject_the_order() {
    let differ = RejectionReason {
        name: "currencies-differ".to_owned(),
        detail: "line 1 is priced in USD, the lines before in another currency".to_owned(),
        line: 1,
    };
    given([created(), line_reserved(0, eur(200))]).when(record(1, usd(200))).then([rejected(differ)]);
}

#[test]
fn a_total_beyond_the_largest_amount_rejects_the_order() {
    let too_large = |line| {
        let detail = "the order's total passes 2^53-1 minor units".to_owned();
        rejected(RejectionReason { name: "total-too-large".to_owned(), detail, line })
    };
    // Twice the second price fits, three times the first is what the sum leaves room for, and then one more.
    let half = AMOUNT_MAX / 2;
    assert_eq!(AMOUNT_MAX, half * 2 + 1);
    given([created(), line_reserved(0, eur(0))])
        .when(record(1, eur(half)))
        .then([line_reserved(1, eur(half)), confirmed(eur(AMOUNT_MAX - 1))]);
    given([created(), line_reserved(0, eur(0))]).when(record(1, eur(half + 1))).then([too_large(1)]);
    given([created(), line_reserved(1, eur(half))]).when(record(0, eur(1))).then([too_large(0)]);
    given([created(), line_reserved(0, eur(0))]).when(record(1, eur(i64::MAX))).then([too_large(1)]);
}

#[test]
fn an_order_that_cannot_be_had_is_rejected_with_the_reason() {
    for history in [vec![created()], vec![created(), line_reserved(0, eur(200))]] {
        given(history).when(reject(sold_out())).then([rejected(sold_out())]);
    }
}

#[test]
fn only_an_order_that_is_still_being_reserved_is_rejected() {
    for (status, history) in in_every_status() {
        if status != Status::Created {
            given(history).when(reject(sold_out())).rejected(Rejection::NoChange);
        }
    }
}
