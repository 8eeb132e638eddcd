//! Functions: revisions count up for ever, also over a removal, and a function is bound to one topic and has one schedule at a
//! time. What is due next stands in its events: so each tick comes once, and after the one before it.
//!
//! Whether the code is any good is looked at by who deploys it: a decider reads no code.

use factfold_schemas::{
    functions::{
        BindFunction, Command, Configuration, ConfigureFunction, DeployFunction, Event, Function,
        FunctionBound, FunctionConfigured, FunctionDeployed, FunctionName, FunctionRemoved,
        FunctionRolledBack, FunctionScheduled, FunctionTicked, FunctionUnbound, FunctionUnscheduled,
        INPUT_BYTES_MAX, REVISIONS_KEPT, Rejection, ScheduleField, ScheduleFunction, Start, TickFunction,
    },
    topics::Service,
};
use factfold_vault::{Unprotected, Vault};
use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    cron::Cron,
    decider::{Asked, Decider, Entry, Events},
};

/// What the rules know about a function. Workers store it as it is: whoever changes its shape raises [`Decider::VERSION`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The revision that answers; none once it was removed.
    current: Option<u32>,
    /// The last ones, the newest last: what it can be put back to. In boxes, since the vector has room for 64 of what it holds.
    #[serde(with = "as_json")]
    revisions: imbl::Vector<Box<FunctionDeployed>>,
    #[serde(with = "as_json")]
    binding: Option<FunctionBound>,
    /// How many bindings there were.
    bindings: u32,
    /// With the tick that is due next.
    #[serde(with = "as_json")]
    schedule: Option<FunctionScheduled>,
    /// How many schedules there were.
    schedules: u32,
    #[serde(with = "as_json")]
    configuration: Configuration,
}

/// The decider of the functions service.
#[derive(Debug)]
pub struct FunctionsDecider;

impl Decider for FunctionsDecider {
    const SERVICE: Service = Service::Functions;
    const VERSION: u32 = 4;
    type Id = FunctionName;
    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn aggregate(stream: &str) -> Option<FunctionName> {
        FunctionName::of_stream(stream)
    }

    fn protect(
        command: &mut Command,
        name: FunctionName,
        vault: &Vault,
    ) -> Result<(), Unprotected<Rejection>> {
        match command {
            Command::ConfigureFunction(command) => {
                vault.protect_secrets(name, command).map_err(Unprotected::Failed)
            }
            _ => Ok(()),
        }
    }

    fn decide(
        _: FunctionName,
        state: Option<&State>,
        command: &Command,
        asked: Asked<'_>,
    ) -> Result<Events<Event>, Rejection> {
        if let Command::DeployFunction(command) = command {
            return deploy(state, command);
        }
        let function = state.ok_or(Rejection::FunctionNotFound)?;
        let current = function.current;
        match command {
            Command::DeployFunction(_) => unreachable!("it is dealt with above"),
            Command::RollBackFunction(command) if current == Some(command.revision) => {
                Err(Rejection::NoChange)
            }
            Command::RollBackFunction(command) => roll_back(function, command.revision),
            Command::RemoveFunction(_) if current.is_none() => Err(Rejection::NoChange),
            Command::RemoveFunction(_) => Ok(remove(function)),
            Command::ConfigureFunction(command) => configure(function, command),
            Command::BindFunction(command) => bind(function, command, asked),
            Command::UnbindFunction(_) if function.binding.is_none() => Err(Rejection::NoChange),
            Command::UnbindFunction(_) => Ok(Event::FunctionUnbound(FunctionUnbound {}).into()),
            Command::ScheduleFunction(command) => schedule(function, command, asked),
            Command::UnscheduleFunction(_) if function.schedule.is_none() => Err(Rejection::NoChange),
            Command::UnscheduleFunction(_) => Ok(Event::FunctionUnscheduled(FunctionUnscheduled {}).into()),
            Command::TickFunction(command) => tick(function, command),
        }
    }

    fn evolve(state: Option<State>, event: &Event) -> Option<State> {
        let mut function = match (state, event) {
            (Some(function), _) => function,
            (None, Event::FunctionDeployed(_)) => State {
                current: None,
                revisions: imbl::Vector::new(),
                binding: None,
                bindings: 0,
                schedule: None,
                schedules: 0,
                configuration: Configuration::default(),
            },
            (None, _) => return None,
        };
        match event {
            Event::FunctionDeployed(event) => {
                function.current = Some(event.revision);
                function.revisions.push_back(Box::new(event.clone()));
                if function.revisions.len() > REVISIONS_KEPT {
                    function.revisions.pop_front();
                }
            }
            Event::FunctionRolledBack(event) => function.current = Some(event.revision),
            Event::FunctionRemoved(_) => {
                function.current = None;
                // Whoever is called so next must not be told the secrets of this one.
                function.configuration = Configuration::default();
            }
            Event::FunctionConfigured(event) => function.configuration = event.configuration.clone(),
            Event::FunctionBound(event) => {
                function.bindings = event.binding;
                function.binding = Some(event.clone());
            }
            Event::FunctionUnbound(_) => function.binding = None,
            Event::FunctionScheduled(event) => {
                function.schedules = event.schedule;
                function.schedule = Some(event.clone());
            }
            Event::FunctionUnscheduled(_) => function.schedule = None,
            Event::FunctionTicked(event) => {
                if let Some(schedule) = &mut function.schedule {
                    schedule.next = event.next;
                }
            }
        }
        Some(function)
    }

    fn resource(name: FunctionName, entry: &Entry<State>) -> Value {
        serde_json::to_value(function(name, entry)).expect("a resource is plain data")
    }
}

/// The function as people see it.
pub fn function(name: FunctionName, entry: &Entry<State>) -> Function {
    Function {
        name,
        version: entry.version,
        created_at: entry.created_at,
        updated_at: entry.updated_at,
        revision: entry.state.current,
        revisions: entry.state.revisions.iter().map(|deployed| (**deployed).clone()).collect(),
        binding: entry.state.binding.clone(),
        schedule: entry.state.schedule.clone(),
        configuration: entry.state.configuration.clone(),
    }
}

fn deploy(function: Option<&State>, command: &DeployFunction) -> Result<Events<Event>, Rejection> {
    command.check()?;
    let last = function.and_then(|function| function.revisions.back());
    let DeployFunction { language, code, path, public, limits, input_schema, output_schema } =
        command.clone();
    let revision = last.map_or(1, |last| last.revision + 1);
    let deployed =
        FunctionDeployed { revision, language, code, path, public, limits, input_schema, output_schema };
    let current = function.and_then(|function| function.revision(function.current?));
    if current.is_some_and(|current| {
        FunctionDeployed { revision: current.revision, ..deployed.clone() } == *current
    }) {
        return Err(Rejection::NoChange);
    }
    Ok(Event::FunctionDeployed(deployed).into())
}

fn roll_back(function: &State, revision: u32) -> Result<Events<Event>, Rejection> {
    // What was removed is put back by this, too: it says which revision.
    function.revision(revision).ok_or(Rejection::RevisionNotFound { revision })?;
    Ok(Event::FunctionRolledBack(FunctionRolledBack { revision }).into())
}

fn configure(function: &State, command: &ConfigureFunction) -> Result<Events<Event>, Rejection> {
    if function.current.is_none() {
        return Err(Rejection::FunctionNotFound);
    }
    let configuration = function.configuration.after(command)?;
    if configuration == function.configuration {
        return Err(Rejection::NoChange);
    }
    Ok(Event::FunctionConfigured(FunctionConfigured { configuration }).into())
}

fn bind(function: &State, command: &BindFunction, asked: Asked<'_>) -> Result<Events<Event>, Rejection> {
    if function.current.is_none() {
        return Err(Rejection::FunctionNotFound);
    }
    command.check()?;
    if let Some(bound) = &function.binding {
        return Err(Rejection::AlreadyBound { topic: bound.topic.clone() });
    }
    let from = match command.from {
        Start::Beginning => None,
        // The broker's time of this command: the same place whoever asks, and whenever.
        Start::Now => Some(asked.at),
        Start::At(time) => Some(on_the_clock(time)),
    };
    let binding = function.bindings + 1;
    let bound = FunctionBound { binding, topic: command.topic.clone(), types: command.types.clone(), from };
    Ok(Event::FunctionBound(bound).into())
}

/// What it is given, and when it ticks, ends before it is gone.
fn remove(function: &State) -> Events<Event> {
    let removed = Event::FunctionRemoved(FunctionRemoved {});
    let unbound = function.binding.as_ref().map(|_| Event::FunctionUnbound(FunctionUnbound {}));
    let unscheduled = function.schedule.as_ref().map(|_| Event::FunctionUnscheduled(FunctionUnscheduled {}));
    match (unscheduled, unbound) {
        (Some(unscheduled), Some(unbound)) => Events::from(unscheduled).then(unbound).then(removed),
        (Some(first), None) | (None, Some(first)) => Events::from(first).then(removed),
        (None, None) => removed.into(),
    }
}

fn schedule(
    function: &State,
    command: &ScheduleFunction,
    asked: Asked<'_>,
) -> Result<Events<Event>, Rejection> {
    if function.current.is_none() {
        return Err(Rejection::FunctionNotFound);
    }
    let ScheduleFunction { cron, time_zone, input } = command.clone();
    let times = Cron::read(&cron, &time_zone)?;
    times.check(asked.at)?;
    if input.to_string().len() > INPUT_BYTES_MAX {
        let detail = format!("it has at most {INPUT_BYTES_MAX} bytes");
        return Err(Rejection::InvalidSchedule { field: ScheduleField::Input, detail });
    }
    if let Some(FunctionScheduled { cron, time_zone, .. }) = function.schedule.clone() {
        return Err(Rejection::AlreadyScheduled { cron, time_zone });
    }
    let next = times.next(asked.at);
    let schedule = function.schedules + 1;
    Ok(Event::FunctionScheduled(FunctionScheduled { schedule, cron, time_zone, input, next }).into())
}

/// What is missed comes late, but all of it: the next tick is the one after this, whatever the time is now. So how often it ticked
/// is a matter of the schedule alone, and whoever is given a tick can tell from its `due` which one it is.
fn tick(function: &State, command: &TickFunction) -> Result<Events<Event>, Rejection> {
    let TickFunction { schedule, due } = *command;
    let is_next = |of: &&FunctionScheduled| of.schedule == schedule && of.next == Some(due);
    // What an earlier schedule set, and what came already.
    let of = function.schedule.as_ref().filter(is_next).ok_or(Rejection::NoChange)?;
    let next = Cron::read(&of.cron, &of.time_zone).ok().and_then(|times| times.next(due));
    Ok(Event::FunctionTicked(FunctionTicked { schedule, due, input: of.input.clone(), next }).into())
}

/// As the broker's clock has it: whole milliseconds, of which none is before 1970. So there is no time in an event that whoever
/// reads it cannot keep.
fn on_the_clock(time: Timestamp) -> Timestamp {
    let whole = TimestampRound::new().smallest(Unit::Millisecond).mode(RoundMode::Trunc);
    time.max(Timestamp::UNIX_EPOCH).round(whole).expect("it comes to no later than a time")
}

impl State {
    fn revision(&self, revision: u32) -> Option<&FunctionDeployed> {
        self.revisions.iter().map(|deployed| &**deployed).find(|deployed| deployed.revision == revision)
    }
}

/// What is stored of events leaves fields out, and holds JSON of whoever wrote it. The stores of workers know neither: there it is
/// one text.
mod as_json {
    use serde::{
        Deserialize as _, Deserializer, Serialize, Serializer,
        de::{DeserializeOwned, Error as _},
        ser::Error as _,
    };

    pub(super) fn serialize<T: Serialize, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&serde_json::to_string(value).map_err(S::Error::custom)?)
    }

    pub(super) fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        serde_json::from_str(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
#[path = "functions_test.rs"]
mod tests;
