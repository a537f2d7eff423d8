"""`mission-control worker` beside `serve`: what one folds the other shows, however workers end."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
from uuid_utils.compat import uuid7

from infra.workers import ORPHAN_S
from projections.catalogue import READ_MODELS
from tests.servers.kafka import Kafka
from tests.start.launcher import Process, launch
from tests.start.processes import EMAIL, PASSWORD, doctor, environment, refusal, run, started

MODELS = ("workspaces", "boards", "missions")
WAIT_S = 60

pytestmark = pytest.mark.timeout(300)


class Deployment:
    """A server, and the settings that it shares with workers."""

    def __init__(self, url: str, data_dir: Path, settings: dict[str, str]) -> None:
        self.data_dir = data_dir
        self.settings = settings
        body = {"email": EMAIL, "password": PASSWORD}
        answer = httpx.post(f"{url}/api/auth/sign-in", json=body, timeout=10).raise_for_status()
        headers = {"authorization": f"Bearer {answer.json()['access_token']}"}
        self.client = httpx.Client(base_url=url, headers=headers, timeout=20)

    def worker(self, *models: str) -> Process:
        words = ["worker", *models, "--data-dir", str(self.data_dir)]
        nothing = subprocess.DEVNULL
        return launch(words, environment(**self.settings), stdout=nothing, stderr=nothing)

    def write_and_read(self, title: str) -> None:
        """Create a mission and read it back from the board, as soon as it has caught up."""
        made = self.client.post("/api/missions", json={"title": title}).raise_for_status().json()
        for _ in range(WAIT_S // 5):
            board = self.client.get(
                "/api/missions/board", params={"min_position": made["position"]}
            )
            if board.status_code != 503:
                break
        cards = [card for column in board.json()["columns"] for card in column["cards"]]
        assert title in [card["title"] for card in cards]


@pytest.fixture(scope="module")
def deployment(open_folder: Path, kafka: Kafka, database_url: str) -> Iterator[Deployment]:
    data_dir = open_folder / "workers"
    settings = {
        "MC_DATABASE_URL": database_url,
        "MC_KAFKA_BOOTSTRAP": kafka.bootstrap,
        "MC_KAFKA_TOPIC_PREFIX": f"t{uuid7().hex[:8]}",
        "MC_LOG_FORMAT": "console",
    }
    assert run("migrate", "--data-dir", data_dir, **settings).returncode == 0
    with ExitStack() as stack:
        server = stack.enter_context(started(data_dir, "serve", **settings))
        made = Deployment(server.url, data_dir, settings)
        stack.callback(made.client.close)
        yield made


def children(process: Process) -> list[psutil.Process]:
    return psutil.Process(process.pid).children()


def test_read_models_that_nobody_folds_are_told_at_once(deployment: Deployment) -> None:
    def told(**other: str) -> list[str]:
        _, report = doctor(deployment.data_dir, **{**deployment.settings, **other})
        return [one for one in report["problems"] if "no process folds" in one or "PREFIX" in one]

    start = "start `mission-control worker`"
    assert told() == [f"no process folds any read model: {start}"]
    with deployment.worker(*MODELS) as worker:
        try:
            deployment.write_and_read("folded")
            others = ", ".join(sorted({model.name for model in READ_MODELS}.difference(MODELS)))
            rest = f"no process folds {others}: {start}"
            assert told() == [rest]
            # Workers with such a setting would wait where nothing comes.
            prefix = deployment.settings["MC_KAFKA_TOPIC_PREFIX"]
            wrong = f"MC_KAFKA_TOPIC_PREFIX: it is other here, and {prefix} for the relay"
            assert told(MC_KAFKA_TOPIC_PREFIX="other") == [wrong, rest]
        finally:
            worker.terminate()
            worker.wait(WAIT_S)


def test_workers_fold_what_the_server_shows_and_are_started_again_when_they_die(
    deployment: Deployment,
) -> None:
    with deployment.worker(*MODELS) as worker:
        try:
            deployment.write_and_read("through Kafka")
            before = children(worker)
            assert len(before) == len(MODELS)
            for child in before:
                child.kill()
            deployment.write_and_read("by those who were started again")
            after = children(worker)
            assert {child.pid for child in after}.isdisjoint(child.pid for child in before)
        finally:
            worker.terminate()
            assert worker.wait(WAIT_S) == 0
    assert not any(child.is_running() for child in after)


def test_a_server_that_was_not_told_of_kafka_leaves_tables_to_workers_and_says_so(
    deployment: Deployment, fresh_dir: Path
) -> None:
    alone = {name: value for name, value in deployment.settings.items() if "KAFKA" not in name}
    alone["MC_ROOT_KEY"] = (deployment.data_dir / "root.key").read_text().strip()
    with deployment.worker(*MODELS) as worker:
        try:
            deployment.write_and_read("before it comes")
            with started(fresh_dir, "serve", **alone) as server:
                health = server.get("/health/ready").json()
                while "taken" not in str(health):
                    health = server.get("/health/ready").json()
                deployment.write_and_read("while it is there")
                assert server.end() == 0
        finally:
            worker.terminate()
            worker.wait(WAIT_S)
    assert health["status"] == "degraded"
    assert set(health["services"]["read_models"]["models"]) == set(MODELS)


def wait_for_the_lock(database: psycopg.Connection, processes: int) -> None:
    """Return when so many others wait for a table that this transaction has."""
    waiting = (
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'checkpoints'::regclass"
    )
    give_up = time.monotonic() + WAIT_S
    while database.execute(waiting).fetchone() != (processes,):
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_workers_end_with_whoever_looks_after_them_though_they_wait(
    deployment: Deployment,
) -> None:
    with psycopg.connect(deployment.settings["MC_DATABASE_URL"]) as database:
        # None of them can begin, nor end in order.
        database.execute("LOCK TABLE checkpoints IN ACCESS EXCLUSIVE MODE")
        with deployment.worker("workspaces", "boards") as worker:
            wait_for_the_lock(database, 2)
            found = children(worker)
            worker.kill()
            _, alive = psutil.wait_procs(found, timeout=ORPHAN_S + 5)
    assert (len(found), alive) == (2, [])


def test_what_a_worker_can_not_do_is_refused_in_one_line(
    deployment: Deployment, fresh_dir: Path
) -> None:
    settings = deployment.settings
    no_kafka = {name: value for name, value in settings.items() if "KAFKA" not in name}
    assert "MC_KAFKA_BOOTSTRAP" in refusal(run("worker", "--data-dir", fresh_dir, **no_kafka))
    unknown = refusal(run("worker", "nothing", "--data-dir", fresh_dir, **settings))
    assert "missions" in unknown
    no_database = {"MC_KAFKA_BOOTSTRAP": settings["MC_KAFKA_BOOTSTRAP"]}
    assert "MC_DATABASE_URL" in refusal(run("worker", "--data-dir", fresh_dir, **no_database))
