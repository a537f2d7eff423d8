"""Renders the dashboard's pages of a demo workspace into docs/screenshots: `make screenshots`.

The pages of the README are kept in the repository; the others are to be looked at, at three widths and in both themes.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright
from rich.progress import track

from tests.api.conftest import ADMIN, PASSWORD, serving
from tests.servers import chromium

FOLDER = Path("docs/screenshots")
WIDTHS = {360: 740, 1280: 800, 1920: 1080}
"""Each with a height, in pixels."""
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
PAGES = {
    "board": "/", "past": "/?at=2000", "agents": "/agents", "search": "/search?q=build", "inbox": "/inbox",
    "analytics": "/analytics", "audit": "/audit", "settings": "/settings/members",
}  # fmt: skip
FIRST_OF = {"mission": ("/", "[data-card] a"), "agent": ("/agents", 'main a[href^="/agents/"]')}
"""Pages of one thing: the first one that another page links to."""
SETTLE_MS = 1_500
"""For what moves when a page appears."""


def main() -> None:
    """Start a demo, and render every page."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        data_dir = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        data_dir.chmod(0o711)
        system = stack.enter_context(serving(data_dir, MC_DEMO="true"))
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(
            executable_path=chromium.PATH, args=list(chromium.ARGUMENTS)
        )
        shots = len(WIDTHS) * len(THEMES) * (1 + len(PAGES) + len(FIRST_OF))
        for _ in track(render(browser, system.url, folder), "rendering", shots):
            pass
        browser.close()


def render(browser: Browser, url: str, folder: Path) -> Iterator[None]:
    for (width, height), theme in product(WIDTHS.items(), THEMES):
        viewport = {"width": width, "height": height}
        context = browser.new_context(base_url=url, viewport=viewport, color_scheme=theme)
        page = context.new_page()
        page.goto("/")
        page.get_by_label("E-mail").wait_for()
        yield _shot(page, folder / f"sign-in-{width}-{theme}.png")
        sign_in(page)
        for name, path in {**PAGES, **_found(page)}.items():
            page.goto(path)
            page.get_by_role("main").wait_for()
            yield _shot(page, folder / f"{name}-{width}-{theme}.png")
        context.close()


def _found(page: Page) -> dict[str, str]:
    found = {}
    for name, (listing, link) in FIRST_OF.items():
        page.goto(listing)
        found[name] = page.locator(link).first.get_attribute("href") or listing
    return found


def _shot(page: Page, file: Path) -> None:
    page.wait_for_timeout(SETTLE_MS)
    page.screenshot(path=file)


def sign_in(page: Page) -> None:
    page.get_by_label("E-mail").fill(ADMIN)
    page.get_by_label("Password").first.fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Updates:").wait_for()  # of the bar that every page has


if __name__ == "__main__":
    main()
