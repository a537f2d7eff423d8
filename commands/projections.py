"""What read models could not fold: noted in the log, and discarded when an operator says so."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from commands.append import RowWrite
from commands.bus import Context, Decision, Handler, Tools
from domain.base import NotFound
from domain.system import NotParked, ParkedEvent, Projection

NAMESPACE = UUID("0b7d1f52-93f4-5c68-a3ce-5e7a40d1b216")
DISCARD = """
INSERT INTO projection_discards (model, stream_id, stream_version, workspace_id)
VALUES (%(model)s, %(stream_id)s, %(stream_version)s, %(workspace_id)s) ON CONFLICT DO NOTHING"""


@dataclass(frozen=True, slots=True)
class NoteParked:
    model: str
    event: ParkedEvent


@dataclass(frozen=True, slots=True)
class NoteDrained:
    model: str
    stream_id: UUID


@dataclass(frozen=True, slots=True)
class DiscardParked:
    model: str
    stream_id: UUID


def projection_id(model: str, workspace_id: UUID) -> UUID:
    """Return the stream of a read model in a workspace."""
    return uuid5(NAMESPACE, f"{model}:{workspace_id}")


async def note_parked(command: NoteParked, context: Context, tools: Tools) -> Decision:
    projection_key = projection_id(command.model, context.workspace_id)
    try:
        projection = await tools.aggregates.get(Projection, projection_key, context.workspace_id)
    except NotFound:
        projection = Projection.begin(
            projection_key, workspace_id=context.workspace_id, model=command.model
        )
    projection.park(command.event)
    return Decision([projection])


async def note_drained(command: NoteDrained, context: Context, tools: Tools) -> Decision:
    projection = await _noticed(command.model, context, tools)
    projection.drain(command.stream_id)
    return Decision([projection])


async def discard_parked(command: DiscardParked, context: Context, tools: Tools) -> Decision:
    try:
        projection = await _noticed(command.model, context, tools)
    except NotFound as missing:
        raise NotParked("no such stream is parked") from missing
    version = projection.discard(command.stream_id)
    values = {
        "model": command.model, "stream_id": command.stream_id, "stream_version": version,
        "workspace_id": context.workspace_id,
    }  # fmt: skip
    return Decision([projection], rows=[RowWrite(DISCARD, values)])


async def _noticed(model: str, context: Context, tools: Tools) -> Projection:
    key = projection_id(model, context.workspace_id)
    return await tools.aggregates.get(Projection, key, context.workspace_id)


HANDLERS: dict[type[Any], Handler] = {
    NoteParked: note_parked,
    NoteDrained: note_drained,
    DiscardParked: discard_parked,
}
