"""How a board is looked at, and what is done with many of its cards at once; by keyboard, in a real browser."""

from collections.abc import Callable

import httpx
from playwright.sync_api import Page, expect

from tests.web.conftest import Silence, hold

TITLES = ("Paint the hull", "Weld the hull", "Count the ropes")


def _filled(admin: httpx.Client) -> None:
    for title in TITLES:
        mission = {"title": title, "labels": ["hull"] if "hull" in title else []}
        admin.post("/api/missions", json=mission).raise_for_status()


def _cards(page: Page, column: str) -> list[str]:
    return page.get_by_role("region", name=column).locator("[data-card] a").all_inner_texts()


def test_a_view_is_in_the_address_and_kept_by_a_name(
    person: Callable[..., Page], admin: httpx.Client
) -> None:
    _filled(admin)
    page = person()
    ropes = page.get_by_role("link", name="Count the ropes")
    expect(ropes).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("HULL")
    expect(ropes).to_have_count(0)
    expect(page.get_by_text("2 of 3")).to_be_visible()
    page.reload()
    expect(page.get_by_role("link", name="Weld the hull")).to_be_visible()
    expect(ropes).to_have_count(0)

    page.keyboard.press("f")
    page.keyboard.press("v")
    page.get_by_role("combobox").fill("Hulls")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Clear").click()
    expect(ropes).to_be_visible()
    page.get_by_role("button", name="Views").click()
    page.get_by_role("option", name="Hulls").click()
    expect(ropes).to_have_count(0)

    page.get_by_role("button", name="Delete the view Hulls").press("Enter")
    expect(page.get_by_role("button", name="Delete the view")).to_have_count(0)
    expect(page.get_by_role("button", name="Views")).to_be_focused()
    page.get_by_role("button", name="Clear").press("Enter")
    expect(page.get_by_role("button", name="Clear")).to_have_count(0)
    expect(page.get_by_role("button", name="Group", exact=True)).to_be_focused()


def test_many_cards_are_changed_at_once_and_what_is_refused_stays_selected(
    person: Callable[..., Page], admin: httpx.Client, silence: Silence
) -> None:
    _filled(admin)
    board = admin.get("/api/missions/board").json()
    review = next(column for column in board["columns"] if column["stage"] == "review")
    limit = f"/api/boards/{board['id']}/columns/{review['id']}/wip-limit"
    admin.put(limit, json={"wip_limit": 1}).raise_for_status()
    page = person(path="/?q=hull")
    bar = page.get_by_role("toolbar", name="Selected cards")
    page.get_by_role("link", name="Paint the hull").first.focus()
    page.keyboard.press("Control+a")
    chosen = len(_cards(page, "Ready"))
    expect(bar).to_contain_text(f"{chosen} selected")
    page.keyboard.press("p")
    expect(page.get_by_role("combobox", name="Set the priority")).to_be_focused()
    page.keyboard.type("urgent")
    page.keyboard.press("Enter")
    expect(page.get_by_text(f"{chosen} missions set to urgent priority")).to_be_visible()

    # In groups, the urgent ones come first.
    page.get_by_role("button", name="Clear").click()
    page.keyboard.press("f")
    page.keyboard.press("g")
    page.get_by_role("option", name="Priority").click()
    ready = page.get_by_role("region", name="Ready")
    expect(ready.get_by_role("heading", name=f"Urgent {chosen}")).to_be_visible()
    assert _cards(page, "Ready")[-1] == "Count the ropes"

    # Two are moved where there is room for one.
    ready.locator("[data-card] a").first.focus()
    page.keyboard.press("x")
    page.keyboard.press("Shift+ArrowDown")
    expect(bar).to_contain_text("2 selected")
    page.keyboard.press("m")
    page.keyboard.type("review")
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 of 2 missions moved to Review. Not “")).to_be_visible()
    expect(bar).to_contain_text("1 selected")
    page.keyboard.press("Escape")
    expect(bar).to_have_count(0)
    silence.forgive(409)


def test_a_viewer_filters_and_selects_nothing(
    person: Callable[..., Page], people: dict[str, httpx.Client]
) -> None:
    people["admin"].post("/api/missions", json={"title": "Only to look at"}).raise_for_status()
    page = person("viewer@example.org", "/?q=look")
    page.get_by_role("link", name="Only to look at").focus()
    page.keyboard.press("x")
    page.keyboard.press("Control+a")
    expect(page.get_by_role("toolbar", name="Selected cards")).to_have_count(0)


def test_the_focus_stays_on_the_board_when_its_cards_are_cancelled(
    person: Callable[..., Page], admin: httpx.Client
) -> None:
    _filled(admin)
    page = person()
    page.get_by_role("link", name="Paint the hull").first.focus()
    page.keyboard.press("x")
    page.keyboard.press("Delete")
    page.get_by_role("button", name="Cancel 1 mission").click()
    expect(page.get_by_role("toolbar", name="Selected cards")).to_have_count(0)
    expect(page.locator("[data-card] a:focus")).to_have_count(1)


def test_each_key_means_one_thing(person: Callable[..., Page], admin: httpx.Client) -> None:
    _filled(admin)
    page = person()
    page.get_by_role("slider", name="Moment shown").wait_for()
    page.get_by_role("link", name="Paint the hull").first.focus()
    page.keyboard.press("x")
    expect(page.get_by_role("toolbar", name="Selected cards")).to_be_visible()
    page.keyboard.press("?")
    rows = page.get_by_role("dialog", name="Keyboard shortcuts").locator("dd")
    expect(rows.first).to_be_visible()
    keys = rows.all_inner_texts()
    assert len(keys) == len(set(keys)), sorted(keys)


def test_what_a_button_opens_may_come_late_and_loses_no_key(
    person: Callable[..., Page], admin: httpx.Client
) -> None:
    _filled(admin)
    page = person()
    held = hold(page, "**/assets/RadixParts-*.js")
    page.reload()
    card = page.get_by_role("link", name="Paint the hull").first
    expect(card).to_be_visible()
    page.keyboard.press("f")
    page.keyboard.press("l")
    page.keyboard.type("g a")  # of the page's own keys these would go to the agents
    expect(page.get_by_label("Filter by label")).to_have_value("g a")
    assert page.get_by_role("dialog").count() == 0
    for route in held:
        route.continue_()
    expect(page.get_by_role("dialog", name="Filter by label")).to_be_visible()
    expect(page.get_by_role("combobox")).to_have_value("g a")
    page.keyboard.type(" b")
    expect(page.get_by_role("combobox")).to_have_value("g a b")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Label", exact=True)).to_be_focused()

    move = page.get_by_role("button", name="Move Paint the hull to").first
    move.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem", name="Select")).to_be_focused()
    page.keyboard.press("Escape")
    expect(move).to_be_focused()


def test_no_key_is_the_boards_own_while_a_dialog_is_on_its_way(page: Page) -> None:
    hold(page, "**/assets/RadixParts-*.js")
    page.goto("/")
    play = page.get_by_role("button", name="Play (T)")
    play.focus()
    page.keyboard.press("?")
    page.keyboard.press("t")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(dialog).to_be_focused()
    page.keyboard.press("t")
    page.keyboard.press("Escape")
    expect(play).to_be_focused()
    expect(play).to_have_attribute("aria-pressed", "false")


def test_an_address_by_hand_shows_a_board_whatever_it_asks_for(
    person: Callable[..., Page], admin: httpx.Client
) -> None:
    admin.post(
        "/api/missions", json={"title": "2024 in figures", "priority": "low"}
    ).raise_for_status()
    page = person(path="/?priority=low&q=2024")
    expect(page.get_by_role("link", name="2024 in figures")).to_be_visible()
    page.goto("/?priority=nonsense&assignee=&group=x&label=1&mission=7")
    expect(page.get_by_text(" of ").first).to_be_visible()
    page.goto("/?priority=nonsense&group=x&mission=7&q=2024")
    expect(page.get_by_role("link", name="2024 in figures")).to_be_visible()
