from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from compute.models import tokenizer

ROOT = Path(__file__).parents[2]
TEXTS = ["weck mich um fünf", "më zgjo në orën pesë", "đánh thức tôi lúc năm giờ", "五点叫醒我"] * 5


def test_special_tokens_have_the_ids_of_xlm_r_and_frame_a_text() -> None:
    words = Tokenizer.from_str(tokenizer.train(TEXTS, vocabulary=120))

    assert [words.token_to_id(token) for token in tokenizer.SPECIAL] == [0, 1, 2, 3, 4]
    ids = words.encode("weck mich").ids
    assert (ids[0], ids[-1]) == (0, 2)
    assert words.decode(ids) == "weck mich"


def test_the_same_texts_give_the_same_bytes_in_another_process() -> None:
    code = (
        "import hashlib, sys; from compute.models import tokenizer;"
        "print(hashlib.sha256(tokenizer.train(sys.argv[1:], vocabulary=120).encode()).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", code, *TEXTS], capture_output=True, text=True, check=True, cwd=ROOT)

    here = hashlib.sha256(tokenizer.train(TEXTS, vocabulary=120).encode()).hexdigest()

    assert done.stdout.strip() == here


def test_the_vocabulary_is_never_larger_than_asked_for() -> None:
    words = Tokenizer.from_str(tokenizer.train(TEXTS, vocabulary=60))

    assert words.get_vocab_size() <= 60


def test_an_alphabet_that_does_not_fit_is_refused_with_its_size() -> None:
    with pytest.raises(ValueError, match=r"\d+ characters do not fit into a vocabulary of 12"):
        tokenizer.train(TEXTS, vocabulary=12)


def test_characters_too_rare_for_the_alphabet_become_unknown() -> None:
    texts = ["a" * 5000 + "b" * 4999 + "q"]

    words = Tokenizer.from_str(tokenizer.train(texts, vocabulary=20))

    assert tokenizer.common_characters(texts) == {"a", "b"}
    assert words.token_to_id("<unk>") in words.encode("q").ids


def test_ties_among_characters_are_broken_by_code_point_not_by_order() -> None:
    texts = ["x" * 4000, "cb", "bc"]

    assert tokenizer.common_characters(texts) == tokenizer.common_characters(texts[::-1])
