"""The Python client: whatever becomes of its connections, each event comes once, in order."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.asyncio.server import ServerConnection, serve

from mission_control import Event, MissionControl, Refused, Reset, SignedOut, Subscription

LIMIT_S = 30


def create(client: httpx.Client, count: int = 1, **fields: Any) -> dict[str, Any]:
    for _ in range(count):
        answer = client.post("/api/missions", json={"title": f"m {uuid4().hex[:6]}", **fields})
        assert answer.status_code == 201, answer.text
    return answer.json()  # type: ignore[no-any-return]


def token_of(client: httpx.Client) -> str:
    return client.headers["authorization"].removeprefix("Bearer ")


def recorded(client: httpx.Client, after: int) -> list[int]:
    lines = client.get("/api/events", params={"from": after}).text.splitlines()
    events = [json.loads(line) for line in lines]
    return [e["position"] for e in events if not e["type"].startswith("agent.key_")]


async def follow(subscription: Any, until: int) -> list[Event]:
    found: list[Event] = []
    async with asyncio.timeout(LIMIT_S):
        async for event in subscription:
            found.append(event)
            if event.position >= until:
                break
    return found


class Proxy:
    """Stands between client and server, and cuts each connection after so many bytes of both ways."""

    def __init__(self, url: str, cuts: list[int]) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname, parts.port
        self._cuts = iter(cuts)
        self.cut = 0
        self.running: set[asyncio.Task[Any]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.running.add(task)
        left = [next(self._cuts, 1 << 40)]
        there, back = await asyncio.open_connection(self._host, self._port)
        ways = [
            asyncio.create_task(self._pass(reader, back, left)),
            asyncio.create_task(self._pass(there, writer, left)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for end in (back, writer):
                end.transport.abort()
                with contextlib.suppress(OSError):
                    await end.wait_closed()

    async def _pass(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, left: list[int]
    ) -> None:
        while chunk := await source.read(65_536):
            sink.write(chunk[: max(0, left[0])])
            await sink.drain()
            left[0] -= len(chunk)
            if left[0] < 0:
                self.cut += 1
                await asyncio.sleep(0)  # what was allowed through gets out
                return


@asynccontextmanager
async def misbehaving(url: str, cuts: list[int]) -> AsyncIterator[tuple[str, Proxy]]:
    proxy = Proxy(url, cuts)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}", proxy
    finally:
        server.close()
        for task in proxy.running:
            task.cancel()
        await asyncio.gather(*proxy.running, return_exceptions=True)


@pytest.fixture(scope="module")
def long_past(admin: httpx.Client) -> int:
    """Return the head of a log that takes several batches to replay, by their bytes and their number."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: create(admin, 5, description="x" * 15_000), range(8)))
        list(pool.map(lambda _: create(admin, 30), range(16)))
    return int(create(admin)["position"])


@given(
    cuts=st.lists(st.one_of(st.integers(0, 4_000), st.integers(0, 600_000)), max_size=10),
    past=st.sampled_from([0, 30, 550]),
)
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_cuts_cost_nothing(
    system: Any, admin: httpx.Client, long_past: int, cuts: list[int], past: int
) -> None:
    begin, end = max(0, long_past - past), uuid4().hex

    def write() -> None:
        create(admin, 15)
        create(admin, title=end)

    async def session() -> list[Event]:
        async with (
            misbehaving(system.url, cuts) as (url, _),
            MissionControl(url, token_of(admin), pause_s_max=0.05) as client,
        ):
            writing = asyncio.create_task(asyncio.to_thread(write))
            found = []
            async with asyncio.timeout(LIMIT_S):
                async for event in client.subscribe("workspace", pos=begin):
                    found.append(event)
                    if event.data.get("content", {}).get("title") == end:
                        break
            await writing
            return found

    events = asyncio.run(session())
    assert [e.position for e in events] == recorded(admin, begin)


def test_every_connection_that_is_cut_is_made_again(system: Any, admin: httpx.Client) -> None:
    async def session() -> int:
        async with (
            misbehaving(system.url, [900] * 12) as (url, proxy),
            MissionControl(url, token_of(admin), pause_s_max=0.05) as client,
        ):
            subscription = client.subscribe("workspace", pos=0)
            last = await asyncio.to_thread(create, admin)
            events = await follow(subscription, last["position"])
            assert [e.position for e in events] == recorded(admin, 0)
            return proxy.cut

    assert asyncio.run(session()) == 12


def test_a_program_is_told_when_its_connection_breaks_and_when_it_stands_again(
    system: Any, admin: httpx.Client
) -> None:
    async def session() -> list[bool]:
        told: list[bool] = []
        async with (
            misbehaving(system.url, [0, 900]) as (url, _),
            MissionControl(url, token_of(admin), pause_s_max=0.05) as client,
        ):
            subscription = client.subscribe("workspace", pos=0, on_connection=told.append)
            last = await asyncio.to_thread(create, admin)
            await follow(subscription, last["position"])
        return told

    told = asyncio.run(session())
    assert (told[0], told[-1]) == (False, True)


def test_a_proxy_of_the_environment_is_passed_by_where_none_is_wanted(
    system: Any, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = "http://127.0.0.1:1"
    for name in ("http_proxy", "https_proxy", "ws_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, nobody)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)

    async def session() -> Event:
        async with MissionControl(system.url, token_of(admin), proxies=False) as client:
            async with asyncio.timeout(LIMIT_S):
                return await anext(client.subscribe("workspace", pos=0))

    assert asyncio.run(session()).position > 0


def test_an_agent_follows_with_its_key_and_sees_who_is_there(
    system: Any, admin: httpx.Client, agent_maker: Callable[..., Any]
) -> None:
    agent_id, agent = agent_maker("follower")

    async def session() -> None:
        async with MissionControl(system.url, token_of(agent)) as client:
            subscription = client.subscribe("workspace")
            first = asyncio.create_task(anext(subscription))
            while ("agent", agent_id) not in subscription.present:
                await asyncio.sleep(0.01)
            made = await asyncio.to_thread(create, admin)
            event = await first
            assert (event.position, event.entity_id) == (made["position"], made["id"])
            assert (event.event, event.version) == ("mission.created.v1", 1)
            assert event.timestamp.tzinfo is not None

    asyncio.run(session())


def test_another_log_is_a_reset_and_a_foreign_room_a_refusal(
    system: Any, admin: httpx.Client
) -> None:
    async def session() -> None:
        async with MissionControl(system.url, token_of(admin)) as client:
            with pytest.raises(Reset) as reset:
                await anext(client.subscribe("workspace", pos=3, log_id=str(uuid4())))
            assert reset.value.log_id != str(uuid4())
            with pytest.raises(Refused) as refused:
                await anext(client.subscribe(f"board:{uuid4()}", pos=0))
            assert refused.value.code == "forbidden"
            with pytest.raises(Refused) as nonsense:
                await anext(client.subscribe("nonsense", pos=0))
            assert nonsense.value.code == "bad_message"

    asyncio.run(session())


def test_a_key_that_was_revoked_ends_the_subscription(
    system: Any, admin: httpx.Client, agent_maker: Callable[..., Any]
) -> None:
    agent_id, agent = agent_maker("leaver")

    async def session() -> None:
        async with MissionControl(system.url, token_of(agent)) as client:
            subscription = client.subscribe("workspace", pos=0)
            await anext(subscription)
            retired = await asyncio.to_thread(admin.delete, f"/api/agents/{agent_id}")
            assert retired.is_success, retired.text
            with pytest.raises(SignedOut):
                await follow(subscription, 2**50)

    asyncio.run(session())


def test_an_event_that_was_not_waited_for_to_its_end_comes_the_next_time(
    system: Any, admin: httpx.Client
) -> None:
    async def session() -> tuple[list[int], int]:
        async with MissionControl(system.url, token_of(admin)) as client:
            subscription = client.subscribe("workspace", pos=0)
            writing = asyncio.create_task(asyncio.to_thread(create, admin, 20))
            found: list[int] = []
            given_up = 0
            async with asyncio.timeout(LIMIT_S):
                while not writing.done() or found[-1:] < [writing.result()["position"]]:
                    try:
                        event = await asyncio.wait_for(anext(subscription), 0.002)
                        found.append(event.position)
                    except TimeoutError:
                        given_up += 1
            return found, given_up

    found, given_up = asyncio.run(session())
    assert given_up
    assert found == recorded(admin, 0)


def test_leaving_the_block_ends_the_iterations_of_other_tasks(
    system: Any, admin: httpx.Client
) -> None:
    async def wait_in(subscription: Subscription, begun: asyncio.Event) -> str:
        async with aclosing(subscription):
            async for _ in subscription:
                begun.set()
        return "ended"

    async def session() -> None:
        head = await asyncio.to_thread(create, admin)
        begun = [asyncio.Event() for _ in range(3)]
        async with MissionControl(system.url, token_of(admin)) as client:
            idle, unused = (client.subscribe("workspace", pos=0) for _ in range(2))
            await anext(idle)
            waiting = [
                asyncio.create_task(wait_in(client.subscribe("workspace", pos=start), one))
                for start, one in zip((0, 1, head["position"] - 1), begun, strict=True)
            ]
            async with asyncio.timeout(LIMIT_S):
                await asyncio.gather(*(one.wait() for one in begun))
        async with asyncio.timeout(LIMIT_S):
            assert await asyncio.gather(*waiting) == ["ended"] * 3
        for subscription in (idle, unused):
            assert [event async for event in subscription] == []
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(session())


@pytest.mark.parametrize(
    ("argument", "url", "token"),
    [
        ("url", "127.0.0.1:19100", "mc_key"),
        ("url", "ftp://127.0.0.1", "mc_key"),
        ("url", "http://", "mc_key"),
        ("url", "http://127.0.0.1:port", "mc_key"),
        ("token", "http://127.0.0.1:1", "mc_schlüssel"),
        ("token", "http://127.0.0.1:1", "mc_one\nmc_two"),
    ],
)
def test_what_can_never_be_a_server_or_a_key_is_refused_at_once(
    argument: str, url: str, token: str
) -> None:
    with pytest.raises(ValueError, match=rf"^{argument}: ") as refused:
        MissionControl(url, token)
    assert token not in str(refused.value)


def test_a_key_may_be_read_from_a_file_with_its_end_of_line(
    system: Any, admin: httpx.Client
) -> None:
    async def session() -> Event:
        async with MissionControl(f" {system.url}/\n", f"{token_of(admin)}\n") as client:
            async with asyncio.timeout(LIMIT_S):
                return await anext(client.subscribe("workspace", pos=0))

    assert asyncio.run(session()).position > 0


def test_a_mistake_of_who_gives_the_token_is_not_tried_again() -> None:
    async def token() -> str:
        async with httpx.AsyncClient() as http:
            return (await http.post("127.0.0.1:1/api/auth/sign-in")).text

    async def session() -> None:
        async with MissionControl("http://127.0.0.1:1", token) as client:
            async with asyncio.timeout(LIMIT_S):
                with pytest.raises(httpx.UnsupportedProtocol):
                    await anext(client.subscribe("workspace"))

    asyncio.run(session())


def test_a_lost_connection_is_warned_of_once_until_it_stands_again(
    system: Any, admin: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mission_control")

    async def session() -> None:
        async with (
            misbehaving(system.url, [0] * 5) as (url, _),
            MissionControl(url, token_of(admin), pause_s_max=0.05) as client,
        ):
            async with asyncio.timeout(LIMIT_S):
                await anext(client.subscribe("workspace", pos=0))

    asyncio.run(session())
    told = [(one.levelname, one.getMessage()) for one in caplog.records
            if one.name == "mission_control"]  # fmt: skip
    assert [level for level, _ in told] == ["WARNING", "INFO"]
    assert told[0][1].startswith("workspace: no connection, trying again: ")
    assert told[1][1] == "workspace: connected again"


def event_of(pos: int, prev: int) -> dict[str, Any]:
    payload = {"entityId": "e", "data": {}, "timestamp": "2026-01-01T00:00:00Z", "userId": "u"}
    return {"pos": pos, "prev": prev, "v": 1, "type": "mission_update", "event": "x.v1",
            "payload": payload}  # fmt: skip


@asynccontextmanager
async def scripted(
    script: Callable[[ServerConnection], Awaitable[None]],
) -> AsyncIterator[Any]:
    """Serve a script in place of the server, for what a right one never does."""
    log_id = str(uuid4())

    async def play(socket: ServerConnection) -> None:
        assert json.loads(await socket.recv())["t"] == "connect"
        greeting = {"t": "connected", "log_id": log_id, "ping_s": 25}
        await socket.send(json.dumps(greeting))
        with contextlib.suppress(Exception):
            await script(socket)
        await socket.wait_closed()

    class Here:
        socket_url = ""
        proxies = False

        async def ticket(self) -> str:
            return "ticket"

    async with serve(play, "127.0.0.1", 0, subprotocols=["mc.v1"]) as server:  # type: ignore[list-item]
        Here.socket_url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield Here()


def test_a_gap_makes_it_subscribe_again_from_the_last_position() -> None:
    asked: list[tuple[int, int]] = []

    async def script(socket: ServerConnection) -> None:
        async def say(**message: Any) -> None:
            await socket.send(json.dumps(message))

        for replies in (
            [event_of(2, 0), event_of(2, 0), event_of(9, 7)],
            [event_of(7, 2), event_of(9, 7)],
        ):
            told = json.loads(await socket.recv())
            asked.append((told["pos"], told["id"]))
            await say(t="sub_ok", id=told["id"], room="workspace", head=9, replaying=True)
            for reply in replies:
                await say(t="ev", room="workspace", **reply)

    async def session() -> list[int]:
        async with (
            scripted(script) as server,
            aclosing(Subscription(server, "workspace", 0, None)) as subscription,
        ):
            return [e.position for e in await follow(subscription, 9)]

    assert asyncio.run(session()) == [2, 7, 9]
    assert [pos for pos, _ in asked] == [0, 2]
