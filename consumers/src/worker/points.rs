//! The points between two steps of a worker at which tests make it die, freeze or fail: rules 13 to 17 are about what is true
//! there. They are compiled out unless the feature `failpoints` is on.

/// In the course of things, once for each batch.
pub const BATCH: [&str; 11] = [
    "worker::gathered",
    "worker::processed",
    "worker::before-begin",
    "worker::begun",
    "worker::before-offsets",
    "worker::before-deliver",
    "worker::before-commit",
    "worker::committed",
    "worker::before-memory",
    "worker::between-memories",
    "worker::moved-on",
];

/// When partitions come: some once for all of them, some for each.
pub const TAKEOVER: [&str; 7] = [
    "worker::rebalanced",
    "takeover::before-offsets",
    "takeover::before-watermarks",
    "takeover::before-hydrate",
    "takeover::hydrated",
    "takeover::checked",
    "worker::adopted",
];

/// In a keeper of timers, once for each time that some are due.
pub const KEEPER: [&str; 3] = ["keeper::picked", "keeper::published", "keeper::committed"];

/// In the worker of a bound function: an event was given, its effects were committed, or it was put aside.
pub const BINDING: [&str; 3] = ["binding::given", "binding::committed", "binding::gave-up"];

/// When a processor stopped before the end of a batch.
pub const HELD: &str = "worker::held";

/// When a partition without an offset has come, which happens once in its life.
pub const START: &str = "worker::start-owed";

/// After a transaction that failed.
pub const RECOVERY: [&str; 3] = ["worker::before-abort", "worker::before-replace", "worker::before-recovery"];

/// Where a test can only say what a step is to see: no time left, a broker that went away, an answer that takes long.
pub const SEEN: [&str; 3] = ["worker::no-time", "worker::transport-error", "worker::asking"];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A point that is in no list would be tested by nobody.
    #[test]
    fn the_lists_are_what_is_in_the_code() {
        let code = [
            include_str!("mod.rs"),
            include_str!("transaction.rs"),
            include_str!("takeover.rs"),
            include_str!("keeping/mod.rs"),
            include_str!("binding/giving.rs"),
        ];
        let code = code.concat();
        let passed = code.split("fail_point!(\"").skip(1).filter_map(|rest| rest.split('"').next());
        let once = [START, HELD];
        let listed = BATCH
            .into_iter()
            .chain(TAKEOVER)
            .chain(KEEPER)
            .chain(BINDING)
            .chain(once)
            .chain(RECOVERY)
            .chain(SEEN);
        assert_eq!(passed.collect::<BTreeSet<_>>(), listed.collect());
    }
}
