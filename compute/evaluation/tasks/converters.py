"""Turns the rows of public data sets into examples: one small function a layout. Knows columns, no file and no split.

Questions keep their own words; the line that says how to answer is ours, the same for all tasks of a kind. Numbers
are written after "####", as GSM8K does, and formulas in a box, as MATH does. Questions with lettered choices show them
and are answered by the letter; where the answer goes on with the question (PIQA, OpenBookQA) the texts themselves are
compared.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from compute.evaluation.tasks import code_converters as code
from compute.evaluation.tasks.rows import Converter, UnusableError
from compute.evaluation.tasks.task import Example

Row = Mapping[str, Any]

SOLVE = 'Solve the problem. End with "#### " and the answer as a number.'
BOXED = r"Solve the problem. Write the answer as \boxed{answer}."
CHOOSE = "Answer with the letter of the right choice."

LETTERS = "ABCDEFGH"


def number(text: object) -> str:
    """Write a number plainly, without currency, commas or a trailing ".0"; UnusableError if it is none."""
    plain = str(text).strip().rstrip(".").replace(",", "").replace("$", "").replace("%", "").strip()
    if not re.fullmatch(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", plain):
        raise UnusableError("the answer is not one number")
    value = float(plain)
    if value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return repr(value)


def numeric(question: str, working: str, answer: object) -> Example:
    """Ask for a number, with the working that leads to it."""
    result = f"#### {number(answer)}"
    return Example("", f"{SOLVE}\n\n{question.strip()}", f"{working.strip()}\n{result}" if working.strip() else result)


def lettered(question: str, choices: Sequence[str], answer: int) -> Example:
    """Ask for the letter of one of *choices*, of which the one at the place *answer* is right."""
    if not 0 <= answer < len(choices) <= len(LETTERS):
        raise UnusableError("no choice is marked as right")
    listed = "\n".join(f"{letter}. {text.strip()}" for letter, text in zip(LETTERS, choices, strict=False))
    prompt = f"{CHOOSE}\n\n{question.strip()}\n{listed}"
    return Example("", prompt, LETTERS[answer], tuple(LETTERS[: len(choices)]), answer)


def worded(prompt: str, choices: Sequence[str], answer: int) -> Example:
    """Ask for a text, of *choices* that are not shown."""
    if not 0 <= answer < len(choices):
        raise UnusableError("no choice is marked as right")
    texts = tuple(choice.strip() for choice in choices)
    return Example("", prompt, texts[answer], texts, answer)


def gsm8k(row: Row) -> Example:
    """GSM8K: a worked answer that ends in "#### n"; its calculator notes <<…>> are left out."""
    working, _, answer = row["answer"].rpartition("####")
    return numeric(row["question"], re.sub(r"<<[^>]*>>", "", working), answer)


def gsm_hard(row: Row) -> Example:
    """GSM-Hard: GSM8K's test with large numbers; the program that computes the answer is no text to learn from."""
    return numeric(row["input"], "", row["target"])


def svamp(row: Row) -> Example:
    """SVAMP: one operation, whose equation is the working."""
    return numeric(row["question_concat"], row.get("Equation") or "", row["Answer"])


def multiarith(row: Row) -> Example:
    """MultiArith: several operations, of which only the result is given."""
    return numeric(row["question"], "", row["final_ans"])


def asdiv(row: Row) -> Example:
    """ASDiv: the unit stands after the number, in brackets; the formula is the working."""
    return numeric(f"{row['body']} {row['question']}", row["formula"], re.sub(r"\(.*\)", "", row["answer"]))


def hendrycks_math(row: Row) -> Example:
    r"""MATH: a solution with its answer in \boxed{…}, which may be any formula."""
    if not boxed(row["solution"]):
        raise UnusableError("the solution boxes no answer")
    return Example("", f"{BOXED}\n\n{row['problem'].strip()}", row["solution"].strip())


def boxed(solution: str) -> str:
    r"""Return what stands in the last \boxed{…}, whose braces may be nested; "" without one, or without its end."""
    start, depth = solution.rfind("\\boxed{"), 0
    for end in range(start + 6, len(solution) if start >= 0 else 0):
        depth += {"{": 1, "}": -1}.get(solution[end], 0)
        if depth == 0:
            return solution[start + 7 : end].strip()
    return ""


def math_qa(row: Row) -> Example:
    """MathQA: five choices in one string, as "a ) 24 , b ) 120"."""
    choices = [text.strip("[]'\", ") for text in re.split(r"\b[a-e] \) ", row["options"])[1:]]
    return lettered(row["Problem"], choices, "abcde".find(row["correct"].strip()))


def arc(row: Row) -> Example:
    """ARC and QASC: texts with labels, which are letters or digits."""
    labels = list(row["choices"]["label"])
    return lettered(row["question"], row["choices"]["text"], _index(labels, row["answerKey"]))


def openbookqa(row: Row) -> Example:
    """OpenBookQA: the choice completes the stem, so the texts are compared."""
    labels = list(row["choices"]["label"])
    return worded(row["question_stem"].strip(), row["choices"]["text"], _index(labels, row["answerKey"].strip()))


def sciq(row: Row) -> Example:
    """SciQ: the right answer and three wrong ones, in the order of the alphabet, which says nothing of which it is."""
    right = row["correct_answer"]
    choices = sorted([right, *(row[f"distractor{i}"] for i in (1, 2, 3))])
    return lettered(row["question"], choices, choices.index(right))


def piqa(row: Row) -> Example:
    """PIQA: two ways to reach a goal, whose texts are compared."""
    return worded(f"How is this done? {row['goal'].strip()}", [row["sol1"], row["sol2"]], int(row["label"]))


def medmcqa(row: Row) -> Example:
    """MedMCQA: the columns opa to opd; cop counts from 0."""
    return lettered(row["question"], [row[f"op{letter}"] for letter in "abcd"], int(row["cop"]))


def medqa(row: Row) -> Example:
    """MedQA with four options: sent1 and sent2 ask, ending0 to ending3 answer."""
    question = f"{row['sent1']} {row.get('sent2') or ''}"
    return lettered(question, [row[f"ending{i}"] for i in range(4)], int(row["label"]))


def mmlu(row: Row) -> Example:
    """MMLU: four choices and the place of the right one."""
    return lettered(row["question"], row["choices"], int(row["answer"]))


def _index(labels: list[str], label: str) -> int:
    return labels.index(label) if label in labels else -1


CONVERTERS: Mapping[str, tuple[Converter, tuple[str, ...]]] = {
    "gsm8k": (gsm8k, ("question", "answer")),
    "gsm_hard": (gsm_hard, ("input", "target")),
    "svamp": (svamp, ("question_concat", "Answer")),
    "multiarith": (multiarith, ("question", "final_ans")),
    "asdiv": (asdiv, ("body", "question", "answer", "formula")),
    "hendrycks_math": (hendrycks_math, ("problem", "level", "solution")),
    "math_qa": (math_qa, ("Problem", "options", "correct")),
    "mbpp": (code.mbpp, ("task_id", "text", "code", "test_list", "test_setup_code")),
    "mbpp_sanitized": (code.mbpp_sanitized, ("task_id", "prompt", "code", "test_imports", "test_list")),
    "mbpp_plus": (code.mbpp_plus, ("task_id", "prompt", "code", "test_list", "test")),
    "humaneval": (code.humaneval, ("task_id", "prompt", "canonical_solution", "test", "entry_point")),
    "conala": (code.conala, ("intent", "rewritten_intent", "snippet")),
    "apps": (code.apps, ("difficulty", "question", "solutions", "input_output")),
    "alpaca": (code.alpaca, ("instruction", "input", "output")),
    "python_alpaca": (code.python_alpaca, ("instruction", "input", "output")),
    "arc": (arc, ("question", "choices", "answerKey")),
    "openbookqa": (openbookqa, ("question_stem", "choices", "answerKey")),
    "sciq": (sciq, ("question", "correct_answer", "distractor1", "distractor2", "distractor3")),
    "piqa": (piqa, ("goal", "sol1", "sol2", "label")),
    "medmcqa": (medmcqa, ("question", "opa", "opb", "opc", "opd", "cop")),
    "medqa": (medqa, ("sent1", "ending0", "ending1", "ending2", "ending3", "label")),
    "mmlu": (mmlu, ("question", "choices", "answer")),
}
"""How the rows of a layout are read, and the columns that they must have, by the layout's name."""
