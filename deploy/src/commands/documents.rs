//! `factfold openapi` and `factfold asyncapi`: the documents that other tools read.

use std::process::ExitCode;

use factfold_producers::documents;

use crate::{failure::Failure, output};

/// Print the OpenAPI document of the HTTP API
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: factfold openapi > openapi.json")]
pub(super) struct OpenApi {}

/// Print the AsyncAPI document of the topics
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: factfold asyncapi > asyncapi.json")]
pub(super) struct AsyncApi {}

/// Runs `factfold openapi`.
pub(super) fn openapi() -> Result<ExitCode, Failure> {
    output::json(&documents::openapi())?;
    Ok(ExitCode::SUCCESS)
}

/// Runs `factfold asyncapi`.
pub(super) fn asyncapi() -> Result<ExitCode, Failure> {
    output::json(&documents::asyncapi())?;
    Ok(ExitCode::SUCCESS)
}
