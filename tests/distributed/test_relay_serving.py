"""The relay in a server as it is started: what health and doctor tell, and who may start."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from uuid_utils.compat import uuid7

from infra.kafka import RELAY_ERROR_S_MAX, RELAY_SILENCE_S_MAX, RELAY_STATE, described
from infra.settings import Settings
from tests.distributed.conftest import events_of, read_topics
from tests.servers.kafka import Kafka
from tests.start.processes import Running, doctor, refusal, run, started, up

PATIENCE_S = 60
NOBODY = "127.0.0.1:1"


def until(holds: Callable[[], Any]) -> Any:
    """Ask the server over HTTP until the answer is true."""
    give_up = time.monotonic() + PATIENCE_S
    while not (answer := holds()):
        assert time.monotonic() < give_up
        time.sleep(0.05)
    return answer


def kafka_of(server: Running) -> dict[str, Any]:
    found: dict[str, Any] = (
        server.get("/health/ready").raise_for_status().json()["services"]["kafka"]
    )
    return found


def test_a_server_with_kafka_relays_and_says_how_far(open_folder: Path, kafka: Kafka) -> None:
    prefix = f"t{uuid7().hex}"
    reach = {"MC_KAFKA_BOOTSTRAP": kafka.bootstrap, "MC_KAFKA_TOPIC_PREFIX": prefix}
    with up(open_folder / prefix, **reach) as server:
        made = server.create_mission("relayed")["position"]
        state = until(lambda: (s := kafka_of(server))["position"] >= made and s)
        assert (state["status"], state["lag"], state["last_error"]) == ("ok", 0, None)
        _, report = doctor(open_folder / prefix, **reach)
        assert report["services"]["kafka"]["status"] == "ok"
    settings = Settings(kafka_bootstrap=kafka.bootstrap, kafka_topic_prefix=prefix)
    sent = {e.position for events in events_of(read_topics(settings)).values() for e in events}
    assert sent >= set(range(1, made + 1))


def test_without_a_kafka_that_answers_commands_go_on_and_it_is_said_why(open_folder: Path) -> None:
    data_dir = open_folder / "no-kafka"
    with up(data_dir, MC_KAFKA_BOOTSTRAP=NOBODY) as server:
        server.create_mission("kept")
        state = until(lambda: (s := kafka_of(server))["last_error"] and s)
        assert state["status"] == "away"
        assert state["last_error"] == f"MC_KAFKA_BOOTSTRAP: nobody answers at {NOBODY}"
        assert server.get("/health/ready").json()["status"] == "degraded"
        code, report = doctor(data_dir, MC_KAFKA_BOOTSTRAP=NOBODY)
        told = f"the relay does not reach Kafka: {state['last_error']}"
        assert code == 1
        assert told in report["problems"]
        assert server.end() == 0


def test_a_kafka_that_has_gone_is_never_away_without_a_reason(
    open_folder: Path, own_kafka: Kafka
) -> None:
    with up(open_folder / "gone", MC_KAFKA_BOOTSTRAP=own_kafka.bootstrap) as server:
        until(lambda: kafka_of(server)["status"] == "ok")
        own_kafka.kill()
        state = until(lambda: (s := kafka_of(server))["status"] == "away" and s)
        assert state["last_error"] == f"MC_KAFKA_BOOTSTRAP: nobody answers at {own_kafka.bootstrap}"


def test_a_server_without_kafka_has_nothing_to_say_of_it(open_folder: Path) -> None:
    with up(open_folder / "plain") as server:
        assert "kafka" not in server.get("/health/ready").json()["services"]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"MC_KAFKA_BOOTSTRAP": "kafka"}, "MC_KAFKA_BOOTSTRAP: "),
        ({"MC_KAFKA_BOOTSTRAP": NOBODY, "MC_KAFKA_CA": "/absent"}, "MC_KAFKA_CA: "),
        ({"MC_KAFKA_BOOTSTRAP": NOBODY, "MC_KAFKA_TOPIC_PREFIX": "a b"}, "MC_KAFKA_TOPIC_PREFIX: "),
    ],
)
def test_settings_that_can_not_be_used_are_refused_at_start(
    open_folder: Path, settings: dict[str, str], told: str
) -> None:
    done = run("up", "--data-dir", open_folder / "refused", "--port", "0", **settings)
    assert refusal(done).startswith(told)


def test_a_relay_apart_is_ready_and_takes_the_log_from_where_the_last_one_was(
    open_folder: Path, database_url: str, kafka: Kafka
) -> None:
    data_dir, prefix = open_folder / "apart-relay", f"t{uuid7().hex}"
    settings = {"MC_DATABASE_URL": database_url}
    reach = {"MC_KAFKA_BOOTSTRAP": kafka.bootstrap, "MC_KAFKA_TOPIC_PREFIX": prefix}
    assert run("migrate", "--data-dir", data_dir, **settings).returncode == 0
    _, report = doctor(data_dir, **settings, **reach)
    assert "no process has the role relay: " in " ".join(report["problems"])
    for epoch in (1, 2):
        with started(data_dir, "serve", "--only", "relay", **settings, **reach) as server:
            until(lambda: kafka_of(server)["status"] == "ok")
            with psycopg.connect(database_url) as connection:
                row = connection.execute("SELECT epoch, position FROM relay").fetchone()
                head = connection.execute("SELECT position FROM log_head").fetchone()
            assert row is not None and head is not None
            assert row == (epoch, head[0])


def test_an_error_is_told_for_as_long_as_it_lasts(database_url: str) -> None:
    fail = "UPDATE relay SET acked_at = now() - %s * interval '1 s', last_error_at = now() - %s * interval '1 s'"
    with psycopg.connect(database_url) as connection:

        def told(acked_s: int | None, failed_s: int) -> Any:
            connection.execute(fail, [acked_s, failed_s])
            row = connection.execute(RELAY_STATE).fetchone()
            assert row is not None
            return described(*row)["last_error"]

        connection.execute("DELETE FROM relay")
        connection.execute(
            "INSERT INTO relay (epoch, log_id, last_error) SELECT 1, log_id, 'away' FROM log_head"
        )
        assert told(20, 1) == told(None, 1) == "away"
        assert told(1, 20) is None, "it is over"
        assert told(RELAY_ERROR_S_MAX + 9, RELAY_ERROR_S_MAX + 5) is None, "nobody tries any more"
        connection.rollback()


def test_a_relay_that_is_silent_is_called_away(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:

        def state() -> str:
            row = connection.execute(RELAY_STATE).fetchone()
            assert row is not None
            return str(described(*row)["status"])

        connection.execute("DELETE FROM relay")
        assert state() == "away"
        connection.execute(
            "INSERT INTO relay (epoch, log_id, acked_at) SELECT 1, log_id, now() FROM log_head"
        )
        assert state() == "ok"
        connection.execute(
            "UPDATE relay SET acked_at = now() - %s * interval '1 s'", [RELAY_SILENCE_S_MAX + 1]
        )
        assert state() == "away"
        connection.execute("UPDATE relay SET acked_at = now(), log_id = gen_random_uuid()")
        assert state() == "away"
        connection.rollback()
