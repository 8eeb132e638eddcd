//! What happens to the workers, and what the brokers do by themselves.

use super::{
    Model, State,
    broker::{EndTxn, Transaction},
    worker::{Partition, Producer, Stage, Takeover, Worker},
};

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A transaction's marker is written to the events.
    MarkEvents(usize),
    /// A transaction's marker is written to the group's offsets.
    MarkOffset(usize),
    /// A transaction has been open for longer than its timeout.
    Timeout(usize),
    /// The broker aborts a transaction that is overdue.
    Sweep(usize),
    /// The copy of a request arrives.
    Arrive,
    /// Some other member makes the group rebalance; everybody keeps what they have.
    Rebalance,
    /// The group gives the partition to the other worker, once this one polls.
    Move(usize),
    /// The group gives up on a member.
    Expire(usize),
    /// A process dies.
    Crash(usize),
    /// A process is started again, under the same name.
    Restart(usize),
}

/// What can happen next.
pub(super) fn possible(model: &Model, state: &State) -> Vec<Event> {
    let mut events = Vec::new();
    let mut when = |event, is_possible| {
        if is_possible {
            events.push(event);
        }
    };
    let (broker, left) = (&state.broker, &state.left);
    for (who, worker) in state.workers.iter().enumerate() {
        let transaction = broker.transactions[who];
        when(Event::MarkEvents(who), broker.is_ending(who) && broker.has_open_events(who));
        when(Event::MarkOffset(who), matches!(transaction, Transaction::Ending { offset: Some(_), .. }));
        let is_fresh = matches!(transaction, Transaction::Ongoing { is_overdue: false, .. });
        when(Event::Timeout(who), is_fresh && (!worker.is_up || left.timeouts > 0));
        when(Event::Sweep(who), broker.is_ongoing(who) && !is_fresh);

        let (is_member, is_owner) = (broker.group.members[who], broker.group.owner == Some(who));
        when(
            Event::Move(who),
            left.rebalances > 0 && is_owner && broker.group.members[1 - who] && may_poll(model, worker),
        );
        let may_expire = !(model.rules.short_transactions && is_fresh);
        when(Event::Expire(who), is_member && is_owner && may_expire && left.expiries > 0);
        when(Event::Crash(who), worker.is_up && !worker.is_accusing && left.crashes > 0);
        when(Event::Restart(who), !worker.is_up);
    }
    when(Event::Arrive, broker.delayed.is_some());
    when(Event::Rebalance, left.rebalances > 0 && state.workers.iter().any(Worker::is_within));
    events
}

/// Whether the worker may be polling. A producer is replaced before the next poll.
fn may_poll(model: &Model, worker: &Worker) -> bool {
    worker.is_up
        && !worker.is_accusing
        && worker.producer != Producer::New
        && !(model.rules.no_poll_within && worker.is_within())
}

/// It happens.
pub(super) fn happen(model: &Model, state: &mut State, event: Event) {
    match event {
        Event::MarkEvents(who) => state.broker.mark_events(who),
        Event::MarkOffset(who) => state.broker.mark_offset(who),
        Event::Timeout(who) => {
            if let Transaction::Ongoing { is_overdue, .. } = &mut state.broker.transactions[who] {
                *is_overdue = true;
            }
            if state.workers[who].is_up {
                state.left.timeouts -= 1;
            }
        }
        Event::Sweep(who) => {
            state.bump_epoch(who);
            state.broker.end(EndTxn { producer: who, commit: false });
        }
        Event::Arrive => {
            if let Some(request) = state.broker.delayed.take() {
                state.broker.end(request);
            }
        }
        Event::Rebalance => {
            state.left.rebalances -= 1;
            state.bump_generation();
        }
        Event::Move(from) => {
            state.left.rebalances -= 1;
            state.give_up(from);
            let batch = &mut state.workers[from].batch;
            if model.rules.own_record {
                *batch = batch.filter(|batch| batch.stage != Stage::Gathered);
            }
            assign(state, Some(1 - from));
        }
        Event::Expire(who) => {
            state.left.expiries -= 1;
            state.broker.group.members[who] = false;
            let other = 1 - who;
            assign(state, state.broker.group.members[other].then_some(other));
        }
        Event::Crash(who) => {
            state.left.crashes -= 1;
            state.workers[who] = Worker::down();
        }
        Event::Restart(who) => {
            state.workers[who] = Worker::started();
            state.join(who);
        }
    }
}

/// The partition is this worker's from now on.
fn assign(state: &mut State, owner: Option<usize>) {
    state.broker.group.owner = owner;
    state.bump_generation();
    if let Some(owner) = owner.filter(|owner| state.workers[*owner].is_up) {
        state.workers[owner].partition = Partition::Taking(Takeover::default());
    }
}
