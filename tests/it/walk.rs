//! The walk: goods added, an order created, confirmed by the reactors, paid, refunded, over HTTP; and every wrong turn
//! refused by a problem of its own.

use std::time::Instant;

use factfold_producers::access::Role;
use factfold_schemas::ids::{GoodsId, OrderId};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    system::{Client, System},
    world::PATIENCE,
};

fn eur(amount: i64) -> Value {
    json!({ "amount": amount, "currency": "EUR" })
}

pub(crate) async fn goods(merchant: &Client, stock: i64, price: i64) -> String {
    let body = json!({ "name": "Tea", "price": eur(price), "stock": stock });
    merchant.post("/v1/goods", body).await.expect(201).text("id")
}

pub(crate) async fn order(customer: &Client, goods: &str, quantity: i64) -> String {
    let body = json!({ "lines": [{ "goods_id": goods, "quantity": quantity }] });
    customer.post("/v1/orders", body).await.expect(201).text("id")
}

pub(crate) async fn confirmed(customer: &Client, order: &str) -> Value {
    let answer = customer.get(&format!("/v1/orders/{order}?until=confirmed")).await.expect(200);
    assert_eq!(answer.body["status"], "confirmed");
    answer.body
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_created_confirmed_paid_and_refunded() {
    let system = System::start().await;
    walk(&system.client(&[Role::Merchant]), &system.client(&[Role::Customer])).await;
    system.stop().await;
}

/// The walk of a merchant and a customer.
pub(crate) async fn walk(merchant: &Client, customer: &Client) {
    let tea = goods(merchant, 10, 499).await;
    let created = customer
        .post("/v1/orders", json!({ "lines": [{ "goods_id": tea, "quantity": 2 }] }))
        .await
        .expect(201);
    let id = created.text("id");
    assert_eq!(created.header("location"), format!("/v1/orders/{id}"));
    assert_eq!(created.body["status"], "created");
    assert_eq!(created.body["user_id"], json!(customer.user));

    // With its position: the gateway that answers may be another one.
    let (until, position) = (format!("/v1/orders/{id}?until=confirmed"), created.header("factfold-position"));
    let order = customer.get_at(&until, position).await.expect(200).body;
    assert_eq!(order["status"], "confirmed");
    assert_eq!(order["total"], eur(998));
    assert_eq!(order["lines"][0]["unit_price"], eur(499));

    let unpaid = Timestamp::now();
    while Timestamp::now().as_millisecond() <= unpaid.as_millisecond() + 1 {
        tokio::task::yield_now().await;
    }

    let pay = |amount| json!({ "amount": eur(amount), "method": "card" });
    let paid = customer.post(&format!("/v1/orders/{id}/payment"), pay(998)).await.expect(200);
    assert_eq!((&paid.body["status"], &paid.body["paid"]), (&json!("paid"), &eur(998)));
    let refund = |amount: i64| json!({ "amount": eur(amount), "reason": "a broken cup" });
    let part = merchant.post(&format!("/v1/orders/{id}/refunds"), refund(98)).await.expect(200);
    assert_eq!((&part.body["status"], &part.body["refunded"]), (&json!("paid"), &eur(98)));
    let rest = merchant
        .post(&format!("/v1/orders/{id}/refunds"), json!({ "reason": "all of it" }))
        .await
        .expect(200);
    assert_eq!((&rest.body["status"], &rest.body["refunded"]), (&json!("refunded"), &eur(998)));

    // The read models show the same, at the position of the last write.
    let read =
        customer.get_at(&format!("/v1/orders/{id}"), rest.header("factfold-position")).await.expect(200);
    assert_eq!(read.body, rest.body);
    // As it was before; and before it was at all.
    let as_of = |time: &str| format!("/v1/orders/{id}?as-of={time}");
    assert_eq!(customer.get(&as_of(&unpaid.to_string())).await.expect(200).body, order);
    customer.get(&as_of("2020-01-01T00:00:00Z")).await.expect_problem(404, "order-not-found");
    customer.get(&as_of("noon")).await.expect_problem(400, "invalid-parameter");

    // Reserved by a reactor: no position of the client's says when the goods show it.
    let deadline = Instant::now() + PATIENCE;
    let stock = async || customer.get(&format!("/v1/goods/{tea}")).await.expect(200).body["stock"].clone();
    while stock().await != 8 {
        assert!(Instant::now() < deadline, "a refund moves money, not stock: {}", stock().await);
    }
    let mine = customer.get("/v1/orders").await.expect(200);
    assert_eq!(mine.body["items"], json!([rest.body]));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_turn_has_a_problem_of_its_own() {
    let system = System::start().await;
    let (merchant, customer) = (system.client(&[Role::Merchant]), system.client(&[Role::Customer]));
    let stranger = system.client(&[Role::Customer]);
    let tea = goods(&merchant, 3, 500).await;
    let id = order(&customer, &tea, 2).await;
    confirmed(&customer, &id).await;
    let (payment, refunds, cancellation) = (
        format!("/v1/orders/{id}/payment"),
        format!("/v1/orders/{id}/refunds"),
        format!("/v1/orders/{id}/cancellation"),
    );
    let pay = |money: Value| json!({ "amount": money, "method": "card" });
    let refund = |money: Value| json!({ "amount": money, "reason": "test" });

    stranger.post(&payment, pay(eur(1000))).await.expect_problem(404, "order-not-found");
    stranger.get(&format!("/v1/orders/{id}")).await.expect_problem(404, "order-not-found");
    customer.post(&payment, pay(eur(999))).await.expect_problem(422, "wrong-amount");
    let dollars = json!({ "amount": 1000, "currency": "USD" });
    customer.post(&payment, pay(dollars)).await.expect_problem(422, "wrong-currency");
    merchant.post(&refunds, refund(eur(1))).await.expect_problem(409, "not-paid");
    customer.post(&payment, pay(eur(1000))).await.expect(200);
    customer.post(&payment, pay(eur(1000))).await.expect_problem(409, "already-paid");
    customer
        .post(&cancellation, json!({ "reason": "late" }))
        .await
        .expect_problem(409, "paid-not-cancellable");
    customer.post(&refunds, refund(eur(1))).await.expect_problem(403, "forbidden");
    merchant.post(&refunds, refund(eur(1001))).await.expect_problem(422, "refund-exceeds-payment");
    merchant.post(&refunds, refund(eur(1000))).await.expect(200);
    merchant.post(&refunds, refund(eur(1))).await.expect_problem(409, "already-refunded");

    // What cannot be had is ordered, and rejected with its reason.
    for (goods, reason) in [(GoodsId::generate().to_string(), "unknown-goods"), (tea.clone(), "sold-out")] {
        let id = order(&customer, &goods, 2).await;
        let over = customer.get(&format!("/v1/orders/{id}?until=confirmed")).await.expect(200);
        assert_eq!(
            (&over.body["status"], &over.body["rejection"]["name"]),
            (&json!("rejected"), &json!(reason))
        );
        let late = customer.post(&format!("/v1/orders/{id}/payment"), pay(eur(1000))).await;
        late.expect_problem(409, "order-closed");
    }
    let taken = json!({ "delta": -2, "reason": "test" });
    let adjust = format!("/v1/goods/{tea}/stock-adjustments");
    merchant.post(&adjust, taken).await.expect_problem(409, "insufficient-stock");
    customer.post(&adjust, json!({ "delta": 1, "reason": "test" })).await.expect_problem(403, "forbidden");

    let nobody = system.impostor(None);
    nobody.get("/v1/orders").await.expect_problem(401, "unauthenticated");
    system.impostor(Some("forged")).get("/v1/orders").await.expect_problem(401, "unauthenticated");
    let missing = OrderId::generate();
    customer
        .post(&format!("/v1/orders/{missing}/payment"), pay(eur(1)))
        .await
        .expect_problem(404, "order-not-found");

    // All bad fields at once.
    let wrong = json!({ "lines": [{ "goods_id": "tea", "quantity": 0 }], "colour": "red" });
    let answer = customer.post("/v1/orders", wrong).await.expect(422);
    let pointers: Vec<&str> = answer.body["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .filter_map(|e| e["pointer"].as_str())
        .collect();
    for pointer in ["#/colour", "#/lines/0/goods_id", "#/lines/0/quantity"] {
        assert!(pointers.contains(&pointer), "{pointer} in {}", answer.body);
    }
    system.stop().await;
}

/// Read your writes: 200 writes, each followed by a read at its position, through the read model: none stale. (Seen
/// failing when they do not wait.)
#[tokio::test(flavor = "multi_thread")]
async fn no_read_at_a_position_is_stale() {
    let system = System::start().await;
    let merchant = system.client(&[Role::Merchant]);
    let tea = goods(&merchant, 0, 500).await;
    for pieces in 1..=200 {
        let adjust = json!({ "delta": 1, "reason": "delivery" });
        let written = merchant.post(&format!("/v1/goods/{tea}/stock-adjustments"), adjust).await.expect(200);
        // Somebody else reads, whose own writes would not help.
        let reader = system.client(&[]);
        let read =
            reader.get_at(&format!("/v1/goods/{tea}"), written.header("factfold-position")).await.expect(200);
        assert_eq!(read.body["stock"], pieces);
        assert_eq!(read.body, written.body);
    }
    system.stop().await;
}
