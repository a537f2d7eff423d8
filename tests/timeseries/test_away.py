"""InfluxDB is away, or asked wrongly: commands go on, one line names the setting, and it catches up."""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.influxdb import InfluxDb
from infra.settings import Settings
from infra.timeseries import MetricsUnavailable
from projections.metrics import MISSION_FLOW
from streams.follower import Follower
from streams.job import RETRY_PAUSE_S
from streams.sink import SinkAway
from tests.api.conftest import ADMIN, PASSWORD, System, new_agent, start
from tests.servers import influxdb as influxdb_server
from tests.servers.fixtures import require
from tests.servers.influxdb import Influxdb
from tests.timeseries.conftest import settings_of, stores

PATIENCE_S = 60.0


@pytest.fixture
def own_influxdb() -> Iterator[Influxdb]:
    """A server that a test may kill."""
    require(influxdb_server.missing())
    with influxdb_server.start() as server:
        yield server


@contextmanager
def served(open_folder: Path, settings: Settings, data_dir: Path | None = None) -> Iterator[System]:
    if data_dir is None:
        data_dir = Path(tempfile.mkdtemp(dir=open_folder))
        data_dir.chmod(0o711)
    running = start(data_dir, **environment_of(settings))
    try:
        yield running
    finally:
        running.close()
        running.process.terminate()
        assert running.process.wait(30) == 0
        assert running.process.stdout is not None
        running.process.stdout.close()


def environment_of(settings: Settings) -> dict[str, str]:
    authority = {"MC_INFLUXDB_CA": str(settings.influxdb_ca)} if settings.influxdb_ca else {}
    return {
        **authority,
        "MC_INFLUXDB_URL": str(settings.influxdb_url),
        "MC_INFLUXDB_TOKEN": str(settings.influxdb_token),
        "MC_INFLUXDB_ORG": settings.influxdb_org, "MC_INFLUXDB_BUCKET": settings.influxdb_bucket,
        "MC_LOG_FORMAT": "json",
    }  # fmt: skip


WAITS = "a read model waits"


def eventually(found: Any, wanted: Any) -> Any:
    """Return what a function finds once it passes; it is asked as long as a caller would be patient."""
    give_up = time.monotonic() + PATIENCE_S
    while not wanted(one := found()):
        assert time.monotonic() < give_up, one
        time.sleep(0.05)
    return one


def health(system: System) -> Any:
    answer = system.client().get("/health/ready")
    assert answer.status_code == 200, answer.text
    return answer.json()


def lines(system: System, event: str) -> list[Any]:
    logged = (system.data_dir / "stderr.log").read_text().splitlines()
    found = [json.loads(line) for line in logged if line.startswith("{")]
    return [line for line in found if line["event"] == event]


class Load(threading.Thread):
    """Makes missions one after the other until it is told to end."""

    def __init__(self, client: httpx.Client) -> None:
        super().__init__(name="load")
        self.client = client
        self.made = self.position = 0
        self.failures: list[str] = []
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            answer = self.client.post("/api/missions", json={"title": f"mission {self.made}"})
            if answer.status_code != 201:
                self.failures.append(answer.text)
                continue
            self.made += 1
            self.position = answer.json()["position"]


@pytest.mark.servers
def test_a_server_that_is_killed_under_load_is_caught_up_with(
    own_influxdb: Influxdb, open_folder: Path, tmp_path: Path
) -> None:
    with served(open_folder, settings_of(own_influxdb, tmp_path)) as system:
        admin = system.sign_in(ADMIN, PASSWORD)
        load = Load(system.sign_in(ADMIN, PASSWORD))
        load.start()
        flow = "/api/analytics/flow?bucket=hour"
        for _ in range(3):
            made = load.made
            eventually(lambda: load.made, lambda now, before=made: now > before + 30)
            told = len(lines(system, WAITS))
            own_influxdb.kill()
            answer = eventually(lambda: admin.get(flow), lambda found: found.status_code != 200)
            assert (answer.status_code, answer.json()["code"]) == (503, "metrics_unavailable")
            made = load.made
            eventually(lambda: load.made, lambda now, before=made: now > before + 30)
            report = health(system)
            assert report["status"] == "degraded"
            assert report["services"]["influxdb"]["reason"].startswith("MC_INFLUXDB_URL: ")
            # The writer has met this outage, and says so: once for each reason, and not for each try.
            eventually(lambda: len(lines(system, WAITS)), lambda now, before=told: now > before)
            time.sleep(3 * RETRY_PAUSE_S)
            said = Counter((line["model"], line["reason"]) for line in lines(system, WAITS)[told:])
            assert set(said.values()) == {1}, said
            own_influxdb.start()
            # Only then the next outage is one of its own, and not more of this one.
            caught_up = f"{flow}&min_position={load.position}"
            eventually(
                lambda path=caught_up: admin.get(path), lambda found: found.status_code == 200
            )
        load.over.set()
        load.join()
        began = time.monotonic()
        answer = eventually(
            lambda: admin.get(f"{flow}&min_position={load.position}"),
            lambda found: found.status_code == 200,
        )
        print(f"caught up within {time.monotonic() - began:.1f} s, {load.made} missions")  # noqa: T201 - the time to converge is what such a test tells
        assert load.failures == [] and load.made > 180
        assert answer.json()["buckets"][-1]["counts"]["ready"] == load.made
        report = eventually(lambda: health(system), lambda found: found["status"] == "ok")
        assert report["services"]["influxdb"] == {"status": "ok"}
        assert (
            report["lag"]["mission_flow_influxdb_v1"] == 0 and "mission_flow" not in report["lag"]
        )
        failed = lines(system, "job failed")
        assert not failed, failed


def test_a_wrong_token_is_one_line_and_stops_no_command(
    influxdb: Influxdb, open_folder: Path, tmp_path: Path
) -> None:
    wrong = settings_of(influxdb, tmp_path, influxdb_token="no-such-token")
    with served(open_folder, wrong) as system:
        admin = system.sign_in(ADMIN, PASSWORD)
        assert admin.post("/api/missions", json={"title": "goes on"}).status_code == 201
        answer = admin.get("/api/analytics/throughput")
        assert (answer.status_code, answer.json()["code"]) == (503, "metrics_unavailable")
        (line,) = eventually(lambda: lines(system, "a read model waits"), len)
        assert line["reason"] == "MC_INFLUXDB_TOKEN: InfluxDB does not accept it"
        away = health(system)
        assert away["status"] == "degraded"
        assert away["services"]["influxdb"] == {"status": "away", "reason": line["reason"]}
        assert "no-such-token" not in (system.data_dir / "stderr.log").read_text()


def test_a_bucket_that_was_deleted_is_filled_by_a_rebuild(
    influxdb: Influxdb, open_folder: Path, tmp_path: Path
) -> None:
    settings = settings_of(influxdb, tmp_path)
    flow = "/api/analytics/flow?bucket=hour"
    with served(open_folder, settings) as system:
        admin = system.sign_in(ADMIN, PASSWORD)
        for number in range(7):
            made = admin.post("/api/missions", json={"title": f"mission {number}"}).json()
        before = admin.get(f"{flow}&min_position={made['position']}").json()["buckets"]
        assert before[-1]["counts"]["ready"] == 7
        delete_bucket(influxdb, settings.influxdb_bucket)
        assert admin.get(flow).status_code == 503
        done = system.run("rebuild", "mission_flow", "--json", **environment_of(settings))
        report = json.loads(done.stdout)
        assert (report["rows"], report["parked"]) == (7, 0)
        assert admin.get(flow).json()["buckets"] == before
        # And whoever had known the bucket goes on in the one that was made for it.
        made = admin.post("/api/missions", json={"title": "one more"}).json()
        after = admin.get(f"{flow}&min_position={made['position']}").json()["buckets"]
        assert after[-1]["counts"]["ready"] == 8


def test_a_bucket_that_is_deleted_under_load_is_filled_again_by_itself(
    influxdb: Influxdb, open_folder: Path, tmp_path: Path
) -> None:
    settings = settings_of(influxdb, tmp_path)
    flow = "/api/analytics/flow?bucket=hour"
    with served(open_folder, settings) as system:
        admin = system.sign_in(ADMIN, PASSWORD)
        load = Load(system.sign_in(ADMIN, PASSWORD))
        load.start()
        try:
            eventually(
                lambda: admin.get(f"{flow}&min_position={load.position or 1}").status_code,
                lambda code: code == 200,
            )
            eventually(lambda: load.made, lambda made: made > 30)
            delete_bucket(influxdb, settings.influxdb_bucket)
            eventually(lambda: lines(system, "a read model begins anew"), len)
        finally:
            load.over.set()
            load.join()
        answer = eventually(
            lambda: admin.get(f"{flow}&min_position={load.position}"),
            lambda found: found.status_code == 200,
        )
        assert answer.json()["buckets"][-1]["counts"]["ready"] == load.made
        assert not lines(system, "job failed")


def test_what_was_counted_until_an_orderly_end_is_told_after_it(
    influxdb: Influxdb, open_folder: Path, tmp_path: Path
) -> None:
    settings = settings_of(influxdb, tmp_path)
    with served(open_folder, settings) as system:
        admin = system.sign_in(ADMIN, PASSWORD)
        agent_id, agent = new_agent(system, admin, "counted")
        mission = admin.post("/api/missions", json={"title": "counted"}).json()["id"]
        assert agent.post(f"/api/missions/{mission}/claim").status_code == 200
        assert agent.post(f"/api/missions/{mission}/claim").status_code == 409
        assert agent.post(f"/api/agents/{agent_id}/heartbeat").status_code == 200
    with served(open_folder, settings, system.data_dir) as system:
        admin = system.sign_in(ADMIN, PASSWORD)
        told = admin.get("/api/analytics/commands").json()
        by_route = {one["route"]: one for one in told["routes"]}
        claims = by_route["POST /api/missions/{}/claim"]
        assert (claims["ok"], claims["refused"], claims["failed"]) == (1, 1, 0)
        assert by_route["POST /api/missions"]["ok"] == 1 and told["p99_ms"] <= told["max_ms"]
        (one,) = admin.get("/api/analytics/agent-activity").json()["agents"]
        assert (one["agent_id"], one["commands"], one["heartbeats"]) == (agent_id, 2, 1)
        assert admin.get("/api/analytics/sockets").json()["closed"] == 0


def delete_bucket(server: Influxdb, name: str) -> None:
    headers = {"Authorization": f"Token {server.token}"}
    with httpx.Client(base_url=server.url, headers=headers) as client:
        (bucket,) = client.get("/api/v2/buckets", params={"name": name}).json()["buckets"]
        client.delete(f"/api/v2/buckets/{bucket['id']}").raise_for_status()


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        ({"influxdb_url": "http://127.0.0.1:9"}, "MC_INFLUXDB_URL: "),
        ({"influxdb_url": "http://no-such-host.invalid"}, "MC_INFLUXDB_URL: "),
        ({"influxdb_token": "no-such-token"}, "MC_INFLUXDB_TOKEN: "),
        ({"influxdb_org": "no-such-organisation"}, "MC_INFLUXDB_ORG: "),
    ],
)
async def test_what_is_set_wrongly_is_named(
    world: Any, wrong: dict[str, str], names: str, influxdb: Influxdb, tmp_path: Path
) -> None:
    settings = settings_of(influxdb, tmp_path, **wrong)
    await world.mission()
    async with stores(world, settings) as opened:
        with pytest.raises(SinkAway) as away:
            await feed_once(world, opened)
        assert str(away.value).startswith(names)
        assert "no-such-token" not in str(away.value) and "\n" not in str(away.value)


async def feed_once(world: Any, opened: Any) -> None:
    async with Follower(world.database, world.codec) as follower:
        await opened.sink.apply(await follower.read(0))


FIRST_WRITES = """
import sys, threading, time
from infra.influxdb import InfluxDb
from infra.settings import Settings
from infra.timeseries import MetricsUnavailable

server = InfluxDb(Settings(influxdb_url="http://127.0.0.1:9", influxdb_token="t"))
point = {"measurement": "m", "tags": {}, "fields": {"x": 1}, "time": 1}
said = []

def write(after_s):
    time.sleep(after_s)
    try:
        server._write(server.flow, [point])
    except Exception as error:
        said.append(type(error).__name__)

threads = [threading.Thread(target=write, args=(n * 0.02,)) for n in range(60)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(said), set(said))
"""


def test_writers_that_come_while_the_client_is_being_loaded_wait_for_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FIRST_WRITES], cwd=Path(__file__).parents[2], check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.strip() == "60 {'MetricsUnavailable'}", done.stdout + done.stderr


async def test_an_error_inside_an_answer_of_status_200_is_an_error(
    world: Any, influx: Settings
) -> None:
    server = InfluxDb(influx)
    with pytest.raises(MetricsUnavailable, match="MC_INFLUXDB_BUCKET: "):
        await server.query(server.flow, ["SELECT sum(change) FROM stage"], {})
    await server.prepare(server.flow)
    with pytest.raises(MetricsUnavailable, match="refuses a query: "):
        await server.query(
            server.flow, ["SELECT sum(change) FROM stage", "SELECT percentile(a) FROM b"], {}
        )
    await server.aclose()


async def test_a_stream_that_can_not_be_folded_is_parked_until_it_can(
    world: Any, influx: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = await world.mission("good"), await world.mission("bad")
    agent = await world.agent()
    for _ in (good, bad):
        await world.claim_next(agent)
    real = type(MISSION_FLOW).apply

    def breaking(model: Any, row: Any, fact: Any) -> Any:
        if fact.stream_id == bad and fact.stream_version > 1:
            raise ZeroDivisionError
        return real(model, row, fact)

    async with stores(world, influx) as opened:
        monkeypatch.setattr(type(MISSION_FLOW), "apply", breaking)
        await feed_once(world, opened)
        parked = "SELECT model, stream_id, error FROM parked_events"
        assert await world.query(parked) == [(opened.sink.name, bad, "ZeroDivisionError")]
        assert await waits(world, opened) == 1
        monkeypatch.setattr(type(MISSION_FLOW), "apply", real)
        drained = await opened.sink.drain(bad)
        assert drained is not None and drained.poison is None
        assert await world.query(parked) == []
        assert await waits(world, opened) == 2


async def waits(world: Any, opened: Any) -> int:
    (found,) = await opened.server.query(opened.server.flow, ["SELECT count(at_us) FROM wait"], {})
    return int(found[0].values[0][1])
