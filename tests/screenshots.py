"""make screenshots: the pages of Growth inside Airflow, light and dark, into docs/screenshots.

WIDTHS=1440,1024,390 and FOLDER= take others, to look at.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from airflow_home import ROOT
from page_world import Server, chromium, two_years
from playwright.sync_api import Browser

from growth.ui.pages import PAGES

THEMES = ("light", "dark")
WIDTH = 1440
TALLEST = 2600
# The lists are long: a search shows as much.
ASKED = {"health": "?list=upsell-ready&q=pro:"}


def main() -> None:
    folder = Path(os.environ.get("FOLDER") or ROOT / "docs/screenshots")
    widths = [int(width) for width in (os.environ.get("WIDTHS") or str(WIDTH)).split(",")]
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as scratch:
        warehouse = Path(scratch) / "warehouse.db"
        two_years(warehouse).connection.close()
        server = Server(Path(scratch) / "airflow", warehouse)
        with server.running(), chromium() as browser:
            for theme in THEMES:
                take(browser, server, theme, widths, folder)


def take(browser: Browser, server: Server, theme: str, widths: list[int], folder: Path) -> None:
    """Every page in one theme: as tall as it is, so that nothing has to be scrolled."""
    context = browser.new_context()
    context.add_init_script(f"localStorage.setItem('theme', '{theme}')")
    page = context.new_page()
    server.log_in(page, "admin")
    for width in widths:
        for shown in PAGES:
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(f"{server.url}/plugin/growth/growth/{shown.PATH}{ASKED.get(shown.PATH, '')}")
            frame = page.frame_locator("iframe")
            frame.locator("h1").wait_for()
            for chart in range(frame.locator(".chart").count()):
                frame.locator(".chart .main-svg").nth(chart).wait_for(state="attached")
            height = frame.locator("body").evaluate("body => body.scrollHeight")
            page.set_viewport_size({"width": width, "height": min(height + 8, TALLEST)})
            page.wait_for_timeout(500)  # the figures take their new size
            name = f"{shown.PATH or 'overview'}-{theme}" + (f"-{width}" if width != WIDTH else "")
            page.screenshot(path=folder / f"{name}.png")
    context.close()


if __name__ == "__main__":
    main()
