//! All states of the model, with all rules; and without each rule, a run that goes wrong.

use std::collections::BTreeSet;

use factfold_model::{Faults, Model, Rules, properties};
use stateright::{Checker, HasDiscoveries, Model as _};

const NONE: Faults = Faults { crashes: 0, expiries: 0, rebalances: 0, timeouts: 0, doubts: 0 };
const ONE_OF_EACH: Faults = Faults { crashes: 1, expiries: 1, rebalances: 1, timeouts: 1, doubts: 1 };

/// In no state that can be reached is anything wrong.
fn holds(commands: u8, faults: Faults) {
    let checker = Model { rules: Rules::ALL, commands, faults }.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
}

/// With these rules, some run breaks this property.
fn breaks(property: &'static str, rules: Rules) {
    assert!(can_break(property, rules, ONE_OF_EACH), "no run was found that breaks: {property}");
}

fn can_break(property: &'static str, rules: Rules, faults: Faults) -> bool {
    let found = HasDiscoveries::AllOf(BTreeSet::from([property]));
    let checker = Model { rules, commands: 2, faults }.checker().threads(2).finish_when(found);
    checker.spawn_bfs().join().discovery(property).is_some()
}

#[test]
fn nothing_goes_wrong_with_a_fault_of_each_kind() {
    holds(2, ONE_OF_EACH);
}

#[test]
fn nothing_goes_wrong_with_three_commands() {
    holds(3, Faults { crashes: 0, ..ONE_OF_EACH });
    holds(3, Faults { expiries: 0, ..ONE_OF_EACH });
    holds(3, Faults { crashes: 2, doubts: 2, ..NONE });
}

#[test]
fn without_rule_3_a_successor_waits_for_an_open_transaction() {
    breaks(properties::SHORT_WAIT, Rules { no_poll_within: false, ..Rules::ALL });
}

#[test]
fn without_the_fence_of_rule_4_a_zombie_decides_too() {
    breaks(properties::AT_MOST_ONE_TRACE, Rules { generation_fence: false, ..Rules::ALL });
}

#[test]
fn without_the_own_record_of_rule_4_a_member_decides_what_is_anothers() {
    breaks(properties::AT_MOST_ONE_TRACE, Rules { own_record: false, ..Rules::ALL });
}

#[test]
fn without_rule_5_an_offset_is_old_when_it_is_read() {
    breaks(properties::NO_ACCUSATION, Rules { stable_offsets: false, ..Rules::ALL });
}

#[test]
fn without_the_order_of_rule_7_a_zombies_event_is_missed() {
    breaks(properties::MEMORY_IS_THE_LOG, Rules { watermark_after_offset: false, ..Rules::ALL });
    breaks(properties::CONTIGUOUS, Rules { watermark_after_offset: false, ..Rules::ALL });
}

#[test]
fn without_the_high_watermark_of_rule_7_an_event_is_missed() {
    breaks(properties::MEMORY_IS_THE_LOG, Rules { high_watermark: false, ..Rules::ALL });
    breaks(properties::CONTIGUOUS, Rules { high_watermark: false, ..Rules::ALL });
}

#[test]
fn without_asking_again_rule_8_accuses_a_log_that_is_whole() {
    breaks(properties::NO_ACCUSATION, Rules { ask_again: false, ..Rules::ALL });
}

#[test]
fn without_taking_over_again_of_rule_14_a_batch_is_decided_twice() {
    breaks(properties::AT_MOST_ONE_TRACE, Rules { unknown_takes_over: false, ..Rules::ALL });
}

#[test]
fn without_initializing_first_of_rule_14_a_worker_waits_for_itself() {
    breaks(properties::OWN_PAST_IS_OVER, Rules { initialize_first: false, ..Rules::ALL });
}

#[test]
fn without_rule_15_a_late_request_ends_the_next_transaction() {
    let rules = Rules { replace_doubtful: false, ..Rules::ALL };
    breaks(properties::NOTHING_SKIPPED, rules);
    breaks(properties::AT_MOST_ONE_TRACE, rules);
}

#[test]
fn without_rule_16_a_successor_waits_for_a_zombies_transaction() {
    breaks(properties::SHORT_WAIT, Rules { short_transactions: false, ..Rules::ALL });
}

#[test]
fn without_rule_17_memory_is_ahead_of_the_log() {
    breaks(properties::MEMORY_IS_THE_LOG, Rules { memory_follows: false, ..Rules::ALL });
    breaks(properties::NOTHING_SKIPPED, Rules { memory_follows: false, ..Rules::ALL });
}

/// Rules 8 and 10 are the alarm for what remains: a late commit leaves an event whose offset was not committed, and a crash
/// gives it to a successor. One of them is enough to keep it from being decided twice; without both it is.
#[test]
fn rules_8_and_10_stand_behind_rule_15() {
    let faults = Faults { crashes: 1, doubts: 1, ..NONE };
    let twice = |offset_check, exact_guard| {
        let rules = Rules { replace_doubtful: false, offset_check, exact_guard, ..Rules::ALL };
        can_break(properties::AT_MOST_ONE_TRACE, rules, faults)
    };
    assert!(twice(false, false));
    assert!(!twice(true, false));
    assert!(!twice(false, true));
}
