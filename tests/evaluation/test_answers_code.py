from __future__ import annotations

import pytest

from compute.errors import UsageError
from compute.evaluation.answers.code import judge, program, same_string
from compute.evaluation.tasks.task import ANSWER

BODY = "def double(x):\n    return 2 * x"
TEST = f"{ANSWER}\n\nassert double(4) == 8\n"


@pytest.mark.parametrize(
    "answer",
    [
        BODY,
        f"\n\n{BODY}\n\n",
        f"Sure:\n```python\n{BODY}\n```\nIt doubles.\n```\nother\n```",
        f"```\n{BODY}\n```",
        f"```py\n{BODY}",
        f"{BODY}\nassert double(1) == 3",
        f"{BODY}\n```\nThis doubles.",
        f"{BODY}<|im_end|>",
        f"{BODY}\n[DONE]\nmore",
    ],
)
def test_the_program_is_taken_out_of_its_answer(answer: str) -> None:
    assert program(answer) == BODY


def test_a_body_keeps_its_indentation_and_a_program_what_it_prints() -> None:
    assert program("    return 2 * x\n") == "    return 2 * x"
    assert program("x = int(input())\nprint(x)") == "x = int(input())\nprint(x)"


def test_programs_are_judged_by_their_tests_in_their_order() -> None:
    answers = [BODY, "def double(x):\n    return x", "", f"```python\n{BODY}\n```", "import sys\nsys.exit(0)"]
    found = judge(answers, [TEST] * 5, at_once=2)
    assert [end and end.reason for end in found] == ["passed", "failed", None, "passed", "unfinished"]
    assert [end.reason for end in judge(answers[:2], [TEST] * 2) if end] == ["passed", "failed"]
    assert judge([], []) == []


def test_an_answer_completes_what_stands_before_it() -> None:
    header = 'def double(x):\n    """Double it."""\n'
    test = f"{header}{ANSWER}\n\nassert double(4) == 8"
    assert [end.ok for end in judge(["    return 2 * x", BODY], [test, test]) if end] == [True, True]


def test_numpy_is_there_for_who_asks() -> None:
    (found,) = judge(["import numpy as np\ndef double(x):\n    return np.multiply(x, 2)"], [TEST])
    assert found is not None
    assert found.output == ""
    assert found.ok


def test_an_answer_cannot_put_itself_in_twice() -> None:
    (found,) = judge([f"text = '{ANSWER}'\n{BODY}"], [f"{TEST}\nassert text == '{{{{' + 'answer' + '}}}}'"])
    assert found is not None
    assert found.ok


def test_a_test_without_a_place_is_refused() -> None:
    with pytest.raises(UsageError, match="test 1 cannot judge an answer"):
        judge([BODY, BODY], [TEST, "assert True"])


def test_the_string_match_ignores_white_space_and_what_surrounds() -> None:
    assert same_string(f"```python\nimport math\n{BODY}\n```", BODY)
    assert same_string("def double(x):\n\n\treturn  2 * x", BODY)
    assert not same_string("def double(x):\n    return x + x", BODY)
    assert not same_string(BODY, "")
    assert not same_string("", BODY)
