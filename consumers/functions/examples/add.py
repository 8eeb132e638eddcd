"""Adds two numbers: {"a": 1, "b": 2} gives {"result": 3}."""


def handle(input, context):
    return {"result": number(input, "a") + number(input, "b")}


def number(input, name):
    if not isinstance(input, dict) or name not in input:
        raise Exception(f"{name} is missing")
    value = input[name]
    # True and False are numbers to Python, not to JSON.
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Exception(f"{name} must be a number, not {value!r}")
    return value
