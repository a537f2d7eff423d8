"""The board in real browsers: what one does there, the other sees."""

import re
from collections.abc import Callable
from uuid import UUID

import httpx
from playwright.sync_api import Locator, Page, Request, Route, expect

from tests.web.conftest import Silence

CTRL = 2
"""As DevTools' protocol tells of keys that are held."""


def _add(page: Page, column: str, title: str) -> None:
    page.get_by_role("button", name=f"Add a mission to {column}").click()
    field = page.get_by_label(f"Title of a new mission in {column}")
    field.fill(title)
    field.press("Enter")
    expect(page.get_by_role("region", name=column).get_by_role("link", name=title)).to_be_visible()
    field.press("Escape")


def test_what_one_browser_adds_and_moves_the_other_shows(
    person: Callable[..., Page],
) -> None:
    here, there = person(), person()
    expect(there.get_by_label("Updates: Live")).to_be_visible()
    _add(here, "Backlog", "Count the containers")
    expect(there.get_by_role("link", name="Count the containers")).to_be_visible()

    here.get_by_role("button", name="Move Count the containers to").click()
    with here.expect_request("**/move") as asked:
        here.get_by_role("menuitemcheckbox", name="Ready").click()
    assert UUID(asked.value.headers["idempotency-key"])  # a proxy may send it twice
    moved = there.get_by_role("region", name="Ready").get_by_role(
        "link", name="Count the containers"
    )
    expect(moved).to_be_visible()


def _carry(page: Page, grip: str, column: str, arrow: str, to: str) -> None:
    """Pick up the card whose handle has the focus, take it from one column to another, and put it there."""
    page.keyboard.press(grip)
    expect(page.get_by_text(f"Over {column}")).to_be_attached()
    page.keyboard.press(arrow)
    expect(page.get_by_text(f"Over {to}")).to_be_attached()
    with page.expect_response("**/move"):
        page.keyboard.press(grip)


def test_a_card_is_moved_by_keyboard_and_keeps_the_focus(person: Callable[..., Page]) -> None:
    page = person()
    _add(page, "Backlog", "Walk right")
    page.get_by_role("link", name="Walk right").focus()
    page.evaluate(
        "addEventListener('keydown', (event) => { window.isKept = event.defaultPrevented; })"
    )
    page.keyboard.press("Alt+ArrowLeft")  # there is no column: a browser would go back
    assert page.evaluate("window.isKept") is True
    page.keyboard.press("Alt+ArrowRight")
    moved = page.get_by_role("region", name="Ready").get_by_role("link", name="Walk right")
    expect(moved).to_be_visible()
    expect(moved).to_be_focused()
    page.keyboard.press("Tab")  # its menu
    page.keyboard.press("Enter")
    page.get_by_role("menuitemcheckbox", name="Review").press("Enter")
    moved = page.get_by_role("region", name="Review").get_by_role("link", name="Walk right")
    expect(moved).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")  # its handle
    expect(page.get_by_role("button", name="Drag Walk right")).to_be_focused()
    _carry(page, "Enter", "Review", "ArrowLeft", "In progress")
    moved = page.get_by_role("region", name="In progress").get_by_role("link", name="Walk right")
    expect(moved).to_be_focused()


def test_a_title_has_the_whole_width_of_its_card(person: Callable[..., Page]) -> None:
    page = person()
    _add(page, "Backlog", "Wide")
    card = page.locator("[data-card]", has_text="Wide")
    inside = "(card) => card.firstElementChild.clientWidth - 20"  # its padding
    width = "(title) => title.clientWidth"
    assert card.get_by_role("heading").evaluate(width) >= card.evaluate(inside)


def _drag(page: Page, title: str, onto: Locator, y: int) -> None:
    """Take a card by its handle over something, so far below its upper edge; it is not let go."""
    page.get_by_role("link", name=title).hover()
    handle = page.get_by_role("button", name=f"Drag {title}")
    expect(handle).to_have_attribute("aria-roledescription", "draggable")  # its script is there
    handle.hover()
    page.mouse.down()
    box = onto.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 60, box["y"] + y - 10, steps=10)
    page.mouse.move(box["x"] + 80, box["y"] + y, steps=5)


def test_a_card_is_dragged_by_its_handle(person: Callable[..., Page]) -> None:
    page = person()
    _add(page, "Backlog", "Drag me")
    _drag(page, "Drag me", page.get_by_role("region", name="Ready"), 90)
    with page.expect_response("**/move"):
        page.mouse.up()
    page.reload()  # what the server says, and no longer what this page wished for
    expect(
        page.get_by_role("region", name="Ready").get_by_role("link", name="Drag me")
    ).to_be_visible()


def _leaves(page: Page, title: str, admin: httpx.Client) -> None:
    """Move a card to the end, as somebody else would."""
    card = page.locator("[data-card]", has_text=title).get_attribute("data-card")
    done = admin.get("/api/missions/board").json()["columns"][-1]["id"]
    admin.put(f"/api/missions/{card}/move", json={"column_id": done}).raise_for_status()


def test_a_card_is_put_where_it_was_let_go_though_its_neighbour_left_meanwhile(
    person: Callable[..., Page], admin: httpx.Client
) -> None:
    page = person()
    column = page.get_by_role("region", name="In progress")
    for title in ("Goes away", "Stays there"):
        _add(page, "In progress", title)
    _add(page, "Backlog", "Late")
    many = column.locator("[data-card]").count()
    count = column.locator("header span")
    expect(count).to_have_text(str(many))
    _drag(page, "Late", column.locator("[data-card]", has_text="Goes away"), 20)
    _leaves(page, "Goes away", admin)
    # The cards are held where they are, and no filter hides one.
    expect(count).to_have_text(str(many - 1))
    expect(column.get_by_role("link", name="Goes away")).to_be_visible()
    with page.expect_response("**/move") as moved:
        page.mouse.up()
    assert moved.value.ok
    expect(column.get_by_role("link", name="Goes away")).to_have_count(0)
    assert column.locator("[data-card] a").all_inner_texts()[-2:] == ["Late", "Stays there"]


def test_a_card_whose_neighbour_leaves_as_it_is_let_go_is_put_at_the_end(
    person: Callable[..., Page], admin: httpx.Client, silence: Silence
) -> None:
    page = person()
    column = page.get_by_role("region", name="In progress")
    for title in ("Goes first", "Comes last"):
        _add(page, "In progress", title)
    tried: list[str] = []

    def leaves(route: Route) -> None:
        if not tried:
            _leaves(page, "Goes first", admin)
        tried.append(route.request.post_data or "")
        route.continue_()

    page.route("**/move", leaves)
    page.get_by_role("link", name="Comes last").focus()
    page.keyboard.press("Alt+ArrowUp")
    expect(page.get_by_text("Comes last: moved to In progress")).to_be_attached()
    assert ["before" in body for body in tried] == [True, False]
    expect(column.get_by_role("link", name="Comes last")).to_be_focused()
    silence.forgive(422)


def test_a_card_is_picked_up_by_the_keyboard_and_put_a_column_aside(
    person: Callable[..., Page],
) -> None:
    page = person()
    _add(page, "Backlog", "Carry me")
    handle = page.get_by_role("button", name="Drag Carry me")
    handle.focus()  # brings the script of dragging, which is there when the card says so
    expect(handle).to_have_attribute("aria-roledescription", "draggable")
    _carry(page, "Space", "Backlog", "ArrowRight", "Ready")
    ready = page.get_by_role("region", name="Ready")
    expect(ready.get_by_role("link", name="Carry me")).to_be_visible()


def test_a_refused_move_goes_back_and_says_why(
    person: Callable[..., Page], admin: httpx.Client, silence: Silence
) -> None:
    board = admin.get("/api/missions/board").json()
    review = next(column for column in board["columns"] if column["stage"] == "review")
    path = f"/api/boards/{board['id']}/columns/{review['id']}/wip-limit"
    assert admin.put(path, json={"wip_limit": 1}).status_code == 200
    for title in ("First in", "Second in"):
        admin.post("/api/missions", json={"title": title}).raise_for_status()
    page = person()
    for title in ("First in", "Second in"):
        page.get_by_role("button", name=f"Move {title} to").click()
        page.get_by_role("menuitemcheckbox", name="Review").click()
    expect(page.get_by_text("“Second in” stays where it was")).to_be_visible()
    back = page.get_by_role("region", name="Ready").get_by_role("link", name="Second in")
    expect(back).to_be_visible()
    silence.forgive(409)


def test_what_is_added_to_a_long_column_is_shown_and_said(
    person: Callable[..., Page], admin: httpx.Client
) -> None:
    board = admin.get("/api/missions/board").json()
    backlog = board["columns"][0]
    for number in range(25):
        body = {"title": f"Barrel {number}", "column_id": backlog["id"]}
        admin.post("/api/missions", json=body).raise_for_status()
    page = person()
    column = page.get_by_role("region", name=backlog["name"])
    page.get_by_role("button", name=f"Add a mission to {backlog['name']}").click()
    field = page.get_by_label(f"Title of a new mission in {backlog['name']}")
    for title in ("Last barrel", "And another"):
        field.fill(title)
        field.press("Enter")
        expect(page.get_by_text(f"{title}: added to {backlog['name']}")).to_be_attached()
        expect(column.get_by_role("link", name=title)).to_be_in_viewport(ratio=1)
        expect(field).to_be_focused()


def test_what_is_added_and_left_out_of_the_view_is_said_and_shown_on_demand(
    person: Callable[..., Page],
) -> None:
    page = person(path="/?q=zzqq&group=priority")
    page.get_by_role("button", name="Add a mission to Backlog").click()
    field = page.get_by_label("Title of a new mission in Backlog")
    field.fill("Unlike the view")
    field.press("Enter")
    said = page.get_by_role("status").filter(has_text="“Unlike the view” was added to Backlog")
    said.get_by_role("button", name="Show it").click()
    added = page.get_by_role("region", name="Backlog").get_by_role("link", name="Unlike the view")
    expect(added).to_be_in_viewport(ratio=1)
    expect(page).to_have_url(re.compile(r"/\?group=priority$"))
    expect(page.get_by_text("Unlike the view: added to Backlog")).to_be_attached()
    expect(said).to_have_count(0)


def test_a_title_that_is_refused_is_offered_again_and_takes_the_place_of_nothing(
    person: Callable[..., Page], silence: Silence
) -> None:
    page = person()
    backlog = page.get_by_role("region", name="Backlog")
    asked: list[Route] = []

    def hold(route: Route) -> None:
        asked.append(route)

    page.route("**/api/missions", hold)
    page.get_by_role("button", name="Add a mission to Backlog").click()
    field = page.get_by_label("Title of a new mission in Backlog")

    def refused(title: str, then: str) -> None:
        field.fill(title)
        with page.expect_request("**/api/missions"):
            field.press("Enter")
        expect(field).to_have_value("")
        field.press_sequentially(then)
        asked.pop().fulfill(status=409, json={"detail": "the column is full"})
        expect(page.get_by_text(f"“{title}” was not added: the column is full")).to_be_visible()

    refused("Full alone", "")
    expect(field).to_have_value("Full alone")
    refused("Full before", "typed next")
    expect(field).to_have_value("typed next")
    expect(field).to_be_focused()
    page.unroute("**/api/missions")
    backlog.get_by_role("button", name="Try again to add Full before").click()
    expect(backlog.get_by_role("link", name="Full before")).to_be_visible()
    expect(backlog.get_by_text("Not added")).to_have_count(0)
    expect(field).to_have_value("typed next")
    expect(field).to_be_focused()
    silence.forgive(409)


def test_the_enter_that_ends_a_composition_takes_a_word_and_sends_nothing(
    person: Callable[..., Page], admin: httpx.Client
) -> None:
    made = admin.post("/api/missions", json={"title": "Written by method"}).raise_for_status()
    page = person()
    keyboard = page.context.new_cdp_session(page)
    sent: list[str] = []

    def note(asked: Request) -> None:
        if asked.method != "GET" and "/api/missions" in asked.url:
            sent.append(asked.url)

    page.on("request", note)

    def compose(modifiers: int = 0) -> None:
        word = {"text": "にほん", "selectionStart": 3, "selectionEnd": 3}
        keyboard.send("Input.imeSetComposition", word)
        enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 229}
        held = {**enter, "modifiers": modifiers}
        keyboard.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", **held})
        keyboard.send("Input.dispatchKeyEvent", {"type": "keyUp", **held})
        keyboard.send("Input.insertText", {"text": "日本"})

    page.get_by_role("button", name="Add a mission to Backlog").click()
    field = page.get_by_label("Title of a new mission in Backlog")
    expect(field).to_be_focused()
    compose()
    expect(field).to_have_value("日本")
    field.press("Enter")
    added = page.get_by_role("region", name="Backlog").get_by_role("link")
    expect(added.filter(has_text="日本")).to_have_count(1)
    expect(added.filter(has_text="にほん")).to_have_count(0)
    field.press("Escape")

    page.goto(f"/missions/{made.json()['id']}")
    page.get_by_role("button", name="Change the labels").click()
    field = page.get_by_role("combobox", name="Labels")
    expect(field).to_be_focused()
    sent.clear()
    compose()
    expect(field).to_have_value("日本")
    assert sent == []
    field.press("Enter")
    expect(page.get_by_role("option", name="日本")).to_be_visible()
    page.keyboard.press("Escape")

    page.get_by_title("Edit the title").click()
    field = page.get_by_label("Title", exact=True)
    field.press("End")
    compose()
    expect(field).to_have_value("Written by method日本")
    field.press("Escape")
    page.get_by_label("Write a comment").focus()
    sent.clear()
    compose(CTRL)
    expect(page.get_by_label("Write a comment")).to_have_value("日本")
    assert sent == []
