"""What command handlers may ask of the write side's tables. No command reads a projection."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from domain.agent import Lifecycle, Presence
from domain.board import Stage
from infra.postgres import Database

NOTE_SIGN = """
INSERT INTO presence AS p (agent_id, workspace_id, state, said, mission_id, seen_at)
SELECT agent_id, workspace_id, 'offline', coalesce(%(said)s::text, 'available'), %(mission)s::uuid,
    clock_timestamp()
FROM guard_agents
WHERE agent_id = %(agent)s AND workspace_id = %(workspace)s AND lifecycle = 'active'
ON CONFLICT (agent_id) DO UPDATE SET seen_at = excluded.seen_at,
    said = coalesce(%(said)s::text, nullif(p.said, 'offline'), 'available'),
    mission_id = CASE WHEN %(said)s::text IS NULL THEN p.mission_id ELSE excluded.mission_id END
RETURNING state, said, EXISTS (SELECT 1 FROM leases WHERE agent_id = %(agent)s)"""


@dataclass(frozen=True, slots=True)
class Sign:
    """A sign of life: what the log says of the agent, what it says itself, and whether it holds a lease."""

    known: Presence
    said: Presence
    holds: bool


class WriteSide:
    """Questions about guard rows, as of now: the append checks again what has to hold."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def is_actor(self, workspace_id: UUID, actor_id: UUID) -> bool:
        """Tell whether this is a member or an agent of the workspace that may still act."""
        rows = await self._database.fetch(
            workspace_id,
            "SELECT 1 FROM guard_members WHERE user_id = %(id)s AND workspace_id = %(workspace)s AND NOT disabled"
            " UNION ALL SELECT 1 FROM guard_agents WHERE agent_id = %(id)s AND workspace_id = %(workspace)s"
            " AND lifecycle <> %(retired)s",
            {"id": actor_id, "workspace": workspace_id, "retired": Lifecycle.RETIRED.value},
        )
        return bool(rows)

    async def capabilities(self, workspace_id: UUID, agent_id: UUID) -> frozenset[str]:
        """Return what an agent can do; nothing for one that is not there."""
        rows = await self._database.fetch(
            workspace_id,
            "SELECT capabilities FROM guard_agents WHERE agent_id = %s AND workspace_id = %s",
            [agent_id, workspace_id],
        )
        return frozenset(rows[0][0]) if rows else frozenset()

    async def is_met(self, workspace_id: UUID, mission_id: UUID) -> bool | None:
        """Tell whether nobody has to wait for a mission; None where there is no such mission."""
        rows = await self._database.fetch(
            workspace_id,
            "SELECT stage FROM guard_missions WHERE mission_id = %s AND workspace_id = %s",
            [mission_id, workspace_id],
        )
        return str(rows[0][0]) == Stage.DONE if rows else None

    async def dependents(self, workspace_id: UUID, mission_id: UUID) -> list[UUID]:
        """Return the missions that wait, or waited, for this one."""
        rows = await self._database.fetch(
            workspace_id,
            "SELECT mission_id FROM guard_dependencies WHERE depends_on_id = %s AND workspace_id = %s"
            " ORDER BY mission_id",
            [mission_id, workspace_id],
        )
        return [row[0] for row in rows]

    async def gap(
        self,
        workspace_id: UUID,
        column_id: UUID,
        moving: UUID,
        *,
        before: UUID | None,
        after: UUID | None,
    ) -> tuple[str, str | None] | None:
        """Return the ranks on both sides of the gap next to a card; None if it is not in the column.

        "" stands for the beginning of the column, None for its end.
        """
        neighbour = before or after
        rows = await self._database.fetch(
            workspace_id,
            "SELECT mission_id, rank FROM guard_missions WHERE column_id = %s AND workspace_id = %s"
            " AND mission_id <> %s ORDER BY rank, mission_id",
            [column_id, workspace_id, moving],
        )
        ids = [row[0] for row in rows]
        if neighbour not in ids:
            return None
        index = ids.index(neighbour) + (0 if before else 1)
        low = rows[index - 1][1] if index else ""
        high = rows[index][1] if index < len(rows) else None
        return low, high

    async def cards_in_order(self, workspace_id: UUID, column_id: UUID) -> list[UUID]:
        """Return the cards of a column from top to bottom."""
        rows = await self._database.fetch(
            workspace_id,
            "SELECT mission_id FROM guard_missions WHERE column_id = %s AND workspace_id = %s"
            " ORDER BY rank, mission_id",
            [column_id, workspace_id],
        )
        return [row[0] for row in rows]

    async def renew_lease(
        self, workspace_id: UUID, mission_id: UUID, agent_id: UUID, token: int, ttl_s: int | None
    ) -> Any | None:
        """Move a lease's end to `ttl_s` from now; return the new end, or None if it is not in force."""
        rows = await self._database.fetch(
            workspace_id,
            "UPDATE leases SET ttl_s = coalesce(%(ttl)s, ttl_s),"
            " expires_at = clock_timestamp() + make_interval(secs => coalesce(%(ttl)s, ttl_s))"
            " WHERE mission_id = %(mission)s AND agent_id = %(agent)s AND token = %(token)s"
            " AND workspace_id = %(workspace)s RETURNING expires_at",
            {
                "ttl": ttl_s, "mission": mission_id, "agent": agent_id, "token": token,
                "workspace": workspace_id,
            },
        )  # fmt: skip
        return rows[0][0] if rows else None

    async def is_member(self, workspace_id: UUID, user_id: UUID) -> bool:
        """Tell whether this is a member who may act."""
        rows = await self._database.fetch(
            workspace_id,
            "SELECT 1 FROM guard_members WHERE user_id = %s AND workspace_id = %s AND NOT disabled",
            [user_id, workspace_id],
        )
        return bool(rows)

    async def email_taken(self, workspace_id: UUID, digest: bytes) -> bool:
        """Tell whether somebody in the workspace has this e-mail address."""
        rows = await self._database.fetch(
            workspace_id,
            "SELECT 1 FROM credentials WHERE email_digest = %s AND workspace_id = %s",
            [digest, workspace_id],
        )
        return bool(rows)

    async def note_sign(
        self, workspace_id: UUID, agent_id: UUID, said: Presence | None, mission_id: UUID | None
    ) -> Sign | None:
        """Note a sign of life, which is telemetry and no event; None of an agent that may not work.

        Without a word of its own (`said`), the last one counts; whoever said goodbye and acts is back.
        """
        rows = await self._database.fetch(
            workspace_id,
            NOTE_SIGN,
            {"agent": agent_id, "workspace": workspace_id, "said": said, "mission": mission_id},
        )
        return Sign(Presence(rows[0][0]), Presence(rows[0][1]), bool(rows[0][2])) if rows else None
