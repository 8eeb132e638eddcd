//! What commands print: data on stdout, for people or for machines. Whoever closes stdout ends the command, quietly.

use std::{
    borrow::Cow,
    io::{self, IsTerminal as _, StdoutLock, Write as _},
};

use anyhow::{Context as _, Result};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// The widest that a table gets where no terminal says how wide it is.
const WIDTH: u16 = 120;

/// How wide the terminal is, if stdout is one.
pub(crate) fn width() -> Option<u16> {
    let size = terminal_size::terminal_size_of(io::stdout())?;
    io::stdout().is_terminal().then_some(size.0.0)
}

/// A bar that says how much of something is done, how fast, and what is left. It belongs on a terminal only.
pub(crate) fn bar(length: u64, of: impl Into<Cow<'static, str>>) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{bar:30} {percent:>3}%  {human_pos} of {human_len} {msg}  {per_sec}  {eta} left",
    );
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style).with_message(of)
}

/// Prints one line.
pub(crate) fn line(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").context("writing to stdout")
}

/// Prints a value as JSON that people can read too.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    line(&serde_json::to_string_pretty(value)?)
}

/// Prints a table: a header, and rows as long as it. Only the last column wraps, since the others hold what people copy.
pub(crate) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Result<()> {
    let mut table = plain_table(header, rows);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width().unwrap_or(WIDTH));
    let wrapped = N.saturating_sub(1);
    table.column_iter_mut().take(wrapped).for_each(|column| {
        column.set_constraint(ColumnConstraint::ContentWidth);
    });
    line(&table.trim_fmt())
}

/// A table with a line for each row, whatever its length: the header, then the rows.
pub(crate) fn table_lines<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> impl Iterator<Item = String> {
    let mut table = plain_table(header, rows);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().into_iter()
}

fn plain_table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.map(str::to_uppercase)).add_rows(rows);
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    table
}

/// A text of somebody else's, without what would move the cursor or change colours: nobody's terminal is to follow that.
pub(crate) fn scrubbed(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// As much of a text as fits into so many columns.
pub(crate) fn shortened(text: &str, columns: usize) -> String {
    let mut shown: String = text.chars().take(columns).collect();
    if text.chars().nth(columns).is_some() {
        shown.pop();
        shown.push('…');
    }
    shown
}

/// Lines of data, many of them.
pub(crate) struct Lines(io::BufWriter<StdoutLock<'static>>);

impl Lines {
    /// Takes stdout.
    pub(crate) fn new() -> Self {
        Self(io::BufWriter::with_capacity(1 << 18, io::stdout().lock()))
    }

    /// Writes what is a line, or many, with their ends.
    pub(crate) fn write(&mut self, lines: &[u8]) -> Result<()> {
        self.0.write_all(lines).context("writing to stdout")
    }

    /// Lets the reader see all that was written.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.0.flush().context("writing to stdout")
    }
}
