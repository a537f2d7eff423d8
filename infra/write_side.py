"""What command handlers may ask of the write side's tables. No command reads a projection."""

from typing import Any
from uuid import UUID

from domain.agent import Lifecycle
from domain.board import Stage
from infra.postgres import Database


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

    async def presence(self, workspace_id: UUID, agent_id: UUID) -> str | None:
        """Return what the heartbeats say of an agent; None before the first."""
        rows = await self._database.fetch(
            workspace_id,
            "SELECT state FROM presence WHERE agent_id = %s AND workspace_id = %s",
            [agent_id, workspace_id],
        )
        return str(rows[0][0]) if rows else None

    async def beat(
        self,
        workspace_id: UUID,
        agent_id: UUID,
        known: str | None,
        state: str,
        mission_id: UUID | None,
    ) -> bool:
        """Note a heartbeat, which is telemetry and no event.

        Returns False when the state is no longer the `known` one: somebody else saw a transition.
        """
        rows = await self._database.fetch(
            workspace_id,
            "INSERT INTO presence AS p (agent_id, workspace_id, state, mission_id, seen_at)"
            " VALUES (%(agent)s, %(workspace)s, %(state)s, %(mission)s, clock_timestamp())"
            " ON CONFLICT (agent_id) DO UPDATE SET state = excluded.state,"
            " mission_id = excluded.mission_id, seen_at = excluded.seen_at"
            " WHERE p.state = %(known)s RETURNING agent_id",
            {
                "agent": agent_id, "workspace": workspace_id, "state": state,
                "mission": mission_id, "known": known,
            },
        )  # fmt: skip
        return bool(rows)
