from __future__ import annotations

import pytest
import torch

from compute.models import build, tokenizer
from compute.models.checkpoint import Checkpoint
from compute.models.recipes import Architecture

TEXTS = [
    "wake me at five",
    "play some jazz",
    "what time is it",
    "më zgjo në pesë",
    "luaj pak xhaz",
    "sa është ora",
]
INTENTS = ["alarm", "music", "time"] * 2


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def words() -> str:
    return tokenizer.train(TEXTS, vocabulary=80)


@pytest.fixture
def fresh(words: str) -> Checkpoint:
    architecture = Architecture(hidden=32, layers=2, heads=2, vocabulary=80, max_length=12)
    return build.new_base(architecture, words, INTENTS, seed=3)
