"""Search: what is found, in which order, what is marked, and that nonsense is answered kindly."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.api.conftest import System, serving

Found = dict[str, Any]
PATIENCE_S = 40.0


@pytest.fixture(
    scope="module",
    params=["PostgreSQL", pytest.param("Elasticsearch", marks=pytest.mark.servers)],
)
def system(request: pytest.FixtureRequest, open_folder: Path) -> Iterator[System]:
    """A server on each of the search engines."""
    environment = {}
    if request.param == "Elasticsearch":
        environment["MC_ELASTICSEARCH_URL"] = request.getfixturevalue("elasticsearch").url
    with serving(open_folder, **environment) as running:
        yield running


def find(client: httpx.Client, q: str, **parameters: Any) -> Found:
    give_up = time.monotonic() + PATIENCE_S
    answer = client.get("/api/search", params={"q": q, **parameters})
    # On a busy machine, an Elasticsearch that was just started takes its time.
    while answer.status_code == 503 and time.monotonic() < give_up:
        answer = client.get("/api/search", params={"q": q, **parameters})
    assert answer.status_code == 200, answer.text
    found: Found = answer.json()
    return found


def make(client: httpx.Client, title: str, **fields: Any) -> tuple[str, int]:
    answer = client.post("/api/missions", json={"title": title, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"], answer.json()["position"]


def ids(found: Found) -> list[str]:
    return [item["id"] for item in found["items"]]


def test_words_prefixes_and_misspelt_words_are_found_and_others_not(admin: httpx.Client) -> None:
    key, position = make(admin, "Résumé of the Kubernetes migration", description="zebra crossing")
    assert ids(find(admin, "resume", min_position=position)) == [key]
    assert ids(find(admin, "RÉSUMÉ kuber")) == [key]
    assert ids(find(admin, "kubernets")) == [key], "one letter left out"
    assert ids(find(admin, "kubrenetes zebra")) == [key], "two letters swapped"
    assert ids(find(admin, "zebro")) == [key], "one of five letters wrong"
    assert ids(find(admin, "zebrxq")) == [], "two of six letters wrong"
    assert ids(find(admin, "zebra elephant")) == [], "every word has to match"
    assert ids(find(admin, "kuber zebra")) == [], "only the last word may be a beginning"


def test_the_field_that_matches_decides_the_order_then_the_last_change(admin: httpx.Client) -> None:
    word = f"w{uuid4().hex}"
    in_text, _ = make(admin, "first", description=word)
    in_label, _ = make(admin, "second", labels=[word])
    older, _ = make(admin, f"{word} third")
    newer, position = make(admin, f"{word} fourth")
    found = find(admin, word, min_position=position)
    assert ids(found) == [newer, older, in_label, in_text]
    block = admin.post(f"/api/missions/{older}/block", json={"reason": "why not"})
    found = find(admin, word, min_position=block.json()["position"])
    assert ids(found) == [older, newer, in_label, in_text]


def test_pages_give_everything_once_in_the_same_order(admin: httpx.Client) -> None:
    word = f"w{uuid4().hex}"
    made = [make(admin, f"{word} {n}", description=word if n % 3 else "") for n in range(7)]
    whole = ids(find(admin, word, min_position=made[-1][1]))
    paged: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = find(admin, word, limit=2, **cursor)
        paged += ids(page)
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert paged == whole and len(set(paged)) == 7


def test_comments_and_what_agents_said_are_found_with_their_mission(
    admin: httpx.Client, agent_maker: Callable[..., tuple[str, httpx.Client]]
) -> None:
    word = f"w{uuid4().hex}"
    agent_id, agent = agent_maker(f"sayer {word}")
    key, _ = make(admin, f"of {word}", labels=["spoken"], priority="urgent")
    claim = agent.post(f"/api/missions/{key}/claim").json()
    lease = {"lease_token": claim["lease"]["token"]}
    agent.post(f"/api/missions/{key}/progress", json={**lease, "percent": 5, "note": f"n {word}"})
    done = agent.post(f"/api/missions/{key}/submit", json={**lease, "summary": f"s {word}"})
    found = find(admin, word, min_position=done.json()["position"])
    assert {item["type"] for item in found["items"]} == {"mission", "activity"}
    assert found["facets"] == {
        "type": {"activity": 2, "mission": 1}, "priority": {"urgent": 3}, "stage": {"review": 3},
        "label": {"spoken": 3}, "board": {found["items"][0]["board_id"]: 3},
    }  # fmt: skip
    mission = found["items"][0]
    assert (mission["id"], mission["title"]) == (key, f"of {word}")
    assert mission["highlights"] == {
        "title": f"of <mark>{word}</mark>", "result": f"s <mark>{word}</mark>",
    }  # fmt: skip
    assert len(ids(find(admin, word, agent_id=agent_id))) == 3
    assert ids(find(admin, word, agent_id=str(uuid4()))) == []


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({"type": "mission"}, 2), ({"type": "comment,activity"}, 0), ({"priority": "high,low"}, 1),
        ({"stage": "ready"}, 2), ({"stage": "done"}, 0), ({"label": "red"}, 1), ({"label": "re"}, 0),
        ({"board_id": str(uuid4())}, 0), ({"priority": "high", "label": "red", "stage": "ready"}, 1),
    ],
)  # fmt: skip
def test_filters_leave_out_what_they_say(
    admin: httpx.Client, filters: dict[str, str], count: int
) -> None:
    word = f"w{uuid4().hex}"
    make(admin, word, priority="high", labels=["red", "green"])
    _, position = make(admin, word)
    assert len(ids(find(admin, word, min_position=position, **filters))) == count


def test_a_changed_title_is_found_by_its_new_words_only(admin: httpx.Client) -> None:
    old, new = f"w{uuid4().hex}", f"w{uuid4().hex}"
    key, _ = make(admin, old)
    edited = admin.put(f"/api/missions/{key}", json={"title": new})
    position = edited.json()["position"]
    assert ids(find(admin, new, min_position=position)) == [key]
    assert ids(find(admin, old)) == []


def test_a_deleted_mission_takes_its_documents_with_it(
    admin: httpx.Client, agent_maker: Callable[..., tuple[str, httpx.Client]]
) -> None:
    word = f"w{uuid4().hex}"
    _, agent = agent_maker(f"deleter {word}")
    key, _ = make(admin, word)
    lease = agent.post(f"/api/missions/{key}/claim").json()["lease"]["token"]
    agent.post(f"/api/missions/{key}/fail", json={"lease_token": lease, "reason": word})
    gone = admin.delete(f"/api/missions/{key}")
    found = find(admin, word, min_position=gone.json()["position"])
    assert (found["items"], found["facets"]["type"]) == ([], {})


def test_markup_in_a_title_comes_back_escaped(admin: httpx.Client) -> None:
    word = f"w{uuid4().hex}"
    title = f'<script>alert("1")</script> {word} </mark><img src=x>'
    _, position = make(admin, title)
    marked = find(admin, word, min_position=position)["items"][0]["highlights"]["title"]
    assert f"<mark>{word}</mark>" in marked
    rest = marked.replace("<mark>", "", 1).replace("</mark>", "", 1)
    assert "<" not in rest and "&lt;script&gt;" in rest


@pytest.mark.parametrize(
    "q",
    ["", " ", "...", "x" * 10_000, "&|!", "\x00", "a b c d e f g h i j k l m n o p q r"],
)
def test_a_query_without_words_or_too_long_is_422(admin: httpx.Client, q: str) -> None:
    answer = admin.get("/api/search", params={"q": q})
    assert (answer.status_code, answer.json()["field"]) == (422, "q"), answer.text


@pytest.mark.parametrize(
    "q",
    [
        "a & !b:*", "'; DROP TABLE events; --", "a\x00b", "%s %(x)s", "x\\", "a:*ABCD <-> b", "'a'", "{x}",
        "\U0010ffff a", "٣ 漢字 नमस्ते", "a\u0301\u0301", "x" * 500, "()a", "İ ß ﬁ",
    ],
)  # fmt: skip
def test_operators_and_odd_characters_are_words_or_nothing(admin: httpx.Client, q: str) -> None:
    find(admin, q)


def test_raw_bytes_that_are_no_text_are_not_our_fault(admin: httpx.Client) -> None:
    for raw in ("%ff%fe", "%ed%a0%80", "a%00b", "%", "a%2"):
        assert admin.get(f"/api/search?q={raw}").status_code in {200, 422}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("type", "missions"), ("type", ""), ("priority", "soon"), ("stage", "x,ready"), ("limit", "0"),
        ("limit", "201"), ("board_id", "1"), ("agent_id", "x"), ("label", "\x00"), ("cursor", "x"),
        ("cursor", "W10="), ("cursor", "é"), ("cursor", "WzFd"), ("min_position", "-1"),
    ],
)  # fmt: skip
def test_a_bad_parameter_names_itself(admin: httpx.Client, field: str, value: str) -> None:
    answer = admin.get("/api/search", params={"q": "x", field: value})
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text


def test_a_cursor_is_of_its_log_and_of_a_place_that_there_is(admin: httpx.Client) -> None:
    word = f"w{uuid4().hex}"
    for _ in range(2):
        _, position = make(admin, word)
    cursor = find(admin, word, limit=1, min_position=position)["next_cursor"]
    score, *place, log_id = json.loads(base64.urlsafe_b64decode(cursor + "=="))
    for changed in ([score, *place, str(uuid4())], [10**12, *place, log_id], [[], *place, log_id]):
        text = base64.urlsafe_b64encode(json.dumps(changed).encode()).decode()
        answer = admin.get("/api/search", params={"q": word, "cursor": text})
        assert (answer.status_code, answer.json()["field"]) == (422, "cursor"), answer.text


def test_each_role_finds_and_a_stranger_does_not(
    people: dict[str, httpx.Client], stranger: httpx.Client, admin: httpx.Client
) -> None:
    word = f"w{uuid4().hex}"
    key, position = make(admin, word)
    for client in people.values():
        assert ids(find(client, word, min_position=position)) == [key]
    found = find(stranger, word, min_position=position)
    assert (found["items"], found["facets"]["type"]) == ([], {})
