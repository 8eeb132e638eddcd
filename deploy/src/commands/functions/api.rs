//! The gateway, as the command line asks it.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use factfold_producers::access::{Keys, Role};
use factfold_schemas::{
    functions::{Function, FunctionName},
    ids::UserId,
};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    commands::send::sender::source,
    data_dir::DataDir,
    failure::Failure,
    output,
    system::{Flags, System},
};

/// How long a token is good that a command makes for itself.
const TOKEN_TIME: Duration = Duration::from_secs(300);
/// Longer than a gateway takes for anything.
const ANSWER_TIME: Duration = Duration::from_secs(100);

/// Which gateway is asked, and how.
#[derive(Debug, clap::Args)]
pub(super) struct Gateway {
    /// The gateway; without it, that of the running stack
    #[arg(long, value_name = "URL", env = "FACTFOLD_HTTP")]
    http: Option<Url>,
    /// A file with an access token; without it, one is made with the key in the data directory
    #[arg(long, value_name = "FILE", env = "FACTFOLD_TOKEN_FILE")]
    token_file: Option<std::path::PathBuf>,
}

/// A gateway that can be asked.
pub(super) struct Api {
    base: Url,
    token: String,
    http: reqwest::Client,
}

/// How a gateway says no.
#[derive(Debug, Deserialize)]
pub(super) struct Problem {
    title: String,
    detail: Option<String>,
    #[serde(default)]
    errors: Vec<FieldError>,
    stack: Option<String>,
}

#[derive(Debug, Deserialize)]
struct FieldError {
    detail: String,
    pointer: Option<String>,
}

impl Api {
    /// Finds the gateway, and what shows it who asks.
    pub(super) fn connect(gateway: Gateway, data: DataDir, flags: &Flags) -> Result<Self, Failure> {
        let running = data.running();
        let base = match gateway.http {
            Some(url) => url,
            None => {
                let http = running?.http;
                let http = http.context("no gateway runs in this data directory: name one with --http URL");
                let parsed = http.and_then(|http| http.parse().context("the gateway's address in DIR/env"));
                parsed.map_err(Failure::OutOfReach)?
            }
        };
        let token = match gateway.token_file {
            Some(file) => {
                let read = std::fs::read_to_string(&file)
                    .with_context(|| format!("--token-file {}", file.display()));
                read.map_err(Failure::Usage)?.trim().to_owned()
            }
            None => {
                let system = System::find(data, flags)?;
                let keys = Keys::load_or_create(&system.key_file_in_use()?);
                let keys = keys.map_err(|error| Failure::OutOfReach(error.into()))?;
                // The same person is the same developer each time.
                let subject = UserId::new(Uuid::new_v5(&Uuid::NAMESPACE_URL, source().as_bytes()));
                keys.issue(subject, &[Role::Developer], TOKEN_TIME)
                    .map_err(|error| Failure::OutOfReach(error.into()))?
            }
        };
        let http = reqwest::Client::builder().timeout(ANSWER_TIME).build().context("an HTTP client")?;
        Ok(Self { base, token, http })
    }

    /// A request to this path.
    pub(super) fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, Failure> {
        let url = self.base.join(path).context("the gateway's address").map_err(Failure::Usage)?;
        Ok(self.http.request(method, url).bearer_auth(&self.token))
    }

    /// What was answered, if it was a yes.
    pub(super) async fn answer(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let sent = request.send().await.with_context(|| format!("asking the gateway at {}", self.base));
        let response = sent.map_err(Failure::OutOfReach)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.unwrap_or_default();
        let said = match serde_json::from_str::<Problem>(&text) {
            Ok(problem) => problem.say(),
            Err(_) => format!("the gateway at {} answered {status}", self.base),
        };
        Err(match status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                Failure::OutOfReach(anyhow!(said))
            }
            _ => Failure::Refused(anyhow!(said)),
        })
    }

    /// The JSON that was answered.
    pub(super) async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        let response = self.answer(request).await?;
        if response.status() == StatusCode::ACCEPTED {
            let said = "it is stored, but not decided yet: look again with `factfold functions show`";
            return Err(Failure::OutOfReach(anyhow!(said)));
        }
        let read = response.json().await.context("the gateway's answer");
        read.map_err(Failure::OutOfReach)
    }

    /// A function.
    pub(super) async fn function(&self, name: FunctionName) -> Result<Function, Failure> {
        self.json(self.request(Method::GET, &format!("/v1/functions/{name}"))?).await
    }

    /// The function after this change of it.
    pub(super) async fn change(
        &self,
        method: &str,
        name: FunctionName,
        below: &str,
        body: Option<Value>,
    ) -> Result<Function, Failure> {
        let method: Method = method.parse().context("a method").map_err(Failure::Usage)?;
        let request = self.request(method, &format!("/v1/functions/{name}{below}"))?;
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        self.json(request).await
    }
}

impl Problem {
    /// In words.
    pub(super) fn say(self) -> String {
        let mut said = self.detail.unwrap_or(self.title);
        if self.errors.len() > 1 {
            for FieldError { detail, pointer } in self.errors {
                said.push_str(&format!("\n  {} {detail}", pointer.as_deref().unwrap_or("the request")));
            }
        }
        if let Some(stack) = self.stack.filter(|stack| !stack.trim().is_empty()) {
            said.push('\n');
            said.push_str(stack.trim_end());
        }
        output::scrubbed(&said)
    }
}
