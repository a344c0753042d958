"""The page in a browser: what is clicked, dropped and heard, by mouse, keyboard and reader."""

import base64
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import uvicorn

from recsys.service.app import create_app
from recsys.service.settings import ServiceSettings
from tests.helpers.programs import find_program, needs

pytest.importorskip("playwright.sync_api", reason="needs playwright, of the extra dev")

pytestmark = [needs("chromium"), pytest.mark.slow]

PATIENCE = 60_000
"""Milliseconds for what takes a few on a quiet machine."""

HOSTILE = "<img src=x onerror=window.hit=1><b>.wav"

DROP = """([text, name]) => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], name, { type: "audio/wav" }));
  for (const kind of ["dragenter", "dragover", "drop"]) {
    const event = new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: files });
    document.querySelector("h1").dispatchEvent(event);
  }
}"""


@pytest.fixture(scope="module")
def address(hearing_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service of a model that hears, with its recordings."""
    place = tmp_path_factory.mktemp("page")
    shutil.copytree(hearing_model, place / "model")
    settings = ServiceSettings(audio_folders=(hearing_model.parent,), read_seconds=60)
    app = create_app(place / "model", settings)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
    with socket.create_server(("127.0.0.1", 0)) as opened:
        arguments = {"sockets": [opened]}
        thread = threading.Thread(target=server.run, kwargs=arguments, daemon=True)
        thread.start()
        assert app.state.context.served.wait(300)
        yield f"http://127.0.0.1:{opened.getsockname()[1]}"
        server.should_exit = True
        thread.join(60)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=find_program("chromium"), args=["--no-sandbox"]
        )
        yield opened
        opened.close()


class Tab:
    """A page of the browser, and all that went wrong in it."""

    def __init__(self, browser: Any, address: str, **settings: Any) -> None:
        self.context = browser.new_context(base_url=address, **settings)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._note)
        self.page.on("request", lambda one: self._check(one.url, address))

    def _note(self, message: Any) -> None:
        # htmx says so of requests that newer ones have taken the place of.
        if message.type == "error" and not message.text.startswith("htmx:afterRequest"):
            self.errors.append(message.text)

    def _check(self, url: str, address: str) -> None:
        if not url.startswith((address, "data:", "blob:")):
            self.elsewhere.append(url)

    def open(self, path: str) -> Any:
        self.page.goto(path)
        self.page.wait_for_selector("html[data-ready]")
        return self.page

    def close(self) -> None:
        """Close it; nothing may have gone wrong, and nothing asked of another host."""
        self.context.close()
        assert self.errors == []
        assert self.elsewhere == []


@pytest.fixture
def tab(browser: Any, address: str) -> Iterator[Tab]:
    opened = Tab(browser, address, viewport={"width": 1280, "height": 900})
    yield opened
    opened.close()


def until(page: Any, expression: str) -> None:
    """Wait until an expression is true; the policy of the page forbids Playwright's own way."""
    for _ in range(PATIENCE // 50):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(expression)


def listed(page: Any) -> list[str]:
    rows = page.locator("#list [data-play]")
    return [rows.nth(n).get_attribute("data-item") for n in range(rows.count())]


def test_from_a_search_to_a_list_with_sound_and_reasons(tab: Tab) -> None:
    page = tab.open("/")
    page.keyboard.press("/")  # to the search, by keyboard alone
    page.keyboard.type("user-1")
    page.wait_for_selector(".found-user")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/listener?user=user-1")
    until(page, "document.activeElement.tagName === 'H1'")
    assert page.title().startswith("user-1")
    why = page.locator(".why").first
    why.click()
    page.wait_for_selector(".because-in")
    assert why.get_attribute("aria-expanded") == "true"
    why.click()
    page.wait_for_selector(".because-in", state="detached")
    play = page.locator("#list [data-play]").first
    item = play.get_attribute("data-item")
    play.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(f'#player[data-drawn="{item}"]')
    until(page, "document.querySelector('#audio').duration > 0")
    assert page.locator("#wave canvas").count() >= 1
    assert page.locator("#player-at").get_attribute("aria-valuetext").count(" of ") == 1
    # The sound goes on while other pages are opened.
    page.locator("#list .name").first.click()
    page.wait_for_url("**/song?item=*")
    assert not page.locator("#player").is_hidden()
    page.go_back()
    page.wait_for_url("**/listener?user=user-1")
    until(page, "document.querySelector('h1').textContent === 'user-1'")


def test_the_slider_orders_the_list_anew(tab: Tab) -> None:
    page = tab.open("/listener?user=user-1")
    for value in ("1", "0"):
        with page.expect_response(f"**/page/list?*discovery={value}*") as answer:
            page.locator("#discovery").fill(value)
        expected = answer.value.text()
        until(page, f"location.search.includes('discovery={value}')")
        assert [one for one in listed(page) if f'data-item="{one}"' not in expected] == []
        places = [expected.index(f'data-item="{one}"') for one in listed(page)]
        assert places == sorted(places)
    shown = page.locator("#list .new").count()
    assert page.locator(".list-said").inner_text().startswith("All" if shown == 0 else str(shown))


def test_a_history_by_clicking_songs(tab: Tab) -> None:
    page = tab.open("/somebody")
    pick = page.locator("a.pick-link").first
    name = pick.get_attribute("id")
    pick.focus()
    page.keyboard.press("Space")
    page.wait_for_selector("#list .row")
    until(page, f"document.activeElement.id === '{name}'")  # the focus stays
    assert page.locator(f"#{name}").get_attribute("aria-pressed") == "true"
    page.locator(".chosen .chip.on").click()
    page.wait_for_selector("#list", state="detached")


def test_a_file_that_is_dropped_is_heard(tab: Tab, tmp_path: Path) -> None:
    page = tab.open("/listener?user=user-1")
    time = np.arange(4 * 22_050) / 22_050
    soundfile.write(tmp_path / "new.wav", 0.3 * np.sin(2 * np.pi * 220 * time), 22_050)
    content = base64.b64encode((tmp_path / "new.wav").read_bytes()).decode()
    page.evaluate(DROP, [content, HOSTILE])
    page.wait_for_url("**/song?item=upload-*")
    until(page, "document.title !== '' && document.querySelector('.verdict')")
    verdict = page.locator(".verdict").inner_text()
    assert verdict.startswith(("Sounds like", "Unlike anything I know"))
    assert page.locator("h1").inner_text() == HOSTILE.removesuffix(".wav")
    assert page.evaluate("window.hit") is None
    assert page.locator(".people .row").count() > 0
    assert page.locator("#near .small").count() > 0
    page.wait_for_selector("[data-map][data-drawn]")
    item = page.locator(".big [data-play]").get_attribute("data-item")
    page.locator(".big [data-play]").click()  # from the file itself: the service keeps none
    page.wait_for_selector(f'#player[data-drawn="{item}"]')
    page.locator(".people .name").first.click()
    page.wait_for_selector("h1:has-text('user-')")
    answer = page.request.get(f"/v1/users/user-1/recommendations?k=20&only={item}")
    assert [one["item_id"] for one in answer.json()["items"]] == [item]


def test_a_file_that_is_no_recording(browser: Any, address: str) -> None:
    tab = Tab(browser, address)
    page = tab.open("/")
    page.evaluate(DROP, [base64.b64encode(b"no sound").decode(), "text.wav"])
    page.wait_for_selector("#tray .wrong")
    assert page.locator("#tray .wrong").inner_text()
    tab.errors = [one for one in tab.errors if "422" not in one]  # the browser's own line
    tab.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_nothing_is_in_the_way_of_readers_and_keyboards(
    browser: Any, address: str, width: int, scheme: str
) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="needs axe-playwright-python"
    ).Axe()
    tab = Tab(
        browser, address, viewport={"width": width, "height": 844}, color_scheme=scheme,
        reduced_motion="reduce",
    )  # fmt: skip

    def check(name: str) -> None:
        found = axe.run(tab.page).response["violations"]
        grave = [one for one in found if one["impact"] in ("serious", "critical")]
        said = [(one["id"], one["nodes"][0]["html"]) for one in grave]
        assert said == [], name
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width, name

    page = tab.open("/")
    check("first page")
    page.fill("#search", "u")
    page.wait_for_selector(".found-box")
    check("search")
    page = tab.open("/listener?user=user-1")
    page.locator(".why").first.click()
    page.wait_for_selector(".because-in")
    page.locator("#list [data-play]:not([hidden])").first.click()
    page.wait_for_selector("#player[data-drawn]")
    check("listener")
    page = tab.open("/song?item=song-1")
    page.wait_for_selector("[data-map][data-drawn]")
    check("song")
    tab.open("/somebody?song=song-1")
    check("somebody")
    tab.open("/map")
    page.wait_for_selector("[data-map][data-drawn]")
    check("map")
    tab.errors = [one for one in tab.errors if "inline style" not in one]  # of axe itself
    tab.close()
