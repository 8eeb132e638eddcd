// Adds two numbers: {"a": 1, "b": 2} gives {"result": 3}.
interface Sum {
  result: number;
}

export default function (input: Record<string, unknown>, context: unknown): Sum {
  return { result: number(input, "a") + number(input, "b") };
}

function number(input: Record<string, unknown> | null, name: string): number {
  const value = input?.[name];
  if (value === undefined) throw new Error(`${name} is missing`);
  if (typeof value !== "number") throw new Error(`${name} must be a number, not ${JSON.stringify(value)}`);
  return value;
}
