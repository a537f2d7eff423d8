"""A process manager: when a mission is done, deleted or re-opened, those that wait for it take note."""

import asyncio
import contextlib
import hashlib
from dataclasses import dataclass
from typing import Self
from uuid import UUID, uuid5

import psycopg

from commands.append import Actor, ActorKind, CommandMeta, LogUnavailable
from commands.bus import Bus, ConflictPersists, Context
from commands.missions import NoteDependency
from domain.base import Event, NotFound
from domain.mission import Mission
from infra.envelopes import Envelope
from infra.logging import log
from infra.postgres import Database
from streams.follower import Follower

NAME = "dependencies"
NAMESPACE = UUID("6a1f5c7e-2b0d-5a9b-8f3e-91c2d4e5f607")
MANAGER = Actor(ActorKind.SYSTEM, uuid5(NAMESPACE, NAME))
RETRY_PAUSE_S = 0.5
BATCH_EVENTS_MAX = 500
# Commands of the program have no HTTP request; a constant hash makes them idempotent by their id.
REQUEST_HASH = hashlib.sha256(NAME.encode()).digest()


@dataclass(frozen=True, slots=True)
class News:
    """What dependants have to hear of a mission: is it out of their way?"""

    mission_id: UUID
    met: bool


def news(event: Event) -> News | None:
    """Return what an event means for those that wait for its mission. Pure."""
    match event:
        case Mission.Completed() | Mission.Deleted():
            return News(event.originator_id, met=True)
        case Mission.Reopened():
            return News(event.originator_id, met=False)
        case _:
            return None


class DependencyManager:
    """Follows the log with a checkpoint of its own; a repeated reaction changes nothing."""

    def __init__(self, database: Database, follower: Follower, bus: Bus) -> None:
        self._database = database
        self._follower = follower
        self._bus = bus
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name=NAME)
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            try:
                await self._follow()
            except (psycopg.Error, OSError, LogUnavailable, ConflictPersists) as error:
                log.warning("process manager waits", manager=NAME, error=type(error).__name__)
            except Exception:  # noqa: BLE001 - nothing is skipped: the same event is tried again
                log.exception("process manager failed", manager=NAME)
            await asyncio.sleep(RETRY_PAUSE_S)

    async def _follow(self) -> None:
        saved = position = await self._follower.checkpoint(NAME)
        while True:
            idle = not await self._follower.waited_beyond(position)
            reacted = False
            for envelope in await self._follower.read(position, BATCH_EVENTS_MAX):
                reacted |= envelope.type.startswith("mission.") and await self._react(envelope)
                position = envelope.position
            if saved < position and (reacted or idle or position - saved > BATCH_EVENTS_MAX):
                async with self._database.system() as connection:
                    await self._follower.save_checkpoint(connection, NAME, position)
                saved = position

    async def _react(self, envelope: Envelope) -> bool:
        heard = news(envelope.event)
        if heard is None:
            return False
        write_side = self._bus.tools.write_side
        for dependant in await write_side.dependents(envelope.workspace_id, heard.mission_id):
            command = NoteDependency(dependant, heard.mission_id, heard.met)
            with contextlib.suppress(NotFound):  # deleted meanwhile
                await self._bus.execute(command, self._context(envelope, dependant))
        return True

    def _context(self, envelope: Envelope, dependant: UUID) -> Context:
        cause = f"{self._follower.log_id}:{envelope.position}:{dependant}"
        return Context(
            CommandMeta(
                command_id=uuid5(NAMESPACE, cause),
                workspace_id=envelope.workspace_id,
                actor=MANAGER,
                correlation_id=envelope.correlation_id,
                causation_id=envelope.event_id,
                request_hash=REQUEST_HASH,
            )
        )
