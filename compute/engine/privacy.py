"""Takes out of a text whom it would betray: tokens, user and host names, home and project folders.

Every text of a record, a failure or a manifest passes through here. The payload of a result does not: it is what
the cell returned, and to change it would be to falsify it.
"""

from __future__ import annotations

import getpass
import os
import platform
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

SECRET, USER, HOST = "<secret>", "<user>", "<host>"

SHORTEST = 6
"""Characters of the shortest value of a secret variable that is taken out: shorter ones stand in any text."""

_SECRETS = ("TOKEN", "KEY", "SECRET", "PASSWORD", "PASSWD", "CREDENTIALS")
"""How the names of variables with secrets end."""

_ANYBODY = {
    *("admin", "app", "build", "builder", "ci", "circleci", "codespace", "compute", "container", "daemon"),
    *("debian", "default", "dev", "docker", "ec2-user", "guest", "jenkins", "jovyan", "local", "localdomain"),
    *("localhost", "machine", "main", "mkdocs", "model", "nobody", "node", "python", "root", "runner"),
    *("server", "test", "tests", "travis", "ubuntu", "user", "users", "vagrant", "vscode", "worker"),
}
"""Names of users and hosts that say nothing of anybody, and would be taken for words of a text."""

_SHAPES = (
    r"\bhf_[A-Za-z0-9]{16,}",
    r"\bgh[opsur]_[A-Za-z0-9]{16,}",
    r"\bgithub_pat_\w{20,}",
    r"\bglpat-[\w-]{16,}",
    r"\bsk-(?=[\w-]*\d)[\w-]{16,}",
    r"\bxox[abprs]-[\w-]{10,}",
    r"\bAIza[\w-]{30,}",
    r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}",
    r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*",
    r"(?<=[Bb]earer )[\w.~+/=-]{6,}",
    r"(?<=[Aa]uthorization: )\w+ +[\w.~+/=-]{6,}",
    r"(?<=://)[^/\s@'\"]+(?=@)",
    r"(?<=[?&](?:sig|key)=)[^\s&'\"]{6,}",
    r"(?<=[?&]token=)[^\s&'\"]{6,}",
    r"(?i:(?<=password=)|(?<=passwd=)|(?<=api_key=)|(?<=apikey=)|(?<=_token=)|(?<=_secret=))['\"]?[^\s&,;)'\"]{6,}",
)
"""Secrets that are known by their look, wherever they come from."""

_HOMES = r"(?<![\w.~-])/(?:home|Users)/[^/\s'\":,;)\]}>]+|(?<!\w)[A-Za-z]:[\\/]+Users[\\/]+[^\\/'\"\r\n:*?<>|]+"
"""Home folders of whoever it may be, also on other systems."""


def redacted(text: str) -> str:
    """Return *text* without tokens, names of the user and the host, and with short names for folders.

    The project's folder becomes `.` and a home folder `~`; what else is taken out leaves `<secret>`, `<user>` or
    `<host>`. A text without any of it comes back as it is.
    """
    state = (_here(), len(os.environ), *_known.values())
    return _short(text, state) if len(text) < _LONG else _clean(text, state)


def know(project: Path) -> None:
    """Look at the environment anew, and take *project*, too, for a folder whose place is nobody's business.

    Otherwise the environment is read when the first text comes, and when the working folder or the number of
    variables is another: to compare all variables for every text would cost more than the texts.
    """
    _known["environment"] = str(hash(frozenset(os.environ.items())))
    _known["project"] = str(project)


def forget() -> None:
    """Begin anew."""
    _known.clear()
    _short.cache_clear()
    _rules.cache_clear()


_LONG = 200
_PACKAGE = str(Path(__file__).parents[2])
_known: dict[str, str] = {}


@lru_cache(maxsize=4096)
def _short(text: str, state: tuple[object, ...]) -> str:
    """Remember short texts: names and codes of languages come again in every record."""
    return _clean(text, state)


def _clean(text: str, state: tuple[object, ...]) -> str:
    pattern, instead = _rules(state)
    return pattern.sub(lambda match: instead.get(match[0]) or instead[match.lastgroup or ""], text)


def _here() -> str:
    with suppress(OSError):
        return os.getcwd()  # noqa: PTH109 - asked for every text: a Path costs more than all the rest
    return ""


@lru_cache(maxsize=8)
def _rules(state: tuple[object, ...]) -> tuple[re.Pattern[str], dict[str, str]]:
    """Make one pattern of all that is looked for; *state* tells the environments apart for which it is made.

    With it comes what stands for a folder, by its path, and for the rest by the name of the group.
    """
    folders = _folders()
    parts = {
        "secret": "|".join([*_literals(_secrets()), *_SHAPES]),
        "folder": "|".join(rf"(?<![\w.~-]){text}(?![\w.-])" for text in _literals(folders)),
        "home": _HOMES,
        "user": _words(_users()),
        "host": _words(_hosts()),
    }
    pattern = "|".join(f"(?P<{name}>{part})" for name, part in parts.items() if part)
    return re.compile(pattern), {**folders, "secret": SECRET, "folder": "~", "home": "~", "user": USER, "host": HOST}


def _secrets() -> Iterator[str]:
    """Find the values of secret variables, also as they stand in the repr of a text and in an address."""
    from urllib.parse import quote

    for name, found in os.environ.items():
        value = found.strip()
        if name.upper().endswith(_SECRETS) and len(value) >= SHORTEST:
            yield from (value, repr(value)[1:-1], quote(value, safe=""))


def _literals(texts: Iterable[str]) -> list[str]:
    return [re.escape(text) for text in sorted(set(texts), key=lambda text: (-len(text), text))]


def _folders() -> dict[str, str]:
    """Return what stands for the folders of the project and the user, by either of their names."""
    projects = dict.fromkeys((_here(), _PACKAGE, _known.get("project", "")), ".")
    named = {**dict.fromkeys(_homes(), "~"), **projects}
    both = {
        form: short for path, short in named.items() if path for form in (path.rstrip("/\\"), os.path.realpath(path))
    }
    return {path: short for path, short in both.items() if len(path) > 1}


def _words(names: Iterator[str]) -> str:
    found = {name for name in names if len(name) >= 3 and name.lower() not in _ANYBODY and not name.isdigit()}
    return "|".join(rf"(?<![A-Za-z0-9])(?i:{text})(?![A-Za-z0-9])" for text in _literals(found))


def _homes() -> list[str]:
    found = [os.environ.get(name, "") for name in ("HOME", "USERPROFILE")]
    with suppress(RuntimeError):
        found.append(str(Path.home()))
    with suppress(ImportError, KeyError):
        import pwd

        found.append(pwd.getpwuid(os.getuid()).pw_dir)
    return found


def _users() -> Iterator[str]:
    yield from (os.environ.get(name, "") for name in ("USER", "LOGNAME", "USERNAME", "SUDO_USER"))
    with suppress(OSError, KeyError, ImportError):
        yield getpass.getuser()


def _hosts() -> Iterator[str]:
    for name in (platform.node(), os.environ.get("HOSTNAME", ""), os.environ.get("COMPUTERNAME", "")):
        yield from (name, name.partition(".")[0])
