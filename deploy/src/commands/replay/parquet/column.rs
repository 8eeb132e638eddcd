//! One column of a row group: cells come as texts, and leave as what the schema says they are.

use anyhow::Result;
use jiff::Timestamp;
use parquet::{
    basic::{LogicalType, Repetition, Type as Physical},
    data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type},
    file::writer::SerializedColumnWriter,
    schema::types::Type,
};

/// A column, and its cells.
pub(super) struct Column {
    name: String,
    values: Values,
    /// Whether rows may have nothing here.
    is_optional: bool,
    /// For each row, whether it has something: 1 or 0, as Parquet wants it.
    is_there: Vec<i16>,
}

enum Values {
    /// All texts in one piece, and where each ends.
    Text(Vec<u8>, Vec<usize>),
    Small(Vec<i32>),
    Large(Vec<i64>),
    /// Microseconds since 1970.
    Time(Vec<i64>),
}

impl Column {
    /// An empty column of this field.
    pub(super) fn new(field: &Type) -> Self {
        let is_time =
            matches!(field.get_basic_info().logical_type_ref(), Some(LogicalType::Timestamp { .. }));
        let values = match field.get_physical_type() {
            Physical::INT64 if is_time => Values::Time(Vec::new()),
            Physical::INT64 => Values::Large(Vec::new()),
            Physical::INT32 => Values::Small(Vec::new()),
            _ => Values::Text(Vec::new(), Vec::new()),
        };
        let is_optional = field.get_basic_info().repetition() == Repetition::OPTIONAL;
        Self { name: field.name().to_owned(), values, is_optional, is_there: Vec::new() }
    }

    /// Whether this is its name.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.name == name
    }

    /// Takes the cell of this row, if it is of the column's kind, and the first.
    pub(super) fn fill(&mut self, row: usize, cell: &[u8]) -> bool {
        let is_taken = self.is_there.len() == row && self.values.push(cell).is_some();
        if is_taken {
            self.is_there.push(1);
        }
        is_taken
    }

    /// Ends a row: where nothing was said there is nothing.
    pub(super) fn end_row(&mut self, row: usize) {
        self.is_there.resize(row + 1, 0);
    }

    /// Writes all cells, and begins anew.
    pub(super) fn write_to(&mut self, writer: &mut SerializedColumnWriter<'_>) -> Result<()> {
        let is_there = self.is_optional.then_some(self.is_there.as_slice());
        match &mut self.values {
            Values::Text(bytes, ends) => {
                let all = ByteArray::from(std::mem::take(bytes));
                let mut begin = 0;
                let text = |end: usize| {
                    let text = all.slice(begin, end - begin);
                    begin = end;
                    text
                };
                let texts: Vec<_> = ends.drain(..).map(text).collect();
                writer.typed::<ByteArrayType>().write_batch(&texts, is_there, None)?;
            }
            Values::Small(values) => {
                writer.typed::<Int32Type>().write_batch(values, is_there, None)?;
                values.clear();
            }
            Values::Large(values) | Values::Time(values) => {
                writer.typed::<Int64Type>().write_batch(values, is_there, None)?;
                values.clear();
            }
        }
        self.is_there.clear();
        Ok(())
    }
}

impl Values {
    fn push(&mut self, cell: &[u8]) -> Option<()> {
        let cell = str::from_utf8(cell).ok()?;
        match self {
            Self::Text(bytes, ends) => {
                bytes.extend_from_slice(cell.as_bytes());
                ends.push(bytes.len());
            }
            Self::Small(values) => values.push(cell.parse().ok()?),
            Self::Large(values) => values.push(cell.parse().ok()?),
            Self::Time(values) => values.push(cell.parse::<Timestamp>().ok()?.as_microsecond()),
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use parquet::schema::parser::parse_message_type;

    use super::*;

    #[test]
    fn a_cell_is_taken_once_and_only_where_it_fits() {
        let schema =
            "message m { optional int64 n; optional int64 t (TIMESTAMP(MICROS, true)); required binary s; }";
        let schema = parse_message_type(schema).expect("a schema");
        let mut columns: Vec<_> = schema.get_fields().iter().map(|field| Column::new(field)).collect();
        let [n, t, s] = columns.as_mut_slice() else { panic!("three columns") };
        assert!(n.fill(0, b"3") && !n.fill(0, b"4") && !n.fill(1, b"three"));
        assert!(!t.fill(0, b"3") && t.fill(0, b"2026-01-31T12:00:00.000001Z"));
        assert!(!s.fill(0, b"\xff") && s.fill(0, b""));
        n.end_row(1);
        assert_eq!(n.is_there, [1, 0]);
        assert!(matches!(&t.values, Values::Time(times) if times[..] == [1_769_860_800_000_001]));
    }
}
