//! A call: the function is found, loaded once, its input looked at, and it runs within its limits. What it said is logged,
//! whatever came of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use factfold_schemas::{
    functions::{Function, FunctionDeployed, FunctionName},
    ids::UserId,
    json::{Misfit, Validator},
    users::Role,
};
use jiff::Timestamp;
use quick_cache::{Weighter, sync::Cache};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};
use tokio::{sync::Semaphore, task::spawn_blocking};
use uuid::Uuid;

use crate::{
    CodeError, Registry,
    configuration::Configured,
    engine::{Loaded, Outcome, Reason, Warm},
    logs::{Level, Line},
};

/// How long a call waits until its function is loaded.
const LOAD_TIME: Duration = Duration::from_secs(20);
/// How many loaded functions are kept, about.
const LOADED_MAX: usize = 10_000;
/// How much memory they may take, in bytes.
const LOADED_BYTES: u64 = 256 << 20;
/// What one takes besides its code, about.
const READY_BYTES: u64 = 4 << 10;

/// Who calls, as the function is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The user.
    pub user: UserId,
    /// What the user may.
    pub roles: Vec<Role>,
}

/// Why a call gave nothing. Stored for a day, where nobody waited for it: its names stay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallError {
    /// There is no such function, or not any more.
    #[error("there is no function `{0}`")]
    NotFound(FunctionName),
    /// As many calls of it run as may.
    #[error("{0} calls of this function are running, and no more may run at once: try again in a moment")]
    Busy(u32),
    /// As many calls of any function run as may.
    #[error("{0} calls of functions are running here, and no more may run at once: try again in a moment")]
    BusyInAll(u32),
    /// The input does not fit the function's schema.
    #[error("the input does not fit the schema of the function")]
    Input(Vec<Misfit>),
    /// The output does not fit the function's schema.
    #[error("the output does not fit the schema of the function")]
    Output(Vec<Misfit>),
    /// It ran, and failed.
    #[error(transparent)]
    Failed(Reason),
    /// The key of its secrets is not known here, or not yet.
    #[error(
        "the key of its secrets is not known here (yet): does this process have the sealing file of the installation?"
    )]
    Sealed,
    /// Its code cannot be had, or not be run here.
    #[error("its code cannot be run: {0}")]
    Unfit(String),
}

impl CallError {
    /// Whether the same call would fail again. (What was looked at when it was deployed and does not run now may run later, or is
    /// deployed anew.)
    pub const fn is_lasting(&self) -> bool {
        match self {
            Self::Failed(Reason::Thrown { .. } | Reason::Stopped(_)) | Self::Input(_) | Self::Output(_) => {
                true
            }
            Self::Failed(Reason::Ours(_))
            | Self::Unfit(_)
            | Self::Sealed
            | Self::Busy(_)
            | Self::BusyInAll(_)
            | Self::NotFound(_) => false,
        }
    }
}

impl From<CodeError> for CallError {
    fn from(error: CodeError) -> Self {
        Self::Unfit(error.to_string())
    }
}

/// What is loaded, and what runs.
pub(crate) struct Calls {
    loaded: Cache<(FunctionName, u32), Arc<Ready>, Bytes>,
    calls_max: u32,
    slots: Arc<Semaphore>,
}

/// A revision that is ready to be called.
pub(crate) struct Ready {
    loaded: Loaded,
    deployed: FunctionDeployed,
    /// Of what calls are compared with; a sentence where it is not taken any more.
    schemas: Result<Schemas, String>,
    slots: Semaphore,
}

/// The schemas of a function.
#[derive(Default)]
struct Schemas {
    input: Option<Validator>,
    output: Option<Validator>,
}

impl Schemas {
    fn of(deployed: &FunctionDeployed) -> Result<Self, String> {
        Ok(Self {
            input: validator(deployed.input_schema.as_ref())?,
            output: validator(deployed.output_schema.as_ref())?,
        })
    }

    fn memory(&self) -> u64 {
        [&self.input, &self.output].into_iter().flatten().map(Validator::memory).sum()
    }
}

#[derive(Clone)]
struct Bytes;

impl Weighter<(FunctionName, u32), Arc<Ready>> for Bytes {
    fn weight(&self, _: &(FunctionName, u32), ready: &Arc<Ready>) -> u64 {
        READY_BYTES + ready.deployed.code.bytes + ready.schemas.as_ref().map_or(0, Schemas::memory)
    }
}

impl Calls {
    pub(crate) fn new(calls_max: u32) -> Self {
        let slots = Arc::new(Semaphore::new(calls_max as usize));
        let loaded = Cache::with_weighter(LOADED_MAX, LOADED_BYTES, Bytes);
        Self { loaded, calls_max, slots }
    }

    /// How many calls may run at once that nobody waits for.
    pub(crate) const fn later_max(&self) -> usize {
        (self.calls_max as usize).div_ceil(2)
    }
}

impl Ready {
    /// Compares a value with one of the schemas; where that takes long, nobody else waits for it.
    async fn look(
        self: &Arc<Self>,
        which: fn(&Schemas) -> &Option<Validator>,
        value: &Value,
    ) -> Result<Result<(), Vec<Misfit>>, CallError> {
        let schemas = self.schemas.as_ref().map_err(|error| not_taken_any_more(error))?;
        let Some(validator) = which(schemas) else { return Ok(Ok(())) };
        if !validator.takes_long(value) {
            return Ok(fits(Some(validator), value));
        }
        let (ready, value) = (Arc::clone(self), value.clone());
        let look =
            spawn_blocking(move || fits(ready.schemas.as_ref().ok().and_then(|s| which(s).as_ref()), &value));
        look.await.map_err(|error| CallError::Unfit(format!("its schema: {error}")))
    }
}

impl Registry {
    /// Calls this function with this input, in a fresh instance. `call` names the call in the logs.
    ///
    /// # Errors
    /// When there is none, it does not fit, or it fails.
    pub async fn call(
        &self,
        name: FunctionName,
        call: Uuid,
        caller: Option<&Caller>,
        input: &Value,
    ) -> Result<Box<RawValue>, CallError> {
        let function = self.callable(name)?;
        let deployed = function.current().ok_or(CallError::NotFound(name))?;
        let calls = &self.0.calls;
        let ready = self.ready(name, deployed).await?;
        // Both are there or the call is refused: nobody waits in a queue that he does not see.
        let _in_all = calls.slots.try_acquire().map_err(|_| CallError::BusyInAll(calls.calls_max))?;
        let _of_this =
            ready.slots.try_acquire().map_err(|_| CallError::Busy(ready.deployed.limits.calls_max))?;
        ready.look(|schemas| &schemas.input, input).await?.map_err(CallError::Input)?;
        let began = Instant::now();
        let configured = Configured::of(&function, &self.0.vault).ok_or(CallError::Sealed)?;
        let context =
            json!({ "function": name, "revision": deployed.revision, "call": call, "caller": caller });
        let context = configured.before(&context.to_string());
        let outcome = ready.loaded.call(&input.to_string(), &context).await;
        let labels = [("function", name.to_string()), ("result", result(&outcome).to_owned())];
        metrics::histogram!("factfold_function_call_seconds", &labels).record(began.elapsed());
        let output = self
            .settle(name, ready.deployed.revision, &call.to_string(), outcome)
            .map_err(CallError::Failed)?;
        if ready.schemas.as_ref().is_ok_and(|schemas| schemas.output.is_some()) {
            let value: Value = serde_json::from_str(output.get()).unwrap_or_default();
            ready.look(|schemas| &schemas.output, &value).await?.map_err(CallError::Output)?;
        }
        Ok(output)
    }

    /// The function, if it answers calls.
    pub(crate) fn callable(&self, name: FunctionName) -> Result<Arc<Function>, CallError> {
        let function = self.catalogue().get(name).filter(|function| function.current().is_some());
        function.ok_or(CallError::NotFound(name))
    }

    /// This revision, loaded; the first who needs it waits for that, and others with it.
    async fn ready(&self, name: FunctionName, deployed: &FunctionDeployed) -> Result<Arc<Ready>, CallError> {
        let load = async {
            let code = self.code(&deployed.code).await?;
            let loaded = self.0.engine.load(deployed.language, code, deployed.limits).await;
            let loaded = loaded.map_err(|refused| CallError::Unfit(refused.to_string()))?;
            Ok(Arc::new(Ready {
                loaded,
                schemas: Schemas::of(deployed),
                slots: Semaphore::new(deployed.limits.calls_max as usize),
                deployed: deployed.clone(),
            }))
        };
        let key = (name, deployed.revision);
        let loaded = self.0.calls.loaded.get_or_insert_async(&key, load);
        let late = || CallError::Unfit("it is not ready yet: try again in a moment".to_owned());
        tokio::time::timeout(LOAD_TIME, loaded).await.map_err(|_| late())?
    }

    /// Logs what was said, and how it failed.
    fn settle(
        &self,
        name: FunctionName,
        revision: u32,
        call: &str,
        outcome: Outcome,
    ) -> Result<Box<RawValue>, Reason> {
        let line = |level, text: String| Line {
            time: Timestamp::now(),
            function: name,
            revision,
            call: call.to_owned(),
            level,
            text,
        };
        let said = outcome.console.into_iter().map(|(level, text)| line(level, text));
        let failed = outcome.result.as_ref().err().map(|reason| line(Level::Error, told(reason)));
        self.0.logs.say(said.chain(failed));
        outcome.result.and_then(|output| {
            RawValue::from_string(output)
                .map_err(|error| Reason::Stopped(format!("its output is not JSON: {error}")))
        })
    }
}

/// The reason as it stands in the logs: with the stack, where there is one.
fn told(reason: &Reason) -> String {
    match reason {
        Reason::Thrown { message, stack: Some(stack) } => format!("{message}\n{stack}"),
        reason => reason.to_string(),
    }
}

fn result(outcome: &Outcome) -> &'static str {
    match &outcome.result {
        Ok(_) => "ok",
        Err(Reason::Thrown { .. }) => "thrown",
        Err(Reason::Stopped(_)) => "stopped",
        Err(Reason::Ours(_)) => "unavailable",
    }
}

/// A schema that was good when it was deployed.
pub(crate) fn not_taken_any_more(error: &str) -> CallError {
    CallError::Unfit(format!("its schema is not taken any more, deploy it again: {error}"))
}

pub(crate) fn validator(schema: Option<&Value>) -> Result<Option<Validator>, String> {
    schema.map(Validator::of_stranger).transpose()
}

pub(crate) fn fits(validator: Option<&Validator>, value: &Value) -> Result<(), Vec<Misfit>> {
    match validator.map(|validator| validator.misfits(value)) {
        Some(misfits) if !misfits.is_empty() => Err(misfits),
        _ => Ok(()),
    }
}

/// A function that is given many events: its instance stays warm from one to the next, and follows what is deployed.
pub struct Given {
    registry: Registry,
    name: FunctionName,
    warm: Option<(u32, Warm)>,
    configured: Option<Configured>,
}

impl Registry {
    /// This function, for whoever gives it events.
    pub fn given(&self, name: FunctionName) -> Given {
        Given { registry: self.clone(), name, warm: None, configured: None }
    }
}

impl Given {
    /// Gives it this event, in the revision that answers now. `id` names the event in the logs.
    ///
    /// # Errors
    /// When there is none, or it fails. After that it begins with a fresh instance.
    pub async fn give(&mut self, id: &str, event: &str, context: &str) -> Result<Box<RawValue>, CallError> {
        let function = self.registry.callable(self.name)?;
        let deployed = function.current().ok_or(CallError::NotFound(self.name))?;
        if self.warm.as_ref().is_none_or(|(revision, _)| *revision != deployed.revision) {
            let ready = self.registry.ready(self.name, deployed).await?;
            self.warm = Some((deployed.revision, ready.loaded.keep()));
        }
        let vault = &self.registry.0.vault;
        if self.configured.as_ref().is_some_and(|configured| !configured.is_of(&function)) {
            self.configured = None;
        }
        let configured = match self.configured.take() {
            Some(configured) => configured,
            None => Configured::of(&function, vault).ok_or(CallError::Sealed)?,
        };
        let context = configured.before(context);
        self.configured = Some(configured);
        let Some((revision, warm)) = &mut self.warm else { unreachable!("it was just put there") };
        let (revision, outcome) = (*revision, warm.call(event, &context).await);
        if outcome.result.is_err() {
            // Whatever it was doing, the next event finds nothing of it.
            self.warm = None;
        }
        self.registry.settle(self.name, revision, id, outcome).map_err(CallError::Failed)
    }

    /// Lets the warm instance go.
    pub fn rest(&mut self) {
        self.warm = None;
    }
}
