"""Keeps the text of definitions that results were made by, so that a later change can be shown as a diff."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from compute.engine.code import Code


class Sources:
    """A folder of texts by the hash that records have of them; it can be lost without harm."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "sources"
        self._kept: set[str] = set()

    def keep(self, code: Code, parts: Mapping[str, str]) -> None:
        """Write the text of each part that is not there yet.

        A full disk, a read-only cache, or a source that somebody edits meanwhile is no reason to fail.
        """
        new = {part: made for part, made in parts.items() if ":" in part and made not in self._kept}
        self._kept.update(new.values())
        with suppress(OSError, SyntaxError, ValueError):
            for part, made in new.items():
                if not self._path(made).exists():
                    self._write(code, part, made)

    def text(self, made: str) -> str | None:
        """Return the text of the definition with a hash, or None if it was not kept."""
        with suppress(OSError, ValueError):
            return self._path(made).read_text(encoding="utf-8") or None
        return None

    def _path(self, made: str) -> Path:
        return self.folder / made[:2] / made

    def _write(self, code: Code, part: str, made: str) -> None:
        found, text = code.text(part)
        if found != made:
            return  # edited while cells run: the record has the hash of what it was when they were planned
        path = self._path(made)
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{made}.{uuid.uuid4().hex[:8]}")
        try:
            scratch.write_text(text + "\n", encoding="utf-8")  # not flushed: a lost text only shortens a `why`
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)
