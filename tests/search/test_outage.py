"""Elasticsearch away: search says so, everything else goes on, and what was missed is caught up with."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from infra.doctor_services import ask_services
from infra.elasticsearch import Cluster, ElasticsearchAway
from infra.settings import Settings, StartRefused
from tests.api.conftest import ADMIN, PASSWORD, System, serving
from tests.servers.certificates import issue
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.guard import KEY, guarded
from tests.servers.process import HOST, free_port

pytestmark = pytest.mark.timeout(400)

PATIENCE_S = 90.0


@pytest.fixture(scope="module")
def system(open_folder: Path, elasticsearch: Elasticsearch) -> Iterator[System]:
    with serving(open_folder, MC_ELASTICSEARCH_URL=elasticsearch.url) as running:
        yield running


@pytest.fixture(scope="module")
def admin(system: System) -> httpx.Client:
    return system.sign_in(ADMIN, PASSWORD)


def until(condition: Callable[[], Any]) -> Any:
    give_up = time.monotonic() + PATIENCE_S
    while not (answer := condition()):
        assert time.monotonic() < give_up, "it never came about"
        time.sleep(0.1)
    return answer


def found(client: httpx.Client, q: str) -> set[str] | None:
    """Return all that is found, page by page; None where search is away."""
    ids: set[str] = set()
    asked: dict[str, Any] | None = {"q": q, "limit": 200}
    while asked is not None:
        answer = client.get("/api/search", params=asked)
        if answer.status_code == 503:
            assert answer.json()["code"] == "search_unavailable", answer.text
            return None
        ids |= {item["id"] for item in answer.json()["items"]}
        cursor = answer.json()["next_cursor"]
        asked = {**asked, "cursor": cursor} if cursor else None
    return ids


def test_killed_and_started_again_under_load_nothing_is_lost(
    system: System, admin: httpx.Client, elasticsearch: Elasticsearch
) -> None:
    word = f"w{uuid4().hex}"
    made: set[str] = set()
    stop = threading.Event()

    def write() -> None:
        with system.sign_in(ADMIN, PASSWORD) as client:
            while not stop.is_set():
                answer = client.post("/api/missions", json={"title": f"{word} {len(made)}"})
                assert answer.status_code == 201, answer.text
                key = answer.json()["id"]
                said = client.post(f"/api/missions/{key}/comments", json={"body": word})
                assert said.status_code == 201, said.text
                made.update((key, said.json()["id"]))
                stop.wait(0.3)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        until(lambda: len(found(admin, word) or ()) > 5)
        elasticsearch.kill()
        assert found(admin, word) is None
        before = len(made)
        until(lambda: len(made) > before + 4)
        ready = admin.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert ready.json()["services"]["elasticsearch"]["status"] == "away"
    finally:
        elasticsearch.restart()
        stop.set()
        writer.join()
    until(lambda: found(admin, word) == made)
    assert admin.get("/health/ready").json()["services"]["elasticsearch"] == {"status": "ok"}
    told = (system.data_dir / "stderr.log").read_text()
    assert (
        '"event":"Elasticsearch is away","reason":"MC_ELASTICSEARCH_URL: nobody answers (' in told
    )
    assert "Traceback" not in told


def test_one_that_takes_no_writes_is_away_and_what_was_missed_is_caught_up_with(
    system: System, admin: httpx.Client, elasticsearch: Elasticsearch
) -> None:
    word = f"w{uuid4().hex}"
    known = admin.post("/api/missions", json={"title": word}).json()
    until(lambda: found(admin, word) == {known["id"]})

    def block(value: bool | None) -> None:
        # As Elasticsearch does by itself where a disk is almost full.
        settings = {"index.blocks.read_only_allow_delete": value}
        httpx.put(f"{elasticsearch.url}/mc-*/_settings", json=settings).raise_for_status()

    block(True)
    try:
        late = admin.post("/api/missions", json={"title": word}).json()
        health = admin.get("/health/ready").json()
        refuses = "MC_ELASTICSEARCH_URL: Elasticsearch refuses to write: "
        reason = f"{refuses}index.blocks.read_only_allow_delete is set"
        assert health["services"]["elasticsearch"] == {"status": "away", "reason": reason}
        told = asyncio.run(ask_services(Settings(elasticsearch_url=elasticsearch.url), None))
        assert told["elasticsearch"] == {"status": "away", "reason": reason}
        log = system.data_dir / "stderr.log"
        waits = '"event":"a read model waits","model":"search_missions","reason":"'
        until(lambda: f"{waits}{refuses}index [" in log.read_text())
        assert found(admin, word) == {known["id"]}, "what it has, it goes on telling"
    finally:
        block(None)
    until(lambda: found(admin, word) == {known["id"], late["id"]})
    assert admin.get("/health/ready").json()["services"]["elasticsearch"] == {"status": "ok"}


@pytest.mark.parametrize(
    "url", ["localhost", "ftp://localhost:9200", "http://localhost", "http://:9200"]
)
def test_an_address_that_is_none_is_refused_by_its_name(url: str) -> None:
    with pytest.raises(StartRefused, match=r"^MC_ELASTICSEARCH_URL: "):
        Cluster(Settings(elasticsearch_url=url))


def test_a_ca_that_is_no_certificate_is_refused_by_its_name(tmp_path: Path) -> None:
    wrong = tmp_path / "ca.pem"
    for text in (None, "no certificate"):
        if text is not None:
            wrong.write_text(text)
        with pytest.raises(StartRefused, match=r"^MC_ELASTICSEARCH_CA: "):
            Cluster(Settings(elasticsearch_url="https://localhost:9200", elasticsearch_ca=wrong))


async def _reason(**settings: Any) -> str:
    async with Cluster(Settings(**settings)) as cluster:
        with pytest.raises(ElasticsearchAway) as away:
            await cluster.call(cluster.client.count(index="mc-*"))
        state = await cluster.state()
    assert state == {"status": "away", "reason": str(away.value)}
    return str(away.value)


def test_nobody_at_the_address_is_one_line_that_names_it() -> None:
    reason = asyncio.run(_reason(elasticsearch_url=f"http://127.0.0.1:{free_port()}"))
    assert reason == "MC_ELASTICSEARCH_URL: nobody answers (the connection is refused)"


@pytest.mark.parametrize(
    ("key", "is_right_ca", "reason"),
    [
        (KEY, True, None),
        ("wrong", True, "MC_ELASTICSEARCH_API_KEY: the key is refused"),
        (None, True, "MC_ELASTICSEARCH_API_KEY: the key is refused"),
        (KEY, False, "MC_ELASTICSEARCH_CA: it did not sign the server's certificate"),
    ],
)
def test_a_wrong_key_or_ca_is_one_line_that_names_it(
    elasticsearch: Elasticsearch, tmp_path: Path, key: str, is_right_ca: bool, reason: str | None
) -> None:
    ours, other = tmp_path / "ours", tmp_path / "other"
    for folder in (ours, other):
        folder.mkdir()
    certificates, stranger = issue(ours), issue(other)
    authority = certificates.authority if is_right_ca else stranger.authority

    async def connect() -> None:
        async with guarded(elasticsearch.port, certificates) as port:
            settings = {
                "elasticsearch_url": f"https://{HOST}:{port}", "elasticsearch_api_key": key,
                "elasticsearch_ca": authority,
            }  # fmt: skip
            if reason is not None:
                assert await _reason(**settings) == reason
                return
            async with Cluster(Settings(**settings)) as cluster:
                assert await cluster.state() == {"status": "ok"}

    asyncio.run(connect())
