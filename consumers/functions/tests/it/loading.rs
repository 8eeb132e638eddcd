//! What is taken, what is refused, and what a function finds around it.

use factfold_sandbox::{Language, Level, Limits, Reason, SOURCE_BYTES_MAX};

use crate::support::{generous, javascript, load, output, python, reason, refused, same, try_load};

#[track_caller]
fn at(refused: &factfold_sandbox::Refused, line: u32, column: u32, says: &str) {
    assert_eq!((refused.line, refused.column), (Some(line), Some(column)), "{refused}");
    assert!(refused.message.contains(says), "{refused}");
}

#[tokio::test]
async fn a_syntax_error_has_a_line_and_a_column() {
    let js =
        refused(Language::Javascript, "export default function (input) {\n  return input.a + ;\n}\n").await;
    at(&js, 2, 20, "SyntaxError");
    let first = refused(Language::Javascript, "export default (input) => input.a + ;").await;
    at(&first, 1, 37, "SyntaxError");
    let ts = refused(Language::Typescript, "let a: string = 'x';\nexport default (input: = 1) => 1;\n").await;
    assert_eq!(ts.line, Some(2), "{ts}");
    assert!(ts.column.is_some(), "{ts}");
    let enumeration = refused(Language::Typescript, "enum A { B }\nexport default () => A.B").await;
    at(&enumeration, 1, 1, "an enum is more than a type");
    let py = refused(Language::Python, "def handle(input, context):\n    return input +\n").await;
    at(&py, 2, 19, "SyntaxError");
}

#[tokio::test]
async fn what_fails_at_the_start_is_refused_where_it_fails() {
    let js = refused(Language::Javascript, "const a = 1;\nnope();\nexport default () => a;\n").await;
    assert_eq!(js.line, Some(2), "{js}");
    assert!(js.message.contains("nope"), "{js}");
    let py = refused(Language::Python, "import math\nimport numpy\n").await;
    assert_eq!(py.line, Some(2), "{py}");
    assert!(py.message.contains("No module named 'numpy'"), "{py}");
    let none = refused(Language::Python, "x = 1\n").await;
    assert!(none.message.contains("def handle(input, context)"), "{none}");
    let number = refused(Language::Javascript, "export default 1").await;
    assert!(number.message.contains("export default function"), "{number}");
    let endless = Limits { time_ms: 300, ..Limits::default() };
    let endless =
        try_load(Language::Javascript, b"for (;;);\nexport default () => 1", endless).await.map(|_| ());
    assert!(endless.as_ref().is_err_and(|refused| refused.message.contains("10000 ms")), "{endless:?}");
}

#[tokio::test]
async fn a_source_of_ten_megabytes_is_refused() {
    for language in [Language::Javascript, Language::Typescript, Language::Python] {
        let refused = refused(language, &" ".repeat(10 << 20)).await;
        assert!(refused.message.contains(&SOURCE_BYTES_MAX.to_string()), "{refused}");
    }
    let wasm = try_load(Language::Component, &vec![0; 40 << 20], generous()).await.map(|_| ());
    assert!(wasm.is_err_and(|refused| refused.message.contains("at most")));
}

#[tokio::test]
async fn an_error_has_the_author_s_lines_in_its_stack() {
    let js = "function inner() {\n  throw new RangeError('no');\n}\nexport default function outer(input) {\n  inner();\n}\n";
    let js = javascript(js).await;
    match reason(&js, "1").await {
        Reason::Thrown { message, stack: Some(stack) } => {
            assert_eq!(message, "RangeError: no");
            let lines: Vec<_> = stack.lines().map(str::trim).collect();
            assert!(lines[0].starts_with("at inner (function:2:"), "{stack}");
            assert!(lines[1].starts_with("at outer (function:5:"), "{stack}");
            assert_eq!(lines.len(), 2, "{stack}");
        }
        other => panic!("{other:?}"),
    }
    let py = python("def inner():\n    raise ValueError('no')\n\ndef handle(input, context):\n    inner()\n")
        .await;
    match reason(&py, "1").await {
        Reason::Thrown { message, stack: Some(stack) } => {
            assert_eq!(message, "ValueError: no");
            assert!(stack.contains("line 5, in handle") && stack.contains("line 2, in inner"), "{stack}");
            assert!(stack.contains("raise ValueError('no')"), "{stack}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_console_is_kept_with_its_levels() {
    let js = "export default () => { console.log('a', 1, { b: [2] }); console.warn('w'); console.error(new Error('e')); }";
    let js = javascript(js).await.call("1", "{}").await.expect("an answer");
    let told: Vec<_> = js.console.iter().map(|line| (line.level, line.text.as_str())).collect();
    assert_eq!(told, [(Level::Info, r#"a 1 {"b":[2]}"#), (Level::Warn, "w"), (Level::Error, "Error: e")]);
    assert_eq!(js.output, "null");

    let py = "import sys\ndef handle(input, context):\n    print('a', 1)\n    print('w', file=sys.stderr, end='')\n";
    let py = python(py).await.call("1", "{}").await.expect("an answer");
    let told: Vec<_> = py.console.iter().map(|line| (line.level, line.text.as_str())).collect();
    assert_eq!(told, [(Level::Info, "a 1"), (Level::Warn, "w")]);
}

#[tokio::test]
async fn input_context_and_output_are_json() {
    let js =
        javascript("export const unused = 1;\nexport default (input, context) => ({ input, context })").await;
    let answer = js.call(r#"{"a":["é","\u0000",1.5,null]}"#, r#"{"id":"x"}"#).await.expect("an answer");
    same(&answer.output, r#"{"input":{"a":["é","\u0000",1.5,null]},"context":{"id":"x"}}"#);
    let py = python("def handle(input, context):\n    return {'input': input, 'context': context}\n").await;
    let answer = py.call(r#"{"a":["é","\u0000",1.5,null]}"#, r#"{"id":"x"}"#).await.expect("an answer");
    same(&answer.output, r#"{"input":{"a":["é","\u0000",1.5,null]},"context":{"id":"x"}}"#);

    let nan = python("def handle(input, context):\n    return float('nan')\n").await;
    assert!(matches!(reason(&nan, "1").await, Reason::Thrown { message, .. } if message.contains("JSON")));
    let promise = javascript("const f = async () => 1; export default () => f()").await;
    assert!(
        matches!(reason(&promise, "1").await, Reason::Thrown { message, .. } if message.contains("promise"))
    );
}

#[tokio::test]
async fn python_has_the_modules_that_authors_expect() {
    let modules = "json math re datetime decimal statistics collections itertools functools random string hashlib uuid \
        textwrap dataclasses typing enum copy time base64 heapq bisect operator fractions urllib.parse csv io";
    let code = format!(
        "import importlib\ndef handle(input, context):\n    return [len(dir(importlib.import_module(m))) > 5 for m in '{modules}'.split()]\n"
    );
    let found = output(&python(&code).await, "1").await;
    assert!(!found.contains("false"), "{found}");
    let code = "import hashlib, uuid, datetime, zlib\ndef handle(input, context):\n    return [hashlib.sha256(b'').hexdigest()[:8], len(str(uuid.uuid4())), datetime.datetime.now().year > 2024, len(zlib.compress(b'a' * 1000)) < 100]\n";
    assert_eq!(output(&python(code).await, "1").await, r#"["e3b0c442",36,true,true]"#);
}

#[tokio::test]
async fn random_numbers_differ_between_instances() {
    let js = javascript("export default () => Math.random()").await;
    assert_ne!(output(&js, "1").await, output(&js, "1").await);
    let py = python(
        "import random, uuid\ndef handle(input, context):\n    return [random.random(), str(uuid.uuid4())]\n",
    )
    .await;
    assert_ne!(output(&py, "1").await, output(&py, "1").await);
    let numbers = javascript("export default () => Array.from({ length: 1000 }, Math.random)").await;
    let numbers: Vec<f64> = serde_json::from_str(&output(&numbers, "1").await).expect("numbers");
    assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
    let mean = numbers.iter().sum::<f64>() / 1000.0;
    assert!((0.4..0.6).contains(&mean), "{mean}");
}

#[tokio::test]
async fn the_clock_is_right() {
    let before =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time").as_secs_f64();
    for (language, code) in [
        (Language::Javascript, "export default () => Date.now() / 1000"),
        (Language::Python, "import time\ndef handle(input, context):\n    return time.time()\n"),
    ] {
        let now: f64 = output(&load(language, code).await, "1").await.parse().expect("a number");
        assert!((before - 1.0..before + 60.0).contains(&now), "{language}: {now}, not {before}");
    }
}

#[tokio::test]
async fn typescript_of_many_kinds_runs() {
    let code = r#"
import type { Nothing } from "./nowhere";
export type Order = { id: string; lines: readonly Line[] };
interface Line { sku: string; price: number; quantity?: number }
declare global { interface Array<T> { sum(): T } }
type Handler<T, R = unknown> = (input: T, context?: Context) => R;
abstract class Base<T extends object> {
  protected readonly items: Map<string, T> = new Map<string, T>();
  static #count = 0;
  declare marker: symbol;
  private extra?: number
  definite!: string
  constructor(public_: string, protected_?: T) { this.definite = public_; Base.#count++; }
  abstract total(this: Base<T>): number;
  get size(): number { return this.items.size as number; }
  add(key: string, item: T): this;
  add(key: string, item: T, again?: boolean): this { this.items.set(key, item); return this; }
  static get count(): number { return Base.#count }
  *[Symbol.iterator](): IterableIterator<T> { yield* this.items.values(); }
}
class Cart extends Base<Line> implements Iterable<Line> {
  override total(): number {
    let sum = 0;
    for (const line of this as Iterable<Line>) sum += line.price * (line.quantity ?? 1);
    return sum;
  }
}
function isLine(value: unknown): value is Line { return typeof (value as Line)?.sku === "string" }
function assertLine(value: unknown): asserts value is Line { if (!isLine(value)) throw new Error(`not a line: ${JSON.stringify(value)}`) }
const twice = <T,>(f: (value: T) => T) => (value: T): T => f(f(value));
const long = (
  value: number,
): {
  value: number;
} => ({ value });
const tuple = [1, "a"] as const satisfies readonly [number, string];
let u: number | undefined, v!: string;
const text = `${(1 as number) + 1}<b>` as string
;[u, v] = [1, "x"];
const less = (a: number, b: number) => a < b && b > a;
label: for (let i: number = 0; ; i++) { if (i > 2) break label }
const handler: Handler<Order, object> = (order: Order, context?: Context) => {
  const cart = new Cart("cart");
  order.lines.forEach((line: Line, index): void => { assertLine(line); cart.add(line.sku!, line) });
  const last = order.lines.at(-1)!;
  return { total: cart.total(), size: cart.size, twice: twice<number>((n) => n * 2)(3), long: long(4).value, tuple, u, v, text,
    less: less(1, 2), last: last.sku!.length, count: Cart.count, regex: /a<b>/g.test("a<b>"), generic: new Set<number>([1, 1]).size };
};
interface Context { id: string }
export { handler as default, type Line as Exported };
"#;
    let function = load(Language::Typescript, code).await;
    let input = r#"{"id":"1","lines":[{"sku":"a","price":2,"quantity":3},{"sku":"bcd","price":1}]}"#;
    same(
        &output(&function, input).await,
        r#"{"total":7,"size":2,"twice":12,"long":4,"tuple":[1,"a"],"u":1,"v":"x","text":"2<b>","less":true,"last":3,"count":1,"regex":true,"generic":1}"#,
    );
    match reason(&function, r#"{"id":"1","lines":[{"price":2}]}"#).await {
        Reason::Thrown { message, stack: Some(stack) } => {
            assert!(message.starts_with("not a line"), "{message}");
            assert!(stack.contains("assertLine (function:29:"), "{stack}");
        }
        other => panic!("{other:?}"),
    }
}
