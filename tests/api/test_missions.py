"""From a command to the board, as people and agents see it."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest

Json = dict[str, Any]


def board(client: httpx.Client, position: int = 0, **query: Any) -> Json:
    answer = client.get("/api/missions/board", params={"min_position": position, **query})
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def column(shown: Json, stage: str) -> Json:
    return next(c for c in shown["columns"] if c["stage"] == stage)


def titles(shown: Json, stage: str) -> list[str]:
    return [card["title"] for card in column(shown, stage)["cards"]]


def create(client: httpx.Client, **fields: Any) -> Json:
    answer = client.post("/api/missions", json={"title": f"mission {uuid4().hex[:8]}", **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def agents(agent_maker: Callable[..., tuple[str, httpx.Client]]) -> list[tuple[str, httpx.Client]]:
    return [agent_maker(f"agent {uuid4().hex[:6]}") for _ in range(2)]


def test_a_title_alone_makes_a_card_in_the_ready_column(admin: httpx.Client) -> None:
    made = create(admin, title="Only a title")
    shown = board(admin, made["position"])
    assert "Only a title" in titles(shown, "ready")
    assert set(shown) >= {"id", "name", "position", "columns"}
    assert shown["position"] >= made["position"]


def test_work_goes_from_claim_to_done(
    admin: httpx.Client, agents: list[tuple[str, httpx.Client]]
) -> None:
    agent_id, agent = agents[0]
    made = create(admin, title="Whole way", priority="urgent")
    claim = agent.post("/api/missions/claim").json()
    assert claim["mission"]["id"] == made["id"]
    token = claim["lease"]["token"]
    path = f"/api/missions/{made['id']}"
    moved = agent.post(f"{path}/progress", json={"lease_token": token, "percent": 40})
    assert moved.status_code == 200
    assert agent.post(f"{path}/renew", json={"lease_token": token}).status_code == 200
    handed = agent.post(f"{path}/submit", json={"lease_token": token, "summary": "done"})
    assert handed.status_code == 200, handed.text
    assert admin.post(f"{path}/approve").status_code == 200
    shown = admin.get(path, params={"min_position": handed.json()["position"] + 2}).json()
    assert (shown["stage"], shown["completed"], shown["submitted_by"]) == ("done", True, agent_id)


def test_whoever_takes_up_what_was_sent_back_is_told_why(
    admin: httpx.Client, agents: list[tuple[str, httpx.Client]]
) -> None:
    path = f"/api/missions/{create(admin)['id']}"
    reason = "One wall is missing."
    (_, first), (_, second) = agents[:2]
    token = first.post(f"{path}/claim").json()["lease"]["token"]
    first.post(f"{path}/submit", json={"lease_token": token, "summary": "done"})
    sent = admin.post(f"{path}/reject", json={"reason": reason}).json()
    assert (
        admin.get(path, params={"min_position": sent["position"]}).json()["sent_back_reason"]
        == reason
    )
    claim = second.post(f"{path}/claim").json()
    assert claim["mission"]["sent_back_reason"] == reason
    token = claim["lease"]["token"]
    handed = second.post(f"{path}/submit", json={"lease_token": token, "summary": "now"}).json()
    shown = admin.get(path, params={"min_position": handed["position"]}).json()
    assert shown["sent_back_reason"] is None
    assert admin.delete(path).status_code == 200


@pytest.mark.parametrize("action", ["release", "progress", "submit", "fail"])
def test_a_stale_token_is_refused_on_every_write(
    action: str, admin: httpx.Client, agents: list[tuple[str, httpx.Client]]
) -> None:
    _, agent = agents[0]
    made = create(admin)
    path = f"/api/missions/{made['id']}"
    token = agent.post(f"{path}/claim").json()["lease"]["token"]
    assert agent.post(f"{path}/release", json={"lease_token": token}).status_code == 200
    again = agents[1][1].post(f"{path}/claim").json()["lease"]["token"]
    assert again > token
    bodies = {"progress": {"percent": 1}, "submit": {"summary": "s"}, "fail": {"reason": "r"}}
    for stale in (token, again):
        body = {"lease_token": stale, **bodies.get(action, {})}
        answer = agent.post(f"{path}/{action}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (409, "lease_lost")
    assert agent.post(f"{path}/renew", json={"lease_token": token}).status_code == 409
    assert admin.delete(path).status_code == 200


@pytest.mark.parametrize("action", ["progress", "submit", "fail", "release", "renew"])
def test_the_holder_who_sends_no_token_is_told_so(
    action: str, admin: httpx.Client, agents: list[tuple[str, httpx.Client]]
) -> None:
    (_, agent), (_, other) = agents[:2]
    path = f"/api/missions/{create(admin)['id']}"
    token = agent.post(f"{path}/claim").json()["lease"]["token"]
    bodies = {"progress": {"percent": 1}, "submit": {"summary": "s"}, "fail": {"reason": "r"}}
    body = bodies.get(action, {})
    told = agent.post(f"{path}/{action}", json=body)
    assert (told.status_code, told.json()["code"], told.json()["field"]) == (
        422, "lease_token_missing", "lease_token",
    )  # fmt: skip
    assert "Lease-Token" in told.json()["detail"]
    lost = other.post(f"{path}/{action}", json=body)
    assert (lost.status_code, lost.json()["code"]) == (409, "lease_lost")
    by_header = agent.post(f"{path}/{action}", json=body, headers={"Lease-Token": str(token)})
    assert by_header.status_code == 200, by_header.text
    assert admin.delete(path).status_code == 200


def test_a_deactivated_agent_gives_back_what_it_holds_and_does_nothing_else(
    admin: httpx.Client, agent_maker: Callable[..., tuple[str, httpx.Client]]
) -> None:
    agent_id, agent = agent_maker("to be deactivated")
    made = create(admin, title="Held")
    path = f"/api/missions/{made['id']}"
    token = {"lease_token": agent.post(f"{path}/claim").json()["lease"]["token"]}
    off = admin.post(f"/api/agents/{agent_id}/deactivate")
    assert off.status_code == 200, off.text
    for action, body in {
        f"{path}/progress": {**token, "percent": 1},
        f"{path}/renew": token,
        f"{path}/submit": {**token, "summary": "x"},
        f"{path}/fail": {**token, "reason": "x"},
        f"{path}/claim": {},
        f"{path}/comments": {"body": "x"},
        "/api/missions/claim": {},
        f"/api/agents/{agent_id}/heartbeat": {"state": "available"},
    }.items():
        assert agent.post(action, json=body).status_code == 403, action
    wrong = agent.post(f"{path}/release", json={"lease_token": token["lease_token"] + 1})
    assert (wrong.status_code, wrong.json()["code"]) == (409, "lease_lost")
    given = agent.post(f"{path}/release", json=token)
    # Where that was not within a second, it was taken back.
    assert given.status_code == 200 or given.json()["code"] == "lease_lost", given.text
    position = admin.get("/health/ready").json()["position"]
    shown = admin.get(path, params={"min_position": position}).json()
    assert (shown["holder"], shown["stage"]) == (None, "ready")


def test_64_moves_at_once_into_a_column_limited_to_5_leave_5(admin: httpx.Client) -> None:
    shown = board(admin)
    added = admin.post(
        f"/api/boards/{shown['id']}/columns",
        json={"name": f"Narrow {uuid4().hex[:6]}", "stage": "active", "wip_limit": 5},
    )
    assert added.status_code == 201, added.text
    narrow = added.json()["column_id"]
    made = [create(admin)["id"] for _ in range(64)]

    def move(key: str) -> httpx.Response:
        return admin.put(f"/api/missions/{key}/move", json={"column_id": narrow})

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(move, made))
    assert sorted({a.status_code for a in answers}) == [200, 409]
    assert sum(a.status_code == 200 for a in answers) == 5
    assert {a.json()["code"] for a in answers if a.status_code == 409} == {"wip_limit_reached"}
    last = max(a.json()["position"] for a in answers if a.status_code == 200)
    cards = next(c for c in board(admin, last)["columns"] if c["id"] == narrow)["cards"]
    assert len(cards) == 5
    for key in made:
        admin.delete(f"/api/missions/{key}")


def test_two_opposite_dependencies_at_once_leave_one(admin: httpx.Client) -> None:
    first, second = create(admin)["id"], create(admin)["id"]

    def ask(waiting: str, depends_on: str) -> int:
        path = f"/api/missions/{waiting}/dependencies"
        return admin.post(path, json={"depends_on_id": depends_on}).status_code

    with ThreadPoolExecutor(2) as pool:
        answers = [
            f.result() for f in (pool.submit(ask, first, second), pool.submit(ask, second, first))
        ]
    assert sorted(answers) == [200, 409]


def test_a_retry_with_its_key_gets_the_first_answer_and_another_body_422(
    admin: httpx.Client,
) -> None:
    headers = {"Idempotency-Key": uuid4().hex}
    first = admin.post("/api/missions", json={"title": "once"}, headers=headers)
    again = admin.post("/api/missions", json={"title": "once"}, headers=headers)
    other = admin.post("/api/missions", json={"title": "twice"}, headers=headers)
    assert first.json() == again.json()
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_who_repeats_what_had_a_secret_is_told_what_was_made(
    admin: httpx.Client, agents: list[tuple[str, httpx.Client]]
) -> None:
    member = {"email": "once@example.org", "name": "Once", "role": "viewer"}
    for path, body, secret in (
        ("/api/members", member, "secret"),
        (f"/api/agents/{agents[0][0]}/keys", {"name": "once"}, "key"),
    ):
        headers = {"Idempotency-Key": uuid4().hex}
        made, again = (admin.post(path, json=body, headers=headers) for _ in range(2))
        assert made.status_code == 201, made.text
        assert (again.status_code, again.json()["code"]) == (409, "secret_shown_once")
        assert again.json()["id"] == made.json()["id"]
        assert made.json()[secret] not in again.text
    revoked = admin.delete(f"{path}/{again.json()['id']}")
    assert revoked.status_code == 200, revoked.text


def test_an_edit_of_an_old_version_is_refused_with_412(admin: httpx.Client) -> None:
    made = create(admin)
    path = f"/api/missions/{made['id']}"
    first = admin.put(path, json={"title": "one"}, headers={"If-Match": '"1"'})
    assert (first.status_code, first.headers["etag"]) == (200, '"2"')
    stale = admin.put(path, json={"title": "two"}, headers={"If-Match": '"1"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")


def test_cards_keep_the_order_that_they_were_dragged_into(admin: httpx.Client) -> None:
    new = admin.post("/api/boards", json={"name": f"Order {uuid4().hex[:6]}"}).json()
    ready = column(board(admin, new["position"], board_id=new["id"]), "ready")["id"]
    made = [create(admin, board_id=new["id"], title=str(n))["id"] for n in range(4)]
    admin.put(f"/api/missions/{made[3]}/move", json={"column_id": ready, "before": made[0]})
    last = admin.put(f"/api/missions/{made[0]}/move", json={"column_id": ready, "after": made[2]})
    assert titles(board(admin, last.json()["position"], board_id=new["id"]), "ready") == list(
        "3120"
    )


def test_a_hundred_drags_into_the_same_gap_keep_the_order(admin: httpx.Client) -> None:
    new = admin.post("/api/boards", json={"name": f"Gap {uuid4().hex[:6]}"}).json()
    ready = column(board(admin, new["position"], board_id=new["id"]), "ready")["id"]
    first, second, third = (create(admin, board_id=new["id"], title=t)["id"] for t in "abc")
    for turn in range(300):
        moving, before = (second, third) if turn % 2 else (third, second)
        answer = admin.put(
            f"/api/missions/{moving}/move", json={"column_id": ready, "before": before}
        )
        assert answer.status_code == 200, answer.text
    assert titles(board(admin, answer.json()["position"], board_id=new["id"]), "ready") == list(
        "abc"
    )
    assert first


def test_the_log_is_gapless_in_the_eyes_of_its_workspace(admin: httpx.Client) -> None:
    create(admin)
    lines = admin.get("/api/events", params={"from": 0}).text.splitlines()
    events = [json.loads(line) for line in lines]
    before = 0
    for event in events:
        assert event["prev"] == before
        before = event["position"]
    assert events[0]["type"] == "workspace.created.v1"
    assert {"log_id", "event_id", "actor", "recorded_at", "data"} <= set(events[0])
