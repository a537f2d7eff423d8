"""Agents: registration, lifecycle, keys and presence."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from commands.append import Recorded, RowWrite
from commands.bus import Context, Decision, Handler, Tools, require_unchanged
from domain.agent import Agent, Presence
from domain.base import InvalidValue


@dataclass(frozen=True, slots=True)
class RegisterAgent:
    name: str
    role: str
    capabilities: tuple[str, ...]
    config: dict[str, Any]
    owner_id: UUID


@dataclass(frozen=True, slots=True)
class UpdateAgent:
    """Fields that are absent from `changes` stay as they are."""

    agent_id: UUID
    changes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ActivateAgent:
    agent_id: UUID


@dataclass(frozen=True, slots=True)
class DeactivateAgent:
    agent_id: UUID


@dataclass(frozen=True, slots=True)
class RetireAgent:
    agent_id: UUID


@dataclass(frozen=True, slots=True)
class IssueKey:
    """`row` stores the hash of the secret; the secret itself is never part of a command."""

    agent_id: UUID
    key_id: UUID
    name: str
    scopes: tuple[str, ...]
    row: RowWrite


@dataclass(frozen=True, slots=True)
class RevokeKey:
    agent_id: UUID
    key_id: UUID


@dataclass(frozen=True, slots=True)
class ReportPresence:
    agent_id: UUID
    presence: Presence


async def register_agent(command: RegisterAgent, context: Context, tools: Tools) -> Decision:
    if not await tools.write_side.is_member(context.workspace_id, command.owner_id):
        raise InvalidValue("an agent's owner is a member of the workspace", field="owner_id")
    await tools.vault.load_workspaces([context.workspace_id])
    agent_id = uuid7()
    agent = Agent.begin(
        agent_id,
        workspace_id=context.workspace_id,
        name=command.name,
        role=command.role,
        capabilities=command.capabilities,
        config=command.config,
        owner_id=command.owner_id,
    )
    rows = [tools.vault.new_subject(context.workspace_id, agent_id)]
    return Decision([agent], status=201, rows=rows)


async def update_agent(command: UpdateAgent, context: Context, tools: Tools) -> Decision:
    agent = await _agent(command.agent_id, context, tools)
    fields = ("name", "role", "capabilities", "config")
    kept = {field: getattr(agent, field) for field in fields}
    agent.update(**{**kept, **command.changes})
    return Decision([agent])


async def activate_agent(command: ActivateAgent, context: Context, tools: Tools) -> Decision:
    agent = await _agent(command.agent_id, context, tools)
    agent.activate()
    return Decision([agent])


async def deactivate_agent(command: DeactivateAgent, context: Context, tools: Tools) -> Decision:
    agent = await _agent(command.agent_id, context, tools)
    agent.deactivate()
    agent.report(Presence.OFFLINE)
    return Decision([agent], rows=[_presence(agent), _lapse(agent.id)])


async def retire_agent(command: RetireAgent, context: Context, tools: Tools) -> Decision:
    agent = await _agent(command.agent_id, context, tools)
    agent.retire()
    return Decision([agent], rows=[_presence(agent), _lapse(agent.id)])


async def issue_key(command: IssueKey, context: Context, tools: Tools) -> Decision:
    agent = await _agent(command.agent_id, context, tools)
    agent.issue_key(command.key_id, command.name, command.scopes)

    def about_key(_: Recorded) -> dict[str, Any]:
        return {"id": command.key_id, "agent_id": agent.id, "scopes": command.scopes}

    return Decision([agent], status=201, rows=[command.row], members=about_key)


async def revoke_key(command: RevokeKey, context: Context, tools: Tools) -> Decision:
    agent = await _agent(command.agent_id, context, tools)
    agent.revoke_key(command.key_id)
    revoked = RowWrite(
        "UPDATE agent_keys SET revoked_at = clock_timestamp() WHERE key_id = %(key_id)s",
        {"key_id": command.key_id},
    )
    return Decision([agent], rows=[revoked])


async def report_presence(command: ReportPresence, context: Context, tools: Tools) -> Decision:
    agent = await _agent(command.agent_id, context, tools)
    agent.report(command.presence)
    return Decision([agent], rows=[_presence(agent)])


HANDLERS: dict[type[Any], Handler] = {
    RegisterAgent: register_agent,
    UpdateAgent: update_agent,
    ActivateAgent: activate_agent,
    DeactivateAgent: deactivate_agent,
    RetireAgent: retire_agent,
    IssueKey: issue_key,
    RevokeKey: revoke_key,
    ReportPresence: report_presence,
}


def _presence(agent: Agent) -> RowWrite:
    """Return the write that lets telemetry know what the log says, in the same transaction."""
    return RowWrite(
        "UPDATE presence SET state = %(state)s WHERE agent_id = %(agent_id)s",
        {"agent_id": agent.id, "state": agent.presence.value},
    )


def _lapse(agent_id: UUID) -> RowWrite:
    """Return the write by which all leases of an agent are due: it may not renew them any more."""
    return RowWrite(
        "UPDATE leases SET expires_at = clock_timestamp() WHERE agent_id = %(agent_id)s",
        {"agent_id": agent_id},
    )


async def _agent(agent_id: UUID, context: Context, tools: Tools) -> Agent:
    agent = await tools.aggregates.get(Agent, agent_id, context.workspace_id)
    require_unchanged(agent, context)
    return agent
