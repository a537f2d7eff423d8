"""The palette, the search page, the settings and the sign-in in a real browser."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.api.conftest import ADMIN, PASSWORD, System
from tests.web.conftest import Silence, hold

NO_CLIPBOARD = "() => { navigator.clipboard.writeText = () => Promise.reject(new Error()); }"

pytestmark = pytest.mark.usefixtures("missions")


@pytest.fixture(scope="module")
def missions(admin: httpx.Client) -> None:
    """Two missions to find, one of them urgent."""
    for body in (
        {"title": "Weigh the containers", "description": "All <b>of</b> them & twice."},
        {"title": "Weigh the cranes", "priority": "urgent"},
    ):
        admin.post("/api/missions", json=body).raise_for_status()


def test_an_empty_workspace_is_greeted_with_what_to_do_next(page: Page) -> None:
    page.goto("/")
    steps = page.get_by_role("region", name="Welcome to").get_by_role("listitem")
    expect(steps).to_have_count(3)
    expect(steps.nth(0).get_by_label("Done")).to_be_visible()
    steps.nth(1).get_by_role("link", name="Register an agent").click()
    dialog = page.get_by_role("dialog", name="Register an agent")
    expect(dialog.get_by_label("Name", exact=True)).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)

    page.goto("/")
    steps.nth(2).get_by_role("link", name="Add a member").click()
    expect(page.get_by_role("dialog", name="Add a member")).to_be_visible()


def test_the_palette_goes_anywhere_by_keyboard(page: Page) -> None:
    page.goto("/")
    page.get_by_label("Updates: Live").wait_for()
    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox")).to_be_focused()
    page.keyboard.type("settings boards")
    page.keyboard.press("Enter")
    page.wait_for_url("**/settings/boards")

    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox")).to_be_focused()
    page.keyboard.type("weigh cran")
    expect(page.get_by_role("option", name="Weigh the cranes")).to_be_visible()
    page.keyboard.press("Enter")
    page.wait_for_url("**/missions/*")

    page.keyboard.press("Control+k")
    expect(page.get_by_role("option").first).to_have_text("Weigh the cranes")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def _let_go(page: Page, held: list[Route]) -> None:
    """Let the request go that is held, or will be: it is asked for when it is needed, or at rest before."""
    while not held:
        page.evaluate("new Promise(requestAnimationFrame)")
    held.pop().continue_()


def test_what_is_typed_before_the_palette_is_there_is_in_it_and_runs_nothing(page: Page) -> None:
    held = hold(page, "**/assets/Overlays-*.js")
    page.goto("/")
    play = page.get_by_role("button", name="Play (T)")
    play.focus()
    palette = page.get_by_role("dialog", name="Search and commands")
    field = palette.get_by_label("Search, or what to do")
    page.keyboard.press("Control+k")
    page.keyboard.type("abtxest query", delay=0)
    expect(field).to_be_focused()
    expect(field).to_have_value("abtxest query")
    page.keyboard.press("Escape")
    expect(palette).to_have_count(0)
    expect(play).to_be_focused()

    page.keyboard.press("Control+k")
    page.keyboard.type("abtxest query", delay=0)
    expect(field).to_have_value("abtxest query")
    _let_go(page, held)
    expect(page.get_by_role("combobox", name="Search, or what to do")).to_be_focused()
    page.keyboard.type(", and more", delay=0)
    expect(field).to_have_value("abtxest query, and more")
    page.keyboard.press("Escape")
    expect(play).to_be_focused()
    expect(play).to_have_attribute("aria-pressed", "false")

    page.reload()
    play.focus()
    page.keyboard.press("Control+k")
    page.keyboard.type("settings boards\n", delay=0)
    _let_go(page, held)
    page.wait_for_url("**/settings/boards")


def test_enter_opens_what_is_found_for_the_text_that_stands_there(
    page: Page, admin: httpx.Client
) -> None:
    made = {}
    for title in "Quokka census", "Walrus tally":
        answer = admin.post("/api/missions", json={"title": title}).raise_for_status().json()
        made[title] = answer["id"]
    known = {"q": "walrus", "min_position": answer["position"]}
    admin.get("/api/search", params=known).raise_for_status()
    page.goto("/inbox")
    expect(page.get_by_label("Updates: Live")).to_be_visible()
    page.keyboard.press("Control+k")
    field = page.get_by_role("combobox", name="Search, or what to do")
    field.fill("quokka")
    expect(page.get_by_role("option", name="Quokka census")).to_be_visible()
    held = hold(page, "**/api/search?q=walrus*")
    with page.expect_request("**/api/search?q=walrus*"):
        field.fill("walrus")
        field.press("Enter")
    expect(field).to_be_focused()
    _let_go(page, held)
    page.wait_for_url(f"**/missions/{made['Walrus tally']}")


def test_a_search_is_narrowed_down_and_kept_in_its_address(page: Page) -> None:
    page.goto("/search")
    page.get_by_label("Search missions").fill("weigh")
    results = page.get_by_role("region", name="Results")
    expect(results.get_by_role("link")).to_have_count(2)
    expect(results.locator("mark").first).to_have_text("Weigh")

    page.get_by_role("button", name="Urgent").click()
    expect(results.get_by_role("link")).to_have_count(1)
    expect(page.get_by_role("button", name="Normal")).to_be_visible()  # still to choose
    page.reload()
    expect(results.get_by_role("link", name="Weigh the cranes")).to_be_visible()
    expect(results.get_by_role("link")).to_have_count(1)


def test_what_was_found_is_shown_as_it_was_written(page: Page) -> None:
    page.goto("/search?q=twice")
    excerpt = page.get_by_role("region", name="Results").get_by_text("All <b>of</b> them & twice.")
    expect(excerpt).to_be_visible()


def test_a_member_is_added_with_a_secret_that_is_shown_once(page: Page) -> None:
    page.goto("/settings/members")
    page.get_by_role("button", name="Add a member").click()
    name = page.get_by_label("Name")
    name.fill("G" * 60)
    name.press("x")
    expect(name).to_have_value("G" * 60)
    name.fill("Grace")
    page.get_by_label("E-mail").fill("grace@example.org")
    page.get_by_label("Agent operator").check()
    page.get_by_role("button", name="Add, and show a password").click()
    secret = page.get_by_label("Secret").input_value()
    assert len(secret) >= 12
    page.keyboard.press("Escape")
    expect(page.get_by_role("alert")).to_contain_text("You have not copied the password")
    page.evaluate(NO_CLIPBOARD)
    page.get_by_role("button", name="Copy the password").click()
    expect(page.get_by_text("The password could not be copied")).to_be_visible()
    page.get_by_role("button", name="I have kept it").click()
    row = page.get_by_role("listitem").filter(has_text="grace@example.org")
    row.get_by_role("button", name="Role of Grace").click()
    page.get_by_role("menuitemcheckbox", name="Viewer").click()
    expect(row.get_by_role("button", name="Role of Grace: Viewer")).to_be_visible()

    row.get_by_role("button", name="More about Grace").click()
    page.get_by_role("menuitem", name="Remove from the workspace").click()
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(row).to_have_count(0)


def test_a_link_that_the_browser_does_not_copy_is_shown(page: Page, admin: httpx.Client) -> None:
    mission = admin.post("/api/missions", json={"title": "Weigh the anchors"}).json()["id"]
    said = admin.post(f"/api/missions/{mission}/comments", json={"body": "Twice"}).json()
    page.add_init_script(f"({NO_CLIPBOARD})()")
    page.goto(f"/missions/{mission}")
    page.get_by_role("button", name="What to do with this").click()
    page.get_by_role("menuitem", name="Copy a link").click()
    expect(page.get_by_text(re.compile(f"not be copied. It is http.*/{mission}$"))).to_be_visible()
    page.get_by_role("article").get_by_role("button", name="link").click()
    expect(page.get_by_text(re.compile(r"It is http.*#comment-"))).to_be_visible()
    page.goto(f"/audit?event={said['position']}")
    page.get_by_role("button", name="Copy a link to this event").click()
    expect(page.get_by_text(re.compile(r"It is http.*event=\d+$"))).to_be_visible()


def test_a_field_that_was_only_entered_takes_what_somebody_else_sets_and_sets_nothing(
    page: Page, admin: httpx.Client
) -> None:
    made = admin.post("/api/boards", json={"name": "Slipway"}).raise_for_status().json()
    board = made["id"]

    def columns(position: int) -> list[dict[str, Any]]:
        answer = admin.get(f"/api/boards/{board}", params={"min_position": position})
        found: list[dict[str, Any]] = answer.raise_for_status().json()["columns"]
        return found

    (review,) = (c["id"] for c in columns(made["position"]) if c["name"] == "Review")
    page.goto(f"/settings/boards/{board}")
    limit = page.get_by_label("Limit of Review")
    limit.focus()
    place = f"/api/boards/{board}/columns/{review}"
    admin.put(f"{place}/wip-limit", json={"wip_limit": 7}).raise_for_status()
    expect(limit).to_have_value("7")
    # What is typed stays, though somebody sets another one meanwhile.
    limit.fill("5")
    admin.put(place, json={"name": "Checks"}).raise_for_status()
    admin.put(f"{place}/wip-limit", json={"wip_limit": 8}).raise_for_status()
    limit = page.get_by_label("Limit of Checks")
    expect(limit).to_have_value("5")
    with page.expect_response(lambda answer: answer.request.method == "PUT") as saved:
        limit.press("Enter")
    assert saved.value.ok
    with page.expect_response(lambda answer: answer.request.method == "PUT") as left:
        page.get_by_label("Name of Checks").fill("Proofs")
        page.keyboard.press("Tab")
    assert left.value.request.post_data_json == {"name": "Proofs"}
    (kept,) = (c for c in columns(left.value.json()["position"]) if c["id"] == review)
    assert (kept["name"], kept["wip_limit"]) == ("Proofs", 5)


def test_a_board_is_made_renamed_and_arranged(page: Page) -> None:
    page.goto("/settings/boards")
    page.get_by_role("button", name="New board").click()
    page.get_by_label("Name").fill("Harbour")
    page.get_by_role("button", name="Create").click()
    name = page.get_by_label("Name of the board")
    name.fill("Port")
    name.press("Enter")
    columns = page.get_by_role("list", name="Columns of Port").get_by_role("listitem")
    expect(columns).to_have_count(5)

    limit = page.get_by_label("Limit of Review")
    limit.fill("3")
    limit.press("Enter")
    page.get_by_label("Name of the new column").fill("Parked")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(columns.nth(5).get_by_label("Name of Parked")).to_be_visible()
    page.get_by_role("button", name="Move Parked up").click()
    expect(columns.nth(4).get_by_label("Name of Parked")).to_be_visible()

    page.reload()
    expect(columns.nth(4).get_by_label("Name of Parked")).to_be_visible()
    expect(limit).to_have_value("3")
    page.get_by_role("button", name="Remove Parked").click()
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(columns).to_have_count(5)


def test_a_key_is_made_shown_once_and_revoked(page: Page, admin: httpx.Client) -> None:
    agent = {"name": "scribe", "role": "writer", "capabilities": []}
    admin.post("/api/agents", json=agent).raise_for_status()
    page.goto("/settings/keys")
    page.get_by_role("button", name="Make a key for scribe").click()
    page.get_by_label("Name").fill("laptop")
    page.get_by_role("button", name="Make, and show it").click()
    assert page.get_by_label("Secret").input_value().startswith("mc_")
    page.get_by_role("button", name="I have kept it").click()
    revoke = page.get_by_role("button", name="Revoke laptop of scribe")
    revoke.click()
    page.get_by_role("button", name="Revoke", exact=True).click()
    expect(revoke).to_have_count(0)


def test_whoever_may_not_create_missions_is_not_offered_to_grant_it(
    person: Callable[..., Page], admin: httpx.Client, people: dict[str, httpx.Client]
) -> None:
    for name, client in ("Purser", people["agent_operator"]), ("Boatswain", admin):
        client.post("/api/agents", json={"name": name}).raise_for_status()
    for email, name, count in (
        ("agent_operator@example.org", "Purser", 3),
        (ADMIN, "Boatswain", 4),
    ):
        page = person(email, "/settings/keys")
        make = page.get_by_role("button", name=f"Make a key for {name}")
        opener = page.get_by_role("button", name=re.compile(f"^{name}"))
        expect(opener).to_be_visible()
        if opener.get_attribute("aria-expanded") == "false":
            opener.click()
        make.click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_role("checkbox")).to_have_count(count)
        dialog.get_by_label("Name").fill("first")
        for box in dialog.get_by_role("checkbox").all():
            box.check()
        dialog.get_by_role("button", name="Make, and show it").click()
        expect(page.get_by_label("Secret")).to_have_value(re.compile("^mc_"))


def test_signing_out_elsewhere_and_a_new_password_end_other_sessions(
    person: Callable[..., Page], people: dict[str, httpx.Client], silence: Silence
) -> None:
    email = "agent_operator@example.org"
    here, there = person(email, "/settings/profile"), person(email)
    # A socket that is still being opened would have its own word of its end.
    expect(there.get_by_label("Updates: Live")).to_be_visible()
    here.get_by_role("button", name="Sign out elsewhere").click()
    here.get_by_role("dialog").get_by_role("button", name="Sign out elsewhere").click()
    there.wait_for_url("**/sign-in*")
    expect(there.get_by_role("status").filter(has_text="Your session has ended")).to_be_visible()

    here.get_by_label("Password so far").fill(PASSWORD)
    here.get_by_label("New password", exact=True).fill("quite another one 2026")
    here.get_by_label("New password again").fill("quite another one 2026")
    here.get_by_role("button", name="Change password").click()
    here.wait_for_url("**/sign-in*")
    here.get_by_label("E-mail").fill(email)
    here.get_by_label("Password").fill("quite another one 2026")
    here.get_by_role("button", name="Sign in").click()
    here.wait_for_url("**/settings/profile")
    silence.forgive(401)


def test_sign_in_asks_for_the_workspace_where_the_password_fits_in_several(
    browser: Browser, system: System, admin: httpx.Client, stranger: httpx.Client, silence: Silence
) -> None:
    twice = {"email": "twice@example.org", "name": "Twice", "role": "viewer", "password": PASSWORD}
    for client in (admin, stranger):
        client.post("/api/members", json=twice).raise_for_status()
    with browser.new_context(base_url=system.url) as context:
        page = context.new_page()
        silence.listen(page)
        page.goto("/sign-in")
        page.get_by_label("E-mail").fill(twice["email"])
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        workspace = page.get_by_label("Workspace")
        expect(workspace).to_be_focused()
        expect(workspace).to_have_accessible_description(re.compile(r'"Elsewhere": name the one'))
        workspace.fill("elsewhere")
        page.keyboard.press("Enter")
        page.get_by_role("navigation", name="Main").wait_for()
    silence.forgive(422)


def test_sign_in_says_what_is_wrong_and_how_long_to_wait(
    browser: Browser, system: System, silence: Silence
) -> None:
    with browser.new_context(base_url=system.url) as context:
        page = context.new_page()
        silence.listen(page)
        page.goto("/sign-in")
        page.get_by_label("E-mail").fill("nobody@example.org")
        for number in range(11):
            page.get_by_label("Password").fill(f"wrong {number}")
            with page.expect_response("**/sign-in"):
                page.keyboard.press("Enter")
            expect(page.get_by_role("alert")).to_be_visible()
        expect(page.get_by_role("alert")).to_contain_text("Too many attempts")
        expect(page.get_by_role("button", name="Try again in")).to_be_disabled()
    silence.forgive(401)
    silence.forgive(429)
