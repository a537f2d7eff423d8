"""A process manager: when a mission is done, deleted or re-opened, those that wait for it take note."""

import contextlib
import hashlib
from dataclasses import dataclass
from uuid import UUID, uuid5

from commands.append import Actor, ActorKind, CommandMeta
from commands.bus import Bus, Context
from commands.missions import NoteDependency
from domain.base import Event, NotFound
from domain.mission import Mission
from infra.envelopes import Envelope
from infra.postgres import Database
from streams.follower import Follower
from streams.job import Job

NAME = "dependencies"
NAMESPACE = UUID("6a1f5c7e-2b0d-5a9b-8f3e-91c2d4e5f607")
MANAGER = Actor(ActorKind.SYSTEM, uuid5(NAMESPACE, NAME))
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


class DependencyManager(Job):
    """Follows the log with a checkpoint of its own; a repeated reaction changes nothing."""

    def __init__(self, database: Database, follower: Follower, bus: Bus) -> None:
        super().__init__(NAME)
        self._database = database
        self._follower = follower
        self._bus = bus

    async def work(self) -> None:
        saved = position = await self._follower.checkpoint(NAME)
        while True:
            idle = not await self._follower.waited_beyond(position)
            reacted = False
            for envelope in await self._follower.read(position, BATCH_EVENTS_MAX):
                reacted |= envelope.type.startswith("mission.") and await self._react(envelope)
                position = envelope.position
            if saved < position and (reacted or idle or position - saved > BATCH_EVENTS_MAX):
                async with self._database.system() as connection:
                    await self._follower.save_checkpoint(connection, NAME, saved, position)
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
