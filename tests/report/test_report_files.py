from __future__ import annotations

import os
from pathlib import Path

import pytest

from compute.report import files
from compute.report.files import Written, vega_bundle, write_if_changed


def age(path: Path) -> int:
    """Give a file a time stamp of long ago, and return it."""
    os.utime(path, ns=(1_000_000_000, 1_000_000_000))
    return path.stat().st_mtime_ns


def test_a_file_that_is_the_same_keeps_its_time_stamp(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "page.md"
    assert write_if_changed(path, "één\n")
    before = age(path)
    assert not write_if_changed(path, "één\n")
    assert path.stat().st_mtime_ns == before


def test_a_file_that_changed_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    write_if_changed(path, "one")
    age(path)
    assert write_if_changed(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mtime_ns > 1_000_000_000
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "page.md"
    write_if_changed(path, "old")

    def broken(self: Path, target: Path) -> Path:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", broken)
    with pytest.raises(OSError, match="no space"):
        write_if_changed(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_the_former_build_wrote_and_this_one_did_not_is_removed(tmp_path: Path) -> None:
    first = Written(tmp_path)
    first.write("a.md", "a")
    first.write("cells/b.md", "b")
    second = Written(tmp_path, first.manifest)
    second.write("a.md", "a")
    assert second.remove_stale() == [tmp_path / "cells/b.md"]
    assert [path.name for path in tmp_path.iterdir()] == ["a.md"]
    assert list(second.manifest) == ["a.md"]


def test_a_file_that_no_build_wrote_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "mine.md").write_text("mine", encoding="utf-8")
    former = Written(tmp_path)
    former.write("cells/b.md", "b")
    assert Written(tmp_path, former.manifest).remove_stale() == [tmp_path / "cells/b.md"]
    assert (tmp_path / "cells" / "mine.md").is_file()


def test_a_generated_file_that_somebody_edited_since_is_kept(tmp_path: Path) -> None:
    former = Written(tmp_path)
    former.write("page.md", "generated")
    (tmp_path / "page.md").write_text("written by hand", encoding="utf-8")
    assert Written(tmp_path, former.manifest).remove_stale() == []
    assert (tmp_path / "page.md").is_file()


def test_a_manifest_cannot_reach_beyond_its_folder(tmp_path: Path) -> None:
    outside = tmp_path / "outside.md"
    outside.write_text("x", encoding="utf-8")
    inside = Written(tmp_path)
    inside.add(outside)
    manifest = {f"../{name}": digest for name, digest in inside.manifest.items()}
    (tmp_path / "docs").mkdir()
    assert Written(tmp_path / "docs", manifest).remove_stale() == []
    assert outside.is_file()


def test_two_pages_of_one_name_are_refused(tmp_path: Path) -> None:
    written = Written(tmp_path)
    written.write("page.md", "one")
    written.write("page.md", "one")
    with pytest.raises(ValueError, match=r"page\.md was generated twice"):
        written.write("page.md", "two")


@pytest.fixture
def bundled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Put a quick stand-in for the bundler, and return the list of what was bundled so far."""
    calls: list[str] = []

    def javascript_bundle(snippet: str) -> str:
        calls.append(snippet)
        return f"const n = 1; {snippet}"

    monkeypatch.setattr("vl_convert.javascript_bundle", javascript_bundle)
    return calls


def test_the_vega_library_is_made_once_for_a_version_of_its_maker(
    tmp_path: Path, bundled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = vega_bundle(tmp_path)
    assert "BSD-3-Clause" in path.read_text(encoding="utf-8").splitlines()[0]
    before = age(path)
    assert vega_bundle(tmp_path) == path
    assert (path.stat().st_mtime_ns, len(bundled)) == (before, 1)
    monkeypatch.setattr(files, "version", lambda name: "0.0.0")
    vega_bundle(tmp_path)
    assert len(bundled) == 2
    assert "vl-convert 0.0.0" in path.read_text(encoding="utf-8").splitlines()[0]


def test_the_vega_library_keeps_its_names_to_itself(tmp_path: Path, bundled: list[str]) -> None:
    lines = vega_bundle(tmp_path).read_text(encoding="utf-8").splitlines()
    assert lines[1:] == ["(() => {", "const n = 1; window.vegaEmbed = vegaEmbed;", "})();"]


def test_assets_are_ours_the_colours_and_the_library(tmp_path: Path, bundled: list[str]) -> None:
    source = tmp_path / "templates" / "assets"
    source.mkdir(parents=True)
    (source / "report.js").write_text("1", encoding="utf-8")
    (source / ".hidden").write_text("1", encoding="utf-8")
    names = [path.relative_to(tmp_path / "docs" / "assets").as_posix() for path in files.copy_assets(tmp_path)]
    assert names == ["report.js", "palette.css", "chart-config.json", "vega.js"]
    assert all((tmp_path / "docs" / "assets" / name).is_file() for name in names)
