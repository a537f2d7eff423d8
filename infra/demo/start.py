"""What a start with `--demo` does before the port opens: seed an empty log, or find the demo again."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

import psycopg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from uuid_utils.compat import uuid7

from commands.agents import IssueKey
from commands.append import Actor, ActorKind, CommandMeta
from commands.bus import Bus, Context
from domain.base import Refusal
from domain.guards import name_key
from domain.permissions import DEFAULT_SCOPES
from domain.workspace import Role
from infra.command_bus import write_side
from infra.demo.company import FOUNDED, PEOPLE, TEAMS, WORKERS
from infra.demo.keys import AgentKey, Keys, PersonPassword
from infra.demo.seed import Tell, drop_draft, seed
from infra.first_start import FirstAdmin
from infra.identity import new_agent_key
from infra.logging import log
from infra.passwords import Passwords, generate
from infra.postgres import SYSTEM_OPTIONS
from infra.settings import Settings

PROGRESS_AFTER_S = 2.0


@dataclass(frozen=True)
class Scene:
    """Where the simulation goes on: the workspace's name, secrets by name, and the boards' ids by name."""

    workspace: str
    keys: dict[str, AgentKey]
    people: dict[str, PersonPassword]
    boards: dict[str, UUID]


async def prepare(settings: Settings, dsn: str) -> tuple[Scene | None, FirstAdmin | None]:
    """Return the scene, None where the log is not a demo's; and the first admin where it was seeded."""
    admin = None
    if _first_command(dsn) is None:
        with _progress() as tell:
            admin = await seed(settings, dsn, tell)
    if _first_command(dsn) != FOUNDED:
        log.warning("this log is not a demo's: it is served as it is, and --demo adds nothing")
        return None, None
    return await _scene(settings, dsn), admin


def clean_up(dsn: str) -> None:
    """Drop the draft of a seeding that was cut off."""
    with psycopg.connect(dsn, options=SYSTEM_OPTIONS, autocommit=True) as connection:
        drop_draft(connection)


def _first_command(dsn: str) -> UUID | None:
    with psycopg.connect(dsn, options=SYSTEM_OPTIONS) as connection:
        row = connection.execute("SELECT command_id FROM events WHERE position = 1").fetchone()
    return row[0] if row else None


async def _scene(settings: Settings, dsn: str) -> Scene:
    with psycopg.connect(dsn, options=SYSTEM_OPTIONS) as connection:
        row = connection.execute("SELECT workspace_id FROM events WHERE position = 1").fetchone()
        assert row is not None, "the caller has seen this event"
        workspace_id: UUID = row[0]
        row = connection.execute(
            "SELECT name FROM guard_workspaces WHERE workspace_id = %s", [workspace_id]
        ).fetchone()
        assert row is not None, "a workspace is founded with its name"
        workspace: str = row[0]
        named = connection.execute(
            "SELECT kind, name_key, owner_id FROM guard_names WHERE workspace_id = %s",
            [workspace_id],
        ).fetchall()
    ids: dict[tuple[str, str], UUID] = {(kind, name): owner for kind, name, owner in named}
    boards = {
        team.name: ids["board", name_key(team.name)]
        for team in TEAMS
        if ("board", name_key(team.name)) in ids
    }
    keys = Keys.read(settings.data_dir)
    if keys is None:
        async with write_side(settings, dsn) as bus:
            keys = await _new_keys(bus, dsn, workspace_id, ids)
        keys.write(settings.data_dir)
        log.info("the demo's keys were lost; new ones are in force")
    by_name = {key.name: key for key in keys.agents}
    return Scene(workspace, by_name, {person.name: person for person in keys.people}, boards)


async def _new_keys(
    bus: Bus, dsn: str, workspace_id: UUID, ids: dict[tuple[str, str], UUID]
) -> Keys:
    """Make every secret of the file anew: agents' keys by command, people's passwords beside the log."""
    made: list[AgentKey] = []
    for worker in WORKERS:
        agent_id = ids.get(("agent", name_key(worker.name)))
        if agent_id is None:
            continue
        key_id, text, row = new_agent_key(workspace_id, agent_id, DEFAULT_SCOPES)
        actor = Actor(ActorKind.SYSTEM, FOUNDED)
        meta = CommandMeta(uuid7(), workspace_id, actor, uuid7())
        try:
            await bus.execute(
                IssueKey(agent_id, key_id, "demo", DEFAULT_SCOPES, row), Context(meta)
            )
        except Refusal as refusal:
            log.warning("an agent of the demo gets no key", agent=worker.name, code=refusal.code)
            continue
        made.append(AgentKey(agent_id, worker.name, text))
    return Keys(tuple(made), tuple(await _new_passwords(bus, dsn, workspace_id)))


async def _new_passwords(bus: Bus, dsn: str, workspace_id: UUID) -> list[PersonPassword]:
    vault, passwords = bus.tools.vault, Passwords()
    await vault.load_workspaces([workspace_id])
    made: list[PersonPassword] = []
    with psycopg.connect(dsn, options=SYSTEM_OPTIONS) as connection:
        for person in PEOPLE:
            secret = generate()
            row = connection.execute(
                "UPDATE credentials SET password_hash = %s, changed_at = clock_timestamp()"
                " WHERE workspace_id = %s AND email_digest = %s RETURNING user_id",
                [
                    await passwords.hash(secret), workspace_id,
                    vault.email_digest(workspace_id, person.email),
                ],
            ).fetchone()  # fmt: skip
            if row is not None:
                role = Role(person.role).value
                made.append(PersonPassword(row[0], person.name, person.email, role, secret))
    return made


@contextmanager
def _progress() -> Iterator[Tell]:
    """Show how far the seeding is, on a terminal, from when it has taken a while."""
    console = Console(stderr=True)
    columns = (TextColumn("seeding the demo"), BarColumn(), MofNCompleteColumn())
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task("seeding")
    show_at = time.monotonic() + PROGRESS_AFTER_S

    def tell(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total)
        if console.is_terminal and not bar.live.is_started and time.monotonic() > show_at:
            bar.start()

    try:
        yield tell
    finally:
        if bar.live.is_started:
            bar.stop()
