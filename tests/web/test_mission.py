"""A mission and the inbox in real browsers: what is written, who works, what is reviewed and said."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.web.conftest import Silence

Agents = Callable[..., tuple[str, httpx.Client]]


@pytest.fixture(scope="module")
def worker(agent_maker: Agents) -> httpx.Client:
    """An agent that can do anything that is asked for here."""
    return agent_maker("scribe")[1]


def _mission(client: httpx.Client, title: str, **fields: Any) -> str:
    made = client.post("/api/missions", json={"title": title, **fields}).raise_for_status()
    return str(made.json()["id"])


def _claim(admin: httpx.Client, worker: httpx.Client, mission: str) -> int:
    board = admin.get("/api/missions/board").json()
    ready = next(column["id"] for column in board["columns"] if column["stage"] == "ready")
    admin.put(f"/api/missions/{mission}/move", json={"column_id": ready}).raise_for_status()
    claimed = worker.post(f"/api/missions/{mission}/claim").raise_for_status().json()
    return int(claimed["lease"]["token"])


def _submit(admin: httpx.Client, worker: httpx.Client, mission: str, summary: str) -> None:
    token = _claim(admin, worker, mission)
    body = {"lease_token": token, "summary": summary}
    worker.post(f"/api/missions/{mission}/submit", json=body).raise_for_status()


def _properties(page: Page) -> Locator:
    return page.get_by_role("region", name="Properties")


def test_a_panel_opens_from_a_card_and_gives_the_focus_back(
    person: Callable[..., Page], admin: httpx.Client
) -> None:
    mission = _mission(
        admin, "Weigh the parcels", description="**All** of them\n\n<script>x</script>"
    )
    page = person()
    page.get_by_role("link", name="Weigh the parcels").press("Enter")
    panel = page.get_by_role("complementary", name="Mission")
    expect(panel.get_by_role("heading", name="Weigh the parcels")).to_be_visible()
    expect(panel.locator("strong", has_text="All")).to_be_visible()
    expect(panel.get_by_text("<script>x</script>")).to_be_visible()
    assert f"mission={mission}" in page.url
    page.keyboard.press("Escape")
    expect(panel).to_have_count(0)
    expect(page.get_by_role("link", name="Weigh the parcels")).to_be_focused()


def test_what_was_being_written_is_there_when_somebody_comes_back(
    person: Callable[..., Page], admin: httpx.Client
) -> None:
    mission = _mission(admin, "Think it over", description="As it was")
    page = person(path=f"/missions/{mission}")
    page.get_by_label("Write a comment").fill("half a thought")
    page.get_by_role("tab", name="History").click()
    page.get_by_role("tab", name="Comments").click()
    expect(page.get_by_label("Write a comment")).to_have_value("half a thought")
    page.get_by_label("Write a comment").press("Control+Enter")
    expect(page.get_by_label("Write a comment")).to_have_value("")
    expect(page.get_by_text("half a thought")).to_be_visible()

    page.get_by_role("button", name="Edit the description").click()
    field = page.get_by_label("Description in Markdown")
    field.fill("As it may be")
    field.press("Escape")
    expect(page.get_by_text("As it was")).to_be_visible()
    page.get_by_role("link", name="Agents").click()
    expect(page.get_by_role("button", name="Register agent").first).to_be_visible()
    page.go_back()
    expect(field).to_have_value("As it may be")
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Edit the description").click()
    expect(field).to_have_value("As it was")


def test_what_was_being_written_outlives_a_reload_until_it_is_sent_or_given_up(
    person: Callable[..., Page], admin: httpx.Client
) -> None:
    mission = _mission(admin, "Sleep on it", description="As it was")
    said = admin.post(f"/api/missions/{mission}/comments", json={"body": "A first word"})
    said.raise_for_status()
    page = person(path=f"/missions/{mission}")
    comment, reply = page.get_by_label("Write a comment"), page.get_by_placeholder("Reply…")
    edited = page.get_by_label("Edit the comment")
    description = page.get_by_label("Description in Markdown")
    comment.fill("half a thought")
    page.get_by_role("button", name="Reply").click()
    reply.fill("half an answer")
    page.get_by_role("button", name="Edit the description").click()
    description.fill("As it may be")
    page.reload()
    expect(comment).to_have_value("half a thought")
    expect(reply).to_have_value("half an answer")
    expect(description).to_have_value("As it may be")

    comment.press("Control+Enter")
    expect(page.get_by_text("half a thought")).to_be_visible()
    for button in page.get_by_role("button", name="Cancel", exact=True).all()[::-1]:
        button.click()
    page.get_by_role("button", name="Edit", exact=True).first.click()
    edited.fill("Another first word")
    edited.press("Escape")
    page.reload()
    expect(edited).to_have_value("Another first word")
    edited.press("Control+Enter")
    expect(edited).to_have_count(0)
    page.reload()
    expect(page.get_by_text("Another first word")).to_be_visible()
    expect(page.get_by_text("As it was")).to_be_visible()
    expect(page.get_by_role("textbox")).to_have_count(1)
    expect(comment).to_have_value("")


def _held(page: Page) -> list[Route]:
    """Let no comment through from now on, until a test does."""
    asked: list[Route] = []

    def hold(route: Route) -> None:
        if route.request.method == "GET":
            route.fallback()
        else:
            asked.append(route)

    page.route("**/comments**", hold)
    page.route("**/comments/*", hold)
    return asked


def _sent(page: Page, field: Locator, asked: list[Route]) -> Route:
    """Send what is in a field, and return what is asked for then."""
    before = len(asked)
    field.press("Control+Enter")
    while len(asked) == before:
        page.wait_for_timeout(10)
    return asked[-1]


def test_what_is_written_while_a_comment_is_sent_stays_whether_it_is_taken_or_refused(
    person: Callable[..., Page], admin: httpx.Client, silence: Silence
) -> None:
    mission = _mission(admin, "Think aloud")
    page = person(path=f"/missions/{mission}")
    field = page.get_by_label("Write a comment")
    asked = _held(page)
    field.fill("first")
    first = _sent(page, field, asked)
    expect(field).to_have_value("")
    field.press_sequentially("my next thought")
    first.continue_()
    expect(page.get_by_text("Comment added")).to_be_attached()
    expect(page.get_by_text("first", exact=True)).to_be_visible()
    expect(field).to_have_value("my next thought")
    page.reload()
    expect(field).to_have_value("my next thought")

    second = _sent(page, field, asked)
    field.press_sequentially("and another")
    page.reload()  # nobody knows yet whether it arrived
    expect(field).to_have_value("my next thought\n\nand another")
    second.abort()
    third = _sent(page, field, asked)
    field.press_sequentially("a last one")
    third.fulfill(status=503, json={"detail": "Not now"})
    expect(page.get_by_text("Not now")).to_be_visible()
    expect(field).to_have_value("my next thought\n\nand another\n\na last one")
    silence.forgive(503)


def test_a_comment_is_removed_when_that_is_meant(
    person: Callable[..., Page], admin: httpx.Client
) -> None:
    mission = _mission(admin, "Weigh the words")
    for word in ("Stays", "Goes"):
        said = admin.post(f"/api/missions/{mission}/comments", json={"body": word})
        said.raise_for_status()
    page = person(path=f"/missions/{mission}")
    bin_ = page.get_by_role("article").filter(has_text="Goes").get_by_role("button", name="Remove")
    dialog = page.get_by_role("dialog", name="Remove this comment?")
    bin_.click()
    dialog.get_by_role("button", name="Keep it").click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_text("Goes", exact=True)).to_be_visible()
    expect(bin_).to_be_focused()
    bin_.press("Enter")
    dialog.get_by_role("button", name="Remove").click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_text("Goes", exact=True)).to_have_count(0)
    expect(page.get_by_text("Stays", exact=True)).to_be_visible()
    expect(page.locator("main :focus")).to_have_count(1)


def test_a_reply_and_an_edit_stay_open_for_what_was_written_while_they_were_sent(
    person: Callable[..., Page], admin: httpx.Client
) -> None:
    mission = _mission(admin, "Talk it over")
    said = admin.post(f"/api/missions/{mission}/comments", json={"body": "A word"})
    said.raise_for_status()
    page = person(path=f"/missions/{mission}")
    asked = _held(page)
    page.get_by_role("button", name="Edit", exact=True).click()
    edited = page.get_by_label("Edit the comment")
    edited.fill("Two words")
    saved = _sent(page, edited, asked)
    edited.press("End")
    edited.press_sequentially(" or three")
    saved.continue_()
    expect(page.get_by_text("Saved", exact=True)).to_be_attached()
    expect(edited).to_have_value("Two words or three")
    _sent(page, edited, asked).continue_()
    expect(edited).to_have_count(0)
    expect(page.get_by_text("Two words or three")).to_be_visible()


def test_an_edit_goes_beside_what_another_changed_and_asks_where_both_changed_the_same(
    person: Callable[..., Page], admin: httpx.Client, silence: Silence
) -> None:
    mission = _mission(admin, "Count the crates", description="As it was")
    page = person(path=f"/missions/{mission}")
    page.get_by_role("button", name="Edit the description").click()
    admin.put(
        f"/api/missions/{mission}", json={"description": "Theirs", "priority": "high"}
    ).raise_for_status()
    expect(page.get_by_text("Somebody changed the description meanwhile")).to_be_visible()
    page.get_by_label("Description in Markdown").fill("Mine")
    page.get_by_role("button", name="Save").click()
    dialog = page.get_by_role("dialog", name="Somebody else changed this, too")
    expect(dialog.get_by_text("Theirs", exact=True).first).to_be_visible()
    dialog.get_by_label("Description that is kept").fill("Both")
    with page.expect_response(lambda answer: answer.request.method == "PUT" and answer.ok) as saved:
        dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("region", name="Description").get_by_text("Both")).to_be_visible()
    seen = {"min_position": saved.value.json()["position"]}
    now = admin.get(f"/api/missions/{mission}", params=seen).json()
    assert (now["description"], now["priority"]) == ("Both", "high")
    silence.forgive(412)


def test_a_question_that_is_left_gives_back_what_was_written_and_asks_again(
    person: Callable[..., Page], admin: httpx.Client, silence: Silence
) -> None:
    mission = _mission(admin, "Count the barrels", description="As it was")
    page = person(path=f"/missions/{mission}")
    page.get_by_role("button", name="Edit the description").click()
    admin.put(f"/api/missions/{mission}", json={"description": "Theirs"}).raise_for_status()
    field = page.get_by_label("Description in Markdown")
    dialog = page.get_by_role("dialog", name="Somebody else changed this, too")
    together = dialog.get_by_label("Description that is kept")
    field.fill("Mine")
    field.press("Control+Enter")
    expect(together).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(field).to_have_value("Mine")
    expect(field).to_be_focused()

    field.press("Control+Enter")
    expect(together).to_have_value("Mine")
    together.fill("Mine and theirs")
    dialog.get_by_role("button", name="Close").click()
    expect(field).to_have_value("Mine and theirs")
    field.press("Control+Enter")
    dialog.get_by_role("radio", name="Theirs Theirs").check()
    page.keyboard.press("Escape")
    expect(field).to_have_value("Mine and theirs")
    field.press("Control+Enter")
    expect(together).to_be_focused()
    page.reload()  # nothing is decided yet
    expect(field).to_have_value("Mine and theirs")

    field.press("Control+Enter")
    dialog.get_by_role("button", name="Discard mine").click()
    expect(page.get_by_role("region", name="Description").get_by_text("Theirs")).to_be_visible()
    expect(page.get_by_role("button", name="Edit the description")).to_be_focused()
    silence.forgive(412)


def test_a_title_in_question_is_in_its_field_until_it_is_decided(
    person: Callable[..., Page], admin: httpx.Client, silence: Silence
) -> None:
    mission = _mission(admin, "Count the sacks")
    page = person(path=f"/missions/{mission}")
    page.get_by_title("Edit the title").click()
    admin.put(f"/api/missions/{mission}", json={"title": "Count the bags"}).raise_for_status()
    field = page.get_by_label("Title", exact=True)
    dialog = page.get_by_role("dialog", name="Somebody else changed this, too")
    together = dialog.get_by_label("Title that is kept")
    field.fill("Weigh the sacks")
    field.press("Enter")
    expect(together).to_be_focused()
    together.fill("Weigh the bags")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(field).to_be_focused()
    expect(field).to_have_value("Weigh the bags")

    # It is saved as it is left, even for another page.
    page.get_by_role("link", name="Agents").click()
    expect(page.get_by_text("“Count the bags” is not saved")).to_be_visible()
    expect(page.get_by_role("button", name="Register agent").first).to_be_visible()
    page.go_back()
    expect(field).to_have_value("Weigh the bags")
    field.press("Enter")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_title("Edit the title")).to_have_text("Weigh the bags")
    silence.forgive(412)


def test_a_day_that_cannot_be_meant_is_said_at_its_field_and_not_saved(
    person: Callable[..., Page], admin: httpx.Client
) -> None:
    mission = _mission(admin, "Name the day")
    page = person(path=f"/missions/{mission}", locale="en-US")
    field = page.get_by_label("Due", exact=True)
    for keys in ("010120260", "0101", "01011066"):
        page.get_by_role("button", name="Set a due date").click()
        page.keyboard.type(keys)
        if keys == "0101":
            field.blur()
        else:
            page.keyboard.press("Enter")
        expect(field).to_have_accessible_description(
            "Not a date: write a whole one, from 2000 to 2999"
        )
        field.press("Escape")
        expect(field).to_have_count(0)
    page.get_by_role("button", name="Set a due date").click()
    page.keyboard.type("01012031")
    with page.expect_response(lambda answer: answer.request.method == "PUT" and answer.ok):
        field.press("Enter")
    expect(page.get_by_role("button", name="Due Jan 1, 2031: change")).to_be_focused()


def test_work_is_seen_live_and_sent_back_and_approved(
    person: Callable[..., Page], admin: httpx.Client, worker: httpx.Client
) -> None:
    mission = _mission(admin, "Sort the letters")
    page = person(path=f"/missions/{mission}")
    expect(page.get_by_label("Updates: Live")).to_be_visible()
    token = _claim(admin, worker, mission)
    worker.post(
        f"/api/missions/{mission}/progress",
        json={"lease_token": token, "percent": 40, "note": "by street"},
    ).raise_for_status()
    lease = page.get_by_role("region", name="Lease")
    expect(lease.get_by_text("40%")).to_be_visible()
    expect(lease.get_by_text("by street")).to_be_visible()
    worker.post(
        f"/api/missions/{mission}/submit", json={"lease_token": token, "summary": "Sorted"}
    ).raise_for_status()

    review = page.get_by_role("region", name="Review")
    review.get_by_role("button", name="Send back…").click()
    review.get_by_role("button", name="Send back").click()
    expect(review.get_by_text("A few words are needed.")).to_be_visible()
    review.get_by_label("What is missing?").fill("The **last** street")
    review.get_by_role("button", name="Send back").click()
    expect(_properties(page).get_by_text("Ready")).to_be_visible()
    _submit(admin, worker, mission, "All streets")
    page.get_by_role("button", name="Approve").click()
    expect(_properties(page).get_by_text("Done")).to_be_visible()

    page.get_by_role("tab", name="History").click()
    history = page.get_by_role("list", name="History")
    expect(history.get_by_text("approved it")).to_be_visible()
    expect(history.get_by_text("The last street")).to_be_visible()


def test_people_are_mentioned_and_find_it_in_their_inbox(
    person: Callable[..., Page], people: dict[str, httpx.Client], admin: httpx.Client
) -> None:
    mission = _mission(admin, "Ask around")
    name = people["mission_commander"].get("/api/members/me").json()["name"]
    page = person(path=f"/missions/{mission}")
    field = page.get_by_label("Write a comment")
    field.press_sequentially(f"@{name[:4]}")
    page.get_by_role("option", name=name).click()
    field.press_sequentially("which **one**?")
    field.press("Control+Enter")
    expect(page.get_by_text(f"@{name}")).to_be_visible()

    there = person("mission_commander@example.org", path="/inbox")
    expect(there.get_by_role("navigation").get_by_text("1 unread")).to_be_visible()
    there.get_by_role("button", name="Mentions").click()
    expect(there.get_by_role("list", name="Inbox").get_by_text("which one?")).to_be_visible()
    there.keyboard.press("j")
    there.keyboard.press("Enter")
    panel = there.get_by_role("complementary", name="Mission")
    panel.get_by_role("button", name="Reply").click()
    panel.get_by_label("Reply", exact=True).last.fill("The second")
    panel.get_by_label("Reply", exact=True).last.press("Control+Enter")
    expect(page.get_by_text("The second")).to_be_visible()
    expect(there.get_by_role("navigation").get_by_text("1 unread")).to_have_count(0)


def test_what_is_read_in_one_tab_is_read_in_the_other(
    person: Callable[..., Page], people: dict[str, httpx.Client], admin: httpx.Client
) -> None:
    reader = people["mission_commander"].get("/api/members/me").json()["id"]
    mission = _mission(admin, "Read the charts")
    for word in "first", "second", "third":
        said = {"body": f"a {word} word", "mentions": [reader]}
        admin.post(f"/api/missions/{mission}/comments", json=said).raise_for_status()
    here = person("mission_commander@example.org", path="/inbox")
    there = here.context.new_page()
    there.goto("/inbox")
    tabs = [page.get_by_role("list", name="Inbox") for page in (here, there)]
    for tab in tabs:
        expect(tab.get_by_text("a third word")).to_be_visible()
    counted = re.compile(r"^\d+ unread$")
    unread = [page.get_by_role("navigation").get_by_text(counted) for page in (here, there)]
    many = int((unread[0].text_content() or "").split()[0])
    tabs[0].get_by_text("a first word").click()
    expect(unread[1]).to_have_text(f"{many - 1} unread")
    tabs[1].get_by_text("a second word").click()
    for each in unread:
        expect(each).to_have_text(f"{many - 2} unread")
    here.reload()
    expect(unread[0]).to_have_text(f"{many - 2} unread")


def test_a_mission_is_blocked_and_cancelled(
    person: Callable[..., Page], admin: httpx.Client
) -> None:
    mission = _mission(admin, "Close the gate")
    page = person(path=f"/missions/{mission}")
    page.get_by_role("button", name="What to do with this mission").click()
    page.get_by_role("menuitem", name="Block…").click()
    page.get_by_label("What is in its way?").fill("No key")
    page.get_by_role("button", name="Block", exact=True).click()
    expect(page.get_by_text("No key")).to_be_visible()
    page.get_by_role("button", name="Unblock").click()
    expect(page.get_by_text("No key")).to_have_count(0)
    page.get_by_role("button", name="What to do with this mission").click()
    page.get_by_role("menuitem", name="Cancel the mission…").click()
    page.get_by_role("button", name="Cancel the mission").click()
    expect(page.get_by_role("region", name="Ready")).to_be_visible()
    assert admin.get(f"/api/missions/{mission}").status_code == 404
