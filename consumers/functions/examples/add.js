// Adds two numbers: {"a": 1, "b": 2} gives {"result": 3}.
export default function (input, context) {
  return { result: number(input, "a") + number(input, "b") };
}

function number(input, name) {
  const value = input?.[name];
  if (value === undefined) throw new Error(`${name} is missing`);
  if (typeof value !== "number") throw new Error(`${name} must be a number, not ${JSON.stringify(value)}`);
  return value;
}
