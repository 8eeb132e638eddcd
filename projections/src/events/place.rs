//! How far somebody has read: the offset that comes next in each partition. To clients it is a short text that any gateway
//! understands, and from which reading goes on exactly: nothing is missed, nothing comes twice.

use std::{fmt, ops::Range, str::FromStr};

use factfold_schemas::{position::Position, topics::Topic};

use crate::log_reader::Lane;

/// What is read: the partitions of a topic, or the one where a stream is at home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The topic.
    pub topic: Topic,
    /// Another topic, of which the partitions with the same numbers are read, too.
    pub beside: Option<Topic>,
    /// Which of its partitions.
    pub partitions: Range<i32>,
}

/// How far it was read: the next offset of each partition in scope, in their order; then of those of the topic beside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(Vec<i64>);

/// A text that is no place.
#[derive(Debug, thiserror::Error)]
#[error("this is no id of an event here: use one as it came")]
pub struct InvalidPlace;

impl Scope {
    /// The same, with the outcomes of the commands that were decided there.
    pub fn with_outcomes(self) -> Self {
        Self { beside: Some(self.topic.service.outcomes()), ..self }
    }

    /// Whether this place is one here.
    pub fn has(&self, place: &Place) -> bool {
        place.0.len() == self.all().count()
    }

    /// The topics.
    pub(super) fn topics(&self) -> impl Iterator<Item = Topic> {
        [Some(self.topic), self.beside].into_iter().flatten()
    }

    fn all(&self) -> impl Iterator<Item = (Topic, i32)> {
        self.topics().flat_map(|topic| self.partitions.clone().map(move |partition| (topic, partition)))
    }

    /// The place where these lanes go on.
    pub(super) fn place_of(&self, lanes: &[Lane]) -> Place {
        let next =
            |place| lanes.iter().find(|lane| (lane.topic, lane.partition) == place).map(|lane| lane.next);
        Place(self.all().map(|place| next(place).unwrap_or_default()).collect())
    }

    /// The part of this in scope, of the next offsets of all partitions.
    pub(super) fn place_in(&self, next: &[i64]) -> Place {
        Place(self.partitions.clone().filter_map(|partition| next.get(partition as usize).copied()).collect())
    }

    pub(super) fn positions(&self, place: &Place) -> Vec<Position> {
        let each = self.all().zip(&place.0);
        each.map(|((topic, partition), next)| Position::new(topic, partition, *next)).collect()
    }

    /// Whether the record at this offset was not read yet; then it is now.
    pub(super) fn advance(&self, place: &mut Place, partition: i32, offset: i64) -> bool {
        let next = self.partitions.contains(&partition).then(|| partition - self.partitions.start);
        let Some(next) = next.and_then(|index| place.0.get_mut(index as usize)) else { return false };
        let is_new = offset >= *next;
        if is_new {
            *next = offset + 1;
        }
        is_new
    }
}

impl Place {
    /// Whether everything before `other` was read.
    pub fn covers(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(own, other)| own >= other)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, next) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            write!(f, "{next}")?;
        }
        Ok(())
    }
}

impl FromStr for Place {
    type Err = InvalidPlace;
    fn from_str(text: &str) -> Result<Self, InvalidPlace> {
        let next = text.split('.').map(|next| next.parse().ok().filter(|next| *next >= 0));
        let place = next.collect::<Option<_>>().map(Self).ok_or(InvalidPlace)?;
        // One spelling only.
        if place.to_string() == text { Ok(place) } else { Err(InvalidPlace) }
    }
}

#[cfg(test)]
mod tests {
    use factfold_schemas::topics::Service;

    use super::*;

    #[test]
    fn a_place_reads_back_and_nothing_else_does() {
        let place: Place = "0.17.4".parse().expect("a place");
        assert_eq!((place.to_string(), place.0.len()), ("0.17.4".to_owned(), 3));
        for wrong in ["", ".", "1.", "-1", "01", "+1", "1,2", "one"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_was_read_is_not_read_again_and_what_is_elsewhere_never() {
        let scope = Scope { topic: Service::Orders.events(), beside: None, partitions: 1..3 };
        let mut place: Place = "5.0".parse().expect("a place");
        assert!(scope.has(&place) && !scope.has(&"5".parse().expect("a place")));
        for (partition, offset, is_new) in
            [(1, 4, false), (1, 5, true), (1, 5, false), (2, 9, true), (0, 9, false), (3, 9, false)]
        {
            assert_eq!(scope.advance(&mut place, partition, offset), is_new, "{partition}@{offset}");
        }
        assert_eq!(place.to_string(), "6.10");
        assert!(place.covers(&scope.place_in(&[99, 6, 10, 99])));
        assert!(!place.covers(&scope.place_in(&[0, 6, 11, 0])));
    }

    #[test]
    fn a_place_in_two_topics_has_the_partitions_of_both() {
        let (topic, beside) = (Service::Orders.events(), Service::Orders.outcomes());
        let scope = Scope { topic, beside: Some(beside), partitions: 2..3 };
        let place: Place = "5.9".parse().expect("a place");
        assert!(scope.has(&place) && !scope.has(&"5".parse().expect("a place")));
        assert_eq!(scope.positions(&place), [Position::new(topic, 2, 5), Position::new(beside, 2, 9)]);
    }
}
