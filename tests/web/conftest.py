"""A real server with the dashboard, and real browsers in front of it: `person` signs one in."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Route,
    expect,
    sync_playwright,
)

from tests.api.conftest import (
    ADMIN,
    PASSWORD,
    System,
    admin,
    agent_maker,
    people,
    serving,
    stranger,
)
from tests.servers import chromium
from tests.servers.fixtures import require
from web_build import BuildFailed, build

__all__ = ["admin", "agent_maker", "people", "stranger"]
ROOT = Path(__file__).parents[2]
WAIT_MS = 15_000
expect.set_options(timeout=WAIT_MS)


@dataclass
class Silence:
    """What the browsers' consoles said, which should be nothing. A test takes away what it provokes."""

    said: list[str] = field(default_factory=list)
    forgiven: list[str] = field(default_factory=list)

    def listen(self, page: Page) -> None:
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.said.append(f"uncaught: {error}"))

    def forgive(self, provoked: int | str) -> None:
        """Take away what Chromium says of an answer with this status, or in these words.

        It has to have said so by now, and may say it again until the test ends.
        """
        words = (
            f"the server responded with a status of {provoked}"
            if isinstance(provoked, int)
            else provoked
        )
        assert any(words in text for text in self.said), self.said
        self.said = [text for text in self.said if words not in text]
        self.forgiven.append(words)

    def _note(self, message: ConsoleMessage) -> None:
        if any(words in message.text for words in self.forgiven):
            return
        if message.type in {"error", "warning"}:
            self.said.append(f"{message.type}: {message.text} ({message.location['url']})")


@pytest.fixture(scope="session")
def built() -> None:
    """The dashboard of these sources."""
    try:
        build(ROOT)
    except BuildFailed as failed:
        require(f"the dashboard: {failed}")


@pytest.fixture(scope="module")
def system(built: None, open_folder: Path) -> Iterator[System]:
    """A server that a user would start."""
    with serving(open_folder) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, in place of one that Playwright would bring.

    While Playwright runs, its event loop is this thread's: it ends with the module, or nothing else here
    could run one.
    """
    require(chromium.missing())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.PATH, args=list(chromium.ARGUMENTS)
        )
        yield browser
        browser.close()


@pytest.fixture
def silence() -> Iterator[Silence]:
    """Ends the test in failure if a console said anything."""
    heard = Silence()
    yield heard
    assert heard.said == []


def hold(page: Page, url: str) -> list[Route]:
    """Keep requests back from now on; return where they are found, each to be let go by its `continue_`."""
    held: list[Route] = []

    def keep(route: Route) -> None:
        held.append(route)

    page.route(url, keep)
    return held


def lose_answer(page: Page, url: str | re.Pattern[str]) -> None:
    """Let the next command there be done, and its answer be lost."""
    lost: list[str] = []

    def lose(route: Route) -> None:
        if lost or route.request.method == "GET":
            route.fallback()
            return
        lost.append(route.request.url)
        assert route.fetch().ok
        route.abort()

    page.route(url, lose)


def sign_in(page: Page, email: str = ADMIN) -> None:
    """Sign somebody in on a page that asks for it."""
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    # On a phone, it is behind a button.
    page.get_by_role("navigation", name="Main", include_hidden=True).wait_for(state="attached")


@pytest.fixture(scope="module")
def signed_in(browser: Browser, system: System) -> Iterator[BrowserContext]:
    """One session of the admin, for the tests that need no other."""
    with browser.new_context(base_url=system.url) as context:
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        page.goto("/")
        sign_in(page)
        page.close()
        yield context


@pytest.fixture
def page(signed_in: BrowserContext, silence: Silence) -> Iterator[Page]:
    """A tab of that session, whose console is heard."""
    tab = signed_in.new_page()
    silence.listen(tab)
    yield tab
    tab.close()


@pytest.fixture
def person(browser: Browser, system: System, silence: Silence) -> Iterator[Callable[..., Page]]:
    """Opens a browser of its own, and signs somebody in there: `person(email, path="/", **context)`."""
    contexts: list[BrowserContext] = []

    def open_signed_in(email: str = ADMIN, path: str = "/", **options: Any) -> Page:
        context = browser.new_context(base_url=system.url, **options)
        context.set_default_timeout(WAIT_MS)
        contexts.append(context)
        page = context.new_page()
        silence.listen(page)
        page.goto(path)
        sign_in(page, email)
        return page

    yield open_signed_in
    for context in contexts:
        context.close()
