"""A board that is open while its server is killed, and one on a network that lets no WebSocket through."""

import re
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

import httpx
import psutil
from playwright.sync_api import Page, Route, WebSocketRoute, expect

from tests.api.conftest import System, start
from tests.web.conftest import Silence, sign_in

BACK_MS = 30_000  # between two tries, a page waits for 15 s at most


def _made(client: httpx.Client, title: str) -> str:
    made = client.post("/api/missions", json={"title": title}).raise_for_status()
    return str(made.json()["id"])


def _moved(client: httpx.Client, mission: str, stage: str) -> None:
    board = client.get("/api/missions/board").json()
    column = next(column["id"] for column in board["columns"] if column["stage"] == stage)
    client.put(f"/api/missions/{mission}/move", json={"column_id": column}).raise_for_status()


def _kill(system: System) -> None:
    """End the server and its PostgreSQL at once, as when a machine loses its power."""
    whole = [psutil.Process(system.process.pid)]
    whole += whole[0].children(recursive=True)
    for process in whole:
        with suppress(psutil.NoSuchProcess):  # some of PostgreSQL's end by themselves
            process.kill()
    psutil.wait_procs(whole)
    system.process.wait()
    assert system.process.stdout is not None
    system.process.stdout.close()


def test_where_sockets_are_blocked_the_moves_of_others_come_by_the_stream(
    page: Page, admin: httpx.Client
) -> None:
    mission = _made(admin, "By the other road")
    refused: list[str] = []

    def refuse(socket: WebSocketRoute) -> None:
        refused.append(socket.url)
        socket.close()

    page.route_web_socket(re.compile("/ws$"), refuse)
    with page.expect_response(lambda answer: "/api/stream?" in answer.url and answer.ok):
        page.goto("/")
    expect(page.get_by_label("Updates: Live")).to_be_visible()
    assert refused
    link = page.get_by_role("link", name="By the other road")
    for stage in ("Review", "Done"):
        _moved(admin, mission, stage.lower())
        there = page.get_by_role("region", name=stage).filter(has=link)
        expect(there).to_be_visible()


def test_who_signs_in_after_an_outage_hears_of_what_happens(
    person: Callable[..., Page], admin: httpx.Client, silence: Silence
) -> None:
    page = person()
    expect(page.get_by_label("Updates: Live")).to_be_visible()
    page.route("**/api/ws/ticket", lambda route: route.abort())
    page.context.set_offline(True)
    page.context.set_offline(False)
    expect(page.get_by_label("Updates: Offline")).to_be_visible()
    page.get_by_role("button", name="admin").click()
    page.get_by_role("menuitem", name="Sign out").click()
    expect(page.get_by_label("E-mail")).to_be_visible()
    page.unroute_all()
    sign_in(page)
    expect(page.get_by_label("Updates: Live")).to_be_visible()
    _made(admin, "Heard of after the outage")
    expect(page.get_by_role("link", name="Heard of after the outage")).to_be_visible()
    silence.forgive("net::ERR_")


def test_a_board_misses_nothing_of_a_server_that_was_killed_and_came_back(
    person: Callable[..., Page], admin: httpx.Client, system: System, silence: Silence
) -> None:
    moved, discussed = _made(admin, "Before the storm"), _made(admin, "In the storm")
    page = person(path=f"/?mission={discussed}")
    panel = page.get_by_role("complementary", name="Mission")
    expect(panel.get_by_role("tab", name="History")).to_be_visible()
    expect(page.get_by_label("Updates: Live")).to_be_visible()
    other = page.context.new_page()
    silence.listen(other)
    other.goto("/agents")
    expect(other.get_by_label("Updates: Live")).to_be_visible()
    for each in (page, other):
        each.evaluate("window.isSame = true")

    _kill(system)
    other.get_by_role("link", name="Analytics").click()  # whose script is not here yet
    expect(other.get_by_role("status", name="Loading")).to_contain_text("It opens by itself")
    expect(other.get_by_role("status", name="Updates: Offline")).to_be_visible()
    expect(page.get_by_label("Updates: Offline")).to_be_visible()
    expect(page.get_by_role("link", name="Before the storm")).to_be_visible()
    system.process = start(system.data_dir, urlsplit(system.url).port or 0).process
    for number in range(3):
        _made(admin, f"After the storm {number}")
    _moved(admin, moved, "done")
    said = {"body": "All hands are well"}
    admin.post(f"/api/missions/{discussed}/comments", json=said).raise_for_status()

    expect(page.get_by_label("Updates: Live")).to_be_visible(timeout=BACK_MS)
    expect(page.get_by_role("link", name="After the storm")).to_have_count(3)
    done = page.get_by_role("region", name="Done")
    expect(done.get_by_role("link", name="Before the storm")).to_be_visible()
    expect(panel.get_by_text("All hands are well")).to_be_visible()
    expect(other.get_by_role("img", name="Cumulative flow")).to_be_visible(timeout=BACK_MS)
    for each in (page, other):
        assert each.evaluate("window.isSame")  # not loaded anew
    _made(admin, "The sun is out")
    expect(page.get_by_role("link", name="The sun is out")).to_be_visible()
    # Most are refused; one that was under way when the server died is reset, or its answer is empty.
    silence.forgive("net::ERR_")


def test_a_menu_whose_script_can_not_be_had_says_so_and_opens_when_it_can(
    page: Page, silence: Silence
) -> None:
    def refuse(route: Route) -> None:
        route.abort()

    away = re.compile(r"/assets/RadixParts|/icon\.svg")
    page.route(away, refuse)
    page.goto("/")
    page.get_by_role("button", name="Switch board").click()
    expect(page.get_by_role("status").get_by_text("No connection")).to_be_visible()
    expect(page.get_by_role("menu")).to_have_count(0)
    page.unroute(away)
    expect(page.get_by_role("menu")).to_be_visible()
    silence.forgive("net::ERR_FAILED")


def test_a_page_whose_network_is_gone_says_so_at_once_and_comes_back_with_it(
    page: Page, admin: httpx.Client, silence: Silence
) -> None:
    page.goto("/")
    expect(page.get_by_label("Updates: Live")).to_be_visible()
    page.context.set_offline(True)
    expect(page.get_by_label("Updates: Offline")).to_be_visible()
    _made(admin, "While the cable was out")
    page.context.set_offline(False)
    expect(page.get_by_label("Updates: Live")).to_be_visible()
    expect(page.get_by_role("link", name="While the cable was out")).to_be_visible()
    silence.forgive("net::ERR_INTERNET_DISCONNECTED")
