//! The worker protocol as a state machine small enough to look at all of it.
//!
//! Two workers share one commands partition. Commands are there from the start and all are of one stream; each gives one
//! event. A worker takes the partition over, gathers a command, and decides it in a transaction of one event and one offset;
//! it crashes, loses its session without noticing, loses its generation, loses answers. [`Rules`] has a switch for each
//! rule; `exhaustive.rs` takes out one after the other and lets the checker find what goes wrong.
//!
//! - [`steps`]: what a worker does. [`worker`]: what it keeps.
//! - [`world`]: what happens to it. [`broker`]: what the cluster keeps.
//! - [`properties`]: what must hold.
//!
//! What the model says rests on how it is made:
//!
//! - Faults are counted ([`Faults`]), so every run ends, and a state without a next one is the end of a run: that
//!   all commands have their trace there is what the model says of liveness.
//! - A request is one step; records and offsets of one transaction arrive in any order; the markers of a transaction are
//!   written one by one. A copy of EndTxn may arrive at any later time.
//! - There is no time. A transaction's timeout, the broker's sweep and the end of a session are events, in the order that
//!   rule 16 leaves them.
//!
//! Left out:
//!
//! - More than one partition: they share nothing but the transaction, and the fence is the group's.
//! - Batches of more than one command; commands that give several events, an outcome or a rejection.
//! - Rule 1 and forwarding (12), truncated logs and expired offsets (6, and what 8 is for otherwise), the window for repeats (10).
//! - Twins with one id (2). Producers that take turns: the next begins after the last commit returned, as the one does here.
//! - The phases of a rebalance: a partition that moves is given up by its owner at its poll, at once. A takeover that goes
//!   on after that, beside the worker, and is thrown away, is here a zombie's that takes over.
//! - Batches that lead to nothing, whose offsets wait for the next transaction. A member that is displaced by a late request
//!   of its own, and joins again.
//! - Blocking calls (13), the local store (17), failures of disks and of replication.

pub mod broker;
pub mod properties;
mod rules;
pub mod steps;
pub mod worker;
pub mod world;

pub use self::rules::Rules;
use self::{
    broker::Broker,
    steps::Step,
    worker::{Partition, Producer, Stage, Takeover, Worker},
    world::Event,
};

/// What is checked.
#[derive(Debug, Clone)]
pub struct Model {
    /// The rules that hold.
    pub rules: Rules,
    /// How many commands are to be decided.
    pub commands: u8,
    /// What may go wrong.
    pub faults: Faults,
}

/// How often each thing may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Faults {
    /// A process dies.
    pub crashes: u8,
    /// A session ends. A process that lives on does not notice.
    pub expiries: u8,
    /// A rebalance, with or without the partition moving.
    pub rebalances: u8,
    /// A living worker's transaction stays open for too long.
    pub timeouts: u8,
    /// An answer is lost.
    pub doubts: u8,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// The cluster.
    pub broker: Broker,
    /// The workers.
    pub workers: [Worker; 2],
    /// What may still go wrong.
    pub left: Faults,
}

/// Whatever comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A worker takes a step.
    Worker(usize, Step),
    /// Something happens.
    World(Event),
}

impl State {
    /// Other requests of this producer, and of whoever had its id before, are refused from now on.
    fn bump_epoch(&mut self, who: usize) {
        self.broker.delayed = self.broker.delayed.filter(|delayed| delayed.producer != who);
        if self.workers[who].producer == Producer::Current {
            self.workers[who].producer = Producer::Fenced;
        }
    }

    /// Offsets under the generation that was read before are refused from now on.
    fn bump_generation(&mut self) {
        for worker in &mut self.workers {
            if let Some(batch) = &mut worker.batch
                && let Stage::Open { is_of_generation, .. } = &mut batch.stage
            {
                *is_of_generation = false;
            }
        }
    }

    /// Joins the group. What is assigned to nobody, or was not taken from us yet, is ours.
    fn join(&mut self, who: usize) {
        let group = &mut self.broker.group;
        let is_new = !group.members[who];
        group.members[who] = true;
        if *group.owner.get_or_insert(who) == who {
            self.workers[who].partition = Partition::Taking(Takeover::default());
        }
        if is_new {
            self.bump_generation();
        }
    }

    /// Forgets the partition.
    fn give_up(&mut self, who: usize) {
        self.workers[who].partition = Partition::Foreign;
    }
}

impl stateright::Model for Model {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut state = State {
            broker: Broker::new(),
            workers: [Worker::started(), Worker::started()],
            left: self.faults,
        };
        state.join(0);
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for who in 0..state.workers.len() {
            let steps = steps::possible(self, state, who);
            actions.extend(steps.into_iter().map(|step| Action::Worker(who, step)));
        }
        actions.extend(world::possible(self, state).into_iter().map(Action::World));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Worker(who, step) => steps::take(self, &mut state, who, step),
            Action::World(event) => world::happen(self, &mut state, event),
        }
        Some(state)
    }

    fn properties(&self) -> Vec<stateright::Property<Self>> {
        properties::all()
    }
}
