"""Two real processes: what they share, and how they bear a Redis that is killed or hangs."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from redis import Redis as Client
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.servers import redis as redis_server
from tests.servers.fixtures import require
from tests.servers.redis import Redis as Server
from tests.start.processes import EMAIL, PASSWORD, Running, run, started
from tests.tries import Stopwatch, found_in_tries, tries

PATIENCE_S = 20
AT_ONCE_S = 3
"""Less than any clock of ours would take, on a machine that is busy."""


@dataclass
class Two:
    """Two processes on one database, and the Redis between them, if there is one."""

    a: Running
    b: Running
    redis: Server | None


@contextmanager
def two(data_dir: Path, database_url: str, redis: Server | None) -> Iterator[Two]:
    settings = {"MC_DATABASE_URL": database_url}
    settings |= {"MC_REDIS_URL": redis.url} if redis else {}
    done = run("migrate", "--data-dir", data_dir, MC_DATABASE_URL=database_url)
    assert done.returncode == 0, done.stderr
    with ExitStack() as stack:
        a, b = (stack.enter_context(started(data_dir, "serve", **settings)) for _ in "ab")
        assert a.url != b.url
        yield Two(a, b, redis)


@pytest.fixture(scope="module")
def connected(open_folder: Path, database_url: str) -> Iterator[Two]:
    """Two processes with a Redis between them."""
    require(redis_server.missing())
    with (
        redis_server.start() as redis,
        two(open_folder / "two", database_url, redis) as servers,
    ):
        yield servers


@pytest.fixture(scope="module")
def apart(open_folder: Path, database_url: str) -> Iterator[Two]:
    """Two processes without a Redis."""
    with two(open_folder / "two", database_url, None) as servers:
        yield servers


@pytest.fixture(
    scope="module", params=["apart", pytest.param("connected", marks=pytest.mark.servers)]
)
def servers(request: pytest.FixtureRequest) -> Two:
    """Two processes, without and with a Redis."""
    found: Two = request.getfixturevalue(request.param)
    return found


def sign_in(server: Running, email: str = EMAIL, password: str = PASSWORD) -> httpx.Response:
    body = {"email": email, "password": password}
    return httpx.post(f"{server.url}/api/auth/sign-in", json=body, timeout=10)


def bearer(answer: httpx.Response) -> dict[str, str]:
    return {"authorization": f"Bearer {answer.raise_for_status().json()['access_token']}"}


def new_member(server: Running, role: str = "viewer") -> tuple[str, str]:
    """Add somebody; return their address and id."""
    email = f"{uuid4().hex}@example.org"
    body = {"email": email, "name": "Somebody", "role": role, "password": PASSWORD}
    me = bearer(sign_in(server))
    added = httpx.post(f"{server.url}/api/members", json=body, headers=me, timeout=10)
    return email, added.raise_for_status().json()["id"]


@contextmanager
def hears(
    server: Running, me: dict[str, str], room: str = "workspace"
) -> Iterator[ClientConnection]:
    """Open a socket that follows a room from now."""
    ticket = httpx.post(f"{server.url}/api/ws/ticket", headers=me, timeout=10).raise_for_status()
    url = f"{server.url.replace('http', 'ws', 1)}/ws"
    with connect(url, subprotocols=[Subprotocol("mc.v1")], close_timeout=1) as socket:
        socket.send(json.dumps({"t": "connect", "id": 1, "ticket": ticket.json()["ticket"]}))
        socket.send(json.dumps({"t": "sub", "id": 2, "room": room}))
        until(socket, lambda said: said["t"] == "sub_ok")
        yield socket


def until(socket: ClientConnection, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return the first message of a kind."""
    give_up = time.monotonic() + PATIENCE_S
    while True:
        said: dict[str, Any] = json.loads(socket.recv(give_up - time.monotonic()))
        if said["t"] == "ping":
            socket.send('{"t":"pong"}')
        if wanted(said):
            return said


def present(socket: ClientConnection, there: set[str], names: set[str]) -> None:
    """Wait until just these are in the room; `there` is who was in it so far."""

    def seen(said: dict[str, Any]) -> bool:
        if said["t"] == "presence":
            before = set() if said.get("all") else set(there)
            joined, left = ({one["id"] for one in said[way]} for way in ("join", "leave"))
            there.clear()
            there.update((before | joined) - left)
        return there == names

    until(socket, seen)


def eventually(true: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
    assert comes_about(true, within_s), "it never came about"


def comes_about(true: Callable[[], bool], within_s: float = PATIENCE_S) -> bool:
    give_up = time.monotonic() + within_s
    while not true():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.02)
    return True


def end_of(socket: ClientConnection) -> int | None:
    with pytest.raises(ConnectionClosed) as closed:
        until(socket, lambda _: False)
    return closed.value.rcvd.code if closed.value.rcvd else None


def mission(server: Running, me: dict[str, str]) -> int:
    body = {"title": "a mission"}
    made = httpx.post(f"{server.url}/api/missions", json=body, headers=me, timeout=10)
    position: int = made.raise_for_status().json()["position"]
    return position


def status(server: Running, me: dict[str, str]) -> int:
    return httpx.get(f"{server.url}/api/missions", headers=me, timeout=10).status_code


def health(server: Running) -> dict[str, Any]:
    found: dict[str, Any] = server.get("/health/ready").raise_for_status().json()
    return found


def await_redis(servers: Two) -> None:
    """Wait until Redis is there for both, however slow it was to answer the last time."""
    there = {"status": "ok"}
    eventually(lambda: all(health(s)["services"]["redis"] == there for s in (servers.a, servers.b)))


def test_signing_out_at_one_ends_tokens_and_sockets_at_both_at_once(servers: Two) -> None:
    for end in tries(AT_ONCE_S):
        sign_out_of(servers, end)


def sign_out_of(servers: Two, end: Stopwatch) -> None:
    email, _ = new_member(servers.a)
    signed_in, other = sign_in(servers.a, email), bearer(sign_in(servers.b, email))
    me = bearer(signed_in)
    assert [status(s, me) for s in (servers.a, servers.b)] == [200, 200]
    with hears(servers.a, me) as near, hears(servers.b, me) as far, hears(servers.b, other) as kept:
        cookie = {"cookie": f"mc_session={signed_in.cookies['mc_session']}"}
        with end:
            out = httpx.post(f"{servers.a.url}/api/auth/sign-out", headers=cookie, timeout=10)
            assert out.status_code == 204
            assert status(servers.a, me) == 401
            eventually(lambda: status(servers.b, me) == 401)
            assert [end_of(near), end_of(far)] == [4003, 4003]
        # The other session goes on.
        kept.send('{"t":"ping","id":9}')
        until(kept, lambda said: said["t"] == "pong")
        assert status(servers.b, other) == 200


def test_who_is_removed_at_one_is_out_at_both(servers: Two) -> None:
    for end in tries(AT_ONCE_S):
        remove_from(servers, end)


def remove_from(servers: Two, end: Stopwatch) -> None:
    email, member_id = new_member(servers.a)
    me, admin = bearer(sign_in(servers.b, email)), bearer(sign_in(servers.a))
    assert status(servers.b, me) == 200
    with hears(servers.b, me) as socket:
        gone = httpx.delete(f"{servers.a.url}/api/members/{member_id}", headers=admin, timeout=10)
        assert gone.is_success, gone.text
        with end:
            eventually(lambda: status(servers.b, me) == 401)
        assert end_of(socket) == 4003


def test_what_one_writes_is_heard_at_the_other(servers: Two) -> None:
    me = bearer(sign_in(servers.a))
    with hears(servers.b, me) as socket:
        position = mission(servers.a, me)
        until(socket, lambda said: _holds(said, position))


def _holds(said: dict[str, Any], position: int) -> bool:
    events = said.get("events", [said]) if said["t"] in {"ev", "batch"} else []
    return any(event["pos"] == position for event in events)


@pytest.mark.servers
def test_failures_to_sign_in_count_at_both(connected: Two) -> None:
    def tried() -> list[int]:
        await_redis(connected)
        email = f"{uuid4().hex}@example.org"
        return [sign_in(s, email, "wrong").status_code for s in (connected.a, connected.b) * 6]

    # Where Redis does not answer in time, each counts by itself for a moment.
    found_in_tries(tried, [401] * 10 + [429] * 2)
    assert sign_in(connected.b).status_code == 200


@pytest.mark.servers
def test_health_tells_of_redis_and_of_nothing_where_there_is_none(connected: Two) -> None:
    await_redis(connected)


@pytest.mark.servers
def test_a_board_that_one_has_built_the_other_sends_but_never_an_older_one(connected: Two) -> None:
    assert connected.redis is not None
    me = bearer(sign_in(connected.a))

    def asked(server: Running, position: int) -> httpx.Response:
        wanted = {"min_position": position}
        answer = httpx.get(f"{server.url}/api/missions/board", params=wanted, headers=me)
        return answer.raise_for_status()

    def board(server: Running, position: int) -> list[dict[str, Any]]:
        columns: list[dict[str, Any]] = asked(server, position).json()["columns"]
        return columns

    def count(columns: list[dict[str, Any]]) -> int:
        return sum(len(column["cards"]) for column in columns)

    def is_sent(client: Client) -> bool:
        """Build a board at one, and tell whether the other sends that."""
        await_redis(connected)
        before = count(board(connected.a, mission(connected.a, me)))
        position = mission(connected.a, me)
        built = asked(connected.a, position)
        assert count(built.json()["columns"]) == before + 1
        revision = built.headers["etag"].strip('"').rpartition("-")[2]
        if not comes_about(lambda: bool(client.keys(f"mc:*:board:*:{revision}"))):
            return False
        (key,) = client.keys(f"mc:*:board:*:{revision}")
        text = client.get(key)
        assert isinstance(text, str)
        client.set(key, text.split('"columns":')[0] + '"columns":[]}')  # to know it by
        sent = board(connected.b, position)
        assert sent in ([], built.json()["columns"])
        return sent == []

    with connected.redis.client() as client:
        # Where Redis does not answer in time, each builds its own.
        found_in_tries(lambda: is_sent(client), expected=True)
    before = count(board(connected.a, 0))
    for number in range(1, 7):
        position = mission(connected.a, me)
        assert count(board(connected.b, position)) == before + number
        assert board(connected.b, position) == board(connected.a, position)


@pytest.mark.servers
def test_a_redis_that_is_killed_costs_no_request_and_is_taken_up_again(connected: Two) -> None:
    assert connected.redis is not None
    me = bearer(sign_in(connected.a))
    email = f"{uuid4().hex}@example.org"
    with hears(connected.b, me) as socket, busy(connected, me) as answers:
        connected.redis.kill()
        eventually(lambda: health(connected.a)["status"] == "degraded")
        assert health(connected.b)["services"]["redis"]["status"] == "away"
        position = mission(connected.a, me)
        until(socket, lambda said: _holds(said, position))
        # A limit for each process, in place of one for both.
        tried = [sign_in(connected.a, email, "wrong").status_code for _ in range(11)]
        assert tried == [401] * 10 + [429]
        connected.redis.start()
        eventually(lambda: health(connected.a)["status"] == "ok")
        eventually(lambda: health(connected.b)["status"] == "ok")
        position = mission(connected.a, me)
        until(socket, lambda said: _holds(said, position))
    assert {code for code, _ in answers} == {200, 201}
    assert len(answers) > 20


@pytest.mark.servers
def test_while_redis_hangs_requests_are_quick(connected: Two) -> None:
    assert connected.redis is not None
    me = bearer(sign_in(connected.a))
    for slowest in tries(within_s=2):
        with hears(connected.b, me) as socket, busy(connected, me) as answers:
            connected.redis.pause()
            try:
                for _ in range(3):
                    assert sign_in(connected.b).status_code == 200
                    position = mission(connected.a, me)
                    until(socket, lambda said, p=position: _holds(said, p))
                eventually(lambda: health(connected.b)["status"] == "degraded")
            finally:
                connected.redis.resume()
            eventually(lambda: health(connected.b)["status"] == "ok")
        assert {code for code, _ in answers} == {200, 201}
        slowest.taken_s = max(took for _, took in answers)


@contextmanager
def busy(servers: Two, me: dict[str, str]) -> Iterator[list[tuple[int, float]]]:
    """Ask both processes all the time; what they answered, and how long that took in seconds."""
    answers: list[tuple[int, float]] = []
    done = threading.Event()

    def ask(server: Running) -> None:
        with httpx.Client(base_url=server.url, headers=me, timeout=30) as client:
            while not done.is_set():
                wrote = client.post("/api/missions", json={"title": "one more"})
                read = client.get("/api/missions/board")
                answers.extend((a.status_code, a.elapsed.total_seconds()) for a in (wrote, read))

    threads = [threading.Thread(target=ask, args=[server]) for server in (servers.a, servers.b)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        done.set()
        for thread in threads:
            thread.join()


@pytest.mark.servers
def test_a_killed_process_takes_its_people_out_of_the_room(
    own_redis: Server, open_folder: Path, database_url: str
) -> None:
    with two(open_folder / "two", database_url, own_redis) as servers:
        email, member_id = new_member(servers.a)
        admin = bearer(sign_in(servers.a))
        with hears(servers.a, admin) as watcher:
            me = httpx.get(f"{servers.a.url}/api/members", headers=admin, timeout=10).json()
            my_id = next(m["id"] for m in me["items"] if m["email"] == EMAIL)
            seen, seen_by_visitor = set[str](), set[str]()
            present(watcher, seen, {my_id})
            with hears(servers.b, bearer(sign_in(servers.b, email))) as visitor:
                present(watcher, seen, {my_id, member_id})
                present(visitor, seen_by_visitor, {my_id, member_id})
                servers.b.process.kill()
                present(watcher, seen, {my_id})
