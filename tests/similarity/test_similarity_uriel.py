"""URIEL similarity on the real data file, and the source choices that the document prints."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from compute.errors import UsageError
from compute.locales import LOCALES, PREDECESSOR_LOCALES
from compute.similarity import uriel
from compute.similarity.selection.sinkhorn import sinkhorn
from compute.similarity.selection.top_k import top_k
from compute.sinkhorn import sinkhorn_weights

ALBANIAN = PREDECESSOR_LOCALES.index("sq-AL")

# Cosines of the macro codes, as lang2vec's own code gives them.
GOLDEN = {
    ("af-ZA", "sq-AL"): 0.677,
    ("af-ZA", "sw-KE"): 0.521,
    ("af-ZA", "vi-VN"): 0.609,
    ("af-ZA", "de-DE"): 0.864,
    ("sq-AL", "de-DE"): 0.810,
    ("sq-AL", "it-IT"): 0.864,
    ("sq-AL", "tr-TR"): 0.583,
    ("sq-AL", "fr-FR"): 0.819,
    ("sq-AL", "ar-SA"): 0.773,
    ("sq-AL", "cy-GB"): 0.805,
    ("sq-AL", "fi-FI"): 0.775,
    ("sw-KE", "ar-SA"): 0.674,
    ("vi-VN", "tr-TR"): 0.326,
    ("it-IT", "cy-GB"): 0.840,
    ("ar-SA", "fi-FI"): 0.657,
}


@pytest.fixture(scope="module")
def macro() -> NDArray[np.float64]:
    return uriel.similarity(PREDECESSOR_LOCALES, codes="macro")


def chosen(order: list[int]) -> list[str]:
    return [PREDECESSOR_LOCALES[index] for index in order]


def others(target: int) -> list[int]:
    return [index for index in range(len(PREDECESSOR_LOCALES)) if index != target]


@pytest.mark.parametrize(("pair", "expected"), GOLDEN.items())
def test_cosines_are_those_of_lang2vec(pair: tuple[str, str], expected: float) -> None:
    assert uriel.cosine(pair, codes="macro")[0, 1] == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("swa", "swh", 0.974),
        ("ara", "arb", 0.831),
        ("lav", "lvs", 0.810),
        ("msa", "zsm", 0.924),
        ("zho", "cmn", 0.961),
        ("fas", "pes", 0.986),
    ],
)
def test_macro_and_individual_languages_have_different_features(first: str, second: str, expected: float) -> None:
    one, other = uriel.vectors([first, second])
    assert one @ other / np.sqrt((one @ one) * (other @ other)) == pytest.approx(expected, abs=5e-4)


def test_vectors_are_103_features_of_zero_or_one_in_the_order_asked_for() -> None:
    features = uriel.vectors(["afr", "deu", "afr"])
    assert features.shape == (3, 103)
    assert set(np.unique(features).tolist()) == {0.0, 1.0}
    assert (features[0] == features[2]).all()
    assert (features[0] != features[1]).any()


@pytest.mark.parametrize("codes", ["individual", "macro"])
def test_every_locale_has_features_under_both_sets_of_codes(codes: uriel.Codes) -> None:
    similarity = uriel.similarity(list(LOCALES), codes=codes)
    assert similarity.shape == (52, 52)
    assert (similarity == similarity.T).all()
    assert (np.diagonal(similarity) == 1).all()
    assert similarity.min() > 0.5


def test_the_set_of_codes_changes_the_similarity_of_a_macro_language() -> None:
    pair = ["ar-SA", "sq-AL"]
    macro, individual = (uriel.similarity(pair, codes=codes)[0, 1] for codes in ("macro", "individual"))
    arabic, albanian = uriel.vectors(["arb", "als"])
    cosine = arabic @ albanian / np.sqrt((arabic @ arabic) * (albanian @ albanian))
    assert individual == pytest.approx((1 + cosine) / 2)
    assert macro != pytest.approx(individual)


def test_the_document_s_matrix_has_its_range_and_mean(macro: NDArray[np.float64]) -> None:
    off_diagonal = macro[~np.eye(50, dtype=bool)]
    assert off_diagonal.min() == pytest.approx(0.605, abs=5e-4)
    assert off_diagonal.mean() == pytest.approx(0.817, abs=5e-4)
    assert off_diagonal.max() == 1.0
    chinese = [PREDECESSOR_LOCALES.index(code) for code in ("zh-CN", "zh-TW")]
    assert macro[chinese[0], chinese[1]] == 1.0


def test_sinkhorn_gives_albanian_the_sources_that_the_document_prints(macro: NDArray[np.float64]) -> None:
    selected = chosen(sinkhorn(macro, ALBANIAN, others(ALBANIAN), 5, seed=0))
    assert selected == ["ar-SA", "cy-GB", "fi-FI", "nl-NL", "fr-FR"]
    weights = sinkhorn_weights(macro)[ALBANIAN, [PREDECESSOR_LOCALES.index(code) for code in selected]]
    assert weights == pytest.approx([0.11313, 0.08854, 0.06072, 0.04585, 0.04522], abs=1e-5)


def test_raw_similarity_would_give_albanian_its_neighbours(macro: NDArray[np.float64]) -> None:
    selected = chosen(top_k(macro, ALBANIAN, others(ALBANIAN), 5, seed=0))
    assert selected == ["ro-RO", "el-GR", "pt-PT", "pl-PL", "sl-SL"]


def test_sinkhorn_chooses_other_sources_than_raw_similarity_for_nearly_all_targets(
    macro: NDArray[np.float64],
) -> None:
    overlaps = [
        len(
            set(sinkhorn(macro, target, others(target), 5, seed=0))
            & set(top_k(macro, target, others(target), 5, seed=0))
        )
        for target in range(50)
    ]
    assert sum(overlap < 5 for overlap in overlaps) == 48
    assert np.mean(overlaps) == pytest.approx(1.86)


def test_lang2vecs_code_is_not_run() -> None:
    program = (
        "import sys\nfrom compute.similarity import uriel\nuriel.similarity(['sq-AL'], codes='macro')\n"
        "sys.exit(any(name.split('.')[0] in {'lang2vec', 'pkg_resources', 'torch'} for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UsageError, match="unknown URIEL language 'zzz'"):
        uriel.vectors(["zzz"])
    with pytest.raises(UsageError, match="unknown locale 'xx-XX'"):
        uriel.similarity(["xx-XX"], codes="macro")
    with pytest.raises(UsageError, match="unknown set of language codes 'macros': did you mean macro"):
        uriel.similarity(["sq-AL"], codes="macros")  # type: ignore[arg-type]


def test_another_data_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "feature_predictions.npz"
    file.write_bytes(b"other features")
    monkeypatch.setattr(uriel, "_data_file", lambda: file)
    with pytest.raises(UsageError, match=f"expected {uriel.DATA_SHA256}"):
        uriel.vectors(["afr"])
    file.unlink()
    with pytest.raises(UsageError, match="is missing"):
        uriel.vectors(["afr"])


def test_without_lang2vec_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(uriel, "distribution", missing)
    with pytest.raises(UsageError, match=r"missing: pip install lang2vec==1\.1\.2"):
        uriel.vectors(["afr"])
