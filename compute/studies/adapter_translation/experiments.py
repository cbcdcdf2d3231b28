"""The study's experiments: rows of cells in which model Y is asked about its tasks with translated adapters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from compute.cells import comparison, honesty, translation
from compute.engine.cell import Cell
from compute.studies.adapter_translation import audits
from compute.studies.adapter_translation.config import BASELINES, CEILINGS, CONTROLS, DOCUMENTS, Space
from compute.studies.adapter_translation.design import Design, Pool, System, Training
from compute.studies.adapter_translation.notes import LEAST
from compute.study import Row


def tasks(design: Design) -> Iterator[Row]:
    """Every task: what model Y makes of it as it is, and with the adapter that was trained on it."""
    base, oracle = design.base(design.measured), design.oracle(design.measured)
    for name in design.measured:
        task = design.tasks[name]
        row = {"task": name, "domain": task.domain, "role": task.role, "metric": task.metric}
        if base and oracle:
            yield {
                **row,
                "base": comparison.score_of("base", name, base),
                "oracle": comparison.score_of("oracle", name, oracle),
                "gate": comparison.gate(name, base, oracle, design.config.seed),
            }


def main(design: Design) -> Iterator[Row]:
    """Experiment 1: every method on the tasks that the fixed split holds out."""
    for system in _systems(design, design.config.compared, design.fixed):
        if run := design.run(system, design.held_out):
            yield from _scored(design, system, run)


def _scored(design: Design, system: System, run: Mapping[str, Sequence[Cell]]) -> Iterator[Row]:
    for task in design.held_out:
        row = {"domain": design.domains[task], "task": task, **_described(system)}
        score = comparison.score_of(system.slug, task, run["method"])
        found = comparison.outcome(system.slug, task, **run, seed=design.config.seed)
        yield {**row, "score": score, "against": found, "gap": found}


def document(design: Design) -> Iterator[Row]:
    """The document's first table in its own layout, with the gap by its own rule."""
    known = {name: design.run(system, design.held_out) for name, system in _documents(design).items()}
    if not all(known.values()):
        return
    runs = {name: run for name, run in known.items() if run}
    ends = runs["mean"]
    named = {name: design.system(name, "factor", design.fixed).slug for name in runs}
    for task in design.held_out:
        scores = {name: comparison.score_of(named[name], task, run["method"]) for name, run in runs.items()}
        scores |= {name: comparison.score_of(name, task, ends[name]) for name in ("base", "oracle")}
        methods = {name: run["method"] for name, run in runs.items()}
        rule = comparison.document_gap(task, methods, ends["base"], ends["oracle"])
        yield {"domain": design.domains[task], "task": task, **scores, "rule": rule}


def domains(design: Design) -> Iterator[Row]:
    """Each domain: how many anchors it has, and the gap recovered by the document's rule and by ours."""
    gaps = {str(row["task"]): row["rule"] for row in document(design)}
    data = {str(row["task"]): row["audit"] for row in audits.data(design)}
    system = design.system(*design.primary, design.fixed)
    for domain in dict.fromkeys(design.domains.values()):
        members = [task for task in design.held_out if design.domains[task] == domain]
        own = [task for task in design.anchors if design.domains[task] == domain]
        known = {task: found for task, found in data.items() if task in own}
        row = {"domain": domain, "size": honesty.domain_size(domain, known, own, LEAST)}
        pooled = design.pooled(f"{system.slug}/{domain}", system, members)
        if pooled and gaps:
            yield {**row, "gaps": comparison.domain_gap(domain, [gaps[task] for task in members], pooled)}
        else:
            yield row


def criteria(design: Design) -> Iterator[Row]:
    """What success was to be: the document's criterion on our scores, and the declared method's difference."""
    runs = {name: design.run(system, design.held_out) for name, system in _documents(design).items()}
    found = {name: run for name, run in runs.items() if run}
    system = design.system(*design.primary, design.fixed)
    pooled = design.pooled(f"{system.slug}/held-out", system, design.held_out)
    if pooled and len(found) == len(runs):
        learned = {name: run["method"] for name, run in found.items() if name != "mean"}
        best = comparison.document_criterion(design.held_out, learned, found["mean"]["method"])
        yield {"best_learned": best, "primary": pooled}


def methods(design: Design) -> Iterator[Row]:
    """Every method on every task, the task left out of its own anchors."""
    for system in _systems(design, design.config.everywhere, design.others):
        if pooled := design.pooled(f"{system.slug}/everywhere", system, design.measured):
            yield {
                **_described(system),
                "primary": (system.method, system.space) == design.primary,
                "pooled": pooled,
            }


def anchors(design: Design) -> Iterator[Row]:
    """Experiment 2, first half: the more anchors, the better?"""
    for name, space in (("mean", "factor"), *_both(design)):
        for count in design.anchor_counts:
            found = [_of_pool(design, name, space, design.drawn(count, draw)) for draw in range(design.config.draws)]
            whole = [pooled for pooled in found if pooled]
            if whole:
                system = design.system(name, space, design.fixed)
                yield {"n": count, **_described(system), "over": comparison.over_draws(f"{system.slug}/{count}", whole)}


def _of_pool(design: Design, method: str, space: Space, pool: Pool) -> Cell | None:
    system = design.system(method, space, pool)
    return design.pooled(f"{system.slug}/{pool.name}", system, design.held_out)


def neighbours(design: Design) -> Iterator[Row]:
    """Experiment 2, second half: does it help to look at the nearest anchors alone?"""
    for space in design.spaces:
        for count in design.neighbours:
            system = design.system("topk_pertensor_ridge", space, design.fixed, k=count, centred=True)
            if pooled := design.pooled(f"{system.slug}/k={count}", system, design.held_out):
                yield {"k": count, **_described(system), "pooled": pooled}


def pools(design: Design) -> Iterator[Row]:
    """Experiment 3: anchors of which domains serve the tasks of which."""
    for domain in dict.fromkeys(design.domains.values()):
        members = [task for task in design.held_out if design.domains[task] == domain]
        for pool in _pools(design):
            system = design.system(*design.primary, design.fixed if pool.tasks == design.fixed.tasks else pool)
            if members and (pooled := design.pooled(f"{system.slug}/{domain} by {pool.name}", system, members)):
                yield {"domain": domain, "pool": pool.name, "size": len(pool.tasks), "pooled": pooled}


def _pools(design: Design) -> Iterator[Pool]:
    """Each domain's anchors, as many of all domains together as one has at most, and all of them."""
    yield from design.by_domain.values()
    most = max((len(pool.tasks) for pool in design.by_domain.values()), default=0)
    if 1 < most < len(design.anchors):
        yield Pool("mixed, same size", design.drawn(most, 0).tasks)
    yield Pool("all", tuple(design.anchors))


def lambdas(design: Design) -> Iterator[Row]:
    """How much the regularisation matters, against the error of leaving one anchor out."""
    for space in design.spaces:
        for value in design.config.lambdas:
            system = design.system("pertensor_ridge", space, design.fixed, relative_lambda=value)
            if pooled := design.pooled(f"{system.slug}/λ={value:g}", system, design.held_out):
                grams = (design.grams(model, space) for model in ("X", "Y"))
                error = translation.left_out(*grams, design.anchors, space, value)
                yield {"space": space, "relative_lambda": value, "pooled": pooled, "error": error}


def initialisation(design: Design) -> Iterator[Row]:
    """The ablation: do adapters have to begin alike, if factors or if ΔW are translated?"""
    for training in design.trainings():
        yield from _ablated(design, f"run {training.run + 1}", training.policy, [training])


def initialisation_all(design: Design) -> Iterator[Row]:
    """The ablation, over all runs together."""
    for policy in design.policies:
        trainings = [training for training in design.trainings() if training.policy == policy]
        yield from _ablated(design, "all", policy, trainings)


def _ablated(design: Design, what: str, policy: str, trainings: Sequence[Training]) -> Iterator[Row]:
    for name, space in (("mean", "factor"), *_both(design)):
        system = design.system(name, space, design.others)
        if pooled := design.pooled(f"{system.slug}/{policy}/{what}", system, design.measured, trainings):
            first = trainings[0].run + 1 if len(trainings) == 1 else None
            yield {"seed": first, "policy": policy, **_described(system), "pooled": pooled}


def _both(design: Design) -> list[tuple[str, Space]]:
    """The declared method in the space of factors and in that of ΔW."""
    return [(design.config.primary, space) for space in design.spaces]


def _systems(design: Design, wanted: Mapping[str, Sequence[Space]], pool: Pool) -> Iterator[System]:
    return (design.system(name, space, pool) for name, spaces in wanted.items() for space in spaces)


def _documents(design: Design) -> dict[str, System]:
    """The document's methods, which see factors."""
    return {name: design.system(name, "factor", design.fixed) for name in ("mean", *DOCUMENTS)}


def _described(system: System) -> Row:
    return {"method": system.method, "space": system.space, "label": system.label, "role": _role(system.method)}


def _role(method: str) -> str:
    kinds = {"baseline": BASELINES, "control": CONTROLS, "ceiling": CEILINGS}
    return next((kind for kind, names in kinds.items() if method in names), "translation")


EXPERIMENTS = (
    tasks, main, document, domains, criteria, methods, anchors, neighbours, pools, lambdas, initialisation,
    initialisation_all,
)  # fmt: skip
