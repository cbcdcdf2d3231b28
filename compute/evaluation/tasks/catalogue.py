"""The tasks of the source document as data: where their rows come from, how they are split and judged. Reads nothing.

Splits are the data sets' own where these have what is needed, else by a hash of the question. Two choices differ from
the document, since its numbers cannot be trusted there: ARC-Challenge and college chemistry are measured on their test
splits (not on 299 and 8 questions for validation), and no problem is measured that an anchor trains on. HumanEval+ is
HumanEval with more tests: of problems 0 to 81 the anchor trains on the even ones and HumanEval+ on the odd ones, since
adapters of the same data would be the same; HumanEval+ is measured on 82 to 163. MBPP+ has problems of MBPP, of which
anchors train on 601 to 974.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from compute.errors import UsageError, unknown
from compute.evaluation.tasks.hub_task import HubTask, Part, Where
from compute.evaluation.tasks.task import Metric, Role, Task

NOTHING = Part(())


def _task(name: str, domain: str, metric: Metric, source: HubTask, role: Role = "anchor") -> Task:
    return Task(name, domain, role, metric, source)


def _splits(train: str, evaluation: str = "") -> tuple[Part, Part]:
    """Take whole splits of a data set."""
    return Part((train,)), Part((evaluation,)) if evaluation else NOTHING


def _shares(split: str, train: float) -> tuple[Part, Part]:
    """Divide the only split there is, by a hash of the questions."""
    return Part((split,), (0.0, train)), Part((split,), (train, 1.0))


def _math(config: str, *levels: int) -> HubTask:
    where = Where("level", tuple(f"Level {level}" for level in levels))
    return HubTask(
        "EleutherAI/hendrycks_math", "hendrycks_math", *_splits("train", "test"), config, where=where, licence="mit"
    )


def _mmlu(config: str) -> HubTask:
    return HubTask("cais/mmlu", "mmlu", *_shares("test", 0.7), config, licence="mit")


def _arc(config: str) -> HubTask:
    return HubTask("allenai/ai2_arc", "arc", *_splits("train", "test"), config, licence="cc-by-sa-4.0")


MATH = (
    _task(
        "gsm8k", "math", "number",
        HubTask("openai/gsm8k", "gsm8k", *_splits("train", "test"), "main", licence="mit"),
    ),
    _task("svamp", "math", "number", HubTask("ChilleD/SVAMP", "svamp", *_splits("train", "test"), licence="mit")),
    _task("multiarith", "math", "number", HubTask("ChilleD/MultiArith", "multiarith", *_splits("train", "test"))),
    _task(
        "asdiv", "math", "number",
        HubTask("EleutherAI/asdiv", "asdiv", *_shares("validation", 0.8), "asdiv", licence="cc-by-nc-4.0"),
    ),
    _task("math_algebra_easy", "math", "number", _math("algebra", 1, 2)),
    _task("math_counting_easy", "math", "number", _math("counting_and_probability", 1, 2)),
    _task("math_prealgebra_easy", "math", "number", _math("prealgebra", 1, 2)),
    _task("math_number_theory_easy", "math", "number", _math("number_theory", 1, 2)),
    _task(
        "mathqa", "math", "choice",
        HubTask("regisss/math_qa", "math_qa", *_splits("train", "test"), licence="apache-2.0"),
    ),
    _task(
        "gsm_hard", "math", "number",
        HubTask("reasoning-machines/gsm-hard", "gsm_hard", *_shares("train", 0.7), licence="mit"), "held-out",
    ),
    _task("math_algebra_medium", "math", "number", _math("algebra", 3), "held-out"),
)  # fmt: skip

MBPP = "google-research-datasets/mbpp"
CONALA_FILES = (("test", "data/conala-paired-test.json"), ("train", "data/conala-paired-train.json"))
APPS_FILES = (("test", "test.jsonl"), ("train", "train.jsonl"))
FEW_PROBLEMS = "trains on 41 problems only, since the other half belongs to HumanEval+"

CODE = (
    _task("mbpp", "code", "code", HubTask(MBPP, "mbpp", *_splits("train", "validation"), "full", licence="cc-by-4.0")),
    _task(
        "mbpp_sanitized", "code", "code",
        HubTask(MBPP, "mbpp_sanitized", *_splits("train", "validation"), "sanitized", licence="cc-by-4.0"),
    ),
    _task(
        "humaneval", "code", "none",
        HubTask(
            "openai/openai_humaneval", "humaneval", Part(("test",), numbers=(0, 82, 2)), NOTHING, licence="mit",
            degraded=FEW_PROBLEMS,
        ),
    ),
    _task(
        "conala", "code", "exact",
        HubTask("neulab/conala", "conala", *_splits("train", "test"), files=CONALA_FILES, licence="mit"),
    ),
    _task(
        "apps_intro", "code", "code",
        HubTask(
            "codeparrot/apps", "apps", *_splits("train", "test"), where=Where("difficulty", ("introductory",)),
            files=APPS_FILES, licence="mit",
        ),
    ),
    _task(
        "codealpaca_py", "code", "none",
        HubTask("sahil2801/CodeAlpaca-20k", "alpaca", *_splits("train"), licence="cc-by-4.0"),
    ),
    _task(
        "py18k", "code", "none",
        HubTask("iamtarun/python_code_instructions_18k_alpaca", "python_alpaca", *_splits("train")),
    ),
    _task(
        "humaneval_plus", "code", "code",
        HubTask(
            "evalplus/humanevalplus", "humaneval", Part(("test",), numbers=(1, 82, 2)),
            Part(("test",), numbers=(82, 164, 1)), licence="apache-2.0",
            degraded="trains on 41 problems only, since the other half belongs to HumanEval",
        ),
        "held-out",
    ),
    _task(
        "mbpp_plus", "code", "code",
        HubTask(
            "evalplus/mbppplus", "mbpp_plus", Part(("test",), (0.0, 0.4), (1, 511, 1)), Part(("test",), (0.4, 1.0)),
            taken=(601, 975), licence="apache-2.0",
        ),
        "held-out",
    ),
)  # fmt: skip

SCIENCE = (
    _task("arc_easy", "science", "choice", _arc("ARC-Easy")),
    _task(
        "sciq", "science", "choice",
        HubTask("allenai/sciq", "sciq", *_splits("train", "test"), licence="cc-by-nc-3.0"),
    ),
    _task(
        "openbookqa", "science", "choice",
        HubTask("allenai/openbookqa", "openbookqa", *_splits("train", "test"), "main"),
    ),
    _task(
        "qasc", "science", "choice",
        HubTask("allenai/qasc", "arc", *_splits("train", "validation"), licence="cc-by-4.0"),
    ),
    _task("piqa", "science", "choice", HubTask("baber/piqa", "piqa", *_splits("train", "validation"))),
    _task(
        "medmcqa", "science", "choice",
        HubTask("openlifescienceai/medmcqa", "medmcqa", *_splits("train", "validation"), licence="apache-2.0"),
    ),
    _task(
        "medqa", "science", "choice",
        HubTask("GBaker/MedQA-USMLE-4-options-hf", "medqa", *_splits("train", "test"), licence="cc-by-sa-4.0"),
    ),
    _task("mmlu_hs_biology", "science", "choice", _mmlu("high_school_biology")),
    _task("mmlu_hs_chemistry", "science", "choice", _mmlu("high_school_chemistry")),
    _task("mmlu_hs_physics", "science", "choice", _mmlu("high_school_physics")),
    _task("mmlu_astronomy", "science", "choice", _mmlu("astronomy")),
    _task("arc_challenge", "science", "choice", _arc("ARC-Challenge"), "held-out"),
    _task(
        "mmlu_college_chemistry", "science", "choice",
        HubTask(
            "cais/mmlu", "mmlu", Part(("dev", "validation")), Part(("test",)), "college_chemistry", licence="mit",
            degraded="13 questions to train on and 100 to measure by: it can tell only large differences",
        ),
        "held-out",
    ),
)  # fmt: skip

TABLE: Mapping[str, Task] = {task.name: task for task in (*MATH, *CODE, *SCIENCE)}
"""Every task by its name, with no commit yet."""


def tasks(
    names: Sequence[str] | str,
    revisions: Mapping[str, str],
    train: int | None = None,
    evaluation: int | None = None,
) -> tuple[Task, ...]:
    """Return the tasks called *names*, or all for "all", at the commits in *revisions* by repository.

    *train* and *evaluation* are how many examples are used at most (None: all). Raises UsageError for a name that is
    not in the table (with the nearest) and for a repository without a commit.
    """
    return tuple(_pinned(TABLE[name], revisions, train, evaluation) for name in _known(names))


def repositories(names: Sequence[str] | str) -> tuple[str, ...]:
    """Return the data sets of the hub that tasks need, each once; UsageError for a name that is not in the table."""
    return tuple(sorted({_source(TABLE[name]).repo for name in _known(names)}))


def _known(names: Sequence[str] | str) -> list[str]:
    asked = list(TABLE) if names == "all" else [names] if isinstance(names, str) else list(names)
    for name in asked:
        if name not in TABLE:
            raise unknown("task", name, TABLE)
    return asked


def _pinned(task: Task, revisions: Mapping[str, str], train: int | None, evaluation: int | None) -> Task:
    source = _source(task)
    if source.repo not in revisions:
        raise UsageError(
            f"{source.repo}: no revision is pinned, which the task {task.name} needs; run `python -m compute lock STUDY"
            f" --profile PROFILE` while the hub can be reached"
        )
    pinned = dataclasses.replace(
        source, revision=revisions[source.repo], train_limit=train, evaluation_limit=evaluation
    )
    return dataclasses.replace(task, source=pinned)


def _source(task: Task) -> HubTask:
    assert isinstance(task.source, HubTask)
    return task.source
