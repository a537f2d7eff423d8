"""`as_of`, and the log for auditors, as clients see them."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

Json = dict[str, Any]
MaybeAgent = Callable[..., tuple[str, httpx.Client]]
FOLLOW_S = 20


def create(client: httpx.Client, **fields: Any) -> Json:
    answer = client.post("/api/missions", json={"title": f"mission {uuid4().hex[:8]}", **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()  # type: ignore[no-any-return]


def edit(client: httpx.Client, mission_id: str, title: str) -> Json:
    answer = client.put(f"/api/missions/{mission_id}", json={"title": title})
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def read(client: httpx.Client, path: str, **query: Any) -> Json:
    answer = client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def lines(client: httpx.Client, **query: Any) -> list[Json]:
    answer = client.get("/api/events", params=query)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def of_now(client: httpx.Client, path: str, position: int, **query: Any) -> Json:
    return read(client, path, min_position=position, **query)


# as_of


def test_the_fleet_of_the_past_is_the_one_that_was_live_then(
    admin: httpx.Client, agent_maker: MaybeAgent
) -> None:
    first, _ = agent_maker(f"earlier {uuid4().hex[:6]}")
    live = admin.get("/api/agents", params={"limit": 200}).json()
    position = admin.get(f"/api/agents/{first}").json()["position"]
    admin.delete(f"/api/agents/{first}").raise_for_status()
    agent_maker(f"later {uuid4().hex[:6]}")
    then = read(admin, "/api/agents", as_of=position)
    assert [{**agent, "holds": None} for agent in then["items"]] == [
        {**agent, "seen_at": None, "holds": None} for agent in live["items"]
    ]
    assert then["next_cursor"] is None
    assert then["position"] == position


def test_what_an_agent_held_is_told_of_each_moment(
    admin: httpx.Client, agent_maker: MaybeAgent
) -> None:
    agent_id, agent = agent_maker(f"busy {uuid4().hex[:6]}")
    agent.post(f"/api/agents/{agent_id}/heartbeat").raise_for_status()
    first, second = create(admin), create(admin)

    def claim(mission: Json) -> Json:
        answer = agent.post(f"/api/missions/{mission['id']}/claim")
        assert answer.status_code == 200, answer.text
        return answer.json()  # type: ignore[no-any-return]

    one = claim(first)
    worked = agent.post(
        f"/api/missions/{first['id']}/progress",
        json={"lease_token": one["lease"]["token"], "percent": 40},
    ).json()
    two = claim(second)
    columns = read(admin, "/api/missions/board")["columns"]
    ready = next(each["id"] for each in columns if each["stage"] == "ready")
    moved = admin.put(f"/api/missions/{first['id']}/move", json={"column_id": ready}).json()
    token = {"lease_token": two["lease"]["token"]}
    released = agent.post(f"/api/missions/{second['id']}/release", json=token).json()
    again = claim(first)

    def held(position: int) -> tuple[str | None, dict[str, int]]:
        items = read(admin, "/api/agents", as_of=position)["items"]
        found = next(item for item in items if item["id"] == agent_id)
        return found["mission_id"], {one["id"]: one["progress_percent"] for one in found["holds"]}

    assert held(second["position"]) == (None, {})
    assert held(one["position"]) == (first["id"], {first["id"]: 0})
    assert held(worked["position"]) == (first["id"], {first["id"]: 40})
    assert held(two["position"]) == (second["id"], {second["id"]: 0, first["id"]: 40})
    assert held(moved["position"]) == (second["id"], {second["id"]: 0})
    assert held(released["position"]) == (None, {})
    assert held(again["position"]) == (first["id"], {first["id"]: 0})


def test_the_past_is_the_document_that_was_live_then(admin: httpx.Client) -> None:
    path = "/api/missions/board"
    made = create(admin, title="first", labels=["a"], priority="high")
    live = of_now(admin, path, made["position"])
    mission = of_now(admin, f"/api/missions/{made['id']}", made["position"])
    edit(admin, made["id"], "second")
    admin.delete(f"/api/missions/{made['id']}")
    then = read(admin, path, as_of=live["position"])
    assert then.pop("as_of")
    assert then == live
    past = read(admin, f"/api/missions/{made['id']}", as_of=mission["position"])
    assert past.pop("as_of")
    assert past == mission


def test_a_time_finds_the_last_position_at_or_before_it(admin: httpx.Client) -> None:
    made = create(admin, title="before")
    edit(admin, made["id"], "after")
    first, second = lines(admin, stream_id=made["id"])
    for event, title in ((first, "before"), (second, "after")):
        found = read(admin, f"/api/missions/{made['id']}", as_of=event["recorded_at"])
        assert (found["title"], found["position"]) == (title, event["position"])
        assert found["as_of"] == event["recorded_at"]


def test_the_past_is_kept_by_who_asked_and_by_nobody_between(admin: httpx.Client) -> None:
    made = create(admin)
    for path in ("/api/missions/board", f"/api/missions/{made['id']}"):
        answer = admin.get(path, params={"as_of": made["position"]})
        assert answer.headers["cache-control"] == "no-store"
        etag = answer.headers["etag"]
        again = admin.get(path, params={"as_of": made["position"]}, headers={"if-none-match": etag})
        assert (again.status_code, again.content) == (304, b"")
        edit(admin, made["id"], uuid4().hex)
        assert admin.get(path, params={"as_of": made["position"]}).headers["etag"] == etag


def test_a_version_of_the_past_says_nothing_to_another_workspace(
    admin: httpx.Client, stranger: httpx.Client, agent_maker: MaybeAgent
) -> None:
    agent_maker(f"ours {uuid4().hex[:6]}")
    then = {"as_of": create(admin)["position"]}
    for path in ("/api/missions/board", "/api/agents"):
        known = {"if-none-match": admin.get(path, params=then).headers["etag"]}
        theirs = stranger.get(path, params=then, headers=known)
        assert theirs.status_code == 200
        assert theirs.headers["etag"] != known["if-none-match"]


@pytest.mark.parametrize(
    "path", ["/api/missions/board", "/api/members", "/api/search?q=x", "/api/nothing", "/metrics"]
)
def test_an_answer_is_kept_by_nobody_and_taken_for_what_it_is(
    admin: httpx.Client, path: str
) -> None:
    headers = admin.get(path).headers
    assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")


def test_what_did_not_exist_then_is_not_found(admin: httpx.Client) -> None:
    before = create(admin)["position"]
    board = admin.post("/api/boards", json={"name": f"b {uuid4().hex[:8]}"}).json()
    made = create(admin, board_id=board["id"])
    deleted = admin.delete(f"/api/missions/{made['id']}").json()["position"]
    mission = f"/api/missions/{made['id']}"
    assert admin.get(mission, params={"as_of": before}).status_code == 404
    assert admin.get(mission, params={"as_of": made["position"]}).status_code == 200
    assert admin.get(mission, params={"as_of": deleted}).status_code == 404
    query = {"board_id": board["id"], "as_of": before}
    gone = admin.get("/api/missions/board", params=query)
    assert (gone.status_code, gone.json()["field"]) == (404, "board_id")
    assert admin.get("/api/missions/board", params={"as_of": 0}).status_code == 404
    then = read(admin, "/api/missions/board", board_id=board["id"], as_of=deleted)
    assert not any(column["cards"] for column in then["columns"])


@pytest.mark.parametrize(
    "as_of",
    ["", "x", "-1", "1.5", "9" * 15, "9" * 30, "٣", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z",
     "2999-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00", "now", "null", "x" * 5000, "1\x00"],
)  # fmt: skip
def test_nonsense_and_the_future_are_refused_by_name(admin: httpx.Client, as_of: str) -> None:
    made = create(admin)
    for path in ("/api/missions/board", f"/api/missions/{made['id']}"):
        answer = admin.get(path, params={"as_of": as_of})
        assert (answer.status_code, answer.json()["field"]) == (422, "as_of"), answer.text


@pytest.mark.parametrize("as_of", ["0001-01-01T00:00:00+14:00", "1970-01-01T00:00:00Z", "0"])
def test_before_the_first_event_there_was_nothing(admin: httpx.Client, as_of: str) -> None:
    for path in ("/api/missions/board", f"/api/missions/{create(admin)['id']}"):
        assert admin.get(path, params={"as_of": as_of}).status_code == 404


def test_every_member_sees_the_past_and_no_stranger_does(
    admin: httpx.Client, people: dict[str, httpx.Client], stranger: httpx.Client, system: Any
) -> None:
    made = create(admin)
    query = {"as_of": made["position"]}
    board_id = read(admin, "/api/missions/board", **query)["id"]
    for path in (f"/api/missions/{made['id']}", f"/api/missions/board?board_id={board_id}"):
        url = httpx.URL(path).copy_merge_params(query)
        for client in people.values():
            assert client.get(url).status_code == 200
        assert stranger.get(url).status_code == 404
        assert system.client().get(url).status_code == 401


# One event, and the density


def test_an_event_names_what_caused_it_and_what_it_caused(admin: httpx.Client) -> None:
    first, second = create(admin), create(admin)
    admin.post(f"/api/missions/{second['id']}/dependencies", json={"depends_on_id": first["id"]})
    board = read(admin, "/api/missions/board", min_position=second["position"])
    done = next(column["id"] for column in board["columns"] if column["stage"] == "done")
    moved = admin.put(f"/api/missions/{first['id']}/move", json={"column_id": done}).json()
    met = _eventually(
        lambda: lines(admin, stream_id=second["id"], type="mission.dependency_met.v1")
    )[0]
    found = read(admin, f"/api/events/{met['position']}")
    assert found["event"] == met
    (cause,) = found["caused_by"]
    assert (cause["stream_id"], cause["type"]) == (first["id"], "mission.completed.v1")
    assert cause["position"] == moved["position"]
    assert found["caused"] == [] == found["more"]
    behind = read(admin, f"/api/events/{cause['position']}")
    assert [event["position"] for event in behind["caused"]] == [met["position"]]
    assert [event["type"] for event in behind["command"]] == ["mission.moved.v1"]
    assert {event["position"] for event in behind["correlation"]} == {
        cause["position"] - 1, met["position"],
    }  # fmt: skip


@pytest.mark.parametrize("position", ["0", "-1", "99999999999", "9" * 40])
def test_a_position_without_an_event_is_not_found(admin: httpx.Client, position: str) -> None:
    assert admin.get(f"/api/events/{position}").status_code == 404


def test_density_counts_every_event_of_the_workspace_once(
    admin: httpx.Client, people: dict[str, httpx.Client]
) -> None:
    made = create(admin)
    found = read(people["viewer"], "/api/events/density", min_position=made["position"], buckets=7)
    log = lines(admin)
    counted = [bucket for bucket in found["buckets"] if bucket["events"]]
    upto = found["buckets"][-1]["as_of"]
    assert upto >= made["position"]
    assert sum(bucket["events"] for bucket in counted) == sum(e["position"] <= upto for e in log)
    assert len(found["buckets"]) <= 7
    for bucket in counted:
        inside = [e for e in log if bucket["first_position"] <= e["position"] <= bucket["last_position"]]  # fmt: skip
        assert len(inside) == bucket["events"]
        assert min(
            datetime.fromisoformat(e["recorded_at"]) for e in inside
        ) >= datetime.fromisoformat(bucket["start"])


def test_density_has_its_bounds_in_whole_minutes(admin: httpx.Client) -> None:
    made = create(admin)
    query = {
        "since": "2020-01-01T00:00:30Z", "until": "2020-01-01T01:00:30Z", "buckets": 10,
        "min_position": made["position"],
    }  # fmt: skip
    found = read(admin, "/api/events/density", **query)
    assert found["bucket_s"] % 60 == 0
    assert found["buckets"][0]["start"] == "2020-01-01T00:00:00Z"
    assert len(found["buckets"]) <= 10
    assert {(b["events"], b["first_position"], b["as_of"]) for b in found["buckets"]} == {
        (0, None, 0)
    }
    later = read(admin, "/api/events/density", since="2990-01-01T00:00:00Z")
    assert later["buckets"] == []
    ahead = read(
        admin, "/api/events/density", since="2990-01-01T00:00:00Z", until="2990-01-01T00:09:00Z"
    )
    assert ahead["buckets"][0]["as_of"] >= made["position"], "an empty time has the past before it"


def test_the_density_of_a_board_is_of_its_own_events_from_its_beginning(
    admin: httpx.Client, people: dict[str, httpx.Client]
) -> None:
    board = admin.post("/api/boards", json={"name": f"b {uuid4().hex[:8]}"}).json()
    made = create(admin, board_id=board["id"])
    create(admin)
    said = admin.post(f"/api/missions/{made['id']}/comments", json={"body": "a word"})
    own = read(admin, "/api/missions/board")
    elsewhere = own["columns"][0]["id"]
    moved = admin.put(
        f"/api/missions/{made['id']}/move", json={"column_id": elsewhere, "board_id": own["id"]}
    ).json()
    edit(admin, made["id"], "no longer here")
    query = {"board_id": board["id"], "min_position": moved["position"]}
    found = read(people["viewer"], "/api/events/density", **query)
    assert found["position"] >= moved["position"]
    counted = [bucket for bucket in found["buckets"] if bucket["events"]]
    assert sum(bucket["events"] for bucket in counted) == 4
    assert counted[0] == found["buckets"][0]
    assert counted[0]["first_position"] == board["position"] < said.json()["position"]
    assert counted[-1]["last_position"] == counted[-1]["as_of"] == moved["position"]
    past = {"since": "2020-01-01T00:00:00Z", "until": "2020-01-01T01:00:00Z"}
    before = read(admin, "/api/events/density", **query, **past)
    assert {bucket["as_of"] for bucket in before["buckets"]} == {0}


def test_a_board_that_is_not_there_or_elsewhere_has_no_density(
    admin: httpx.Client, stranger: httpx.Client
) -> None:
    made = create(admin)
    own = read(admin, "/api/missions/board", min_position=made["position"])["id"]
    query = {"min_position": made["position"]}
    assert read(admin, "/api/events/density", board_id=own, **query)["buckets"]
    for client, board_id in ((stranger, own), (admin, str(uuid4()))):
        assert read(client, "/api/events/density", board_id=board_id, **query)["buckets"] == []


@pytest.mark.parametrize(
    ("field", "value"),
    [("board_id", "mine"), ("since", "yesterday"), ("since", "2026-01-01T00:00:00"), ("until", "9999-12-31T23:59:59Z"),
     ("until", "2019-01-01T00:00:00Z"), ("buckets", "0"), ("buckets", "100000")],
)  # fmt: skip
def test_a_bad_bound_of_the_density_is_named(admin: httpx.Client, field: str, value: str) -> None:
    query = {"since": "2020-01-01T00:00:00Z", "until": "2020-01-02T00:00:00Z", field: value}
    answer = admin.get("/api/events/density", params=query)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


# The stream


def test_filters_choose_and_leave_prev_as_it_is(
    admin: httpx.Client, agent_maker: MaybeAgent
) -> None:
    agent_id, agent = agent_maker(f"filtered {uuid4().hex[:6]}")
    made = create(admin)
    claim = agent.post(f"/api/missions/{made['id']}/claim", json={})
    assert claim.status_code == 200, claim.text
    log = lines(admin)
    by_position = {event["position"]: event for event in log}
    assert [e["prev"] for e in log[1:]] == [e["position"] for e in log[:-1]]
    by_actor = lines(admin, actor_id=agent_id)
    assert by_actor == [e for e in log if e["actor"]["id"] == agent_id] != []
    for noun in ("mission.", "agent.", "user."):
        assert lines(admin, type=f"{noun}*") == [e for e in log if e["type"].startswith(noun)]
    two = ["mission.created.v1", "agent.registered.v1"]
    assert lines(admin, type=two) == [e for e in log if e["type"] in two]
    stream = lines(admin, stream_id=made["id"])
    assert [by_position[e["position"]] for e in stream] == stream
    assert [e["type"] for e in stream] == ["mission.created.v1", "mission.claimed.v1"]
    assert lines(admin, stream_id=made["id"], **{"from": stream[0]["position"]}) == stream[1:]
    assert lines(admin, stream_id=made["id"], limit=1) == stream[:1]
    assert lines(admin, type="mission_created") == [], "an underscore is no wild card"
    since, until = (event["recorded_at"] for event in stream)
    assert lines(admin, since=since, until=until) == [
        event for event in log if since <= event["recorded_at"] <= until
    ]
    assert lines(admin, since="2990-01-01T00:00:00Z") == []
    assert lines(admin, until="1990-01-01T00:00:00Z") == []


@pytest.mark.parametrize(
    ("field", "query"),
    [("actor_id", {"actor_id": "me"}), ("type.0", {"type": "mission.%"}), ("type.0", {"type": "*"}),
     ("stream_id", {"stream_id": "1"}), ("since", {"since": "2026-01-01"}),
     ("until", {"until": "2026-01-01T00:00:00Z", "follow": "true"}),
     ("until", {"since": "2026-01-01T00:00:01Z", "until": "2026-01-01T00:00:00Z"}), ("follow", {"follow": "perhaps"}),
     ("from", {"from": "-1"}), ("from", {"from": "1000000"}), ("from", {"from": "1000000", "follow": "true"}),
     ("log_id", {"log_id": str(uuid4())}), ("limit", {"limit": "0"}), ("type", {"type": ["a"] * 21})],
)  # fmt: skip
def test_a_bad_filter_is_named(admin: httpx.Client, field: str, query: Json) -> None:
    answer = admin.get("/api/events", params=query)
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text


def test_a_cloudevent_has_everything_that_the_envelope_has(admin: httpx.Client) -> None:
    made = create(admin)
    (envelope,) = lines(admin, stream_id=made["id"])
    accept = {"accept": "application/cloudevents+json"}
    answer = admin.get("/api/events", params={"stream_id": made["id"]}, headers=accept)
    event = json.loads(answer.text)
    assert event["specversion"] == "1.0"
    assert (event["id"], event["type"], event["subject"], event["time"], event["data"]) == (
        envelope["event_id"], envelope["type"], made["id"], envelope["recorded_at"], envelope["data"],
    )  # fmt: skip
    assert event["source"] == f"urn:mission-control:log:{envelope['log_id']}"
    extensions = set(event) - {
        "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data",
    }  # fmt: skip
    assert all(name.isalnum() and name.islower() and len(name) <= 20 for name in extensions)
    given = {str(event[name]) for name in extensions}
    lost = {"log_id", "event_id", "stream_id", "type", "recorded_at", "data", "actor"}
    for name in set(envelope) - lost:
        assert envelope[name] is None or str(envelope[name]) in given


def test_an_event_is_one_line_whatever_it_says(admin: httpx.Client) -> None:
    made = create(admin, description="a\u2028b\u2029c\x85d")
    (event,) = lines(admin, stream_id=made["id"])
    assert event["data"]["content"]["description"] == "a\u2028b\u2029c\x85d"


# Following


def follow(client: httpx.Client, into: list[Json], **query: Any) -> None:
    with client.stream("GET", "/api/events", params={"follow": "true", **query}) as answer:
        assert answer.status_code == 200
        # Compressed, a stream would begin with its first event only.
        assert "content-encoding" not in answer.headers
        into.extend(json.loads(line) for line in answer.iter_lines() if line)


@pytest.fixture
def followers() -> Iterator[Callable[..., tuple[threading.Thread, list[Json]]]]:
    threads: list[threading.Thread] = []

    def start(client: httpx.Client, **query: Any) -> tuple[threading.Thread, list[Json]]:
        seen: list[Json] = []
        threads.append(threading.Thread(target=follow, args=(client, seen), kwargs=query))
        threads[-1].start()
        return threads[-1], seen

    yield start
    for thread in threads:
        thread.join(FOLLOW_S)
        assert not thread.is_alive()


def test_a_follower_sees_each_event_once_in_order_while_others_write(
    admin: httpx.Client, followers: Any
) -> None:
    start = create(admin)["position"]
    thread, seen = followers(admin, limit=80, **{"from": start})
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: create(admin), range(80)))
    thread.join(FOLLOW_S)
    assert len(seen) == 80
    assert [event["prev"] for event in seen] == [start, *(e["position"] for e in seen[:-1])]


def test_a_follower_of_a_time_to_come_hears_nothing_from_before_it(
    admin: httpx.Client, followers: Any
) -> None:
    def recorded(mission: Json) -> datetime:
        return datetime.fromisoformat(lines(admin, stream_id=mission["id"])[0]["recorded_at"])

    first = create(admin)
    since = recorded(first) + timedelta(seconds=2)
    thread, seen = followers(admin, limit=2, since=since.isoformat())
    _eventually(lambda: recorded(create(admin)) >= since)
    create(admin)
    thread.join(FOLLOW_S)
    later = lines(admin, since=since.isoformat())
    assert seen == later[:2]
    assert {datetime.fromisoformat(event["recorded_at"]) >= since for event in seen} == {True}


def test_a_filtered_follower_hears_of_nothing_else(admin: httpx.Client, followers: Any) -> None:
    made = create(admin)
    thread, seen = followers(
        admin, limit=2, type="mission.edited.v1", stream_id=made["id"], **{"from": made["position"]}
    )
    for number in range(2):
        create(admin)
        edit(admin, made["id"], f"title {number}")
    thread.join(FOLLOW_S)
    assert [event["data"]["content"]["title"] for event in seen] == ["title 0", "title 1"]


def test_a_follow_ends_when_its_rights_are_lost(
    system: Any, admin: httpx.Client, followers: Any
) -> None:
    email, password = f"{uuid4().hex[:8]}@example.org", "correct horse battery staple"
    body = {"email": email, "name": "Auditor", "role": "admin", "password": password}
    member = admin.post("/api/members", json=body).json()
    auditor = system.sign_in(email, password, "Mission Control")
    start = create(admin)["position"]
    thread, seen = followers(auditor, **{"from": start})
    create(admin)
    _eventually(lambda: seen)
    lowered = admin.put(f"/api/members/{member['id']}/role", json={"role": "viewer"})
    assert lowered.status_code == 200, lowered.text
    thread.join(FOLLOW_S)
    assert not thread.is_alive()
    assert [event["type"] for event in seen] == ["mission.created.v1"]


def test_a_follower_of_one_workspace_hears_nothing_of_another(
    admin: httpx.Client, stranger: httpx.Client, followers: Any
) -> None:
    ours, theirs = create(admin), create(stranger)
    thread, seen = followers(stranger, limit=1, **{"from": max(ours["position"], theirs["position"])})  # fmt: skip
    create(admin)
    mine = create(stranger)
    thread.join(FOLLOW_S)
    assert [event["stream_id"] for event in seen] == [mine["id"]]


def _eventually(ask: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + FOLLOW_S
    while not (found := ask()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found
