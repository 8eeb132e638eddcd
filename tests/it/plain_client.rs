//! A plain Kafka client: key, type header and JSON, with librdkafka's own partitioner. Its delivery report gives a position
//! that a read can wait for, also when the command had to be forwarded.

use factfold_producers::access::Role;
use factfold_schemas::{
    ids::{GoodsId, OrderId},
    position::Position,
    topics::Service,
};
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use serde_json::json;

use crate::{
    system::System,
    world::{PATIENCE, home},
};

/// What `kcat -P -k KEY -H ce_type=TYPE` does.
async fn produce(
    producer: &FutureProducer,
    topic: &str,
    key: &str,
    type_name: &str,
    value: &str,
) -> (i32, i64) {
    let headers = OwnedHeaders::new().insert(Header { key: "ce_type", value: Some(type_name) });
    let record = FutureRecord::to(topic).key(key).payload(value).headers(headers);
    let delivery = producer.send(record, PATIENCE).await.map_err(|(error, _)| error).expect("stored");
    (delivery.partition, delivery.offset)
}

/// Whatever somebody says, and by whatever way: it is refused or it shows, and nothing stands still. (Seen failing: one U+0000 in a
/// reason stopped a read model for good.)
#[tokio::test(flavor = "multi_thread")]
async fn what_no_read_model_can_hold_is_refused() {
    let system = System::start().await;
    let client = system.client(&[Role::Merchant, Role::Customer, Role::Operator]);
    let price = json!({ "amount": 250, "currency": "EUR" });
    let named = |name: &str| json!({ "name": name, "price": price, "stock": 3 });
    let refused = client.post("/v1/goods", named("T\0a")).await.expect_problem(422, "invalid-fields");
    assert_eq!(refused.body["errors"][0]["pointer"], "#/name", "{}", refused.body);
    let stream = GoodsId::generate().stream();
    for (field, text) in
        [("id", "a\0"), ("correlationid", "a\nb"), ("causationid", "\u{7f}"), ("subject", "\0")]
    {
        let mut event =
            json!({ "specversion": "1.0", "type": "AddGoods", "subject": stream, "data": named("Tea") });
        event[field] = json!(text);
        let refused = client.send(event).await.expect_problem(422, "invalid-fields");
        assert_eq!(refused.body["errors"][0]["pointer"], format!("#/{field}"), "{}", refused.body);
    }
    client.get("/v1/commands/a%00b").await.expect_problem(404, "command-not-found");
    client.get("/v1/goods/a%00b").await.expect_problem(404, "not-found");

    let cluster = &system.world.cluster;
    let producer: FutureProducer = cluster.client().create().expect("a producer");
    let topic = cluster.topic(Service::Goods.commands());
    let (good, text) = (named("Tea").to_string(), "a\0\u{1}");
    for (key, type_name, value, attribute) in [
        (stream.as_str(), "AddGoods", named("T\0a").to_string(), None),
        (stream.as_str(), "AddGoods\0", good.clone(), None),
        ("goods-\0", "AddGoods", good.clone(), None),
        (stream.as_str(), "AddGoods", good.clone(), Some("ce_id")),
        (stream.as_str(), "AddGoods", good.clone(), Some("ce_source")),
        (stream.as_str(), "AddGoods", good.clone(), Some("ce_correlationid")),
        (stream.as_str(), "AddGoods", good.clone(), Some("ce_authtype")),
        (stream.as_str(), "AddGoods", good.clone(), Some("ce_replyto")),
    ] {
        let headers = OwnedHeaders::new().insert(Header { key: "ce_type", value: Some(type_name) });
        let headers = attribute
            .into_iter()
            .fold(headers, |headers, key| headers.insert(Header { key, value: Some(text) }));
        let partition = home(&stream);
        let record = FutureRecord::to(&topic).key(key).payload(&value).headers(headers).partition(partition);
        let delivery = producer.send(record, PATIENCE).await.map_err(|(error, _)| error).expect("stored");
        let position =
            Position::new(Service::Goods.commands(), delivery.partition, delivery.offset).to_string();
        // Without an id of its own, it is called by its place.
        let id = position.replace('/', "%2F").replace('@', "%40");
        let outcome = client.get_at(&format!("/v1/commands/{id}?at={position}"), &position).await.expect(200);
        assert_eq!(outcome.body["status"], "dead-lettered", "{}", outcome.body);
    }
    // Nothing came of any of them, and all goes on.
    client
        .get(&format!("/v1/goods/{stream}").replace("goods-", ""))
        .await
        .expect_problem(404, "goods-not-found");
    let last = client.post("/v1/goods", named("Tea")).await.expect(201);
    let position = last.header("factfold-position").to_owned();
    client.get_at(&format!("/v1/goods/{}", last.text("id")), &position).await.expect(200);
    let progress = client.get("/v1/projections").await.expect(200);
    let items = progress.body["items"].as_array().expect("read models");
    assert!(items.iter().all(|item| item["failure"].is_null()), "{}", progress.body);
    assert_eq!(client.get("/readyz").await.expect(200).body["stopped"], json!([]));
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_created_by_a_plain_client() {
    let system = System::start().await;
    let cluster = &system.world.cluster;
    let producer: FutureProducer = cluster.client().create().expect("a producer");
    let auditor = system.client(&[Role::Auditor]);
    let mut forwarded = 0;
    for _ in 0..12 {
        let (goods, order) = (GoodsId::generate(), OrderId::generate());
        let value =
            json!({ "name": "Tea", "price": { "amount": 250, "currency": "EUR" }, "stock": 3 }).to_string();
        let topic = cluster.topic(Service::Goods.commands());
        produce(&producer, &topic, goods.stream().as_str(), "AddGoods", &value).await;

        let lines = json!([{ "goods_id": goods, "quantity": 2 }]);
        let value = json!({ "user_id": auditor.user, "lines": lines }).to_string();
        let topic = cluster.topic(Service::Orders.commands());
        let (partition, offset) =
            produce(&producer, &topic, order.stream().as_str(), "CreateOrder", &value).await;
        forwarded += usize::from(partition != home(&order.stream()));

        let position = Position::new(Service::Orders.commands(), partition, offset).to_string();
        let read = auditor.get_at(&format!("/v1/orders/{order}"), &position).await.expect(200);
        assert_eq!(read.body["id"], json!(order));
    }
    assert!(forwarded > 0, "another partitioner puts some elsewhere");
    system.stop().await;
}
