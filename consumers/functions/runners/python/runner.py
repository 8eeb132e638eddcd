"""The Python runner: runs one author's source as a module and calls its `handle`.

Every instance serves one author only, so what a function does to the interpreter harms nobody else. A module that is not imported
here, at build time, cannot be imported later: there are no files.
"""

import abc, base64, binascii, bisect, calendar, cmath, collections, collections.abc, contextlib, copy, csv  # noqa: E401, F401
import dataclasses, datetime, decimal, difflib, enum, fnmatch, fractions, functools, graphlib, hashlib, heapq, hmac  # noqa: E401, F401
import html, io, ipaddress, itertools, json, keyword, math, numbers, operator, pprint, random, re, secrets  # noqa: E401, F401
import statistics, string, struct, textwrap, time, traceback, types, typing, unicodedata, urllib.parse, uuid, zlib  # noqa: E401, F401
import encodings.idna, encodings.latin_1, encodings.utf_16  # noqa: E401, F401
import gc
import linecache
import os
import sys

import wit_world
from componentize_py_types import Err

FILE = "function.py"
# How many characters of a line the host is given: it keeps no more of a whole call.
LINE_MAX = 16385


class Console(io.TextIOBase):
    """What the author prints, a line at a time."""

    def __init__(self, level):
        self.level = level
        self.pending = ""

    def writable(self):
        return True

    def write(self, text):
        *lines, self.pending = (self.pending + text).split("\n")
        for line in lines:
            wit_world.log(self.level, line[:LINE_MAX])
        if len(self.pending) >= LINE_MAX:
            self.close_line()
        return len(text)

    def close_line(self):
        if self.pending:
            wit_world.log(self.level, self.pending[:LINE_MAX])
            self.pending = ""


OUT = Console("info")
ERR = Console("warn")

# The author's `handle`: not in a WitWorld, of which every call makes a new one.
handler = None


class WitWorld(wit_world.WitWorld):
    """The exports."""

    def load(self, source):
        global handler
        # Whatever the snapshot holds, no two instances may draw the same numbers. Python's own way takes 2,500 bytes from the host.
        random.seed(int.from_bytes(os.urandom(16)))
        sys.stdout, sys.stderr = OUT, ERR
        module = types.ModuleType("function")
        module.__file__ = FILE
        sys.modules["function"] = module
        linecache.cache[FILE] = (len(source), None, source.splitlines(True), FILE)
        try:
            exec(compile(source, FILE, "exec"), module.__dict__)
        except BaseException as error:
            raise Err(problem(error)) from None
        finally:
            flush()
        handler = getattr(module, "handle", None)
        if not callable(handler):
            raise Err(json_text({"message": "there is no function `handle`: write `def handle(input, context): ...`"}))

    def handle(self, input, context):
        try:
            result = handler(json_value(input), json_value(context))
            return json_text(result)
        except BaseException as error:
            raise Err(problem(error)) from None
        finally:
            flush()


def flush():
    OUT.close_line()
    ERR.close_line()


# Bound now: the author may change the module's.
json_value = json.JSONDecoder().decode
json_text = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def problem(error):
    """What was raised, as the host wants it."""
    name = type(error).__name__
    if isinstance(error, SyntaxError):
        return json_text({"message": f"{name}: {error.msg}", "line": error.lineno, "column": error.offset})
    if isinstance(error, SystemExit):
        return json_text({"message": f"the function ended itself with exit code {error.code}"})
    try:
        text = str(error)
    except Exception:
        text = "its message cannot be shown"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == FILE]
    told = {"message": text if name == "Exception" else f"{name}: {text}" if text else name}
    if frames:
        told["stack"] = "".join(traceback.format_list(frames)).rstrip()
        told["line"] = frames[-1].lineno
        if frames[-1].colno is not None:
            told["column"] = frames[-1].colno + 1
    return json_text(told)


# What is in the snapshot stays for good: a collector that looked at it would have every instance copy those pages.
gc.collect()
gc.freeze()
