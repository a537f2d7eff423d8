"""Rooms: which subscribers an event is for, and what they may see of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from domain.permissions import Permission

MEMBERS_NEVER_SEE = "agent.key_"
"""How the types of events begin that only the audit room holds."""

NOUNS_WITH_ROOMS = frozenset({"board", "mission", "agent"})
WHOLE_WORKSPACE = frozenset({"workspace", "audit"})


@dataclass(frozen=True, slots=True)
class Room:
    """A room of one workspace. `id` is that of a board, mission or agent, else the workspace's own."""

    kind: str
    id: UUID
    workspace_id: UUID

    @property
    def name(self) -> str:
        """The name that clients use; it means something within their workspace only."""
        return self.kind if self.kind in WHOLE_WORKSPACE else f"{self.kind}:{self.id}"

    @property
    def key(self) -> str:
        """The name that is unique across workspaces, as `rooms` gives it and the index holds it."""
        return f"{self.kind}:{self.id}"

    @property
    def is_audit(self) -> bool:
        """Whether the room shows what members don't see."""
        return self.kind == "audit"

    @property
    def needs(self) -> Permission:
        """The permission that its followers need."""
        return Permission.ADMIN_ACCESS if self.is_audit else Permission.READ


def room_of(name: str, workspace_id: UUID) -> Room | None:
    """Return the room that a client of a workspace means, or None for no room's name."""
    if name in WHOLE_WORKSPACE:
        return Room(name, workspace_id, workspace_id)
    noun, _, text = name.partition(":")
    try:
        found = UUID(text)
    except ValueError:
        return None
    if noun not in NOUNS_WITH_ROOMS or str(found) != text:
        return None
    return Room(noun, found, workspace_id)


def rooms(
    event_type: str, stream_id: UUID, workspace_id: UUID, payload: Mapping[str, Any]
) -> tuple[str, ...]:
    """Return the keys of every room that an event belongs to; its data tells all that this takes."""
    audit = f"audit:{workspace_id}"
    if event_type.startswith(MEMBERS_NEVER_SEE):
        return (audit,)
    noun = event_type.partition(".")[0]
    own = f"{noun}:{stream_id}"
    everyone = f"workspace:{workspace_id}"
    if noun == "mission":
        boards = dict.fromkeys((payload["board_id"], payload.get("from_board_id")))
        on = tuple(f"board:{board}" for board in boards if board is not None)
        agent = payload.get("agent_id")
        worker = () if agent is None else (f"agent:{agent}",)
        return (everyone, *on, own, *worker, audit)
    if noun == "comment":
        about = (f"board:{payload['board_id']}", f"mission:{payload['mission_id']}")
        return (everyone, *about, audit)
    if noun in NOUNS_WITH_ROOMS:
        return (everyone, own, audit)
    return (everyone, audit)


def indexed(keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return the keys that need rows in the index: a whole workspace is found in the log itself."""
    return tuple(key for key in keys if key.partition(":")[0] in NOUNS_WITH_ROOMS)


def seen_by_members(event_type: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an event's opened data as member rooms show it: without e-mail addresses."""
    if not event_type.startswith("user.") or "email" not in data:
        return data
    return {name: value for name, value in data.items() if name != "email"}


def message_type(event_type: str) -> str:
    """Return the kind of message that clients of the specification know an event by."""
    noun = event_type.partition(".")[0]
    if noun == "board" or event_type.startswith("mission.moved."):
        return "board_change"
    return {
        "mission": "mission_update",
        "comment": "comment_added",
        "agent": "agent_status",
    }.get(noun, "system_alert")
