"""Agents as people see them: what they can do, whether they may work, and what their heartbeats said."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.agent import Agent, Lifecycle, Presence
from domain.base import Event, replace
from projections.read_model import Apply, ReadModel

__all__ = ["AGENTS", "AgentKey", "AgentRow", "Lifecycle", "Presence"]


@dataclass(frozen=True)
class AgentKey:
    """A key that is not revoked; its secret is nowhere."""

    id: UUID
    name: str
    scopes: tuple[str, ...]
    issued_at: datetime


@dataclass(frozen=True)
class AgentRow:
    """One agent. `presence` is what the last transition said; telemetry knows when it was last seen."""

    id: UUID
    workspace_id: UUID
    version: int
    name: str
    role: str
    capabilities: tuple[str, ...]
    config: dict[str, Any]
    owner_id: UUID
    lifecycle: Lifecycle
    presence: Presence
    keys: tuple[AgentKey, ...]
    created_at: datetime
    updated_at: datetime


def registered(_: AgentRow | None, event: Any) -> AgentRow:
    return AgentRow(
        id=event.originator_id,
        workspace_id=event.workspace_id,
        version=event.originator_version,
        name=event.name,
        role=event.role,
        capabilities=event.capabilities,
        config=event.config,
        owner_id=event.owner_id,
        lifecycle=Lifecycle.ACTIVE,
        presence=Presence.OFFLINE,
        keys=(),
        created_at=event.timestamp,
        updated_at=event.timestamp,
    )


def updated(row: AgentRow, event: Any) -> AgentRow:
    return replace(
        row,
        name=event.name,
        role=event.role,
        capabilities=event.capabilities,
        config=event.config,
    )


def activated(row: AgentRow, _: Any) -> AgentRow:
    return replace(row, lifecycle=Lifecycle.ACTIVE)


def deactivated(row: AgentRow, _: Any) -> AgentRow:
    return replace(row, lifecycle=Lifecycle.INACTIVE)


def retired(row: AgentRow, _: Any) -> AgentRow:
    return replace(row, lifecycle=Lifecycle.RETIRED, presence=Presence.OFFLINE, keys=())


def key_issued(row: AgentRow, event: Any) -> AgentRow:
    key = AgentKey(event.key_id, event.name, event.scopes, event.timestamp)
    return replace(row, keys=(*row.keys, key))


def key_revoked(row: AgentRow, event: Any) -> AgentRow:
    return replace(row, keys=tuple(key for key in row.keys if key.id != event.key_id))


def available(row: AgentRow, _: Any) -> AgentRow:
    return replace(row, presence=Presence.AVAILABLE)


def went_busy(row: AgentRow, _: Any) -> AgentRow:
    return replace(row, presence=Presence.BUSY)


def went_offline(row: AgentRow, _: Any) -> AgentRow:
    return replace(row, presence=Presence.OFFLINE)


def _dated(function: Apply) -> Apply:
    def apply(row: AgentRow | None, event: Event) -> AgentRow:
        changed: AgentRow = function(row, event)
        return replace(changed, updated_at=event.timestamp)

    return apply


ON: dict[Any, Apply] = {
    Agent.Created: registered,
    Agent.Updated: updated,
    Agent.Activated: activated,
    Agent.Deactivated: deactivated,
    Agent.Retired: retired,
    Agent.KeyIssued: key_issued,
    Agent.KeyRevoked: key_revoked,
    Agent.CameOnline: available,
    Agent.WentBusy: went_busy,
    Agent.BecameAvailable: available,
    Agent.WentOffline: went_offline,
}

AGENTS = ReadModel(
    "agents",
    table="read_agents",
    row=AgentRow,
    on={kind: _dated(function) for kind, function in ON.items()},
)
