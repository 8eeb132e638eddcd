//! A repeat under the same key takes effect once, through any gateway.

use serde_json::json;
use uuid::Uuid;

use crate::stack::{Stack, goods, problem, read};

#[tokio::test]
async fn a_repeat_is_the_same_command_through_any_gateway() {
    let stack = Stack::start().await;
    let (one, other) = (stack.gateway().await, stack.gateway().await);
    let mut ids = Vec::new();
    for gateway in [&one, &other, &one] {
        let added = gateway.post("/v1/goods", &goods()).header("idempotency-key", "k1");
        let (status, resource) = read(added.send().await.expect("an answer")).await;
        assert_eq!(status, 201);
        ids.push(resource["id"].clone());
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let seen = stack.decider.seen(3).await;
    assert!(seen.iter().all(|command| command.header.id == seen[0].header.id && command.key == seen[0].key));

    let mut changed = goods();
    changed["stock"] = json!(4);
    let reused = other.post("/v1/goods", &changed).header("idempotency-key", "k1");
    let (status, name, _) = problem(reused).await;
    assert_eq!((status, name.as_str()), (422, "command-id-reused"));
}

#[tokio::test]
async fn repeats_at_the_same_time_all_get_their_own_answer() {
    let stack = Stack::start().await;
    let gateway = stack.gateway().await;
    let path = format!("/v1/goods/{}/stock-adjustments", Uuid::now_v7());
    let send = |delta: i64| {
        let request = gateway.post(&path, &json!({ "delta": delta, "reason": "count" }));
        tokio::spawn(request.header("idempotency-key", "k").send())
    };
    let twins: Vec<_> = (0..8).map(|_| send(1)).collect();
    let another = send(2);
    let mut statuses = Vec::new();
    for twin in twins {
        statuses.push(twin.await.expect("no panic").expect("an answer").status().as_u16());
    }
    let another = another.await.expect("no panic").expect("an answer").status().as_u16();
    // Whichever was decided first has the key; the other meaning of it is refused.
    let expected = if another == 200 { 422 } else { 200 };
    assert!(statuses.iter().all(|status| *status == expected), "{statuses:?} and {another}");
    assert!(another == 200 || another == 422);
}

#[tokio::test]
async fn many_writes_through_two_gateways_all_get_their_own_answer() {
    let stack = Stack::start().await;
    let gateways = [stack.gateway().await, stack.gateway().await];
    let writes: Vec<_> = (0..60)
        .map(|n| {
            let id = Uuid::now_v7();
            let path = format!("/v1/goods/{id}/stock-adjustments");
            let request = gateways[n % 2].post(&path, &json!({ "delta": 1, "reason": "count" }));
            (id, tokio::spawn(request.header("prefer", "wait=30").send()))
        })
        .collect();
    for (id, write) in writes {
        let (status, resource) = read(write.await.expect("no panic").expect("an answer")).await;
        assert_eq!((status, &resource["id"]), (200, &json!(id)), "{resource}");
    }
}
