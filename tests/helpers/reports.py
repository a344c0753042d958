"""Reading a report as a program and as a browser does."""

import json
import subprocess
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

from tests.helpers.programs import find_program

CHROMIUM = find_program("chromium")
_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-sync", "--disable-component-update", "--no-first-run",
)  # fmt: skip


class Page(HTMLParser):
    """Text by element, cells of tables, and every address the page could fetch."""

    def __init__(self, text):
        super().__init__()
        self.addresses, self.ids, self.text, self.rows = [], [], [], []
        self._skip, self._unseen, self._cell = 0, False, None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.addresses += [(tag, value) for name, value in attrs if name in ("src", "href")]
        self.ids += [value for name, value in attrs if name == "id"]
        self._skip += tag in ("script", "style")
        self._unseen = ("class", "unseen") in attrs
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
            self._cell = True

    def handle_endtag(self, tag):
        self._skip -= tag in ("script", "style")
        self._unseen = False
        if tag in ("td", "th"):
            self._cell = None

    def handle_data(self, data):
        if self._skip or self._unseen:
            return
        self.text.append(data)
        if self._cell:
            self.rows[-1][-1] += data


class Seen(NamedTuple):
    """What a browser made of a page."""

    page: str
    """The document when all scripts had run."""
    messages: list[str]
    """What the page's scripts logged, errors among it."""
    requests: list[str]
    """Addresses that the page asked for."""


def in_browser(path: Path, scheme: str = "light", width: int = 1200) -> Seen:
    """Open a page in Chromium, in a profile of its own, and let its scripts run."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        log = Path(profile) / "net.json"
        done = subprocess.run(
            [
                CHROMIUM,
                *_OPTIONS,
                f"--user-data-dir={profile}",
                f"--log-net-log={log}",
                f"--blink-settings=preferredColorScheme={int(scheme == 'light')}",
                f"--window-size={width},900",
                "--enable-logging=stderr",
                "--virtual-time-budget=5000",
                "--dump-dom",
                path.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=600,
            check=True,
        )
        requests = _requests(log)
    # The page's own messages; Chromium itself complains about the missing desktop.
    messages = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Seen(done.stdout, messages, requests)


def printed(path: Path) -> str:
    """The text of a page as it is on paper."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        paper = Path(profile) / "page.pdf"
        subprocess.run(
            [
                CHROMIUM,
                *_OPTIONS,
                f"--user-data-dir={profile}",
                "--virtual-time-budget=5000",
                "--no-pdf-header-footer",
                f"--print-to-pdf={paper}",
                path.as_uri(),
            ],
            capture_output=True,
            timeout=600,
            check=True,
        )
        done = subprocess.run(
            ["pdftotext", "-layout", str(paper), "-"], capture_output=True, text=True, check=True
        )
    return done.stdout


def _requests(log: Path) -> list[str]:
    """Addresses that the page asked for, from a log of Chromium's network.

    What the browser asks for of its own accord has no origin. A browser that ends may leave the
    log open.
    """
    text = log.read_text(encoding="utf-8").rstrip().rstrip(",")
    try:
        events = json.loads(text)["events"]
    except json.JSONDecodeError:
        events = json.loads(text + "]}")["events"]
    asked = [event["params"] for event in events if "initiator" in event.get("params", {})]
    return sorted({params["url"] for params in asked if params["initiator"] != "not an origin"})
