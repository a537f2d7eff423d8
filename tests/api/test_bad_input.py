"""Nonsense gets a problem that names the field; never a 500, and never a half-applied change."""

import json
from uuid import uuid4

import httpx
import pytest

DEEP = "[" * 5000 + "]" * 5000
BODIES = {
    "wrong type": ('{"title": 7}', "title"),
    "unknown field": ('{"title": "x", "colour": "red"}', "colour"),
    "missing": ("{}", "title"),
    "empty": ('{"title": ""}', "title"),
    "blank": ('{"title": "   "}', "title"),
    "too long": (json.dumps({"title": "x" * 201}), "title"),
    "NUL": ('{"title": "a\\u0000b"}', "title"),
    "line break": ('{"title": "a\\nb"}', "title"),
    "lone surrogate": ('{"title": "\\ud800"}', "title"),
    "bad enum": ('{"title": "x", "priority": "soon"}', "priority"),
    "bad id": ('{"title": "x", "board_id": "17"}', "board_id"),
    "unknown board": (json.dumps({"title": "x", "board_id": str(uuid4())}), "board_id"),
    "unknown column": (json.dumps({"title": "x", "column_id": str(uuid4())}), "column_id"),
    "unknown assignee": (json.dumps({"title": "x", "assignees": [str(uuid4())]}), "assignees"),
    "naive time": ('{"title": "x", "due": "2026-01-01T00:00:00"}', "due"),
    "absurd time": ('{"title": "x", "due": 1e300}', "due"),
    "broken": ('{"title": ', "body"),
    "not an object": ("[]", "body"),
    "number": ("1", "body"),
    "NaN": ("NaN", "body"),
    "deep": (DEEP, "body"),
    "deep inside": ('{"title": ' + DEEP + "}", "body"),
    "huge number": ('{"title": ' + "9" * 5000 + "}", "body"),
    "nothing": ("", "body"),
    "oversize": (json.dumps({"title": "x", "description": "x" * 2_000_000}), "body"),
    "long text": (json.dumps({"title": "x", "description": "x" * 30_000}), "description"),
    "not UTF-8": (b'{"title": "\xff"}', "body"),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_bad_body_names_its_field(name: str, admin: httpx.Client) -> None:
    body, field = BODIES[name]
    head = _head(admin)
    answer = admin.post("/api/missions", content=body, headers={"content-type": "application/json"})
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert field in problem["field"] or problem["field"] in field, problem
    assert _head(admin) == head


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("If-Match", "seven"),
        ("Idempotency-Key", "x" * 500),
        ("Lease-Token", "x"),
        ("Lease-Token", "9" * 40),
    ],
)
def test_a_bad_header_names_itself(header: str, value: str, admin: httpx.Client) -> None:
    made = admin.post("/api/missions", json={"title": "header"}).json()["id"]
    path, body = f"/api/missions/{made}/block", {"reason": "x"}
    answer = admin.post(path, json=body, headers={header: value})
    assert (answer.status_code, answer.json()["field"]) == (422, header)


def test_an_unknown_id_is_404_and_an_absurd_one_422(admin: httpx.Client) -> None:
    assert admin.get(f"/api/missions/{uuid4()}").status_code == 404
    assert admin.put(f"/api/missions/{uuid4()}", json={"title": "x"}).status_code == 404
    assert admin.put("/api/missions/none", json={"title": "x"}).status_code == 422
    assert admin.get("/api/nowhere").status_code == 404


def test_absurd_query_values_are_422(admin: httpx.Client) -> None:
    for value in ("-1", "x", "1e9", "9" * 30):
        answer = admin.get("/api/missions/board", params={"min_position": value})
        assert (answer.status_code, answer.json()["field"]) == (422, "min_position")


def test_waiting_for_a_position_far_away_ends_with_503(admin: httpx.Client) -> None:
    answer = admin.get("/api/missions/board", params={"min_position": 2**40})
    assert (answer.status_code, answer.json()["code"]) == (503, "not_caught_up")


def _head(admin: httpx.Client) -> int:
    return int(admin.get("/health/ready").json()["position"])
