"""Events as a program meets them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a room."""

    room: str
    position: int
    prev: int
    """The room's position before this one."""
    version: int
    """The version of the stream; a program that holds state skips what its state has already."""
    type: str
    """The kind of message: `mission_update`, `board_change`, `comment_added`, `agent_status`, …"""
    event: str
    """The exact type, like `mission.moved.v1`."""
    entity_id: str
    data: Mapping[str, Any]
    timestamp: datetime
    user_id: str
    """The person or agent who did it."""
    envelope: Mapping[str, Any] | None = None
    """All that the log holds of it; in the room `audit` only."""

    @classmethod
    def of(cls, room: str, told: Mapping[str, Any]) -> "Event":
        """Return the event of a message."""
        payload = told["payload"]
        return cls(
            room=room,
            position=told["pos"],
            prev=told["prev"],
            version=told["v"],
            type=told["type"],
            event=told["event"],
            entity_id=payload["entityId"],
            data=payload["data"],
            # Python 3.11 reads the Z, as the server's encoder writes it.
            timestamp=datetime.fromisoformat(payload["timestamp"]),
            user_id=payload["userId"],
            envelope=told.get("envelope"),
        )
