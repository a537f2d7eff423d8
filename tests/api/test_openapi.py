"""The OpenAPI document, and whatever schemathesis makes of it: never a 500."""

import os
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from infra.web import web_app

# A stream that is granted does not end; tests/api/test_stream.py says what it answers to nonsense.
SCHEMA = schemathesis.openapi.from_dict(web_app().openapi()).exclude(path="/api/stream")
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES = int(os.environ.get("MC_TEST_EXAMPLES", "6"))


@pytest.fixture(scope="module")
def callers(admin: httpx.Client, agent_maker: Any) -> list[str]:
    """The admin's token and an agent's key."""
    _, agent = agent_maker("fuzzer")
    return [client.headers["authorization"] for client in (admin, agent)]


@SCHEMA.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_generated_requests_get_an_answer_that_the_document_knows(
    case: Any, system: Any, callers: list[str]
) -> None:
    if case.query:
        case.query.pop("follow", None)  # an answer without an end
    wanted = (case.query or {}).get("min_position")
    if isinstance(wanted, int) and wanted > 0:
        # It would be waited for, for 5 s each time; tests/api/test_bad_input.py does that once.
        del case.query["min_position"]
    for authorization in callers:
        answer = case.call(
            base_url=system.url, headers={"authorization": authorization}, timeout=30
        )
        if answer.status_code == 503:  # a position that the log will not reach soon
            assert answer.json()["code"] == "not_caught_up"
            continue
        case.validate_response(answer, checks=CHECKS)


def test_the_document_is_openapi_3_1_and_names_every_operation() -> None:
    document = web_app().openapi()
    assert document["openapi"].startswith("3.1")
    operations = [o for path in document["paths"].values() for o in path.values()]
    assert all(o.get("description") for o in operations)
