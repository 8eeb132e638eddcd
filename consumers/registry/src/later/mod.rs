//! Calls that nobody waits for. One that is taken is a record on a topic of its own before anybody is told so; whoever runs
//! functions shares the topic with others ([`serving`]) and writes what came of it behind it; every process follows both and so can
//! say how a call stands ([`ledger`]).
//!
//! A call may run more than once, where whoever ran it died before its end was stored. It has no effects but what it returns,
//! and the first end that is stored is the one that everybody is told.

mod ledger;
mod places;
mod serving;

use std::sync::Arc;

use factfold_schemas::functions::{Function, FunctionName};
use jiff::Timestamp;
use rdkafka::error::KafkaError;
use serde::{Deserialize, Serialize};
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};
use uuid::Uuid;

pub(crate) use self::ledger::Ledger;
pub use self::{ledger::Standing, serving::serve};
use crate::{
    CallError, Caller, Registry,
    calling::{fits, not_taken_any_more, validator},
};

/// What lies on the topic. Its names are a storage format.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Record {
    Taken(Taken),
    Ended(Ended),
}

/// A call that was taken.
#[derive(Debug, Serialize, Deserialize)]
struct Taken {
    call: Uuid,
    function: FunctionName,
    time: Timestamp,
    caller: Option<Caller>,
    /// As text: however deep it is, it does not count.
    input: Box<RawValue>,
}

/// What came of a call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ended {
    call: Uuid,
    function: FunctionName,
    /// When.
    pub time: Timestamp,
    /// Its output, or why there is none.
    pub result: Result<Box<RawValue>, CallError>,
}

/// Why a call was not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// It would fail in any case.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Too many were taken before it.
    #[error("{0} calls of this function wait for their turn, and no more may: try again in a moment")]
    TooManyWait(usize),
    /// Too much was taken before it, of all functions.
    #[error("{} MiB of calls wait for their turn, and no more may: try again in a moment", .0 >> 20)]
    TooMuchWaits(usize),
    /// Kafka did not say that it took it. It may have.
    #[error("whether the call was stored is not known: {0}")]
    NotStored(KafkaError),
}

impl Registry {
    /// Takes a call that nobody waits for: it is stored, and runs in its turn, whatever dies.
    ///
    /// # Errors
    /// When there is no such function, its input does not fit, too many wait, or it could not be stored.
    pub async fn call_later(
        &self,
        name: FunctionName,
        call: Uuid,
        caller: Option<Caller>,
        input: Value,
    ) -> Result<(), NotTaken> {
        let function = self.callable(name)?;
        let input = fitting(function, input).await?;
        let input = to_raw_value(&input).expect("it is plain data");
        let taken = Taken { call, function: name, time: Timestamp::now(), caller, input };
        self.0.ledger.take(taken).await
    }

    /// How a call stands that nobody waited for; `None` where none is known, or not any more.
    pub fn standing(&self, call: Uuid) -> Option<Standing> {
        self.0.ledger.standing(call)
    }

    /// Waits until this call has ended.
    pub async fn has_ended(&self, call: Uuid) {
        self.0.ledger.has_ended(call).await;
    }

    /// Whether this process has read of all calls that there were when it began.
    pub fn knows_all_calls(&self) -> bool {
        self.0.ledger.is_complete()
    }

    /// What came of this call; `None` while it has not ended, or when nobody knows any more.
    ///
    /// # Errors
    /// When Kafka does not give it.
    pub async fn ended(&self, call: Uuid) -> Result<Option<Ended>, KafkaError> {
        self.0.ledger.ended(call).await
    }
}

/// The input, if it fits the function's schema. Here the function need not run, so it is not loaded for this.
async fn fitting(function: Arc<Function>, input: Value) -> Result<Value, CallError> {
    let look = move || {
        let schema = function.current().and_then(|deployed| deployed.input_schema.as_ref());
        let validator = validator(schema).map_err(|error| not_taken_any_more(&error))?;
        fits(validator.as_ref(), &input).map_err(CallError::Input)?;
        Ok(input)
    };
    let looked = tokio::task::spawn_blocking(look).await;
    looked.map_err(|error| CallError::Unfit(format!("its schema: {error}")))?
}
