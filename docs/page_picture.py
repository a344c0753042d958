"""Make the picture of the page in the guide, from a running service of the demo's model.

coldtune demo && coldtune serve demo/model &
python docs/page_picture.py http://127.0.0.1:8000
"""

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

TARGET = Path(__file__).parent / "images" / "page.jpg"


def main(address: str) -> None:
    """Open a listener's list, play its first song, and write the picture."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"{address}/listener?user=u1&discovery=0.6")
        page.locator("#list [data-play]").first.click()
        page.wait_for_selector("#player[data-drawn]")
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(1500)
        write(page.screenshot())
        browser.close()


def write(picture: bytes) -> None:
    """Write a picture as a small file."""
    image = Image.open(io.BytesIO(picture)).convert("RGB").resize((1024, 720))
    image.save(TARGET, quality=84, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1])
