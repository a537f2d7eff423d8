"""`mission-control doctor`: what runs, where the log stands, how far each projection is."""

import asyncio
import json
import ssl
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

import psycopg

from infra import __version__
from infra.data_dir import Holder, holder
from infra.doctor_services import ask_services
from infra.embedded_postgres import EmbeddedPostgres
from infra.kafka import RELAY_STATE, described
from infra.marks import FOLLOWERS, INDEXES, LAG_EVENTS_MAX, stands_still
from infra.migrate import MIGRATIONS
from infra.postgres_checks import READ_ONLY, SEARCH_IS_UNTRUSTED, TRUST_SEARCH, why_read_only
from infra.roles import LEADER_LOCKS, Role
from infra.settings import Settings, StartRefused
from infra.stores import in_elasticsearch, names
from projections.catalogue import READ_MODELS

HTTP_S = 5
CONNECT_S = 5
WITHOUT = {
    Role.TIMERS: "no lease lapses, and nobody goes offline",
    Role.PROJECTIONS: "read models, history and what follows from events stand still",
}
OTHERS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
"""
CHECKPOINTS = "SELECT name FROM checkpoints ORDER BY name"
FOREIGN = "SELECT name FROM checkpoints WHERE log_id <> (SELECT log_id FROM log_head) ORDER BY name"
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
            with psycopg.connect(dsn, connect_timeout=CONNECT_S) as connection:
                _examine_database(report, connection)
                _examine_log(report, connection, settings)
                if settings.database_url is not None:
                    _examine_roles(report, connection)
                if settings.kafka_bootstrap is not None:
                    _examine_relay(report, connection)
        except psycopg.Error as error:
            report.problems.append(f"the database does not answer: {type(error).__name__}")
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
        report.postgres = {"source": "MC_DATABASE_URL"}
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
    except (OSError, StartRefused):
        report.problems.append("its password can't be read: ask as the user who runs the server")
        return None


def _examine_database(report: Report, connection: psycopg.Connection) -> None:
    report.postgres["version"] = connection.info.parameter_status("server_version")
    read_only = why_read_only(connection.execute(READ_ONLY).fetchone())
    if read_only is not None:
        report.problems.append(f"{report.postgres['source']}: {read_only}")
    if connection.execute(SEARCH_IS_UNTRUSTED).fetchone() == (True,):
        report.hints.append(f"search reads whole tables until a superuser says: {TRUST_SEARCH};")


def _examine_log(report: Report, connection: psycopg.Connection, settings: Settings) -> None:
    if connection.execute("SELECT to_regclass('schema_migrations')").fetchone() == (None,):
        report.problems.append("the database is empty")
        return
    row = connection.execute(
        "SELECT (SELECT max(version) FROM schema_migrations), log_id, position FROM log_head"
    ).fetchone()
    assert row is not None, "the schema has this row from the first migration on"
    report.schema, log_id, head = row
    report.log_id, report.position = str(log_id), head
    known = max(int(file.name[:4]) for file in MIGRATIONS.glob("*.sql"))
    if report.schema != known:
        report.problems.append(f"the schema is {report.schema}, this program's is {known}")
    for (name,) in connection.execute(FOREIGN):
        report.problems.append(f"the projection {name} stands in another log")
    _examine_projections(report, connection, settings, head)


def _examine_projections(
    report: Report, connection: psycopg.Connection, settings: Settings, head: int
) -> None:
    connection.execute("SET mc.system = 'on'")
    parked = _parked(connection)
    # Where no process runs at all, nothing is amiss.
    anybody = connection.execute(OTHERS).fetchone() != (0,)
    named = [*names(settings), *INDEXES]
    left = {model.name for model in READ_MODELS}.difference(named)  # kept elsewhere since
    also = [one for (one,) in connection.execute(CHECKPOINTS) if one not in left.union(named)]
    asked = [named + also, list(in_elasticsearch(settings))]
    for name, position, still_s in connection.execute(FOLLOWERS, asked):
        lag = head - position
        report.projections[name] = Projection(position, lag, parked.get(name, 0))
        if name in parked:
            report.problems.append(
                f"the projection {name} has parked {parked[name]} streams: mission-control parked list"
            )
        if lag > LAG_EVENTS_MAX:
            report.problems.append(f"the projection {name} is {lag} events behind")
        elif anybody and name in named and stands_still(still_s):
            report.problems.append(
                f"the projection {name} has not moved for {still_s} s, {lag} events behind"
            )


def _examine_roles(report: Report, connection: psycopg.Connection) -> None:
    """Look for roles that must be had once and that nobody has. Where no process runs at all, nothing is amiss."""
    if connection.execute(OTHERS).fetchone() == (0,):
        return
    led = {lock for (lock,) in connection.execute(ADVISORY_LOCKS)}
    for role, without in WITHOUT.items():
        if LEADER_LOCKS[role] not in led:
            report.problems.append(f"no process has the role {role}: {without}")


def _examine_relay(report: Report, connection: psycopg.Connection) -> None:
    if connection.execute("SELECT to_regclass('relay')").fetchone() == (None,):
        return  # an older schema, which is a problem of its own
    row = connection.execute(RELAY_STATE).fetchone()
    assert row is not None, "the log has a head"
    report.services["kafka"] = found = described(*row)
    if found["status"] == "away":
        report.problems.append(
            f"the relay does not reach Kafka: {found['last_error'] or 'none runs'}"
        )
    elif found["lag"] > LAG_EVENTS_MAX:
        report.problems.append(f"the relay is {found['lag']} events behind")


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
