"""Takes the program out of a written answer and judges it by its tests; string match is kept beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from compute.errors import UsageError
from compute.evaluation.answers import sandbox
from compute.evaluation.answers.limits import DEFAULT, Limits
from compute.evaluation.answers.sandbox import Outcome
from compute.evaluation.tasks.task import ANSWER

STOPS = ("\n```", "\nassert ", "\n[DONE]", "\n### ", "<|")
"""Where an answer without a fence ends: there its own tests or the next question begin. What it prints stays, as that
may be its purpose."""

_FENCE = re.compile(r"^[ \t]*```([^\n`]*)\n(.*?)(^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
_NUMPY = re.compile(r"^\s*(?:import|from)\s+numpy\b", re.MULTILINE)


def program(answer: str) -> str:
    """Return the program in *answer*: the first fenced block if there is one, else the text up to the first stop.

    A fence that is never closed goes to the end; one that names no language after some text closes what the prompt
    has opened. Indentation stays: the answer may be a function's body.
    """
    fenced = _FENCE.search(answer)
    if fenced and (fenced[1].strip() or fenced[3] or not answer[: fenced.start()].strip()):
        return fenced[2].rstrip()
    stop = min((place for each in STOPS if (place := answer.find(each)) >= 0), default=len(answer))
    return answer[:stop].strip("\n").rstrip()


def judge(
    answers: Sequence[str], tests: Sequence[str], *, limits: Limits = DEFAULT, at_once: int = 1
) -> list[Outcome | None]:
    """Run the tests of each of *answers*, at most *at_once* at a time; None for an answer without a program.

    *tests* are programs that mark the answer's place. One is passed if it comes to its end: see
    compute.evaluation.answers.sandbox. NumPy is there for programs that import it. UsageError for a test that has no
    place for an answer, and where nothing would keep programs in.
    """
    bare = next((place for place, test in enumerate(tests) if ANSWER not in test), None)
    if bare is not None:
        raise UsageError(f"test {bare} cannot judge an answer: it has no place for it; write {ANSWER} where it belongs")

    def one(pair: tuple[str, str]) -> Outcome | None:
        found = program(pair[0])
        if not found.strip():
            return None
        whole = pair[1].replace(ANSWER, found)
        return sandbox.run(whole, limits, libraries=["numpy"] if _NUMPY.search(whole) else [])

    with ThreadPoolExecutor(max_workers=max(1, at_once)) as pool:
        return list(pool.map(one, zip(answers, tests, strict=True)))


def same_string(answer: str, reference: str) -> bool:
    """Say whether the program in *answer* has the *reference* program in it, white space apart.

    The document judges programs by "string/span matching against reference code" and says no more of how; this is our
    reading of it. It is no measure of whether a program works: it is kept to compare with the document alone.
    """
    wanted, found = (" ".join(program(text).split()) for text in (reference, answer))
    return bool(wanted) and wanted in found
