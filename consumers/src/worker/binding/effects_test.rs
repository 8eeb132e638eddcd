//! What a function may return, and what is said when it returns something else.

use factfold_schemas::ids::{GoodsId, OrderId, UserId};
use serde_json::json;

use super::*;
use crate::given::id;

const ORDER: OrderId = id(1);

fn wrong(output: Value) -> String {
    read(&output.to_string()).expect_err("refused")
}

fn command(type_name: &str, stream: &str, data: Value) -> Value {
    json!({ "commands": [{ "type": type_name, "stream": stream, "data": data }] })
}

#[test]
fn nothing_is_no_effect() {
    for nothing in ["", " \n", "null", "{}", r#"{"commands":[],"events":[]}"#] {
        let effects = read(nothing).expect("it is all right");
        assert!(matches!(effects.state, Kept::AsItIs), "{nothing}");
        assert!(effects.commands.is_empty() && effects.events.is_empty(), "{nothing}");
    }
}

#[test]
fn a_command_is_spelt_as_its_type_writes_it() {
    let stream = ORDER.stream();
    let output = command(
        "RefundOrder",
        stream.as_str(),
        json!({ "reason": "x", "amount": { "currency": "EUR", "amount": 5 } }),
    );
    let effects = read(&output.to_string());
    let command = effects.expect("a command").commands.remove(0).command;
    assert_eq!((command.type_name.as_str(), command.stream), ("RefundOrder", stream));
    assert_eq!(
        String::from_utf8_lossy(&command.value),
        r#"{"amount":{"amount":5,"currency":"EUR"},"reason":"x"}"#
    );
}

#[test]
fn what_is_wrong_is_named_by_its_place() {
    let order = ORDER.stream();
    let long = "x".repeat(STATE_BYTES_MAX);
    let huge = "x".repeat(VALUE_BYTES_MAX);
    let cases = [
        (json!([]), "what it returned must be an object with state, commands, events"),
        (json!({ "result": 3 }), "/result is unknown here"),
        (json!({ "a/b": 3 }), "/a~1b is unknown here"),
        (json!({ "state": long }), "/state has 65538 bytes: at most 65536 are kept for a key"),
        (json!({ "commands": {} }), "/commands must be a list"),
        (
            json!({ "events": vec![json!({ "type": "A", "data": 1 }); 101] }),
            "/events has 101 items: at most 100",
        ),
        (json!({ "commands": [null] }), "/commands/0 must be an object with type, stream, data, notbefore"),
        (
            json!({ "commands": [{ "type": "CancelOrder" }] }),
            "/commands/0/stream is missing; /commands/0/data is missing",
        ),
        (
            json!({ "commands": [{ "type": 1, "stream": "x", "data": {}, "who": 1 }] }),
            "/commands/0/who is unknown here",
        ),
        (command("SellGoods", "x", json!({})), "/commands/0/type is no type of command (known: AddGoods, "),
        (
            command("CancelOrder", "order-5", json!({ "reason": "x" })),
            "/commands/0/stream is no stream of the orders service",
        ),
        (
            command(
                "CancelOrder",
                id::<factfold_schemas::ids::Goods>(1).stream().as_str(),
                json!({ "reason": "x" }),
            ),
            "/commands/0/stream is no stream of the orders service",
        ),
        (
            command("CancelOrder", order.as_str(), json!({ "reason": 5 })),
            "/commands/0/data/reason must be a text, but 5",
        ),
        (
            command("CancelOrder", order.as_str(), json!({ "reason": "a\0b" })),
            "/commands/0/data/reason must not hold",
        ),
        (
            json!({ "commands": [{ "type": "CancelOrder", "stream": order.as_str(), "data": { "reason": "x" }, "notbefore": "soon" }] }),
            "/commands/0/notbefore must be a time",
        ),
        (json!({ "events": [{ "type": "", "data": 1 }] }), "/events/0/type must be 1 to 100 characters"),
        (json!({ "events": [{ "type": "A" }] }), "/events/0/data is missing"),
        (
            json!({ "events": [{ "type": "A", "data": 1, "subject": null }] }),
            "/events/0/subject must be a text",
        ),
        (
            json!({ "events": [{ "type": "A", "data": 1, "subject": "a\nb" }] }),
            "/events/0/subject must be 1 to 1024 bytes",
        ),
        (
            json!({ "events": [{ "type": "A", "data": huge }] }),
            "/events/0/data has 262146 bytes: at most 262144",
        ),
        (
            json!({ "events": [{ "type": "A", "data": "\0" }] }),
            "/events/0/data must not hold the character U+0000",
        ),
    ];
    for (output, expected) in cases {
        let said = wrong(output);
        assert!(said.contains(expected), "{said}\n  does not say\n{expected}");
    }
    assert!(read("{").expect_err("refused").starts_with("what it returned is no JSON: "));
}

#[test]
fn few_things_are_said_at_once() {
    let said = wrong(json!({ "a": 1, "b": 1, "c": 1, "d": 1, "e": 1, "f": 1, "g": 1 }));
    assert!(
        said.contains("/e is unknown") && !said.contains("/f is") && said.ends_with("; and 2 more"),
        "{said}"
    );
}

/// A function acts for anyone, but not as the system's own reactors, nor as people who change who may what; and what it says
/// about a person would lie on a topic in the clear. (Each was seen sent with its line of the rule taken out.)
#[test]
fn what_only_others_may_send_is_refused() {
    let (goods, user): (GoodsId, UserId) = (id(2), id(3));
    let refused = |type_name, stream: &str, data, why| {
        let said = wrong(command(type_name, stream, data));
        let expected = format!("/commands/0/type {type_name} cannot be sent by a function: {why}");
        assert!(said.contains(&expected), "{said}");
    };
    let (user, function) = (user.stream(), "function-add");
    refused("ExpireOrder", ORDER.stream().as_str(), json!({}), "only the system itself does");
    refused("ReserveStock", goods.stream().as_str(), json!({}), "only the system itself does");
    refused("OpenSession", user.as_str(), json!({}), "only the system itself does");
    refused("ChangePassword", user.as_str(), json!({}), "only the system itself does");
    refused("UpdateProfile", user.as_str(), json!({ "name": "Anna" }), "accounts, and what people may");
    refused("GrantRole", user.as_str(), json!({ "role": "admin" }), "accounts, and what people may");
    refused("ErasePersonalData", user.as_str(), json!({}), "accounts, and what people may");
    refused("RemoveFunction", function, json!({}), "functions are deployed and bound by people");

    // What it may is here in full, so that a command that is new must be thought about.
    let said = wrong(command("?", "x", json!({})));
    let may = "AddGoods, AdjustStock, CancelOrder, CreateOrder, DiscontinueGoods, PayOrder, RefundOrder, UpdateGoods";
    assert!(said.contains(&format!("(known: {may})")), "{said}");
}
