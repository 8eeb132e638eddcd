//! Instances that stay.

use factfold_sandbox::{Language, Limits, Reason};

use crate::support::{CALLS_MAX, generous, javascript, load, sandbox, try_load};

#[tokio::test]
async fn a_kept_instance_remembers_and_a_fresh_one_does_not() {
    let count = javascript("let n = 0; export default () => ++n").await;
    let mut kept = count.keep();
    for expected in 1..=3 {
        assert_eq!(kept.call("1", "{}").await.expect("an answer").output, expected.to_string());
    }
    assert_eq!(count.call("1", "{}").await.expect("an answer").output, "1");
    assert_eq!(count.keep().call("1", "{}").await.expect("an answer").output, "1");
}

#[tokio::test]
async fn a_kept_instance_goes_on_after_a_thrown_error_and_is_new_after_a_limit() {
    let code = "let n = 0;
        export default (input) => {
            n += 1;
            console.log(`call ${n}`);
            if (input === 'throw') throw new Error('no');
            if (input === 'loop') for (;;);
            return n;
        }";
    let function =
        try_load(Language::Javascript, code.as_bytes(), Limits { time_ms: 5_000, ..Limits::default() }).await;
    let mut kept = function.expect("loaded").keep();
    assert_eq!(kept.call("1", "{}").await.expect("an answer").output, "1");
    let thrown = kept.call(r#""throw""#, "{}").await.expect_err("thrown");
    assert!(matches!(thrown.reason, Reason::Thrown { .. }), "{thrown:?}");
    assert_eq!(thrown.console[0].text, "call 2");
    assert_eq!(kept.call("1", "{}").await.expect("an answer").output, "3");
    let stopped = kept.call(r#""loop""#, "{}").await.expect_err("stopped");
    assert_eq!(stopped.reason, Reason::TimedOut { time_ms: 5_000 });
    assert_eq!(stopped.console[0].text, "call 4");
    assert_eq!(kept.call("1", "{}").await.expect("an answer").output, "1");
}

#[tokio::test]
async fn a_call_that_is_dropped_takes_its_instance_along() {
    let code = "let n = 0; export default (input) => { n += 1; if (input) for (;;); return n }";
    let function = try_load(Language::Javascript, code.as_bytes(), generous()).await.expect("loaded");
    let mut kept = function.keep();
    kept.call("0", "{}").await.expect("an answer");
    let short = std::time::Duration::from_millis(50);
    tokio::time::timeout(short, kept.call("1", "{}")).await.expect_err("dropped");
    assert_eq!(kept.call("0", "{}").await.expect("an answer").output, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_more_calls_than_instances_are_all_answered() {
    for (language, code, calls) in [
        (Language::Javascript, "export default (input) => input + 1", CALLS_MAX * 25),
        (Language::Python, "def handle(input, context):\n    return input + 1\n", CALLS_MAX * 5),
    ] {
        let function = load(language, code).await;
        let calls: Vec<_> = (0..calls)
            .map(|i| {
                let function = function.clone();
                tokio::spawn(async move { function.call(&i.to_string(), "{}").await })
            })
            .collect();
        for (i, call) in calls.into_iter().enumerate() {
            let answer = call.await.expect("the task").expect("an answer");
            assert_eq!(answer.output, (i + 1).to_string());
        }
    }
}

#[tokio::test]
async fn a_thousand_functions_are_small() {
    let memory_kib = || -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").expect("the status");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("the memory");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
    };
    load(Language::Python, "def handle(input, context):\n    return 1\n").await;
    javascript("export default () => 1").await;
    let before = memory_kib();
    let mut functions = Vec::new();
    for i in 0..1_000 {
        let code = format!("export default () => {i}");
        functions.push(
            sandbox().load(Language::Javascript, code.into_bytes().into(), generous()).await.expect("loaded"),
        );
    }
    // Other tests run beside this one, so this is far above what it takes.
    let grown = memory_kib().saturating_sub(before);
    println!("1,000 functions: {grown} KiB");
    assert!(grown < 1 << 20, "{grown} KiB");
}
