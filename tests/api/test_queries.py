"""Queries: filters, orders, cursors, who sees what; and nonsense, which names its field."""

import base64
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.api.conftest import System

Json = dict[str, Any]
AgentMaker = Callable[..., tuple[str, httpx.Client]]
LISTS = {
    "/api/agents": ("name", "created_at", "updated_at"),
    "/api/missions": ("created_at", "updated_at", "due", "priority", "title", "rank"),
    "/api/boards": ("created_at",),
    "/api/activity": ("position",),
    "/api/inbox": ("position",),
    "/api/members": ("joined_at", "name"),
    "/api/presence": ("name",),
}


def get(client: httpx.Client, path: str, **query: Any) -> Json:
    answer = client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def post(client: httpx.Client, path: str, **body: Any) -> Json:
    answer = client.post(path, json=body)
    assert answer.status_code in {200, 201}, answer.text
    return answer.json()  # type: ignore[no-any-return]


def pages(client: httpx.Client, path: str, **query: Any) -> Iterator[Json]:
    cursor: Json = {}
    while True:
        page = get(client, path, **query, **cursor)
        yield from page["items"]
        if page["next_cursor"] is None:
            return
        cursor = {"cursor": page["next_cursor"]}


def ids(client: httpx.Client, path: str, **query: Any) -> list[str]:
    return [item["id"] for item in get(client, path, **query)["items"]]


def _subject(client: httpx.Client) -> str:
    token = client.headers["authorization"].split()[1].split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(token + "=="))["sub"])


@pytest.fixture(scope="module")
def seeded(admin: httpx.Client, agent_maker: AgentMaker) -> Json:
    """Missions of every sort, an agent that holds one, and the position behind them all."""
    priorities = ["low", "normal", "high", "urgent"]
    made = [
        post(
            admin, "/api/missions", title=f"{'bB'[n % 2]} {n:02}", priority=priorities[n % 4],
            labels=["odd"] if n % 2 else [], required_capabilities=["fly"] if n % 5 == 0 else [],
            **({"due": f"2027-01-{n + 1:02}T00:00:00Z"} if n % 3 else {}),
        )
        for n in range(12)
    ]  # fmt: skip
    agent_id, agent = agent_maker("seeded", capabilities=["walk", "swim"])
    held = post(agent, f"/api/missions/{made[1]['id']}/claim")
    post(agent, f"/api/agents/{agent_id}/heartbeat", state="busy", mission_id=made[1]["id"])
    last = post(admin, f"/api/missions/{made[2]['id']}/block", reason="wait")
    return {
        "missions": [m["id"] for m in made], "agent_id": agent_id, "agent": agent,
        "token": held["lease"]["token"], "position": last["position"],
    }  # fmt: skip


# Lists -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({"label": "odd"}, {1, 3, 5, 7, 9, 11}),
        ({"priority": "urgent"}, {3, 7, 11}),
        ({"required_capability": "fly"}, {0, 5, 10}),
        ({"blocked": True}, {2}),
        ({"stage": "active"}, {1}),
        ({"due_before": "2027-01-05T00:00:00Z"}, {1, 2}),
        ({"due_after": "2027-01-09T00:00:00+00:00"}, {10, 11}),
        ({"completed": True}, set()),
        ({"label": "odd", "priority": "high"}, set()),
        ({"label": "od"}, set()),
    ],
)
def test_a_filter_finds_what_it_names(
    query: Json, wanted: set[int], admin: httpx.Client, seeded: Json
) -> None:
    found = ids(admin, "/api/missions", limit=200, min_position=seeded["position"], **query)
    mine = seeded["missions"]
    assert {mine.index(id_) for id_ in found if id_ in mine} == wanted


def test_missions_are_found_by_holder_assignee_creator_and_place(
    admin: httpx.Client, seeded: Json
) -> None:
    mission_id, person = seeded["missions"][4], _subject(admin)
    position = post(admin, f"/api/missions/{mission_id}/assign", assignee_id=person)["position"]
    assert ids(admin, "/api/missions", holder=seeded["agent_id"]) == [seeded["missions"][1]]
    assert ids(admin, "/api/missions", assignee_id=person, min_position=position) == [mission_id]
    shown = get(admin, f"/api/missions/{mission_id}")
    for name in ("board_id", "column_id", "created_by"):
        assert mission_id in ids(admin, "/api/missions", limit=200, **{name: shown[name]})
        assert ids(admin, "/api/missions", **{name: str(uuid4())}) == []


@pytest.mark.parametrize("sort", LISTS["/api/missions"])
def test_an_order_and_its_reverse_mirror_each_other(
    sort: str, admin: httpx.Client, seeded: Json
) -> None:
    up = [m["id"] for m in pages(admin, "/api/missions", sort=sort, limit=5)]
    down = [m["id"] for m in pages(admin, "/api/missions", sort=f"-{sort}", limit=7)]
    assert up == down[::-1]
    assert set(seeded["missions"]) <= set(up)
    keys = [_key(m, sort) for m in pages(admin, "/api/missions", sort=sort)]
    assert keys == sorted(keys)


def _key(mission: Json, sort: str) -> Any:
    if sort == "priority":
        return ["low", "normal", "high", "urgent"].index(mission["priority"])
    if sort == "due":
        return mission["due"] or "9"
    return mission[sort].lower() if sort == "title" else mission[sort]


def test_cursors_show_every_row_exactly_once_while_rows_change(admin: httpx.Client) -> None:
    made = [post(admin, "/api/missions", title=f"paged {n}") for n in range(30)]
    get(admin, "/api/missions", min_position=made[-1]["position"])
    seen: list[str] = []
    with ThreadPoolExecutor(4) as others:
        for number, mission in enumerate(pages(admin, "/api/missions", limit=4)):
            seen.append(mission["id"])
            others.submit(post, admin, "/api/missions", title=f"meanwhile {number}")
            others.submit(
                admin.put, f"/api/missions/{mission['id']}", json={"title": f"changed {number}"}
            )
    assert len(seen) == len(set(seen))
    assert {mission["id"] for mission in made} <= set(seen)


def test_the_last_page_says_that_it_is_the_last(admin: httpx.Client, seeded: Json) -> None:
    query = {"label": "odd", "priority": "urgent"}
    whole = get(admin, "/api/missions", **query)
    count = len(whole["items"])
    assert count >= 2
    assert whole["next_cursor"] is None
    assert get(admin, "/api/missions", limit=count, **query)["next_cursor"] is None
    assert get(admin, "/api/missions", limit=count - 1, **query)["next_cursor"]


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"), ("limit", "201"), ("limit", "x"), ("limit", "9" * 30),
        ("min_position", "-1"), ("min_position", "1e9"),
        ("sort", "nothing"), ("sort", "--"), ("sort", ""), ("sort", "id; DROP TABLE events"),
        ("sort", "a\x00b"), ("sort", "x" * 999),
        ("cursor", ""), ("cursor", "x"), ("cursor", "\x00"), ("cursor", "é"), ("cursor", "A" * 5000),
        ("cursor", base64.urlsafe_b64encode(b'{"sort":"\\ud800"}').decode()),
        ("cursor", base64.urlsafe_b64encode(b"[" * 900).decode()),
    ],
)  # fmt: skip
def test_a_bad_parameter_is_422_and_names_itself(
    path: str, name: str, value: str, admin: httpx.Client
) -> None:
    answer = admin.get(path, params={name: value})
    assert (answer.status_code, answer.json()["field"]) == (422, name), answer.text


@pytest.mark.parametrize(
    ("path", "begin", "end"),
    [("/api/activity", "since", "until"), ("/api/missions", "due_after", "due_before")],
)
def test_a_range_that_ends_before_it_begins_is_422_and_names_its_end(
    path: str, begin: str, end: str, admin: httpx.Client
) -> None:
    moments = "2027-01-01T00:00:00Z", "2027-01-02T00:00:00Z"
    for first, last, status in (moments[0], moments[1], 200), (moments[1], moments[0], 422):
        answer = admin.get(path, params={begin: first, end: last})
        assert answer.status_code == status, answer.text
    assert (answer.json()["field"], answer.json()["detail"]) == (end, f"must not be before {begin}")


@pytest.mark.parametrize("name", ["after", "upto"])
@pytest.mark.parametrize("value", ["-1", "1.5", "x", str(2**53 + 1)])
def test_what_is_no_position_is_422_and_names_itself(
    name: str, value: str, admin: httpx.Client
) -> None:
    answer = admin.get("/api/activity", params={name: value})
    assert (answer.status_code, answer.json()["field"]) == (422, name), answer.text


def test_positions_that_end_before_they_begin_are_422_and_name_their_end(
    admin: httpx.Client,
) -> None:
    assert get(admin, "/api/activity", after=7, upto=7)["items"] == []
    answer = admin.get("/api/activity", params={"after": 8, "upto": 7})
    assert (answer.status_code, answer.json()["field"]) == (422, "upto"), answer.text


@pytest.mark.parametrize("path", LISTS)
def test_a_cursor_made_by_hand_is_422(path: str, admin: httpx.Client, seeded: Json) -> None:
    log_id = _log_id(admin)
    following = get(admin, path, limit=1)["next_cursor"]
    of = _inside(following)["of"] if following else "?"
    for sort in LISTS[path]:
        for key, tie in (
            ("x", "y"),
            ("\x00", "1"),
            ("9" * 40, "9" * 40),
            ("", ""),
            ("NaN", "Infinity"),
        ):
            for log in (log_id, str(uuid4())):
                cursor = {"of": of, "sort": sort, "key": key, "tie": tie, "log_id": log}
                text = base64.urlsafe_b64encode(json.dumps(cursor).encode()).decode()
                answer = admin.get(path, params={"cursor": text, "sort": sort})
                assert (answer.status_code, answer.json()["field"]) == (422, "cursor"), answer.text


def test_a_cursor_belongs_to_its_order_and_its_log(admin: httpx.Client, seeded: Json) -> None:
    cursor = get(admin, "/api/missions", limit=1)["next_cursor"]
    answer = admin.get("/api/missions", params={"cursor": cursor, "sort": "title"})
    assert (answer.status_code, answer.json()["field"]) == (422, "cursor")
    foreign = json.dumps({**_inside(cursor), "log_id": str(uuid4())}).encode()
    answer = admin.get(
        "/api/missions", params={"cursor": base64.urlsafe_b64encode(foreign).decode()}
    )
    assert (answer.status_code, answer.json()["field"]) == (422, "cursor")


def test_a_cursor_belongs_to_its_list(admin: httpx.Client, seeded: Json) -> None:
    cursor = get(admin, "/api/activity", limit=1)["next_cursor"]
    answer = admin.get("/api/inbox", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["field"]) == (422, "cursor")
    assert answer.json()["detail"] == "the cursor is of another list"


def _inside(cursor: str) -> Json:
    return json.loads(base64.urlsafe_b64decode(cursor + "=="))  # type: ignore[no-any-return]


def _log_id(admin: httpx.Client) -> str:
    return str(json.loads(admin.get("/api/events", params={"limit": 1}).text)["log_id"])


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/missions", "board_id"), ("/api/missions", "stage"), ("/api/missions", "priority"),
        ("/api/missions", "label"), ("/api/missions", "assignee_id"), ("/api/missions", "holder"),
        ("/api/missions", "blocked"), ("/api/missions", "completed"), ("/api/missions", "due_before"),
        ("/api/missions", "due_after"), ("/api/missions", "required_capability"),
        ("/api/agents", "lifecycle"), ("/api/agents", "presence"), ("/api/agents", "capability"),
        ("/api/agents", "owner_id"), ("/api/activity", "type"), ("/api/activity", "since"),
        ("/api/activity", "until"), ("/api/activity", "mission_id"), ("/api/inbox", "kind"),
        ("/api/activity", "after"), ("/api/activity", "upto"),
        ("/api/members", "role"), ("/api/members", "disabled"), ("/api/presence", "presence"),
    ],
)  # fmt: skip
def test_absurd_filter_values_are_422_and_name_the_filter(
    path: str, name: str, admin: httpx.Client
) -> None:
    absurd = [
        "a\x00b",
        "",
        "x" * 5000,
        "2026-01-01",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
    ]
    for value in absurd:
        answer = admin.get(path, params={name: value})
        if name in {"label", "capability", "required_capability"} and value[:2] in {
            "20",
            "00",
            "99",
        }:
            assert answer.status_code == 200  # odd, and a word like any other
            continue
        assert (answer.status_code, answer.json()["field"]) == (422, name), (value, answer.text)


def test_bytes_that_are_no_text_never_end_in_500(admin: httpx.Client) -> None:
    for path in LISTS:
        for raw in ("%ff", "%ed%a0%80", "%00", "%"):
            for name in ("sort", "cursor", "label", "capability", "type", "kind", "limit"):
                answer = admin.get(f"{path}?{name}={raw}")
                assert answer.status_code in {200, 422}, (path, name, raw, answer.text)


# Documents -------------------------------------------------------------------------------------


def test_a_document_is_304_until_it_changes(admin: httpx.Client, seeded: Json) -> None:
    board_id = get(admin, "/api/missions/board")["id"]
    for path in (
        f"/api/agents/{seeded['agent_id']}", f"/api/boards/{board_id}",
        f"/api/missions/{seeded['missions'][0]}", "/api/missions/board",
    ):  # fmt: skip
        etag = admin.get(path).headers["etag"]
        same = admin.get(path, headers={"If-None-Match": etag})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
        for known in ("*", f"W/{etag}", f'"0", {etag} , "1"'):
            assert admin.get(path, headers={"If-None-Match": known}).status_code == 304, known
        assert admin.get(path, headers={"If-None-Match": '"0"'}).status_code == 200
        assert admin.get(path, headers={"If-None-Match": '"1-' + "9" * 18 + '"'}).status_code == 200
    done = admin.put(f"/api/agents/{seeded['agent_id']}", json={"role": "changed"}).json()
    path = f"/api/agents/{seeded['agent_id']}"
    etag = admin.get(path, params={"min_position": done["position"]}).headers["etag"]
    assert etag == f'"{done["version"]}"'


def test_large_answers_are_compressed_for_who_takes_that(admin: httpx.Client, seeded: Json) -> None:
    def bytes_of(path: str, accepts: str) -> tuple[Any, int, str | None]:
        with admin.stream("GET", path, headers={"accept-encoding": accepts}) as answer:
            body = b"".join(answer.iter_bytes())
            encoding = answer.headers.get("content-encoding")
            return json.loads(body), answer.num_bytes_downloaded, encoding

    for path in ("/api/missions/board", "/api/missions"):
        plain, plain_bytes, no_encoding = bytes_of(path, "identity")
        packed, packed_bytes, encoding = bytes_of(path, "gzip")
        assert (no_encoding, encoding) == (None, "gzip")
        assert packed == plain
        assert packed_bytes < plain_bytes / 2
        assert bytes_of(path, "gzip;q=0, identity")[2] is None
        assert bytes_of(path, "br, GZIP;q=0.5")[2] == "gzip"
    assert bytes_of("/api/members/me", "gzip")[2] is None, "too little to gain"


def test_head_says_what_get_would(admin: httpx.Client, system: System, seeded: Json) -> None:
    get(admin, "/api/missions/board", min_position=seeded["position"])
    for path in (
        "/api/missions/board", "/api/missions", f"/api/missions/{seeded['missions'][0]}",
        f"/api/missions/{uuid4()}", "/api/events", "/health/ready", "/api/missions/board?as_of=1",
    ):  # fmt: skip
        got, asked = admin.get(path), admin.head(path)
        assert (asked.status_code, asked.content) == (got.status_code, b"")
        for name in ("content-type", "content-encoding", "content-length", "etag"):
            assert asked.headers.get(name) == got.headers.get(name), (path, name)
    assert system.client().head("/api/missions").status_code == 401


def test_head_of_what_never_ends_ends(admin: httpx.Client) -> None:
    board_id = get(admin, "/api/missions/board")["id"]
    for path in ("/api/events?follow=true", f"/api/stream?room=board:{board_id}"):
        for _ in range(3):  # also on a connection that is used again
            answer = admin.head(path)
            assert (answer.status_code, answer.content) == (200, b"")


def test_a_wrong_method_names_the_right_ones(admin: httpx.Client) -> None:
    answer = admin.delete("/api/missions")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")
    assert answer.json()["code"] == "method_not_allowed"
    assert admin.head("/api/auth/sign-in").headers["allow"] == "POST"


def test_a_board_that_was_sent_before_is_sent_as_it_is_now(admin: httpx.Client) -> None:
    board = post(admin, "/api/boards", name=f"b {uuid4()}")
    for title in ("first", "second", "third"):
        made = post(admin, "/api/missions", title=title, board_id=board["id"])
        query = {"board_id": board["id"], "min_position": made["position"]}
        shown = [get(admin, "/api/missions/board", **query) for _ in range(2)]
        assert shown[0] == shown[1]
        cards = [c for column in shown[0]["columns"] for c in column["cards"]]
        assert made["id"] in [card["id"] for card in cards]
        assert shown[0]["position"] >= made["position"]


def test_a_status_names_what_an_agent_holds_and_its_token_to_few(
    admin: httpx.Client, people: dict[str, httpx.Client], seeded: Json
) -> None:
    path = f"/api/agents/{seeded['agent_id']}/status"
    for client, sees in (
        (admin, True), (seeded["agent"], True), (people["agent_operator"], True),
        (people["viewer"], False), (people["mission_commander"], False),
    ):  # fmt: skip
        shown = get(client, path, min_position=seeded["position"])
        assert (shown["presence"], shown["lifecycle"]) == ("busy", "active")
        assert shown["mission_id"] == seeded["missions"][1]
        assert shown["seen_at"]
        (held,) = shown["holds"]
        assert held["id"] == seeded["missions"][1]
        assert held["expires_at"]
        assert held.get("lease_token") == (seeded["token"] if sees else None)


def test_keys_are_listed_for_who_manages_agents_only(
    people: dict[str, httpx.Client], seeded: Json
) -> None:
    path = f"/api/agents/{seeded['agent_id']}"
    assert len(get(people["agent_operator"], path)["keys"]) == 1
    assert "keys" not in get(people["viewer"], path)
    assert "keys" not in json.dumps(get(people["viewer"], "/api/agents", limit=200))


def test_agents_are_found_by_what_they_can_and_where_they_are(
    admin: httpx.Client, seeded: Json
) -> None:
    agent_id = seeded["agent_id"]
    assert ids(admin, "/api/agents", capability="swim") == [agent_id]
    assert ids(admin, "/api/agents", capability="swi") == []
    assert ids(admin, "/api/agents", presence="busy") == [agent_id]
    assert ids(admin, "/api/presence") == [agent_id]
    assert agent_id in ids(admin, "/api/agents", lifecycle="active", owner_id=_subject(admin))
    assert agent_id not in ids(admin, "/api/agents", lifecycle="retired")


# Comments, activity, inbox, members -----------------------------------------------------------------


def test_replies_stand_behind_what_they_answer(admin: httpx.Client) -> None:
    mission = post(admin, "/api/missions", title="talk")["id"]
    path = f"/api/missions/{mission}/comments"
    first = post(admin, path, body="first")["id"]
    second = post(admin, path, body="second")["id"]
    reply = post(admin, path, body="reply", parent_id=first)["id"]
    nested = post(admin, path, body="reply to the reply", parent_id=reply)["id"]
    last = admin.delete(f"/api/comments/{second}").json()
    edited = admin.put(f"/api/comments/{reply}", json={"body": "better"}).json()
    found = list(
        pages(admin, path, limit=1, min_position=max(last["position"], edited["position"]))
    )
    assert [c["id"] for c in found] == [first, reply, nested, second]
    assert [c["body"] for c in found] == ["first", "better", "reply to the reply", None]
    assert [c["removed"] for c in found] == [False, False, False, True]
    assert [c["edited"] for c in found] == [False, True, False, False]
    assert admin.get(f"/api/missions/{uuid4()}/comments").status_code == 404


def test_activity_is_filtered_and_hides_keys_from_all_but_admins(
    admin: httpx.Client, people: dict[str, httpx.Client], seeded: Json
) -> None:
    agent_id, mission = seeded["agent_id"], seeded["missions"][1]
    viewer = people["viewer"]
    types = [e["type"] for e in pages(viewer, "/api/activity", agent_id=agent_id)]
    assert "mission.claimed.v1" in types
    assert "agent.key_issued.v1" not in types
    assert ids(viewer, "/api/activity", type="agent.key_issued.v1") == []
    assert ids(admin, "/api/activity", type="agent.key_issued.v1")
    story = list(pages(viewer, "/api/activity", mission_id=mission, sort="position", limit=1))
    assert [e["type"] for e in story[:2]] == ["mission.created.v1", "mission.claimed.v1"]
    assert story[0]["details"]["title"].endswith("01")
    assert story[0]["mission_title"] == get(viewer, f"/api/missions/{mission}")["title"]
    own = [e["type"] for e in pages(viewer, "/api/activity", actor_id=agent_id, sort="position")]
    assert own[0] == "mission.claimed.v1"
    claimed = story[1]
    for since, until, found in (
        (claimed["recorded_at"], claimed["recorded_at"], True),
        ("2001-01-01T00:00:00Z", story[0]["recorded_at"], False),
        ("2101-01-01T00:00:00Z", "2102-01-01T00:00:00Z", False),
        ("2001-01-01T00:00:00Z", "2102-01-01T00:00:00+02:00", True),
    ):
        shown = ids(viewer, "/api/activity", mission_id=mission, since=since, until=until)
        assert (claimed["id"] in shown) == found


def test_activity_is_parted_by_a_position_where_its_times_are_the_same(
    admin: httpx.Client,
) -> None:
    board = post(admin, "/api/boards", name=f"hasty {uuid4()}")
    with ThreadPoolExecutor(8) as others:
        made = list(
            others.map(
                lambda n: post(admin, "/api/missions", title=f"{n}", board_id=board["id"]),
                range(40),
            )
        )
    query = {"board_id": board["id"], "sort": "position"}
    whole = get(
        admin, "/api/activity", limit=200, min_position=max(m["position"] for m in made), **query
    )["items"]
    assert len(whole) == 41
    for index in (0, 20, 40):
        middle = whole[index]["position"]
        assert (
            get(admin, "/api/activity", limit=200, upto=middle, **query)["items"]
            == whole[: index + 1]
        )
        assert (
            get(admin, "/api/activity", limit=200, after=middle, **query)["items"]
            == whole[index + 1 :]
        )


def test_activity_shows_a_move_on_both_boards(admin: httpx.Client) -> None:
    mission = post(admin, "/api/missions", title="traveller")
    origin = get(admin, f"/api/missions/{mission['id']}", min_position=mission["position"])
    board = post(admin, "/api/boards", name=f"away {uuid4()}")
    query = {"board_id": board["id"], "min_position": board["position"]}
    column = get(admin, "/api/missions/board", **query)["columns"][0]["id"]
    place = {"board_id": board["id"], "column_id": column}
    moved = admin.put(f"/api/missions/{mission['id']}/move", json=place).json()
    for name, value in (("board_id", board["id"]), ("from_board_id", origin["board_id"])):
        newest = get(
            admin, "/api/activity", limit=1, min_position=moved["position"], **{name: value}
        )["items"][0]
        assert (newest["type"], newest["mission_id"]) == ("mission.moved.v1", mission["id"])


def test_an_inbox_holds_mentions_reviews_and_alerts_of_its_owner_only(
    admin: httpx.Client, people: dict[str, httpx.Client], agent_maker: AgentMaker
) -> None:
    commander, operator = people["mission_commander"], people["agent_operator"]
    mine = post(commander, "/api/missions", title="in my name", required_capabilities=["inbox"])
    _, worker = agent_maker("inboxer", capabilities=["inbox"])
    said = post(
        operator,
        f"/api/missions/{mine['id']}/comments",
        body="look",
        mentions=[_subject(commander)],
    )
    token = post(worker, f"/api/missions/{mine['id']}/claim")["lease"]["token"]
    failed = post(worker, f"/api/missions/{mine['id']}/fail", lease_token=token, reason="no access")
    shown = get(commander, "/api/inbox", min_position=failed["position"])["items"]
    assert [(i["kind"], i["mission_id"]) for i in shown] == [
        ("alert", mine["id"]), ("mention", mine["id"]),
    ]  # fmt: skip
    assert [i["text"] for i in shown] == ["no access", "look"]
    assert shown[1]["comment_id"] == said["id"]
    token = post(worker, f"/api/missions/{mine['id']}/claim")["lease"]["token"]
    asked = post(worker, f"/api/missions/{mine['id']}/submit", lease_token=token, summary="done")
    first = get(commander, "/api/inbox", limit=1, min_position=asked["position"])
    assert [(i["kind"], i["text"]) for i in first["items"]] == [("review", "done")]
    assert [i["kind"] for i in pages(commander, "/api/inbox", limit=1)] == [
        "review", "alert", "mention",
    ]  # fmt: skip
    assert [i["kind"] for i in pages(commander, "/api/inbox", kind="alert")] == ["alert"]
    for other in (operator, people["viewer"], worker):
        assert mine["id"] not in [i["mission_id"] for i in pages(other, "/api/inbox")]
    approved = post(commander, f"/api/missions/{mine['id']}/approve")
    after = get(commander, "/api/inbox", min_position=approved["position"])["items"]
    assert [i["kind"] for i in after] == ["alert", "mention"]


def test_what_is_said_of_an_agent_agrees_with_what_it_holds(
    admin: httpx.Client, agent_maker: AgentMaker
) -> None:
    agent_id, agent = agent_maker("truthful", capabilities=["truth"])
    mission = post(admin, "/api/missions", title="held", required_capabilities=["truth"])["id"]

    def said() -> list[Any]:
        head = get(admin, "/health/ready")["position"]
        status = get(admin, f"/api/agents/{agent_id}/status", min_position=head)
        get(admin, "/api/agents", min_position=head)
        listed = {row["id"]: row for row in pages(admin, "/api/agents", limit=50)}[agent_id]
        there = {row["id"]: row for row in pages(admin, "/api/presence", limit=50)}.get(agent_id)
        for row in listed, there or {**listed, "presence": "offline"}:
            assert (row["presence"], row["mission_id"]) == (
                status["presence"],
                status["mission_id"],
            )
        return [status["presence"], status["mission_id"], [m["id"] for m in status["holds"]]]

    def beat(**body: Any) -> str:
        return str(post(agent, f"/api/agents/{agent_id}/heartbeat", **body)["state"])

    assert said() == ["offline", None, []]
    lease = post(agent, f"/api/missions/{mission}/claim")["lease"]["token"]
    assert said() == ["busy", mission, [mission]]
    assert beat(state="available", mission_id=str(uuid4())) == "busy"
    assert said() == ["busy", mission, [mission]]
    post(agent, f"/api/missions/{mission}/submit", lease_token=lease, summary="true")
    assert said() == ["available", None, []]
    assert beat(state="busy", mission_id=mission) == "busy"
    assert said() == ["busy", None, []], "by its own word, and with nothing of ours"


def test_many_heartbeats_are_answered_in_their_order_and_of_one_agent_the_last_counts(
    admin: httpx.Client, agent_maker: AgentMaker
) -> None:
    agents = [agent_maker(f"many {n} {uuid4()}")[0] for n in range(10)]
    said = [(agent, "busy") for agent in agents] + [
        (str(uuid4()), "busy"),
        (agents[0], "available"),
    ]
    beats = [{"agent_id": agent, "state": state} for agent, state in said]
    results = post(admin, "/api/agents/heartbeats", heartbeats=beats)["results"]
    assert [result["id"] for result in results] == [agent for agent, _ in said]
    assert [result.get("state") for result in results] == ["busy"] * 10 + [None, "available"]
    assert results[10]["code"] == "not_found"
    head = get(admin, "/health/ready")["position"]
    first = get(admin, f"/api/agents/{agents[0]}/status", min_position=head)
    assert first["presence"] == "available"


def test_who_moved_a_mission_into_review_asks_for_it_and_is_not_asked(
    admin: httpx.Client, people: dict[str, httpx.Client]
) -> None:
    commander = people["mission_commander"]
    mine = post(commander, "/api/missions", title="to be reviewed")["id"]
    columns = {c["stage"]: c["id"] for c in get(admin, "/api/missions/board")["columns"]}

    def reviews(mover: httpx.Client, stage: str) -> list[Json]:
        where = {"column_id": columns[stage]}
        moved = mover.put(f"/api/missions/{mine}/move", json=where).json()["position"]
        found = get(commander, "/api/inbox", kind="review", min_position=moved)["items"]
        return [item for item in found if item["mission_id"] == mine]

    (item,) = reviews(admin, "review")
    assert (item["actor_id"], item["type"]) == (_subject(admin), "mission.moved.v1")
    assert reviews(admin, "ready") == []
    assert reviews(commander, "review") == []


def test_addresses_are_for_admins(admin: httpx.Client, people: dict[str, httpx.Client]) -> None:
    shown = {m["id"]: m for m in pages(admin, "/api/members", limit=2)}
    assert shown[_subject(people["viewer"])]["email"] == "viewer@example.org"
    for role in ("viewer", "agent_operator", "mission_commander"):
        text = people[role].get("/api/members").text
        assert _subject(admin) in text
        assert "example.org" not in text
    assert [m["role"] for m in pages(admin, "/api/members", role="viewer")] == ["viewer"]


def test_a_member_who_was_removed_is_named_where_asked_for(admin: httpx.Client) -> None:
    body = {"email": f"{uuid4()}@example.org", "name": "Gone", "role": "viewer"}
    gone = admin.post("/api/members", json=body).json()["id"]
    position = admin.delete(f"/api/members/{gone}").json()["position"]
    assert gone not in ids(admin, "/api/members", min_position=position)
    (row,) = get(admin, "/api/members", removed=True)["items"]
    assert (row["id"], row["name"], row["disabled"]) == (gone, "Gone", True)


# Who sees what ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", LISTS)
def test_every_role_and_an_agent_may_read_a_list(
    path: str, people: dict[str, httpx.Client], seeded: Json
) -> None:
    for client in (*people.values(), seeded["agent"]):
        page = get(client, path, min_position=seeded["position"])
        assert set(page) == {"items", "next_cursor", "position"}
        assert page["position"] >= seeded["position"]


@pytest.mark.parametrize("path", LISTS)
def test_a_foreign_workspace_sees_nothing_of_ours(
    path: str, admin: httpx.Client, stranger: httpx.Client, seeded: Json
) -> None:
    ours = {item["id"] for item in pages(admin, path)}
    assert not ours & {item["id"] for item in pages(stranger, path)}
    if path == "/api/missions":
        for name, value in (("holder", seeded["agent_id"]), ("created_by", _subject(admin))):
            assert ids(stranger, path, **{name: value}) == []
    if path == "/api/activity":
        assert ids(stranger, path, mission_id=seeded["missions"][0]) == []
