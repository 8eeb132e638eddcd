//! Functions that mean harm, each contained with a clear error.

use std::time::{Duration, Instant};

use factfold_sandbox::{Function, Language, Limits, Reason};

use crate::support::{call, generous, javascript, load, open, output, python, reason, try_load};

const SHORT_MS: u32 = 300;

async fn limited(language: Language, code: &str) -> Function {
    let limits = Limits { time_ms: SHORT_MS, ..Limits::default() };
    // The runner is compiled before the clock starts, and a busy machine may need more than a try.
    for _ in 0..20 {
        match try_load(language, code.as_bytes(), limits).await {
            Ok(function) => return function,
            Err(refused) if refused.message.contains("longer than") => {}
            Err(refused) => panic!("{refused}"),
        }
    }
    panic!("no time at all");
}

#[tokio::test]
async fn an_endless_loop_is_stopped() {
    for (language, code) in [
        (Language::Javascript, "export default () => { for (;;); }"),
        (
            Language::Javascript,
            "export default (i) => { try { for (;;); } catch { for (;;); } finally { for (;;); } }",
        ),
        (Language::Python, "def handle(input, context):\n    while True: pass\n"),
        (Language::Python, "import time\ndef handle(input, context):\n    time.sleep(60)\n"),
        // A regular expression that tries everything.
        (Language::Javascript, "export default () => /^(a+)+$/.test('a'.repeat(40) + 'b')"),
        (
            Language::Python,
            "import re\ndef handle(input, context):\n    return bool(re.match(r'^(a+)+$', 'a' * 40 + 'b'))\n",
        ),
    ] {
        let function = limited(language, code).await;
        let started = Instant::now();
        assert_eq!(reason(&function, "1").await, Reason::TimedOut { time_ms: SHORT_MS }, "{code}");
        assert!(started.elapsed() < Duration::from_secs(20), "{code}: {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn ten_gigabytes_are_not_had() {
    for (language, code) in [
        (
            Language::Javascript,
            "export default () => { const a = []; for (;;) a.push(new Uint8Array(1 << 24)); }",
        ),
        (Language::Javascript, "export default () => { let a = 'x'; for (;;) a += a + 'y'; }"),
        (
            Language::Python,
            "def handle(input, context):\n    a = []\n    while True: a.append(bytearray(1 << 24))\n",
        ),
        (Language::Python, "def handle(input, context):\n    return len(b'x' * (3 << 30))\n"),
    ] {
        let function = load(language, code).await;
        match reason(&function, "1").await {
            Reason::OutOfMemory { memory_bytes } => assert_eq!(memory_bytes, 256 << 20),
            // More than its own engine ever gives.
            Reason::Thrown { message, .. } => {
                assert!(
                    ["emory", "length", "too long", "index-sized"].iter().any(|word| message.contains(word)),
                    "{code}: {message}"
                );
            }
            other => panic!("{code}: {other:?}"),
        }
    }
    let once =
        load(Language::Javascript, "export default () => new ArrayBuffer(10 * 2 ** 30).byteLength").await;
    assert!(matches!(reason(&once, "1").await, Reason::Thrown { .. } | Reason::OutOfMemory { .. }));
}

#[tokio::test]
async fn deep_recursion_is_stopped() {
    for (language, code) in [
        (Language::Javascript, "const f = (n) => f(n + 1) + 1; export default () => f(0)"),
        (
            Language::Python,
            "def f(n):\n    return f(n + 1) + 1\ndef handle(input, context):\n    return f(0)\n",
        ),
        (
            Language::Python,
            "import sys\ndef f(n):\n    return f(n + 1) + 1\ndef handle(input, context):\n    sys.setrecursionlimit(10**8)\n    return f(0)\n",
        ),
        (
            Language::Javascript,
            "export default () => { let a = []; for (let i = 0; i < 1e6; i++) a = [a]; return a; }",
        ),
    ] {
        let function = load(language, code).await;
        let reason = reason(&function, "1").await;
        assert!(
            matches!(&reason, Reason::Thrown { message, .. } if message.contains("stack") || message.contains("recursion"))
                || matches!(&reason, Reason::Crashed { what } if what.contains("nested too deeply"))
                || matches!(&reason, Reason::OutOfMemory { .. }),
            "{code}: {reason:?}"
        );
        println!("{code:?}: {reason}");
    }
}

#[tokio::test]
async fn a_huge_output_is_not_copied() {
    for (language, code) in [
        (Language::Javascript, "export default () => 'x'.repeat(1e5)"),
        (Language::Javascript, "export default () => 'x'.repeat(5e6)"),
        (Language::Python, "def handle(input, context):\n    return 'x' * 5000000\n"),
    ] {
        let limits = Limits { output_bytes: 10_000, ..generous() };
        let function = try_load(language, code.as_bytes(), limits).await.expect("loaded");
        assert_eq!(reason(&function, "1").await, Reason::OutputTooLarge { output_bytes: 10_000 }, "{code}");
    }
}

#[tokio::test]
async fn a_huge_error_is_cut() {
    let function = javascript("export default () => { throw new Error('x'.repeat(100000)) }").await;
    assert!(
        matches!(reason(&function, "1").await, Reason::Thrown { message, .. } if message.len() <= 16 << 10)
    );
    let strange =
        javascript("export default () => { throw { toString() { throw 1 }, get stack() { throw 2 } } }")
            .await;
    assert!(matches!(reason(&strange, "1").await, Reason::Thrown { .. }));
}

#[tokio::test]
async fn a_flood_on_the_console_is_cut_off() {
    for (language, code) in [
        (
            Language::Javascript,
            "export default () => { for (let i = 0; i < 1e5; i++) console.log('flood', i); return 1 }",
        ),
        (Language::Javascript, "export default () => { console.log('x'.repeat(2e6)); return 1 }"),
        (
            Language::Python,
            "def handle(input, context):\n    for i in range(20000): print('flood', i)\n    return 1\n",
        ),
        (Language::Python, "def handle(input, context):\n    print('x' * 2000000)\n    return 1\n"),
    ] {
        let answer = call(&load(language, code).await, "1")
            .await
            .unwrap_or_else(|failure| panic!("{code}: {failure}"));
        let bytes: usize = answer.console.iter().map(|line| line.text.len()).sum();
        assert!(
            answer.console.len() <= 100 && bytes <= (16 << 10) + 100,
            "{} lines, {bytes}",
            answer.console.len()
        );
        assert!(answer.console.last().is_some_and(|line| line.text.contains("cut off")), "{code}");
    }
}

#[tokio::test]
async fn files_environment_sockets_and_processes_are_not_there() {
    let code = "
import os
def tried(action):
    try:
        return repr(action())
    except BaseException as error:
        return 'denied: ' + type(error).__name__
def sockets():
    import socket
    return socket.create_connection(('127.0.0.1', 22))
def processes():
    import subprocess
    return subprocess.run(['true'])
def handle(input, context):
    return {
        'read': tried(lambda: open('/etc/passwd').read()),
        'list': tried(lambda: os.listdir('/')),
        'write': tried(lambda: open('x', 'w')),
        'environment': tried(lambda: dict(os.environ)),
        'sockets': tried(sockets),
        'fork': tried(lambda: os.fork()),
        'system': tried(lambda: os.system('true')),
        'processes': tried(processes),
    }
";
    let found: serde_json::Value =
        serde_json::from_str(&output(&python(code).await, "1").await).expect("JSON");
    for (what, found) in found.as_object().expect("an object") {
        let found = found.as_str().unwrap_or_default();
        assert!(
            found.starts_with("denied") || (what == "environment" && !found.contains("PATH")),
            "{what}: {found}"
        );
    }
    println!("{found}");
    let js = "export default () => ['process', 'require', 'fetch', 'Deno', 'std', 'os', 'log', 'wit', '__cqjs'].filter((name) => name in globalThis)";
    assert_eq!(output(&javascript(js).await, "1").await, "[]");
}

#[tokio::test]
async fn nothing_reaches_the_next_call() {
    let js = "export default (input) => {
        if (input === 'spoil') {
            Object.prototype.spoilt = true; Array.prototype.map = null; JSON.parse = () => 'spoilt'; globalThis.spoilt = true;
            return 1;
        }
        return [({}).spoilt ?? null, globalThis.spoilt ?? null, [1].map((n) => n + 1)];
    }";
    let js = javascript(js).await;
    assert_eq!(output(&js, r#""spoil""#).await, "1");
    assert_eq!(output(&js, r#""look""#).await, "[null,null,[2]]");
    let other = javascript("export default () => ({}).spoilt ?? null").await;
    assert_eq!(output(&other, "1").await, "null");
    let py = "import json, builtins\ndef handle(input, context):\n    if input == 'spoil':\n        builtins.len = None\n        json.spoilt = True\n        return 1\n    return [hasattr(json, 'spoilt'), len('ab')]\n";
    let py = python(py).await;
    assert_eq!(output(&py, r#""spoil""#).await, "1");
    assert_eq!(output(&py, r#""look""#).await, "[false,2]");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neighbours_are_answered_while_hostile_functions_run() {
    // A sandbox of its own: what is measured is these calls alone.
    let sandbox = open(16);
    let endless = b"export default () => { for (;;); }";
    let limits = Limits { time_ms: 1_500, ..Limits::default() };
    let endless =
        sandbox.load(Language::Javascript, endless.as_slice().into(), limits).await.expect("loaded");
    let quick = b"export default (input) => input";
    let quick =
        sandbox.load(Language::Javascript, quick.as_slice().into(), generous()).await.expect("loaded");
    let hostile: Vec<_> = (0..8)
        .map(|_| {
            let endless = endless.clone();
            tokio::spawn(async move { endless.call("1", "{}").await })
        })
        .collect();
    let mut times = Vec::new();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(1) {
        let called = Instant::now();
        quick.call("1", "{}").await.expect("an answer");
        times.push(called.elapsed());
    }
    for hostile in hostile {
        let failure = hostile.await.expect("the task").expect_err("stopped");
        assert_eq!(failure.reason, Reason::TimedOut { time_ms: 1_500 });
    }
    times.sort();
    println!(
        "{} calls beside 8 endless loops: median {:?}, worst {:?}",
        times.len(),
        times[times.len() / 2],
        times[times.len() - 1]
    );
    assert!(times[times.len() / 2] < Duration::from_secs(1));
}
