"""Nonsense gets a problem that names the field; never a 500, and never a half-applied change."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import product
from typing import Any
from uuid import uuid4

import httpx
import pytest

from infra.http.limits import BodyLimit
from infra.web import PROBES, routes, web_app

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
    "seconds since 1970": ('{"title": "x", "due": 1767225600}', "due"),
    "the same as text": ('{"title": "x", "due": "1767225600"}', "due"),
    "the end of time": ('{"title": "x", "due": "9999-12-31T23:59:59-05:00"}', "due"),
    "its beginning": ('{"title": "x", "due": "0001-01-01T00:00:00+14:00"}', "due"),
    "C1 control": ('{"title": "a\\u0085b"}', "title"),
    "line separator": ('{"title": "a\\u2028b"}', "title"),
    "nothing to see": ('{"title": "\\u200b\\u2060"}', "title"),
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
    "UTF-16": ('{"title": "x"}'.encode("utf-16-le"), "body"),
    "deep in UTF-16": (f'{{"title": "q\u0122", "labels": {DEEP}}}'.encode("utf-16-le"), "body"),
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
    "content_type",
    ["text/plain", "", None, "application/x-www-form-urlencoded", "multipart/form-data", "json",
     "application/jsonp", "text/json"],
)  # fmt: skip
def test_a_body_that_is_not_said_to_be_json_is_told_so(
    content_type: str | None, admin: httpx.Client, system: Any
) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    head = _head(admin)
    for path in ("/api/missions", "/api/auth/sign-in", f"/api/agents/{uuid4()}/keys"):
        answer = admin.post(path, content=b'{"title": "x"}', headers=headers)
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert (answer.status_code, problem["status"], problem["code"], problem["field"]) == (
            415, 415, "unsupported_media_type", "content-type",
        )  # fmt: skip
        assert "application/json" in problem["detail"]
    assert _head(admin) == head
    stranger = system.client().post("/api/missions", content=b"{}", headers=headers)
    assert stranger.status_code == 401


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/merge-patch+json"],
)  # fmt: skip
def test_json_of_any_name_is_json(content_type: str, admin: httpx.Client) -> None:
    headers = {"content-type": content_type}
    answer = admin.post("/api/missions", content=b'{"title": "x"}', headers=headers)
    assert answer.status_code == 201, answer.text


def test_where_there_is_no_body_its_type_means_nothing(admin: httpx.Client) -> None:
    headers = {"content-type": "text/plain"}
    missing = admin.post("/api/missions", headers=headers)
    assert (missing.status_code, missing.json()["field"]) == (422, "body")
    unknown = admin.post(f"/api/missions/{uuid4()}/approve", content=b"x", headers=headers)
    assert unknown.status_code == 404


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("If-Match", "seven"),
        ("Idempotency-Key", "x" * 500),
        ("Lease-Token", "x"),
        ("Lease-Token", "9" * 40),
        ("Lease-Token", "000000000001" + "0" * 5000),
    ],
)
def test_a_bad_header_names_itself(header: str, value: str, admin: httpx.Client) -> None:
    made = admin.post("/api/missions", json={"title": "header"}).json()["id"]
    path, body = f"/api/missions/{made}/block", {"reason": "x"}
    answer = admin.post(path, json=body, headers={header: value})
    assert (answer.status_code, answer.json()["field"]) == (422, header)


@pytest.mark.parametrize("offset", ["+01:00", "+20:00", "-23:59"])
def test_a_time_of_any_offset_is_the_same_now_and_in_the_past(
    offset: str, admin: httpx.Client
) -> None:
    due = f"2027-03-01T01:00:00{offset}"
    made = admin.post("/api/missions", json={"title": "due", "due": due})
    assert made.status_code == 201, made.text
    path, position = f"/api/missions/{made.json()['id']}", made.json()["position"]
    now, then = (
        admin.get(path, params=query).json()["due"]
        for query in ({"min_position": position}, {"as_of": position})
    )
    assert now == then
    assert datetime.fromisoformat(now) == datetime.fromisoformat(due)
    listed = admin.get("/api/missions", params={"due_before": due})
    assert listed.status_code == 200, listed.text
    past = admin.get("/api/missions/board", params={"as_of": f"2026-01-01T00:00:00{offset}"})
    assert past.status_code in {200, 404}, past.text


def test_the_years_that_are_named_as_ends_are_in(admin: httpx.Client) -> None:
    first, last = "1900-01-01T00:00:00+14:00", "9000-12-31T23:59:59-12:00"
    for due in (first, last):
        made = admin.post("/api/missions", json={"title": "due", "due": due})
        assert made.status_code == 201, made.text
        path, position = f"/api/missions/{made.json()['id']}", made.json()["position"]
        for query in ({"min_position": position}, {"as_of": position}):
            shown = admin.get(path, params=query).json()["due"]
            assert datetime.fromisoformat(shown) == datetime.fromisoformat(due)
    for path in ("/api/events", "/api/activity", "/api/events/density"):
        query = {"since": first, "until": last}
        assert admin.get(path, params=query).status_code == 200, path
    for due in ("1899-12-31T23:59:59Z", "9001-01-01T00:00:00Z"):
        answer = admin.post("/api/missions", json={"title": "due", "due": due})
        assert (answer.status_code, answer.json()["field"]) == (422, "due")
        assert answer.json()["detail"] == "due: must be in a year from 1900 to 9000"


@pytest.mark.parametrize(
    ("name", "email", "field"),
    [("", "a@example.org", "name"), ("Two\nlines", "a@example.org", "name"), ("Fine", "nobody", "admin_email")],
)  # fmt: skip
def test_a_workspace_that_nobody_could_sign_in_to_is_not_founded(
    name: str, email: str, field: str, system: Any, admin: httpx.Client
) -> None:
    head = _head(admin)
    done = system.run("workspace", "create", name, "--admin-email", email)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"mission-control: {field}: "), done.stderr
    assert _head(admin) == head


def test_a_null_is_named_by_its_field(admin: httpx.Client, agent_maker: Callable[..., Any]) -> None:
    mission_id = admin.post("/api/missions", json={"title": "kept"}).json()["id"]
    agent_id, _ = agent_maker("kept")
    for path, fields in (
        (f"/api/missions/{mission_id}", ("title", "labels")),
        (f"/api/agents/{agent_id}", ("name", "config")),
    ):
        for field in fields:
            answer = admin.put(path, json={field: None})
            assert answer.status_code == 422
            assert (answer.json()["field"], answer.json()["detail"]) == (
                field, f"{field}: can't be null",
            )  # fmt: skip
    done = admin.put(f"/api/missions/{mission_id}", json={"title": "kept so", "due": None})
    assert done.status_code == 200, done.text


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({"heartbeats": [{"agent_id": "17"}]}, ["heartbeats.0.agent_id"]),
        ({"heartbeats": [{"agent_id": "17"}, 7]}, ["heartbeats.0.agent_id", "heartbeats.1"]),
        ({"heartbeats": []}, ["heartbeats"]),
        ({"heartbeats": 7}, ["heartbeats"]),
        ([], ["body"]),
    ],
)
def test_each_fault_is_told_once_and_in_words_of_json(
    body: Any, faults: list[str], admin: httpx.Client
) -> None:
    answer = admin.post("/api/agents/heartbeats", json=body)
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["errors"]] == faults
    told = " ".join(fault["detail"] for fault in answer.json()["errors"]).lower()
    assert not any(word in told for word in ("tuple", "dictionary", "value error", "extract"))


def whole_numbers() -> Iterator[tuple[str, str, str]]:
    """Give the integers and truth values of every body that a command takes, with where it goes."""
    document = web_app().openapi()
    schemas = document["components"]["schemas"]
    for path, item in document["paths"].items():
        for method, operation in item.items():
            body = json.dumps(operation.get("requestBody", {}))
            for name in re.findall(r"#/components/schemas/(\w+)", body):
                for field, schema in schemas[name].get("properties", {}).items():
                    if re.search(r'"type": "(integer|boolean)"', json.dumps(schema)):
                        yield method, re.sub(r"{\w+}", str(uuid4()), path), field


def test_an_integer_of_json_is_one_on_both_ways_into_a_route(
    admin: httpx.Client, agent_maker: Callable[..., Any]
) -> None:
    _, agent = agent_maker("precise")
    found = list(whole_numbers())
    assert {"wip_limit", "lease_token", "percent", "ttl_s"} <= {field for _, _, field in found}
    for (method, path, field), value in product(found, ["7", "true", True, 3.0, 0.5, [7]]):
        for way in (path, f"{path}?&"):  # the second is not the fast one
            answer = admin.request(method, way, json={field: value})
            if answer.status_code == 403:  # for agents only
                answer = agent.request(method, way, json={field: value})
            assert answer.status_code == 422, (way, field, value, answer.text)
            assert field in [fault["field"] for fault in answer.json()["errors"]], (way, field)


def test_the_names_of_all_workspaces_are_listed(system: Any, stranger: httpx.Client) -> None:
    done = system.run("workspace", "list", "--json")
    assert json.loads(done.stdout) == {"workspaces": ["Mission Control", "Elsewhere"]}


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    sent: list[dict[str, Any]] = []
    chunks: list[dict[str, Any]] = [{"type": "http.request", "body": b"{", "more_body": True}]

    async def receive() -> dict[str, Any]:
        return chunks.pop() if chunks else await asyncio.Event().wait()  # type: ignore[return-value]

    async def send(message: Any) -> None:
        sent.append(message)

    async def app(*_: Any) -> None:
        raise AssertionError("there is no whole body")

    scope = {"type": "http", "method": "POST", "path": "/api/missions", "headers": []}
    asyncio.run(BodyLimit(app, seconds_max=0.05)(scope, receive, send))
    start, body = sent
    assert start["status"] == 408
    assert (b"connection", b"close") in start["headers"]
    assert json.loads(body["body"])["field"] == "body"


def test_brackets_in_a_text_are_text(admin: httpx.Client) -> None:
    for text in ("[" * 2000, '"[\\"{' * 500, "[]{}" * 1000, '\\"' * 100 + "[" * 500):
        answer = admin.post("/api/missions", json={"title": "Brackets", "description": text})
        assert answer.status_code == 201, answer.text


def test_a_comment_has_something_to_see(admin: httpx.Client) -> None:
    made = admin.post("/api/missions", json={"title": "quiet"}).json()["id"]
    answer = admin.post(f"/api/missions/{made}/comments", json={"body": " \n\u200b"})
    assert (answer.status_code, answer.json()["field"]) == (422, "body")


@pytest.mark.parametrize(
    "email", ["a\x1b[31m@b.c", "lea\u200b@example.org", "\u202ea@x.org", "lea\u2060@x.org"]
)
def test_an_address_is_what_it_looks_like(admin: httpx.Client, email: str) -> None:
    body = {"email": email, "name": "Lea", "role": "viewer"}
    answer = admin.post("/api/members", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, "email")


def test_an_unknown_id_is_404_and_an_absurd_one_422(admin: httpx.Client) -> None:
    assert admin.get(f"/api/missions/{uuid4()}").status_code == 404
    assert admin.put(f"/api/missions/{uuid4()}", json={"title": "x"}).status_code == 404
    assert admin.put("/api/missions/none", json={"title": "x"}).status_code == 422
    for path in ("/api/nowhere", "//api/missions", "/API/missions"):
        answer = admin.get(f"{admin.base_url}".rstrip("/") + path)
        assert answer.headers["content-type"] == "application/problem+json", path
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_absurd_query_values_are_422(admin: httpx.Client) -> None:
    for value in ("-1", "x", "1e9", "9" * 30):
        answer = admin.get("/api/missions/board", params={"min_position": value})
        assert (answer.status_code, answer.json()["field"]) == (422, "min_position")


def test_a_whole_number_of_a_query_or_a_path_is_digits(admin: httpx.Client) -> None:
    found = [
        (path, one["in"], one["name"])
        for path, item in web_app().openapi()["paths"].items()
        for one in item.get("get", {}).get("parameters", [])
        if one["in"] != "header" and '"integer"' in json.dumps(one["schema"])
    ]
    assert {"limit", "min_position", "from", "buckets", "pos", "position"} <= {n for *_, n in found}
    for path, place, name in found:
        for value in ("1_0", "+1", " 1", "1.0", "x"):
            url = re.sub(r"{\w+}", value if place == "path" else str(uuid4()), path)
            answer = admin.get(url, params={name: value} if place == "query" else {})
            assert (answer.status_code, answer.json().get("field")) == (422, name), (url, value)
    assert admin.get("/api/missions", params={"limit": "010"}).status_code == 200


ROUTES = [
    (method, re.sub("{position}", "1", re.sub(r"{\w+_id}", str(uuid4()), route.path)))
    for route in routes()
    for method in route.methods or ()
    if not any(route in probe.router.routes for probe in PROBES)
]


def test_no_route_ignores_a_parameter(admin: httpx.Client, agent_maker: Callable[..., Any]) -> None:
    _, agent = agent_maker("curious")
    head = _head(admin)
    for method, path in ROUTES:
        answer = admin.request(method, path, params={"nonsense": "1"})
        if answer.status_code == 403:  # for agents only
            answer = agent.request(method, path, params={"nonsense": "1"})
        assert (answer.status_code, answer.json()["field"]) == (422, "nonsense"), (method, path)
    assert _head(admin) == head
    assert admin.get("/api/members/me").status_code == 200  # who was not signed out


def test_who_may_not_ask_is_told_that_and_not_what_could_be_asked(
    system: Any, people: dict[str, httpx.Client]
) -> None:
    asked = {"nonsense": "1"}
    assert system.client().get("/api/missions", params=asked).status_code == 401
    assert people["viewer"].get("/api/events", params=asked).status_code == 403


@pytest.mark.parametrize(
    ("path", "query", "faults"),
    [
        ("/api/missions", "asignee_id=x", {"asignee_id": "there is no such parameter; assignee_id is one"}),
        ("/api/missions", "limit=5&limit=6", {"limit": "can be given once"}),
        ("/api/missions", "Limit=5&limit=5&limit=5",
         {"Limit": "there is no such parameter; limit is one", "limit": "can be given once"}),
        ("/api/missions", "=5", {"query": "there is no such parameter, but board_id, column_id"}),
        ("/api/missions/board", "as_off=1", {"as_off": "there is no such parameter; as_of is one"}),
        ("/api/events", "typ=mission.*&follow=true", {"typ": "there is no such parameter; type is one"}),
        ("/api/events", "since=2026-01-01T00:00:00Z&since=2027-01-01T00:00:00Z",
         {"since": "can be given once"}),
        ("/api/stream", "room=workspace&token=x",
         {"token": "there is no such parameter, but room, pos, log_id"}),
        ("/api/stream", "room=workspace&pos=1&pos=2", {"pos": "can be given once"}),
        ("/api/members/me", "x=1&y=2", dict.fromkeys("xy", "there is no such parameter")),
    ],
)  # fmt: skip
def test_a_parameter_that_is_not_known_or_comes_twice_is_named(
    path: str, query: str, faults: dict[str, str], admin: httpx.Client
) -> None:
    with admin.stream("GET", f"{path}?{query}") as answer:
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        answer.read()
    told = {fault["field"]: fault["detail"] for fault in answer.json()["errors"]}
    assert told.keys() == faults.keys()
    assert all(told[name].startswith(detail) for name, detail in faults.items()), told


def test_what_may_come_more_than_once_may(admin: httpx.Client) -> None:
    query = {"type": ["mission.*", "user.*"], "limit": 1}
    assert admin.get("/api/events", params=query).status_code == 200


def test_probes_and_pages_mind_no_parameter(admin: httpx.Client) -> None:
    for path in ("/health/live", "/health/ready", "/metrics", "/", "/missions/1"):
        assert admin.get(path, params={"nonsense": "1"}).status_code in {200, 503}, path


def test_waiting_for_a_position_far_away_ends_with_503(admin: httpx.Client) -> None:
    answer = admin.get("/api/missions/board", params={"min_position": 2**40})
    assert (answer.status_code, answer.json()["code"]) == (503, "not_caught_up")


def _head(admin: httpx.Client) -> int:
    return int(admin.get("/health/ready").json()["position"])
