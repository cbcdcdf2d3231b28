from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import markdown  # type: ignore[import-untyped]
import pytest

from compute.report.drawing import ChartFiles, Figure
from compute.report.jinja import environment

ROOT = Path(__file__).parents[2]
HOSTILE = '<b>"*x*_&`|'
ESCAPED = "&lt;b&gt;&#34;*x*_&amp;`|"


def render(template: str, **values: Any) -> str:
    made = environment(ROOT).from_string('{% import "macros.md.j2" as ui %}' + template)
    return made.render(**values)


def to_html(text: str) -> str:
    return str(markdown.markdown(text, extensions=["md_in_html", "attr_list", "tables"]))


def figure(**more: Any) -> Figure:
    files = ChartFiles(Path("charts"), "score", 'A "chart".', 720, 300)
    return Figure(files=files, caption="A <caption>.", **more)


def test_a_study_replaces_a_shared_template_and_keeps_the_others(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "study").mkdir()
    for folder, name in [("templates", "a.j2"), ("templates", "b.j2"), ("study", "b.j2")]:
        (tmp_path / folder / name).write_text(f"{folder} {name}", encoding="utf-8")
    made = environment(tmp_path, tmp_path / "study")
    assert [made.get_template(name).render() for name in ("a.j2", "b.j2")] == ["templates a.j2", "study b.j2"]


def test_a_name_that_nobody_defined_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError, match="missing"):
        render("{{ missing }}")


@pytest.mark.parametrize(
    ("template", "written"),
    [("{{ 0.6654|percent }}", "66.54 %"), ("{{ 0.1|points }}", "+0.10 pts"), ("{{ 3.21|seconds }}", "3.2 s"),
     ("{{ 1500|bytes }}", "1.5 kB"), ("{{ 0.5|percent(0) }}", "50 %"), ("{{ '*a*'|text }}", "&#42;a&#42;")],
)  # fmt: skip
def test_filters_write_values(template: str, written: str) -> None:
    assert render(template) == written


def test_a_chart_has_an_image_for_each_palette_and_no_script() -> None:
    made = render("{{ ui.chart(figure) }}", figure=figure(csv_href="tables/score.csv"))
    assert 'data-src="charts/score.vl.json"' in made
    for colours in ("light", "dark"):
        assert f'src="charts/score.{colours}.svg" alt="A &#34;chart&#34;."' in made
    assert 'width="720" height="300"' in made
    assert 'href="tables/score.csv" download' in made
    assert "A &lt;caption&gt;." in made
    assert "<script" not in made


def test_the_data_of_a_chart_is_folded_below_it_if_there_is_any() -> None:
    assert "<details" not in render("{{ ui.chart(figure) }}", figure=figure())
    made = render("{{ ui.chart(figure) }}", figure=figure(table="<table></table>"))
    assert "<table></table>" in made.split("<details")[1]


@pytest.mark.parametrize(
    "template",
    [
        '{{ ui.box("failed", x, x, x, x) }}',
        '{{ ui.claim({"sentence": x, "verdict": "holds"}, [], x, x) }}',
        '{{ ui.tiles([{"label": x, "value": x, "note": x}]) }}',
        '{{ ui.cards([{"title": x, "href": x, "text": x}]) }}',
    ],
)
def test_blocks_take_any_text_as_text(template: str) -> None:
    made = render(template, x=HOSTILE)
    assert "<b>" not in made
    assert to_html(made).count(ESCAPED) >= 2


@pytest.mark.parametrize("template", ["{{ ui.badge(x) }}", "{{ ui.number(x) }}", "{{ ui.number(x, 'a') }}"])
def test_pieces_of_a_sentence_take_any_text_as_text(template: str) -> None:
    shown = to_html("before " + render(template, x=HOSTILE) + " after")
    assert "<em>" not in shown
    assert "<b>" not in shown


@pytest.mark.parametrize("template", ['{{ ui.box("stale", "t", "a\n\nb", "c", "d\n\ne") }}', "{{ ui.chart(figure) }}"])
def test_blocks_pass_through_markdown_untouched(template: str) -> None:
    made = render(template, figure=figure(table="<table><tr><td>*1*</td></tr></table>"))
    assert to_html(f"before\n\n{made}\n\nafter") == f"<p>before</p>\n{made}\n\n<p>after</p>"


@pytest.mark.parametrize("claim", ["does not hold", SimpleNamespace(verdict="does not hold")])
def test_a_verdict_is_a_badge_of_its_word(claim: object) -> None:
    made = render("{{ ui.verdict(claim) }}", claim=claim)
    assert made == '<span class="rc-badge rc-badge--does-not-hold">does not hold</span>'


def test_a_number_leads_to_its_cell_or_nowhere() -> None:
    assert render("{{ ui.number('66.54 %', 'cells/#k') }}") == '<a class="cell" href="cells/#k">66.54 %</a>'
    assert render("{{ ui.number('66.54 %') }}") == '<span class="rc-value">66.54 %</span>'


def test_a_badge_has_the_look_of_its_word_or_another() -> None:
    assert 'class="rc-badge rc-badge--cannot-be-told"' in render("{{ ui.badge('cannot be told') }}")
    assert 'class="rc-badge rc-badge--warn" title="why"' in render("{{ ui.badge('3 left', 'warn', 'why') }}")


def test_a_claim_shows_sentence_verdict_and_evidence() -> None:
    evidence = [
        {"label": "difference", "value": "+0.86 pts", "href": "cells/#k"},
        {"label": "n", "value": "14"},
    ]
    made = render("{{ ui.claim(c, e, key='one') }}", c={"sentence": "It is so.", "verdict": "holds"}, e=evidence)
    assert 'id="claim-one"' in made
    assert "It is so." in made
    assert "rc-badge--holds" in made
    assert '<dt>difference</dt><dd><a class="cell" href="cells/#k">+0.86 pts</a></dd>' in made
