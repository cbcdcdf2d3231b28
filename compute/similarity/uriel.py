"""URIEL: how alike the grammars of two locales are. Knows lang2vec's data file, not what is done with it.

The features are URIEL's 103 syntactic ones with gaps filled by nearest neighbours (`syntax_knn` of lang2vec;
Littell et al. 2017, https://aclanthology.org/E17-2002). The file is read from the installed package, and the
package's code is not imported: it needs a part of setuptools that no longer exists.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from compute.errors import UsageError, unknown
from compute.locales import LOCALES, check

DATA_SHA256 = "0e8af1bdb29e1bd71343d495d4fd4e1cd523e934e6d5fa42b72262ca8d8151b8"
"""SHA-256 of feature_predictions.npz in lang2vec 1.1.2: every similarity below depends on this file."""

Codes = Literal["individual", "macro"]
"""Which ISO 639-3 code of a locale is looked up: see compute.locales."""


@dataclass(frozen=True, slots=True)
class _Features:
    """The syntactic features of every language in the file, and the row of each code."""

    rows: Mapping[str, int]
    values: NDArray[np.float64]


def vectors(codes: Sequence[str]) -> NDArray[np.float64]:
    """Return the syntactic features [n, 103], each 0 or 1, of the languages with these ISO 639-3 codes.

    Raises UsageError for a code that URIEL does not know, and if lang2vec's file is missing or another one.
    """
    features = _read(_data_file())
    for code in codes:
        if code not in features.rows:
            raise unknown("URIEL language", code, features.rows)
    return features.values[[features.rows[code] for code in codes]]


def cosine(locales: Sequence[str], *, codes: Codes) -> NDArray[np.float64]:
    """Return the cosines [n, n] between the feature vectors of *locales*: symmetric, ones on the diagonal."""
    feature_vectors = vectors([_language(locale, codes) for locale in locales])
    products = feature_vectors @ feature_vectors.T
    squares = np.diagonal(products)
    # One root of the product, not the product of two roots: so equal vectors give exactly 1.
    return products / np.sqrt(np.outer(squares, squares))


def similarity(locales: Sequence[str], *, codes: Codes) -> NDArray[np.float64]:
    """Return the URIEL similarity [n, n] between *locales* as the document defines it: (1 + cosine) / 2.

    *codes* says which language stands for a locale: "individual", or "macro" as in the document. Symmetric,
    so that rows may be read as targets and columns as sources. Raises UsageError for unknown locales.
    """
    return (1.0 + cosine(locales, codes=codes)) / 2.0


def _language(locale: str, codes: Codes) -> str:
    """Return the ISO 639-3 code that stands for *locale*."""
    match codes:
        case "individual":
            return LOCALES[check(locale)].iso639_3
        case "macro":
            return LOCALES[check(locale)].macro
        case _:
            raise unknown("set of language codes", codes, ("individual", "macro"))


def _data_file() -> Path:
    """Return the path of lang2vec's feature file."""
    try:
        # Not by find_spec: lang2vec also installs a script lang2vec.py, which console scripts find first.
        installed = distribution("lang2vec")
    except PackageNotFoundError:
        raise UsageError("URIEL is read from lang2vec, which is missing: pip install lang2vec==1.1.2") from None
    return Path(str(installed.locate_file("lang2vec/data/feature_predictions.npz")))


@cache
def _read(path: Path) -> _Features:
    """Read the syntactic features from *path*; raise UsageError if it is not the file that we know."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"URIEL data file {path.name} is missing: pip install lang2vec==1.1.2") from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != DATA_SHA256:
        raise UsageError(
            f"URIEL data file {path.name} has SHA-256 {digest}, expected {DATA_SHA256}: "
            "pip install --force-reinstall lang2vec==1.1.2"
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        syntactic = [column for column, name in enumerate(arrays["feats"].tolist()) if name.startswith("S_")]
        values = arrays["data"][:, syntactic, 0].astype(np.float64)
        return _Features({code: row for row, code in enumerate(arrays["langs"].tolist())}, values)
