"""Trains the subword vocabulary that a base model and its experts share. Knows texts, not their labels."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
"""XLM-R's special tokens; their ids are 0 to 4."""

COVERAGE = 0.9995
"""Share of all characters that the alphabet covers, as in XLM-R; rarer ones become <unk>."""


def train(texts: Sequence[str], *, vocabulary: int) -> str:
    """Train byte-pair encoding with at most *vocabulary* tokens; return the tokenizers library's JSON.

    The same texts give the same bytes, which the library's unigram trainer does not promise. Raises
    ValueError when the alphabet alone does not fit. Sennrich et al. 2016, https://arxiv.org/abs/1508.07909.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    alphabet = common_characters(texts)
    if len(alphabet) + len(SPECIAL) + 1 > vocabulary:
        raise ValueError(f"{len(alphabet)} characters do not fit into a vocabulary of {vocabulary}: raise it")
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=list(SPECIAL), show_progress=False)
    with _one_thread():
        tokenizer.train_from_iterator(_only(texts, alphabet), trainer)
    ends = [(token, SPECIAL.index(token)) for token in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=ends
    )
    return str(tokenizer.to_str())


def common_characters(texts: Sequence[str]) -> set[str]:
    """Find the fewest characters that cover `COVERAGE` of the normalised *texts*; ties by code point."""
    counts = Counter(character for text in texts for character in unicodedata.normalize("NFKC", text))
    wanted, covered, alphabet = COVERAGE * counts.total(), 0, set()
    for character, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if covered >= wanted:
            break
        alphabet.add(character)
        covered += count
    return alphabet


def _only(texts: Sequence[str], alphabet: set[str]) -> Iterator[str]:
    for text in texts:
        yield "".join(character for character in unicodedata.normalize("NFKC", text) if character in alphabet)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let the library count in one thread: it reads the environment at each call."""
    before = os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ["TOKENIZERS_PARALLELISM"]
        else:
            os.environ["TOKENIZERS_PARALLELISM"] = before
