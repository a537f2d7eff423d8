"""Analytics over HTTP: who may ask, what is refused, and a whole life in figures."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any
from uuid import uuid4

import httpx
import pytest

SERIES = ("flow", "throughput", "cycle-time", "utilisation", "response-time")


def ask(client: httpx.Client, name: str, **parameters: Any) -> Any:
    answer = client.get(f"/api/analytics/{name}", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_life_in_figures(
    people: dict[str, httpx.Client],
    stranger: httpx.Client,
    agent_maker: Callable[..., tuple[str, httpx.Client]],
) -> None:
    admin = people["admin"]
    agent_id, agent = agent_maker("measured")
    mission = admin.post("/api/missions", json={"title": "measured"}).json()["id"]
    lease = agent.post(f"/api/missions/{mission}/claim").json()["lease"]["token"]
    agent.post(f"/api/missions/{mission}/submit", json={"lease_token": lease, "summary": "done"})
    done = admin.post(f"/api/missions/{mission}/approve").json()
    now = {"min_position": done["position"], "bucket": "hour"}

    assert ask(admin, "flow", **now)["buckets"][-1]["counts"]["done"] == 1
    assert ask(admin, "throughput", **now)["completed"] == 1
    cycle = ask(admin, "cycle-time", **now)
    assert cycle["lead"]["count"] == cycle["cycle"]["count"] == 1
    assert 0 < cycle["cycle"]["p95_s"] < cycle["lead"]["p95_s"] < 60
    response = ask(admin, "response-time", **now)
    assert response["review"]["count"] == response["claim"]["count"] == 1
    assert [one["agent_id"] for one in ask(admin, "utilisation", **now)["agents"]] == [agent_id]
    figures = admin.get(f"/api/agents/{agent_id}/metrics").json()
    assert (figures["completed"], figures["submitted"], figures["approved"]) == (1, 1, 1)
    assert 0 < figures["busy_s"] < 60 and 0 < figures["share"] < 0.01

    assert ask(stranger, "throughput", **now)["completed"] == 0
    assert ask(stranger, "utilisation", **now)["agents"] == []
    assert stranger.get(f"/api/agents/{agent_id}/metrics").status_code == 404
    assert ask(admin, "throughput", board_id=str(uuid4()))["completed"] == 0


@pytest.mark.parametrize("name", SERIES)
def test_analytics_are_for_those_who_may_view_them(
    name: str, people: dict[str, httpx.Client]
) -> None:
    answers = {
        role: client.get(f"/api/analytics/{name}").status_code for role, client in people.items()
    }
    assert answers == {
        "viewer": 403, "agent_operator": 200, "mission_commander": 200, "admin": 200,
    }  # fmt: skip


def test_an_agents_figures_are_for_everybody_who_reads(
    people: dict[str, httpx.Client], agent_maker: Callable[..., tuple[str, httpx.Client]]
) -> None:
    agent_id, agent = agent_maker("looked at")
    for client in (*people.values(), agent):
        answer = client.get(f"/api/agents/{agent_id}/metrics")
        assert answer.status_code == 200 and answer.json()["completed"] == 0
    assert agent.get(f"/api/agents/{uuid4()}/metrics").status_code == 404


@pytest.mark.parametrize("name", SERIES)
@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"since": "yesterday"}, "since"), ({"since": "2026-01-01T00:00:00"}, "since"),
        ({"until": "0001-01-01T00:00:00Z"}, "until"), ({"until": "9999-12-31T23:59:59Z"}, "until"),
        ({"since": "9999-12-31T23:59:59Z"}, "since"), ({"since": "0001-01-01T00:00:00+14:00"}, "since"),
        ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "until"),
        ({"since": "2150-01-01T00:00:00Z"}, "since"),
        ({"since": "2026-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "until"),
        ({"since": "2020-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z", "bucket": "day"}, "bucket"),
        ({"bucket": "minute"}, "bucket"), ({"board_id": "1"}, "board_id"), ({"min_position": "x"}, "min_position"),
    ],
)  # fmt: skip
def test_a_bad_range_names_its_field(
    name: str, parameters: dict[str, str], field: str, admin: httpx.Client
) -> None:
    answer = admin.get(f"/api/analytics/{name}", params=parameters)
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text


def test_buckets_are_whole_and_cover_the_range(admin: httpx.Client) -> None:
    span = {"since": "2026-03-04T10:30:00+01:00", "until": "2026-03-10T00:00:00Z"}
    for bucket, first, count in (
        ("hour", "2026-03-04T09:00:00Z", 135), ("day", "2026-03-04T00:00:00Z", 6),
        ("week", "2026-03-02T00:00:00Z", 2),
    ):  # fmt: skip
        buckets = ask(admin, "throughput", **span, bucket=bucket)["buckets"]
        assert (buckets[0]["since"], len(buckets)) == (first, count)
        assert all(one["until"] == after["since"] for one, after in pairwise(buckets))
