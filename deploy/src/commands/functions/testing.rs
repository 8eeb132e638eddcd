//! `factfold functions test`: the cases beside a function, in the sandbox in which it would be called, without any stack.

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use factfold_registry::Bench;
use factfold_schemas::functions::Limits;
use serde::Deserialize;
use serde_json::{Value, json};

use super::source::{SourceFile, beside};
use crate::{
    commands::arguments::duration,
    data_dir::DataDir,
    failure::Failure,
    output,
    settings::{Sourced, Sources},
};

/// Try a function with the cases beside it, without deploying it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: factfold functions test add.js

The cases of add.js are in add.test.json: [{\"name\": …, \"input\": …, \"output\": …}, …], or `error`
with a part of the message instead of `output`, and a `context` where the function needs one.")]
pub(super) struct Args {
    /// The function: .js, .ts, .py, or .wasm
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How long a case may take
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    time: Duration,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    input: Value,
    #[serde(default)]
    context: Option<Value>,
    #[serde(default, deserialize_with = "factfold_schemas::codec::present")]
    output: Option<Value>,
    error: Option<String>,
}

/// Runs the command.
pub(super) async fn run(args: Args, before: Option<PathBuf>) -> Result<ExitCode, Failure> {
    // The name does not matter here, and a file may be called as it likes.
    let name = "tested".parse().ok();
    let source = SourceFile::read(&args.file, name).map_err(Failure::Usage)?;
    let cases = source.cases().map_err(Failure::Usage)?;
    let file = beside(&args.file, "test");
    let cases = cases.with_context(|| format!("there are no cases: write {}", file.display()));
    let cases: Vec<Case> = serde_json::from_value(cases.map_err(Failure::Usage)?)
        .with_context(|| format!("{} does not hold cases", file.display()))
        .map_err(Failure::Usage)?;
    let data = DataDir::locate(before.as_deref())?;
    let settings = Sourced::read(Sources { environment: std::env::vars().collect(), ..Sources::default() });
    let settings = settings.map_err(Failure::Usage)?.settings.functions(data.path());
    let bench = Bench::open(&settings).map_err(|error| Failure::OutOfReach(error.into()))?;
    let time_ms = u32::try_from(args.time.as_millis()).unwrap_or(u32::MAX);
    let limits = Limits { time_ms, ..Limits::default() };
    let code: Arc<[u8]> = source.bytes.into();
    let schemas = (source.input_schema.as_ref(), source.output_schema.as_ref());
    let ready = bench.load(source.language, code, limits, schemas).await;
    let ready = ready.map_err(|error| Failure::Refused(anyhow!("{}: {error}", args.file.display())))?;

    let mut failed = 0;
    for case in &cases {
        let began = Instant::now();
        let context = case.context.clone().unwrap_or_else(|| json!({ "function": "tested", "revision": 1 }));
        let tried = ready.call(&case.input, &context).await;
        let took = began.elapsed();
        for (level, text) in &tried.console {
            output::line(&format!("     {level}: {text}"))?;
        }
        match case.judge(&tried.result.map_err(|error| error.to_string())) {
            Ok(()) => output::line(&format!("ok   {} ({:.1} ms)", case.name, took.as_secs_f64() * 1000.0))?,
            Err(what) => {
                failed += 1;
                output::line(&format!("FAIL {}\n     {}", case.name, what.replace('\n', "\n     ")))?;
            }
        }
    }
    output::line(&format!("{} passed, {failed} failed", cases.len() - failed))?;
    Ok(ExitCode::from(u8::from(failed > 0)))
}

impl Case {
    /// Whether that is what was to come.
    fn judge(&self, came: &Result<Value, String>) -> Result<(), String> {
        match (&self.output, &self.error, came) {
            (Some(wanted), None, Ok(output)) if wanted == output => Ok(()),
            (None, Some(wanted), Err(error)) if error.contains(wanted.as_str()) => Ok(()),
            (None, None, Ok(_)) => Ok(()),
            (Some(wanted), None, Ok(output)) => Err(format!("expected {wanted}\ngot      {output}")),
            (_, Some(wanted), Ok(output)) => Err(format!("expected an error: {wanted}\ngot {output}")),
            (_, None, Err(error)) => Err(format!("it failed: {error}")),
            (Some(_), Some(_), _) => Err("a case has either `output` or `error`".to_owned()),
            (None, Some(wanted), Err(error)) => Err(format!("expected an error: {wanted}\ngot      {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_judged_by_what_it_says() {
        let case = |text: &str| serde_json::from_str::<Case>(text).expect("a case");
        let gave = |value: Value| Ok(value);
        let failed = |text: &str| Err(text.to_owned());
        let sum = case(r#"{"name": "sum", "input": {"a": 1}, "output": 3}"#);
        assert_eq!(sum.judge(&gave(json!(3))), Ok(()));
        assert!(sum.judge(&gave(json!(4))).expect_err("another").contains("expected 3"));
        assert!(sum.judge(&failed("no")).is_err());
        let refusal = case(r#"{"name": "no", "error": "b is missing"}"#);
        assert_eq!(refusal.judge(&failed("Error: b is missing")), Ok(()));
        assert!(refusal.judge(&gave(json!(3))).is_err() && refusal.judge(&failed("a is missing")).is_err());
        assert!(case(r#"{"name": "null", "output": null}"#).judge(&gave(json!(1))).is_err());
    }
}
