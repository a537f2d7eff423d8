"""Every page of the dashboard: found by its address, usable by everybody, fit for a phone, shown by role."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Locator, Page, expect

from domain.permissions import Permission, role_permissions
from domain.workspace import Role
from tests.api.conftest import System
from tests.web.conftest import Silence, sign_in

PHONE = {"width": 360, "height": 740}
TABLET = {"width": 768, "height": 1024}
MISSION, AGENT = "Weigh the anchor", "Capstan"
STILL = """async () => {
  for (let frame = 0; frame < 2; frame += 1) await new Promise(requestAnimationFrame);
  await Promise.allSettled(document.getAnimations().map(({ finished }) => finished));
}"""
"""Waits for what moves; with reduced motion everything comes to an end."""
FAULTS = """async (options) => {
  const { violations } = await axe.run(document, { ...options, resultTypes: ["violations"] });
  return violations.flatMap(({ id, impact, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id} (${impact}) at ${target.join(" ")}: ${failureSummary}`));
}"""
THEMES: tuple[tuple[Literal["light", "dark"], dict[str, Any]], ...] = (
    ("light", {}), ("dark", {"runOnly": {"type": "rule", "values": ["color-contrast"]}})
)  # fmt: skip
OVERFLOWS = """() => [document.documentElement, ...document.querySelectorAll("main, aside, dialog, [role=dialog]")]
  .filter(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth)
  .map(({ tagName, scrollWidth, clientWidth }) => `${tagName}: ${scrollWidth} px in ${clientWidth}`)"""


@dataclass(frozen=True)
class Place:
    """A page's address, in which ids are named; what it shows when it is all there; and what opens that."""

    path: str
    role: Any
    name: str
    key: str | None = None
    button: str | None = None
    status: int | None = (
        None  # that Chromium writes of an answer, as it was asked for what is not there
    )


PLACES = {
    "board": Place("/", "link", MISSION),
    "a view of it": Place("/?q=weigh&group=assignee", "link", MISSION),
    "a board": Place("/boards/{board}", "link", MISSION),
    "the past": Place("/?at={then}", "link", MISSION),
    "before there was a board": Place("/?at=1", "heading", "Not there yet", status=404),
    "panel": Place("/?mission={mission}", "tab", "History"),
    "mission": Place("/missions/{mission}", "textbox", "Write a comment"),
    "mission in review": Place("/missions/{review}", "button", "Approve"),
    "mission of the past": Place("/missions/{mission}?at={then}", "tab", "History"),
    "no mission": Place("/missions/{nobody}", "heading", "Not found", status=404),
    "agents": Place("/agents?q=caps", "link", AGENT),
    "agents of the past": Place("/agents?at={then}", "link", AGENT),
    "agent": Place("/agents/{agent}", "region", "Recent activity"),
    "registering": Place("/agents", "dialog", "Register an agent", button="Register agent"),
    "search": Place("/search?q=weigh", "link", MISSION),
    "analytics": Place("/analytics?range=7d", "img", "Cumulative flow"),
    "audit": Place("/audit?type=mission.*", "list", "Events, newest first"),
    "event": Place("/audit?event={then}", "complementary", "Event {then}"),
    "inbox": Place("/inbox?kind=mention", "list", "Inbox"),
    "profile": Place("/settings/profile", "button", "Change password"),
    "members": Place("/settings/members", "button", "Role of viewer"),
    "keys": Place("/settings/keys", "button", f"Make a key for {AGENT}"),
    "boards": Place("/settings/boards", "button", "New board"),
    "columns": Place("/settings/boards/{board}", "button", "Remove Review"),
    "nowhere": Place("/no/such/page", "heading", "There is no such page"),
    "shortcuts": Place("/agents", "dialog", "Keyboard shortcuts", key="?"),
    "palette": Place("/inbox", "combobox", "Search, or what to do", key="Control+k"),
}


@pytest.fixture(scope="module")
def ids(
    admin: httpx.Client,
    people: dict[str, httpx.Client],
    agent_maker: Callable[..., tuple[str, httpx.Client]],
) -> dict[str, str]:
    """A workspace with something on every page; the ids of its things."""
    commander = people[Role.MISSION_COMMANDER]
    me, other = (each.get("/api/members/me").json()["id"] for each in (admin, commander))
    agent, worker = agent_maker(AGENT, role="deckhand", capabilities=["ropes"])
    agent_maker("Idler")
    in_full = {
        "description": "# All\n\n1. of **it**, `now`\n\n> [soon](https://example.org)\n\n```\nhaul\n```",
        "priority": "urgent", "labels": ["deck", "iron"], "due": "2020-01-02T03:04:05Z",
        "assignees": [me, other],
    }  # fmt: skip
    mission, review, blocked = (
        admin.post("/api/missions", json={"title": title, **more}).raise_for_status().json()["id"]
        for title, more in ((MISSION, in_full), ("Coil the rope", {}), ("Paint the hull", {}))
    )
    said = {"body": "@admin which of them?", "mentions": [me]}
    for client, path, body in (
        (admin, f"/api/missions/{mission}/dependencies", {"depends_on_id": review}),
        (admin, f"/api/missions/{blocked}/block", {"reason": "No paint"}),
        (commander, f"/api/missions/{mission}/comments", said),
    ):
        client.post(path, json=body).raise_for_status()
    claimed = worker.post(f"/api/missions/{review}/claim").raise_for_status().json()
    handed_in = {"lease_token": claimed["lease"]["token"], "summary": "Coiled"}
    done = worker.post(f"/api/missions/{review}/submit", json=handed_in).raise_for_status().json()
    board = admin.get("/api/missions/board").json()["id"]
    return {
        "mission": mission, "review": review, "agent": agent, "board": board, "nobody": me,
        "then": str(done["position"]),
    }  # fmt: skip


def test_the_sign_in_and_the_first_run_are_accessible(
    browser: Browser, system: System, page: Page, silence: Silence
) -> None:
    page.goto("/")
    expect(page.get_by_role("region", name="Welcome to")).to_be_visible()
    assert _faults(page) == []
    with browser.new_context(base_url=system.url) as context:
        out = context.new_page()
        silence.listen(out)
        out.goto("/sign-in")
        out.get_by_label("E-mail").wait_for()
        assert _faults(out) == []


def test_every_address_waits_for_the_sign_in_that_leads_back_to_it(
    browser: Browser, system: System, ids: dict[str, str], silence: Silence
) -> None:
    paths = [place.path.format(**ids) for place in PLACES.values()]
    with browser.new_context(base_url=system.url) as context:
        page = context.new_page()
        silence.listen(page)
        for path in dict.fromkeys(paths):
            page.goto(path)
            page.get_by_label("E-mail").wait_for()
            assert parse_qs(urlsplit(page.url).query)["to"] == [path]
        page.goto(f"/missions/{ids['mission']}?at={ids['then']}")
        sign_in(page)
        page.wait_for_url(f"{system.url}/missions/{ids['mission']}?at={ids['then']}")


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_a_page_is_led_to_is_accessible_in_both_themes_and_fits_a_phone_and_a_tablet(
    page: Page, place: Place, ids: dict[str, str], silence: Silence
) -> None:
    path = place.path.format(**ids)
    page.goto(f"/sign-in?to={quote(path)}")  # signed in already: as after the form
    shown = _shown(page, place, ids)
    expect(shown).to_be_visible()
    assert page.url.endswith(path)
    assert _faults(page) == []
    for viewport in (PHONE, TABLET):
        page.set_viewport_size(viewport)
        page.evaluate(STILL)
        assert page.evaluate(OVERFLOWS) == []
    if place.status is not None:
        silence.forgive(place.status)


def _shown(page: Page, place: Place, ids: dict[str, str]) -> Locator:
    if place.key is not None or place.button is not None:
        page.get_by_label("Updates: Live").wait_for()
    if place.key is not None:
        page.keyboard.press(place.key)
    if place.button is not None:
        page.get_by_role("button", name=place.button).first.click()
    return page.get_by_role(place.role, name=place.name.format(**ids)).first


def _faults(page: Page) -> list[str]:
    """Return what axe finds on a page: all in the light theme, and in the dark one what colours do."""
    page.evaluate(AXE_SCRIPT)
    found = []
    for theme, options in THEMES:
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        page.evaluate(STILL)
        found += [f"{theme}: {fault}" for fault in page.evaluate(FAULTS, options)]
    return found


@dataclass(frozen=True)
class Control:
    """Something on a page that only those see who have a permission, beside what everybody sees there."""

    path: str
    needs: Permission
    role: Any
    name: str
    beside: tuple[Any, str]


TOLD = ("heading", r"Not for your role|for admins")
"""What stands in place of a page that is not for a role."""
CONTROLS = (
    Control("/", Permission.CREATE_MISSIONS, "button", "Add a mission to Ready", ("link", MISSION)),
    Control("/", Permission.CREATE_MISSIONS, "button", f"Move {MISSION} to", ("link", MISSION)),
    Control("/", Permission.CREATE_MISSIONS, "button", f"Drag {MISSION}", ("link", MISSION)),
    Control(
        "/missions/{review}", Permission.CREATE_MISSIONS, "button", "Approve", ("tab", "History")
    ),
    Control(
        "/missions/{review}",
        Permission.CREATE_MISSIONS,
        "button",
        "Stage: Review",
        ("tab", "History"),
    ),
    Control(
        "/missions/{review}", Permission.COMMENT, "textbox", "Write a comment", ("tab", "History")
    ),
    Control("/agents", Permission.MANAGE_AGENTS, "button", "Register agent", ("link", AGENT)),
    Control(
        "/agents/{agent}", Permission.MANAGE_AGENTS, "button", "Deactivate", ("region", "Facts")
    ),
    Control("/agents/{agent}", Permission.MANAGE_AGENTS, "region", "Keys", ("region", "Facts")),
    Control(
        "/agents/{agent}", Permission.VIEW_ANALYTICS, "region", "Utilisation", ("region", "Facts")
    ),
    Control("/search?q=weigh", Permission.READ, "link", MISSION, ("link", MISSION)),
    Control("/inbox", Permission.READ, "button", "Mentions", ("button", "Mentions")),
    Control("/analytics", Permission.VIEW_ANALYTICS, "region", "Cumulative flow", TOLD),
    Control("/audit", Permission.ADMIN_ACCESS, "list", "Events, newest first", TOLD),
    Control(
        "/settings/profile", Permission.READ, "button", "Change password", ("heading", "Profile")
    ),
    Control("/settings/profile", Permission.ADMIN_ACCESS, "link", "Members", ("link", "Profile")),
    Control("/settings/profile", Permission.MANAGE_AGENTS, "link", "Keys", ("link", "Profile")),
    Control("/settings/profile", Permission.CREATE_MISSIONS, "link", "Boards", ("link", "Profile")),
    Control("/settings/members", Permission.ADMIN_ACCESS, "button", "Add a member", TOLD),
    Control("/settings/keys", Permission.MANAGE_AGENTS, "button", AGENT, TOLD),
    Control("/settings/boards", Permission.CREATE_MISSIONS, "button", "New board", TOLD),
    Control(
        "/settings/boards/{board}", Permission.CREATE_MISSIONS, "button", "Remove Review", TOLD
    ),
)
GO = "(path) => history.pushState(null, '', path)"
"""As a link within the dashboard does; the router notices."""
EVERYWHERE = ["Board", "Inbox", "Agents", "Search"]
NAVIGATION = {
    Role.VIEWER: [*EVERYWHERE, "Settings"],
    Role.AGENT_OPERATOR: [*EVERYWHERE, "Analytics", "Settings"],
    Role.MISSION_COMMANDER: [*EVERYWHERE, "Analytics", "Settings"],
    Role.ADMIN: [*EVERYWHERE, "Analytics", "Audit", "Settings"],
}


@pytest.mark.parametrize("role", Role)
def test_a_role_is_shown_what_it_may_do_and_told_what_is_not_for_it(
    person: Callable[..., Page], ids: dict[str, str], role: Role
) -> None:
    """The console is silent, too: no page asks for what it knows to be refused."""
    page = person(f"{role}@example.org")
    expect(page.get_by_label("Updates: Live")).to_be_visible()
    items = page.get_by_role("navigation", name="Main").get_by_role("link")
    assert [text.split()[0] for text in items.all_inner_texts()] == NAVIGATION[role]
    for path, controls in groupby(CONTROLS, lambda each: each.path):
        page.evaluate(GO, path.format(**ids))
        for control in controls:
            _expect_for(page, control, may=control.needs in role_permissions(role))


def _expect_for(page: Page, control: Control, *, may: bool) -> None:
    found = page.get_by_role(control.role, name=control.name)
    shown, name = control.beside
    beside = page.get_by_role(shown, name=re.compile(name, re.IGNORECASE))
    if may:
        expect(found.first).to_be_visible()
    else:
        expect(beside.first).to_be_visible()
        expect(found).to_have_count(0)
    if control.beside == TOLD:
        expect(beside).to_have_count(0 if may else 1)


def test_a_phone_is_swiped_and_tapped(person: Callable[..., Page], ids: dict[str, str]) -> None:
    page = person(viewport=PHONE, has_touch=True, is_mobile=True)
    ready = page.get_by_role("region", name="Ready")
    link = ready.get_by_role("link", name=MISSION)
    expect(link).to_be_visible()
    _swipe(page, page.get_by_role("region", name="Backlog"))
    expect(link).to_be_in_viewport(ratio=1)

    link.tap()
    panel = page.get_by_role("complementary", name="Mission")
    expect(panel.get_by_role("tab", name="History")).to_be_visible()
    page.evaluate(STILL)
    assert panel.bounding_box() == {"x": 0, "y": 0, **PHONE}
    panel.get_by_role("button", name="Close").tap()
    expect(panel).to_have_count(0)

    page.get_by_role("button", name="Open navigation").tap()
    navigation = page.get_by_role("navigation", name="Main")
    navigation.get_by_role("link", name="Agents").tap()
    expect(page.get_by_role("link", name=AGENT)).to_be_visible()
    expect(navigation).to_be_hidden()
    assert page.evaluate(OVERFLOWS) == []


FITS = "(box) => box.scrollWidth <= box.clientWidth"
SHOWS_EVERY_CHOICE = """(select) => {
  const wide = select.cloneNode(true);
  wide.style.cssText = "position: absolute; width: max-content";
  select.after(wide);
  const { offsetWidth } = wide;
  wide.remove();
  return offsetWidth <= select.offsetWidth;
}"""


def _differ_in_every_way(admin: httpx.Client, board: str) -> int:
    """Return a moment since which missions were moved, changed and cancelled, and one came."""
    made = [
        admin.post("/api/missions", json={"title": f"Barrel {number}"}).raise_for_status().json()
        for number in range(3)
    ]
    moved, changed, gone = (f"/api/missions/{each['id']}" for each in made)
    columns = admin.get(f"/api/boards/{board}").raise_for_status().json()["columns"]
    admin.put(f"{moved}/move", json={"column_id": columns[0]["id"]}).raise_for_status()
    admin.put(changed, json={"priority": "high"}).raise_for_status()
    admin.delete(gone).raise_for_status()
    admin.post("/api/missions", json={"title": "Barrel 4"}).raise_for_status()
    return int(made[-1]["position"])


def test_on_a_phone_no_words_are_cut(
    person: Callable[..., Page], admin: httpx.Client, ids: dict[str, str]
) -> None:
    then = _differ_in_every_way(admin, ids["board"])
    page = person(viewport=PHONE, has_touch=True, is_mobile=True, path="/inbox")
    kinds = page.get_by_role("group", name="Show").get_by_role("button")
    expect(kinds).to_have_count(4)
    for kind in kinds.all():
        expect(kind).to_be_in_viewport(ratio=1)

    page.goto("/")
    page.get_by_role("link", name="Barrel 4").focus()
    page.keyboard.press("x")
    assert page.get_by_role("toolbar", name="Selected cards").evaluate(FITS)

    page.goto(f"/?at={then}")
    bar = page.get_by_text("The past, to look at only").locator("..").locator("span")
    expect(bar).to_have_count(5)
    for words in bar.all():
        expect(words).to_be_in_viewport(ratio=1)

    page.goto(f"/settings/boards/{ids['board']}")
    assert page.get_by_label("Its stage").evaluate(SHOWS_EVERY_CHOICE)

    page.goto(f"/agents/{ids['agent']}")
    page.get_by_role("button", name="New key").tap()
    page.get_by_label("Name").fill("phone")
    page.get_by_role("button", name="Make the key").tap()
    for way in ("curl", "Python"):
        page.get_by_role("tab", name=way).tap()
        snippet = page.get_by_role("tabpanel", name=way)
        expect(snippet).to_contain_text("Bearer")
        assert snippet.evaluate(FITS)


def _swipe(page: Page, over: Locator) -> None:
    """Draw a finger from right to left, over the upper part of something."""
    box = over.bounding_box()
    assert box is not None
    touch = page.context.new_cdp_session(page)
    for x in range(320, 20, -20):
        kind = "touchStart" if x == 320 else "touchMove"
        points = {"touchPoints": [{"x": x, "y": box["y"] + 20}]}
        touch.send("Input.dispatchTouchEvent", {"type": kind, **points})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
