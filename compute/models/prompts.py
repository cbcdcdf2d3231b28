"""Turns prompts and the answers wanted into token ids for a causal language model. Knows no weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from compute.errors import UsageError

if TYPE_CHECKING:
    from jinja2 import Environment, Template

    from compute.models.causal import CausalModel

Pair = tuple[str, str]
"""What a model reads and what it should write; "" where nothing is to be written yet."""


@dataclass(frozen=True)
class Encoded:
    """Prompts followed by answers as token ids.

    `starts` is the place in each row at which the answer begins: all before it is prompt. `cut` counts the rows that
    were too long.
    """

    ids: list[list[int]]
    starts: list[int]
    cut: int


def encode(model: CausalModel, pairs: Sequence[Pair], max_length: int | None = None) -> Encoded:
    """Turn *pairs* into token ids of at most *max_length*, which is the model's own where not given.

    With a chat template the prompt is the user's message and the answer begins where the template lets the assistant
    begin; without one the prompt stands as it is. The answer is encoded apart, so that its tokens do not depend on the
    prompt's last one, and ends with the model's first end token. An empty answer gives the prompt alone, to continue.

    What is too long loses the oldest tokens of its prompt, so that question's end and answer stay; an answer that alone
    fills the row keeps its beginning, after one token of the prompt. Raises UsageError for text that the tokenizer does
    not know, and for a chat template that fails.
    """
    limit = model.max_length if max_length is None else min(max_length, model.max_length)
    if limit < 2:
        raise ValueError(f"max_length {limit} leaves no room for a prompt and an answer: at least 2 tokens are needed")
    prompts = _ids(model, [rendered(model, prompt) for prompt, _ in pairs], special=not model.chat_template)
    answers = _ids(model, [answer for _, answer in pairs], special=False)
    ended = [[*ids, *model.ends[:1]] if answer else [] for ids, (_, answer) in zip(answers, pairs, strict=True)]
    fitted = [_fit(prompt, answer, limit) for prompt, answer in zip(prompts, ended, strict=True)]
    cut = sum(len(p) + len(a) > limit for p, a in zip(prompts, ended, strict=True))
    return Encoded([prompt + answer for prompt, answer in fitted], [len(prompt) for prompt, _ in fitted], cut)


def rendered(model: CausalModel, prompt: str) -> str:
    """Return what the model reads for *prompt*: the chat template's text, or the prompt itself without a template.

    Templates see no clock: one that writes the date of today writes its own default, or fails.
    """
    if not model.chat_template:
        return prompt
    from jinja2 import TemplateError

    messages = [{"role": "user", "content": prompt}]
    try:
        text: str = _template(model.chat_template).render(
            messages=messages, add_generation_prompt=True, bos_token=model.bos, eos_token=model.eos
        )
    except TemplateError as error:
        raise UsageError(f"the base model's chat template fails on one user message: {error}") from None
    return text


def _ids(model: CausalModel, texts: Sequence[str], *, special: bool) -> list[list[int]]:
    """Encode *texts*; *special* adds what the tokenizer puts before a text, but not an end: the text goes on."""
    try:
        rows = [encoding.ids for encoding in model.words.encode_batch(list(texts), add_special_tokens=special)]
    except Exception as error:  # noqa: BLE001 - the tokenizers library raises nothing more precise
        raise UsageError(f"the base model's tokenizer cannot read a prompt or an answer: {error}") from None
    return [row[:-1] if special and row and row[-1] in model.ends else row for row in rows]


def _fit(prompt: list[int], answer: list[int], limit: int) -> tuple[list[int], list[int]]:
    room = max(1, limit - len(answer))
    kept = prompt[-room:]
    return kept, answer[: limit - len(kept)]


@cache
def _template(source: str) -> Template:
    from jinja2 import TemplateError

    try:
        return _environment().from_string(source)
    except TemplateError as error:
        raise UsageError(f"the base model's chat template is no Jinja template: {error}") from None


@cache
def _environment() -> Environment:
    """Make the sandbox that chat templates are written for, as transformers documents it, but for its clock.

    See "Writing a chat template" in the documentation of transformers.
    """
    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """Lets ``{% generation %}`` through, which marks what the assistant said."""

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)

    Generation.tags = {"generation"}

    def refuse(message: str) -> None:
        raise TemplateError(message)

    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )
    made.globals["raise_exception"] = refuse
    made.filters["tojson"] = _json
    return made


def _json(value: object, ensure_ascii: bool = False, **options: Any) -> str:
    """Write JSON for a template, without the HTML entities of Jinja's own filter."""
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)
