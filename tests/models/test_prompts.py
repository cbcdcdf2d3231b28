from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from compute.errors import UsageError
from compute.evaluation.tasks import factorial
from compute.models import prompts
from compute.models.causal import CausalModel

PLAIN = CausalModel({"max_position_embeddings": 32}, {}, factorial.tokenizer(), ends=(1,), eos="</s>")
QWEN = (
    "{%- if messages[0]['role'] == 'system' %}\n    {{- '<s>' + messages[0]['content'] }}\n{%- else %}\n"
    "    {{- '<s>system be kind</s>' }}\n{%- endif %}\n{%- for message in messages %}\n"
    "    {{- '<s>' + message.role + ' ' + message.content + eos_token }}\n{%- endfor %}\n"
    "{%- if add_generation_prompt %}\n    {{- '<s>assistant ' }}\n{%- endif %}\n"
)
WORDS = st.text(alphabet="ab12", min_size=1, max_size=12)


def words_of_language() -> str:
    names = ["<pad>", "</s>", "<s>", "<bos>", "<unk>", "system", "be", "kind", "user", "assistant", "hello", "two"]
    made = Tokenizer(models.WordLevel({name: n for n, name in enumerate(names)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens(names[:4])
    made.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 3)])
    return str(made.to_str())


def chat(template: str = QWEN) -> CausalModel:
    return dataclasses.replace(PLAIN, tokenizer=words_of_language(), chat_template=template, bos="<bos>")


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=4))
def test_without_a_template_prompt_and_answer_are_joined_and_ended(pairs: list[tuple[str, str]]) -> None:
    found = prompts.encode(PLAIN, pairs)

    assert [PLAIN.words.decode(row, skip_special_tokens=False) for row in found.ids] == [
        f"{prompt}{answer}</s>" for prompt, answer in pairs
    ]
    assert found.starts == [len(prompt) for prompt, _ in pairs]
    assert found.cut == 0


@given(WORDS, WORDS, st.integers(2, 30))
def test_cutting_keeps_the_prompts_end_and_the_answers_beginning(prompt: str, answer: str, limit: int) -> None:
    whole = prompts.encode(PLAIN, [(prompt, answer)])
    found = prompts.encode(PLAIN, [(prompt, answer)], limit)
    [row], [start], [all_], [begin] = found.ids, found.starts, whole.ids, whole.starts

    assert len(row) == min(limit, len(all_))
    assert found.cut == (len(all_) > limit)
    assert start >= 1
    assert len(row) > start
    assert row[:start] == all_[begin - start : begin]
    assert row[start:] == all_[begin:][: len(row) - start]
    assert len(row) - start == min(len(answer) + 1, limit - 1)


def test_an_empty_answer_leaves_the_prompt_to_be_continued() -> None:
    found = prompts.encode(PLAIN, [("ab", "")])

    assert (len(found.ids[0]), found.starts) == (2, [2])


def test_a_template_gets_the_prompt_as_the_users_message_and_opens_the_answer() -> None:
    model = chat()
    found = prompts.encode(model, [("hello two", "two")])

    theirs = PreTrainedTokenizerFast(tokenizer_object=model.words, eos_token="</s>", bos_token="<bos>")
    expected = theirs.apply_chat_template(
        [{"role": "user", "content": "hello two"}], chat_template=QWEN, add_generation_prompt=True, return_dict=False
    )
    assert found.ids == [[*expected, 11, 1]]
    assert found.starts == [len(expected)]


def test_without_a_template_the_tokenizers_own_beginning_stays_before_the_prompt_alone() -> None:
    found = prompts.encode(dataclasses.replace(chat(), chat_template=""), [("hello", "two")])

    assert found.ids == [[3, 10, 11, 1]]
    assert found.starts == [2]


def test_a_model_without_an_end_gets_none() -> None:
    assert prompts.encode(dataclasses.replace(PLAIN, ends=()), [("a", "b")]).ids == [PLAIN.words.encode("ab").ids]


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% else %}two{% endif %}", "two"),
        ("{% generation %}{{ messages[0].content }}{% endgeneration %}", "<b>&"),
        ("{{ messages | tojson }}", '[{"role": "user", "content": "<b>&"}]'),
        ("{% for m in messages %}{% break %}{% endfor %}{{ bos_token }}", "<bos>"),
    ],
)
def test_templates_find_what_they_are_written_for_but_no_clock(template: str, text: str) -> None:
    assert prompts.rendered(chat(template), "<b>&") == text


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ raise_exception('no user here') }}", "no user here"),
        ("{{ messages.__class__.__mro__[1].__subclasses__() }}", "fails"),
        ("{{ messages.append(1) }}", "fails"),
        ("{% if %}", "no Jinja template"),
    ],
)
def test_templates_that_fail_or_reach_out_are_refused(template: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        prompts.rendered(chat(template), "hello")


def test_characters_that_the_tokenizer_lacks_and_lengths_without_room_are_refused() -> None:
    with pytest.raises(UsageError, match="cannot read a prompt"):
        prompts.encode(PLAIN, [("ä", "a")])
    with pytest.raises(ValueError, match="no room"):
        prompts.encode(PLAIN, [("a", "a")], 1)
