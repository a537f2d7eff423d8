"""A request is answered the same, whether the fast path serves it or FastAPI does."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from uuid_utils.compat import uuid7

from infra.http.fast_path import FastPath
from infra.web import routes

# A query without a parameter means nothing, and is reason enough for the fast path to let go.
SLOW = "?&"
JSON = {"content-type": "application/json"}
JSON_OF_A_CHARSET = {"content-type": "application/json; charset=utf-8"}
NOBODY = "00000000-0000-7000-8000-000000000000"
MISSION: dict[str, Any] = {
    "title": "One",
    "labels": ["a", "a"],
    "priority": "high",
    "due": "2030-01-01T00:00:00Z",
}

CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/api/missions", {"json": MISSION}),
    ("POST", "/api/missions", {"json": {"title": "x", "role": "admin"}}),
    ("POST", "/api/missions", {"json": {"title": 7}}),
    ("POST", "/api/missions", {"json": {"title": ""}}),
    ("POST", "/api/missions", {"json": {"title": "a\x00b"}}),
    ("POST", "/api/missions", {"content": b'{"title": "\\ud800"}', "headers": JSON}),
    ("POST", "/api/missions", {"content": b"{", "headers": JSON}),
    ("POST", "/api/missions", {"content": b'{"title": "x"}', "headers": {"content-type": "text/plain"}}),
    ("POST", "/api/missions", {"content": b'{"title": "x"}', "headers": JSON_OF_A_CHARSET}),
    ("POST", "/api/missions", {}),
    ("POST", "/api/missions", {"json": MISSION, "headers": {"if-match": "nonsense"}}),
    ("POST", "/api/missions", {"json": MISSION, "headers": {"authorization": "Bearer nonsense"}}),
    ("POST", "/api/missions", {"json": {**MISSION, "board_id": NOBODY}}),
    ("PUT", f"/api/missions/{NOBODY}", {"json": {"title": "y"}}),
    ("PUT", "/api/missions/nonsense", {"json": {"title": "y"}}),
    # Ids for Python, and for nobody else.
    ("GET", "/api/missions/0192f0c17a3e7cc19b0e5d1f6a2b3c4d----", {}),
    ("GET", "/api/missions/0192f0c1-7a3e-7cc1-9b0e-5d1f6a2b3c_d", {}),
    ("DELETE", f"/api/missions/{NOBODY}", {}),
    ("POST", f"/api/missions/{NOBODY}/approve", {}),
    ("POST", "/api/missions/claim", {}),
    ("GET", f"/api/missions/{NOBODY}", {}),
    ("GET", "/api/missions/board", {}),
    ("PATCH", "/api/missions", {"json": MISSION}),
]  # fmt: skip


def _told(answer: httpx.Response) -> tuple[Any, ...]:
    body = answer.json() if answer.content else None
    names = sorted(body) if isinstance(body, dict) else None
    problem = {name: body.get(name) for name in ("code", "field", "detail")} if names else None
    return answer.status_code, answer.headers.get("content-type"), names, problem


def test_every_command_has_a_fast_path() -> None:
    commands = [
        route for route in routes() if route.methods == {"POST"} and "/auth/" not in route.path
    ]
    assert len(commands) > 20
    for route in commands:
        assert len(FastPath(_nothing, [route])) == 1, route.path


async def _nothing(*_: Any) -> None:
    raise AssertionError("nothing is served here")


@pytest.mark.parametrize(("method", "path", "request_of"), CASES)
def test_both_ways_say_the_same(
    admin: httpx.Client, method: str, path: str, request_of: dict[str, Any]
) -> None:
    fast = admin.request(method, path, **request_of)
    slow = admin.request(method, path + SLOW, **request_of)
    assert _told(fast) == _told(slow)


def test_a_key_sent_one_way_is_known_the_other(admin: httpx.Client) -> None:
    key = {"idempotency-key": str(uuid7())}
    first = admin.post("/api/missions", json=MISSION, headers=key)
    again = admin.post(f"/api/missions{SLOW}", json=MISSION, headers=key)
    assert (first.status_code, first.json()) == (again.status_code, again.json())


def test_an_agent_is_refused_what_people_do_both_ways(
    admin: httpx.Client, agent_maker: Callable[..., tuple[str, httpx.Client]]
) -> None:
    mission = admin.post("/api/missions", json=MISSION).json()["id"]
    _, agent = agent_maker("fast and slow")
    answers = [agent.post(f"/api/missions/{mission}/approve{more}") for more in ("", SLOW)]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert len({answer.json()["detail"] for answer in answers}) == 1
