//! The topics and tables of one round, in a namespace of their own, and the commands that wait there.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use factfold_schemas::{
    command::{Auth, Header},
    goods::{AddGoods, AdjustStock, Command},
    ids::{GoodsId, UserId},
    kafka::{Cluster, headers},
    money::Money,
    partitioner::partition_of,
    topics::{Service, Topic},
};
use rdkafka::{
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    error::KafkaError,
    producer::{BaseProducer, BaseRecord, Producer as _},
    types::RDKafkaErrorCode,
};
use uuid::Uuid;

use super::Site;
use crate::{addresses::Addresses, settings::Settings, topics};

/// How many goods the commands are about.
const GOODS: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// One round's own part of Kafka and PostgreSQL.
pub(super) struct Ground {
    pub(super) cluster: Cluster,
    pub(super) addresses: Addresses,
    pub(super) folder: PathBuf,
    pub(super) settings: Settings,
    pub(super) partitions: i32,
}

impl Ground {
    /// New topics, in a new namespace.
    pub(super) async fn new(site: &Site) -> Result<Self> {
        let name = format!("bench_{}", &Uuid::new_v4().simple().to_string()[..8]);
        let namespace = name.parse()?;
        let settings = Settings { namespace, ..site.settings.clone() }.at(&site.addresses);
        let (cluster, partitions) = (settings.cluster()?, settings.partitions);
        topics::create(&cluster, partitions, settings.replication).await?;
        Ok(Self {
            cluster,
            addresses: site.addresses.clone(),
            folder: site.folder.join(name),
            settings,
            partitions,
        })
    }

    /// Throws all of it away.
    pub(super) async fn clear(self) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.cluster.client().create()?;
        let names: Vec<String> =
            topics::wanted(&self.cluster, self.partitions).into_iter().map(|topic| topic.name).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let deleted = admin.delete_topics(&names, &AdminOptions::new()).await.context("deleting topics")?;
        if let Some(Err((name, error))) = deleted.into_iter().find(Result::is_err) {
            anyhow::bail!("deleting the topic {name}: {error}");
        }
        factfold_projections::discard(&self.cluster, &self.addresses.database_url).await?;
        match std::fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Puts so many commands on the topic of the goods service, as a gateway would: some goods, then their stock up and down.
    pub(super) async fn fill(&self, commands: usize) -> Result<()> {
        let (cluster, partitions) = (self.cluster.clone(), self.partitions);
        tokio::task::spawn_blocking(move || fill(&cluster, partitions, commands)).await?
    }

    /// Kafka's name of a topic.
    pub(super) fn topic(&self, topic: Topic) -> String {
        self.cluster.topic(topic)
    }
}

/// New goods, of which there are plenty.
pub(super) fn add() -> Command {
    let price = Money::new(499, "EUR".parse().expect("a currency of ISO 4217"));
    Command::AddGoods(AddGoods { name: "Tea".to_owned(), price, stock: 1_000_000 })
}

/// One piece more, or less.
pub(super) fn adjust(turn: usize) -> AdjustStock {
    AdjustStock { delta: if turn.is_multiple_of(2) { 1 } else { -1 }, reason: "counted again".to_owned() }
}

fn fill(cluster: &Cluster, partitions: i32, commands: usize) -> Result<()> {
    let producer: BaseProducer = cluster
        .client()
        .set("enable.idempotence", "true")
        .set("linger.ms", "5")
        .set("queue.buffering.max.messages", "400000")
        .create()?;
    let topic = cluster.topic(Service::Goods.commands());
    let goods: Vec<GoodsId> = (0..GOODS.min(commands)).map(|_| GoodsId::generate()).collect();
    let caller = UserId::generate();
    for number in 0..commands {
        let stream = goods[number % goods.len()].stream();
        let command =
            if number < goods.len() { add() } else { Command::AdjustStock(adjust(number / goods.len())) };
        let header = Header {
            auth: Some(Auth::User(caller.to_string())),
            ..Header::new(Uuid::now_v7().to_string(), format!("/clients/{caller}"))
        };
        let record = header.record_of(Service::Goods, &stream, &command);
        let key = stream.as_str().as_bytes();
        let message = BaseRecord::<[u8], [u8]>::to(&topic)
            .partition(partition_of(key, partitions))
            .key(key)
            .headers(headers(&record))
            .payload(record.value.as_deref().unwrap_or_default());
        send(&producer, message)?;
    }
    Ok(producer.flush(PATIENCE)?)
}

/// Hands a record over, as soon as there is room for it.
pub(super) fn send(
    producer: &BaseProducer,
    mut record: BaseRecord<'_, [u8], [u8]>,
) -> Result<(), KafkaError> {
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((error, unsent)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                producer.poll(Duration::from_millis(1));
                record = unsent;
            }
            Err((error, _)) => return Err(error),
        }
    }
}
