//! The points between two steps of a projector at which tests make it die, freeze or fail. They are compiled out unless the
//! feature `failpoints` is on.

/// When a read model begins to be followed.
pub const RESUME: [&str; 4] = [
    "projector::connected",
    "projector::checkpoints-read",
    "projector::checkpoints-made",
    "projector::resumed",
];

/// In the course of things, once for each batch.
pub const BATCH: [&str; 7] = [
    "projector::gathered",
    "projector::begun",
    "projector::checkpoint-moved",
    "projector::rows-written",
    "projector::committed",
    "projector::before-memory",
    "projector::moved-on",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A point that is in no list would be tested by nobody.
    #[test]
    fn the_lists_are_what_is_in_the_code() {
        let code = include_str!("session.rs");
        let passed = code.split("fail_point!(\"").skip(1).filter_map(|rest| rest.split('"').next());
        assert_eq!(passed.collect::<BTreeSet<_>>(), RESUME.into_iter().chain(BATCH).collect());
    }
}
