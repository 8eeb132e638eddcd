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
