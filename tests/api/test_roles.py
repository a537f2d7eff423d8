"""Each role, a foreign workspace and nobody at every route, generated from the OpenAPI document."""

import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from domain.permissions import AGENTS_ONLY, ROLE_PERMISSIONS, Permission
from domain.workspace import Role
from infra.http.principal import access_of
from infra.web import routes as served

Route = tuple[str, str, frozenset[Permission | None]]


def routes() -> Iterator[Route]:
    for route in served():
        methods = getattr(route, "methods", None)
        if methods and route.path.startswith(("/api", "/health", "/metrics")):
            for method in sorted(methods - {"HEAD", "OPTIONS"}):
                yield method, route.path, access_of(route)


ROUTES = list(routes())
GUARDED = [(m, p, permission) for m, p, permission in ROUTES if None not in permission]


def test_every_route_declares_its_permission() -> None:
    public = {path for _, path, permission in ROUTES if None in permission}
    assert all(permission for _, _, permission in ROUTES)
    assert public == {
        "/health/live", "/health/ready", "/api/auth/sign-in", "/api/auth/token", "/api/auth/sign-out",
    }  # fmt: skip


@pytest.mark.parametrize(("method", "path", "permission"), GUARDED)
def test_nobody_gets_401(
    method: str, path: str, permission: frozenset[Permission], system: Any
) -> None:
    answer = system.client().request(method, _filled(path))
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("role", [role.value for role in Role])
@pytest.mark.parametrize(("method", "path", "permission"), GUARDED)
def test_a_role_passes_exactly_where_it_has_the_permission(
    role: str,
    method: str,
    path: str,
    permission: frozenset[Permission],
    people: dict[str, httpx.Client],
) -> None:
    answer = people[role].request(method, _filled(path))
    allowed = bool(permission & ROLE_PERMISSIONS[Role(role)])
    assert (answer.status_code == 403) != allowed or answer.json()["code"] != "forbidden", (
        answer.text
    )
    if not allowed:
        assert answer.status_code == 403


def test_a_foreign_workspaces_things_do_not_exist(
    admin: httpx.Client,
    stranger: httpx.Client,
    agent_maker: Callable[..., tuple[str, httpx.Client]],
) -> None:
    agent_id, _ = agent_maker("foreign")
    mission = admin.post("/api/missions", json={"title": "ours"}).json()
    board = admin.get("/api/missions/board", params={"min_position": mission["position"]}).json()
    comment = admin.post(f"/api/missions/{mission['id']}/comments", json={"body": "ours"}).json()
    ours = {
        "mission_id": mission["id"], "agent_id": agent_id, "board_id": board["id"],
        "comment_id": comment["id"], "column_id": board["columns"][0]["id"],
        "position": mission["position"],
    }  # fmt: skip
    for method, path, permission in GUARDED:
        names = re.findall(r"{(\w+)}", path)
        if not names or permission <= AGENTS_ONLY:
            continue
        filled = re.sub(r"{(\w+)}", lambda m: str(ours.get(m[1], uuid4())), path)
        body = _valid_body(path, board)
        answer = stranger.request(method, filled, json=body)
        assert answer.status_code == 404, f"{method} {filled}: {answer.status_code} {answer.text}"
    assert stranger.get("/api/missions/board", params={"board_id": board["id"]}).status_code == 404
    assert mission["id"] not in stranger.get("/api/events").text


def _valid_body(path: str, board: dict[str, Any]) -> dict[str, Any] | None:
    some = str(uuid4())
    bodies: dict[str, dict[str, Any]] = {
        "move": {"column_id": board["columns"][0]["id"]},
        "assign": {"assignee_id": some},
        "unassign": {"assignee_id": some},
        "block": {"reason": "x"},
        "reject": {"reason": "x"},
        "dependencies": {"depends_on_id": some},
        "comments": {"body": "x"},
        "columns": {"name": "x", "stage": "ready"},
        "wip-limit": {"wip_limit": 3},
        "heartbeat": {"state": "available"},
        "role": {"role": "viewer"},
        "keys": {},
        "{mission_id}": {"title": "x"},
        "{agent_id}": {"name": "x"},
        "{board_id}": {"name": "x"},
        "{comment_id}": {"body": "x"},
        "{column_id}": {"name": "x"},
    }
    if path.endswith("columns/{column_id}/move"):
        return {"before": None}
    return bodies.get(path.rsplit("/", 1)[-1])


def _filled(path: str) -> str:
    return re.sub(r"{\w+}", lambda _: str(uuid4()), path)
