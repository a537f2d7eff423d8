"""Which rooms an event belongs to, and what clients call it. Pure: the event carries all it needs."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

MESSAGE_TYPES = {
    "board": "board_change",
    "mission": "mission_update",
    "comment": "comment_added",
    "agent": "agent_status",
}
# What only auditors see: keys, and what is about people's accounts alone.
AUDIT_ONLY = ("agent.key_",)
PRIVATE_FIELDS: Mapping[str, frozenset[str]] = {"user.registered.v1": frozenset({"email"})}
"""Personal fields that member rooms leave out."""


def rooms(
    event_type: str, stream_id: UUID, workspace_id: UUID, data: Mapping[str, Any]
) -> tuple[str, ...]:
    """Return the rooms of an event, by their names in the whole deployment."""
    audit = f"audit:{workspace_id}"
    if event_type.startswith(AUDIT_ONLY):
        return (audit,)
    found = [audit, f"workspace:{workspace_id}"]
    match event_type.split(".", maxsplit=1)[0]:
        case "board":
            found.append(f"board:{stream_id}")
        case "agent":
            found.append(f"agent:{stream_id}")
        case "mission":
            found.append(f"mission:{stream_id}")
            found.extend(
                f"board:{data[key]}" for key in ("board_id", "from_board_id") if key in data
            )
            if "agent_id" in data:
                found.append(f"agent:{data['agent_id']}")
        case "comment":
            found.extend([f"mission:{data['mission_id']}", f"board:{data['board_id']}"])
        case _:
            pass
    return tuple(dict.fromkeys(found))


def message_type(event_type: str) -> str:
    """Return what kind of message clients get for an event type."""
    if event_type == "mission.moved.v1":
        return "board_change"
    return MESSAGE_TYPES.get(event_type.split(".", maxsplit=1)[0], "system_alert")
