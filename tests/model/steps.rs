//! What a worker does, one step at a time. Between any two of them the rest of the world moves on.

use super::{
    Model, State,
    broker::{EndTxn, Event, Fate, Transaction},
    worker::{Batch, Memory, Partition, Producer, Stage, Takeover},
};

/// A step of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// InitProducerId. It finishes what the last producer of the same id left open.
    Initialize,
    /// Takeover: asks for the committed offset.
    AskOffset,
    /// Takeover: asks where the events end.
    AskWatermark,
    /// Takeover: folds the events, checks, and begins to work.
    Fold,
    /// Takes the next command, and decides it.
    Gather,
    /// Reads the generation and begins a transaction.
    Begin,
    /// The event arrives at the broker.
    Produce,
    /// The offset arrives at the group coordinator.
    SendOffset,
    /// EndTxn, to commit.
    Commit(Answer),
    /// EndTxn, to abort.
    Abort(Answer),
    /// Polls, after its session had expired: gives everything up, and joins anew.
    Rejoin,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is answered.
    Prompt,
    /// The connection breaks, the library sends it again, and that is answered. The first copy is still on its way.
    Again,
    /// It is still on its way when the worker gives up.
    Never,
}

/// The steps that this worker can take next.
pub(super) fn possible(model: &Model, state: &State, who: usize) -> Vec<Step> {
    let (worker, broker) = (&state.workers[who], &state.broker);
    if !worker.is_up || worker.is_accusing {
        return Vec::new();
    }
    let mut steps = Vec::new();
    if worker.producer == Producer::New && !broker.is_ending(who) {
        steps.push(Step::Initialize);
    }
    let is_initialized = worker.producer != Producer::New;
    if let Partition::Taking(takeover) = worker.partition
        && (is_initialized || !model.rules.initialize_first)
    {
        steps.extend(next_of_takeover(model, state, takeover));
    }
    if !is_initialized {
        return steps;
    }
    // Gathering is polling: a worker whose session has expired is told so. What it gathered before is another matter.
    let is_member = broker.group.members[who];
    match worker.batch {
        None => match worker.partition {
            Partition::Live(memory) if is_member && memory.next < model.commands => steps.push(Step::Gather),
            _ => {}
        },
        Some(Batch { stage: Stage::Gathered, .. }) => steps.push(Step::Begin),
        Some(Batch { stage: Stage::Failed, .. }) => steps.extend(
            [Step::Abort(Answer::Prompt)]
                .into_iter()
                .chain((state.left.doubts > 0).then_some(Step::Abort(Answer::Again))),
        ),
        Some(Batch { stage: Stage::Open { is_produced, is_offset_sent, .. }, .. }) => {
            // The library tries again by itself while the last transaction has markers to come.
            let is_free = !broker.is_ending(who);
            if !is_produced && is_free {
                steps.push(Step::Produce);
            }
            if !is_offset_sent && is_free {
                steps.push(Step::SendOffset);
            }
            if is_produced && is_offset_sent {
                steps.push(Step::Commit(Answer::Prompt));
                if state.left.doubts > 0 {
                    steps.extend([Step::Commit(Answer::Again), Step::Commit(Answer::Never)]);
                }
            }
        }
    }
    if !is_member && !worker.is_within() {
        steps.push(Step::Rejoin);
    }
    steps
}

fn next_of_takeover(model: &Model, state: &State, takeover: Takeover) -> Option<Step> {
    let is_askable = !(model.rules.stable_offsets && state.broker.is_pending());
    let ask = || is_askable.then_some(Step::AskOffset);
    match (takeover.committed, takeover.end) {
        (None, None) if model.rules.watermark_after_offset => ask(),
        (None, Some(_)) => ask(),
        (_, None) => Some(Step::AskWatermark),
        (Some(_), Some(end)) => (state.broker.last_stable_offset() >= end).then_some(Step::Fold),
    }
}

/// Takes a step.
pub(super) fn take(model: &Model, state: &mut State, who: usize, step: Step) {
    match step {
        Step::Initialize => initialize(state, who),
        Step::AskOffset => {
            let committed = state.broker.group.committed;
            with_takeover(state, who, |takeover| takeover.committed = Some(committed));
        }
        Step::AskWatermark => {
            let broker = &state.broker;
            let end = if model.rules.high_watermark {
                broker.high_watermark()
            } else {
                broker.last_stable_offset()
            };
            with_takeover(state, who, |takeover| takeover.end = Some(end));
        }
        Step::Fold => fold(model, state, who),
        Step::Gather => gather(model, state, who),
        Step::Begin => begin(state, who),
        Step::Produce => produce(state, who),
        Step::SendOffset => send_offset(model, state, who),
        Step::Commit(answer) => commit(model, state, who, answer),
        Step::Abort(answer) => abort(model, state, who, answer),
        Step::Rejoin => {
            state.give_up(who);
            state.workers[who].batch = None;
            state.join(who);
        }
    }
}

fn initialize(state: &mut State, who: usize) {
    state.bump_epoch(who);
    if state.broker.is_ongoing(who) {
        // The library asks again until this is done.
        state.broker.end(EndTxn { producer: who, commit: false });
    } else {
        state.broker.transactions[who] = Transaction::Empty;
        state.workers[who].producer = Producer::Current;
    }
}

fn with_takeover(state: &mut State, who: usize, found: impl FnOnce(&mut Takeover)) {
    if let Partition::Taking(takeover) = &mut state.workers[who].partition {
        found(takeover);
    }
}

fn fold(model: &Model, state: &mut State, who: usize) {
    let Partition::Taking(Takeover { committed: Some(next), end: Some(end) }) = state.workers[who].partition
    else {
        return;
    };
    let committed = state.broker.events[..end].iter().filter(|event| event.fate == Fate::Committed);
    let memory = committed.fold(Memory { next, version: 0, decided: None }, |memory, event| Memory {
        version: memory.version + 1,
        decided: memory.decided.max(Some(event.command)),
        ..memory
    });
    let fits = memory.decided.is_none_or(|decided| decided < next);
    let worker = &mut state.workers[who];
    if fits || !model.rules.offset_check {
        worker.partition = Partition::Live(memory);
    } else if model.rules.ask_again && state.broker.committed_or_about_to_be() != next {
        worker.partition = Partition::Taking(Takeover::default());
    } else {
        worker.is_accusing = true;
    }
}

fn gather(model: &Model, state: &mut State, who: usize) {
    let worker = &mut state.workers[who];
    if let Partition::Live(memory) = &mut worker.partition {
        let command = memory.next;
        let is_decided = model.rules.exact_guard && memory.decided >= Some(command);
        let then = memory.after(command, is_decided);
        if !model.rules.memory_follows {
            *memory = Memory { next: memory.next, ..then };
        }
        worker.batch = Some(Batch { command, then, is_decided, stage: Stage::Gathered });
    }
}

fn begin(state: &mut State, who: usize) {
    let is_of_generation = state.broker.group.members[who];
    set_stage(state, who, |batch| Stage::Open {
        is_of_generation,
        is_produced: batch.is_decided,
        is_offset_sent: false,
    });
}

fn produce(state: &mut State, who: usize) {
    let Some(batch) = state.workers[who].batch else { return };
    if state.workers[who].producer == Producer::Fenced {
        return set_stage(state, who, |_| Stage::Failed);
    }
    state.broker.open(who);
    let (command, version) = (batch.command, batch.then.version);
    state.broker.events.push(Event { command, version, fate: Fate::Open(who) });
    set_stage(state, who, |batch| batch.stage.produced());
}

fn send_offset(model: &Model, state: &mut State, who: usize) {
    let Some(Batch { then, stage: Stage::Open { is_of_generation, .. }, .. }) = state.workers[who].batch
    else {
        return;
    };
    if state.workers[who].producer == Producer::Fenced {
        return set_stage(state, who, |_| Stage::Failed);
    }
    // The transaction coordinator hears of it first, the group coordinator refuses it.
    state.broker.open(who);
    if !is_of_generation && model.rules.generation_fence {
        return set_stage(state, who, |_| Stage::Failed);
    }
    if let Transaction::Ongoing { offset, .. } = &mut state.broker.transactions[who] {
        *offset = Some(then.next);
    }
    set_stage(state, who, |batch| batch.stage.offset_sent());
}

fn commit(model: &Model, state: &mut State, who: usize, answer: Answer) {
    let Some(batch) = state.workers[who].batch else { return };
    let is_committed = end(state, EndTxn { producer: who, commit: true }, answer);
    let worker = &mut state.workers[who];
    worker.batch = None;
    if is_committed {
        if let Partition::Live(memory) = &mut worker.partition {
            *memory = batch.then;
        }
        if answer == Answer::Again && model.rules.replace_doubtful {
            worker.producer = Producer::New;
        }
        return;
    }
    // Unknown.
    worker.producer = Producer::New;
    if model.rules.unknown_takes_over && worker.partition != Partition::Foreign {
        worker.partition = Partition::Taking(Takeover::default());
    }
}

fn abort(model: &Model, state: &mut State, who: usize, answer: Answer) {
    end(state, EndTxn { producer: who, commit: false }, answer);
    let worker = &mut state.workers[who];
    worker.batch = None;
    if model.rules.replace_doubtful || worker.producer == Producer::Fenced {
        worker.producer = Producer::New;
    }
}

/// Sends EndTxn. Whether the answer is yes.
fn end(state: &mut State, request: EndTxn, answer: Answer) -> bool {
    let is_current = state.workers[request.producer].producer == Producer::Current;
    if answer != Answer::Prompt {
        state.left.doubts -= 1;
        state.broker.delayed = is_current.then_some(request);
    }
    answer != Answer::Never && is_current && state.broker.end(request)
}

fn set_stage(state: &mut State, who: usize, stage: impl FnOnce(Batch) -> Stage) {
    if let Some(batch) = &mut state.workers[who].batch {
        batch.stage = stage(*batch);
    }
}
