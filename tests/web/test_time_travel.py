"""The board at any moment: by its address, by the timeline's keys and by mouse; and back to now."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests.api.conftest import ADMIN
from tests.web.conftest import Silence, hold

LOOK = 100
"""Of a board's events, so many are brought by one look of the timeline."""
TOGETHER, TRIES = 400, 5
NEXT_EVENTS = re.compile(r"/api/activity\?(?=.*\bafter=)(?=.*\bsort=position)")
BOARDS_OF_THE_PAST = "**/api/missions/board?*as_of=*"
FRAMES = """async (count) => {
    for (let n = 0; n < count; n += 1) await new Promise(requestAnimationFrame);
}"""
NOW = re.compile(r"/(\?(?!.*\bat=).*)?$")


def _is_placed(page: Page) -> None:
    """Wait until the line knows where in the past it is: nothing plays before, and no step is made."""
    line = page.get_by_role("slider", name="Moment shown")
    expect(line).to_have_attribute("aria-valuetext", re.compile(r"\d\d:\d\d:\d\d"))
    timeline = page.get_by_role("region", name="Timeline")
    expect(timeline).to_have_attribute("data-placed", "true")


def _made(admin: httpx.Client, title: str, board: str | None = None) -> tuple[str, int]:
    answer = admin.post("/api/missions", json={"title": title, "board_id": board})
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
    _is_placed(page)
    line.press("ArrowRight")
    page.wait_for_url(first)
    expect(backlog).to_be_visible()


def _made_at_once(admin: httpx.Client) -> tuple[str, list[dict[str, Any]]]:
    """A board with more events of one time than a look at its activity brings; its events."""
    board = admin.post("/api/boards", json={"name": "In a hurry"}).raise_for_status().json()

    async def make(client: httpx.AsyncClient, number: int) -> int:
        mission = {"title": f"Hasty {number}", "board_id": board["id"]}
        answer = await client.post("/api/missions", json=mission)
        return int(answer.raise_for_status().json()["position"])

    async def make_all() -> int:
        limits = httpx.Limits(max_connections=TOGETHER)
        options = {"base_url": admin.base_url, "headers": admin.headers, "timeout": 30}
        async with httpx.AsyncClient(**options, limits=limits) as client:
            return max(await asyncio.gather(*(make(client, n) for n in range(TOGETHER))))

    # Playwright's loop is this thread's.
    with ThreadPoolExecutor(1) as beside:
        for _ in range(TRIES):
            last = beside.submit(asyncio.run, make_all()).result()
            query = {
                "board_id": board["id"],
                "sort": "position",
                "limit": "200",
                "min_position": str(last),
            }
            events, cursor = [], None
            while not events or cursor:
                page = admin.get(
                    "/api/activity", params=query | ({"cursor": cursor} if cursor else {})
                ).json()
                events += page["items"]
                cursor = page["next_cursor"]
            times = Counter(event["recorded_at"] for event in events)
            if times.most_common(1)[0][1] > LOOK:
                return board["id"], events
    pytest.fail(f"the server never recorded {LOOK} missions at once: {times.most_common(3)}")


def test_what_was_recorded_at_one_time_is_stepped_through_and_played_to_its_end(
    person: Callable[..., Page], admin: httpx.Client
) -> None:
    board, events = _made_at_once(admin)
    [(time, count)] = Counter(event["recorded_at"] for event in events).most_common(1)
    first = next(n for n, event in enumerate(events) if event["recorded_at"] == time)
    before, middle, after = (events[first + count // 2 + by]["position"] for by in (-1, 0, 1))
    page = person(path=f"/boards/{board}?at={middle}")
    line = page.get_by_role("slider", name="Moment shown")
    expect(line).to_have_attribute("aria-valuetext", re.compile(r"\d\d:\d\d:\d\d"))
    page.keyboard.press("]")
    page.wait_for_url(re.compile(rf"[?&]at={after}\b"))
    page.keyboard.press("[")
    page.wait_for_url(re.compile(rf"[?&]at={middle}\b"))
    page.keyboard.press("[")
    page.wait_for_url(re.compile(rf"[?&]at={before}\b"))

    line.press("Home")
    page.wait_for_url(re.compile(rf"[?&]at={events[0]['position']}\b"))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("button", name="Play (T)").click()
    page.wait_for_url(lambda url: "at=" not in url)
    expect(page.get_by_label("Updates: Live")).to_be_visible()
    looks = [url for url in asked if "/api/activity?" in url and "sort=position" in url]
    assert len(looks) >= len(events) // LOOK
    # What is around the moment may be asked for beside it, from the same position on.
    assert max(Counter(looks).values()) <= 2


def test_a_playback_that_is_paused_or_fails_stays_where_it_was(
    person: Callable[..., Page], admin: httpx.Client, silence: Silence
) -> None:
    _, then = _made(admin, "Man the pumps")
    _made(admin, "Bail her out")
    page = person(path=f"/?at={then}")
    expect(page.get_by_role("link", name="Man the pumps")).to_be_visible()
    play = page.get_by_role("button", name="Play (T)")
    _is_placed(page)
    held = hold(page, NEXT_EVENTS)
    with page.expect_request(NEXT_EVENTS):
        play.click()
    with page.expect_event("requestfailed"):  # called off
        page.get_by_role("button", name="Pause (T)").click()
    expect(play).to_have_attribute("aria-pressed", "false")
    page.evaluate(FRAMES, 2)
    assert page.url.endswith(f"?at={then}")
    for route in held:
        route.abort()
    page.unroute_all()

    def refuse(route: Route) -> None:
        route.abort()

    page.route(NEXT_EVENTS, refuse)
    play.click()
    expect(page.get_by_text("Paused: what comes next can't be read.")).to_be_visible()
    expect(play).to_have_attribute("aria-pressed", "false")
    assert page.url.endswith(f"?at={then}")
    silence.forgive("net::ERR_FAILED")


def test_a_moment_that_is_not_answered_is_said_not_to_be_shown_and_offline_is_told_in_the_past(
    person: Callable[..., Page], admin: httpx.Client, silence: Silence
) -> None:
    board = admin.post("/api/boards", json={"name": "Rough sea"}).raise_for_status().json()
    for title in "Reef the jib", "Reef the mainsail", "Reef the topsail":
        _made(admin, title, board["id"])
    page = person(path=f"/boards/{board['id']}")
    line = page.get_by_role("slider", name="Moment shown")
    # A socket that is still being opened when the line goes down would have its own word of that.
    expect(page.get_by_label("Updates: Live")).to_be_visible()
    expect(line).to_have_attribute("aria-valuetext", "Now")
    page.keyboard.press("[")
    page.wait_for_url(re.compile(r"[?&]at=\d+$"))
    past, not_yet = page.get_by_text("The past, to look at only"), page.get_by_text("Not shown yet")
    offline = page.get_by_label("Updates: Offline")
    expect(line).to_have_attribute("aria-valuetext", re.compile(r"\d\d:\d\d:\d\d"))
    expect(past).to_be_visible()
    expect(offline).to_have_count(0)

    page.context.set_offline(True)
    expect(offline).to_be_visible()
    expect(page.get_by_title("Back to now (N)")).to_be_visible()
    line.press("Home")
    expect(not_yet).to_be_visible()
    page.wait_for_url(re.compile(rf"[?&]at={board['position']}$"))
    page.context.set_offline(False)
    expect(past).to_be_visible()
    expect(offline).to_have_count(0)

    held = hold(page, BOARDS_OF_THE_PAST)
    page.keyboard.press("]")
    expect(not_yet).to_be_visible()
    for route in held:
        route.continue_()
    expect(past).to_be_visible()
    silence.forgive("net::ERR_")


def test_a_playback_waits_for_a_board_that_is_not_answered(
    person: Callable[..., Page], admin: httpx.Client
) -> None:
    board = admin.post("/api/boards", json={"name": "Dusk"}).raise_for_status().json()
    for number in range(12):
        _made(admin, f"Lamp {number}", board["id"])
    page = person(path=f"/boards/{board['id']}?at={board['position']}")
    line = page.get_by_role("slider", name="Moment shown")
    _is_placed(page)

    def spread(route: Route) -> None:
        answer = route.fetch()
        body = answer.json()
        for number, event in enumerate(body["items"], start=1):
            event["recorded_at"] = f"2100-01-01T{number % 24:02}:00:00Z"
        route.fulfill(response=answer, json=body)

    page.route(NEXT_EVENTS, spread)
    held = hold(page, BOARDS_OF_THE_PAST)
    page.get_by_role("button", name="Play (T)").click()
    expect(page.get_by_text("Not shown yet")).to_be_visible()
    stands = line.get_attribute("aria-valuetext")
    assert stands is not None
    page.evaluate(FRAMES, 90)
    expect(line).to_have_attribute("aria-valuetext", stands)
    page.unroute(BOARDS_OF_THE_PAST)
    for route in held:
        route.continue_()
    expect(line).not_to_have_attribute("aria-valuetext", stands)
    expect(page.get_by_text("Not shown yet")).to_have_count(0)


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
    expect(page.get_by_text("No such moment")).to_be_visible()
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
