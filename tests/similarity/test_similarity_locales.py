"""The table of locales: complete, consistent, and checked names."""

from __future__ import annotations

import re

import pytest

from compute.errors import UsageError
from compute.locales import LOCALES, PREDECESSOR_LOCALES, check


def test_there_are_the_52_locales_of_massive_and_the_predecessors_50() -> None:
    assert len(LOCALES) == 52
    assert set(LOCALES) - set(PREDECESSOR_LOCALES) == {"he-IL", "sv-SE"}
    assert len(PREDECESSOR_LOCALES) == 50


def test_locales_stand_in_alphabetical_order_under_their_own_code() -> None:
    assert list(LOCALES) == sorted(LOCALES)
    assert list(PREDECESSOR_LOCALES) == sorted(PREDECESSOR_LOCALES)
    assert all(locale.code == code for code, locale in LOCALES.items())


def test_every_code_has_its_form() -> None:
    for locale in LOCALES.values():
        assert re.fullmatch("[a-z]{2}-[A-Z]{2}", locale.code)
        assert re.fullmatch("[a-z]{3}", locale.iso639_3)
        assert re.fullmatch("[a-z]{3}", locale.macro)
        assert re.fullmatch("[A-Z][a-z]{3}", locale.script)
        assert locale.language
        assert locale.family


def test_the_macro_code_differs_for_the_macro_languages_alone() -> None:
    differing = {locale.macro: locale.iso639_3 for locale in LOCALES.values() if locale.macro != locale.iso639_3}
    assert differing == {
        "ara": "arb",
        "aze": "azj",
        "fas": "pes",
        "lav": "lvs",
        "mon": "khk",
        "msa": "zsm",
        "sqi": "als",
        "swa": "swh",
        "zho": "cmn",
    }


def test_both_chinese_locales_are_one_language_in_two_scripts() -> None:
    simplified, traditional = LOCALES["zh-CN"], LOCALES["zh-TW"]
    assert simplified.iso639_3 == traditional.iso639_3
    assert simplified.macro == traditional.macro == "zho"
    assert (simplified.script, traditional.script) == ("Hans", "Hant")


def test_a_known_locale_is_returned_and_an_unknown_one_refused_with_the_nearest() -> None:
    assert check("sq-AL") == "sq-AL"
    with pytest.raises(UsageError, match="unknown locale 'sq_AL': did you mean sq-AL"):
        check("sq_AL")
