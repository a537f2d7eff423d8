"""The board at any moment: by its address, by the timeline's keys and by mouse; and back to now."""

import re
from collections.abc import Callable

import httpx
from playwright.sync_api import Page, expect

from tests.api.conftest import ADMIN
from tests.web.conftest import Silence

NOW = re.compile(r"/(\?(?!.*\bat=).*)?$")


def _made(admin: httpx.Client, title: str) -> tuple[str, int]:
    answer = admin.post("/api/missions", json={"title": title})
    answer.raise_for_status()
    return answer.json()["id"], answer.json()["position"]


def _moved(admin: httpx.Client, mission_id: str, stage: str) -> int:
    board = admin.get("/api/missions/board").json()
    column = next(column["id"] for column in board["columns"] if column["stage"] == stage)
    answer = admin.put(f"/api/missions/{mission_id}/move", json={"column_id": column})
    answer.raise_for_status()
    return int(answer.json()["position"])


def test_an_address_with_a_moment_shows_what_the_api_says_of_it(
    person: Callable[..., Page], admin: httpx.Client
) -> None:
    mission_id, then = _made(admin, "Weigh the anchor")
    after = _moved(admin, mission_id, "done")
    page = person(ADMIN, f"/?at={then}")
    past = admin.get("/api/missions/board", params={"as_of": then}).json()
    for column in past["columns"]:
        region = page.get_by_role("region", name=column["name"])
        expect(region.locator("[data-card]")).to_have_count(len(column["cards"]))
    card = page.locator("[data-card]", has_text="Weigh the anchor")
    expect(card.get_by_text("Now in Done")).to_be_visible()
    expect(page.get_by_role("button", name="Move Weigh the anchor to")).to_have_count(0)
    expect(page.get_by_role("button", name="Add a mission to Backlog")).to_have_count(0)

    page.keyboard.press("n")
    page.wait_for_url(NOW)
    done = page.get_by_role("region", name="Done")
    expect(done.get_by_role("link", name="Weigh the anchor")).to_be_visible()
    expect(page.get_by_label("Updates: Live")).to_be_visible()
    assert after > then


def test_the_fleet_of_the_past_has_what_was_in_hand_then_and_nothing_of_now(
    person: Callable[..., Page],
    admin: httpx.Client,
    agent_maker: Callable[..., tuple[str, httpx.Client]],
) -> None:
    bosun, agent = agent_maker("Bosun")
    mission_id, before = _made(admin, "Splice the mainbrace")
    claim = agent.post(f"/api/missions/{mission_id}/claim").raise_for_status().json()
    token = claim["lease"]["token"]
    work = {"lease_token": token, "percent": 40}
    then = agent.post(f"/api/missions/{mission_id}/progress", json=work).raise_for_status().json()
    agent.post(f"/api/missions/{mission_id}/release", json={"lease_token": token})
    page = person(path=f"/agents?at={then['position']}")
    row = page.locator(f'[data-agent="{bosun}"]')
    expect(row.get_by_role("link", name="Splice the mainbrace")).to_be_visible()
    expect(row.get_by_text("40%")).to_be_visible()
    for text in "Never", "Heartbeat":
        expect(page.get_by_text(text)).to_have_count(0)
    row.get_by_role("link", name="Bosun").click()
    hands = page.get_by_role("region", name="In its hands")
    expect(hands.get_by_text("40%")).to_be_visible()
    hands.get_by_role("link", name="Splice the mainbrace").click()
    page.wait_for_url(re.compile(rf"/missions/{mission_id}\?.*at={then['position']}"))
    page.goto(f"/agents/{bosun}?at={before}")
    expect(hands.get_by_text("No mission at this moment.")).to_be_visible()


def test_the_line_stays_long_enough_to_be_pointed_at_beside_a_mission(
    person: Callable[..., Page], admin: httpx.Client
) -> None:
    mission_id, _ = _made(admin, "Trim the sails")
    page = person(path=f"/?mission={mission_id}")
    expect(page.get_by_role("complementary", name="Mission")).to_be_visible()
    for width in (1024, 1280, 1440):
        page.set_viewport_size({"width": width, "height": 800})
        line = page.get_by_role("slider", name="Moment shown").bounding_box()
        assert line is not None
        assert line["width"] > 250, width


def test_a_step_back_undoes_one_event_and_a_step_on_leads_back_to_now(
    person: Callable[..., Page], admin: httpx.Client
) -> None:
    mission_id, then = _made(admin, "Coil the rope")
    _moved(admin, mission_id, "review")
    page = person()
    link = page.get_by_role("link", name="Coil the rope")
    expect(page.get_by_role("region", name="Review").filter(has=link)).to_be_visible()
    page.get_by_role("slider", name="Moment shown").press("ArrowLeft")
    page.wait_for_url(re.compile(rf"[?&]at={then}\b"))
    expect(page.get_by_role("region", name="Ready").filter(has=link)).to_be_visible()
    page.get_by_role("slider", name="Moment shown").press("ArrowRight")
    expect(page.get_by_role("region", name="Review").filter(has=link)).to_be_visible()


def test_the_line_begins_with_the_first_event_of_its_board_and_a_step_leads_there_from_before(
    person: Callable[..., Page], silence: Silence
) -> None:
    page = person()
    line = page.get_by_role("slider", name="Moment shown")
    line.press("Home")
    page.wait_for_url(re.compile(r"[?&]at=\d+$"))
    first = page.url
    backlog = page.get_by_role("region", name="Backlog")
    expect(backlog).to_be_visible()
    expect(page.get_by_text("The past, to look at only")).to_be_visible()
    assert silence.said == []
    page.goto("/?at=2001-01-01T00:00:00Z")
    expect(page.get_by_text("Not there yet")).to_be_visible()
    silence.forgive(404)
    line.press("ArrowRight")
    page.wait_for_url(first)
    expect(backlog).to_be_visible()


def test_comments_of_a_mission_that_was_cancelled_since_are_not_asked_for(
    person: Callable[..., Page], admin: httpx.Client
) -> None:
    mission_id, _ = _made(admin, "Mend the nets")
    said = admin.post(f"/api/missions/{mission_id}/comments", json={"body": "With which twine?"})
    then = said.raise_for_status().json()["position"]
    page = person(path=f"/missions/{mission_id}?at={then}")
    expect(page.get_by_text("With which twine?")).to_be_visible()
    admin.delete(f"/api/missions/{mission_id}").raise_for_status()
    page.reload()
    expect(page.get_by_text("this mission is not there any more")).to_be_visible()
    page.get_by_role("tab", name="History").click()
    expect(page.get_by_role("list", name="History").get_by_text("commented")).to_be_visible()


def test_the_line_is_scrubbed_by_mouse_and_what_was_not_there_yet_is_not_shown(
    person: Callable[..., Page], admin: httpx.Client, silence: Silence
) -> None:
    _made(admin, "Swab the deck")
    page = person()
    link = page.get_by_role("link", name="Swab the deck")
    expect(link).to_be_visible()
    box = page.get_by_role("slider", name="Moment shown").bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] - 2, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, y, steps=5)
    page.mouse.move(box["x"] + 2, y, steps=5)
    page.mouse.up()
    # Before the board's first event there is no place: the line's first seconds lead to it.
    page.wait_for_url(re.compile(r"[?&]at=\d+$"))
    expect(page.get_by_role("region", name="Backlog")).to_be_visible()
    expect(link).to_have_count(0)
    page.get_by_role("button", name="Back to now").first.click()
    expect(link).to_be_visible()
    assert silence.said == []


def test_the_line_under_a_board_counts_its_own_events_from_its_beginning(
    person: Callable[..., Page], admin: httpx.Client
) -> None:
    for number in range(5):
        _made(admin, f"Elsewhere {number}")
    board = admin.post("/api/boards", json={"name": "The dinghy"}).raise_for_status().json()
    page = person()
    expect(page.get_by_role("slider", name="Moment shown")).to_be_visible()
    with page.expect_response(re.compile(r"/api/events/density\?")) as answer:
        page.goto(f"/boards/{board['id']}")
    counted = answer.value.json()["buckets"]
    assert [bucket["events"] for bucket in counted] == [1]
    line = page.get_by_role("slider", name="Moment shown")
    box = line.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 2, box["y"] + 10)
    page.wait_for_url(re.compile(rf"[?&]at={board['position']}$"))
    expect(page.get_by_role("heading", name="Not there yet")).to_have_count(0)


def test_the_pill_and_the_line_tell_a_moment_in_the_same_words(
    person: Callable[..., Page], admin: httpx.Client, silence: Silence
) -> None:
    _, then = _made(admin, "Sound the well")
    page = person(path=f"/?at={then}")
    told = re.compile(r"^[A-Z][a-z]{2} \d+, \d\d:\d\d:\d\d$")
    pill = page.get_by_title("Back to now (N)").get_by_text(told)
    expect(pill).to_be_visible()
    line = page.get_by_role("slider", name="Moment shown")
    expect(line).to_have_attribute("aria-valuetext", pill.inner_text())
    line.press("ArrowLeft")
    page.wait_for_url(lambda url: f"at={then}" not in url)
    expect(pill).to_be_visible()
    page.goto("/?at=2001-02-03T04:05:06Z")
    expect(page.get_by_title("Back to now (N)").get_by_text("Feb 3, 2001,")).to_be_visible()
    expect(page.get_by_text("Not there yet")).to_be_visible()
    page.goto("/?at=99999999")
    event = "Event 99,999,999"
    expect(page.get_by_title("Back to now (N)").get_by_text(event)).to_be_visible()
    expect(line).to_have_attribute("aria-valuetext", event)
    silence.forgive(404)
    silence.forgive(422)


def test_what_makes_no_sense_is_taken_out_of_an_address_and_leaves_no_step_behind(
    person: Callable[..., Page], admin: httpx.Client
) -> None:
    mission_id, _ = _made(admin, "Grease the capstan")
    page = person(path="/agents")
    for address in ("/?at=banana", "/?mission=nope", "/?at=banana&mission=nope&other=1"):
        before = page.evaluate("history.length")
        page.goto(address)
        page.wait_for_url(re.compile(r"/$"))
        expect(page.get_by_label("Updates: Live")).to_be_visible()
        assert page.evaluate("history.length") <= before + 1
    page.goto(f"/?at=banana&mission={mission_id}&q=grease")
    page.wait_for_url(re.compile(rf"/\?mission={mission_id}&q=grease$"))
    expect(page.get_by_role("complementary", name="Mission")).to_be_visible()
