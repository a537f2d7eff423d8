"""What a process does. A plain start does everything; a deployment may start each role by itself."""

from collections.abc import Iterable
from enum import StrEnum

from infra.settings import Settings, StartRefused


class Role(StrEnum):
    """A part of the system that can be scaled alone."""

    COMMANDS = "commands"
    QUERIES = "queries"
    LIVE = "live"
    RELAY = "relay"
    TIMERS = "timers"
    PROJECTIONS = "projections"


ALL = frozenset(Role)
REQUESTS = frozenset({Role.COMMANDS, Role.QUERIES, Role.LIVE})
"""Roles that answer clients; the others answer nothing but `/health`."""
LEADER_LOCKS = {Role.TIMERS: 7_301_202, Role.PROJECTIONS: 7_301_203, Role.RELAY: 7_301_204}
"""Advisory locks: what must run once in a deployment runs in the process that holds its role's."""


def roles_of(settings: Settings, only: Iterable[Role]) -> frozenset[Role]:
    """Return what `--only` asks for, everything if it asks for nothing.

    Raises `StartRefused` for a role that has nothing to do under these settings.
    """
    roles = frozenset(only) or ALL
    if roles == {Role.RELAY} and settings.kafka_bootstrap is None:
        raise StartRefused("MC_KAFKA_BOOTSTRAP: the relay needs to know where Kafka is")
    return roles
