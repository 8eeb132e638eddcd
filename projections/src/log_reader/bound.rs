//! Where to begin and where to end, as people say it.

use std::str::FromStr;

use factfold_schemas::position::Position;
use jiff::{SignedDuration, Timestamp};

use super::{Lane, LogError};

/// A place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// The oldest record that is there.
    Beginning,
    /// The end as it is now.
    End,
    /// The first records that are not older than this.
    Time(Timestamp),
    /// Exactly here, in the partitions that are named.
    Positions(Vec<Position>),
}

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "beginning" => return Ok(Self::Beginning),
            "end" => return Ok(Self::End),
            _ => {}
        }
        if text.contains('/') {
            let positions = text.split(',').map(|part| part.trim().parse());
            return Ok(Self::Positions(positions.collect::<Result<_, _>>().map_err(|e| format!("{e}"))?));
        }
        if let Ok(time) = text.parse::<Timestamp>() {
            return Ok(Self::Time(time));
        }
        let ago = text.parse::<SignedDuration>().ok().filter(|ago| !ago.is_negative());
        if let Some(time) = ago.and_then(|ago| Timestamp::now().checked_sub(ago).ok()) {
            return Ok(Self::Time(time));
        }
        Err("expected `beginning`, `end`, a time (2026-01-31T12:00:00Z), how long ago (15m), or positions \
             (orders.events/0@42,orders.events/1@17)"
            .to_owned())
    }
}

/// The positions as one text that [`Bound`] reads back.
pub fn listed(positions: impl IntoIterator<Item = Position>) -> String {
    positions.into_iter().map(|position| position.to_string()).collect::<Vec<_>>().join(",")
}

/// Refuses positions that are nowhere in these lanes.
pub(super) fn check(positions: &[Position], lanes: &[Lane]) -> Result<(), LogError> {
    let refused = |why: String| Err(LogError::NoSuchPlace(why));
    for (index, position) in positions.iter().enumerate() {
        let Some(topic) = lanes.iter().find(|lane| lane.topic == position.topic) else {
            let expected = lanes.first().map(|lane| lane.topic.to_string()).unwrap_or_default();
            return refused(format!(
                "{position} is not a position of {expected}, which is what is read here"
            ));
        };
        let Some(lane) =
            lanes.iter().find(|l| l.topic == position.topic && l.partition == position.partition)
        else {
            return refused(format!(
                "{position}: the topic {} has no partition {}",
                topic.name, position.partition
            ));
        };
        if position.offset > lane.end {
            return refused(format!("{position} is beyond the end, which is at {}", lane.end));
        }
        if positions[..index].iter().any(|p| (p.topic, p.partition) == (position.topic, position.partition)) {
            return refused(format!("{position}: this partition is named twice"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_can_be_said_in_many_ways() {
        let parse = |text: &str| text.parse::<Bound>().expect("a place");
        assert_eq!(parse("beginning"), Bound::Beginning);
        assert_eq!(parse("end"), Bound::End);
        let time = "2026-01-31T12:00:00Z".parse().expect("a time");
        assert_eq!(parse("2026-01-31T13:00:00+01:00"), Bound::Time(time));
        assert!(matches!(parse("15m"), Bound::Time(time) if time < Timestamp::now()));
        let Bound::Positions(positions) = parse("orders.events/0@42, orders.events/1@17") else {
            panic!("positions");
        };
        assert_eq!(parse(&listed(positions.clone())), Bound::Positions(positions));
        for wrong in ["", "yesterday", "42", "-15m", "orders.events/0", "facts/0@1", "orders.events/0@1,"] {
            assert!(wrong.parse::<Bound>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_place_that_is_not_there_is_refused() {
        let lane = |partition| Lane {
            topic: "orders.events".parse().expect("a topic"),
            name: "orders.events".to_owned(),
            partition,
            low: 0,
            next: 0,
            end: 10,
        };
        let lanes = [lane(0), lane(1)];
        let refusal = |texts: &[&str]| {
            let positions: Vec<_> = texts.iter().map(|text| text.parse().expect("a position")).collect();
            check(&positions, &lanes).err().map(|error| error.to_string())
        };
        assert_eq!(refusal(&["orders.events/0@10", "orders.events/1@0"]), None);
        let refused = |texts: &[&str], with: &str| {
            let said = refusal(texts).expect("refused");
            assert!(said.contains(with), "{said}");
        };
        refused(&["orders.commands/0@1"], "not a position of orders.events");
        refused(&["orders.events/2@1"], "no partition 2");
        refused(&["orders.events/0@11"], "beyond the end");
        refused(&["orders.events/0@1", "orders.events/0@2"], "named twice");
    }
}
