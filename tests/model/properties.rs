//! What must hold in every state.

use stateright::{Model as _, Property};

use super::{
    Model, State,
    broker::Transaction,
    worker::{Memory, Partition, Takeover},
};

/// No command is decided twice.
pub const AT_MOST_ONE_TRACE: &str = "a command has at most one trace";
/// A stream's versions are 1, 2, 3 …
pub const CONTIGUOUS: &str = "versions are contiguous";
/// In the order of the log.
pub const RISING: &str = "decided positions rise";
/// What is behind the committed offset is done.
pub const NOTHING_SKIPPED: &str = "no offset passes a command without a trace";
/// Nobody is stuck, and nothing is forgotten.
pub const ALL_DECIDED: &str = "when nothing more can happen, every command has its trace";
/// Of the worker that is about to decide.
pub const MEMORY_IS_THE_LOG: &str = "memory is what the log says";
/// The log is whole here, so nobody may say that it is not.
pub const NO_ACCUSATION: &str = "a log that is whole is not accused";
/// What holds a takeover back is gone with the broker's next sweep.
pub const SHORT_WAIT: &str = "a successor waits for no offset longer than until the next sweep";
/// Its own transaction of old is finished before it takes over.
pub const OWN_PAST_IS_OVER: &str = "a worker does not wait for its own past";

/// All of them.
pub(super) fn all() -> Vec<Property<Model>> {
    vec![
        always(AT_MOST_ONE_TRACE, |_, state| {
            let commands: Vec<u8> = state.broker.facts().map(|event| event.command).collect();
            (1..commands.len()).all(|i| !commands[..i].contains(&commands[i]))
        }),
        always(CONTIGUOUS, |_, state| {
            state.broker.facts().zip(1..).all(|(event, version)| event.version == version)
        }),
        always(RISING, |_, state| {
            state.broker.facts().map(|event| event.command).is_sorted_by(|one, next| one < next)
        }),
        always(NOTHING_SKIPPED, |_, state| has_traces(state, state.broker.committed_or_about_to_be())),
        always(ALL_DECIDED, |model, state| {
            has_traces(state, model.commands) || {
                let mut actions = Vec::new();
                model.actions(state, &mut actions);
                !actions.is_empty()
            }
        }),
        always(MEMORY_IS_THE_LOG, |_, state| {
            let decider = state.broker.group.owner.map(|owner| &state.workers[owner]);
            match decider {
                Some(worker) if worker.batch.is_none() => match worker.partition {
                    Partition::Live(memory) => is_the_log(state, memory),
                    _ => true,
                },
                _ => true,
            }
        }),
        always(NO_ACCUSATION, |_, state| !state.workers.iter().any(|worker| worker.is_accusing)),
        always(SHORT_WAIT, |_, state| {
            let Some(owner) = state.broker.group.owner else { return true };
            let is_waiting =
                matches!(state.workers[owner].partition, Partition::Taking(Takeover { committed: None, .. }));
            let predecessor = state.broker.transactions[1 - owner];
            !is_waiting || !matches!(predecessor, Transaction::Ongoing { is_overdue: false, offset: Some(_) })
        }),
        always(OWN_PAST_IS_OVER, |_, state| {
            state.workers.iter().enumerate().all(|(who, worker)| {
                let has_begun = matches!(
                    worker.partition,
                    Partition::Taking(Takeover { committed, end }) if committed.is_some() || end.is_some()
                );
                !(has_begun && state.broker.is_ongoing(who))
            })
        }),
    ]
}

/// With the types that closures need to know.
fn always(name: &'static str, condition: fn(&Model, &State) -> bool) -> Property<Model> {
    Property::always(name, condition)
}

fn has_traces(state: &State, commands: u8) -> bool {
    (0..commands).all(|command| state.broker.facts().any(|event| event.command == command))
}

fn is_the_log(state: &State, memory: Memory) -> bool {
    let version = state.broker.facts().count();
    let decided = state.broker.facts().map(|event| event.command).max();
    usize::from(memory.version) == version && memory.decided == decided
}
