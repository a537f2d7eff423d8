"""The demo's secrets: the agents' keys and the people's passwords, in a file that only its owner reads."""

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import msgspec

from infra.data_dir import write_private

FILE = "demo-keys.json"


@dataclass(frozen=True)
class AgentKey:
    id: UUID
    name: str
    key: str


@dataclass(frozen=True)
class PersonPassword:
    id: UUID
    name: str
    email: str
    role: str
    password: str


@dataclass(frozen=True)
class Keys:
    """What the simulated agents sign in with, and what a visitor may: one of the people."""

    agents: tuple[AgentKey, ...]
    people: tuple[PersonPassword, ...] = ()

    def write(self, data_dir: Path) -> None:
        """Write the file, durably: the log knows hashes only."""
        text = msgspec.json.format(msgspec.json.encode(self), indent=2).decode()
        write_private(data_dir / FILE, f"{text}\n")

    @classmethod
    def read(cls, data_dir: Path) -> "Keys | None":
        """Return what the file holds; None where it is lost or damaged."""
        try:
            return msgspec.json.decode((data_dir / FILE).read_bytes(), type=cls)
        except (OSError, msgspec.DecodeError):
            return None
