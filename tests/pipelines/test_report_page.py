"""The report page in headless Chromium: filters, films, looks, and nothing from outside."""

import json
import shutil
import socket
import subprocess
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipelines.finished_output import open_output
from pipelines.report import fill_page
from pipelines.report_clips import choose_clips, make_film
from pipelines.report_data import page_data
from schemas.ledger import LedgerRow
from schemas.outcome import Outcome

pytestmark = pytest.mark.slow

HOSTILE = "</script><script>window.wasRun = 1</script><img src=x onerror='window.wasRun = 1'>"

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--autoplay-policy=no-user-gesture-required",
)


class Browser:
    """One window; `open` shows a page, the rest looks at it."""

    def __init__(self, port: int, profile: Path) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=60)
        options = {"args": [*_FLAGS, f"--user-data-dir={profile}"]}
        wanted = {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        self._session = ""
        answer = self._send("POST", "", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/{answer['sessionId']}"

    def _send(self, method: str, path: str, body: object = None) -> Any:
        content = json.dumps(body) if method == "POST" else None
        self._connection.request(method, f"/session{self._session}{path}", content)
        answer = json.loads(self._connection.getresponse().read())["value"]
        if isinstance(answer, dict) and "error" in answer:
            raise RuntimeError(f"{path}: {answer['message']}")
        return answer

    def _command(self, name: str, **values: Any) -> Any:
        return self._send("POST", "/goog/cdp/execute", {"cmd": name, "params": values})

    def resize(self, width: int, height: int) -> None:
        """Set the size of the page in CSS pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self._command("Emulation.setDeviceMetricsOverride", **size)

    def prefer(self, **features: str) -> None:
        """Set what the user prefers, as `color_scheme="dark"`."""
        names = {f"prefers-{name.replace('_', '-')}": value for name, value in features.items()}
        media = [{"name": name, "value": value} for name, value in names.items()]
        self._command("Emulation.setEmulatedMedia", features=media)

    def open(self, page: Path) -> None:
        """Show a local page."""
        self._send("POST", "/url", {"url": page.absolute().as_uri()})

    def run(self, script: str) -> Any:
        """Return what a script returns."""
        return self._send("POST", "/execute/sync", {"script": script, "args": []})

    def wait_for(self, condition: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + 30
        while not self.run(f"return Boolean({condition})"):
            assert time.monotonic() < end, f"never became true: {condition}"
            time.sleep(0.05)

    def press(self, keys: str) -> None:
        """Press keys, one after the other."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        body = {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]}
        self._send("POST", "/actions", body)

    def complaints(self) -> list[str]:
        """Return the console's messages since the last call."""
        return [entry["message"] for entry in self._send("POST", "/se/log", {"type": "browser"})]

    def requests(self) -> list[str]:
        """Return the addresses asked for since the last call."""
        entries = self._send("POST", "/se/log", {"type": "performance"})
        events = [json.loads(entry["message"])["message"] for entry in entries]
        wanted = [each for each in events if each["method"] == "Network.requestWillBeSent"]
        return [each["params"]["request"]["url"] for each in wanted]

    def screenshot(self, *, is_whole: bool = False) -> bytes:
        """Return the page as PNG: what is in view, or all of it."""
        shot = self._command("Page.captureScreenshot", captureBeyondViewport=is_whole)
        return b64decode(shot["data"])

    def close(self) -> None:
        """End the browser."""
        self._send("DELETE", "")
        self._connection.close()


@contextmanager
def start_browser(folder: Path) -> Iterator[Browser]:
    """Give a browser with a new profile below a folder; skip the test if there is none."""
    driver = shutil.which("chromedriver")
    if driver is None or shutil.which("chromium") is None:
        pytest.skip("no Chromium; install it with: apt-get install chromium chromium-driver")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen(
        [driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            _wait_for_port(port)
            browser = Browser(port, folder / "profile")
            try:
                yield browser
            finally:
                browser.close()
        finally:
            process.terminate()


def _wait_for_port(port: int) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < end, "chromedriver does not answer"
            time.sleep(0.05)
        else:
            return


@pytest.fixture(scope="module")
def page(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page about `built` as two splits, with 120 missing clips and texts that are markup."""
    output = open_output(str(built))
    missing = [
        LedgerRow(clip_id=f"gone_{index}", outcome=Outcome.MISSING, label_text="x")
        for index in range(119)
    ]
    texts = dict.fromkeys(("clip_id", "detail", "label_text", "path", "source"), HOSTILE)
    hostile = LedgerRow(outcome=Outcome.CRASHED, **texts)
    outputs = [replace(output, ledger=(*output.ledger, *missing, hostile)), output]
    films = [film for each in choose_clips(outputs, 2) if (film := make_film(*each)) is not None]
    data = page_data(outputs, films)
    data["outputs"][1]["name"] = f"csv {HOSTILE}"
    data["films"][0]["note"] = HOSTILE
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(fill_page(data), "utf-8")
    return path


@pytest.fixture(scope="module")
def _browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with start_browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def browser(_browser: Browser, page: Path) -> Browser:
    """The page as a laptop shows it first."""
    _browser.resize(1280, 800)
    _browser.prefer(color_scheme="light", reduced_motion="no-preference")
    _browser.complaints()
    _browser.requests()
    _browser.open(page)
    return _browser


def _shown(browser: Browser) -> list[str]:
    shown: list[str] = browser.run(
        "return [...document.querySelectorAll('#rows tbody tr')].map(row => row.innerText)"
    )
    return shown


def _choose(browser: Browser, name: str, value: str) -> None:
    browser.run(
        f"const field = document.getElementById('{name}'); field.value = {json.dumps(value)};"
        "field.dispatchEvent(new Event('input', {bubbles: true}));"
        "field.dispatchEvent(new Event('change', {bubbles: true}))"
    )


def test_page_draws_itself_without_a_complaint_or_a_request(browser: Browser, page: Path) -> None:
    browser.run("document.getElementById('clips').scrollIntoView()")
    browser.wait_for("document.querySelector('.film input').value > 0")
    assert browser.complaints() == []
    asked = {url for url in browser.requests() if not url.startswith(("blob:", "data:", "chrome:"))}
    assert asked <= {page.as_uri()}
    sections = browser.run("return [...document.querySelectorAll('h2')].map(h => h.innerText)")
    assert sections == ["Outcomes", "Hygiene", "Clips", "Figures", "Settings and versions"]
    assert browser.run("return document.querySelectorAll('.chart rect').length") > 20


def test_a_request_or_a_foreign_script_would_be_stopped(browser: Browser) -> None:
    browser.run(
        "document.body.append(Object.assign(new Image(), {src: 'https://example.invalid/a'}))"
    )
    browser.run(
        "const s = document.createElement('script'); s.textContent = 'window.wasRun = 1';"
        "document.body.append(s)"
    )
    assert browser.run("return window.wasRun") is None
    complaints = browser.complaints()
    assert any("example.invalid" in each and "img-src" in each for each in complaints)
    assert any("script-src" in each for each in complaints)


def test_markup_in_the_data_stays_text(browser: Browser) -> None:
    _choose(browser, "outcome", "crashed")
    assert HOSTILE in "".join(_shown(browser))
    assert browser.run("return document.querySelectorAll('main img, main script').length") == 0
    assert browser.run("return window.wasRun") is None


def test_filters_narrow_the_rows_together(browser: Browser) -> None:
    assert len(_shown(browser)) == 25
    assert browser.run("return document.getElementById('count').innerText") == "132 of 132 rows"
    _choose(browser, "search", "GONE_11")
    assert len(_shown(browser)) == 10
    assert all("gone_11" in text for text in _shown(browser))
    _choose(browser, "outcome", "unreadable")
    assert _shown(browser) == []
    _choose(browser, "search", "")
    assert len(_shown(browser)) == 2
    _choose(browser, "outcome", "")
    label = browser.run(
        "return [...document.querySelectorAll('#label option')].find(o => o.text == 'y').value"
    )
    _choose(browser, "label", label)
    assert len(_shown(browser)) == 6  # b, d and the row without a file, in two outputs
    _choose(browser, "view", "2")
    assert len(_shown(browser)) == 3
    assert browser.run("return document.querySelector('#totals dd').innerText") == "6"


def test_an_outcome_is_chosen_with_the_keyboard_alone(browser: Browser) -> None:
    browser.run("document.querySelector('[data-outcome=missing]').focus()")
    browser.press(" ")
    assert browser.run("return document.activeElement.getAttribute('aria-pressed')") == "true"
    assert browser.run("return document.getElementById('count').innerText") == "121 of 132 rows"
    browser.run("document.getElementById('next').focus()")
    browser.press("\ue007")
    assert browser.run("return document.getElementById('place').innerText") == "page 2 of 5"


def _picture(browser: Browser, panel: int) -> np.ndarray[Any, Any]:
    """RGB of a panel of the first film, as the screen shows it."""
    box = browser.run(
        f"const r = document.querySelectorAll('.film canvas')[{panel}].getBoundingClientRect();"
        "return [r.left, r.top, r.width, r.height].map(Math.round)"
    )
    shot = cv2.imdecode(np.frombuffer(browser.screenshot(), np.uint8), cv2.IMREAD_COLOR_RGB)
    left, top, width, height = box
    return shot[top : top + height, left : left + width].astype(int)


def test_films_play_when_they_come_into_view_and_stop_at_the_button(browser: Browser) -> None:
    frame = "document.querySelector('.film input').value"
    browser.run("document.querySelector('.film').scrollIntoView({behavior: 'instant'})")
    browser.wait_for(f"{frame} > 2")
    browser.run("document.querySelector('.film button').click()")
    assert browser.run("return document.querySelector('.film button').innerText") == "Play"
    held = browser.run(f"return {frame}")
    time.sleep(0.3)
    assert browser.run(f"return {frame}") == held


def _square_centre(browser: Browser) -> float:
    """Where the bright square of the first panel is, in pixels of the frame."""
    picture = _picture(browser, 0)
    is_bright = (picture.min(axis=2) > 180).sum(axis=0) > picture.shape[0] // 5
    columns = np.flatnonzero(is_bright)
    return float(columns.mean() * 64 / picture.shape[1]) if columns.size else -1.0


def test_films_stand_still_for_those_who_ask_for_less_motion(browser: Browser, page: Path) -> None:
    browser.prefer(color_scheme="light", reduced_motion="reduce")
    browser.open(page)
    browser.run("document.querySelector('.film').scrollIntoView({behavior: 'instant'})")
    end = time.monotonic() + 30
    while abs(_square_centre(browser) - 11.5) > 1:
        assert time.monotonic() < end, "the first frame never came"
    time.sleep(0.4)
    assert browser.run("return document.querySelector('.film input').value") == "0"
    assert browser.run("return document.querySelector('.film button').innerText") == "Play"
    browser.run("document.querySelector('.film button').click()")
    browser.wait_for("document.querySelector('.film input').value > 2")


def test_slider_shows_each_frame_in_all_panels(browser: Browser, page: Path) -> None:
    browser.prefer(color_scheme="light", reduced_motion="reduce")
    browser.open(page)
    browser.run("document.querySelector('.film').scrollIntoView({behavior: 'instant'})")
    for index in (1, 10):
        browser.run(
            "const s = document.querySelector('.film input');"
            f"s.value = {index}; s.dispatchEvent(new Event('input'))"
        )
        end = time.monotonic() + 30
        while abs(_square_centre(browser) - (2 * index + 11.5)) > 1:  # it moves 2 px per frame
            assert time.monotonic() < end, f"frame {index} never came"
    assert browser.run("return document.querySelector('.film button').innerText") == "Play"
    rgb, pose, flow = (_picture(browser, panel) for panel in range(3))
    assert np.abs(rgb - pose).mean() > 2
    assert flow.mean() > rgb.mean() + 50


def test_dark_and_light_follow_the_system(browser: Browser) -> None:
    shades = {}
    for scheme in ("light", "dark"):
        browser.prefer(color_scheme=scheme)
        shot = cv2.imdecode(np.frombuffer(browser.screenshot(), np.uint8), cv2.IMREAD_GRAYSCALE)
        shades[scheme] = float(np.median(shot))
    assert shades["light"] > 230
    assert shades["dark"] < 50


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_page_fits_its_width(browser: Browser, page: Path, width: int) -> None:
    browser.resize(width, 844)
    browser.open(page)
    widest = browser.run("return document.documentElement.scrollWidth")
    assert widest <= width
    outside = browser.run(
        "return [...document.querySelectorAll('main *')].filter(e => {"
        "const box = e.getBoundingClientRect();"
        f"return box.width > 0 && box.right > {width} + 0.5}}).map(e => e.outerHTML.slice(0, 80))"
    )
    assert outside == []
