//! Functions, as a gateway serves them: what is deployed is looked at before it is stored, and what is called runs here.
//!
//! It must never run anything that is no deployed function, and never wait for one without a bound.

mod calling;
mod configuring;
mod deploying;
mod later;

use factfold_registry::Registry;
use factfold_schemas::functions::FunctionName;

pub(crate) use self::{deploying::Deployment, later::LaterCall};
use crate::{gateway::Gateway, problems::Problem};

impl Gateway {
    /// What knows and runs the functions.
    pub(crate) fn functions(&self) -> Result<&Registry, Problem> {
        let absent = || Problem::new("not-implemented", "this gateway was started without functions");
        self.settings.functions.as_ref().ok_or_else(absent)
    }
}

/// The name in the path.
pub(crate) fn name(text: &str) -> Result<FunctionName, Problem> {
    text.parse().map_err(|error| Problem::new("invalid-parameter", format!("name: {error}")))
}
