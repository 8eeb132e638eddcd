//! How rows get into a table: each value is put into Postgres' binary form once, column by column. Rows that may be there
//! already, and few new ones, go as arrays in one statement; many new ones by COPY, of the same bytes.
//!
//! Source of both forms: <https://www.postgresql.org/docs/15/sql-copy.html>, "Binary Format", and `array_recv` of Postgres.

use jiff::{Timestamp, civil::Date};
use sqlx::{
    AssertSqlSafe, Encode, PgConnection, Postgres, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgTypeInfo, types::Oid},
};
use uuid::Uuid;

use crate::postgres::{Text, Time};

/// From how many new rows on COPY is worth its round trips.
const COPY_MIN: usize = 500;
/// How much is handed over at once.
const COPY_CHUNK: usize = 256 * 1024;

/// What most values take, with their length.
const CELL_BYTES: usize = 20;

/// A value of a column.
pub(crate) trait Cell {
    /// Its type.
    const TYPE: CellType;

    /// Appends it in Postgres' binary form, without its length; false when it is NULL.
    fn put(&self, bytes: &mut Vec<u8>) -> bool;
}

/// A type of Postgres. (The ids of built-in types never change: `pg_type.dat`.)
#[derive(Debug, Clone, Copy)]
pub(crate) struct CellType {
    name: &'static str,
    oid: u32,
    array: u32,
}

macro_rules! cells {
    ($($of:ty: $name:literal $oid:literal $array:literal, |$value:ident, $bytes:ident| $put:expr;)*) => {$(
        impl Cell for $of {
            const TYPE: CellType = CellType { name: $name, oid: $oid, array: $array };

            fn put(&self, $bytes: &mut Vec<u8>) -> bool {
                let $value = self;
                $put;
                true
            }
        }
    )*};
}

cells! {
    bool: "BOOLEAN" 16 1000, |value, bytes| bytes.push(u8::from(*value));
    i32: "INTEGER" 23 1007, |value, bytes| bytes.extend(value.to_be_bytes());
    i64: "BIGINT" 20 1016, |value, bytes| bytes.extend(value.to_be_bytes());
    Uuid: "UUID" 2950 2951, |value, bytes| bytes.extend(value.as_bytes());
    Timestamp: "TIMESTAMPTZ" 1184 1185, |value, bytes| bytes.extend(Time(*value).to_be_bytes());
    Date: "DATE" 1082 1182, |value, bytes| bytes.extend(days_since_2000(*value).to_be_bytes());
    Text<'_>: "TEXT" 25 1009, |value, bytes| bytes.extend(value.replaced().as_bytes());
    // What is made here, and has nothing that Postgres cannot hold.
    String: "TEXT" 25 1009, |value, bytes| bytes.extend(value.as_bytes());
    &'static str: "TEXT" 25 1009, |value, bytes| bytes.extend(value.as_bytes());
    Json: "JSON" 114 199, |value, bytes| bytes.extend(value.0.as_bytes());
    Jsonb: "JSONB" 3802 3807, |value, bytes| { bytes.push(1); bytes.extend(value.0.as_bytes()) };
}

impl<T: Cell> Cell for Option<T> {
    const TYPE: CellType = T::TYPE;

    fn put(&self, bytes: &mut Vec<u8>) -> bool {
        self.as_ref().is_some_and(|value| value.put(bytes))
    }
}

/// A text of JSON that stays as it is.
#[derive(Debug, Clone)]
pub(crate) struct Json(pub(crate) String);

/// A text of JSON.
#[derive(Debug, Clone)]
pub(crate) struct Jsonb(pub(crate) String);

fn days_since_2000(date: Date) -> i32 {
    date.since(Date::constant(2000, 1, 1)).map_or(0, |span| span.get_days())
}

/// Rows of one table, on their way into it.
pub(crate) struct Table<'r, R> {
    name: &'static str,
    rows: Vec<&'r R>,
    columns: Vec<Column>,
}

/// The values of one column.
struct Column {
    name: &'static str,
    of: CellType,
    /// Whether it is one of those that name a row.
    is_key: bool,
    /// How its values are made of what is handed over, where they are not the same.
    made: Option<&'static str>,
    /// Whether it is added to what is there.
    is_sum: bool,
    /// Each value with its length before it.
    cells: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
}

impl<'r, R> Table<'r, R> {
    /// These rows, which are to go into this table.
    pub(crate) fn of(name: &'static str, rows: impl IntoIterator<Item = &'r R>) -> Self {
        Self { name, rows: rows.into_iter().collect(), columns: Vec::new() }
    }

    /// A column that names a row, alone or with others.
    pub(crate) fn key<T: Cell>(self, name: &'static str, value: impl Fn(&'r R) -> T) -> Self {
        self.with(Column { is_key: true, ..Column::new::<T>(name) }, value)
    }

    /// Another column.
    pub(crate) fn column<T: Cell>(self, name: &'static str, value: impl Fn(&'r R) -> T) -> Self {
        self.with(Column::new::<T>(name), value)
    }

    /// A column whose values are made of what is handed over by this expression.
    pub(crate) fn made<T: Cell>(
        self,
        name: &'static str,
        made: &'static str,
        value: impl Fn(&'r R) -> T,
    ) -> Self {
        self.with(Column { made: Some(made), ..Column::new::<T>(name) }, value)
    }

    /// A number to which the new one is added when the row is there already.
    pub(crate) fn sum(self, name: &'static str, value: impl Fn(&'r R) -> i64) -> Self {
        self.with(Column { is_sum: true, ..Column::new::<i64>(name) }, value)
    }

    fn with<T: Cell>(mut self, mut column: Column, value: impl Fn(&'r R) -> T) -> Self {
        column.ends.reserve(self.rows.len());
        column.cells.reserve(self.rows.len() * CELL_BYTES);
        for row in &self.rows {
            column.push(&value(row));
        }
        self.columns.push(column);
        self
    }

    /// Writes rows of which none is there.
    pub(crate) async fn insert(self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let all: Vec<usize> = (0..self.rows.len()).collect();
        if all.len() >= COPY_MIN && self.is_copyable() {
            return self.copy(connection, &all).await;
        }
        self.unnest(connection, &all, "").await
    }

    /// Writes rows, those that are there already in their place. Whoever is surely not there says so: that is quicker.
    pub(crate) async fn upsert(
        self,
        connection: &mut PgConnection,
        is_new: impl Fn(&R) -> bool,
    ) -> Result<(), sqlx::Error> {
        let (new, mut rest): (Vec<usize>, Vec<usize>) =
            (0..self.rows.len()).partition(|row| is_new(self.rows[*row]));
        if new.len() >= COPY_MIN && self.is_copyable() {
            self.copy(connection, &new).await?;
        } else {
            rest = (0..self.rows.len()).collect();
        }
        let names = |of: &dyn Fn(&Column) -> Option<String>| {
            self.columns.iter().filter_map(of).collect::<Vec<_>>().join(", ")
        };
        let key = names(&|column| column.is_key.then(|| column.name.to_owned()));
        let table = self.name;
        let others = names(&|Column { name, is_key, is_sum, .. }| match (is_key, is_sum) {
            (true, _) => None,
            (false, true) => Some(format!("{name} = {table}.{name} + EXCLUDED.{name}")),
            (false, false) => Some(format!("{name} = EXCLUDED.{name}")),
        });
        self.unnest(connection, &rest, &format!("ON CONFLICT ({key}) DO UPDATE SET {others}")).await
    }

    fn is_copyable(&self) -> bool {
        self.columns.iter().all(|column| column.made.is_none())
    }

    fn names(&self) -> String {
        self.columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
    }

    async fn unnest(
        &self,
        connection: &mut PgConnection,
        rows: &[usize],
        conflict: &str,
    ) -> Result<(), sqlx::Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let (name, names) = (self.name, self.names());
        let made: Vec<_> = self.columns.iter().map(|column| column.made.unwrap_or(column.name)).collect();
        let arrays: Vec<_> =
            (1..).zip(&self.columns).map(|(n, c)| format!("${n}::{}[]", c.of.name)).collect();
        let insert = format!(
            "INSERT INTO {name} ({names}) SELECT {} FROM UNNEST({}) AS given ({names}) {conflict}",
            made.join(", "),
            arrays.join(", "),
        );
        let mut query = sqlx::query(AssertSqlSafe(insert));
        for column in &self.columns {
            query = query.bind(Array { column, rows });
        }
        query.execute(connection).await.map(drop)
    }

    async fn copy(&self, connection: &mut PgConnection, rows: &[usize]) -> Result<(), sqlx::Error> {
        let (name, names) = (self.name, self.names());
        let mut copy =
            connection.copy_in_raw(&format!("COPY {name} ({names}) FROM STDIN (FORMAT BINARY)")).await?;
        let mut bytes = Vec::with_capacity(COPY_CHUNK + COPY_CHUNK / 4);
        bytes.extend(b"PGCOPY\n\xff\r\n\0");
        // Neither flags nor an extension of the header.
        bytes.extend([0; 8]);
        let count = i16::try_from(self.columns.len()).expect("a table has few columns").to_be_bytes();
        for row in rows {
            bytes.extend(count);
            for column in &self.columns {
                bytes.extend(column.cell(*row));
            }
            if bytes.len() >= COPY_CHUNK {
                copy.send(bytes.as_slice()).await?;
                bytes.clear();
            }
        }
        bytes.extend((-1_i16).to_be_bytes());
        copy.send(bytes.as_slice()).await?;
        copy.finish().await.map(drop)
    }
}

impl Column {
    fn new<T: Cell>(name: &'static str) -> Self {
        let (cells, ends) = (Vec::new(), Vec::new());
        Self { name, of: T::TYPE, is_key: false, made: None, is_sum: false, cells, ends }
    }

    fn push(&mut self, value: &impl Cell) {
        let start = self.cells.len();
        self.cells.extend((-1_i32).to_be_bytes());
        if value.put(&mut self.cells) {
            let length = self.cells.len() - start - size_of::<i32>();
            // More than Postgres takes is more than a record of Kafka can hold.
            let length = i32::try_from(length).expect("a value is small").to_be_bytes();
            self.cells[start..start + length.len()].copy_from_slice(&length);
        }
        self.ends.push(self.cells.len());
    }

    fn cell(&self, row: usize) -> &[u8] {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.cells[start..self.ends[row]]
    }
}

/// Some of a column's values, as an array.
struct Array<'a> {
    column: &'a Column,
    rows: &'a [usize],
}

impl Type<Postgres> for Array<'_> {
    /// Of no interest: each says its own.
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(i64::TYPE.array))
    }
}

impl Encode<'_, Postgres> for Array<'_> {
    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(self.column.of.array)))
    }

    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let (dimensions, may_have_nulls, first) = (1_i32, 1_i32, 1_i32);
        buffer.extend(dimensions.to_be_bytes());
        buffer.extend(may_have_nulls.to_be_bytes());
        buffer.extend(self.column.of.oid.to_be_bytes());
        buffer.extend(i32::try_from(self.rows.len())?.to_be_bytes());
        buffer.extend(first.to_be_bytes());
        for row in self.rows {
            buffer.extend_from_slice(self.column.cell(*row));
        }
        Ok(IsNull::No)
    }
}
