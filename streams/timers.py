"""What happens because time passes: leases lapse, silent agents go offline, those without a lease are free."""

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

from commands.agents import ReportPresence
from commands.append import Actor, ActorKind, CommandMeta
from commands.bus import Bus, Context, Decision
from commands.missions import expired_lease
from domain.agent import Presence
from domain.base import Refusal
from infra.postgres import Connection, Database
from streams.job import Job

TICK_S = 0.5
SILENCE_S = 5
DUE_MAX = 200
NAMESPACE = UUID("0d5b3d0a-8a53-5a3c-9c86-7f8de2b9c0a1")
TIMERS = Actor(ActorKind.SYSTEM, uuid5(NAMESPACE, "timers"))

# When no timer was alive to see renewals through, nobody is blamed: every lease gets one more TTL.
FORGIVE = """
WITH last AS (SELECT max(beat_at) AS beat_at FROM timer_beats WHERE name = 'leases')
UPDATE leases SET expires_at = greatest(expires_at, clock_timestamp() + make_interval(secs => ttl_s))
FROM last WHERE coalesce(last.beat_at, '-infinity') < clock_timestamp() - make_interval(secs => %s)"""
FORGIVE_SILENCE = """
WITH last AS (SELECT max(beat_at) AS beat_at FROM timer_beats WHERE name = 'leases')
UPDATE presence SET counted_from = clock_timestamp() FROM last
WHERE state <> 'offline'
    AND coalesce(last.beat_at, '-infinity') < clock_timestamp() - make_interval(secs => %s)"""
BEAT = """
INSERT INTO timer_beats VALUES ('leases', clock_timestamp())
ON CONFLICT (name) DO UPDATE SET beat_at = excluded.beat_at"""
DUE = """
SELECT mission_id, token, workspace_id FROM leases WHERE expires_at <= clock_timestamp()
ORDER BY expires_at LIMIT %s"""
# Whose presence in the log is not what their signs of life and leases say (commands/signs.py has the same rule).
OTHERWISE = """
SELECT agent_id, workspace_id, presence FROM (
    SELECT p.agent_id, p.workspace_id, p.state, CASE
        WHEN greatest(p.seen_at, p.counted_from) < clock_timestamp() - make_interval(secs => %s)
            THEN 'offline'
        WHEN p.said = 'available' AND EXISTS (SELECT 1 FROM leases l WHERE l.agent_id = p.agent_id)
            THEN 'busy'
        ELSE p.said END AS presence
    FROM presence p JOIN guard_agents a ON a.agent_id = p.agent_id AND a.lifecycle = 'active') t
WHERE presence <> state LIMIT %s"""


class Timers(Job):
    """Looks twice a second for what is due. Runs in one process of a deployment."""

    def __init__(self, database: Database, bus: Bus, heartbeat_timeout_s: int) -> None:
        super().__init__("timers")
        self._database = database
        self._bus = bus
        self._heartbeat_timeout_s = heartbeat_timeout_s

    async def work(self) -> None:
        while True:
            await self.tick()
            await asyncio.sleep(TICK_S)

    async def tick(self) -> None:
        """Do what is due now."""
        async with self._database.system() as connection:
            async with connection.transaction():
                await connection.execute(FORGIVE, [SILENCE_S])
                await connection.execute(FORGIVE_SILENCE, [SILENCE_S])
                await connection.execute(BEAT)
            due = await _rows(connection, DUE, [DUE_MAX])
            otherwise = await _rows(connection, OTHERWISE, [self._heartbeat_timeout_s, DUE_MAX])
        expiries = [self._expire(*lease) for lease in due]
        reports = [self._report(*agent) for agent in otherwise]
        # One that fails keeps no other from its end; the job says so, and tries again.
        outcomes = await asyncio.gather(*expiries, *reports, return_exceptions=True)
        for failure in filter(None, outcomes):
            raise failure

    async def _expire(self, mission_id: UUID, token: int, workspace_id: UUID) -> None:
        context = _context(workspace_id, f"lease:{mission_id}:{token}")

        async def decide() -> Decision:
            return await expired_lease(mission_id, token, context, self._bus.tools)

        await self._bus.expire_lease(mission_id, token, context, decide)

    async def _report(self, agent_id: UUID, workspace_id: UUID, presence: str) -> None:
        now = datetime.now(UTC).isoformat()
        command = ReportPresence(agent_id, Presence(presence))
        with contextlib.suppress(Refusal):  # deactivated or retired meanwhile, and so offline
            await self._bus.execute(command, _context(workspace_id, f"{presence}:{agent_id}:{now}"))


def _context(workspace_id: UUID, cause: str) -> Context:
    command_id = uuid5(NAMESPACE, cause)
    return Context(CommandMeta(command_id, workspace_id, TIMERS, command_id))


async def _rows(connection: Connection, query: str, values: list[Any]) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query, values)).fetchall()
