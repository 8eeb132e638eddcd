//! Figures per second of one processor, not checks: `cargo test --release -p factfold-sandbox -- --ignored --nocapture speed`.

use std::{sync::LazyLock, time::Instant};

use factfold_sandbox::Language;

use crate::support::{load, output};

/// An order's event, about a kilobyte, as a bound function gets it.
fn order() -> String {
    let line = |i| {
        format!(
            r#"{{"sku":"sku-{i:04}","title":"A thing with a longer name","quantity":{i},"price":{{"amount":"19.90","currency":"EUR"}}}}"#
        )
    };
    let lines: Vec<_> = (0..7).map(line).collect();
    format!(
        r#"{{"type":"OrderPlaced","order":"0190a0e0-0000-7000-8000-000000000001","lines":[{}]}}"#,
        lines.join(",")
    )
}

const ADD_JS: &str = include_str!("../../examples/add.js");
const ADD_PY: &str = include_str!("../../examples/add.py");
const ORDER_JS: &str = "export default (event) => ({ total: event.lines.reduce((sum, line) => sum + line.quantity * line.price.amount, 0), order: event.order, events: [{ type: 'A' }, { type: 'B' }] })";
const ORDER_PY: &str = "def handle(event, context):\n    return {'total': sum(line['quantity'] * float(line['price']['amount']) for line in event['lines']), 'order': event['order']}\n";

/// How long each figure is measured, in seconds of the processor.
const SECONDS: f64 = 2.0;

/// What this thread had of the processor, in seconds: others may want it as well. Elsewhere than on Linux, the time.
fn cpu_seconds() -> f64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds: Option<f64> = told.and_then(|told| told.split(' ').next()?.parse().ok());
    nanoseconds.map_or_else(|| START.elapsed().as_secs_f64(), |nanoseconds| nanoseconds / 1e9)
}

/// How often something can be done in a second of the processor.
async fn rate(mut action: impl AsyncFnMut()) -> f64 {
    let (mut times, started) = (0.0, cpu_seconds());
    loop {
        for _ in 0..10 {
            action().await;
        }
        times += 10.0;
        let seconds = cpu_seconds() - started;
        if seconds > SECONDS {
            return times / seconds;
        }
    }
}

#[tokio::test]
#[ignore = "figures, not checks"]
async fn speed() {
    let order = order();
    for (name, language, code, input) in [
        ("add.js", Language::Javascript, ADD_JS, r#"{"a":1,"b":2}"#),
        ("add.py", Language::Python, ADD_PY, r#"{"a":1,"b":2}"#),
        ("order.js", Language::Javascript, ORDER_JS, order.as_str()),
        ("order.py", Language::Python, ORDER_PY, order.as_str()),
    ] {
        let function = load(language, code).await;
        output(&function, input).await;
        let fresh = rate(async || drop(function.call(input, "{}").await.expect("an answer"))).await;
        let mut kept = function.keep();
        let warm = rate(async || drop(kept.call(input, "{}").await.expect("an answer"))).await;
        let loads = rate(async || drop(load(language, code).await)).await;
        println!("{name}: {fresh:.0} fresh/s, {warm:.0} warm/s, {:.2} ms a load", 1000.0 / loads);
    }
}
