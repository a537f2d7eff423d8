"""Signs of life of agents: heartbeats, and whatever else they do by their own keys."""

import contextlib
import time
from dataclasses import dataclass
from uuid import UUID

import psycopg
from psycopg_pool import PoolTimeout

from commands.agents import ReportPresence
from commands.append import ActorKind, LogUnavailable
from commands.bus import Bus, ConflictPersists, Context
from domain.agent import Presence
from domain.base import Refusal

NOTED_EVERY_S = 5.0
MISSED = (Refusal, ConflictPersists, LogUnavailable, psycopg.Error, PoolTimeout)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What an agent says of itself: its state, and which of the missions that it holds it works on."""

    state: Presence
    mission_id: UUID | None


class SignsOfLife:
    """Notes them, which are telemetry, and records the transitions that they mean, which are events."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._noted: dict[UUID, tuple[float, Presence]] = {}

    async def beat(self, agent_id: UUID, heartbeat: Heartbeat, context: Context) -> Presence:
        """Note a heartbeat; return the agent's presence. Raises a `Refusal` where it may not work."""
        return await self._note(agent_id, heartbeat, context)

    async def acted(self, context: Context, *, holds: bool | None = None) -> None:
        """Note that an actor did something, if it is an agent.

        `holds`: it claimed a mission, or gave one back, so that what it is has to be known before it hears of
        that. Other signs are noted once in `NOTED_EVERY_S`, as are claims of an agent that is busy already. What
        was done stays done: a sign that can't be noted is missed.
        """
        actor = context.actor
        if actor.kind != ActorKind.AGENT or not self._is_news(actor.id, holds):
            return
        with contextlib.suppress(*MISSED):
            await self._note(actor.id, None, context)

    def _is_news(self, agent_id: UUID, holds: bool | None) -> bool:
        noted_at, presence = self._noted.get(agent_id, (0.0, Presence.OFFLINE))
        if holds is False or time.monotonic() - noted_at >= NOTED_EVERY_S:
            return True
        return presence == Presence.OFFLINE or (holds is True and presence != Presence.BUSY)

    async def _note(
        self, agent_id: UUID, heartbeat: Heartbeat | None, context: Context
    ) -> Presence:
        said, mission_id = (heartbeat.state, heartbeat.mission_id) if heartbeat else (None, None)
        write_side = self._bus.tools.write_side
        sign = await write_side.note_sign(context.workspace_id, agent_id, said, mission_id)
        presence = presence_of(sign.said, holds=sign.holds) if sign else said or Presence.AVAILABLE
        if sign is None or sign.known != presence:
            await self._bus.execute(ReportPresence(agent_id, presence), context.internally())
        self._noted[agent_id] = time.monotonic(), presence
        return presence


def presence_of(said: Presence, *, holds: bool) -> Presence:
    """Return what an agent is that was heard: busy by its own word, or because it holds a lease."""
    return Presence.BUSY if said == Presence.AVAILABLE and holds else said
