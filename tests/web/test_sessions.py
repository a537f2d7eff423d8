"""Sessions in a browser: what is asked for before the script is there, and what is left when one ends."""

from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
from playwright.sync_api import Page, Request, expect

from tests.web.conftest import Silence, sign_in


def test_a_first_page_asks_for_its_token_and_its_board_once_and_at_once(page: Page) -> None:
    page.goto("/")
    column = page.get_by_role("region", name="Backlog")
    expect(column).to_be_visible()
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(urlsplit(request.url).path)

    page.on("request", note)
    with page.expect_request("**/assets/index-*.js"):
        page.reload()
    expect(column).to_be_visible()
    expect(page.get_by_label("Updates: Live")).to_be_visible()
    assert asked.count("/api/auth/token") == 1
    assert asked.count("/api/missions/board") == 1


def test_who_signs_in_after_somebody_sees_nothing_of_theirs(
    person: Callable[..., Page], people: dict[str, httpx.Client], silence: Silence
) -> None:
    page = person("mission_commander@example.org")
    add = page.get_by_role("button", name="Add a mission to Backlog")
    expect(add).to_be_visible()

    # The session ends; the page finds out when it asks for something, and when it then asks for a token.
    page.context.clear_cookies()
    page.route("**/api/analytics/**", lambda route: route.fulfill(status=401, json={}))
    page.get_by_role("link", name="Analytics").click()
    # Perhaps it found out already: then there is nothing to click on any more.
    page.get_by_text("That did not work").or_(page.get_by_label("E-mail")).wait_for()
    page.evaluate("document.querySelector('a[href=\"/agents\"]')?.click()")
    expect(page.get_by_label("E-mail")).to_be_visible()
    silence.forgive(401)
    page.unroute_all()

    sign_in(page, "viewer@example.org")
    page.get_by_role("link", name="Board").first.click()
    expect(page.get_by_role("region", name="Backlog")).to_be_visible()
    expect(add).to_be_hidden()


def test_signing_out_in_one_tab_forgets_what_is_written_in_another(
    person: Callable[..., Page], admin: httpx.Client
) -> None:
    made = admin.post("/api/missions", json={"title": "Keep it to yourself"}).raise_for_status()
    page = person(path=f"/missions/{made.json()['id']}")
    page.get_by_label("Write a comment").fill("between us")
    page.reload()
    expect(page.get_by_label("Write a comment")).to_have_value("between us")
    other = page.context.new_page()
    other.goto("/inbox")
    other.get_by_role("button", name="admin").click()
    other.get_by_role("menuitem", name="Sign out").click()
    expect(other.get_by_label("E-mail")).to_be_visible()
    expect(page.get_by_label("E-mail")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0
    sign_in(page)
    expect(page.get_by_label("Write a comment")).to_have_value("")


def test_another_role_reaches_the_pages_that_are_open(
    person: Callable[..., Page], people: dict[str, httpx.Client], admin: httpx.Client
) -> None:
    ines, lea = person("mission_commander@example.org"), person("viewer@example.org")
    button = "Add a mission to Backlog"
    adds = [page.get_by_role("button", name=button) for page in (ines, lea)]
    expect(adds[0]).to_be_visible()
    for page in (ines, lea):
        expect(page.get_by_label("Updates: Live")).to_be_visible()
    expect(adds[1]).to_have_count(0)
    for name, role in (("mission_commander", "viewer"), ("viewer", "mission_commander")):
        who = people[name].get("/api/members/me").json()["id"]
        admin.put(f"/api/members/{who}/role", json={"role": role}).raise_for_status()
    expect(ines.get_by_text("You are a viewer now")).to_be_visible(timeout=5_000)
    expect(adds[0]).to_have_count(0)
    expect(lea.get_by_text("You are a mission commander now")).to_be_visible(timeout=5_000)
    expect(adds[1]).to_be_visible()
