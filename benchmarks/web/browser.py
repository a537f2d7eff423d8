"""A browser that somebody is signed in to, with what notes in its pages when something is painted."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import CDPSession, Page, sync_playwright

from benchmarks.processes import ADMIN, PASSWORD
from tests.servers import chromium

NOTES = Path(__file__).with_name("notes.js")
WIDTH, HEIGHT = 1680, 1000
WAIT_MS = 60_000
COLLECTIONS = 3


@contextmanager
def signed_in(url: str) -> Iterator[Page]:
    """Open the dashboard as its first admin; `notes.js` is in every page that is opened then."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.PATH, args=list(chromium.ARGUMENTS)
        )
        context = browser.new_context(
            base_url=url, viewport={"width": WIDTH, "height": HEIGHT}, reduced_motion="no-preference"
        )  # fmt: skip
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        page.goto("/")
        page.get_by_label("E-mail").fill(ADMIN)
        page.get_by_label("Password").first.fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("navigation", name="Main").wait_for()
        page.add_init_script(path=NOTES)
        yield page
        browser.close()


class Memory:
    """What a page holds, once what is garbage is gone."""

    def __init__(self, page: Page) -> None:
        self._session: CDPSession = page.context.new_cdp_session(page)
        self._session.send("Performance.enable")

    def heap_kb(self) -> float:
        """Collect garbage, and return the size of what is left.

        Of what script and page hold of each other, a collection frees one link of the chain.
        """
        for _ in range(COLLECTIONS):
            self._session.send("HeapProfiler.collectGarbage")
        metrics: list[dict[str, Any]] = self._session.send("Performance.getMetrics")["metrics"]
        return next(float(m["value"]) for m in metrics if m["name"] == "JSHeapUsedSize") / 1000
