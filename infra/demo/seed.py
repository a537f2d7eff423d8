"""Seeding: the story goes through the command handlers, with the story's time in place of the clock's.

It is told into a draft, a schema of its own beside the real tables, which becomes the log in one
transaction: a start that is killed in the middle leaves an empty log, and the next one begins afresh.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from uuid_utils.compat import uuid7

from commands import agents, boards, members
from commands.append import Actor, ActorKind, Appended, CommandMeta, Recorded, Verdict
from commands.bus import Bus, Context
from commands.missions import expired_lease
from commands.workspaces import FoundWorkspace
from domain.agent import Presence
from domain.board import Board, Stage
from domain.permissions import DEFAULT_SCOPES
from domain.workspace import Workspace
from infra.command_bus import write_side
from infra.demo import story
from infra.demo.company import COMPANY, FOUNDED, PEOPLE, TEAMS, WORKERS
from infra.demo.keys import AgentKey, Keys, PersonPassword
from infra.first_start import FirstAdmin, first_admin
from infra.identity import new_agent_key
from infra.migrate import migrate
from infra.passwords import Passwords, generate
from infra.postgres import SYSTEM_OPTIONS
from infra.settings import Settings, StartRefused
from streams.dependencies import MANAGER
from streams.timers import TIMERS

SEED = 2_026
WAVE_COMMANDS_MAX = 100
COMMANDS_AHEAD_MAX = 300
SEED_LOCK = 7_301_203  # any number that nothing else here uses
DRAFT = "demo_draft"
# Nothing of a draft has to last; the transaction that makes it real waits for the disk.
DRAFT_OPTIONS = f"-c search_path={DRAFT} -c synchronous_commit=off"
ENDS_BEFORE_NOW = timedelta(seconds=20)
SETUP_PACE = timedelta(seconds=4)

Tell = Callable[[int, int], None]
"""Called with the commands recorded so far, and all that are to be."""


async def seed(settings: Settings, dsn: str, tell: Tell) -> FirstAdmin | None:
    """Make an empty log the demo's, all of it or nothing; None if another process has filled it."""
    with _alone(dsn) as connection:
        if not _is_empty(connection):
            return None
        await asyncio.to_thread(_make_draft, connection, dsn)
        admin, password = first_admin(settings)
        async with write_side(settings, dsn, DRAFT_OPTIONS, as_decided=True) as bus:
            keys = await _Seeder(bus, Passwords(), tell).seed(admin.email, password)
        # Before the log knows of the keys: it holds their hashes only.
        keys.write(settings.data_dir)
        _publish(connection)
    return admin


def drop_draft(connection: psycopg.Connection) -> None:
    """Remove what a seeding that was cut off has left."""
    connection.execute("SET client_min_messages = warning")
    connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(DRAFT)))


@contextmanager
def _alone(dsn: str) -> "Iterator[psycopg.Connection]":
    """Lend a connection that holds the lock of seeding, until the end of the block."""
    with psycopg.connect(dsn, options=SYSTEM_OPTIONS, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [SEED_LOCK])
        yield connection


def _is_empty(connection: psycopg.Connection) -> bool:
    return connection.execute("SELECT position FROM log_head").fetchone() == (0,)


def _make_draft(connection: psycopg.Connection, dsn: str) -> None:
    drop_draft(connection)
    try:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(DRAFT)))
    except psycopg.errors.InsufficientPrivilege:
        raise StartRefused(
            "--demo needs a role that may make a schema in the database: GRANT CREATE ON DATABASE"
        ) from None
    migrate(make_conninfo(dsn, options=DRAFT_OPTIONS))


def _publish(connection: psycopg.Connection) -> None:
    """Make the draft the log, in one transaction."""
    draft = sql.Identifier(DRAFT)
    with connection.transaction():
        head = connection.execute("SELECT position FROM log_head FOR UPDATE").fetchone()
        if head != (0,):
            raise StartRefused("somebody wrote to the log while the demo was made; start again")
        tables = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s"
            " AND tablename NOT IN ('schema_migrations', 'log_head')",
            [DRAFT],
        ).fetchall()
        for (name,) in tables:
            table = sql.Identifier(name)
            full = connection.execute(
                sql.SQL("SELECT EXISTS (SELECT FROM {}.{})").format(draft, table)
            ).fetchone()
            if full == (True,):
                copy = "INSERT INTO {} OVERRIDING SYSTEM VALUE SELECT * FROM {}.{}"
                connection.execute(sql.SQL(copy).format(table, draft, table))
        connection.execute(
            sql.SQL(
                "UPDATE log_head SET position = d.position, recorded_at = d.recorded_at FROM {}.log_head d"
            ).format(draft)
        )
        drop_draft(connection)


@dataclass
class _Seeder:
    bus: Bus
    passwords: Passwords
    tell: Tell
    workspace_id: UUID = field(default_factory=uuid7)
    admin_id: UUID = field(default_factory=uuid7)
    names: story.Names = field(default_factory=lambda: story.Names({}, {}, {}))
    owners: dict[str, UUID] = field(default_factory=dict)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    waiting: deque[asyncio.Task[Verdict]] = field(default_factory=deque)

    async def seed(self, email: str, password: str) -> Keys:
        """Tell the whole story; return the secrets that it needs to go on."""
        told = story.Story(Random(SEED), datetime.now(UTC) - ENDS_BEFORE_NOW)  # noqa: S311 - a story
        steps = told.steps()
        self.now = told.start
        await self._found(email, password)
        people = await self._invite()
        keys = await self._register()
        await self._lay_out()
        done = 0
        for wave in _waves(steps):
            await self._play(wave)
            done += len(wave)
            self.tell(done, len(steps))
        await self._recorded(at_most=0)
        await self._show_presence(told.presence)
        await self.bus.tools.aggregates.close()
        return Keys(tuple(keys), tuple(people))

    # The company

    async def _found(self, email: str, password: str) -> None:
        command = FoundWorkspace(
            self.workspace_id, COMPANY, self.admin_id, email, email.split("@", maxsplit=1)[0],
            await self.passwords.hash(password), TEAMS[0].name,
        )  # fmt: skip
        actor = Actor(ActorKind.SYSTEM, self.admin_id)
        meta = CommandMeta(FOUNDED, self.workspace_id, actor, uuid7())
        await self.bus.execute(command, Context(meta, now=self.now))

    async def _invite(self) -> list[PersonPassword]:
        secrets = [generate() for _ in PEOPLE]
        hashes = await asyncio.gather(*(self.passwords.hash(secret) for secret in secrets))
        made: list[PersonPassword] = []
        for person, secret, hashed in zip(PEOPLE, secrets, hashes, strict=True):
            user_id = uuid7()
            self.names.actors[person.name] = user_id
            await self._as_admin(
                members.AddMember(user_id, person.email, person.name, person.role, hashed)
            )
            made.append(PersonPassword(user_id, person.name, person.email, person.role, secret))
        return made

    async def _register(self) -> list[AgentKey]:
        made: list[AgentKey] = []
        for worker in WORKERS:
            owner = self.names.actors[worker.owner]
            command = agents.RegisterAgent(
                worker.name, worker.role, worker.capabilities, {"home": worker.board}, owner
            )
            agent_id = (await self._as_admin(command))["id"]
            self.names.actors[worker.name] = agent_id
            self.owners[worker.name] = owner
            key_id, text, row = new_agent_key(self.workspace_id, agent_id, DEFAULT_SCOPES)
            await self._as_admin(agents.IssueKey(agent_id, key_id, "demo", DEFAULT_SCOPES, row))
            made.append(AgentKey(agent_id, worker.name, text))
        return made

    async def _lay_out(self) -> None:
        """Make the boards with their columns and limits."""
        aggregates = self.bus.tools.aggregates
        workspace = await aggregates.get(Workspace, self.workspace_id, self.workspace_id)
        for team in TEAMS:
            board_id = workspace.default_board_id
            if team is not TEAMS[0]:
                board_id = (await self._as_admin(boards.CreateBoard(team.name)))["id"]
            board = await aggregates.get(Board, board_id, self.workspace_id)
            self.names.boards[team.name] = board.id
            for stage in Stage:
                self.names.columns[team.name, stage] = board.first(stage).id
            for name, stage in team.more_columns:
                before = board.first(Stage.READY).id
                await self._as_admin(boards.AddColumn(board.id, name, stage, None, before))
            for stage, limit in team.limits.items():
                await self._as_admin(
                    boards.SetWipLimit(board.id, self.names.columns[team.name, stage], limit)
                )

    async def _as_admin(self, command: Any) -> Any:
        self.now += SETUP_PACE
        actor = Actor(ActorKind.USER, self.admin_id)
        meta = CommandMeta(uuid7(), self.workspace_id, actor, uuid7())
        return (await self.bus.execute(command, Context(meta, now=self.now))).body

    # The story

    async def _play(self, wave: list[story.Step]) -> None:
        commands = [(step.command(self.names), self._context(step)) for step in wave]
        if wave[0].alone:
            await self._recorded(at_most=0)
        first = commands[0][0]
        if isinstance(first, story.Lapse):
            await self._lapse(first, commands[0][1])
            return
        decided = await asyncio.gather(*(self.bus.decide_ahead(*each) for each in commands))
        for step, (decision, append) in zip(wave, decided, strict=True):
            self.waiting.append(asyncio.create_task(self.bus.log.append(append)))
            if step.kept is not None:
                step.kept(self.names, dict(decision.answer(Recorded(0, {}, step.at)).body))
        await self._recorded(at_most=COMMANDS_AHEAD_MAX)

    async def _recorded(self, *, at_most: int) -> None:
        """Wait until no more than `at_most` commands are on their way, and all others in the log."""
        while len(self.waiting) > at_most:
            verdict = await self.waiting.popleft()
            assert isinstance(verdict, Appended), f"the story is refused: {verdict}"

    def _context(self, step: story.Step) -> Context:
        if step.actor in {story.TIMERS, story.MANAGER}:
            actor = TIMERS if step.actor == story.TIMERS else MANAGER
        else:
            kind = ActorKind.AGENT if step.actor in self.owners else ActorKind.USER
            actor = Actor(kind, self.names.actors[step.actor])
        owner = self.owners.get(step.actor)
        meta = CommandMeta(uuid7(), self.workspace_id, actor, uuid7(), on_behalf_of=owner)
        return Context(meta, now=step.at)

    async def _lapse(self, lapse: story.Lapse, context: Context) -> None:
        async def decide() -> Any:
            return await expired_lease(lapse.mission_id, lapse.token, context, self.bus.tools)

        await self.bus.expire_lease(lapse.mission_id, lapse.token, context, decide)

    async def _show_presence(self, presence: dict[str, Presence]) -> None:
        """Note the heartbeats that the last events tell of: they end when no others come."""
        write_side = self.bus.tools.write_side
        for name, state in presence.items():
            agent_id = self.names.actors[name]
            await write_side.note_sign(self.workspace_id, agent_id, state, None)


def _waves(steps: list[story.Step]) -> "Iterator[list[story.Step]]":
    """Yield steps that may be decided together: none of them on the stream of another."""
    wave: list[story.Step] = []
    streams: set[str] = set()
    for step in steps:
        if wave and (step.alone or step.stream in streams or len(wave) >= WAVE_COMMANDS_MAX):
            yield wave
            wave, streams = [], set()
        wave.append(step)
        streams.add(step.stream)
        if step.alone:
            yield wave
            wave, streams = [], set()
    if wave:
        yield wave
