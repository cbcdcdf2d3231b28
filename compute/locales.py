"""The locales of MASSIVE 1.1: names, languages, codes, families, scripts. Knows no data and no model.

Two codes stand beside each locale, because they change the typological similarity that is read from URIEL.
*iso639_3* is the individual language of the locale: Standard Arabic `arb`, Tosk Albanian `als`, Halh
Mongolian `khk`. *macro* is the code that the predecessor of this project looked up: a macro-language for nine
languages (`ara`, `aze`, `fas`, `lav`, `mon`, `msa`, `sqi`, `swa`, `zho`), the individual code for all others,
`nob` and `tgl` among them. lang2vec's URIEL predictions hold every code named here; `sqi` and `als` have the
same features there, as have `mon` and `khk`, and the other seven pairs differ.

Families are top-level families, scripts ISO 15924 codes. The predecessor's table has 50 of the 52 locales:
`he-IL` and `sv-SE` are missing from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from compute.errors import unknown


@dataclass(frozen=True, slots=True)
class Locale:
    """Describe one locale: its MASSIVE code, ISO 639-3 codes, top-level family and ISO 15924 script."""

    code: str
    language: str
    iso639_3: str
    macro: str
    family: str
    script: str


_TABLE = (
    Locale("af-ZA", "Afrikaans", "afr", "afr", "Indo-European", "Latn"),
    Locale("am-ET", "Amharic", "amh", "amh", "Afro-Asiatic", "Ethi"),
    Locale("ar-SA", "Arabic", "arb", "ara", "Afro-Asiatic", "Arab"),
    Locale("az-AZ", "Azerbaijani", "azj", "aze", "Turkic", "Latn"),
    Locale("bn-BD", "Bengali", "ben", "ben", "Indo-European", "Beng"),
    Locale("ca-ES", "Catalan", "cat", "cat", "Indo-European", "Latn"),
    Locale("cy-GB", "Welsh", "cym", "cym", "Indo-European", "Latn"),
    Locale("da-DK", "Danish", "dan", "dan", "Indo-European", "Latn"),
    Locale("de-DE", "German", "deu", "deu", "Indo-European", "Latn"),
    Locale("el-GR", "Greek", "ell", "ell", "Indo-European", "Grek"),
    Locale("en-US", "English", "eng", "eng", "Indo-European", "Latn"),
    Locale("es-ES", "Spanish", "spa", "spa", "Indo-European", "Latn"),
    Locale("fa-IR", "Persian", "pes", "fas", "Indo-European", "Arab"),
    Locale("fi-FI", "Finnish", "fin", "fin", "Uralic", "Latn"),
    Locale("fr-FR", "French", "fra", "fra", "Indo-European", "Latn"),
    Locale("he-IL", "Hebrew", "heb", "heb", "Afro-Asiatic", "Hebr"),
    Locale("hi-IN", "Hindi", "hin", "hin", "Indo-European", "Deva"),
    Locale("hu-HU", "Hungarian", "hun", "hun", "Uralic", "Latn"),
    Locale("hy-AM", "Armenian", "hye", "hye", "Indo-European", "Armn"),
    Locale("id-ID", "Indonesian", "ind", "ind", "Austronesian", "Latn"),
    Locale("is-IS", "Icelandic", "isl", "isl", "Indo-European", "Latn"),
    Locale("it-IT", "Italian", "ita", "ita", "Indo-European", "Latn"),
    Locale("ja-JP", "Japanese", "jpn", "jpn", "Japonic", "Jpan"),
    Locale("jv-ID", "Javanese", "jav", "jav", "Austronesian", "Latn"),
    Locale("ka-GE", "Georgian", "kat", "kat", "Kartvelian", "Geor"),
    Locale("km-KH", "Khmer", "khm", "khm", "Austroasiatic", "Khmr"),
    Locale("kn-IN", "Kannada", "kan", "kan", "Dravidian", "Knda"),
    Locale("ko-KR", "Korean", "kor", "kor", "Koreanic", "Kore"),
    Locale("lv-LV", "Latvian", "lvs", "lav", "Indo-European", "Latn"),
    Locale("ml-IN", "Malayalam", "mal", "mal", "Dravidian", "Mlym"),
    Locale("mn-MN", "Mongolian", "khk", "mon", "Mongolic", "Cyrl"),
    Locale("ms-MY", "Malay", "zsm", "msa", "Austronesian", "Latn"),
    Locale("my-MM", "Burmese", "mya", "mya", "Sino-Tibetan", "Mymr"),
    Locale("nb-NO", "Norwegian Bokmål", "nob", "nob", "Indo-European", "Latn"),
    Locale("nl-NL", "Dutch", "nld", "nld", "Indo-European", "Latn"),
    Locale("pl-PL", "Polish", "pol", "pol", "Indo-European", "Latn"),
    Locale("pt-PT", "Portuguese", "por", "por", "Indo-European", "Latn"),
    Locale("ro-RO", "Romanian", "ron", "ron", "Indo-European", "Latn"),
    Locale("ru-RU", "Russian", "rus", "rus", "Indo-European", "Cyrl"),
    Locale("sl-SL", "Slovenian", "slv", "slv", "Indo-European", "Latn"),
    Locale("sq-AL", "Albanian", "als", "sqi", "Indo-European", "Latn"),
    Locale("sv-SE", "Swedish", "swe", "swe", "Indo-European", "Latn"),
    Locale("sw-KE", "Swahili", "swh", "swa", "Niger-Congo", "Latn"),
    Locale("ta-IN", "Tamil", "tam", "tam", "Dravidian", "Taml"),
    Locale("te-IN", "Telugu", "tel", "tel", "Dravidian", "Telu"),
    Locale("th-TH", "Thai", "tha", "tha", "Kra-Dai", "Thai"),
    Locale("tl-PH", "Tagalog", "tgl", "tgl", "Austronesian", "Latn"),
    Locale("tr-TR", "Turkish", "tur", "tur", "Turkic", "Latn"),
    Locale("ur-PK", "Urdu", "urd", "urd", "Indo-European", "Arab"),
    Locale("vi-VN", "Vietnamese", "vie", "vie", "Austroasiatic", "Latn"),
    Locale("zh-CN", "Chinese (Simplified)", "cmn", "zho", "Sino-Tibetan", "Hans"),
    Locale("zh-TW", "Chinese (Traditional)", "cmn", "zho", "Sino-Tibetan", "Hant"),
)

LOCALES: Mapping[str, Locale] = MappingProxyType({locale.code: locale for locale in _TABLE})
"""All 52 locales of MASSIVE 1.1, by code, in alphabetical order."""

PREDECESSOR_LOCALES: tuple[str, ...] = tuple(code for code in LOCALES if code not in {"he-IL", "sv-SE"})
"""The 50 locales that the document's similarity matrices cover, in alphabetical order."""


def check(code: str) -> str:
    """Return *code* if it is a locale of MASSIVE 1.1; else raise UsageError with the nearest ones."""
    if code not in LOCALES:
        raise unknown("locale", code, LOCALES)
    return code
