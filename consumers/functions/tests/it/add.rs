//! The classic example, in every language.

use std::{fs, path::Path, process::Command};

use factfold_sandbox::{Function, Language, Reason};
use tempfile::TempDir;

use crate::support::{example, load, output, reason, target};

/// What every `add` does.
async fn adds(add: Function) {
    let sum = async |input| -> f64 {
        let output: serde_json::Value = serde_json::from_str(&output(&add, input).await).expect("JSON");
        output["result"].as_f64().unwrap_or_else(|| panic!("{output}"))
    };
    assert_eq!(sum(r#"{"a":1,"b":2}"#).await, 3.0);
    assert_eq!(sum(r#"{"a":0,"b":0}"#).await, 0.0);
    for (input, name) in
        [(r#"{"a":1}"#, "b"), ("{}", "a"), (r#"{"a":"1","b":2}"#, "a"), (r#"{"a":1,"b":null}"#, "b")]
    {
        match reason(&add, input).await {
            Reason::Thrown { message, .. } => {
                assert!(message.starts_with(&format!("{name} ")), "{input}: {message}")
            }
            other => panic!("{input}: {other:?}"),
        }
    }
}

async fn adds_as(language: Language, name: &str) {
    let code = fs::read(example(name)).expect("the example");
    adds(load(language, code).await).await;
}

#[tokio::test]
async fn javascript_adds() {
    adds_as(Language::Javascript, "add.js").await;
}

#[tokio::test]
async fn typescript_adds() {
    adds_as(Language::Typescript, "add.ts").await;
}

#[tokio::test]
async fn python_adds() {
    adds_as(Language::Python, "add.py").await;
}

/// Compiles an example; says why, if it cannot.
fn compiled(name: &str, probe: &[&str], compile: impl FnOnce(&Path, &Path) -> Command) -> Option<Vec<u8>> {
    let works = Command::new(probe[0]).args(&probe[1..]).output();
    if !works.as_ref().is_ok_and(|output| output.status.success()) {
        println!("SKIPPED {name}: `{}` does not work here", probe.join(" "));
        return None;
    }
    let folder = TempDir::new_in(target()).expect("a folder");
    let wasm = folder.path().join("add.wasm");
    let built = compile(&example(name), &wasm).output().expect("the compiler");
    if !built.status.success() {
        let [stdout, stderr] = [&built.stdout, &built.stderr].map(|said| String::from_utf8_lossy(said));
        println!("SKIPPED {name}: {}\n{stdout}{stderr}", built.status);
        return None;
    }
    Some(fs::read(wasm).expect("what was compiled"))
}

async fn adds_if_compiled(wasm: Option<Vec<u8>>) {
    if let Some(wasm) = wasm {
        assert!(wasm.starts_with(b"\0asm\x01\0\0\0"), "a core module, version 1");
        adds(load(Language::Command, wasm).await).await;
    }
}

#[tokio::test]
async fn go_adds() {
    let compile = |source: &Path, wasm: &Path| {
        let mut go = Command::new("go");
        go.args(["build", "-o"])
            .arg(wasm)
            .arg(source)
            .env("GOOS", "wasip1")
            .env("GOARCH", "wasm")
            .env("GOFLAGS", "");
        go
    };
    adds_if_compiled(compiled("add.go", &["go", "version"], compile)).await;
}

#[tokio::test]
async fn c_adds() {
    let compile = |source: &Path, wasm: &Path| {
        let mut clang = Command::new("clang");
        clang.args(["--target=wasm32-wasi", "-O2", "-o"]).arg(wasm).arg(source);
        clang
    };
    adds_if_compiled(compiled("add.c", &["clang", "--version"], compile)).await;
}

#[tokio::test]
async fn rust_adds() {
    let compile = |source: &Path, wasm: &Path| {
        let mut rustc = Command::new("rustc");
        rustc.args(["--edition=2024", "--target", "wasm32-wasip1", "-O", "-o"]).arg(wasm).arg(source);
        rustc
    };
    adds_if_compiled(compiled("add.rs", &["rustc", "--version"], compile)).await;
}

#[tokio::test]
async fn java_adds() {
    let compile = |source: &Path, wasm: &Path| {
        let folder = wasm.parent().expect("a folder");
        for file in [source, &example("add.pom.xml")] {
            fs::copy(file, folder.join(file.file_name().expect("a name"))).expect("a copy");
        }
        // Maven may have to fetch TeaVM, and waits long for a network that does not answer.
        let mut maven = Command::new("timeout");
        maven.args(["120", "mvn", "-q", "-B", "-f", "add.pom.xml"]).current_dir(folder);
        maven
    };
    adds_if_compiled(compiled("add.java", &["mvn", "--version"], compile)).await;
}
