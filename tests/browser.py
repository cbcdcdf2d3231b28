"""Opens pages of a built site in a real browser and reports what is wrong with them.

Needs Debian's packages chromium and chromium-driver. The same checks serve the small site of the tests and
the real one::

    with serve(site) as url, browser() as driver:
        build(root, site, url)
        for page in pages(url):
            assert not visit(driver, page, scheme="dark", width=400).problems
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from xml.etree import ElementTree

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

CHROMIUM = Path("/usr/bin/chromium")
CHROMEDRIVER = Path("/usr/bin/chromedriver")

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)

_WIDER = """
const wide = [], limit = document.documentElement.clientWidth + 1;
for (const element of document.querySelectorAll(".md-container *")) {
  const box = element.getBoundingClientRect();
  if (!box.width || box.right <= limit || getComputedStyle(element).visibility === "hidden") continue;
  let parent = element.parentElement, held = false;
  for (; parent && parent !== document.body && !held; parent = parent.parentElement)
    held = getComputedStyle(parent).overflowX !== "visible" && parent.getBoundingClientRect().right <= limit;
  if (!held) wide.push(element.tagName.toLowerCase() + "." + element.className);
}
if (document.documentElement.scrollWidth > limit) wide.push("the page itself");
return wide;
"""

_DRAWN = """
const [chart] = arguments, svg = chart.querySelector(".rc-live svg");
return chart.dataset.drawn === (document.body.dataset.mdColorScheme ?? "default")
  && svg.querySelectorAll(".mark-group").length > 0
  && Math.abs(svg.getBoundingClientRect().width - chart.clientWidth) < 0.1 * chart.clientWidth
  && Math.abs(svg.getBoundingClientRect().width - Number(svg.getAttribute("width"))) < 2;
"""

_BROKEN_IMAGES = """
return [...document.images].filter(i => i.complete && i.currentSrc && !i.naturalWidth).map(i => i.currentSrc);
"""


@dataclass(frozen=True)
class Findings:
    """What was found on one page in one palette at one width; all empty if the page is in order."""

    url: str
    scheme: str
    width: int
    external: tuple[str, ...]
    failed: tuple[str, ...]
    console: tuple[str, ...]
    undrawn: tuple[str, ...]
    broken_images: tuple[str, ...]
    overflow: tuple[str, ...]

    @property
    def problems(self) -> list[str]:
        """Return every finding as a line that names the page."""
        kinds = ("external", "failed", "console", "undrawn", "broken_images", "overflow")
        place = f"{self.url} ({self.scheme}, {self.width} px)"
        return [f"{place}: {kind}: {item}" for kind in kinds for item in getattr(self, kind)]


def missing() -> str:
    """Return why no browser can be started here, or an empty string."""
    absent = [str(path) for path in (CHROMIUM, CHROMEDRIVER) if not path.is_file()]
    return f"no {' and no '.join(absent)}: install chromium and chromium-driver" if absent else ""


class _Handler(SimpleHTTPRequestHandler):
    """Serves a folder below a prefix, as a project's site is served, and logs nothing."""

    def __init__(self, *arguments: Any, prefix: str, **named: Any) -> None:
        self.prefix = prefix
        super().__init__(*arguments, **named)

    def translate_path(self, path: str) -> str:
        inside = path.startswith(self.prefix)
        return super().translate_path(path.removeprefix(self.prefix.rstrip("/")) if inside else "/absent")

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@contextmanager
def serve(folder: Path, prefix: str = "/recount/") -> Iterator[str]:
    """Serve *folder*, which may still be empty, on a free port of this machine; yield its address."""
    handler = partial(_Handler, prefix=prefix, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}{prefix}"
        finally:
            server.shutdown()
            thread.join()


def build(root: Path, site: Path, url: str) -> None:
    """Build the site of *root*, the folder of ``mkdocs.yml``, into *site* to be served at *url*."""
    command = [sys.executable, "-m", "mkdocs", "build", "-q", "-f", str(root / "mkdocs.yml"), "-d", str(site)]
    environment = {**os.environ, "SITE_URL": url, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"mkdocs build failed:\n{done.stdout}{done.stderr}")


def pages(url: str) -> list[str]:
    """Return the addresses of all pages in the sitemap of the site at *url*."""
    with urllib.request.urlopen(f"{url}sitemap.xml") as answer:
        tree = ElementTree.fromstring(answer.read())
    return [node.text or "" for node in tree.iter("{http://www.sitemaps.org/schemas/sitemap/0.9}loc")]


@contextmanager
def browser() -> Iterator[Chrome]:
    """Start a headless browser with a fresh profile; it is always ended, whatever happens."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        driver = Chrome(options=options, service=Service(str(CHROMEDRIVER)))
        try:
            driver.get("about:blank")
            yield driver
        finally:
            driver.quit()


def visit(driver: Chrome, url: str, *, scheme: Literal["light", "dark"] = "light", width: int = 1280) -> Findings:
    """Open *url* as a reader who prefers *scheme* on a window of *width* pixels, and report what is wrong."""
    set_window(driver, url, scheme=scheme, width=width)
    _network(driver)
    _console(driver)
    driver.get(url)
    return look(driver, scheme=scheme, width=width)


def set_window(driver: Chrome, url: str, *, scheme: str, width: int, height: int = 900) -> None:
    """Make the browser forget the palette chosen at *url* and prefer *scheme*, with a window of *width*."""
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(url))
    driver.execute_cdp_cmd("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "local_storage"})
    preference = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [preference]})
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def look(driver: Chrome, *, scheme: str = "", width: int = 0, patience: float = 10.0) -> Findings:
    """Report what is wrong with the page that is open, and with what happened since the last look."""
    url = driver.current_url
    undrawn = draw_charts(driver, patience)
    external, failed = _judge(_network(driver), urlsplit(url).netloc)
    return Findings(
        url=url,
        scheme=scheme,
        width=width,
        external=external,
        failed=failed,
        console=_console(driver),
        undrawn=undrawn,
        broken_images=tuple(driver.execute_script(_BROKEN_IMAGES)),
        overflow=tuple(driver.execute_script(_WIDER)),
    )


def draw_charts(driver: Chrome, patience: float = 10.0) -> tuple[str, ...]:
    """Bring every visible chart into the window, wait until it is drawn, and return those that were not."""
    undrawn = []
    for chart in driver.find_elements("css selector", ".rc-chart"):
        if not chart.size["width"]:
            continue
        driver.execute_script("arguments[0].scrollIntoView({behavior: 'instant'})", chart)
        if not until(partial(driver.execute_script, _DRAWN, chart), patience):
            undrawn.append(str(chart.get_attribute("data-src")))
    driver.execute_script("scrollTo({top: 0, behavior: 'instant'})")
    return tuple(undrawn)


def until(condition: Any, patience: float = 10.0) -> bool:
    """Wait until *condition* is true, at most *patience* seconds, and return whether it became so."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return bool(condition())


def _console(driver: Chrome) -> tuple[str, ...]:
    """Return the errors and warnings on the console since the last call."""
    entries = _log(driver, "browser")
    return tuple(entry["message"] for entry in entries if entry["level"] in {"SEVERE", "WARNING"})


def _network(driver: Chrome) -> list[dict[str, Any]]:
    """Return the network events since the last call."""
    return [json.loads(entry["message"])["message"] for entry in _log(driver, "performance")]


def _log(driver: Chrome, kind: str) -> list[dict[str, Any]]:
    return list(driver.get_log(kind))  # type: ignore[no-untyped-call]


def _judge(events: list[dict[str, Any]], host: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the addresses asked for beyond *host*, and the answers that were errors."""
    asked = {
        event["params"]["requestId"]: event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }
    external = [url for url in asked.values() if urlsplit(url).scheme != "data" and urlsplit(url).netloc != host]
    answers = [event["params"]["response"] for event in events if event["method"] == "Network.responseReceived"]
    failed = [f"{answer['status']} {answer['url']}" for answer in answers if answer["status"] >= 400]
    lost = [
        f"{event['params']['errorText']} {asked.get(event['params']['requestId'], '')}"
        for event in events
        if event["method"] == "Network.loadingFailed" and not event["params"].get("canceled")
    ]
    return tuple(external), (*failed, *lost)
