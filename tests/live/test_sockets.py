"""Who gets in, what rooms say, and what becomes of nonsense."""

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from domain.agent import Agent
from domain.workspace import Role
from streams.live import Pace
from tests.tries import tries

FOREIGN_ORIGIN = "https://elsewhere.example"


def test_a_ticket_opens_one_socket(playing: Any) -> None:
    async def scenario(here: Any) -> None:
        ticket = await here.ticket()
        async with connect(here.url, subprotocols=["mc.v1"]) as first:
            assert first.subprotocol == "mc.v1"
            await first.send(json.dumps({"t": "connect", "id": 1, "ticket": ticket}))
            heard = json.loads(await first.recv())
            assert heard["t"] == "connected"
            assert heard["log_id"] == str(here.follower.log_id)
            assert heard["expires_at"]
        async with connect(here.url) as second:
            await second.send(json.dumps({"t": "connect", "id": 1, "ticket": ticket}))
            await second.wait_closed()
            assert second.close_code == 4001

    playing(scenario)


def test_a_foreign_page_is_refused_with_whatever_cookie(playing: Any) -> None:
    async def scenario(here: Any) -> None:
        with pytest.raises(InvalidStatus) as refused:
            await connect(
                here.url, origin=FOREIGN_ORIGIN, additional_headers={"Cookie": "session=x"}
            )
        assert refused.value.response.status_code == 403
        async with connect(here.url, origin="https://mission.example"):
            pass

    playing(scenario)


def test_a_silent_guest_is_shown_out(playing: Any) -> None:
    async def scenario(here: Any) -> None:
        async with connect(here.url) as guest:
            await guest.wait_closed()
            assert guest.close_code == 4001

    playing(scenario, pace=Pace(connect_s=0.2, tick_s=0.05))


def test_access_that_runs_out_ends_the_socket_unless_refreshed(playing: Any) -> None:
    async def scenario(here: Any) -> None:
        async with here.client(lasts_s=3) as brief, here.client(lasts_s=3) as long:
            await long.say("refresh", id=2, ticket=await here.ticket())
            assert (await long.hear())["t"] == "refresh_ok"
            assert await brief.code() == 4001
            await long.say("ping", id=3)
            assert await long.hear() == {"t": "pong", "id": 3}

    playing(scenario)


def test_rooms_elsewhere_do_not_exist(playing: Any) -> None:
    async def scenario(here: Any) -> None:
        stranger, abroad = uuid7(), uuid7()
        await here.found(abroad, stranger)
        board = await here.board(abroad)
        async with here.client() as client:
            assert (await client.sub(f"board:{board.id}"))["code"] == "forbidden"
            assert (await client.sub(f"mission:{uuid7()}"))["code"] == "forbidden"
            assert (await client.sub(f"mission:{board.id}"))["code"] == "forbidden"

    playing(scenario)


def test_audit_is_for_admins_and_keys_and_addresses_are_only_there(playing: Any) -> None:
    async def scenario(here: Any) -> None:
        workspace = here.workspace
        viewer = await here.join(workspace, Role.VIEWER)
        agent = Agent.begin(
            uuid7(), workspace_id=workspace.id, name="a", role="", capabilities=(), config={},
            owner_id=here.user_id,
        )  # fmt: skip
        agent.trigger_event(Agent.KeyIssued, key_id=uuid7(), name="k", scopes=())
        end = await here.record(agent)
        async with here.client() as admin, here.client(viewer) as member:
            assert (await member.sub("audit"))["code"] == "forbidden"
            assert (await admin.sub("audit", 0))["replaying"]
            audited = await admin.reach("audit", end)
            assert [(e["pos"], e["event"]) for e in audited] == await here.recorded(hidden=True)
            assert all(e["envelope"]["position"] == e["pos"] for e in audited)
            assert "@example.org" in json.dumps(audited)
            await member.sub("workspace", 0)
            await member.until("live")
            seen = member.events["workspace"]
            assert [(e["pos"], e["event"]) for e in seen] == await here.recorded()
            text = json.dumps(seen)
            assert "Ada Canary" in text
            assert "@example.org" not in text
            assert "box" not in text
            _, position = await here.mission(await here.board())
            await member.reach("workspace", position)

    playing(scenario)


def test_a_lost_sign_in_closes_within_a_second(playing: Any) -> None:
    async def scenario(here: Any) -> None:
        workspace = here.workspace
        for end in tries(within_s=1):
            viewer = await here.join(workspace, Role.VIEWER)
            async with here.client(viewer) as client:
                await client.sub("workspace")
                with end:
                    workspace.remove_member(viewer)
                    await here.record(workspace)
                    assert await client.code() == 4003

    playing(scenario)


def test_a_lost_role_takes_the_room_and_leaves_the_others(playing: Any) -> None:
    async def scenario(here: Any) -> None:
        workspace = here.workspace
        second = await here.join(workspace, Role.ADMIN)
        async with here.client(second) as client:
            await client.sub("audit")
            await client.sub("workspace")
            workspace.change_role(second, Role.VIEWER)
            position = await here.record(workspace)
            assert (await client.until("err"))["code"] == "forbidden"
            await client.reach("workspace", position)
            assert client.events["audit"] == []

    playing(scenario)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("{", "message"),
        ("[]", "message"),
        ('{"t":"nonsense"}', "t"),
        ('{"t":"sub","room":"workspace","more":1}', "more"),
        ('{"t":"sub","room":7}', "room"),
        ('{"t":"sub","room":"workspace","pos":-1}', "pos"),
        ('{"t":"sub","room":"workspace","pos":1e999}', "pos"),
        ('{"t":"sub","room":"workspace","pos":true}', "pos"),
        ('{"t":"sub","room":"workspace","log_id":"x"}', "log_id"),
        ('{"t":"sub","room":"board:x"}', "room"),
        ('{"t":"sub"}', "room"),
        ('{"t":"connect","ticket":"again"}', "t"),
        ("[" * 10_000, "message"),
        ('"' + "x" * 17_000 + '"', "message"),
        (b"\x00\xff", "message"),
    ],
)
def test_nonsense_is_named_and_survived(playing: Any, text: str | bytes, at: str) -> None:
    async def scenario(here: Any) -> None:
        async with here.client() as client:
            await client.connection.send(text)
            assert await client.hear() == {"t": "err", "code": "bad_message", "field": at}
            assert (await client.sub("workspace"))["t"] == "sub_ok"

    playing(scenario)


def test_abuse_is_ended(playing: Any) -> None:
    async def scenario(here: Any) -> None:
        async with here.client() as client:
            for _ in range(300):
                await client.say("ping")
            assert await client.code() == 4029

    playing(scenario)


def test_who_never_answers_is_given_up(playing: Any) -> None:
    async def scenario(here: Any) -> None:
        async with here.client() as client:
            assert await client.code() == 4012

    playing(scenario, pace=Pace(ping_s=0.5, tick_s=0.02))


def test_at_most_a_hundred_rooms(playing: Any) -> None:
    async def scenario(here: Any) -> None:
        board = await here.board()
        cards = [(await here.mission(board))[0] for _ in range(101)]
        async with here.client() as client:
            for card in cards[:100]:
                assert (await client.sub(f"mission:{card.id}"))["t"] == "sub_ok"
            assert (await client.sub(f"mission:{cards[100].id}"))["code"] == "too_many_rooms"

    playing(scenario)


def test_drain_says_so_and_closes(playing: Any) -> None:
    async def scenario(here: Any) -> None:
        async with here.client() as client:
            draining = asyncio.create_task(here.live.drain(0.2))
            assert (await client.hear())["t"] == "drain"
            assert await client.code() == 1012
            await draining

    playing(scenario)


def test_another_log_or_a_position_beyond_it_is_reset(playing: Any) -> None:
    async def scenario(here: Any) -> None:
        async with here.client() as client:
            for members in ({"log_id": str(UUID(int=1)), "pos": 1}, {"pos": 2**40}):
                answer = await client.sub("workspace", **members)
                assert (answer["t"], answer["log_id"]) == ("reset", client.log_id)

    playing(scenario)
