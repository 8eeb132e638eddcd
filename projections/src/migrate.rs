//! Makes what is missing in Postgres: the schema with the catalogue, the tables of each read model's version in a schema
//! of their own, the views that people query, and a role for those who may only read. Running it again changes nothing,
//! and any number of processes may run it at once.

use factfold_schemas::kafka::Cluster;
use sqlx::{AssertSqlSafe, Connection, PgConnection, raw_sql};

use crate::{Build, Error, Projection, catalogue, postgres::connect_options};

/// Those who may only look: granted the views, and nothing else.
const READER: &str = "factfold_reader";
/// Postgres cuts longer names off without a word.
const NAME_BYTES_MAX: usize = 63;

/// Makes what is missing. The names of schemas come from the namespace, whose characters are safe in SQL.
pub async fn migrate(cluster: &Cluster, database_url: &str) -> Result<(), Error> {
    let catalogue = cluster.namespace.schema();
    for projection in Projection::ALL {
        // With room for more builds than anybody makes.
        let name = Build { projection, version: i32::MAX }.schema(&cluster.namespace);
        if name.len() > NAME_BYTES_MAX {
            return Err(Error::NamespaceTooLong(name));
        }
    }
    let options = connect_options(database_url, &cluster.namespace)?;
    let mut connection = PgConnection::connect_with(&options).await?;
    // Held until the connection closes: `CREATE … IF NOT EXISTS` alone does not stand two that run at once.
    sqlx::query("SELECT pg_advisory_lock(hashtextextended('factfold migrate ' || $1, 0))")
        .bind(&catalogue)
        .execute(&mut connection)
        .await?;
    run(&format!("CREATE SCHEMA IF NOT EXISTS {catalogue}"), &mut connection).await?;
    create_reader(&catalogue, &mut connection).await?;
    sqlx::migrate!().run(&mut connection).await?;
    create_builds(cluster, &mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// Throws all read models of this namespace away, whoever uses them. They can be folded again.
pub async fn discard(cluster: &Cluster, database_url: &str) -> Result<(), Error> {
    let options = connect_options(database_url, &cluster.namespace)?;
    let mut connection = PgConnection::connect_with(&options).await?;
    let catalogue = cluster.namespace.schema();
    let schemas: Vec<String> = sqlx::query_scalar(
        "SELECT nspname FROM pg_namespace WHERE nspname = $1 OR nspname ~ ('^' || $1 || '_(' || $2 || ')_[0-9]+$')",
    )
    .bind(&catalogue)
    .bind(Projection::ALL.map(Projection::name).join("|"))
    .fetch_all(&mut connection)
    .await?;
    for schema in schemas {
        run(&format!("DROP SCHEMA IF EXISTS {schema} CASCADE"), &mut connection).await?;
    }
    Ok(connection.close().await?)
}

async fn run(sql: &str, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
}

/// Makes the role, where we may. The role belongs to the whole server: another database may have made it, at any moment.
async fn create_reader(catalogue: &str, connection: &mut PgConnection) -> Result<(), Error> {
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
        .bind(READER)
        .fetch_one(&mut *connection)
        .await?;
    if !exists && let Err(error) = run(&format!("CREATE ROLE {READER} NOLOGIN"), connection).await {
        match error.as_database_error().and_then(|error| error.code()).as_deref() {
            // Somebody else was quicker (duplicate_object, or unique_violation in the same moment).
            Some("42710" | "23505") => {}
            // insufficient_privilege
            Some("42501") => {
                tracing::warn!(
                    postgres.role = READER,
                    "may not create the role of analysts: somebody else must"
                );
                return Ok(());
            }
            _ => return Err(error.into()),
        }
    }
    Ok(run(&format!("GRANT USAGE ON SCHEMA {catalogue} TO {READER}"), connection).await?)
}

/// Makes a build of each read model that has none with the fold of this code. Where an older one is shown, it stays so until
/// the new one has caught up.
async fn create_builds(cluster: &Cluster, connection: &mut PgConnection) -> Result<(), Error> {
    let mut transaction = connection.begin().await?;
    catalogue::lock(&mut transaction).await?;
    let entries = catalogue::entries(&mut transaction).await?;
    for projection in Projection::ALL {
        let is_there = |e: &catalogue::Entry| e.build.projection == projection && e.fold == projection.fold();
        if !entries.iter().any(is_there) {
            catalogue::make(&mut transaction, projection, projection.fold(), &cluster.namespace).await?;
        }
    }
    Ok(transaction.commit().await?)
}
