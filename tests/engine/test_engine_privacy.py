from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cells_for_tests import Text, failing, gathered, length, number
from engine_helpers import Builder
from hypothesis import given
from hypothesis import strategies as st

from compute.engine import privacy
from compute.engine.files import Remembered
from compute.engine.privacy import redacted

TOKEN = "planted-Token.1"


@pytest.fixture
def alice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user with a name, a machine, tokens and a home, in which this process works."""
    home = tmp_path / "home" / "alice-in-person"
    (home / "project").mkdir(parents=True)
    names = {"HOME": str(home), "USER": "alice-in-person", "LOGNAME": "alice-in-person"}
    for name, value in {**names, "HF_TOKEN": TOKEN, "some_api_key": "a b&'c\\d"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(platform, "node", lambda: "Alices-Machine.example.org")
    monkeypatch.chdir(home / "project")
    privacy.forget()
    yield home
    privacy.forget()


PLANTED = ("alice", TOKEN, "example.org", "a b&'c")


def test_a_text_that_betrays_nothing_comes_back_as_it_is(alice: Path) -> None:
    for text in (
        "evaluation/sq-AL/on/de-DE",
        "token",
        "sk-SK/on/sl-SL",
        "home",
        "/data/models",
        "a@b",
        "",
        "hf_hub_download",
    ):
        assert redacted(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"401 for {TOKEN}!", "401 for <secret>!"),
        (f"x{TOKEN}y", "x<secret>y"),
        ("in {!r} and {}".format(TOKEN, {"a": TOKEN}), "in '<secret>' and {'a': '<secret>'}"),
        (repr("a b&'c\\d"), '"<secret>"'),
        ("?q=a%20b%26%27c%5Cd", "?q=<secret>"),
        ("alice-in-person went to Alices-Machine", "<user> went to <host>"),
        ("ssh alice-in-person@alices-machine.example.org:", "ssh <user>@<host>:"),
        ("alice-in-persons", "alice-in-persons"),
        ("train_alice-in-person_1", "train_<user>_1"),
    ],
)
def test_tokens_and_names_are_taken_out(alice: Path, text: str, expected: str) -> None:
    assert redacted(text) == expected


def test_folders_are_shortened_wherever_they_stand(alice: Path) -> None:
    assert redacted(f"in '{alice}/a' and {Path.cwd()}/b") == "in '~/a' and ./b"
    assert redacted(f"{alice}") == "~"
    assert redacted(f"file://{alice}/project") == "file://."
    assert redacted(f"{alice}-2/a") == f"{alice.parent}/<user>-2/a"
    package = Path(privacy.__file__)
    assert redacted(str(package)) == "./compute/engine/privacy.py"


def test_the_folder_of_a_project_is_shortened_also_from_within(alice: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (Path.cwd() / "docs").mkdir()
    monkeypatch.chdir("docs")
    privacy.know(alice / "project")
    assert redacted(f"{alice}/project/cache") == "./cache"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/bob/x /Users/carol/y", "~/x ~/y"),
        (r"C:\Users\Dan Smith\x", r"~\x"),
        (r"'C:\\Users\\dan\\x'", r"'~\\x'"),
        ("https://example.com/home/page", "https://example.com/home/page"),
        ("https://user:pa55word@example.com/a", "https://<secret>@example.com/a"),
        ("https://token@example.com/a", "https://<secret>@example.com/a"),
        ("hf://datasets/mteb/massive@4672e20", "hf://datasets/mteb/massive@4672e20"),
        ("hf_abcdefghijklmnopqrstuvwxyz", "<secret>"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "<secret>"),
        ("github_pat_11ABCDEFG0abcdefghijkl_mn", "<secret>"),
        ("sk-proj-abcdefgh1234567890", "<secret>"),
        ("AKIAIOSFODNN7EXAMPLE", "<secret>"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: <secret>"),
        ("{'authorization': 'Bearer abc.def-ghi'}", "{'authorization': 'Bearer <secret>'}"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: <secret>"),
        ("https://x.example.com/?api_key=0123456789&a=b", "https://x.example.com/?api_key=<secret>&a=b"),
        ("login(password='opensesame')", "login(password=<secret>')"),
    ],
)
def test_what_looks_like_a_secret_or_a_home_is_taken_out_whosever_it_is(text: str, expected: str) -> None:
    assert redacted(text) == expected


@pytest.mark.parametrize("name", ["root", "runner", "user", "python", "ab", "1000"])
def test_a_name_that_anybody_has_is_left_in(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for variable in ("USER", "LOGNAME", "HOSTNAME"):
        monkeypatch.setenv(variable, name)
    monkeypatch.setattr(platform, "node", lambda: name)
    privacy.forget()
    assert redacted(f"the {name} of it") == f"the {name} of it"
    privacy.forget()


@given(st.text(), st.text())
def test_what_is_taken_out_is_gone_whatever_stands_around_it(before: str, after: str) -> None:
    os.environ["PLANTED_SECRET"] = "s3cret+(value)"
    privacy.forget()
    try:
        assert "s3cret+(value)" not in redacted(f"{before}s3cret+(value){after}")
    finally:
        del os.environ["PLANTED_SECRET"]
        privacy.forget()


@given(st.text())
def test_to_redact_twice_is_to_redact_once(text: str) -> None:
    assert redacted(redacted(text)) == redacted(text)


def test_a_variable_that_is_changed_later_counts_for_the_next_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LATE_SECRET", "other")
    assert redacted("late-secret") == "late-secret"
    monkeypatch.setenv("LATE_SECRET", "late-secret")
    privacy.know(tmp_path)
    assert redacted("late-secret") == "<secret>"
    privacy.forget()


def written(folder: Path) -> str:
    """Everything below a folder but the payloads of results, with the names of the files."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.name != "value.json"]
    return "\n".join(f"{path.relative_to(folder)} {path.read_text(encoding='utf-8')}" for path in found)


def assert_nobody_is_betrayed(text: str, home: Path) -> None:
    for planted in (*PLANTED, str(home), str(home.parent)):
        assert planted.lower() not in text.lower(), planted


def test_nothing_is_betrayed_by_a_record(build: Builder, alice: Path) -> None:
    data = alice / "data" / "a.txt"
    data.parent.mkdir()
    data.write_text("abc", encoding="utf-8")
    build(length(Text(data)), gathered([str(data), {TOKEN: "Bearer alice-in-person"}]), number(1, str(data)))
    text = written(build.store.root)
    assert text.count('"key"') == 3
    assert "~/data/a.txt" in text
    assert_nobody_is_betrayed(text, alice)


def test_nothing_is_betrayed_by_a_failure(build: Builder, alice: Path) -> None:
    results = build(failing(1, str(alice / "log")), failing(2, str(alice / "no" / TOKEN)))
    assert len(results.failures) == 2
    text = written(build.store.root)
    assert "No such file or directory: '~/no/<secret>'" in text
    assert_nobody_is_betrayed(text, alice)


@pytest.mark.parametrize("place", [".", "cache", "elsewhere/deep", "../data"])
def test_nothing_is_betrayed_by_an_index_which_serves_all_the_same(
    alice: Path, tmp_path: Path, place: str, in_order: Callable[[Path], str]
) -> None:
    file = Path.cwd() / place / f"{TOKEN}.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("x", encoding="utf-8")
    index = Path.cwd() / "cache" / "index" / "files.json"
    remembered = Remembered(index)
    remembered.of(file, in_order, settled=0)
    remembered.save()
    text = index.read_text(encoding="utf-8")
    assert str(alice) not in text
    assert Remembered(index).of(file, refused, settled=0) == "x"


@pytest.fixture
def in_order() -> Callable[[Path], str]:
    return lambda path: path.read_text(encoding="utf-8")


def refused(path: Path) -> str:
    raise AssertionError(f"{path} was read again")
