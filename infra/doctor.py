"""`mission-control doctor`: what runs, where the log stands, how far each projection is."""

import asyncio
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

import psycopg

from infra import __version__
from infra.data_dir import Holder, holder
from infra.deployment import check_root_key
from infra.doctor_services import ask_services
from infra.embedded_postgres import EmbeddedPostgres
from infra.kafka import RELAY_SILENCE_S_MAX, RELAY_STATE, described
from infra.marks import FOLLOWERS, INDEXES, LAG_EVENTS_MAX, stands_still
from infra.migrate import MIGRATIONS
from infra.postgres_checks import (
    NAME,
    SEARCH_IS_UNTRUSTED,
    TRUST_SEARCH,
    connect,
    faults,
    reason_of,
)
from infra.replica import NAME as REPLICA_NAME
from infra.replica import NOTHING, REPLICA, why_unfit
from infra.roles import LEADER_LOCKS, Role
from infra.settings import Settings, StartRefused
from infra.stores import in_elasticsearch, own_names
from projections.catalogue import READ_MODELS
from streams.claims import HELD, REFUSED, Source, source_of

HTTP_S = 5
WITHOUT = {
    Role.TIMERS: "no lease lapses, and nobody goes offline",
    Role.PROJECTIONS: "read models, history and what follows from events stand still",
    Role.RELAY: "what is new does not reach Kafka, and what workers fold stands still",
}
# Of any role: while a password is changed, processes have two, and whoever asks may have a third.
OTHERS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND usename IS NOT NULL AND pid <> pg_backend_pid()
"""
CHECKPOINTS = "SELECT name FROM checkpoints ORDER BY name"
FOREIGN = "SELECT name FROM checkpoints WHERE log_id <> (SELECT log_id FROM log_head) ORDER BY name"
RELAYED_TO = "SELECT json_object_keys(topics) FROM relay JOIN log_head USING (log_id)"
ADVISORY_LOCKS = """
    SELECT objid::bigint FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND classid = 0
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@dataclass(frozen=True)
class Projection:
    """How far one follower of the log is."""

    position: int
    lag: int
    parked: int = 0


@dataclass
class Report:
    """What was found. With an empty list of problems, all is well."""

    data_dir: str
    version: str = __version__
    server: dict[str, Any] = field(default_factory=dict)
    postgres: dict[str, Any] = field(default_factory=dict)
    schema: int | None = None
    log_id: str | None = None
    position: int | None = None
    projections: dict[str, Projection] = field(default_factory=dict)
    services: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    """What would make it better; nothing is wrong."""

    @property
    def ok(self) -> bool:
        """Tell whether nothing is wrong."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {"ok": self.ok, **asdict(self)}


def examine(settings: Settings) -> Report:
    """Look at the server, its database, the log and outside services. Changes nothing, raises nothing."""
    report = Report(data_dir=str(settings.data_dir))
    held = holder(settings.data_dir)
    _examine_server(report, held, is_alone=settings.database_url is None)
    dsn = _find_database(report, settings, is_held=held is not None)
    if dsn is not None:
        try:
            with connect(dsn, _database_name(settings)) as connection:
                _examine_database(report, connection, settings)
        except StartRefused as refused:
            report.problems.append(str(refused))
        except psycopg.Error as error:
            report.problems.append(f"{_database_name(settings)}: {reason_of(error, dsn)}")
    if settings.read_database_url is not None:
        _examine_replica(report, settings.read_database_url)
    _examine_services(report, settings)
    return report


def _examine_server(report: Report, held: Holder | None, *, is_alone: bool) -> None:
    if held is None:
        report.server = {"state": "not running"}
        # With a database of its own, a deployment has its processes on other machines, or folders.
        said = report.problems if is_alone else report.hints
        said.append("no server runs on this data directory")
        return
    report.server = {"state": "starting or stopping", "pid": held.pid, "url": held.url}
    if held.url is None:
        return
    health = _ask(f"{held.url}/health/ready")
    report.server["state"] = state = health["status"]
    if state != "ok":
        report.problems.append(f"the server's health is: {state}")
    failing = health.get("services", {}).get("jobs", {}).get("jobs", {})
    for name, error in failing.items():
        report.problems.append(f"the job {name} fails again and again ({error})")


def _ask(url: str) -> dict[str, Any]:
    """Return what a server says of its health; in place of that, a `status` that tells why it says nothing."""
    # Our own server, by the address that it wrote down itself: its certificate may be for another name.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with urllib.request.urlopen(url, timeout=HTTP_S, context=context) as answer:  # noqa: S310
            body = answer.read()
    except urllib.error.HTTPError as error:
        body = error.read()
    except OSError as error:
        return {"status": f"no answer ({type(error).__name__})"}
    try:
        said = json.loads(body)
        return {**said, "status": str(said["status"])}
    except (ValueError, KeyError, TypeError):
        return {"status": "an answer that is none of Mission Control"}


def _find_database(report: Report, settings: Settings, *, is_held: bool) -> str | None:
    if settings.database_url:
        report.postgres = {"source": NAME}
        return settings.database_url
    postgres = EmbeddedPostgres(settings.data_dir, settings.postgres_user)
    pid = postgres.pid()
    report.postgres = {"source": "embedded", "pid": pid}
    if pid is None:
        if is_held:
            report.problems.append("the embedded PostgreSQL does not run")
        return None
    if not is_held:
        report.problems.append(f"PostgreSQL {pid} was left behind; the next start takes it over")
    try:
        return postgres.dsn()
    except StartRefused as refused:
        report.problems.append(str(refused))
    except OSError:
        report.problems.append("its password can't be read: ask as the user who runs the server")
    return None


def _database_name(settings: Settings) -> str:
    return NAME if settings.database_url else "the embedded PostgreSQL"


def _examine_database(report: Report, connection: psycopg.Connection, settings: Settings) -> None:
    report.postgres["version"] = connection.info.parameter_status("server_version")
    name = _database_name(settings)
    report.problems += [f"{name}: {fault}" for fault in faults(connection)]
    if connection.execute(SEARCH_IS_UNTRUSTED).fetchone() == (True,):
        report.hints.append(f"search reads whole tables until a superuser says: {TRUST_SEARCH};")
    if connection.execute("SELECT to_regclass('schema_migrations')").fetchone() == (None,):
        report.problems.append("the database is empty")
        return
    connection.execute("SET mc.system = 'on'")
    _examine_root_key(report, connection, settings)
    anybody = _runs_anybody(connection)
    _examine_log(report, connection, settings, anybody=anybody)
    led = {lock for (lock,) in connection.execute(ADVISORY_LOCKS)}
    if settings.database_url is not None and anybody:
        _examine_roles(report, led)
    if settings.kafka_bootstrap is not None:
        _examine_relay(report, connection, settings, led)
    _examine_claims(report, connection, settings, anybody=anybody)


def _runs_anybody(connection: psycopg.Connection) -> bool:
    """Tell whether there are processes at all: where there are none, nothing is amiss."""
    return connection.execute(OTHERS).fetchone() != (0,)


def _examine_root_key(report: Report, connection: psycopg.Connection, settings: Settings) -> None:
    try:
        check_root_key(settings, connection)
    except StartRefused as refused:
        report.problems.append(str(refused))
    except OSError:
        report.problems.append(
            "MC_ROOT_KEY: the key's file can't be read: ask as the user who runs the server"
        )


def _examine_log(
    report: Report, connection: psycopg.Connection, settings: Settings, *, anybody: bool
) -> None:
    row = connection.execute(
        "SELECT (SELECT max(version) FROM schema_migrations), log_id, position FROM log_head"
    ).fetchone()
    assert row is not None, "the schema has this row from the first migration on"
    report.schema, log_id, head = row
    report.log_id, report.position = str(log_id), head
    known = max(int(file.name[:4]) for file in MIGRATIONS.glob("*.sql"))
    if report.schema != known:
        report.problems.append(f"the schema is {report.schema}, this program's is {known}")
    own = own_names(settings)
    for (name,) in connection.execute(FOREIGN):
        report.problems.append(f"the projection {own.get(name, name)} stands in another log")
    _examine_projections(report, connection, settings, head, anybody=anybody)


def _examine_projections(
    report: Report, connection: psycopg.Connection, settings: Settings, head: int, *, anybody: bool
) -> None:
    parked = _parked(connection)
    own = own_names(settings)
    named = [*own, *INDEXES]
    left = {model.name for model in READ_MODELS}.difference(named)  # kept elsewhere since
    also = [one for (one,) in connection.execute(CHECKPOINTS) if one not in left.union(named)]
    asked = [named + also, list(in_elasticsearch(settings))]
    for stored, position, still_s in connection.execute(FOLLOWERS, asked):
        name = str(own.get(stored, stored))
        lag = max(0, head - position)  # it may have gone on since the log's end was read
        report.projections[name] = Projection(position, lag, parked.get(stored, 0))
        if stored in parked:
            report.problems.append(
                f"the projection {name} has parked {parked[stored]} streams: mission-control parked list"
            )
        if lag > LAG_EVENTS_MAX:
            report.problems.append(f"the projection {name} is {lag} events behind")
        elif anybody and stored in named and stands_still(still_s):
            report.problems.append(
                f"the projection {name} has not moved for {still_s} s, {lag} events behind"
            )


def _examine_roles(report: Report, led: Collection[int]) -> None:
    """Look for roles that must be had once and that nobody has."""
    for role in (Role.TIMERS, Role.PROJECTIONS):
        if LEADER_LOCKS[role] not in led:
            report.problems.append(_nobody_has(role))


def _nobody_has(role: Role) -> str:
    return f"no process has the role {role}: {WITHOUT[role]}"


def _examine_relay(
    report: Report, connection: psycopg.Connection, settings: Settings, led: Collection[int]
) -> None:
    if connection.execute("SELECT to_regclass('relay')").fetchone() == (None,):
        return  # an older schema, which is a problem of its own
    row = connection.execute(RELAY_STATE).fetchone()
    assert row is not None, "the log has a head"
    report.services["kafka"] = found = described(*row)
    if LEADER_LOCKS[Role.RELAY] not in led:
        report.problems.append(_nobody_has(Role.RELAY))
    elif found["status"] == "away":
        reason = (
            found["last_error"] or f"nothing was acknowledged in the last {RELAY_SILENCE_S_MAX} s"
        )
        report.problems.append(f"the relay does not reach Kafka: {reason}")
    elif found["lag"] > LAG_EVENTS_MAX:
        report.problems.append(f"the relay is {found['lag']} events behind")
    _examine_topics(report, connection, settings)


def _examine_topics(report: Report, connection: psycopg.Connection, settings: Settings) -> None:
    """Look where the relay has sent to: a worker under another prefix would wait there for nothing."""
    prefixes = {name.rpartition(".")[0] for (name,) in connection.execute(RELAYED_TO)}
    mine = settings.kafka_topic_prefix
    if prefixes and mine not in prefixes:
        others = ", ".join(sorted(prefixes))
        report.problems.append(
            f"MC_KAFKA_TOPIC_PREFIX: it is {mine} here, and {others} for the relay"
        )


def _examine_claims(
    report: Report, connection: psycopg.Connection, settings: Settings, *, anybody: bool
) -> None:
    """Look who folds: with Kafka workers do, which are apart and easily forgotten."""
    own, source = own_names(settings), source_of(settings)

    def held(by: Source) -> set[str]:
        found = connection.execute(HELD, {"names": list(own), "source": by.value})
        return {own[name] for (name,) in found}

    if taken := held(source.other):
        report.problems.append(f"{', '.join(sorted(taken))}: {REFUSED[source]}")
    unheld = set(own.values()) - taken - held(source)
    if source is Source.KAFKA and unheld and anybody:
        what = ", ".join(sorted(unheld)) if len(unheld) < len(own) else "any read model"
        report.problems.append(f"no process folds {what}: start `mission-control worker`")


def _examine_replica(report: Report, dsn: str) -> None:
    """Look at it as queries do: they pass over one that is away, and so would everybody else."""
    try:
        with connect(dsn, REPLICA_NAME) as connection:
            connection.execute("SET mc.system = 'on'")
            found = connection.execute(REPLICA).fetchone() or NOTHING
        reason = _why_unfit(report, found)
    except StartRefused as refused:
        reason = str(refused)
    except psycopg.Error as error:
        reason = f"{REPLICA_NAME}: {reason_of(error, dsn)}"
    if reason is not None:
        report.services["replica"] = {"status": "away", "reason": reason}
        report.problems.append(f"replica is away: {reason}")
        return
    lag = max(0, (report.position or 0) - found[2])
    report.services["replica"] = {"status": "ok", "position": found[2], "lag": lag}
    if lag > LAG_EVENTS_MAX:
        report.problems.append(f"the replica is {lag} events behind")


def _why_unfit(report: Report, found: Sequence[Any]) -> str | None:
    if report.log_id is None or report.schema is None:
        return None  # without its primary there is nothing to hold it against
    unfit = why_unfit(found, UUID(report.log_id), report.schema)
    return f"{REPLICA_NAME}: {unfit}" if unfit else None


def _examine_services(report: Report, settings: Settings) -> None:
    """Ask each as its clients do: what a server says of itself may be of before it, or of nobody."""
    log_id = UUID(report.log_id) if report.log_id is not None else None
    for name, state in asyncio.run(ask_services(settings, log_id)).items():
        before = report.services.get(name, {})
        if state["status"] != "ok":
            report.services[name] = {**before, **state}
            report.problems.append(f"{name} is {state['status']}: {state['reason']}")
        else:
            report.services[name] = {**state, **before}


def _parked(connection: psycopg.Connection) -> dict[str, int]:
    if connection.execute("SELECT to_regclass('parked_events')").fetchone() == (None,):
        return {}  # an older schema, which is a problem of its own
    return dict(
        connection.execute("SELECT model, count(*) FROM parked_events GROUP BY model").fetchall()
    )
