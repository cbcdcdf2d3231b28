"""Turns rows of data sets of Python programs into examples whose tests are programs. Knows columns, no sandbox.

A model answers with a whole program; of HumanEval's questions the header
stands before it, so that the imports and helpers there need not be repeated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from compute.evaluation.tasks.rows import UnusableError
from compute.evaluation.tasks.task import ANSWER, Example

Row = Mapping[str, Any]

WRITE = "Write Python code that solves the task. Answer with the code alone."
COMPLETE = "Complete this Python function. Answer with the whole function, and nothing else."
SNIPPET = "Write one line of Python that does this."
READ_AND_PRINT = (
    "Write a Python program that reads from standard input and prints the answer. Answer with the code alone."
)
FUNCTION = "Write a Python function for this task. Answer with the code alone."

MOST_TESTS = 20
"""How many tests of an APPS problem are used, the first ones."""

MOST_TEXT = 20_000
"""How many characters the inputs and outputs of these tests have together, at most."""

STDIN_PROGRAM = """
import io as _io, sys as _sys

_CASES = {cases!r}

_program = compile(r'''
{answer}
''', "answer.py", "exec")

for _given, _wanted in _CASES:
    _out, _in = _sys.stdout, _sys.stdin
    _sys.stdin, _sys.stdout = _io.TextIOWrapper(_io.BytesIO(_given.encode()), "utf-8"), _io.StringIO()
    try:
        exec(_program, {{"__name__": "__main__", "exit": _sys.exit, "quit": _sys.exit}})
    except SystemExit as _end:
        assert not _end.code, "the program gave up"
    finally:
        _found, _sys.stdout, _sys.stdin = _sys.stdout.getvalue(), _out, _in
    assert _found.split() == _wanted.split(), "a wrong output"
"""
"""Runs the answer once for each case. It stands in a string, since it may end the interpreter: an answer with three
single quotes in a row counts as wrong."""

CALL_PROGRAM = """
{answer}

_CASES = {cases!r}

_function = globals().get({name!r}) or getattr(globals()["Solution"](), {name!r})
for _given, _wanted in _CASES:
    _found = _function(*_given)
    _found = list(_found) if isinstance(_found, tuple) else _found
    assert _found == _wanted or [_found] == _wanted, "a wrong value"
"""


def mbpp(row: Row) -> Example:
    """MBPP: the first test shows the function's name."""
    return _mbpp(row, row["text"], row["test_setup_code"] or "", row["test_list"])


def mbpp_sanitized(row: Row) -> Example:
    """Sanitized MBPP: imports of the tests in a list of their own."""
    return _mbpp(row, row["prompt"], "\n".join(row["test_imports"]), row["test_list"])


def mbpp_plus(row: Row) -> Example:
    """MBPP+: the question of sanitized MBPP, with one program of many tests."""
    return _mbpp(row, row["prompt"], "", [row["test"]], shown=row["test_list"])


def _mbpp(row: Row, question: str, setup: str, tests: Sequence[str], shown: Sequence[str] = ()) -> Example:
    first = next(iter(shown or tests), "")
    prompt = f"{WRITE}\n\n{question.strip()}\nIt must pass this test:\n{first.strip()}"
    program = "\n\n".join([setup, ANSWER, *tests]).strip()
    return Example(str(row["task_id"]), prompt, _unix(row["code"]), tests=program + "\n")


def humaneval(row: Row) -> Example:
    """HumanEval and HumanEval+: a header with a docstring to complete, and a function `check`."""
    header = row["prompt"]
    program = "\n\n".join([header, ANSWER, row["test"], f"check({row['entry_point']})"]).strip()
    target = _unix(header.strip("\n") + "\n" + row["canonical_solution"].strip("\n"))
    return Example(str(row["task_id"]), f"{COMPLETE}\n\n{header.strip()}", target, tests=program + "\n")


def conala(row: Row) -> Example:
    """CoNaLa: a line of code for a question of Stack Overflow, in its rewritten form where there is one."""
    intent = (row["rewritten_intent"] or row["intent"]).strip()
    return Example("", f"{SNIPPET}\n\n{intent}", _unix(row["snippet"]))


def alpaca(row: Row) -> Example:
    """CodeAlpaca: an instruction, perhaps with an input, in any language; only what asks for Python."""
    if not re.search(r"\bpython", row["instruction"] + row["input"], re.IGNORECASE):
        raise UnusableError("not about Python")
    return python_alpaca(row)


def python_alpaca(row: Row) -> Example:
    """Instructions that are all about Python."""
    given = f"\n\nInput:\n{row['input'].strip()}" if (row["input"] or "").strip() else ""
    if not row["output"].strip():
        raise UnusableError("no answer to learn from")
    return Example("", f"{WRITE}\n\n{row['instruction'].strip()}{given}", _unix(row["output"]))


def apps(row: Row) -> Example:
    """APPS: problems of contests; the tests give standard input and output, or a function's arguments and value."""
    cases, solutions = _loaded(row["input_output"]), _loaded(row["solutions"])
    if not cases or not cases.get("inputs") or not solutions:
        raise UnusableError("no solution or no test")
    name = cases.get("fn_name", "")
    chosen = _few(list(zip(cases["inputs"], cases["outputs"], strict=False)))
    given = f"\n\n{row['starter_code'].strip()}" if (row.get("starter_code") or "").strip() else ""
    prompt = f"{FUNCTION if name else READ_AND_PRINT}\n\n{row['question'].strip()}{given}"
    template = CALL_PROGRAM if name else STDIN_PROGRAM
    pairs = chosen if name else [(_text(given), _text(wanted)) for given, wanted in chosen]
    program = template.format(cases=pairs, name=name, answer=ANSWER)
    return Example("", prompt, _unix(solutions[0]), tests=program.lstrip())


def _few(cases: Sequence[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Return the first cases, as long as together they are short."""
    found, length = [], 0
    for case in cases[:MOST_TESTS]:
        length += len(repr(case))
        if length > MOST_TEXT:
            break
        found.append(case)
    if not found:
        raise UnusableError("its tests are too long")
    return found


def _loaded(text: str) -> Any:
    """Read JSON; UnusableError for what is none."""
    try:
        return json.loads(text) if text else None
    except (json.JSONDecodeError, ValueError):
        raise UnusableError("its tests or solutions are not JSON") from None


def _text(value: Any) -> str:
    """Write lines given as a list as one text."""
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n").strip("\n").rstrip()
