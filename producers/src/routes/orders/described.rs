//! What the routes of orders say about themselves.

use factfold_schemas::orders::{CancelOrder, CreateOrder, Order, PayOrder, RefundOrder, Status};
use serde_json::json;

use super::{ListParameters, ShowParameters};
use crate::{
    access::Role,
    documents::{
        components::Components,
        description::Description,
        example::Example,
        sample::{ORDER, OTHER_ORDER, TEA, eur, order},
    },
};

const ID: &str = "The order's id.";

pub(in crate::routes) fn list(components: &mut Components) -> Description {
    Description::read("List orders")
        .detail("One's own; merchants and auditors see all.")
        .query(components.query::<ListParameters>())
        .lists(&components.of::<Order>())
        .example(
            Example::of("Whoever waits for tea")
                .by(Role::Merchant)
                .query("goods_id", TEA)
                .query("limit", "10")
                .answer(json!({ "items": [order(ORDER, 1, Status::Created)], "next": null })),
        )
}

pub(in crate::routes) fn show(components: &mut Components) -> Description {
    Description::read("Show an order")
        .about(ID, "order-not-found")
        .query(components.query::<ShowParameters>())
        .shows(components.of::<Order>())
        .example(Example::of("Once it is confirmed").about(ORDER).query("until", "confirmed").answer(order(
            ORDER,
            3,
            Status::Confirmed,
        )))
        .refused(&["log-unavailable"])
}

pub(in crate::routes) fn create(components: &mut Components) -> Description {
    let example = |name, id| {
        Example::of(name)
            .body(json!({ "lines": [{ "goods_id": TEA, "quantity": 2 }] }))
            .status(201)
            .answer(order(id, 1, Status::Created))
            .keeps("/id", id)
    };
    Description::write("Order goods", components)
        .detail("In the caller's own name. The goods are reserved and the price is fixed next: wait for `confirmed`, then pay.")
        .body(components.without::<CreateOrder>("user_id"))
        .creates(components.of::<Order>())
        .refused(&["order-exists", "no-lines", "too-many-lines", "quantity-out-of-range", "goods-twice"])
        .example(example("Two teas", ORDER))
        .example(example("Two more teas", OTHER_ORDER))
}

pub(in crate::routes) fn pay(components: &mut Components) -> Description {
    Description::write("Pay an order", components)
        .detail("The whole of it, once it is confirmed.")
        .about(ID, "order-not-found")
        .body(components.of::<PayOrder>())
        .changes(components.of::<Order>())
        .refused(&[
            "order-not-confirmed",
            "order-closed",
            "already-paid",
            "invalid-amount",
            "wrong-amount",
            "wrong-currency",
            "invalid-text",
        ])
        .example(
            Example::of("By card")
                .about(ORDER)
                .body(json!({ "amount": eur(1098), "method": "card" }))
                .answer(order(ORDER, 4, Status::Paid)),
        )
}

pub(in crate::routes) fn refund(components: &mut Components) -> Description {
    Description::write("Give money back", components)
        .detail("Without an amount, all that is left. It moves money, not stock.")
        .about(ID, "order-not-found")
        .body(components.of::<RefundOrder>())
        .changes(components.of::<Order>())
        .refused(&[
            "not-paid",
            "already-refunded",
            "refund-exceeds-payment",
            "invalid-amount",
            "wrong-currency",
            "invalid-text",
        ])
        .example(
            Example::of("A part of it")
                .about(ORDER)
                .body(json!({ "amount": eur(98), "reason": "a broken cup" }))
                .answer(Order { refunded: Some(eur(98)), ..order(ORDER, 5, Status::Paid) }),
        )
        .example(
            Example::of("The rest of it")
                .about(ORDER)
                .body(json!({ "reason": "nothing but broken cups" }))
                .answer(order(ORDER, 6, Status::Refunded)),
        )
}

pub(in crate::routes) fn cancel(components: &mut Components) -> Description {
    Description::write("Call an order off", components)
        .detail("As long as it is not paid.")
        .about(ID, "order-not-found")
        .body(components.of::<CancelOrder>())
        .changes(components.of::<Order>())
        .refused(&["order-closed", "paid-not-cancellable", "invalid-text"])
        .example(
            Example::of("Changed my mind")
                .about(OTHER_ORDER)
                .body(json!({ "reason": "changed my mind" }))
                .answer(order(OTHER_ORDER, 2, Status::Cancelled)),
        )
}
