from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, Literal

import browser as helper
import patchy_site
import pytest
import sample_site
from patchy_study import score
from selenium.webdriver import ActionChains, Chrome, Keys

pytestmark = [pytest.mark.browser, pytest.mark.skipif(bool(helper.missing()), reason=helper.missing())]

REPORT = "studies/sample/"
CELLS = "studies/sample/cells/merge/"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Build the sample site, serve it as a project page is served, and give its address."""
    root = sample_site.make_site(tmp_path_factory.mktemp("project"))
    with helper.serve(root / "site") as url:
        helper.build(root, root / "site", url)
        yield url


@pytest.fixture(scope="module")
def driver() -> Iterator[Chrome]:
    with helper.browser() as started:
        yield started


def texts(driver: Chrome, selector: str) -> list[str]:
    found: list[str] = driver.execute_script(
        "return [...document.querySelectorAll(arguments[0])].filter(e => !e.closest('[hidden]')).map(e => e.innerText)",
        selector,
    )
    return found


def click(driver: Chrome, selector: str) -> None:
    element = driver.find_element("css selector", selector)
    driver.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element)
    element.click()


def mark(driver: Chrome) -> None:
    """Mark the document, so that a full load of another can be told from an instant navigation."""
    driver.execute_script("window.sameDocument = true")


def same_document(driver: Chrome) -> bool:
    return bool(driver.execute_script("return window.sameDocument === true"))


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_in_order(site: str, driver: Chrome, scheme: Literal["light", "dark"], width: int) -> None:
    pages = helper.pages(site)
    assert {f"{site}{page}" for page in ("", REPORT, CELLS, "guide/reading/")} <= set(pages)
    problems = [
        problem for page in pages for problem in helper.visit(driver, page, scheme=scheme, width=width).problems
    ]
    assert problems == []
    assert driver.execute_script("return document.body.dataset.mdColorScheme") == (
        "slate" if scheme == "dark" else "default"
    )


@pytest.fixture(scope="module")
def patchy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Build the site of a study in which cells failed, are blocked, stale, missing, accepted and verified."""
    root = tmp_path_factory.mktemp("patchy")
    sample_site.make_project(root)
    (root / "docs/index.md").write_text("# Home", encoding="utf-8")
    made = patchy_site.Site(root)
    made.build(score("sq-AL"))
    made.once(score("sw-KE"), patchy_site.OLD, "2026-01-02T03:04:05+00:00")
    made.build(score("vi-VN"))
    made.write()
    with helper.serve(root / "site") as url:
        helper.build(root, root / "site", url)
        yield url


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_on_which_something_is_lacking_are_in_order(
    patchy: str, driver: Chrome, scheme: Literal["light", "dark"], width: int
) -> None:
    for page in ("studies/patchy-study/", "studies/patchy-study/cells/score/"):
        assert helper.visit(driver, f"{patchy}{page}", scheme=scheme, width=width).problems == []
    helper.visit(driver, f"{patchy}studies/patchy-study/", scheme=scheme, width=width)
    kinds = "return [...new Set([...document.querySelectorAll('.rc-box__kind')].map(e => e.textContent))].sort()"
    assert driver.execute_script(kinds) == ["blocked", "failed", "missing", "note", "stale"]
    click(driver, ".rc-box--failed summary")
    assert "Traceback" in texts(driver, ".rc-box--failed details")[0]
    colours = "return arguments[0].map(s => getComputedStyle(document.querySelector(s)).color)"
    muted, plain = driver.execute_script(colours, ["td .rc-former", "#table-scores td a.cell strong"])
    assert muted != plain
    click(driver, ".rc-box--stale a.cell")
    assert helper.until(lambda: bool(driver.find_elements("css selector", "details.rc-cell[open].rc-target")))


def test_charts_are_drawn_after_an_instant_navigation_and_former_ones_are_let_go(site: str, driver: Chrome) -> None:
    helper.visit(driver, site)
    mark(driver)
    for _ in range(2):
        click(driver, ".rc-card")
        assert helper.until(lambda: driver.current_url == f"{site}{REPORT}")
        found = helper.look(driver)
        assert found.problems == []
        assert len(driver.find_elements("css selector", ".rc-live svg.marks")) == len(
            driver.find_elements("css selector", ".rc-chart")
        )
        click(driver, ".md-tabs__link[href$='../'], .md-logo")
        assert helper.until(lambda: driver.current_url == site)
    assert same_document(driver)


def test_charts_follow_the_palette(site: str, driver: Chrome) -> None:
    helper.visit(driver, f"{site}{REPORT}", scheme="light")
    colour = "return getComputedStyle(document.querySelector('.rc-live .mark-group text')).fill"
    light = driver.execute_script(colour)
    driver.execute_script("document.getElementById('__palette_2').click()")
    assert helper.draw_charts(driver) == ()
    assert driver.execute_script(colour) != light
    driver.execute_script("localStorage.clear()")


def test_a_table_sorts_by_size_and_puts_nothing_last(site: str, driver: Chrome) -> None:
    helper.visit(driver, f"{site}{REPORT}")
    accuracies = "#table-results td:nth-child(3)"
    original = texts(driver, accuracies)
    numbers = sorted(float(text.removesuffix(" %")) for text in original if text != "—")
    orders = {"descending": numbers[::-1], "ascending": numbers}
    for direction, wanted in orders.items():
        click(driver, "#table-results th:nth-child(3) button")
        head = driver.find_element("css selector", "#table-results thead th:nth-child(3)")
        assert head.get_attribute("aria-sort") == direction
        shown = texts(driver, accuracies)
        assert [float(text.removesuffix(" %")) for text in shown[:-1]] == wanted
        assert shown[-1] == "—"
    click(driver, "#table-results th:nth-child(3) button")
    assert texts(driver, accuracies) == original


def test_a_table_sorts_texts_and_only_one_column_at_a_time(site: str, driver: Chrome) -> None:
    helper.visit(driver, f"{site}{REPORT}")
    click(driver, "#table-results th:nth-child(3) button")
    click(driver, "#table-results th:nth-child(1) button")
    shown = texts(driver, "#table-results tbody th")
    assert shown == sorted(shown)
    sorts: list[str] = driver.execute_script(
        "return [...document.querySelectorAll('#table-results thead th')].map(e => e.ariaSort)"
    )
    assert sorts == ["ascending", *["none"] * (len(sorts) - 1)]


def test_a_table_shows_only_the_rows_that_hold_every_word(site: str, driver: Chrome) -> None:
    helper.visit(driver, f"{site}{REPORT}")
    field = driver.find_element("css selector", "#table-results input")
    field.send_keys("swah dare")
    assert texts(driver, "#table-results tbody td:nth-child(2)") == ["DARE", "DARE + TIES"]
    assert texts(driver, "#table-results [role=status]") == ["2 of 56 rows"]
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(Keys.DELETE)
    assert len(texts(driver, "#table-results tbody tr")) == 56


def test_a_number_leads_to_its_cell_which_is_marked(site: str, driver: Chrome) -> None:
    helper.visit(driver, f"{site}{REPORT}")
    mark(driver)
    click(driver, "#table-results a.cell[href$='#k30']")
    assert helper.until(lambda: bool(driver.find_elements("css selector", "#k30.rc-target")))
    assert driver.current_url == f"{site}{CELLS}#k30"
    assert same_document(driver)
    in_view = "const box = document.querySelector('#k30').getBoundingClientRect(); \
        return box.top > 48 && box.bottom < innerHeight"
    assert helper.until(lambda: bool(driver.execute_script(in_view)))
    driver.back()
    assert helper.until(lambda: driver.current_url == f"{site}{REPORT}")
    assert helper.draw_charts(driver) == ()


def test_a_number_opens_the_folded_cell_that_it_leads_to(site: str, driver: Chrome) -> None:
    helper.visit(driver, f"{site}guide/reading/")
    click(driver, "a.cell[href$='#c-1']")
    assert helper.until(lambda: bool(driver.find_elements("css selector", "#c-1[open].rc-target")))
    assert not driver.find_elements("css selector", "#c-2[open]")


def test_a_tooltip_shows_the_values_and_does_not_outlive_its_page(site: str, driver: Chrome) -> None:
    helper.visit(driver, f"{site}{REPORT}")
    point = driver.find_element("css selector", ".rc-live .mark-symbol path")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", point)
    ActionChains(driver).move_to_element(point).perform()
    assert helper.until(lambda: texts(driver, "#vg-tooltip-element.visible") != [])
    assert "70.00%" in texts(driver, "#vg-tooltip-element")[0]
    click(driver, ".md-logo")
    assert helper.until(lambda: driver.current_url == site)
    assert helper.until(lambda: texts(driver, "#vg-tooltip-element") == [])


def shown_images(driver: Chrome) -> set[str]:
    """Return which of a chart's three images are shown: rc-live, rc-static--light, rc-static--dark."""
    found: list[str] = driver.execute_script(
        "return [...document.querySelectorAll('.rc-chart > *')]"
        ".filter(e => getComputedStyle(e).display !== 'none').map(e => e.className)"
    )
    return {word for names in found for word in names.split() if word.startswith(("rc-live", "rc-static--"))}


def test_paper_gets_the_light_image_even_from_a_dark_page(site: str, driver: Chrome) -> None:
    helper.visit(driver, f"{site}{REPORT}", scheme="dark")
    assert shown_images(driver) == {"rc-live"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert shown_images(driver) == {"rc-static--light"}
    printed: dict[str, Any] = driver.execute_cdp_cmd("Page.printToPDF", {})
    assert base64.b64decode(printed["data"]).startswith(b"%PDF")
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_without_scripts_a_chart_is_its_image_and_a_table_is_plain(site: str, driver: Chrome) -> None:
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        driver.get(f"{site}{REPORT}")
        image = driver.find_element("css selector", ".rc-static--light")
        assert image.is_displayed()
        assert not driver.find_element("css selector", ".rc-static--dark").is_displayed()
        assert driver.find_elements("css selector", "#table-results button, #table-results input") == []
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


IMAGE = "i = new Image(); i.src = 'data:image/png,x'; document.body.append(i); return i.decode().catch(() => 0)"
HARMS = {
    "external": "fetch('http://127.0.0.1:9/x').catch(() => 0)",
    "failed": "fetch('absent.json')",
    "console": "console.error('oh')",
    "undrawn": "document.body.insertAdjacentHTML('beforeend', '<p class=rc-chart data-src=x>x</p>')",
    "broken_images": f"(() => {{ const {IMAGE} }})()",
    "overflow": "document.querySelector('.md-content h1').style.width = '3000px'",
}


@pytest.mark.parametrize("kind", HARMS)
def test_the_checks_find_what_is_wrong(site: str, driver: Chrome, kind: str) -> None:
    assert helper.visit(driver, f"{site}guide/reading/").problems == []
    driver.execute_async_script(f"Promise.resolve({HARMS[kind]}).finally(() => arguments[0]())")
    assert getattr(helper.look(driver, patience=0.2), kind) != ()
