//! Medians of several rounds, as a table and as JSON, and what must be known to believe them.

use std::{fmt, time::Duration};

use anyhow::Result;
use serde::Serialize;

use super::Sizes;
use crate::{console::Console, output};

/// Busier than this beside us, and the machine was not ours.
const BUSY_MAX: f64 = 0.1;
/// Floors that differ by more than this between rounds were measured on a machine that changed.
const SPREAD_MAX: f64 = 1.5;

/// In what a figure is measured.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unit {
    /// So many of these in a second; more is better.
    PerSecond(&'static str),
    /// Less is better.
    Milliseconds,
}

/// One figure of one round.
#[derive(Debug)]
pub(super) struct Figure {
    name: &'static str,
    unit: Unit,
    value: f64,
    floor: Option<f64>,
    stall: Option<Duration>,
}

impl Figure {
    pub(super) fn new(name: &'static str, unit: Unit, value: f64, floor: Option<f64>) -> Self {
        Self { name, unit, value, floor, stall: None }
    }

    /// Something stood still while it was measured.
    pub(super) fn with_stall(self, stall: Option<Duration>) -> Self {
        Self { stall, ..self }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<32} {:>10} {}", self.name, shown(self.value), self.unit)?;
        self.floor.map_or(Ok(()), |floor| write!(f, " (floor {})", shown(floor)))
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PerSecond(what) => write!(f, "{what}/s"),
            Self::Milliseconds => f.write_str("ms"),
        }
    }
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    rounds: usize,
    commands: usize,
    clients: usize,
    partitions: i32,
    figures: Vec<Row>,
    /// Why the figures may be wrong; empty when the machine was quiet.
    doubts: Vec<String>,
}

/// One figure of all rounds.
#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    unit: String,
    /// The median.
    value: f64,
    /// The median of the floor.
    floor: Option<f64>,
    /// The median of how much of the floor was reached (for times: how many times it took).
    ratio: Option<f64>,
    values: Vec<f64>,
    floors: Vec<f64>,
}

impl Report {
    pub(super) fn new(sizes: &Sizes, partitions: i32) -> Self {
        let Sizes { rounds, commands, clients, .. } = *sizes;
        Self { rounds, commands, clients, partitions, figures: Vec::new(), doubts: Vec::new() }
    }

    /// Another round of these.
    pub(super) fn add(&mut self, figures: Vec<Figure>) {
        for figure in figures {
            Console::Talking.say(&format!("  {figure}"));
            if let Some(stall) = figure.stall {
                let name = figure.name;
                self.doubt(format!("{name}: a transaction took {:.1} s", stall.as_secs_f64()));
            }
            let index = self.figures.iter().position(|row| row.name == figure.name).unwrap_or_else(|| {
                self.figures.push(Row::new(&figure));
                self.figures.len() - 1
            });
            self.figures[index].add(&figure);
        }
    }

    /// How busy the machine was beside us before a round.
    pub(super) fn note_machine(&mut self, busy: Option<f64>) {
        if let Some(busy) = busy.filter(|busy| *busy > BUSY_MAX) {
            self.doubt(format!("something else used {:.0}% of the processors before a round", busy * 100.0));
        }
    }

    fn doubt(&mut self, doubt: String) {
        self.doubts.push(doubt);
    }

    fn all_doubts(&self) -> Vec<String> {
        let spread = |row: &Row| {
            let (least, most) =
                (row.floors.iter().copied().reduce(f64::min)?, row.floors.iter().copied().reduce(f64::max)?);
            (most > least * SPREAD_MAX).then(|| {
                format!(
                    "{}: its floor went from {} to {} between rounds",
                    row.name,
                    shown(least),
                    shown(most)
                )
            })
        };
        self.doubts.iter().cloned().chain(self.figures.iter().filter_map(spread)).collect()
    }

    /// Prints it for machines.
    pub fn print_json(mut self) -> Result<()> {
        self.doubts = self.all_doubts();
        output::json(&self)
    }

    /// Prints it for people.
    pub fn print(&self) -> Result<()> {
        let rows = self.figures.iter().map(|row| {
            let floor = row.floor.map(shown).unwrap_or_default();
            let (least, most) =
                row.values.iter().fold((f64::MAX, f64::MIN), |(l, m), v| (l.min(*v), m.max(*v)));
            let range = if row.values.len() > 1 {
                format!("{} … {}", shown(least), shown(most))
            } else {
                String::new()
            };
            [row.name.to_owned(), shown(row.value), row.unit.clone(), floor, row.ratio_shown(), range]
        });
        output::table(["what", "median", "unit", "floor", "of the floor", "range"], rows)?;
        let (rounds, partitions) = (self.rounds, self.partitions);
        output::line(&format!(
            "\n{rounds} round(s); {} commands waited, {} clients, {partitions} partitions",
            self.commands, self.clients
        ))?;
        for doubt in self.all_doubts() {
            output::line(&format!("doubtful: {doubt}"))?;
        }
        Ok(())
    }
}

impl Row {
    fn new(figure: &Figure) -> Self {
        let unit = figure.unit.to_string();
        Self { name: figure.name, unit, value: 0.0, floor: None, ratio: None, values: vec![], floors: vec![] }
    }

    fn add(&mut self, figure: &Figure) {
        self.values.push(figure.value);
        self.floors.extend(figure.floor);
        self.value = median(&self.values);
        if !self.floors.is_empty() {
            self.floor = Some(median(&self.floors));
            // A ratio of one run, then the median of those.
            let ratios: Vec<f64> =
                self.values.iter().zip(&self.floors).map(|(value, floor)| value / floor).collect();
            self.ratio = Some(median(&ratios));
        }
    }

    fn ratio_shown(&self) -> String {
        match self.ratio {
            None => String::new(),
            Some(ratio) if self.unit == "ms" => format!("{ratio:.1} times"),
            Some(ratio) => format!("{:.0}%", ratio * 100.0),
        }
    }
}

/// Digits that mean something.
fn shown(value: f64) -> String {
    if value >= 1000.0 {
        let digits = format!("{value:.0}");
        let groups: Vec<&str> =
            digits.as_bytes().rchunks(3).rev().filter_map(|g| std::str::from_utf8(g).ok()).collect();
        groups.join(",")
    } else {
        format!("{value:.1}")
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (middle, is_even) = (sorted.len() / 2, sorted.len().is_multiple_of(2));
    match sorted.get(middle) {
        Some(upper) if is_even => (sorted[middle - 1] + upper) / 2.0,
        Some(middle) => *middle,
        None => f64::NAN,
    }
}

/// The percentile of these times, in milliseconds: the nearest rank.
pub(super) fn percentile(times: &[Duration], percent: usize) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(rank).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!([1, 50, 99, 100].map(|p| percentile(&times, p)), [2.0, 100.0, 198.0, 200.0]);
        assert_eq!(percentile(&[Duration::from_millis(7)], 50), 7.0);
        assert!(percentile(&[], 50).is_nan());
    }

    #[test]
    fn a_ratio_is_of_one_round_and_then_the_median() {
        let mut row = Row::new(&Figure::new("x", Unit::Milliseconds, 0.0, None));
        for (value, floor) in [(10.0, 10.0), (30.0, 10.0), (10.0, 5.0)] {
            row.add(&Figure::new("x", Unit::Milliseconds, value, Some(floor)));
        }
        assert_eq!((row.value, row.floor, row.ratio), (10.0, Some(10.0), Some(2.0)));
    }

    #[test]
    fn large_figures_are_grouped() {
        assert_eq!([999.94, 1000.0, 1_234_567.0].map(shown), ["999.9", "1,000", "1,234,567"]);
    }
}
