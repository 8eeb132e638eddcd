//! A deployment: the source is looked at and started once, then its code is stored, and then the command that names it. So
//! whatever an event names is there, and ran once.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use factfold_registry::{CodeError, Refused, Registry};
use factfold_schemas::{
    functions::{CODE_BYTES_MAX, Code, DeployFunction, FunctionName, Language, Limits},
    json::{Misfit, Validator},
    rejection::Reject,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{sync::SemaphorePermit, time::timeout};

use crate::{
    BODY_BYTES_MAX,
    gateway::Gateway,
    problems::{FieldError, Problem},
    reading::write::Write,
    submitting::Submitted,
};

/// How long a gateway waits until it knows what it has deployed itself.
const OWN_TIME: Duration = Duration::from_secs(1);

/// What somebody says who deploys a function.
#[derive(Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deployment {
    /// How it is written.
    language: Language,
    /// The source, of a language that is text.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "factfold_schemas::codec::present"
    )]
    #[schemars(with = "String", length(min = 1))]
    source: Option<String>,
    /// The WebAssembly, in base64: of a component or a command.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "factfold_schemas::codec::present"
    )]
    #[schemars(with = "String", length(min = 1), extend("contentEncoding" = "base64"))]
    wasm: Option<String>,
    /// The path that it answers, besides `/fn/<name>`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "factfold_schemas::codec::present"
    )]
    #[schemars(with = "String", length(min = 2, max = 200))]
    path: Option<String>,
    /// Whether everybody may call it; else whoever has an access token.
    #[serde(default)]
    public: bool,
    /// What a call may take.
    #[serde(default)]
    limits: Limits,
    /// The JSON Schema of its input: what does not fit is refused before it is called.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "factfold_schemas::codec::present"
    )]
    #[schemars(with = "serde_json::Map<String, Value>")]
    input_schema: Option<Value>,
    /// The JSON Schema of its output: what does not fit is a failure of the function.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "factfold_schemas::codec::present"
    )]
    #[schemars(with = "serde_json::Map<String, Value>")]
    output_schema: Option<Value>,
}

impl Gateway {
    /// A place for a deployment of so many bytes at most, if that is known, until it is over; nothing where none is needed, since it
    /// is small.
    pub(crate) async fn place_for_deployment(
        &self,
        bytes_max: Option<u64>,
    ) -> Result<Option<SemaphorePermit<'_>>, Problem> {
        if bytes_max.is_some_and(|bytes| bytes <= BODY_BYTES_MAX as u64) {
            return Ok(None);
        }
        match timeout(self.settings.body_time, self.large_deployments.acquire()).await {
            Ok(Ok(place)) => Ok(Some(place)),
            _ => Err(Problem::of_load("too-many-waiting", "other large functions are being deployed")),
        }
    }

    /// Deploys this in the place of the function.
    pub(crate) async fn deploy(
        &self,
        write: &Write,
        name: FunctionName,
        deployment: Deployment,
    ) -> Result<Submitted, Problem> {
        let registry = self.functions()?;
        let code: Arc<[u8]> = deployment.code()?.into();
        let command = deployment.command(&code);
        command.check().map_err(|rejection| Problem::rejected(&rejection.to_rejection()))?;
        let schemas = [("/input_schema", &command.input_schema), ("/output_schema", &command.output_schema)];
        for (pointer, schema) in schemas {
            let wrong = schema.as_ref().and_then(|schema| Validator::of_stranger(schema).err());
            if let Some(error) = wrong {
                return Err(invalid(pointer, format!("is no JSON Schema: {error}")));
            }
        }
        if let Some(path) = &command.path
            && let Some(other) = registry.catalogue().at_path(path).filter(|other| *other != name)
        {
            return Err(Problem::new("path-taken", format!("{path} is answered by the function `{other}`")));
        }
        let checked = registry.check(command.language, code.clone(), command.limits).await;
        checked.map_err(|error| refused(&deployment, error))?;
        registry.store(code).await.map_err(not_stored)?;

        let data = serde_json::to_value(&command).map_err(|error| invalid("", error.to_string()))?;
        let command = self.vocabulary.check("DeployFunction", data)?;
        // Looking at the code may have taken longer than anybody waits for a decision: the waiting begins now.
        let write = Write { arrived: Instant::now(), ..write.clone() };
        let submitted = self.submit(&write, command, &name.stream()).await?;
        self.follow(name, &submitted).await;
        Ok(submitted)
    }

    /// Waits until this gateway knows what it was just told: whoever has deployed a function calls it next.
    pub(crate) async fn follow(&self, name: FunctionName, submitted: &Submitted) {
        let resource = submitted.reply.as_ref().and_then(|reply| reply.resource.as_ref());
        let version = resource.and_then(|resource| resource["version"].as_u64());
        if let (Ok(registry), Some(version)) = (self.functions(), version) {
            // In time or not: it is deployed.
            registry.catalogue().come_to(name, version, OWN_TIME).await;
        }
    }
}

impl Deployment {
    /// The bytes of its code, in the one field that its language has.
    fn code(&self) -> Result<Vec<u8>, Problem> {
        let is_text = matches!(self.language, Language::JavaScript | Language::TypeScript | Language::Python);
        let code = match (is_text, &self.source, &self.wasm) {
            (true, Some(source), None) => source.clone().into_bytes(),
            (false, None, Some(wasm)) => BASE64_STANDARD
                .decode(wasm)
                .map_err(|error| invalid("/wasm", format!("is not base64: {error}")))?,
            (true, ..) => {
                return Err(invalid("/source", "is what holds the code of this language, alone".into()));
            }
            (false, ..) => {
                return Err(invalid("/wasm", "is what holds the code of this language, alone".into()));
            }
        };
        if code.len() as u64 > CODE_BYTES_MAX {
            let detail =
                format!("the code has {} bytes, but at most {CODE_BYTES_MAX} are allowed", code.len());
            return Err(Problem::new("body-too-large", detail));
        }
        Ok(code)
    }

    fn command(&self, code: &[u8]) -> DeployFunction {
        DeployFunction {
            language: self.language,
            code: Code::of(code),
            path: self.path.clone(),
            public: self.public,
            limits: self.limits,
            input_schema: self.input_schema.clone(),
            output_schema: self.output_schema.clone(),
        }
    }
}

/// The code is no good, or cannot be looked at here.
fn refused(deployment: &Deployment, error: Refused) -> Problem {
    if error.is_ours && Registry::RUNS {
        tracing::warn!(%error, "code cannot be looked at");
        return Problem::new("function-unavailable", error.message).retry_after(1);
    }
    if error.is_ours {
        return Problem::new("not-implemented", error.message);
    }
    let pointer = if deployment.source.is_some() { "/source" } else { "/wasm" };
    let problem = invalid(pointer, format!("cannot run: {error}"));
    let place = |problem: Problem, name, number: Option<u32>| match number {
        Some(number) => problem.with(name, number.into()),
        None => problem,
    };
    place(place(problem, "line", error.line), "column", error.column)
}

fn not_stored(error: CodeError) -> Problem {
    tracing::warn!(%error, "code is not stored");
    Problem::new("storage-unavailable", "the code could not be stored: repeat it in a moment").retry_after(1)
}

fn invalid(pointer: &str, detail: String) -> Problem {
    Problem::invalid(vec![FieldError::within("", &Misfit::new(pointer, detail))])
}
