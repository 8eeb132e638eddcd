//! `factfold functions deploy`

use std::{path::PathBuf, process::ExitCode, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use factfold_schemas::functions::{Function, FunctionName, Language, Limits};
use reqwest::Method;
use serde_json::{Value, json};

use super::{api::Api, source::SourceFile};
use crate::{commands::arguments::duration, failure::Failure, output};

/// Deploy a function; it answers calls at once
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: factfold functions deploy add.js --path /add --public

Beside add.js can lie add.input.json and add.output.json: the JSON Schemas of its input and output.")]
pub(super) struct Args {
    /// The source: .js, .ts, .py, or .wasm
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What it is called; without it, like the file
    #[arg(long)]
    name: Option<FunctionName>,
    /// A path that it answers, besides /fn/NAME
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Everybody may call it, also without an access token
    #[arg(long)]
    public: bool,
    /// How long a call may take [default: 1s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    time: Option<Duration>,
    /// How much memory a call may have, in MiB [default: 256]
    #[arg(long, value_name = "MIB")]
    memory: Option<u64>,
    /// How long its output may be, in KiB [default: 1024]
    #[arg(long, value_name = "KIB")]
    output: Option<u32>,
    /// How many calls may run at once in each gateway [default: 100]
    #[arg(long, value_name = "N")]
    calls: Option<u32>,
    /// Print the function as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) async fn run(args: Args, api: &Api) -> Result<ExitCode, Failure> {
    let source = SourceFile::read(&args.file, args.name).map_err(Failure::Usage)?;
    let name = source.name;
    let body = body(&args, source)?;
    let request = api.request(Method::PUT, &format!("/v1/functions/{name}"))?.json(&body);
    let function: Function = api.json(request).await?;
    if args.json {
        output::json(&function)?;
        return Ok(ExitCode::SUCCESS);
    }
    let revision = function.revision.unwrap_or_default();
    output::line(&format!("{name} is deployed, revision {revision}"))?;
    let path = function.current().and_then(|deployed| deployed.path.as_deref());
    let also = path.map(|path| format!(" and POST {path}")).unwrap_or_default();
    eprintln!("it answers POST /fn/{name}{also}: factfold functions call {name} '{{…}}'");
    Ok(ExitCode::SUCCESS)
}

fn body(args: &Args, source: SourceFile) -> Result<Value, Failure> {
    let default = Limits::default();
    let limits = Limits {
        time_ms: args
            .time
            .map_or(default.time_ms, |time| u32::try_from(time.as_millis()).unwrap_or(u32::MAX)),
        memory_bytes: args.memory.map_or(default.memory_bytes, |mib| mib.saturating_mul(1 << 20)),
        output_bytes: args.output.map_or(default.output_bytes, |kib| kib.saturating_mul(1 << 10)),
        calls_max: args.calls.unwrap_or(default.calls_max),
    };
    let mut body = json!({ "language": source.language, "public": args.public, "limits": limits });
    match source.language {
        Language::Component | Language::Command => {
            body["wasm"] = json!(BASE64_STANDARD.encode(&source.bytes))
        }
        Language::JavaScript | Language::TypeScript | Language::Python => {
            let text = String::from_utf8(source.bytes);
            let text =
                text.map_err(|_| Failure::Usage(anyhow::anyhow!("{} is not UTF-8", args.file.display())))?;
            body["source"] = json!(text);
        }
    }
    let optional = [
        ("path", args.path.clone().map(Value::String)),
        ("input_schema", source.input_schema),
        ("output_schema", source.output_schema),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    Ok(body)
}
