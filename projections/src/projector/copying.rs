//! The floor of a rebuild, for `factfold bench`: the rows that there are in the end, written from memory by COPY, and their indexes.
//! What is left out is everything that makes these rows of events.

use std::time::{Duration, Instant};

use factfold_schemas::kafka::Cluster;
use futures::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, raw_sql};

use crate::{
    Build, Error, Projection,
    catalogue::{BuildError, Catalogue},
};

/// How much is handed over at once.
const CHUNK: usize = 256 * 1024;

/// Writes the rows that this read model shows into empty tables, which are thrown away again. Says how long that took.
pub async fn copy(cluster: &Cluster, database_url: &str, projection: Projection) -> Result<Duration, Error> {
    let mut catalogue = Catalogue::open(cluster, database_url).await?;
    let shown = catalogue.builds().await?.into_iter().find(|e| e.current && e.build.projection == projection);
    let shown = shown.ok_or(sqlx::Error::RowNotFound)?.build;
    let own = catalogue.make_unseen(projection).await?;
    let copied = between(cluster, database_url, shown, own).await;
    match catalogue.drop_build(own).await {
        Err(BuildError::Database(error)) => Err(error),
        _ => Ok(copied?),
    }
}

async fn between(cluster: &Cluster, database_url: &str, from: Build, to: Build) -> Result<Duration, Error> {
    let mut connection = PgConnection::connect_with(&to.options(database_url, &cluster.namespace)?).await?;
    let [from, schema] = [from, to].map(|build| build.schema(&cluster.namespace));
    let mut rows = Vec::new();
    for table in to.projection.table_names() {
        let out = format!("COPY {from}.{table} TO STDOUT (FORMAT BINARY)");
        let bytes: Vec<_> = connection.copy_out_raw(&out).await?.try_collect().await?;
        rows.push((table, bytes.concat()));
    }
    let since = Instant::now();
    let mut transaction = connection.begin().await?;
    for (table, bytes) in &rows {
        let into = format!("COPY {schema}.{table} FROM STDIN (FORMAT BINARY)");
        let mut copy = transaction.copy_in_raw(&into).await?;
        for chunk in bytes.chunks(CHUNK) {
            copy.send(chunk).await?;
        }
        copy.finish().await?;
    }
    raw_sql(AssertSqlSafe(to.projection.indexes())).execute(&mut *transaction).await?;
    transaction.commit().await?;
    let took = since.elapsed();
    connection.close().await?;
    Ok(took)
}
