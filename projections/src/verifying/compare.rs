//! Comparing two builds. Both sum their rows up, part by part, where they lie; only parts whose sums differ are looked at row by row,
//! streamed in the order of their keys. So neither memory nor the way here grows with what is equal.

use std::{cmp::Ordering, fmt};

use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

/// In how many parts a table is divided, by the hash of the key.
const PARTS: i64 = 4_096;

/// A row that is not what was folded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// How many rows were compared.
    pub rows: u64,
    /// How many values and rows differ.
    pub different: u64,
    /// The first of those.
    pub differences: Vec<Difference>,
}

/// How a build differed from the one that was shown, when it had come to the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The build that was shown.
    pub with: i32,
    /// What was found; `None` where they were never at one position: the other stood still.
    pub found: Option<Found>,
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            None => f.write_str("it stood still, and they were never at one position"),
            Some(Found { rows, different: 0, .. }) => write!(f, "{rows} rows are the same"),
            Some(Found { rows, different, .. }) => write!(f, "{different} differences in {rows} rows"),
        }
    }
}

/// Compares all tables that two schemas share, in the columns that they share: what was folded first, then what is shown.
pub(crate) async fn builds(
    folded: &mut PgConnection,
    shown: &mut PgConnection,
    [of_folded, of_shown]: &[String; 2],
    told_max: usize,
) -> Result<Found, sqlx::Error> {
    let mut found = Found::default();
    let in_each = |select: &str| [of_folded, of_shown].map(|schema| select.replace("{schema}", schema));
    let theirs = tables(shown, of_shown).await?;
    for mut table in tables(folded, of_folded).await? {
        let Some(their) = theirs.iter().find(|their| their.name == table.name && their.key == table.key)
        else {
            continue;
        };
        table.columns.retain(|column| their.columns.contains(column));
        let sums = in_each(&table.sums());
        let (ours, theirs) = tokio::try_join!(sums_of(folded, &sums[0]), sums_of(shown, &sums[1]))?;
        let mut parts: Vec<i64> = Vec::new();
        for part in 0..PARTS {
            let of = |sums: &[Sum]| {
                sums.binary_search_by_key(&part, |sum| sum.part).ok().map(|at| sums[at].clone())
            };
            match (of(&ours), of(&theirs)) {
                (ours, theirs) if ours != theirs => parts.push(part),
                (ours, _) => found.rows += ours.map_or(0, |sum| sum.rows),
            }
        }
        if !parts.is_empty() {
            row_by_row(folded, shown, &in_each(&table.rows()), &parts, &table, told_max, &mut found).await?;
        }
    }
    Ok(found)
}

/// The rows of these parts, side by side.
async fn row_by_row(
    folded: &mut PgConnection,
    shown: &mut PgConnection,
    [of_folded, of_shown]: &[String; 2],
    parts: &[i64],
    table: &Table,
    told_max: usize,
    found: &mut Found,
) -> Result<(), sqlx::Error> {
    let mut ours = sqlx::query(AssertSqlSafe(of_folded.as_str())).bind(parts).fetch(&mut *folded);
    let mut theirs = sqlx::query(AssertSqlSafe(of_shown.as_str())).bind(parts).fetch(&mut *shown);
    let (mut one, mut other) = (row(ours.try_next().await?)?, row(theirs.try_next().await?)?);
    loop {
        let order = match (&one, &other) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(one), Some(other)) => table.compared(one, other),
        };
        found.rows += 1;
        let mut tell = |difference: Difference| {
            found.different += 1;
            if found.differences.len() < told_max {
                found.differences.push(difference);
            }
        };
        let whole = |row: &Map<String, Value>| Some(Value::Object(row.clone()));
        match (&one, &other) {
            (Some(one), Some(other)) if order == Ordering::Equal => {
                for (column, folded) in one {
                    let shown = other.get(column);
                    if shown != Some(folded) {
                        let (folded, shown) = (Some(folded.clone()), shown.cloned());
                        tell(Difference {
                            column: Some(column.clone()),
                            folded,
                            shown,
                            ..table.difference(one)
                        });
                    }
                }
            }
            (Some(one), _) if order == Ordering::Less => {
                tell(Difference { folded: whole(one), ..table.difference(one) })
            }
            (_, Some(other)) => tell(Difference { shown: whole(other), ..table.difference(other) }),
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

fn row(row: Option<sqlx::postgres::PgRow>) -> Result<Option<Map<String, Value>>, sqlx::Error> {
    let Some(row) = row else { return Ok(None) };
    match row.try_get("row")? {
        Value::Object(columns) => Ok(Some(columns)),
        other => Err(sqlx::Error::Decode(format!("a row is {other}").into())),
    }
}

/// What the rows of a part come to.
#[derive(Debug, Clone, PartialEq)]
struct Sum {
    part: i64,
    rows: u64,
    /// Of two different hashes.
    hashes: [String; 2],
}

async fn sums_of(connection: &mut PgConnection, select: &str) -> Result<Vec<Sum>, sqlx::Error> {
    let rows = sqlx::query(AssertSqlSafe(select)).fetch_all(connection).await?;
    let sum = |row: &sqlx::postgres::PgRow| {
        Ok(Sum {
            part: row.try_get("part")?,
            rows: row.try_get::<i64, _>("rows")?.unsigned_abs(),
            hashes: [row.try_get("one")?, row.try_get("other")?],
        })
    };
    rows.iter().map(sum).collect()
}

/// A table: its columns, and those of them that name a row, each with whether it is a text.
struct Table {
    name: String,
    columns: Vec<String>,
    key: Vec<(String, bool)>,
}

impl Table {
    /// The sums of all parts. The hashes are Postgres' own, and no cryptography; their seeds are new each time, so nobody can
    /// make a row beforehand that has the hash of another.
    fn sums(&self) -> String {
        let Self { name, columns, .. } = self;
        let (columns, part) = (columns.join(", "), self.part());
        let [one, other] = [(); 2].map(|()| uuid::Uuid::new_v4().as_u64_pair().1.cast_signed());
        format!(
            "SELECT part, count(*) AS rows, sum(hashtextextended(text, {one}))::TEXT AS one,
                    bit_xor(hashtextextended(text, {other}))::TEXT AS other
             FROM (SELECT {part} AS part, ROW({columns})::TEXT AS text FROM {{schema}}.{name} OFFSET 0) AS rows
             GROUP BY part ORDER BY part"
        )
    }

    /// The rows of some parts, in the order of their keys.
    fn rows(&self) -> String {
        let Self { name, columns, key, .. } = self;
        // Texts by their bytes, as we compare them; all other keys are numbers, dates and UUIDs.
        let order = key.iter().map(|(column, is_text)| match is_text {
            true => format!("{column} COLLATE \"C\""),
            false => column.clone(),
        });
        let (columns, part) = (columns.join(", "), self.part());
        let order = order.collect::<Vec<_>>().join(", ");
        format!(
            "SELECT to_jsonb(t) AS row FROM (
                 SELECT {columns} FROM {{schema}}.{name} WHERE {part} = ANY($1) ORDER BY {order}
             ) AS t"
        )
    }

    fn part(&self) -> String {
        let key: Vec<_> = self.key.iter().map(|(column, _)| column.as_str()).collect();
        format!("hashtextextended(ROW({})::TEXT, 0) & {}", key.join(", "), PARTS - 1)
    }

    /// In the order of their keys, as Postgres has it.
    fn compared(&self, one: &Map<String, Value>, other: &Map<String, Value>) -> Ordering {
        let orders = self.key.iter().map(|(key, _)| compared_values(&one[key], &other[key]));
        orders.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }

    /// A difference in this row.
    fn difference(&self, row: &Map<String, Value>) -> Difference {
        let is_key = |column: &str| self.key.iter().any(|(key, _)| key == column);
        let key = row.iter().filter(|(column, _)| is_key(column)).map(|(c, v)| (c.clone(), v.clone()));
        Difference { table: self.name.clone(), key: key.collect(), column: None, folded: None, shown: None }
    }
}

fn compared_values(one: &Value, other: &Value) -> Ordering {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_i64().cmp(&other.as_i64()),
        // The text of a UUID or a date has the order of what it says.
        (Value::String(one), Value::String(other)) => one.as_bytes().cmp(other.as_bytes()),
        _ => Ordering::Equal,
    }
}

async fn tables(connection: &mut PgConnection, schema: &str) -> Result<Vec<Table>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT c.relname::TEXT AS name, a.attname::TEXT AS column, a.atttypid = 'text'::REGTYPE AS is_text,
                array_position(i.indkey::INT2[], a.attnum) AS place
         FROM pg_class c
         JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         WHERE c.relnamespace = $1::REGNAMESPACE AND c.relkind = 'r'
         ORDER BY c.relname, place, a.attname",
    );
    let rows = rows.bind(schema).fetch_all(connection).await?;
    let mut tables: Vec<Table> = Vec::new();
    for row in &rows {
        let (name, column): (String, String) = (row.try_get("name")?, row.try_get("column")?);
        if tables.last().is_none_or(|table| table.name != name) {
            tables.push(Table { name, columns: Vec::new(), key: Vec::new() });
        }
        let table = tables.last_mut().expect("it was just made");
        if row.try_get::<Option<i32>, _>("place")?.is_some() {
            table.key.push((column.clone(), row.try_get("is_text")?));
        }
        table.columns.push(column);
    }
    Ok(tables)
}
