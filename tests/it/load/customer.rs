//! What people do over HTTP: offer goods, order them, pay, change their minds.

use factfold_schemas::ids::OrderId;
use serde_json::{Value, json};

use super::{
    Dice,
    http::{Session, Wanted},
};

/// So few pieces that some orders find nothing left. The first goods of everybody are such, however short the load.
const SCARCE: u32 = 3;

/// Comes again and again, until the load is over. It offers goods and orders them: it has both roles.
pub(crate) async fn customer(session: Session<'_>) {
    let mut dice = session.load.dice();
    add_goods(&session, &mut dice, SCARCE).await;
    while !session.load.is_over() {
        match dice.roll(100) {
            0..50 => order(&session, &mut dice).await,
            50..65 => adjust(&session, &mut dice).await,
            65..75 => update(&session, &mut dice).await,
            75..80 => {
                let stock = [SCARCE, 10, 100_000][dice.roll(3) as usize];
                add_goods(&session, &mut dice, stock).await;
            }
            _ => meddle(&session, &mut dice).await,
        }
    }
}

async fn add_goods(session: &Session<'_>, dice: &mut Dice, stock: u32) {
    let price = json!({ "amount": 1 + dice.roll(1000), "currency": "EUR" });
    let wanted = Wanted::post("/v1/goods", json!({ "name": "Tea", "price": price, "stock": stock }));
    let added = session.write(dice, &wanted).await;
    if let Some(id) = added.and_then(|(goods, _)| goods["id"].as_str()?.parse().ok()) {
        session.load.book(|book| book.goods.push(id));
    }
}

async fn adjust(session: &Session<'_>, dice: &mut Dice) {
    let path = format!("/v1/goods/{}/stock-adjustments", session.load.any_goods(dice));
    let delta = dice.roll(9) as i64 - 4;
    session.write(dice, &Wanted::post(path, json!({ "delta": delta, "reason": "counted" }))).await;
}

async fn update(session: &Session<'_>, dice: &mut Dice) {
    let path = format!("/v1/goods/{}", session.load.any_goods(dice));
    let body = match dice.roll(3) {
        0 => json!({ "name": format!("Tea {}", dice.roll(3)) }),
        1 => json!({ "price": { "amount": 1 + dice.roll(1000), "currency": "EUR" } }),
        _ => json!({ "name": "Mate", "price": { "amount": 7, "currency": "EUR" } }),
    };
    session.write(dice, &Wanted::patch(path, body)).await;
}

/// Orders, waits for the reservation, and goes on from there.
async fn order(session: &Session<'_>, dice: &mut Dice) {
    let mut goods = vec![session.load.any_goods(dice)];
    for _ in 0..dice.roll(3) {
        let more = session.load.any_goods(dice);
        if !goods.contains(&more) || dice.one_in(20) {
            goods.push(more);
        }
    }
    let line = |goods_id| json!({ "goods_id": goods_id, "quantity": 1 + dice.roll(3) });
    let lines: Vec<Value> = goods.into_iter().map(line).collect();
    let wanted = Wanted::post("/v1/orders", json!({ "lines": lines }));
    let Some((order, position)) = session.write(dice, &wanted).await else { return };
    let Some(id) = order["id"].as_str().and_then(|id| id.parse::<OrderId>().ok()) else { return };
    session.load.book(|book| book.orders.push(id));
    if dice.one_in(10) {
        return cancel(session, dice, id).await;
    }
    let Some(order) = session.read(&format!("/v1/orders/{id}?until=confirmed"), position).await else {
        if !session.load.is_over() {
            session.load.surprise(format!("order {id} was created, and a read does not show it"));
        }
        return;
    };
    let Some(total) = order["total"]["amount"].as_i64() else { return };
    match dice.roll(10) {
        0 => cancel(session, dice, id).await,
        1 => {}
        _ => {
            if dice.one_in(5) {
                pay(session, dice, id, total + 1).await;
            }
            pay(session, dice, id, total).await;
            refund(session, dice, id, total).await;
        }
    }
}

async fn pay(session: &Session<'_>, dice: &mut Dice, id: OrderId, amount: i64) {
    let body = json!({ "amount": { "amount": amount, "currency": "EUR" }, "method": "card" });
    session.write(dice, &Wanted::post(format!("/v1/orders/{id}/payment"), body)).await;
}

async fn refund(session: &Session<'_>, dice: &mut Dice, id: OrderId, total: i64) {
    let amount =
        |amount: i64| json!({ "amount": { "amount": amount, "currency": "EUR" }, "reason": "broken" });
    let bodies = match dice.roll(5) {
        0 => vec![amount(1), json!({ "reason": "all of it" })],
        1 => vec![json!({ "reason": "all of it" })],
        2 => vec![amount(total + 1), amount(1.max(total / 2)), amount(1.max(total / 2))],
        _ => Vec::new(),
    };
    for body in bodies {
        session.write(dice, &Wanted::post(format!("/v1/orders/{id}/refunds"), body)).await;
    }
}

async fn cancel(session: &Session<'_>, dice: &mut Dice, id: OrderId) {
    let wanted = Wanted::post(format!("/v1/orders/{id}/cancellation"), json!({ "reason": "too late" }));
    session.write(dice, &wanted).await;
}

/// Does something to an order at any time of its life, be it one's own or another's.
async fn meddle(session: &Session<'_>, dice: &mut Dice) {
    let Some(id) = session.load.any_order(dice) else { return };
    match dice.roll(3) {
        0 => {
            let amount = dice.roll(100) as i64;
            pay(session, dice, id, amount).await;
        }
        1 => cancel(session, dice, id).await,
        _ => refund(session, dice, id, 2).await,
    }
}
