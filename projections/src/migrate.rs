//! Makes what is missing in Postgres: the schema with the catalogue, the tables of each read model's version in a schema
//! of their own, the views that people query, and a role for those who may only read. Running it again changes nothing,
//! and any number of processes may run it at once.

use factfold_schemas::kafka::Cluster;
use sqlx::{AssertSqlSafe, Connection, PgConnection, raw_sql};

use crate::{Error, Projection, postgres::connect_options};

/// Those who may only look: granted the views, and nothing else.
const READER: &str = "factfold_reader";
/// Postgres cuts longer names off without a word.
const NAME_BYTES_MAX: usize = 63;

/// Makes what is missing. The names of schemas come from the namespace, whose characters are safe in SQL.
pub async fn migrate(cluster: &Cluster, database_url: &str) -> Result<(), Error> {
    let catalogue = cluster.namespace.schema();
    for projection in Projection::ALL {
        let name = projection.schema(&cluster.namespace);
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
    for projection in Projection::ALL {
        create_tables(projection, cluster, &mut connection).await?;
    }
    connection.close().await?;
    Ok(())
}

/// Throws all read models of this namespace away, whoever uses them. They can be folded again.
pub async fn discard(cluster: &Cluster, database_url: &str) -> Result<(), Error> {
    let options = connect_options(database_url, &cluster.namespace)?;
    let mut connection = PgConnection::connect_with(&options).await?;
    let schemas = Projection::ALL.map(|projection| projection.schema(&cluster.namespace));
    for schema in schemas.into_iter().chain([cluster.namespace.schema()]) {
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

/// Makes the tables of this version, if they are not there; then the views show it.
async fn create_tables(
    projection: Projection,
    cluster: &Cluster,
    connection: &mut PgConnection,
) -> Result<(), Error> {
    let (catalogue, schema) = (cluster.namespace.schema(), projection.schema(&cluster.namespace));
    let mut transaction = connection.begin().await?;
    let is_new =
        sqlx::query("INSERT INTO projections (projection, version) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(projection.name())
            .bind(projection.version())
            .execute(&mut *transaction)
            .await?
            .rows_affected()
            == 1;
    if is_new {
        run(&format!("CREATE SCHEMA {schema}; SET LOCAL search_path TO {schema}"), &mut transaction).await?;
        raw_sql(projection.tables()).execute(&mut *transaction).await?;
        run(&format!("SET LOCAL search_path TO {catalogue}"), &mut transaction).await?;
        // Until it has caught up, who asks for a position waits, or is told how far behind it is.
        for statement in [
            "UPDATE projections SET current = FALSE WHERE projection = $1 AND version <> $2 AND current",
            "UPDATE projections SET current = TRUE WHERE projection = $1 AND version = $2",
        ] {
            sqlx::query(statement)
                .bind(projection.name())
                .bind(projection.version())
                .execute(&mut *transaction)
                .await?;
        }
        sqlx::query("SELECT publish($1)").bind(&schema).execute(&mut *transaction).await?;
    }
    Ok(transaction.commit().await?)
}
