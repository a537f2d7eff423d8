"""One journey through the whole system, the same wherever its parts run."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx
import pytest

from mission_control import MissionControl
from tests.deploy.composed import Composed, health_check, ours, services

PATIENCE_S = 60
START_S = 400
"""Until Elasticsearch and Kafka are up on a busy machine."""
TITLE = "Reroute the Rotterdam shipment"


@pytest.mark.timeout(START_S)
@pytest.mark.parametrize("mode", ["embedded", "distributed"])
def test_a_mission_goes_from_its_creation_to_done(
    mode: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = request.getfixturevalue(mode)
    if system.authority is not None:
        monkeypatch.setenv("SSL_CERT_FILE", str(system.authority))
    asyncio.run(asyncio.wait_for(journey(system.url, system.email, system.password), PATIENCE_S))


@pytest.mark.timeout(START_S)
def test_every_service_of_the_compose_file_passes_its_own_health_check(compose: Composed) -> None:
    found = ours(services())
    assert set(compose.services) | {"migrate", "worker"} == set(found)
    for name, running in compose.services.items():
        if "test" in found[name]["healthcheck"]:
            assert health_check(found[name], running) == 0, name


async def journey(url: str, email: str, password: str) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=20) as http:
        signed_in = await post(http, "/api/auth/sign-in", {"email": email, "password": password})
        me = as_who(signed_in["access_token"])
        agent = await post(
            http,
            "/api/agents",
            {"name": "scout", "role": "carrier", "capabilities": ["routes"]},
            me,
        )
        key = (await post(http, f"/api/agents/{agent['id']}/keys", {}, me))["key"]
        async with listening(url, signed_in["access_token"], agent["position"]) as hear:
            # What one does, everybody sees: on the board, on the socket, in a search.
            mission = await post(
                http, "/api/missions", {"title": TITLE, "required_capabilities": ["routes"]}, me
            )
            claimed = await post(http, "/api/missions/claim", {}, as_who(key))
            assert claimed["id"] == mission["id"]
            assert await column_of(http, me, mission["id"], claimed["position"]) == "active"
            await hear("mission.created.v1", mission["position"])
            await hear("mission.claimed.v1", claimed["position"])
            asked = {"q": "rotterdam shipmnet", "min_position": mission["position"]}
            found = await get(http, "/api/search", me, asked)
            assert [item["id"] for item in found["items"]] == [mission["id"]]

            body = {"lease_token": claimed["lease"]["token"], "summary": "By rail."}
            path = f"/api/missions/{mission['id']}"
            submitted = await post(http, f"{path}/submit", body, as_who(key))
            approved = await post(http, f"{path}/approve", {}, me)
            await hear("mission.submitted.v1", submitted["position"])
            await hear("mission.completed.v1", approved["position"])
            assert await column_of(http, me, mission["id"], approved["position"]) == "done"
            past = {"as_of": claimed["position"]}
            assert (
                stage_of(await get(http, "/api/missions/board", me, past), mission["id"])
                == "active"
            )
            history = await http.get("/api/events", params={"stream_id": mission["id"]}, headers=me)
            assert len(history.raise_for_status().text.splitlines()) >= 4


@asynccontextmanager
async def listening(
    url: str, token: str, position: int
) -> AsyncIterator[Callable[[str, int], Awaitable[None]]]:
    """Follow the workspace; what is yielded waits for an event of a type at a position."""
    async with (
        MissionControl(url, token) as client,
        aclosing(client.subscribe("workspace", position)) as events,
    ):

        async def hear(type_: str, position: int) -> None:
            async for event in events:
                if (event.event, event.position) == (type_, position):
                    return
                assert event.position <= position, f"{type_} at {position} was not heard"

        yield hear


async def column_of(
    http: httpx.AsyncClient, me: dict[str, str], mission_id: str, position: int
) -> str:
    board = await get(http, "/api/missions/board", me, {"min_position": position})
    return stage_of(board, mission_id)


def stage_of(board: dict[str, Any], mission_id: str) -> str:
    (stage,) = (
        column["stage"]
        for column in board["columns"]
        for card in column["cards"]
        if card["id"] == mission_id
    )
    return str(stage)


async def post(
    http: httpx.AsyncClient, path: str, body: dict[str, Any], who: dict[str, str] | None = None
) -> dict[str, Any]:
    answer = await http.post(path, json=body, headers=who)
    assert answer.is_success, answer.text
    return dict(answer.json())


async def get(
    http: httpx.AsyncClient, path: str, who: dict[str, str], parameters: dict[str, Any]
) -> dict[str, Any]:
    """Ask until the read model is there: what feeds it may still be starting."""
    while (answer := await http.get(path, params=parameters, headers=who)).status_code == 503:
        assert answer.json()["code"] == "not_caught_up", answer.text
    assert answer.is_success, answer.text
    return dict(answer.json())


def as_who(credential: str) -> dict[str, str]:
    return {"authorization": f"Bearer {credential}"}
