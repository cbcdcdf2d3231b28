"""The whole site of a built project: every link leads somewhere, every page is in order in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import browser as helper
import pytest
from project import ADAPTERS, Project
from selenium.webdriver import Chrome


@pytest.fixture(scope="module")
def site(built: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("site")
    project = Project(tmp_path_factory.mktemp("studies") / "project")
    shutil.copytree(built.root, project.root, symlinks=True)
    done = project.run("build", ADAPTERS, tiny=ADAPTERS)
    assert done.returncode == 0, done.stderr
    with helper.serve(folder) as url:
        helper.build(project.root, folder, url)
        yield url, folder


class Page(HTMLParser):
    """Collects what a page links to, and the anchors that it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = {""}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        self.links |= {found[name] for name in ("href", "src", "data-src") if name in found}


@pytest.mark.slow
def test_every_link_of_the_site_leads_to_a_file_and_an_anchor(site: tuple[str, Path]) -> None:
    url, folder = site
    pages = {path: Page(path) for path in folder.rglob("index.html")}
    assert len(pages) > 25
    broken = []
    for path, page in pages.items():
        here = urljoin(url, path.parent.relative_to(folder).as_posix() + "/")
        for link in page.links:
            target = urlsplit(urljoin(here, link))
            if not target.geturl().startswith(url):
                continue
            place = folder / unquote(target.geturl().split("#")[0].removeprefix(url))
            place = place / "index.html" if place.is_dir() else place
            anchors = pages[place].anchors if place in pages else {"", target.fragment}
            if not place.is_file() or unquote(target.fragment) not in anchors:
                broken.append(f"{here}: {link}")
    assert not broken, broken[:20]


@pytest.mark.browser
@pytest.mark.skipif(bool(helper.missing()), reason=helper.missing())
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 400), ("dark", 400)])
def test_every_page_is_in_order_in_a_browser(site: tuple[str, Path], scheme: str, width: int) -> None:
    url, _ = site
    with helper.browser() as driver:
        addresses = helper.pages(url)
        assert len(addresses) > 25
        problems = [line for page in addresses for line in visited(driver, page, scheme, width)]
    assert not problems, problems[:20]


def visited(driver: Chrome, page: str, scheme: str, width: int) -> list[str]:
    return helper.visit(driver, page, scheme=scheme, width=width).problems  # type: ignore[arg-type]


@pytest.mark.browser
@pytest.mark.skipif(bool(helper.missing()), reason=helper.missing())
def test_a_number_on_the_report_opens_the_cell_that_it_came_from(site: tuple[str, Path]) -> None:
    url, _ = site
    with helper.browser() as driver:
        driver.get(f"{url}studies/dare-source-selection/")
        number = driver.find_element("css selector", "#table-primary a.cell[href*='evaluation']")
        anchor = str(number.get_attribute("href")).rpartition("#")[2]
        scored = opened(driver, number, anchor)
        asked = driver.find_element("css selector", f"[id='{anchor}'] a[href*='logits']")
        made = opened(driver, asked, str(asked.get_attribute("href")).rpartition("#")[2])
    assert all(part in scored for part in ("inputs", "trace", "computed"))
    assert all(part in made for part in ("config", "inputs", "trace", "computed", "density"))


def opened(driver: Any, link: Any, anchor: str) -> str:
    """Follow *link* to a cell, which opens, and return what it says."""
    driver.execute_script("arguments[0].click()", link)
    assert helper.until(
        lambda: driver.execute_script("return document.getElementById(arguments[0])?.open === true", anchor)
    )
    return str(driver.find_element("id", anchor).text)
