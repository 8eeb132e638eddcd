//! Comparing two builds: the rows of each table in the order of their keys, both streamed, so that memory does not grow with
//! them.

use std::cmp::Ordering;

use futures::TryStreamExt as _;
use serde_json::{Map, Value};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

/// A row that is not what was folded.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The table.
    pub table: String,
    /// The columns that name the row.
    pub key: Map<String, Value>,
    /// The column that differs; `None` when the whole row is too much, or missing.
    pub column: Option<String>,
    /// What was folded.
    pub folded: Option<Value>,
    /// What is shown.
    pub shown: Option<Value>,
}

/// What was found in all tables.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) rows: u64,
    pub(super) different: u64,
    pub(super) differences: Vec<Difference>,
}

/// Compares all tables of two schemas: what was folded first, then what is shown.
pub(super) async fn builds(
    folded: &mut PgConnection,
    shown: &mut PgConnection,
    [of_folded, of_shown]: &[String; 2],
    told_max: usize,
) -> Result<Found, sqlx::Error> {
    let mut found = Found::default();
    for Table { name, key } in tables(folded, of_folded).await? {
        // Texts by their bytes, as we compare them; all other keys are numbers and UUIDs.
        let order: Vec<_> = key
            .iter()
            .map(
                |(column, is_text)| {
                    if *is_text { format!("{column} COLLATE \"C\"") } else { column.clone() }
                },
            )
            .collect();
        let select = |schema: &str| {
            format!("SELECT to_jsonb(t) AS row FROM {schema}.{name} AS t ORDER BY {}", order.join(", "))
        };
        let keys: Vec<&str> = key.iter().map(|(column, _)| column.as_str()).collect();
        let mut ours = sqlx::query(AssertSqlSafe(select(of_folded))).fetch(&mut *folded);
        let mut theirs = sqlx::query(AssertSqlSafe(select(of_shown))).fetch(&mut *shown);
        let (mut one, mut other) = (row(ours.try_next().await?)?, row(theirs.try_next().await?)?);
        loop {
            let order = match (&one, &other) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(one), Some(other)) => compared(one, other, &keys),
            };
            found.rows += 1;
            let before = found.different;
            let mut tell = |difference: Difference| {
                found.different = before + 1;
                if found.differences.len() < told_max {
                    found.differences.push(difference);
                }
            };
            let whole = |row: &Map<String, Value>| Some(Value::Object(row.clone()));
            let of = |row: &Map<String, Value>| Difference {
                table: name.clone(),
                key: row
                    .iter()
                    .filter(|(column, _)| keys.contains(&column.as_str()))
                    .map(|(c, v)| (c.clone(), v.clone()))
                    .collect(),
                column: None,
                folded: None,
                shown: None,
            };
            match (&one, &other) {
                (Some(one), Some(other)) if order == Ordering::Equal => {
                    for (column, folded) in one {
                        let shown = other.get(column);
                        if shown != Some(folded) {
                            let (folded, shown) = (Some(folded.clone()), shown.cloned());
                            tell(Difference { column: Some(column.clone()), folded, shown, ..of(one) });
                        }
                    }
                }
                (Some(one), _) if order == Ordering::Less => {
                    tell(Difference { folded: whole(one), ..of(one) })
                }
                (_, Some(other)) => tell(Difference { shown: whole(other), ..of(other) }),
                (_, None) => {}
            }
            if order != Ordering::Greater {
                one = row(ours.try_next().await?)?;
            }
            if order != Ordering::Less {
                other = row(theirs.try_next().await?)?;
            }
        }
    }
    Ok(found)
}

fn row(row: Option<sqlx::postgres::PgRow>) -> Result<Option<Map<String, Value>>, sqlx::Error> {
    let Some(row) = row else { return Ok(None) };
    match row.try_get("row")? {
        Value::Object(columns) => Ok(Some(columns)),
        other => Err(sqlx::Error::Decode(format!("a row is {other}").into())),
    }
}

/// In the order of their keys, as Postgres has it.
fn compared(one: &Map<String, Value>, other: &Map<String, Value>, keys: &[&str]) -> Ordering {
    keys.iter()
        .map(|key| compared_values(&one[*key], &other[*key]))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

fn compared_values(one: &Value, other: &Value) -> Ordering {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_i64().cmp(&other.as_i64()),
        // A UUID's text has the order of its bytes.
        (Value::String(one), Value::String(other)) => one.as_bytes().cmp(other.as_bytes()),
        _ => Ordering::Equal,
    }
}

/// A table, and the columns that name a row of it, each with whether it is a text.
struct Table {
    name: String,
    key: Vec<(String, bool)>,
}

async fn tables(connection: &mut PgConnection, schema: &str) -> Result<Vec<Table>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT c.relname::TEXT AS name, a.attname::TEXT AS column, a.atttypid = 'text'::REGTYPE AS is_text
         FROM pg_class c
         JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY(i.indkey)
         WHERE c.relnamespace = $1::REGNAMESPACE AND c.relkind = 'r'
         ORDER BY c.relname, array_position(i.indkey::INT2[], a.attnum)",
    );
    let rows = rows.bind(schema).fetch_all(connection).await?;
    let mut tables: Vec<Table> = Vec::new();
    for row in &rows {
        let (name, column): (String, String) = (row.try_get("name")?, row.try_get("column")?);
        let column = (column, row.try_get("is_text")?);
        match tables.last_mut().filter(|table| table.name == name) {
            Some(table) => table.key.push(column),
            None => tables.push(Table { name, key: vec![column] }),
        }
    }
    Ok(tables)
}
