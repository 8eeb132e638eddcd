// The JavaScript runner: evaluates one author's source and calls its default export.
//
// `load` gets the source as the host rewrote it: a function's body that puts the default export into `__x.default`. Every
// instance serves one author only, so what a function does to the globals harms nobody else. What the host is told never goes
// through a global that the author can change.
import random from "wasi:random/random@0.2.0";

const host_log = globalThis.log;
for (const name of ["log", "wit", "__cqjs", "StreamReadable", "StreamWritable", "FutureReadable", "FutureWritable"]) {
  delete globalThis[name];
}

const { parse, stringify } = JSON;
const { apply, getPrototypeOf } = Reflect;
const evaluate = globalThis.eval;
const indirect = (source) => (0, evaluate)(source);
const AnyError = Error;
const Text = String;
// How many characters of a line the host is given: it keeps no more of a whole call.
const line_max = 16385;
const lines_of_prefix = 1;
const prefix = '(function (__x) { "use strict";\n';
const suffix = "\n})";

let handler;

export function load(source) {
  seed();
  const exports = { default: undefined };
  try {
    const body = indirect(prefix + source + suffix);
    apply(body, undefined, [exports]);
  } catch (error) {
    throw problem(error);
  }
  if (typeof exports.default !== "function") {
    throw problem(new TypeError("the default export is not a function: write `export default function (input, context) { ... }`"));
  }
  handler = exports.default;
}

export function handle(input, context) {
  let output;
  try {
    const result = handler(parse(input), parse(context));
    if (result !== null && typeof result === "object" && typeof result.then === "function") {
      throw new TypeError("the function returned a promise: nothing here is asynchronous, so write it without async and await");
    }
    output = stringify(result);
  } catch (error) {
    throw problem(error);
  }
  return output === undefined ? "null" : output;
}

// What was thrown, as the host wants it. Whatever that is: an error's own getters may throw as well.
function problem(error) {
  try {
    if (error instanceof AnyError) {
      const stack = place(Text(error.stack ?? ""));
      const name = Text(error.name);
      const message = Text(error.message);
      const at = /:(\d+):(\d+)/.exec(stack);
      return stringify({
        message: name === "Error" ? message : message === "" ? name : `${name}: ${message}`,
        stack: stack === "" ? undefined : stack,
        line: at ? Number(at[1]) : undefined,
        column: at ? Number(at[2]) : undefined,
      });
    }
    return stringify({ message: show(error) });
  } catch {
    return '{"message":"something was thrown that cannot be shown"}';
  }
}

// A stack in the author's lines: without the runner's own frames, and without the line that the prefix takes.
function place(stack) {
  const frames = [];
  for (const frame of stack.split("\n")) {
    const at = /^(.*?)\(?<input>:(\d+)(?::(\d+))?\)?$/.exec(frame);
    if (at) {
      const line = Number(at[2]) - lines_of_prefix;
      frames.push(`${at[1].replace("<eval>", "top level")}(function:${line}${at[3] ? `:${at[3]}` : ""})`);
    } else if (frame.includes("(native)") && frames.length > 0) {
      frames.push(frame);
    }
  }
  while (frames.length > 0 && frames[frames.length - 1].includes("(native)")) frames.pop();
  return frames.join("\n");
}

// How the console shows a value.
function show(value) {
  if (typeof value === "string") return value;
  if (typeof value === "function") return `[function ${value.name || "(anonymous)"}]`;
  if (value instanceof AnyError) return `${value.name}: ${value.message}`;
  if (typeof value === "object" && value !== null) {
    try {
      return stringify(value, (_, inner) => (typeof inner === "bigint" ? `${inner}n` : inner)) ?? Text(value);
    } catch {
      return Text(value);
    }
  }
  return typeof value === "bigint" ? `${value}n` : Text(value);
}

const say = (level) => (...values) => host_log(level, values.map(show).join(" ").slice(0, line_max));
globalThis.console = {
  debug: say("debug"),
  trace: say("debug"),
  log: say("info"),
  info: say("info"),
  warn: say("warn"),
  error: say("error"),
  assert: (condition, ...values) => condition || say("error")("Assertion failed:", ...values),
};

// The generator in the snapshot starts alike in every instance. This one (sfc32) starts with what the host's gives.
let a = 0, b = 0, c = 0, counter = 1;
function seed() {
  [a, b] = words();
  [c] = words();
  counter = 1;
  for (let i = 0; i < 12; i += 1) next();
}

function words() {
  const word = BigInt(random.getRandomU64());
  return [Number(word & 0xffffffffn) | 0, Number((word >> 32n) & 0xffffffffn) | 0];
}

function next() {
  const sum = (((a + b) | 0) + counter) | 0;
  counter = (counter + 1) | 0;
  a = b ^ (b >>> 9);
  b = (c + (c << 3)) | 0;
  c = (c << 21) | (c >>> 11);
  c = (c + sum) | 0;
  return sum >>> 0;
}

Math.random = () => ((next() >>> 5) * 67108864 + (next() >>> 6)) / 9007199254740992;
