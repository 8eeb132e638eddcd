//! What the routes of goods say about themselves.

use factfold_schemas::goods::{AddGoods, AdjustStock, DiscontinueGoods, Goods, UpdateGoods};
use serde_json::json;

use super::ListParameters;
use crate::{
    documents::{
        components::Components,
        description::Description,
        example::Example,
        sample::{COFFEE, TEA, goods},
    },
    reading::body::MERGE_PATCH,
};

const ID: &str = "The goods' id.";

pub(in crate::routes) fn list(components: &mut Components) -> Description {
    let (tea, coffee) = (goods(TEA, 1, "Tea", 499, 10), goods(COFFEE, 1, "Coffee", 899, 5));
    Description::read("List goods")
        .query(components.query::<ListParameters>())
        .lists(&components.of::<Goods>())
        .example(
            Example::of("What is for sale")
                .query("discontinued", "false")
                .answer(json!({ "items": [coffee, tea], "next": null })),
        )
}

pub(in crate::routes) fn show(components: &mut Components) -> Description {
    Description::read("Show goods")
        .about(ID, "goods-not-found")
        .shows(components.of::<Goods>())
        .example(Example::of("Tea").about(TEA).answer(goods(TEA, 1, "Tea", 499, 10)))
}

pub(in crate::routes) fn add(components: &mut Components) -> Description {
    let body = |name: &str, amount: i64, stock: i64| json!({ "name": name, "price": { "amount": amount, "currency": "EUR" }, "stock": stock });
    Description::write("Offer new goods", components)
        .body(components.of::<AddGoods>())
        .creates(components.of::<Goods>())
        .refused(&["goods-exist", "invalid-name", "invalid-price", "invalid-stock"])
        .example(
            Example::of("Tea")
                .body(body("Tea", 499, 10))
                .status(201)
                .answer(goods(TEA, 1, "Tea", 499, 10))
                .keeps("/id", TEA),
        )
        .example(
            Example::of("Coffee")
                .body(body("Coffee", 899, 5))
                .status(201)
                .answer(goods(COFFEE, 1, "Coffee", 899, 5))
                .keeps("/id", COFFEE),
        )
}

pub(in crate::routes) fn update(components: &mut Components) -> Description {
    Description::write("Change name or price", components)
        .about(ID, "goods-not-found")
        .patch(components.of::<UpdateGoods>())
        .changes(components.of::<Goods>())
        .refused(&["goods-discontinued", "invalid-name", "invalid-price"])
        .example(
            Example::of("Another name")
                .about(TEA)
                .body_as(MERGE_PATCH, json!({ "name": "Green tea" }))
                .answer(goods(TEA, 2, "Green tea", 499, 10)),
        )
        .example(
            Example::of("Another price")
                .about(TEA)
                .body_as(MERGE_PATCH, json!({ "price": { "amount": 549, "currency": "EUR" } }))
                .answer(goods(TEA, 3, "Green tea", 549, 10)),
        )
}

pub(in crate::routes) fn adjust_stock(components: &mut Components) -> Description {
    Description::write("Count more or fewer pieces", components)
        .about(ID, "goods-not-found")
        .body(components.of::<AdjustStock>())
        .changes(components.of::<Goods>())
        .refused(&["goods-discontinued", "insufficient-stock", "invalid-stock", "invalid-reason"])
        .example(
            Example::of("A delivery")
                .about(TEA)
                .body(json!({ "delta": 20, "reason": "delivery" }))
                .answer(goods(TEA, 4, "Green tea", 549, 30)),
        )
}

pub(in crate::routes) fn discontinue(components: &mut Components) -> Description {
    Description::write("Sell no more of it", components)
        .about(ID, "goods-not-found")
        .body_or_nothing(components.of::<DiscontinueGoods>())
        .changes(components.of::<Goods>())
        .example(
            Example::of("No more coffee")
                .about(COFFEE)
                .answer(Goods { discontinued: true, ..goods(COFFEE, 2, "Coffee", 899, 5) }),
        )
}
