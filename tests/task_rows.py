"""Small data sets with the columns and files of those that the catalogue names, to read and to serve from a hub."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Splits = dict[str, list[Row]]

LETTERS = "ABCD"
TWICE = "def twice(x):\n    return x + x\n"


def many(make: Callable[[int], Row], **counts: int) -> Splits:
    """Make rows for each split; no two are the same."""
    start, found = 0, {}
    for split, count in counts.items():
        found[split] = [make(number) for number in range(start, start + count)]
        start += count
    return found


def gsm8k(n: int) -> Row:
    return {
        "question": f"Ann has {n} nuts and finds 2 more. How many are there?",
        "answer": f"She has {n} + 2 = <<{n}+2={n + 2}>>{n + 2} nuts.\n#### {n + 2}",
    }


def svamp(n: int) -> Row:
    return {
        "ID": f"chal-{n}",
        "question_concat": f"A shelf has {n} cups. 3 fall. How many stay?",
        "Equation": f"( {n}.0 - 3.0 )",
        "Answer": f"{n - 3}.0",
    }


def asdiv(n: int) -> Row:
    return {
        "body": f"{n} red hens meet 4 white ones.",
        "question": "How many hens are there?",
        "solution_type": "Addition",
        "answer": f"{n + 4} (hens)" if n else "3:4 (ratio)",
        "formula": f"{n}+4={n + 4}",
    }


def math(n: int) -> Row:
    return {
        "problem": f"What is $x$ if $x - {n} = 1{n:03}$?",
        "level": f"Level {n % 5 + 1}",
        "type": "Algebra",
        "solution": f"We add ${n}$ on both sides, and find $x = \\boxed{{{1000 + 2 * n:,}}}$."
        if n != 5
        else r"It is $\boxed{\frac{1}{2}}$.",
    }


def math_qa(n: int) -> Row:
    return {
        "Problem": f"what is {n} times 2 ?",
        "options": f"a ) {2 * n} , b ) {2 * n + 1} , c ) 1,000 , d ) none , e ) {n}",
        "correct": "a",
    }


def mbpp(n: int) -> Row:
    return {
        "task_id": n,
        "text": f"Write a function to return {n} more than twice a number.",
        "code": f"def more_{n}(x):\r\n    return 2 * x + {n}",
        "test_list": [f"assert more_{n}(1) == {n + 2}", f"assert more_{n}(0) == {n}"],
        "test_setup_code": "",
        "challenge_test_list": [],
    }


def sanitized(n: int) -> Row:
    row = mbpp(n)
    return {
        "source_file": "made.json",
        "task_id": n,
        "prompt": row["text"],
        "code": row["code"],
        "test_imports": ["import math"],
        "test_list": row["test_list"],
    }


def mbpp_plus(n: int) -> Row:
    test = (
        "import numpy as np\nfrom math import inf\n\n"
        f"for x, wanted in [(1, {n}.0 + 2), (0, {n})]:\n"
        f"    np.testing.assert_allclose(more_{n}(x), wanted, atol=1e-6)\n"
    )
    return {**sanitized(n), "test": test}


def humaneval(n: int) -> Row:
    name = f"plus_{n}"
    return {
        "task_id": f"HumanEval/{n}",
        "prompt": f'from typing import List\n\n\ndef {name}(x: int) -> List[int]:\n    """ Return [x + {n}]. """\n',
        "canonical_solution": f"    return [x + {n}]\n",
        "test": f"def check(candidate):\n    assert candidate(1) == [{n + 1}]\n",
        "entry_point": name,
    }


def conala(n: int) -> Row:
    return {
        "question_id": n,
        "intent": f"how to get item {n} of a list?",
        "rewritten_intent": f"Get item {n} of list `a`" if n % 2 else None,
        "snippet": f"a[{n}]",
    }


def apps(n: int) -> Row:
    by_name = {"fn_name": "twice", "inputs": [[n], ["a"]], "outputs": [2 * n, ["aa"]]}
    by_stream = {"inputs": [f"{n}\n1\n", "3\n4"], "outputs": [f"{n + 1}\n", "7"]}
    return {
        "problem_id": n,
        "question": f"Problem {n}: " + ("double the argument." if n % 2 else "add two lines."),
        "solutions": json.dumps([TWICE if n % 2 else "a = int(input())\nb = int(input())\nprint(a + b)\nexit()\n"]),
        "input_output": json.dumps(by_name if n % 2 else by_stream),
        "difficulty": "introductory" if n % 4 < 2 else "interview",
        "url": "",
        "starter_code": "",
    }


def alpaca(n: int) -> Row:
    language = "Python" if n % 2 else "Rust"
    return {"instruction": f"Print {n} in {language}.", "input": "", "output": f"print({n})"}


def arc(n: int) -> Row:
    labels = list(LETTERS) if n % 2 else list("1234")
    return {
        "id": f"q{n}",
        "question": f"Which planet number {n} is red?",
        "choices": {"text": ["Venus", "Mars", "Earth", "Saturn"], "label": labels},
        "answerKey": labels[1],
    }


def openbookqa(n: int) -> Row:
    row = arc(n)
    return {
        "id": row["id"],
        "question_stem": f"The {n}th red planet is",
        "choices": row["choices"],
        "answerKey": row["answerKey"],
    }


def sciq(n: int) -> Row:
    wrong = {f"distractor{i}": f"thing {n}.{i}" for i in (1, 2, 3)}
    return {"question": f"What is thing {n}?", **wrong, "correct_answer": f"the thing {n}", "support": "It is known."}


def piqa(n: int) -> Row:
    return {"goal": f"open box {n}", "sol1": "pull the lid", "sol2": "push the lid", "label": n % 2}


def medmcqa(n: int) -> Row:
    options = {f"op{letter}": f"drug {letter}{n}" for letter in "abcd"}
    return {"id": f"m{n}", "question": f"What treats fever {n}?", **options, "cop": n % 4}


def medqa(n: int) -> Row:
    endings = {f"ending{i}": f"cause {i}" for i in range(4)}
    return {"id": f"train-{n}", "sent1": f"A patient of {n} years coughs. Why?", "sent2": "", **endings, "label": n % 4}


def mmlu(n: int) -> Row:
    return {
        "question": f"How many atoms has molecule {n}?",
        "subject": "chemistry",
        "choices": ["1", "2", "3", "4"],
        "answer": n % 4,
    }


def numbered(make: Callable[[int], Row], **spans: range) -> Splits:
    """Make rows with given numbers for each split."""
    return {split: [make(number) for number in span] for split, span in spans.items()}


MATH = ("algebra", "counting_and_probability", "prealgebra", "number_theory")
MMLU = ("high_school_biology", "high_school_chemistry", "high_school_physics", "astronomy")
TRAIN_TEST = {"train": 4, "test": 3}
TRAIN_VALIDATION = {"train": 4, "validation": 3}

DATA: Mapping[str, Mapping[str, Splits]] = {
    "openai/gsm8k": {"main": many(gsm8k, **TRAIN_TEST)},
    "ChilleD/SVAMP": {"": many(svamp, **TRAIN_TEST)},
    "ChilleD/MultiArith": {
        "": many(lambda n: {"question": f"Is {n} plus 1 many? How many?", "final_ans": str(n + 1)}, **TRAIN_TEST)
    },
    "EleutherAI/asdiv": {"asdiv": many(asdiv, validation=20)},
    "EleutherAI/hendrycks_math": {config: many(math, train=10, test=10) for config in MATH},
    "regisss/math_qa": {"": many(math_qa, **TRAIN_TEST)},
    "reasoning-machines/gsm-hard": {
        "": many(
            lambda n: {"input": f"Ann has {n}777777 nuts. How many?", "code": "…", "target": n * 1e7 + 777777},
            train=20,
        )
    },
    "google-research-datasets/mbpp": {
        "full": numbered(mbpp, train=range(601, 605), validation=range(511, 514)),
        "sanitized": numbered(sanitized, train=range(602, 605), validation=range(512, 514)),
    },
    "openai/openai_humaneval": {"openai_humaneval": numbered(humaneval, test=range(164))},
    "neulab/conala": {"": many(conala, **TRAIN_TEST)},
    "codeparrot/apps": {"": many(apps, train=8, test=8)},
    "sahil2801/CodeAlpaca-20k": {"": many(alpaca, train=8)},
    "iamtarun/python_code_instructions_18k_alpaca": {"": many(alpaca, train=4)},
    "evalplus/humanevalplus": {"": numbered(humaneval, test=range(164))},
    "evalplus/mbppplus": {"": numbered(mbpp_plus, test=range(590, 605))},
    "allenai/ai2_arc": {config: many(arc, **TRAIN_TEST) for config in ("ARC-Easy", "ARC-Challenge")},
    "allenai/sciq": {"": many(sciq, **TRAIN_TEST)},
    "allenai/openbookqa": {"main": many(openbookqa, **TRAIN_TEST)},
    "allenai/qasc": {"": many(arc, **TRAIN_VALIDATION)},
    "baber/piqa": {"": many(piqa, **TRAIN_VALIDATION)},
    "openlifescienceai/medmcqa": {"": many(medmcqa, **TRAIN_VALIDATION)},
    "GBaker/MedQA-USMLE-4-options-hf": {"": many(medqa, **TRAIN_TEST)},
    "cais/mmlu": {
        **{config: many(mmlu, test=20) for config in MMLU},
        "college_chemistry": many(mmlu, dev=2, validation=3, test=10),
    },
}
"""Rows by repository, config and split."""

DATA["evalplus/mbppplus"][""]["test"].extend(mbpp_plus(n) for n in range(11, 31))

SCRIPTS = {"neulab/conala": "data/conala-paired-{split}.json", "codeparrot/apps": "{split}.jsonl"}
"""Repositories with a script that is not run any more, and the names of their data files."""

BARE = ("baber/piqa", "sahil2801/CodeAlpaca-20k", "GBaker/MedQA-USMLE-4-options-hf")
"""Repositories whose card lists no files."""


def publish(root: Path, repo: str) -> None:
    """Lay out a data set as the hub has it, at its main branch."""
    folder = root / "datasets" / repo / "main"
    folder.mkdir(parents=True)
    if repo in SCRIPTS:
        (folder / f"{repo.split('/')[1]}.py").write_text("raise SystemExit('never run')\n", encoding="utf-8")
    configs = []
    for config, splits in DATA[repo].items():
        files = [{"split": split, "path": _write(folder, repo, config, split, splits[split])} for split in splits]
        configs.append({"config_name": config or "default", "data_files": files})
    listed = "" if repo in (*SCRIPTS, *BARE) else f"configs: {json.dumps(configs)}\n"
    if repo != "baber/piqa":
        (folder / "README.md").write_text(f"---\nlicense: mit\n{listed}---\n", encoding="utf-8")


def _write(folder: Path, repo: str, config: str, split: str, rows: list[Row]) -> str:
    if repo in SCRIPTS or repo in BARE[1:]:
        name = SCRIPTS.get(repo, "{split}.json").format(split=split)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        return name
    import pyarrow
    from pyarrow import parquet

    name = f"piqa_{split}.parquet" if repo in BARE else f"{config or 'data'}/{split}-00000-of-00001.parquet"
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), folder / name)
    return name
