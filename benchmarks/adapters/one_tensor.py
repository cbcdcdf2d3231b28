"""Predicts one tensor of Y from one of X by ridge regression, in one tool, and prints what it took as JSON.

    python one_tensor.py TOOL FOLDER

It runs in whatever environment has the tool. Timed is from arrays in memory to predictions in memory.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

RELATIVE_LAMBDA = 0.01
QUICK = 0.1
"""Seconds below which a run is repeated, and the median taken."""

Predict = Callable[..., Any]


def main(tool: str, folder: Path) -> None:
    """Run the tool once more than it is timed if it is quick: its libraries are loaded then."""
    with np.load(folder / "tensor.npz") as file:
        data = {name: file[name] for name in file.files}
    predict = TOOLS[tool]()
    found, first = _timed(predict, data)
    taken = [_timed(predict, data)[1] for _ in range(11)] if first["wall"] < QUICK else [first]
    np.save(folder / f"{tool}.npy", found)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    middle = {clock: statistics.median(one[clock] for one in taken) for clock in first}
    print(json.dumps({**middle, "peak": peak}))


def _timed(predict: Predict, data: dict[str, Any]) -> tuple[Any, dict[str, float]]:
    wall, cpu = time.perf_counter(), time.process_time()
    found = predict(**data)
    return found, {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def recount(relative_lambda: float = RELATIVE_LAMBDA) -> Predict:
    """Translate adapters of a single module, compared by B alone, as the package does any adapter."""
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from compute.adapters.adapter import Adapter, Factors
    from compute.adapters.methods.pertensor_ridge import pertensor_ridge
    from compute.adapters.spaces import grams, problem
    from compute.adapters.translate import combine_many

    def one(row: Any) -> Adapter:
        return Adapter({"model.layers.0.q_proj": Factors(np.zeros((8, 1), np.float32), row.reshape(-1, 8), 2.0)})

    def predict(x: Any, y: Any, asked: Any, alpha: Any) -> Any:
        anchors = {f"anchor {number}": one(row) for number, row in enumerate(y)}
        queries = {f"asked {number}": one(row) for number, row in enumerate(asked)}
        on_x = dict(zip(anchors, map(one, x), strict=True)) | queries
        ours, theirs = grams(on_x, "b"), grams(anchors, "b")
        domains = dict.fromkeys(on_x, "")
        problems = [problem(ours, theirs, name, list(anchors), domains) for name in queries]
        weights = np.stack([pertensor_ridge(each, relative_lambda=relative_lambda) for each in problems])
        found = combine_many(weights, list(anchors.values()), "b")
        return np.stack([each.modules["model.layers.0.q_proj"].b.ravel() for each in found])

    return predict


def ridge() -> Predict:
    """Fit sklearn.linear_model.Ridge as it is by default, and predict."""
    from sklearn.linear_model import Ridge

    return lambda x, y, asked, alpha: Ridge(alpha=float(alpha)).fit(x, y).predict(asked)


def kernel_ridge() -> Predict:
    """Fit sklearn.kernel_ridge.KernelRidge with its linear kernel; it has no intercept, so both sides are centred."""
    from sklearn.kernel_ridge import KernelRidge

    def predict(x: Any, y: Any, asked: Any, alpha: Any) -> Any:
        of_x, of_y = x.mean(axis=0), y.mean(axis=0)
        return KernelRidge(alpha=float(alpha)).fit(x - of_x, y - of_y).predict(asked - of_x) + of_y

    return predict


def recount_chosen() -> Predict:
    """Do the same with the best of 15 λ, by leaving each anchor out."""
    return recount(0.0)


def ridge_chosen() -> Predict:
    """Fit sklearn.linear_model.RidgeCV, which leaves each anchor out in closed form too."""
    from sklearn.linear_model import RidgeCV

    return lambda x, y, asked, alpha: RidgeCV(_alphas(alpha)).fit(x, y).predict(asked)


def kernel_ridge_chosen() -> Predict:
    """Fit sklearn.kernel_ridge.KernelRidge for each λ and anchor, by GridSearchCV."""
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.model_selection import GridSearchCV, LeaveOneOut

    def predict(x: Any, y: Any, asked: Any, alpha: Any) -> Any:
        of_x, of_y = x.mean(axis=0), y.mean(axis=0)
        grid = {"alpha": _alphas(alpha)}
        search = GridSearchCV(KernelRidge(), grid, cv=LeaveOneOut(), scoring="neg_mean_squared_error")
        return search.fit(x - of_x, y - of_y).predict(asked - of_x) + of_y

    return predict


def _alphas(alpha: Any) -> list[float]:
    return [float(alpha) / RELATIVE_LAMBDA * relative for relative in np.logspace(3, -4, 15)]


TOOLS: dict[str, Callable[[], Predict]] = {
    "recount": recount,
    "ridge": ridge,
    "kernel_ridge": kernel_ridge,
    "recount_chosen": recount_chosen,
    "ridge_chosen": ridge_chosen,
    "kernel_ridge_chosen": kernel_ridge_chosen,
}

if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
