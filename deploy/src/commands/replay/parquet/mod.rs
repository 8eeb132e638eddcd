//! Apache Parquet, for DuckDB, pandas and Spark: one row an event, one schema for all services.
//!
//! Rows are gathered by column, and written as a row group when they are many or large. So memory is bounded by one row
//! group; what grows with the file is its footer, by some kilobytes a group.

mod column;

use std::sync::Arc;

use anyhow::{Context as _, Result};
use factfold_projections::log_reader::{
    Lane, Record,
    envelope::{self, Data},
};
use parquet::{
    basic::Compression,
    file::{
        properties::{EnabledStatistics, WriterProperties},
        writer::SerializedFileWriter,
    },
    schema::parser::parse_message_type,
};
use serde_json::{Map, Value};

use self::column::Column;
use super::{output::Output, sink::Sink};
use crate::failure::Failure;

/// The columns: CloudEvents' attributes under their own names, where the event lies, when the broker stored it, and what it says.
/// Other people's queries name them: new ones come, none goes.
const SCHEMA: &str = "message event {
    optional binary id (STRING);
    optional binary source (STRING);
    optional binary specversion (STRING);
    optional binary type (STRING);
    optional binary subject (STRING);
    optional int64 time (TIMESTAMP(MICROS, true));
    optional binary datacontenttype (STRING);
    optional binary dataschema (STRING);
    optional int64 streamversion;
    optional binary causationid (STRING);
    optional binary causationsource (STRING);
    optional binary commanddigest (STRING);
    optional binary commandposition (STRING);
    optional binary decidedposition (STRING);
    optional binary correlationid (STRING);
    optional binary traceparent (STRING);
    optional binary authtype (STRING);
    optional binary authid (STRING);
    optional binary otherattributes (JSON);
    required binary position (STRING);
    required binary topic (STRING);
    required int32 partition;
    required int64 offset;
    required int64 recordedtime (TIMESTAMP(MICROS, true));
    optional binary data (JSON);
    optional binary data_base64 (STRING);
}";

/// How many rows a group has: as many as DuckDB's own have.
const GROUP_ROWS: usize = 122_880;
/// How large a group gets, before it is compressed.
const GROUP_BYTES: usize = 64 << 20;

/// Rows on their way.
pub(super) struct Parquet {
    writer: SerializedFileWriter<Output>,
    columns: Vec<Column>,
    rows: usize,
    bytes: usize,
}

impl Parquet {
    /// A file in this place.
    pub(super) fn new(output: Output) -> Result<Self> {
        let schema = Arc::new(parse_message_type(SCHEMA)?);
        let columns = schema.get_fields().iter().map(|field| Column::new(field)).collect();
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(Default::default()))
            // By these a reader skips groups. Those of every page would only make the footer grow.
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_created_by(concat!("factfold ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let writer = SerializedFileWriter::new(output, schema, Arc::new(properties))?;
        Ok(Self { writer, columns, rows: 0, bytes: 0 })
    }

    /// Fills in a cell of the row that is being made. Says whether there is a column that takes it.
    fn fill(&mut self, name: &str, cell: impl AsRef<[u8]>) -> bool {
        let cell = cell.as_ref();
        self.bytes += cell.len();
        self.columns.iter_mut().any(|column| column.is_called(name) && column.fill(self.rows, cell))
    }

    fn end_row(&mut self) -> Result<()> {
        self.columns.iter_mut().for_each(|column| column.end_row(self.rows));
        self.rows += 1;
        if self.rows == GROUP_ROWS || self.bytes >= GROUP_BYTES {
            self.write_group()?
        }
        Ok(())
    }

    fn write_group(&mut self) -> Result<()> {
        let mut group = self.writer.next_row_group()?;
        for column in &mut self.columns {
            let mut writer = group.next_column()?.context("the schema has no more columns")?;
            column.write_to(&mut writer)?;
            writer.close()?;
        }
        group.close()?;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }
}

impl Sink for Parquet {
    fn write(&mut self, record: &Record<'_>) -> Result<()> {
        let position = record.position();
        self.fill("position", position.to_string());
        self.fill("topic", position.topic.to_string());
        self.fill("partition", position.partition.to_string());
        self.fill("offset", position.offset.to_string());
        self.fill("recordedtime", envelope::time(record.time()));
        match envelope::data(record) {
            Data::Json(json) => self.fill("data", json),
            Data::Base64(text) => self.fill("data_base64", text),
        };
        let mut others = Map::new();
        for (name, value) in envelope::attributes(record) {
            if !self.fill(name, value) {
                others.insert(name.to_owned(), String::from_utf8_lossy(value).into());
            }
        }
        if !others.is_empty() {
            self.fill("otherattributes", Value::Object(others).to_string());
        }
        self.end_row()
    }

    fn settle(&mut self, _: &[Lane]) -> Result<bool> {
        // Without its end nobody can read it.
        Ok(false)
    }

    fn finish(mut self: Box<Self>, _: &[Lane]) -> Result<(), Failure> {
        if self.rows > 0 {
            self.write_group()?;
        }
        self.writer.into_inner().context("ending the Parquet file")?.finish()
    }
}
