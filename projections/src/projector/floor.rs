//! The floor of projecting, for `factfold bench`: the same rows of the same batches, written from memory by as many
//! connections, each batch with its checkpoint in one transaction. What is left out is what a projector does besides:
//! reading from Kafka, decoding, checking, folding, loading.

use std::time::{Duration, Instant};

use factfold_schemas::{ids::GoodsId, kafka::Cluster, topics::Namespace};
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};

use super::{
    batch::{Batch, Checkpoint},
    checkpoint::{self, Checkpoints},
    source::{Size, Source},
    stop::Stop,
};
use crate::{Build, Error, Projection, command_outcomes, goods};

/// What a projector would write for the events of the goods service, in batches of its own.
pub struct Floor {
    batches: Vec<Batch>,
    starts: Checkpoints,
}

/// What was written, and how long that took.
#[derive(Debug, Clone, Copy)]
pub struct Wrote {
    /// How many records the batches were made of.
    pub records: usize,
    /// From the first transaction to the last.
    pub took: Duration,
}

impl Floor {
    /// Reads at least so many events of the goods service, which must be there.
    pub async fn read(cluster: &Cluster, records: usize) -> Result<Self, Error> {
        let cluster = cluster.clone();
        let read = tokio::task::spawn_blocking(move || read(&cluster, records)).await?;
        read.map_err(|stop| stop.into_error(Projection::Goods))
    }

    /// Writes everything into tables that are empty: the two read models that these events feed, with a connection each.
    pub async fn write(self, cluster: &Cluster, database_url: &str) -> Result<Wrote, Error> {
        let namespace = &cluster.namespace;
        let (goods, outcomes) = (current(Projection::Goods), current(Projection::CommandOutcomes));
        let mut first = self.connect(database_url, namespace, goods).await?;
        let mut second = self.connect(database_url, namespace, outcomes).await?;
        let written = async {
            let rows = goods_rows(&self.batches)?;
            let folded = self.batches.iter().map(|batch| command_outcomes::fold(&batch.entries));
            let folded = folded.collect::<Result<Vec<_>, _>>()?;
            let since = Instant::now();
            let of_goods = async {
                for (batch, rows) in self.batches.iter().zip(&rows) {
                    let mut transaction = begin(&mut first, goods, namespace, batch).await?;
                    goods::store(&mut transaction, rows.values(), |_| false).await?;
                    transaction.commit().await?;
                }
                Ok::<_, Stop>(())
            };
            let of_outcomes = async {
                for (batch, rows) in self.batches.iter().zip(&folded) {
                    let mut transaction = begin(&mut second, outcomes, namespace, batch).await?;
                    command_outcomes::store(&mut transaction, rows).await?;
                    transaction.commit().await?;
                }
                Ok::<_, Stop>(())
            };
            tokio::try_join!(of_goods, of_outcomes)?;
            let records = self.batches.iter().map(|batch| batch.entries.len()).sum();
            Ok::<_, Stop>(Wrote { records, took: since.elapsed() })
        };
        written.await.map_err(|stop| stop.into_error(Projection::Goods))
    }

    async fn connect(
        &self,
        database_url: &str,
        namespace: &Namespace,
        build: Build,
    ) -> Result<PgConnection, Error> {
        let mut connection = PgConnection::connect_with(&build.options(database_url, namespace)?).await?;
        let starts: Vec<_> = self.starts.iter().map(|(place, start)| (*place, start.next)).collect();
        checkpoint::create(&mut connection, build, &starts).await?;
        Ok(connection)
    }
}

/// The one build of a system that was made for this.
fn current(projection: Projection) -> Build {
    Build { projection, version: 1 }
}

fn read(cluster: &Cluster, records: usize) -> Result<Floor, Stop> {
    let mut source = Source::connect(cluster, Projection::Goods, Size::FOLLOWING)?;
    let extents = source.extents()?.into_iter();
    let starts: Checkpoints =
        extents.map(|(place, extent)| (place, Checkpoint { next: extent.low, decided: None })).collect();
    source.start(starts.clone())?;
    let (mut batches, mut read) = (Vec::new(), 0);
    while read < records {
        let batch = source.gather()?;
        if !batch.entries.is_empty() {
            source.committed(&batch);
            read += batch.entries.len();
            batches.push(batch);
        }
    }
    Ok(Floor { batches, starts })
}

/// The rows of each batch: those that its events touch, as they leave them.
fn goods_rows(batches: &[Batch]) -> Result<Vec<goods::Rows>, Stop> {
    let mut all = goods::Rows::new();
    let rows_of = |batch: &Batch| {
        let mut touched = goods::Rows::new();
        for (at, event) in batch.goods() {
            goods::apply(&mut all, at, event)?;
        }
        for (_, event) in batch.goods() {
            if let Some((id, goods)) =
                GoodsId::of_stream(event.stream.as_str()).and_then(|id| all.get_key_value(&id))
            {
                touched.insert(*id, goods.clone());
            }
        }
        Ok(touched)
    };
    batches.iter().map(rows_of).collect()
}

async fn begin<'c>(
    connection: &'c mut PgConnection,
    build: Build,
    namespace: &Namespace,
    batch: &Batch,
) -> Result<Transaction<'c, Postgres>, Stop> {
    let mut transaction = connection.begin().await?;
    checkpoint::advance(&mut transaction, build, namespace, batch).await?;
    Ok(transaction)
}
