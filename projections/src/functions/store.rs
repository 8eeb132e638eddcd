//! Writes functions and their revisions: each row once.

use factfold_schemas::{
    functions::{Function, FunctionBound, FunctionDeployed},
    nul,
};
use serde::Serialize;
use sqlx::PgConnection;

use super::fold::{Deployed, Rows};
use crate::{
    postgres::Text,
    table::{Json, Jsonb, Table},
};

/// Writes all of these functions, and the revisions that were deployed.
pub(super) async fn functions(connection: &mut PgConnection, rows: &Rows) -> Result<(), sqlx::Error> {
    let bound = |function: &Function| function.binding.as_ref().map(types);
    Table::of("functions", rows.functions.values())
        .key("name", |function: &Function| Text(function.name.as_str()))
        .column("version", |function| function.version.cast_signed())
        .column("created_at", |function| function.created_at)
        .column("updated_at", |function| function.updated_at)
        .column("revision", |function| function.revision.map(u32::cast_signed))
        .column("language", |function| Some(<&str>::from(function.current()?.language)))
        .column("code_sha256", |function| Some(Text(&function.current()?.code.sha256)))
        .column("code_bytes", |function| Some(function.current()?.code.bytes.cast_signed()))
        .column("path", |function| path(function.current()?))
        .column("public", |function| Some(function.current()?.public))
        .column("time_ms", |function| Some(function.current()?.limits.time_ms.cast_signed()))
        .column("memory_bytes", |function| Some(function.current()?.limits.memory_bytes.cast_signed()))
        .column("output_bytes", |function| Some(function.current()?.limits.output_bytes.cast_signed()))
        .column("calls_max", |function| Some(function.current()?.limits.calls_max.cast_signed()))
        .column("binding", |function| Some(function.binding.as_ref()?.binding.cast_signed()))
        .column("bound_topic", |function| Some(Text(&function.binding.as_ref()?.topic)))
        // UNNEST would take arrays of different lengths apart: a row's types go as one value.
        .made(
            "bound_types",
            "CASE WHEN bound_types IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text(bound_types)) END",
            bound,
        )
        .column("bound_from", |function| function.binding.as_ref()?.from)
        .column("schedule", |function| Some(function.schedule.as_ref()?.schedule.cast_signed()))
        .column("cron", |function| Some(Text(&function.schedule.as_ref()?.cron)))
        .column("time_zone", |function| Some(Text(&function.schedule.as_ref()?.time_zone)))
        .column("tick_input", |function| Some(json(&function.schedule.as_ref()?.input)))
        .column("next_tick", |function| function.schedule.as_ref()?.next)
        .column("settings", |function| Some(json(&function.configuration.settings)))
        .column("secrets", |function| Some(json(&function.configuration.secrets)))
        .upsert(connection, |_| false)
        .await?;
    Table::of("function_revisions", &rows.deployed)
        .key("name", |row: &Deployed| Text(row.name.as_str()))
        .key("revision", |row| row.revision.revision.cast_signed())
        .column("deployed_at", |row| row.at)
        .column("language", |row| <&str>::from(row.revision.language))
        .column("code_sha256", |row| Text(&row.revision.code.sha256))
        .column("code_bytes", |row| row.revision.code.bytes.cast_signed())
        .column("path", |row| path(&row.revision))
        .column("public", |row| row.revision.public)
        .column("time_ms", |row| row.revision.limits.time_ms.cast_signed())
        .column("memory_bytes", |row| row.revision.limits.memory_bytes.cast_signed())
        .column("output_bytes", |row| row.revision.limits.output_bytes.cast_signed())
        .column("calls_max", |row| row.revision.limits.calls_max.cast_signed())
        .column("input_schema", |row| row.revision.input_schema.as_ref().map(json))
        .column("output_schema", |row| row.revision.output_schema.as_ref().map(json))
        .insert(connection)
        .await
}

fn path(revision: &FunctionDeployed) -> Option<Text<'_>> {
    revision.path.as_deref().map(Text)
}

fn types(bound: &FunctionBound) -> Jsonb {
    let json = serde_json::to_string(&bound.types).expect("texts are plain data");
    Jsonb(nul::replaced_in_json(json))
}

/// As it was given: JSONB would write its numbers in another way, and sort its fields.
fn json(value: &impl Serialize) -> Json {
    let json = serde_json::to_string(value).expect("what is folded is plain data");
    Json(nul::replaced_in_json(json))
}
