//! Components and commands of users' own.

use factfold_sandbox::{Language, Limits, Reason};

use crate::support::{call, generous, load, output, reason, refused, try_load};

/// A component of the world that answers with its input.
const ECHO: &str = r#"
(component
  (import "log" (func $log (param "level" string) (param "text" string)))
  (core module $memory
    (memory (export "memory") 2)
    (global $free (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
      (global.set $free (i32.add (local.get $at) (local.get 3)))
      (local.get $at))
    (data (i32.const 16) "infohello"))
  (core instance $memory (instantiate $memory))
  (core func $log (canon lower (func $log) (memory (core memory $memory "memory"))))
  (core module $code
    (import "m" "memory" (memory 1))
    (import "m" "log" (func $log (param i32 i32 i32 i32)))
    (func (export "load") (param i32 i32) (result i32)
      (i32.store (i32.const 64) (i32.const 0))
      (i32.const 64))
    (func (export "handle") (param i32 i32 i32 i32) (result i32)
      (call $log (i32.const 16) (i32.const 4) (i32.const 20) (i32.const 5))
      (i32.store (i32.const 64) (i32.const 0))
      (i32.store (i32.const 68) (local.get 0))
      (i32.store (i32.const 72) (local.get 1))
      (i32.const 64)))
  (core instance $code (instantiate $code
    (with "m" (instance (export "memory" (memory $memory "memory")) (export "log" (func $log))))))
  (func (export "load") (param "source" string) (result (result (error string)))
    (canon lift (core func $code "load") (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
  (func (export "handle") (param "input" string) (param "context" string) (result (result string (error string)))
    (canon lift (core func $code "handle") (memory (core memory $memory "memory")) (realloc (core func $memory "realloc")))))
"#;

fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("WebAssembly")
}

/// A command whose `_start` is this.
fn command(start: &str) -> Vec<u8> {
    wasm(&format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "\10\00\00\00\04\00\00\00")
            (data (i32.const 16) "null")
            (func $print (param $fd i32) (drop (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))
            (func $self (call $self) (call $self))
            (func (export "_start") {start}))"#
    ))
}

#[tokio::test]
async fn a_component_of_the_world_runs() {
    let echo = load(Language::Component, wasm(ECHO)).await;
    let answer = call(&echo, r#"{"a":1}"#).await.expect("an answer");
    assert_eq!(answer.output, r#"{"a":1}"#);
    assert_eq!(answer.console[0].text, "hello");
    match reason(&echo, "not JSON").await {
        Reason::NotJson { start, .. } => assert_eq!(start, "not JSON"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_component_that_wants_more_is_refused() {
    let foreign = wasm(r#"(component (import "other:package/thing" (instance (export "f" (func)))))"#);
    let refused = try_load(Language::Component, &foreign, generous()).await.expect_err("refused");
    assert!(refused.message.contains("other:package/thing"), "{refused}");
    let empty = try_load(Language::Component, &wasm("(component)"), generous())
        .await
        .map(|_| ())
        .expect_err("refused");
    assert!(empty.message.contains("world"), "{empty}");
    let foreign = wasm(r#"(module (import "env" "system" (func)) (func (export "_start")))"#);
    let refused = try_load(Language::Command, &foreign, generous()).await.expect_err("refused");
    assert!(refused.message.contains("env"), "{refused}");
    let library = try_load(Language::Command, &wasm("(module)"), generous()).await.expect_err("refused");
    assert!(library.message.contains("_start"), "{library}");
}

#[tokio::test]
async fn what_is_no_webassembly_is_refused() {
    for language in [Language::Component, Language::Command] {
        let refused = refused(language, "\0asm, or so").await;
        assert!(refused.message.contains("not valid WebAssembly"), "{refused}");
    }
}

#[tokio::test]
async fn a_command_answers_on_its_standard_output() {
    assert_eq!(
        output(&load(Language::Command, command("(call $print (i32.const 1))")).await, "1").await,
        "null"
    );
    let exits =
        load(Language::Command, command("(call $print (i32.const 1)) (call $exit (i32.const 0))")).await;
    assert_eq!(output(&exits, "1").await, "null");
    let silent = load(Language::Command, command("")).await;
    assert!(matches!(reason(&silent, "1").await, Reason::NotJson { .. }));
}

#[tokio::test]
async fn a_command_fails_with_what_it_says() {
    let exits = load(Language::Command, command("(call $exit (i32.const 3))")).await;
    assert_eq!(reason(&exits, "1").await, Reason::Exited { code: 3 });
    let says =
        load(Language::Command, command("(call $print (i32.const 2)) (call $exit (i32.const 3))")).await;
    assert_eq!(reason(&says, "1").await, Reason::Thrown { message: "null".to_owned(), stack: None });
    let deep = load(Language::Command, command("(call $self)")).await;
    assert!(
        matches!(reason(&deep, "1").await, Reason::Crashed { what } if what.contains("nested too deeply"))
    );
}

#[tokio::test]
async fn a_command_is_stopped_at_its_limits() {
    let limits = |time_ms| Limits { time_ms, memory_bytes: 16 << 20, output_bytes: 1_000 };
    for (start, time_ms, expected) in [
        ("(loop (br 0))", 300, Reason::TimedOut { time_ms: 300 }),
        (
            "(loop (drop (memory.grow (i32.const 16))) (br 0))",
            20_000,
            Reason::OutOfMemory { memory_bytes: 16 << 20 },
        ),
        ("(loop (call $print (i32.const 1)) (br 0))", 20_000, Reason::OutputTooLarge { output_bytes: 1_000 }),
    ] {
        let function = try_load(Language::Command, &command(start), limits(time_ms)).await.expect("loaded");
        assert_eq!(reason(&function, "1").await, expected);
    }
}
