"""Cells that worker processes can import. Those with a `log` write a line when they run."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from compute.engine.cell import cell

if TYPE_CHECKING:
    from compute.engine.work import Handle


def note(log: str, line: str) -> None:
    with Path(log).open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


@cell(label="{x}")
def number(x: int, log: str) -> int:
    note(log, f"number {x}")
    return x


@cell(label="{a}+{b}")
def added(a: Any, b: Any, log: str) -> Any:
    note(log, "added")
    return a + b


@cell(label="{x}")
def doubled(x: Any, log: str) -> Any:
    note(log, "doubled")
    return 2 * x


@cell(label="{x}")
def sign(x: int, log: str) -> int:
    note(log, "sign")
    return (x > 0) - (x < 0)


@cell(store=False, label="{x}")
def halved(x: Any, log: str) -> Any:
    note(log, "halved")
    return x / 2


@cell(label="{log}")
def failing(x: Any, log: str) -> Any:
    """Fail as long as there is no file `mended` beside the log."""
    note(log, "failing")
    if not Path(log).with_name("mended").exists():
        raise ValueError("not mended yet")
    return x


@cell()
def leaving(x: Any) -> None:
    sys.exit(f"leaving {x}")


@cell()
def dying(x: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@cell()
def interrupted() -> None:
    raise KeyboardInterrupt


@cell()
def sleeping(x: int, log: str) -> None:
    note(log, str(os.getpid()))
    time.sleep(60)


@cell()
def napping(x: int) -> int:
    time.sleep(0.3)
    return x


@cell()
def unkeepable() -> dict[str, list[object]]:
    return {"inner": [1, {2, 3}]}


@cell()
def seeded(seed: int, name: str) -> int:
    return seed


@cell(lazy=("parts",))
def first_of(parts: Mapping[str, Handle], wanted: str) -> Any:
    """Load one part alone."""
    return parts[wanted].load()


@cell()
def identifier() -> int:
    return os.getpid()


@cell()
def threads(x: int) -> str:
    return os.environ["OMP_NUM_THREADS"]


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclass(frozen=True)
class Box:
    content: Any
    size: int = field(default=3, init=False)


@cell()
def gathered(things: Any) -> str:
    """Say what arrived."""
    return repr(things)


@cell(label="{parts}")
def summed(parts: Sequence[Any], offset: int) -> Any:
    return sum(parts) + offset


@cell(store=False)
def summed_inside(parts: Sequence[Any], offset: int) -> Any:
    return sum(parts) + offset


@cell()
def failing_sum(parts: Sequence[Any], offset: int) -> Any:
    raise ArithmeticError(f"{sum(parts)} and {offset}")


@dataclass(frozen=True)
class Text:
    """A file as an input: its content counts, not where it lies."""

    path: Path

    def identity(self, digest: Any) -> object:
        return digest(self.path)


@cell(label="{text}")
def length(text: Text) -> int:
    return len(text.path.read_text(encoding="utf-8"))


@cell()
def appended(text: Text) -> int:
    """Change the file that was passed, as a user might during a build."""
    note(str(text.path), "more")
    return 1


@cell()
def noisy(x: float) -> dict[str, float]:
    """Return a number that depends a little on the process."""
    return {"score": x + 1e-10 * os.getpid()}


@cell()
def random_number() -> float:
    return random.random()


@cell()
def of_hashes(names: Sequence[str]) -> list[str]:
    """Return names in the order of a set, as one may by mistake."""
    return [str(hash(name)) for name in set(names)]
