"""`GET /api/stream`: the rooms as Server-Sent Events, from any position, for as long as rights last."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import Any
from uuid import uuid4

import httpx
import pytest

from infra.http.limits import STREAMS_PER_CALLER_MAX
from tests.tries import tries

Json = dict[str, Any]


class Stream:
    """Reads a stream; `last` is the id that a browser would come back with."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.last = ""
        self._lines = answer.iter_lines()

    def messages(self) -> Iterator[Json]:
        """Give messages until the server ends the stream."""
        for line in self._lines:
            if line.startswith("id: "):
                self.last = line.removeprefix("id: ")
            elif line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))

    def take(self, *kinds: str) -> Json:
        """Return the next message of these kinds."""
        return next(m for m in self.messages() if m["t"] in kinds)

    def reach(self, position: int) -> list[Json]:
        """Return events until one has come to a position."""
        found: list[Json] = []
        while not found or found[-1]["pos"] < position:
            found.append(self.take("ev"))
        return found


@contextmanager
def opened(client: httpx.Client, *rooms: str, **options: Any) -> Iterator[Stream]:
    headers = options.pop("headers", {})
    params = [("room", room) for room in rooms] + list(options.items())
    with client.stream("GET", "/api/stream", params=params, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        yield Stream(answer)


def create(client: httpx.Client, count: int = 1, **fields: Any) -> Json:
    for _ in range(count):
        answer = client.post("/api/missions", json={"title": f"m {uuid4().hex[:6]}", **fields})
        assert answer.status_code == 201, answer.text
    return answer.json()  # type: ignore[no-any-return]


def member(system: Any, admin: httpx.Client, role: str) -> tuple[str, httpx.Client]:
    body = {"email": f"{uuid4().hex[:8]}@example.org", "name": "Short", "role": role,
            "password": "a long passphrase, really"}  # fmt: skip
    answer = admin.post("/api/members", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"], system.sign_in(body["email"], body["password"], "Mission Control")


def board_of(client: httpx.Client) -> str:
    return f"board:{client.get('/api/missions/board').json()['id']}"


def test_several_rooms_are_one_order_and_each_event_comes_once_with_prev_per_room(
    admin: httpx.Client,
) -> None:
    made = create(admin, 30)
    rooms = ("workspace", board_of(admin), f"mission:{made['id']}")
    with opened(admin, *rooms, pos=0) as stream:
        replayed = stream.reach(made["position"])
        live = stream.take("live")
        assert live["pos"] >= made["position"]
        edit = admin.put(f"/api/missions/{made['id']}", json={"title": "edited"})
        assert edit.status_code == 200, edit.text
        events = replayed + stream.reach(edit.json()["position"])
    positions = [e["pos"] for e in events]
    assert positions == sorted(set(positions))
    last = dict.fromkeys(rooms, 0)
    for event in events:
        for room, prev in event["prev"].items():
            assert prev == last[room], (room, event)
            last[room] = event["pos"]
    assert set(events[-1]["prev"]) == set(rooms)
    whole = [json.loads(line)["position"] for line in admin.get("/api/events").text.splitlines()]
    hidden = set(whole) - set(positions)
    assert not hidden, "nothing in this log is for auditors only"


def test_a_reader_that_comes_back_with_its_last_id_misses_nothing(admin: httpx.Client) -> None:
    with opened(admin, "workspace") as stream:
        stream.take("connected")
        first = create(admin, 3)
        seen = stream.reach(first["position"])
        last = stream.last
    assert last == str(first["position"])
    missed = create(admin, 5)
    with opened(admin, "workspace", pos=0, headers={"Last-Event-ID": last}) as stream:
        found = stream.reach(missed["position"])
    assert found[0]["prev"]["workspace"] == seen[-1]["pos"]
    assert len([e for e in found if e["event"] == "mission.created.v1"]) == 5


def test_replay_goes_on_live_while_others_write(admin: httpx.Client) -> None:
    room = board_of(admin)
    writing = threading.Thread(target=create, args=(admin, 60))
    with opened(admin, room, "audit", pos=0) as stream:
        writing.start()
        writing.join()
        events = stream.reach(create(admin)["position"])
    in_room = [e for e in events if room in e["prev"]]
    assert all(e["prev"][room] == before["pos"] for before, e in pairwise(in_room))
    assert all(e["envelope"]["position"] == e["pos"] for e in events), "an auditor sees envelopes"


def test_presence_is_told(admin: httpx.Client) -> None:
    with opened(admin, "workspace") as stream:
        present = stream.take("presence")
        assert present["all"] is True
        assert "user" in {one["kind"] for one in present["join"]}


def test_another_log_or_a_position_beyond_it_is_reset(admin: httpx.Client) -> None:
    for where in ({"pos": 2**40}, {"pos": 1, "log_id": str(uuid4())}):
        with opened(admin, "workspace", **where) as stream:
            assert [m["t"] for m in stream.messages()] == ["reset"]


@pytest.mark.parametrize(
    ("query", "headers", "field"),
    [
        ("", {}, "room"),
        ("room=", {}, "room"),
        ("room=board:x", {}, "room"),
        ("room=" + "x" * 200, {}, "room.0"),
        ("&".join(["room=workspace"] * 21), {}, "room"),
        ("room=workspace&pos=-1", {}, "pos"),
        ("room=workspace&pos=x", {}, "pos"),
        ("room=workspace&log_id=x", {}, "log_id"),
        ("room=workspace", {"Last-Event-ID": "x"}, "Last-Event-ID"),
    ],
)
def test_nonsense_is_named(
    admin: httpx.Client, query: str, headers: dict[str, str], field: str
) -> None:
    answer = admin.get(f"/api/stream?{query}", headers=headers)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


def test_rooms_are_for_members_and_the_audit_room_for_admins(
    admin: httpx.Client, people: dict[str, httpx.Client], stranger: httpx.Client, system: Any,
    agent_maker: Any,
) -> None:  # fmt: skip
    params = {"room": board_of(admin)}
    assert system.client().get("/api/stream", params=params).status_code == 401
    assert stranger.get("/api/stream", params=params).status_code == 404
    _, agent = agent_maker("listener")
    for client in (*people.values(), agent):
        with opened(client, params["room"]) as stream:
            stream.take("connected")
        if client is not people["admin"]:
            refused = client.get("/api/stream", params={"room": "audit"})
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


def test_security_12_a_stream_ends_within_a_second_of_the_sign_in(
    system: Any, admin: httpx.Client
) -> None:
    for end in tries(within_s=1):
        user_id, client = member(system, admin, "viewer")
        with opened(client, "workspace") as stream:
            stream.take("connected")
            with end:
                assert admin.post(f"/api/members/{user_id}/disable").status_code == 200
                assert list(stream.messages())[-1] == {"t": "err", "code": "revoked"}
        assert client.get("/api/stream", params={"room": "workspace"}).status_code == 401


def test_security_14_a_room_that_was_lost_ends_and_the_others_go_on(
    system: Any, admin: httpx.Client
) -> None:
    user_id, client = member(system, admin, "admin")
    with opened(client, "audit", "workspace") as stream:
        stream.take("connected")
        answer = admin.put(f"/api/members/{user_id}/role", json={"role": "viewer"})
        assert answer.status_code == 200, answer.text
        assert stream.take("err") == {"t": "err", "room": "audit", "code": "forbidden"}
        event = stream.reach(create(admin)["position"])[-1]
        assert set(event["prev"]) == {"workspace"}
        assert "envelope" not in event


FREED_S = 5
ENDLESS: list[tuple[str, Json]] = [
    ("/api/stream", {"room": "workspace"}),
    ("/api/events", {"follow": "true"}),
]


def status_of(client: httpx.Client, path: str, query: Json) -> int:
    with client.stream("GET", path, params=query) as answer:
        return answer.status_code


@pytest.mark.parametrize(("path", "query"), ENDLESS)
def test_a_caller_has_so_many_streams_and_one_that_is_closed_frees_its_place(
    system: Any, admin: httpx.Client, path: str, query: Json
) -> None:
    _, client = member(system, admin, "admin")
    with ExitStack() as stack:
        # Of either kind, they share the places.
        for number in range(STREAMS_PER_CALLER_MAX):
            where, asked = ENDLESS[number % 2]
            answer = stack.enter_context(client.stream("GET", where, params=asked))
            assert answer.status_code == 200
        refused = client.get(path, params=query)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
        assert refused.headers["content-type"] == "application/problem+json"
        assert int(refused.headers["retry-after"]) > 0
        assert str(STREAMS_PER_CALLER_MAX) in refused.json()["detail"]
        assert status_of(admin, path, query) == 200, "the places of others are theirs"
        assert client.get("/api/events", params={"limit": 1}).status_code == 200
        answer.close()
        deadline = time.monotonic() + FREED_S
        while status_of(client, path, query) != 200:
            assert time.monotonic() < deadline, "its place was not freed"
