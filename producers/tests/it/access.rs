//! Who may come in.

use std::time::Duration;

use factfold_producers::access::{Operation, Role, Who};
use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::json;
use strum::VariantArray;

use crate::stack::{Stack, goods, header, problem};

#[tokio::test]
async fn without_a_good_token_nobody_writes() {
    let stack = Stack::start().await;
    let gateway = stack.gateway().await;
    let url = format!("http://{}/v1/goods", gateway.address);
    let anonymous = gateway.client.post(&url).json(&goods());
    let refused = anonymous.send().await.expect("an answer");
    assert_eq!(
        (refused.status().as_u16(), header(&refused, "www-authenticate")),
        (401, "Bearer realm=\"factfold\"")
    );

    let expired = stack.keys.issue(stack.user, &[Role::Merchant], Duration::ZERO).expect("a token");
    let other = Stack::start().await;
    let stranger = other.token(&[Role::Merchant]);
    let good = stack.token(&[Role::Merchant]);
    let changed = if good.as_bytes()[60] == b'x' { 'y' } else { 'x' };
    let tampered = format!("{}{changed}{}", &good[..60], &good[61..]);
    for wrong in [expired.as_str(), &stranger, &tampered, "", "a.b.c"] {
        let refused =
            gateway.client.post(&url).bearer_auth(wrong).json(&goods()).send().await.expect("an answer");
        assert_eq!(refused.status(), 401);
        assert!(header(&refused, "www-authenticate").contains("invalid_token"));
    }
    let twice = gateway.client.post(&url).bearer_auth(&good).bearer_auth(&good).json(&goods());
    assert_eq!(problem(twice).await.0, 401, "which of them counts?");
    let basic = gateway.client.post(&url).basic_auth("user", Some("password")).json(&goods());
    assert_eq!(problem(basic).await.0, 401);
    // Also where no token is needed one that is there must be good.
    assert_eq!(problem(gateway.client.get(&url).bearer_auth("a.b.c")).await.0, 401);
    assert!(stack.decider.seen(0).await.is_empty());
}

#[tokio::test]
async fn a_missing_role_is_named() {
    let stack = Stack::start().await;
    let mut gateway = stack.gateway().await;
    gateway.token = stack.token(&[Role::Customer]);
    let order = "00000000-0000-0000-0000-000000000000";
    let event = json!({ "specversion": "1.0", "type": "AddGoods" });
    let cases = [
        (gateway.post("/v1/goods", &goods()), "merchant"),
        (gateway.post(&format!("/v1/orders/{order}/refunds"), &json!({})), "merchant"),
        (gateway.get("/v1/projections"), "operator"),
        (
            gateway
                .request(Method::POST, "/v1/commands")
                .header("content-type", "application/cloudevents+json")
                .body(event.to_string()),
            "merchant",
        ),
    ];
    for (request, role) in cases {
        let (status, _, body) = problem(request).await;
        assert_eq!(status, 403);
        assert!(body["detail"].as_str().expect("a text").contains(role), "{body}");
    }
    gateway.token = stack.token(&[Role::Merchant]);
    assert_eq!(problem(gateway.post("/v1/orders", &json!({ "lines": [] }))).await.0, 403);
    gateway.token = stack.token(&[Role::Admin]);
    assert_eq!(gateway.post("/v1/goods", &goods()).send().await.expect("an answer").status(), 201);
}

/// The whole table: every role at every route. (Seen failing with a route whose guard is gone.)
#[tokio::test]
async fn every_role_is_tried_at_every_route() {
    let stack = Stack::start().await;
    let gateway = stack.gateway().await;
    let tokens: Vec<_> = Role::VARIANTS.iter().map(|role| (*role, stack.token(&[*role]))).collect();
    let (gateway, tokens) = (&gateway, &tokens);
    let walk = Operation::ALL.iter().map(|operation| async move {
        let Some((method, path)) = operation.http() else { return };
        let path = path.replace("{id}", "00000000-0000-0000-0000-000000000000").replace("{name}", "conflict");
        let url = format!("http://{}{path}", gateway.address);
        let ask = || gateway.client.request(method.clone(), &url).json(&json!({}));
        let status = ask().send().await.expect("an answer").status();
        assert_eq!(status == StatusCode::UNAUTHORIZED, operation.who() != Who::Everyone, "{operation:?}");
        for (role, token) in tokens {
            let may = match operation.who() {
                Who::Everyone | Who::Owner => true,
                Who::Roles(roles) => *role == Role::Admin || roles.contains(role),
                Who::System => panic!("{operation:?} has a route"),
            };
            let status = ask().bearer_auth(token).send().await.expect("an answer").status();
            let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status);
            assert_eq!(refused, !may, "{operation:?} as {role:?}: {status}");
        }
    });
    join_all(walk).await;
}
