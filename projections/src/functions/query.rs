//! Questions to the read model `functions`.

use factfold_schemas::functions::{
    Code, Configuration, Function, FunctionBound, FunctionDeployed, FunctionName, FunctionScheduled, Limits,
    REVISIONS_KEPT,
};
use sqlx::{PgExecutor, Row, postgres::PgRow, types::Json};

use crate::{
    page::{NameCursor, Page, PageRequest},
    postgres::{Time, required, time, version},
};

/// Which functions are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FunctionFilter {
    /// Only those that were removed, or only those that are there: these too where nothing is said.
    pub removed: Option<bool>,
}

/// Functions with the revisions that they keep, in one statement, so that both are of the same moment: a row for each
/// revision, by name, the newest last.
macro_rules! with_revisions {
    ($functions:literal) => {
        concat!(
            "SELECT f.name, f.version, f.created_at, f.updated_at, f.revision AS current_revision,
                    f.binding, f.bound_topic, f.bound_types, f.bound_from,
                    f.schedule, f.cron, f.time_zone, f.tick_input, f.next_tick, f.settings, f.secrets,
                    r.revision, r.language, r.code_sha256, r.code_bytes, r.path, r.public,
                    r.time_ms, r.memory_bytes, r.output_bytes, r.calls_max, r.input_schema, r.output_schema
             FROM (",
            $functions,
            ") AS f, LATERAL (
                 SELECT * FROM function_revisions WHERE name = f.name ORDER BY revision DESC LIMIT $1
             ) AS r
             ORDER BY f.name, r.revision"
        )
    };
}

/// The function of this name.
pub(crate) async fn find(
    database: impl PgExecutor<'_>,
    name: FunctionName,
) -> Result<Option<Function>, sqlx::Error> {
    Ok(load(database, &[name]).await?.pop())
}

/// Those of these functions that are there, or were.
pub(super) async fn load(
    database: impl PgExecutor<'_>,
    names: &[FunctionName],
) -> Result<Vec<Function>, sqlx::Error> {
    let names: Vec<&str> = names.iter().map(FunctionName::as_str).collect();
    let rows = sqlx::query(with_revisions!("SELECT * FROM functions WHERE name = ANY($2)"))
        .bind(REVISIONS_KEPT as i64)
        .bind(names)
        .fetch_all(database)
        .await?;
    functions(&rows)
}

/// A page of functions, by name.
pub(crate) async fn list(
    database: impl PgExecutor<'_>,
    filter: &FunctionFilter,
    page: &PageRequest<NameCursor>,
) -> Result<Page<Function, NameCursor>, sqlx::Error> {
    let rows = sqlx::query(with_revisions!(
        "SELECT * FROM functions
         WHERE (revision IS NULL) = $2 AND ($3::TEXT IS NULL OR name > $3)
         ORDER BY name
         LIMIT $4"
    ))
    .bind(REVISIONS_KEPT as i64)
    .bind(filter.removed.unwrap_or(false))
    .bind(page.after.map(|cursor| cursor.0.to_string()))
    .bind(page.rows())
    .fetch_all(database)
    .await?;
    Ok(Page::of(functions(&rows)?, page, |function| NameCursor(function.name)))
}

/// Each function has a revision at least: it begins with one.
fn functions(rows: &[PgRow]) -> Result<Vec<Function>, sqlx::Error> {
    let mut functions: Vec<Function> = Vec::new();
    for row in rows {
        let name: FunctionName = required(row, "name")?;
        match functions.last_mut().filter(|last| last.name == name) {
            Some(last) => last.revisions.push(revision(row)?),
            None => functions.push(function(name, row)?),
        }
    }
    Ok(functions)
}

/// The function, with the revision of this row.
fn function(name: FunctionName, row: &PgRow) -> Result<Function, sqlx::Error> {
    Ok(Function {
        name,
        version: version(row, "version")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
        revision: row.try_get::<Option<i32>, _>("current_revision")?.map(i32::cast_unsigned),
        revisions: vec![revision(row)?],
        binding: binding(row)?,
        schedule: schedule(row)?,
        configuration: Configuration {
            settings: row.try_get::<Json<_>, _>("settings")?.0,
            secrets: row.try_get::<Json<_>, _>("secrets")?.0,
        },
    })
}

fn binding(row: &PgRow) -> Result<Option<FunctionBound>, sqlx::Error> {
    let Some(binding) = row.try_get::<Option<i32>, _>("binding")? else { return Ok(None) };
    Ok(Some(FunctionBound {
        binding: binding.cast_unsigned(),
        topic: row.try_get("bound_topic")?,
        types: row.try_get("bound_types")?,
        from: row.try_get::<Option<Time>, _>("bound_from")?.map(|time| time.0),
    }))
}

fn schedule(row: &PgRow) -> Result<Option<FunctionScheduled>, sqlx::Error> {
    let Some(schedule) = row.try_get::<Option<i32>, _>("schedule")? else { return Ok(None) };
    Ok(Some(FunctionScheduled {
        schedule: schedule.cast_unsigned(),
        cron: row.try_get("cron")?,
        time_zone: row.try_get("time_zone")?,
        input: row.try_get::<Json<_>, _>("tick_input")?.0,
        next: row.try_get::<Option<Time>, _>("next_tick")?.map(|time| time.0),
    }))
}

fn revision(row: &PgRow) -> Result<FunctionDeployed, sqlx::Error> {
    let schema = |column| Ok::<_, sqlx::Error>(row.try_get::<Option<Json<_>>, _>(column)?.map(|json| json.0));
    let number = |column| Ok::<_, sqlx::Error>(row.try_get::<i32, _>(column)?.cast_unsigned());
    let bytes = |column| Ok::<_, sqlx::Error>(row.try_get::<i64, _>(column)?.cast_unsigned());
    Ok(FunctionDeployed {
        revision: number("revision")?,
        language: required(row, "language")?,
        code: Code { sha256: row.try_get("code_sha256")?, bytes: bytes("code_bytes")? },
        path: row.try_get("path")?,
        public: row.try_get("public")?,
        limits: Limits {
            time_ms: number("time_ms")?,
            memory_bytes: bytes("memory_bytes")?,
            output_bytes: number("output_bytes")?,
            calls_max: number("calls_max")?,
        },
        input_schema: schema("input_schema")?,
        output_schema: schema("output_schema")?,
    })
}
