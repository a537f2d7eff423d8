"""The OpenAPI document: whatever schemathesis makes of it is answered as it says, and so is a world with content."""

import json
import os
import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from jsonschema import Draft202012Validator, FormatChecker
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from infra.web import web_app

Json = dict[str, Any]
DOCUMENT = web_app().openapi()
JSON = "application/json"
# A stream that is granted does not end; tests/api/test_stream.py says what it answers to nonsense.
STREAM = "/api/stream"
SIGN_OUT = "/api/auth/sign-out"
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT).exclude(path=STREAM)
OPERATIONS = [found.ok() for found in SCHEMA.get_all_operations()]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES = int(os.environ.get("MC_TEST_EXAMPLES", "6"))


def test_the_document_is_openapi_3_1_and_names_every_operation() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    assert all(operation.get("description") for _, _, operation in operations())


def test_every_answer_with_a_body_has_a_schema_and_a_fitting_example() -> None:
    for method, path, operation in operations():
        done = {int(s): told for s, told in operation["responses"].items() if s.startswith("2")}
        assert done, f"{method} {path} never succeeds"
        for status, told in done.items():
            contents = told.get("content", {}).values()
            assert bool(contents) == (status != 204), f"{method} {path} {status}"
            for content in contents:
                assert content["schema"], f"{method} {path} {status}"
                if "example" in content:
                    require(content["example"], content["schema"])


def test_every_command_names_its_idempotency_key() -> None:
    """Others leave nothing in the log: a lease that is renewed, a sign of life, signing in and out."""
    without = {
        path
        for method, path, operation in operations()
        if method != "get" and not headers(operation)
    }
    assert without == {path for path in without if path.startswith(("/api/auth/", "/api/ws/"))} | {
        "/api/agents/heartbeats", "/api/agents/{agent_id}/heartbeat", "/api/members/me/password",
        "/api/missions/{mission_id}/renew",
    }  # fmt: skip
    for _, path, operation in operations():
        named = headers(operation)
        assert ("If-Match" in named) <= ("Idempotency-Key" in named), path
        assert ("If-Match" in named) == ("412" in operation["responses"]), path
        assert not any(header["required"] for header in named.values()), path


# A world with content ------------------------------------------------------------------------


def test_every_document_of_a_world_with_content_is_as_described(
    admin: httpx.Client, world: Json
) -> None:
    """Also by its members: what the document does not name may not be there."""
    seen = set()
    for method, path, operation in operations():
        if method != "get" or path == STREAM:
            continue
        names = {one["name"] for one in operation.get("parameters", [])}
        url = re.sub(r"{(\w+)}", lambda name: str(world[name[1]]), path)
        query = {"q": "incidents", "min_position": world["position"]}
        asked = {name: value for name, value in query.items() if name in names}
        answer = admin.get(url, params=asked)
        assert answer.status_code == 200, answer.text
        assert answer.json().get("items", True) if is_json(answer) else answer.text, path
        seen.add(check(answer))
        if "as_of" in names:
            check(admin.get(url, params={"as_of": world["position"]}))
        if "304" in operation["responses"]:
            known = {"if-none-match": answer.headers["etag"]}
            assert check(admin.get(url, headers=known)) == (path, 304)
    assert len(seen) == len({path for path, status in seen if status == 200}) > 20


@pytest.fixture(scope="module")
def world(admin: httpx.Client, agent_maker: Callable[..., Any]) -> Json:
    """Missions in each stage, talk about one, an agent at work; every command's answer is checked, too."""
    me = admin.get("/api/members/me").json()
    agent_id, agent = agent_maker("scribe", capabilities=["write"])

    def told(client: httpx.Client, path: str, **body: Any) -> Json:
        answer = client.post(path, json=body)
        assert answer.status_code in {200, 201}, answer.text
        check(answer)
        return answer.json()  # type: ignore[no-any-return]

    def mission(title: str, **more: Any) -> str:
        made = told(admin, "/api/missions", title=title, labels=["weekly"], **more)
        return str(made["id"])

    def taken(title: str) -> tuple[str, int]:
        path = f"/api/missions/{mission(title)}"
        return path, told(agent, f"{path}/claim")["lease"]["token"]

    for verdict in ("approve", "reject", None):
        path, token = taken("Summarise the incidents")
        told(agent, f"{path}/progress", lease_token=token, percent=40, note="reading")
        told(agent, f"{path}/submit", lease_token=token, summary="Three incidents, one cause.")
        if verdict:
            told(admin, f"{path}/{verdict}", **({"reason": "Four."} if verdict == "reject" else {}))
    path, token = taken("Read the incidents")
    told(agent, f"{path}/fail", lease_token=token, reason="no access to the archive")
    path, token = taken("Explain the incidents")
    told(agent, f"{path}/renew", lease_token=token)
    told(agent, f"/api/agents/{agent_id}/heartbeat", state="busy", mission_id=path.split("/")[-1])
    beats = [{"agent_id": agent_id, "state": "busy"}, {"agent_id": me["id"]}]
    told(agent, "/api/agents/heartbeats", heartbeats=beats)
    first = told(agent, f"{path}/comments", body="Which week's incidents?", mentions=[me["id"]])
    told(admin, f"{path}/comments", body="The last one's.", parent_id=first["id"])
    other = mission("Write to the archive", due="2031-01-01T00:00:00Z")
    told(admin, f"{path}/dependencies", depends_on_id=other)
    told(admin, f"/api/missions/{other}/block", reason="wait")
    board = told(admin, "/api/boards", name="Incidents")
    told(admin, f"/api/boards/{board['id']}/columns", name="Later", stage="backlog", wip_limit=5)
    told(admin, f"/api/agents/{agent_id}/keys", name="second")
    member = {"email": "ada@example.org", "name": "Ada", "role": "viewer"}
    last = told(admin, "/api/members", **member)
    told(admin, "/api/ws/ticket")
    return {
        "agent_id": agent_id, "mission_id": path.split("/")[-1], "board_id": board["id"],
        "comment_id": first["id"], "position": last["position"],
    }  # fmt: skip


VALUES = {
    "name": "Incidents",
    "reason": "wait",
    "body": "Which?",
    "stage": "ready",
    "wip_limit": 3,
    "role": "viewer",
}
"""Members that commands must be given; any other is an id."""


def test_a_version_that_was_never_there_is_refused_by_just_the_commands_that_name_if_match(
    admin: httpx.Client, world: Json
) -> None:
    ids = {**world, "user_id": admin.get("/api/members/me").json()["id"]}
    refused = set()
    for method, path, operation in operations():
        if "Idempotency-Key" not in (named := headers(operation)):
            continue
        url = re.sub(r"{(\w+)}", lambda name: str(ids.get(name[1], uuid4())), path)
        schema = operation.get("requestBody", {}).get("content", {}).get(JSON, {}).get("schema", {})
        needed = resolved(schema).get("required", [])
        body = {name: VALUES.get(name, str(uuid4())) for name in needed}
        answer = admin.request(method, url, json=body, headers={"If-Match": '"999999999"'})
        check(answer)
        assert (answer.status_code == 412) == ("If-Match" in named), (method, path, answer.text)
        refused.add((answer.status_code, path))
    assert len([path for status, path in refused if status == 412]) > 20


def test_every_message_of_a_stream_is_as_described(admin: httpx.Client, world: Json) -> None:
    told = DOCUMENT["paths"][STREAM]["get"]["responses"]["200"]["content"]["text/event-stream"]
    heard = set()
    for pos in (0, 2**50):
        asked = {"room": ["workspace", "audit"], "pos": pos}
        with admin.stream("GET", STREAM, params=asked) as answer:
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    message = json.loads(line.removeprefix("data: "))
                    require(message, told["schema"])
                    heard.add(message["t"])
                if not pos and heard >= {"live", "presence"}:
                    break
    assert heard == {"connected", "ev", "live", "presence", "reset"}


# Generated requests ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def callers(admin: httpx.Client, agent_maker: Any) -> list[str]:
    """The admin's token and an agent's key."""
    _, agent = agent_maker("fuzzer")
    return [client.headers["authorization"] for client in (admin, agent)]


# By id, as xdist runs what has the same one but once.
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_generated_requests_get_an_answer_that_the_document_knows(
    operation: Any, system: Any, callers: list[str]
) -> None:
    # The admin is still needed by the others.
    asking = callers[1:] if operation.path == SIGN_OUT else callers

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        if case.query:
            case.query.pop("follow", None)  # an answer without an end
        wanted = (case.query or {}).get("min_position")
        if isinstance(wanted, int) and wanted > 0:
            # It would be waited for, for 5 s each time; tests/api/test_bad_input.py does that once.
            del case.query["min_position"]
        for authorization in asking:
            answer = case.call(
                base_url=system.url, headers={"authorization": authorization}, timeout=30
            )
            if answer.status_code == 503:  # a position that the log will not reach soon
                assert answer.json()["code"] == "not_caught_up"
                continue
            case.validate_response(answer, checks=CHECKS)

    ask()


# What answers are held to ----------------------------------------------------------------------


def operations() -> Iterator[tuple[str, str, Json]]:
    """Give each operation with its method and path."""
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def headers(operation: Json) -> dict[str, Json]:
    """Return the headers of a request that an operation describes, by name."""
    described = [resolved(one) for one in operation.get("parameters", [])]
    return {one["name"]: one for one in described if one["in"] == "header"}


def resolved(told: Json) -> Json:
    """Return what a reference to the document's components means, or of several alternatives the first."""
    if "anyOf" in told:
        return resolved(told["anyOf"][0])
    if "$ref" not in told:
        return told
    _, _, kind, name = told["$ref"].split("/")
    found: Json = DOCUMENT["components"][kind][name]
    return found


def check(answer: httpx.Response) -> tuple[str, int]:
    """Hold an answer to what the document says of it; return its path there, and its status."""
    path, method = answer.request.url.path, answer.request.method.lower()
    shapes = [
        name for name in DOCUMENT["paths"] if re.fullmatch(re.sub(r"{\w+}", "[^/]+", name), path)
    ]
    shape = min(shapes, key=lambda name: name.count("{"))
    told = resolved(DOCUMENT["paths"][shape][method]["responses"][str(answer.status_code)])
    assert set(told.get("headers", {})) <= {
        name.title().replace("Etag", "ETag") for name in answer.headers
    }
    if "content" not in told:
        assert not answer.content
        return shape, answer.status_code
    content = told["content"][answer.headers["content-type"].partition(";")[0]]
    if content["schema"] != {"type": "string"}:
        for text in [answer.text] if is_json(answer) else answer.text.splitlines():
            require(json.loads(text), content["schema"])
    return shape, answer.status_code


def is_json(answer: httpx.Response) -> bool:
    return answer.headers["content-type"] == JSON


def require(value: Any, schema: Json) -> None:
    """Hold a value to a schema, in which nothing may be that is not described."""
    Draft202012Validator(
        {**schema, "components": CLOSED}, format_checker=FormatChecker(["uuid"])
    ).validate(value)


def closed(schema: Any) -> Any:
    """Return a schema whose objects have no other members than are named."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    shut = {name: closed(one) for name, one in schema.items()}
    return shut | {"additionalProperties": False} if "properties" in schema else shut


CLOSED = closed(DOCUMENT["components"])
