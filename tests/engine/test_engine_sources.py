"""The texts of definitions: what they show, and how they are kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from cells_for_tests import number
from engine_helpers import Builder, Package

from compute.engine.code import Code
from compute.engine.sources import Sources
from compute.engine.store import Store
from compute.engine.syntax.summary import summarise, texts

MODULE = '''
    """A module."""
    from pkg.other import scale as by, LIMIT
    import numpy as np
    from .star import *

    def f(x: int, y: int = 2) -> int:
        """Say nothing."""
        z: int = by(x)  # aside
        return (min(z,  LIMIT))

    class Shape(Base):
        """A shape."""
        side: int = 3

    class Empty:
        """Nothing."""

    TABLE = {"one": 1, "two": [1.0, 2.0], **MORE, "a long enough key": "and a long enough value to fill the line"}
    f.done = True
    print(TABLE)
'''


def text(name: str, source: str = MODULE) -> str:
    from textwrap import dedent

    return texts(dedent(source), "pkg.module", package=False)[name][1]


def test_a_text_shows_what_counts_and_no_more() -> None:
    assert text("f").splitlines() == [
        "from pkg.star import *",
        "from pkg.other import LIMIT",
        "from pkg.other import scale as by",
        "def f(x, y=2):",
        "    z = by(x)",
        "    return min(z, LIMIT)",
        "f.done = True",
    ]


def test_a_text_of_a_class_shows_its_fields_and_is_python_when_nothing_is_left() -> None:
    assert text("Shape").endswith("class Shape(Base):\n    side: ... = 3")
    assert text("Empty").endswith("class Empty:\n    pass")


def test_a_long_constant_has_a_line_for_each_item() -> None:
    assert text("TABLE").splitlines()[1:4] == ["TABLE = {", "    'one': 1,", "    'two': [1.0, 2.0],"]
    assert "    **MORE," in text("TABLE").splitlines()


def test_a_name_that_is_only_imported_and_what_is_done_at_import_have_texts() -> None:
    assert text("np") == "import numpy as np"
    assert text("<import>").endswith("print(TABLE)")


def test_texts_go_with_the_hashes_of_the_summary() -> None:
    path = Path(__file__).parents[2] / "compute" / "engine" / "syntax" / "summary.py"
    source = path.read_bytes()
    definitions = summarise(source, "compute.engine.syntax.summary", package=False)["definitions"]
    found = texts(source, "compute.engine.syntax.summary", package=False)
    assert {name: item["hash"] for name, item in definitions.items()}.items() <= {
        name: made for name, (made, _) in found.items()
    }.items()


def test_a_build_keeps_the_text_of_every_definition_that_a_result_was_made_by(
    build: Builder, store: Store, log: str
) -> None:
    record = build(number(1, log)).records[number(1, log).key]
    kept = {part: Sources(store.root).text(made) for part, made in record.trace.code.items()}
    assert kept["cells_for_tests:number"] == "def number(x, log):\n    note(log, f'number {x}')\n    return x\n"
    assert all(kept.values())


def test_a_text_stays_what_it_was(package: Package, build: Builder, store: Store) -> None:
    package.write("cells", "from compute.engine.cell import cell\n@cell()\ndef total(x):\n    return x + 1\n")
    total = package.load().total(1)
    before = Code().parts(total)[f"{package.name}.cells:total"]
    build(total)
    package.edit("cells", "x + 1", "x + 2")
    build(total)
    after = Code().parts(total)[f"{package.name}.cells:total"]
    sources = Sources(store.root)
    assert [sources.text(made) for made in (before, after)] == [
        "def total(x):\n    return x + 1\n",
        "def total(x):\n    return x + 2\n",
    ]


def test_a_definition_that_was_edited_meanwhile_is_not_kept_under_the_former_hash(
    package: Package, tmp_path: Path
) -> None:
    package.write("cells", "from compute.engine.cell import cell\n@cell()\ndef total(x):\n    return x + 1\n")
    total = package.load().total(1)
    before = Code().parts(total)
    package.edit("cells", "x + 1", "x + 2")
    sources = Sources(tmp_path / "cache")
    sources.keep(Code(), before)
    assert [sources.text(made) for made in before.values()] == [None]


def test_a_source_that_is_broken_meanwhile_stops_no_build(package: Package, tmp_path: Path) -> None:
    package.write("cells", "from compute.engine.cell import cell\n@cell()\ndef total(x):\n    return x + 1\n")
    code, total = Code(), package.load().total(1)
    parts = code.parts(total)
    package.edit("cells", "x + 1", "x + (")
    sources = Sources(tmp_path / "cache")
    sources.keep(code, parts)
    assert [sources.text(made) for made in parts.values()] == [None]


def test_each_text_is_written_once(package: Package, tmp_path: Path) -> None:
    package.write("cells", "from compute.engine.cell import cell\n@cell()\ndef total(x):\n    return x + 1\n")
    total = package.load().total(1)
    Sources(tmp_path / "cache").keep(Code(), Code().parts(total))
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    assert len(files) == 1
    Sources(tmp_path / "cache").keep(Code(), Code().parts(total))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*") if path.is_file()} == files


def test_a_store_that_cannot_be_written_is_no_reason_to_fail(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package.write("cells", "from compute.engine.cell import cell\n@cell()\ndef total(x):\n    return x + 1\n")
    total = package.load().total(1)

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    sources = Sources(tmp_path / "cache")
    sources.keep(Code(), Code().parts(total))
    assert [sources.text(made) for made in Code().parts(total).values()] == [None]
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_an_emptied_text_counts_as_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "sources" / "ab" / "abc"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    assert Sources(tmp_path).text("abc") is None
    path.write_bytes(b"\xff\xfe\xfd")
    assert Sources(tmp_path).text("abc") is None
