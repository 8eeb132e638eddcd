//! Each `DeadLettered` has exactly one dead letter, with the same reason and the record as it came; and every dead letter
//! has its outcome, but for events with which a bound function failed. (What was done about one is said beside it.)

use std::collections::BTreeMap;

use factfold_consumers::decider::Decider;
use factfold_schemas::{
    letter::{DETAIL, FUNCTION, MARKER, POSITION, REASON, is_own},
    position::Position,
    record::Outcome,
};

use crate::{
    history::{ServiceLog, place},
    log::Record,
    report::Report,
};

const NAME: &str = "dead letters";

/// Checks one service.
pub fn check<D: Decider>(log: &ServiceLog<D>, report: &mut Report) {
    let topic = D::SERVICE.dead_letters();
    let mut letters = BTreeMap::<Position, Vec<&Record>>::new();
    for letter in &log.dead_letters {
        if letter.last_header(MARKER).is_some() {
            continue;
        }
        match letter.last_header(POSITION).and_then(|text| text.parse::<Position>().ok()) {
            // With which a bound function failed: an event has no outcome.
            Some(position) if is_of_a_function(position, letter) => {}
            Some(position) => letters.entry(position).or_default().push(letter),
            None => report.add(NAME, place(topic, letter), "it does not say where it comes from"),
        }
    }
    let commands = log.commands_by_position();
    for outcome in &log.outcomes {
        let Outcome::DeadLettered(dead) = &outcome.record.outcome else { continue };
        let at = outcome.record.cause.decided;
        let letters = letters.remove(&at).unwrap_or_default();
        let [letter] = letters.as_slice() else {
            let places: Vec<_> = letters.iter().map(|letter| place(topic, letter).to_string()).collect();
            report.add(NAME, at, format!("dead-lettered, but its dead letters are {places:?}"));
            continue;
        };
        let said = (letter.last_header(REASON), letter.last_header(DETAIL));
        if said != (Some(dead.reason.name.as_str()), Some(dead.reason.detail.as_str())) {
            let what = format!("it says {said:?}, the outcome at {} says {:?}", outcome.at, dead.reason);
            report.add(NAME, place(topic, letter), what);
        }
        if commands.get(&at).is_some_and(|command| !is_as_it_came(&command.record, letter)) {
            report.add(NAME, place(topic, letter), format!("it is not what lies at {at}"));
        }
    }
    for (at, letters) in letters {
        for letter in letters {
            let what = format!("a dead letter of {at}, whose outcome is another");
            report.add(NAME, place(topic, letter), what);
        }
    }
}

fn is_of_a_function(position: Position, letter: &Record) -> bool {
    position.topic.holds_events() && letter.last_header(FUNCTION).is_some()
}

/// Key, value and headers, but for those that were called as ours are.
fn is_as_it_came(command: &Record, letter: &Record) -> bool {
    let others = |record: &Record| {
        record.headers.iter().filter(|(name, _)| !is_own(name)).cloned().collect::<Vec<_>>()
    };
    command.key == letter.key && command.value == letter.value && others(command) == others(letter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{finds, sound};

    #[test]
    fn a_lost_a_second_and_a_changed_dead_letter_are_found() {
        let mut log = sound();
        let letter = log.goods.dead_letters.pop().expect("a dead letter");
        finds(NAME, |report| check(&log.goods, report));

        log.goods.dead_letters.extend([letter.clone(), letter.clone()]);
        finds(NAME, |report| check(&log.goods, report));

        log.goods.dead_letters.pop();
        log.goods.dead_letters.last_mut().expect("a dead letter").value = Some(b"other".to_vec());
        finds(NAME, |report| check(&log.goods, report));
    }

    #[test]
    fn a_dead_letter_of_what_was_decided_is_found() {
        let mut log = sound();
        log.goods.outcomes.retain(|outcome| !matches!(outcome.record.outcome, Outcome::DeadLettered(_)));
        finds(NAME, |report| check(&log.goods, report));
    }
}
