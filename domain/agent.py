"""Agents: workers with their own keys. They are first-class actors, owned by a person."""

from enum import StrEnum
from typing import Any
from uuid import UUID

from eventsourcing.domain import event

from domain import base

KEYS_MAX = 20


class Lifecycle(StrEnum):
    """Whether an agent may work; retiring is final."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    RETIRED = "retired"


class Presence(StrEnum):
    """What an agent's signs of life say of it: busy while it holds a lease, or where it says so itself."""

    OFFLINE = "offline"
    AVAILABLE = "available"
    BUSY = "busy"


class AgentRetired(base.Refusal):
    """A retired agent stays retired."""

    code = "agent_retired"


class AgentInactive(base.Refusal):
    """The agent is deactivated and may not work."""

    code = "agent_inactive"


class KeyNotFound(base.NotFound):
    """The agent has no such key."""

    code = "key_not_found"


class TooManyKeys(base.Refusal):
    """An agent has at most `KEYS_MAX` keys that are not revoked."""

    code = "too_many_keys"


class Agent(base.Aggregate):
    """An agent. It is active from its registration on, until it is deactivated or retired."""

    TOPIC = "agent"

    name: str
    role: str
    capabilities: tuple[str, ...]
    config: dict[str, Any]
    owner_id: UUID
    lifecycle: Lifecycle
    presence: Presence
    key_ids: tuple[UUID, ...]

    class Event(base.Aggregate.Event):
        pass

    class Created(Event, base.Aggregate.Created):
        TOPIC = "agent.registered.v1"
        name: str
        role: str
        capabilities: tuple[str, ...]
        config: dict[str, Any]
        owner_id: UUID

    class Updated(Event):
        TOPIC = "agent.updated.v1"
        name: str
        role: str
        capabilities: tuple[str, ...]
        config: dict[str, Any]
        changed: tuple[str, ...]

    class Activated(Event):
        TOPIC = "agent.activated.v1"

    class Deactivated(Event):
        TOPIC = "agent.deactivated.v1"

    class Retired(Event):
        TOPIC = "agent.retired.v1"

    class KeyIssued(Event):
        TOPIC = "agent.key_issued.v1"
        key_id: UUID
        name: str
        scopes: tuple[str, ...]

    class KeyRevoked(Event):
        TOPIC = "agent.key_revoked.v1"
        key_id: UUID

    class CameOnline(Event):
        TOPIC = "agent.came_online.v1"

    class WentBusy(Event):
        TOPIC = "agent.went_busy.v1"

    class BecameAvailable(Event):
        TOPIC = "agent.became_available.v1"

    class WentOffline(Event):
        TOPIC = "agent.went_offline.v1"

    @event(Created)
    def __init__(
        self,
        workspace_id: UUID,
        name: str,
        role: str,
        capabilities: tuple[str, ...],
        config: dict[str, Any],
        owner_id: UUID,
    ) -> None:
        self.workspace_id = workspace_id
        self.name = name
        self.role = role
        self.capabilities = capabilities
        self.config = config
        self.owner_id = owner_id
        self.lifecycle = Lifecycle.ACTIVE
        self.presence = Presence.OFFLINE
        self.key_ids = ()

    def update(
        self, name: str, role: str, capabilities: tuple[str, ...], config: dict[str, Any]
    ) -> None:
        """Replace the description; silent when nothing differs."""
        self._require_not_retired()
        wanted = {"name": name, "role": role, "capabilities": capabilities, "config": config}
        changed = tuple(field for field, value in wanted.items() if getattr(self, field) != value)
        if changed:
            self._updated(name, role, capabilities, config, changed)

    def activate(self) -> None:
        """Let the agent work; silent when it may already."""
        self._require_not_retired()
        if self.lifecycle != Lifecycle.ACTIVE:
            self._activated()

    def deactivate(self) -> None:
        """Stop the agent from working; its leases end."""
        self._require_not_retired()
        if self.lifecycle != Lifecycle.INACTIVE:
            self._deactivated()

    def retire(self) -> None:
        """End the agent for good; its leases end, and its keys stop working with it."""
        if self.lifecycle != Lifecycle.RETIRED:
            self._retired()

    def issue_key(self, key_id: UUID, name: str, scopes: tuple[str, ...]) -> None:
        """Note that a key was made; the secret never reaches an event."""
        self._require_not_retired()
        if len(self.key_ids) >= KEYS_MAX:
            raise TooManyKeys(f"an agent has at most {KEYS_MAX} keys; revoke one first")
        self._key_issued(key_id, name, scopes)

    def revoke_key(self, key_id: UUID) -> None:
        """Make a key worthless."""
        if key_id not in self.key_ids:
            raise KeyNotFound("the agent has no such key", field="key_id")
        self._key_revoked(key_id)

    def report(self, presence: Presence) -> None:
        """Take what a sign of life, or their absence, says. Only transitions are facts."""
        if presence == self.presence:
            return
        if presence == Presence.OFFLINE:
            self._went_offline()
            return
        self._require_active()
        if self.presence == Presence.OFFLINE:
            self._came_online()
        if presence == Presence.BUSY:
            self._went_busy()
        elif self.presence == Presence.BUSY:
            self._became_available()

    def _require_not_retired(self) -> None:
        if self.lifecycle == Lifecycle.RETIRED:
            raise AgentRetired("this agent is retired")

    def _require_active(self) -> None:
        self._require_not_retired()
        if self.lifecycle != Lifecycle.ACTIVE:
            raise AgentInactive("this agent is deactivated; activate it first")

    @event(Updated)
    def _updated(
        self,
        name: str,
        role: str,
        capabilities: tuple[str, ...],
        config: dict[str, Any],
        changed: tuple[str, ...],
    ) -> None:
        self.name = name
        self.role = role
        self.capabilities = capabilities
        self.config = config

    @event(Activated)
    def _activated(self) -> None:
        self.lifecycle = Lifecycle.ACTIVE

    @event(Deactivated)
    def _deactivated(self) -> None:
        self.lifecycle = Lifecycle.INACTIVE

    @event(Retired)
    def _retired(self) -> None:
        self.lifecycle = Lifecycle.RETIRED
        self.presence = Presence.OFFLINE
        self.key_ids = ()

    @event(KeyIssued)
    def _key_issued(self, key_id: UUID, name: str, scopes: tuple[str, ...]) -> None:
        self.key_ids = (*self.key_ids, key_id)

    @event(KeyRevoked)
    def _key_revoked(self, key_id: UUID) -> None:
        self.key_ids = tuple(other for other in self.key_ids if other != key_id)

    @event(CameOnline)
    def _came_online(self) -> None:
        self.presence = Presence.AVAILABLE

    @event(WentBusy)
    def _went_busy(self) -> None:
        self.presence = Presence.BUSY

    @event(BecameAvailable)
    def _became_available(self) -> None:
        self.presence = Presence.AVAILABLE

    @event(WentOffline)
    def _went_offline(self) -> None:
        self.presence = Presence.OFFLINE
