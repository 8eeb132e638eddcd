//! A sandbox for all tests, and short ways to load and call.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use factfold_sandbox::{Answer, Failure, Function, Language, Limits, Reason, Refused, Sandbox, Settings};

/// How many instances the tests' sandbox runs at once.
pub(crate) const CALLS_MAX: u32 = 8;

/// One sandbox: the runners are compiled once.
static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| open(CALLS_MAX));

pub(crate) fn open(calls_max: u32) -> Sandbox {
    let runners = runners();
    assert!(
        runners.join("javascript.wasm").exists() && runners.join("python.wasm").exists(),
        "{}: the runners are not there. Build them with deploy/runners, or name their folder in FACTFOLD_FUNCTIONS_RUNNERS",
        runners.display()
    );
    Sandbox::open(Settings {
        runners,
        cache: target().join("functions-cache"),
        calls_max,
        memory_mib_max: 8192,
    })
    .expect("a sandbox")
}

pub(crate) fn sandbox() -> &'static Sandbox {
    &SANDBOX
}

/// The build's folder: this program lies in its `debug/deps`.
pub(crate) fn target() -> PathBuf {
    let program = std::env::current_exe().expect("this program");
    program.ancestors().nth(3).expect("the target folder").to_owned()
}

fn runners() -> PathBuf {
    std::env::var_os("FACTFOLD_FUNCTIONS_RUNNERS")
        .map_or_else(|| target().join("runners/current"), PathBuf::from)
}

/// The file of an example.
pub(crate) fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

pub(crate) async fn try_load(language: Language, code: &[u8], limits: Limits) -> Result<Function, Refused> {
    sandbox().load(language, Arc::from(code), limits).await
}

pub(crate) async fn load(language: Language, code: impl AsRef<[u8]>) -> Function {
    let loaded = try_load(language, code.as_ref(), generous()).await;
    loaded.unwrap_or_else(|refused| panic!("refused: {refused}"))
}

pub(crate) async fn javascript(code: &str) -> Function {
    load(Language::Javascript, code).await
}

pub(crate) async fn python(code: &str) -> Function {
    load(Language::Python, code).await
}

pub(crate) async fn refused(language: Language, code: &str) -> Refused {
    match try_load(language, code.as_bytes(), generous()).await {
        Ok(_) => panic!("it was taken"),
        Err(refused) => refused,
    }
}

/// Time enough on a machine that does much else.
pub(crate) fn generous() -> Limits {
    Limits { time_ms: 20_000, ..Limits::default() }
}

pub(crate) async fn call(function: &Function, input: &str) -> Result<Answer, Failure> {
    function.call(input, "{}").await
}

pub(crate) async fn output(function: &Function, input: &str) -> String {
    let answer = call(function, input).await;
    answer.unwrap_or_else(|failure| panic!("{failure}: {:?}", failure.console)).output
}

pub(crate) async fn reason(function: &Function, input: &str) -> Reason {
    match call(function, input).await {
        Ok(answer) => panic!("it answered {}", answer.output),
        Err(failure) => failure.reason,
    }
}

/// Answers are told apart from their spelling.
#[track_caller]
pub(crate) fn same(output: &str, expected: &str) {
    let parse = |text| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    assert_eq!(parse(output), parse(expected));
}
