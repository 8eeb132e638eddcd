//! One function alone, that nobody has deployed: for its author, who tries it.

use std::sync::Arc;

use factfold_schemas::{
    functions::{Language, Limits},
    json::{Misfit, Validator},
};
use serde_json::Value;

use crate::{
    OpenError, Refused, Settings,
    calling::{fits, validator},
    configuration::without,
    engine::{Engine, Loaded, Reason, Warm},
    logs::Level,
};

/// Runs functions that nobody has deployed.
pub struct Bench(Engine);

/// A function on the bench.
pub struct OnTheBench {
    loaded: Loaded,
    input: Option<Validator>,
    output: Option<Validator>,
}

/// What a try gave.
#[derive(Debug)]
pub struct Tried {
    /// The output.
    pub result: Result<Value, TryError>,
    /// What it wrote to its console.
    pub console: Vec<(Level, String)>,
}

/// Why a try gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum TryError {
    /// The input does not fit the schema beside it.
    #[error("the input does not fit its schema: {}", said(.0))]
    Input(Vec<Misfit>),
    /// The output does not fit the schema beside it.
    #[error("the output does not fit its schema: {}", said(.0))]
    Output(Vec<Misfit>),
    /// It failed.
    #[error(transparent)]
    Failed(Reason),
}

fn said(misfits: &[Misfit]) -> String {
    let said = misfits.iter().map(|misfit| format!("{} {}", misfit.pointer, misfit.detail));
    said.collect::<Vec<_>>().join("; ")
}

impl Bench {
    /// A bench with the sandbox of this build.
    ///
    /// # Errors
    /// When the sandbox cannot be set up.
    pub fn open(settings: &Settings) -> Result<Self, OpenError> {
        Engine::open(settings).map(Self)
    }

    /// Looks at code, and makes it ready, with the schemas of its input and output.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub async fn load(
        &self,
        language: Language,
        code: Arc<[u8]>,
        limits: Limits,
        (input, output): (Option<&Value>, Option<&Value>),
    ) -> Result<OnTheBench, Refused> {
        let schema = |what: &'static str| {
            move |error| Refused {
                message: format!("the schema of its {what}: {error}"),
                line: None,
                column: None,
                is_ours: false,
            }
        };
        Ok(OnTheBench {
            loaded: self.0.load(language, code, limits).await?,
            input: validator(input).map_err(schema("input"))?,
            output: validator(output).map_err(schema("output"))?,
        })
    }
}

/// A function on the bench whose instance stays warm.
pub struct Warmed(Warm);

impl Warmed {
    /// Gives it this, as it is given events.
    ///
    /// # Errors
    /// Why it failed.
    pub async fn call(&mut self, input: &str, context: &str) -> Result<String, Reason> {
        self.0.call(input, context).await.result
    }
}

impl OnTheBench {
    /// An instance that stays warm from one call to the next, as those of bound functions.
    pub fn keep(&self) -> Warmed {
        Warmed(self.loaded.keep())
    }

    /// Calls it in a fresh instance.
    pub async fn call(&self, input: &Value, context: &Value) -> Tried {
        if let Err(misfits) = fits(self.input.as_ref(), input) {
            return Tried { result: Err(TryError::Input(misfits)), console: Vec::new() };
        }
        let outcome = self.loaded.call(&input.to_string(), &without(context).to_string()).await;
        let parsed = outcome.result.and_then(|output| {
            serde_json::from_str(&output)
                .map_err(|error| Reason::Stopped(format!("its output is not JSON: {error}")))
        });
        let result = parsed.map_err(TryError::Failed).and_then(|output: Value| {
            fits(self.output.as_ref(), &output).map_err(TryError::Output)?;
            Ok(output)
        });
        Tried { result, console: outcome.console }
    }
}
