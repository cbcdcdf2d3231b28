"""The project's modules: where their source lies, what it defines, what importing them runs. Imports none."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from compute.engine.files import Remembered
from compute.engine.syntax.summary import READER, Summary, summarise, texts
from compute.errors import UsageError

_EMPTY: Summary = {"imports": {}, "stars": [], "runs": [], "definitions": {}}


class Modules:
    """What the sources say, each read once; anything installed and the standard library is not the project's."""

    def __init__(self, remembered: Remembered | None = None, outside: tuple[str, ...] = ()) -> None:
        """Take where summaries are remembered, and the packages ("a.b.") that do not count as the project's."""
        self._outside = outside
        self._remembered = remembered or Remembered()
        self._sources: dict[str, Path | None] = {}
        self._summaries: dict[str, Summary | None] = {}
        self._texts: dict[str, dict[str, tuple[str, str]]] = {}
        self._run: dict[str, frozenset[str]] = {}

    def file(self, module: str) -> Path | None:
        """Return the file of a project module, or None for what is not the project's or has none."""
        path = self._source(module)
        return path if path and path.is_file() else None

    def summary(self, module: str) -> Summary | None:
        """Return what a module's source says, or None if it is not one of the project's."""
        if module not in self._summaries:
            path = self._source(module)
            self._summaries[module] = self._read(module, path) if path else None
        return self._summaries[module]

    def texts(self, module: str) -> dict[str, tuple[str, str]]:
        """Return the hash and the text of each definition, as the source is now."""
        if module not in self._texts:
            path = self._source(module)
            source = path.read_bytes() if path and path.is_file() else b""
            self._texts[module] = texts(source, module, package=path is not None and path.name == "__init__.py")
        return self._texts[module]

    def is_submodule(self, module: str, name: str) -> bool:
        """Whether *module* is a package and has a module *name*."""
        path = self._source(module)
        inside = path is not None and (path.name == "__init__.py" or path.is_dir())
        return inside and self.summary(f"{module}.{name}") is not None

    def below(self, beginning: str) -> list[str]:
        """List the modules, in whatever depth, whose name begins with "package." or "package.part", sorted."""
        package = beginning.rpartition(".")[0]
        path = self._source(package)
        if path is None or (path.is_file() and path.name != "__init__.py"):
            return []
        folder = path.parent if path.is_file() else path
        inside = (file.relative_to(folder).with_suffix("").parts for file in folder.rglob("*.py"))
        names = {".".join([package, *parts]).removesuffix(".__init__") for parts in inside}
        return sorted(name for name in names if name.startswith(beginning))

    def plugins(self, package: str) -> list[str]:
        """List the plug-ins of a package: its modules without those that begin with an underscore."""
        names = (module.removeprefix(f"{package}.") for module in self.below(f"{package}."))
        return [name for name in names if not name.startswith("_") and "." not in name]

    def run_by(self, imported: str) -> frozenset[str]:
        """Return the modules that run when "a.b" is imported, or "a.b:c" where c may be one: themselves included."""
        if imported not in self._run:
            seen: set[str] = set()
            stack = self._named(imported)
            while stack:
                module = stack.pop()
                summary = self.summary(module) if module not in seen else None
                if summary is not None:
                    seen.add(module)
                    stack.extend(inner for item in summary["runs"] for inner in self._named(item))
            self._run[imported] = frozenset(seen)
        return self._run[imported]

    def _named(self, imported: str) -> list[str]:
        """Return the module that an import names, and the packages that it lies in."""
        module, _, member = imported.partition(":")
        if self._source(module.partition(".")[0]) is None:
            return []
        parts = module.split(".")
        inner = [f"{module}.{member}"] if member and self.is_submodule(module, member) else []
        return [*(".".join(parts[: count + 1]) for count in range(len(parts))), *inner]

    def _read(self, module: str, path: Path) -> Summary:
        if path.is_dir():
            return _EMPTY

        def read(path: Path) -> Summary:
            return summarise(path.read_bytes(), module, package=path.name == "__init__.py")

        try:
            return self._remembered.of(path, read, f"{READER}/{module}")
        except SyntaxError as error:
            raise UsageError(f"{path.name}, line {error.lineno}: {error.msg}") from error

    def _source(self, module: str) -> Path | None:
        """Return the file of a project module, its folder if it has none, or None for anything else."""
        if module not in self._sources:
            top, *rest = module.split(".")
            outside = f"{module}.".startswith(self._outside)
            self._sources[module] = None if outside else _within(self._source(top), rest) if rest else _top(top)
        return self._sources[module]


def _within(start: Path | None, names: list[str]) -> Path | None:
    """Return the file or folder of a module of the package that starts at a file or folder."""
    if start is None or (start.is_file() and start.name != "__init__.py"):
        return None
    stem = (start.parent if start.is_file() else start).joinpath(*names)
    candidates = [stem / "__init__.py", stem.with_suffix(".py")]
    return next((path for path in candidates if path.is_file()), stem if stem.is_dir() else None)


def _top(name: str) -> Path | None:
    """Return the file or folder of a top-level module of the project, or None for anything else."""
    if not name or name in sys.stdlib_module_names:
        return None
    origin, folders = _location(name)
    if origin is None and not folders:
        return None
    path = Path(origin or folders[0])
    installed = {"site-packages", "dist-packages"} & set(path.parts) and name != __name__.partition(".")[0]
    return None if installed or (path.is_file() and path.suffix != ".py") else path


def _location(name: str) -> tuple[str | None, list[str]]:
    """Return the file of a top-level module and the folders of a package, without importing it."""
    if module := sys.modules.get(name):
        return getattr(module, "__file__", None), list(getattr(module, "__path__", ()))
    spec = find_spec(name)
    return (spec.origin, list(spec.submodule_search_locations or ())) if spec else (None, [])
