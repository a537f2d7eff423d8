"""Whoever works by the keyboard goes on from where they were, after whatever they opened, wrote or sent."""

from collections.abc import Callable, Iterable
from typing import Any

import httpx
from playwright.sync_api import Locator, Page, expect

from tests.web.conftest import hold


def _mission(admin: httpx.Client, title: str, **fields: Any) -> str:
    made = admin.post("/api/missions", json={"title": title, **fields}).raise_for_status()
    return str(made.json()["id"])


def _in_review(admin: httpx.Client, worker: httpx.Client, title: str) -> str:
    mission = _mission(admin, title)
    claimed = worker.post(f"/api/missions/{mission}/claim").raise_for_status().json()
    body = {"lease_token": claimed["lease"]["token"], "summary": "Done"}
    worker.post(f"/api/missions/{mission}/submit", json=body).raise_for_status()
    return mission


def _comes_back(opener: Locator, field: Locator, ways: Iterable[tuple[str | None, str]]) -> None:
    """Open a field by its button, write into it or not, and leave it by a key: the button has the focus."""
    for text, key in ways:
        opener.focus()
        opener.press("Enter")
        expect(field).to_be_focused()
        if text is not None:
            field.fill(text)
        field.press(key)
        expect(field).to_have_count(0)
        expect(opener).to_be_focused()


def test_what_is_edited_on_a_mission_gives_the_focus_back(page: Page, admin: httpx.Client) -> None:
    mission = _mission(admin, "Weigh the parcels", description="As it was")
    said = admin.post(f"/api/missions/{mission}/comments", json={"body": "A first word"})
    said.raise_for_status()
    page.goto(f"/missions/{mission}")
    title = page.get_by_title("Edit the title")
    field = page.get_by_label("Title", exact=True)
    _comes_back(title, field, [(None, "Escape"), (None, "Enter"), ("Weigh them", "Enter")])
    expect(title).to_have_text("Weigh them")
    _comes_back(
        page.get_by_role("button", name="Edit the description"),
        page.get_by_label("Description in Markdown"),
        [(None, "Escape"), ("As it is", "Control+Enter")],
    )
    due = page.get_by_role("region", name="Properties").get_by_role("button", name="Set a due date")
    _comes_back(due, page.get_by_label("Due", exact=True), [(None, "Escape"), (None, "Enter")])

    comment = page.get_by_role("article").filter(has_text="A first word")
    reply = page.get_by_placeholder("Reply…")
    ways = [(None, "Escape"), ("And another", "Control+Enter")]
    _comes_back(comment.get_by_role("button", name="Reply").first, reply, ways)
    edit = comment.get_by_role("button", name="Edit").first
    edited = page.get_by_label("Edit the comment")
    _comes_back(edit, edited, [(None, "Escape"), ("A first word, changed", "Control+Enter")])
    edit.press("Enter")
    page.get_by_role("button", name="Cancel", exact=True).press("Enter")
    expect(edit).to_be_focused()


def test_what_is_asked_about_a_mission_gives_the_focus_back_or_leaves_it_near(
    page: Page, admin: httpx.Client, agent_maker: Callable[..., tuple[str, httpx.Client]]
) -> None:
    worker = agent_maker("scribe")[1]
    page.goto(f"/missions/{_in_review(admin, worker, 'Sort the letters')}")
    title, menu = page.get_by_title("Edit the title"), page.get_by_label("What to do with this")
    menu.press("Enter")
    page.get_by_role("menuitem", name="Block…").press("Enter")
    page.get_by_label("What is in its way?").fill("No key")
    page.get_by_label("What is in its way?").press("Control+Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(menu).to_be_focused()
    page.get_by_role("button", name="Unblock").press("Enter")
    expect(page.get_by_role("button", name="Unblock")).to_have_count(0)
    expect(title).to_be_focused()

    page.get_by_role("button", name="Approve").press("Enter")
    expect(page.get_by_role("region", name="Result")).to_be_visible()
    expect(title).to_be_focused()
    page.goto(f"/missions/{_in_review(admin, worker, 'Sort the stamps')}")
    send_back = page.get_by_role("button", name="Send back…")
    reason = page.get_by_label("What is missing?")
    _comes_back(send_back, reason, [(None, "Escape")])
    send_back.press("Enter")
    reason.fill("The last street")
    reason.press("Control+Enter")
    expect(page.get_by_role("region", name="Review")).to_have_count(0)
    expect(title).to_be_focused()


def test_what_opens_over_the_board_gives_the_focus_back(page: Page, admin: httpx.Client) -> None:
    for title in ("Coil the rope", "Paint the hull"):
        _mission(admin, title)
    page.goto("/")
    add = page.get_by_role("button", name="Add a mission to Backlog")
    field = page.get_by_label("Title of a new mission in Backlog")
    _comes_back(add, field, [(None, "Escape"), ("Given up", "Escape")])

    rope, hull = (
        page.get_by_role("link", name=name) for name in ("Coil the rope", "Paint the hull")
    )
    for key, opened in (("?", "Keyboard shortcuts"), ("Control+k", "Search and commands")):
        rope.press(key)
        dialog = page.get_by_role("dialog", name=opened)
        expect(dialog.locator(":focus")).to_have_count(1)
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        expect(rope).to_be_focused()
    words = page.get_by_label("Words in the title")
    rope.press("/")
    expect(words).to_be_focused()
    words.press("Escape")
    expect(rope).to_be_focused()

    rope.press("x")
    bar = page.get_by_role("toolbar", name="Selected cards")
    cancel = bar.get_by_role("button", name="Cancel missions")
    cancel.press("Enter")
    dialog = page.get_by_role("dialog", name="Cancel 1 mission?")
    expect(dialog.locator(":focus")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(cancel).to_be_focused()
    cancel.press("Enter")
    dialog.get_by_role("button", name="Cancel 1 mission").press("Enter")
    expect(rope).to_have_count(0)
    expect(bar).to_have_count(0)
    expect(page.locator("[data-card] a:focus")).to_have_count(1)
    expect(hull).to_be_visible()


HOLD_FRAMES = """() => {
    const held = [];
    window.requestAnimationFrame = (draw) => held.push(draw);
    window.drawFrame = () => held.splice(0).forEach((draw) => draw(performance.now()));
}"""


def test_an_answer_that_comes_late_takes_the_focus_from_nobody(
    page: Page, admin: httpx.Client
) -> None:
    _mission(admin, "Walk slowly")
    asked = hold(page, "**/move")
    page.goto("/")
    page.get_by_role("button", name="Move Walk slowly to").press("Enter")
    review = page.get_by_role("menuitemcheckbox", name="Review")
    review.focus()
    page.evaluate(HOLD_FRAMES)  # the browser is as slow as this test wants it to be
    with page.expect_request("**/move"):
        review.press("Enter")
    page.evaluate("drawFrame()")
    asked[0].continue_()  # nothing has the focus: the card is on its way
    expect(page.get_by_text("Walk slowly: moved to Review")).to_be_attached()
    page.evaluate("drawFrame()")
    moved = page.get_by_role("region", name="Review").get_by_role("link", name="Walk slowly")
    expect(moved).to_be_focused()
    page.keyboard.press("Tab")
    page.evaluate("drawFrame()")
    page.evaluate("drawFrame()")
    expect(page.get_by_role("button", name="Move Walk slowly to")).to_be_focused()


def test_a_card_that_is_moved_on_before_the_first_answer_stays_where_it_was_put_last(
    page: Page, admin: httpx.Client
) -> None:
    mission_id = _mission(admin, "Walk twice")
    asked = hold(page, "**/move")
    page.goto("/")
    page.get_by_role("link", name="Walk twice").focus()
    with page.expect_request("**/move"):
        page.keyboard.press("Alt+ArrowRight")
    in_progress = page.get_by_role("region", name="In progress")
    expect(in_progress.get_by_role("link", name="Walk twice")).to_be_focused()
    page.keyboard.press("Alt+ArrowRight")
    moved = page.get_by_role("region", name="Review").get_by_role("link", name="Walk twice")
    expect(moved).to_be_focused()
    moved.evaluate("link => { link.isSame = true }")
    with page.expect_request("**/move"):  # the second one waits for the first
        asked.pop().continue_()
    expect(moved).to_be_focused()
    asked.pop().continue_()
    expect(page.get_by_text("Walk twice: moved to Review")).to_be_attached()
    expect(moved).to_be_focused()
    assert moved.evaluate("link => link.isSame"), "it was never put back"
    mission = admin.get(f"/api/missions/{mission_id}").json()
    assert mission["stage"] == "review"


def test_the_name_of_a_board_stays_in_hand_when_it_is_saved_or_taken_back(
    page: Page, admin: httpx.Client
) -> None:
    board = admin.get("/api/missions/board").json()["id"]
    page.goto(f"/settings/boards/{board}")
    name = page.get_by_label("Name of the board")
    name.fill("Nothing")
    name.press("Escape")
    expect(name).to_be_focused()
    expect(name).not_to_have_value("Nothing")
    with page.expect_response(lambda answer: answer.request.method == "PUT" and answer.ok):
        name.fill("Port")
        name.press("Enter")
    expect(page.get_by_role("list", name="Columns of Port")).to_be_visible()
    expect(name).to_be_focused()
    expect(name).to_have_value("Port")
