"""The messages of `mc.v1`: what a client may say, and the frames that it is sent."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any
from uuid import UUID

import msgspec

from infra.envelopes import Envelope
from infra.logging import log
from infra.vault import PERSONAL_FIELDS, Tampered, Vault, subjects
from streams.rooms import message_type, seen_by_members

SUBPROTOCOL = "mc.v1"
MESSAGE_BYTES_MAX = 16_384
POSITION_MAX = 2**53

CLOSE_TOKEN = 4001
CLOSE_REVOKED = 4003
CLOSE_SLOW = 4008
CLOSE_NO_PONG = 4012
CLOSE_RATE = 4029
CLOSE_FAILED = 1011
CLOSE_RESTART = 1012
CLOSE_FULL = 1013

RequestId = Annotated[int, msgspec.Meta(ge=0, le=POSITION_MAX)] | None
Position = Annotated[int, msgspec.Meta(ge=0, le=POSITION_MAX)]
RoomText = Annotated[str, msgspec.Meta(max_length=100)]
Ticket = Annotated[str, msgspec.Meta(max_length=500)]


class _Said(msgspec.Struct, tag_field="t", forbid_unknown_fields=True):
    pass


class Connect(_Said, tag="connect"):
    """The first message: who speaks."""

    ticket: Ticket
    id: RequestId = None


class Refresh(_Said, tag="refresh"):
    """A new ticket of the same caller, before the old access runs out."""

    ticket: Ticket
    id: RequestId = None


class Sub(_Said, tag="sub"):
    """Follow a room: behind `pos` of the log `log_id`, from its beginning (0), or from now (absent)."""

    room: RoomText
    id: RequestId = None
    pos: Position | None = None
    log_id: UUID | None = None


class Unsub(_Said, tag="unsub"):
    """Follow a room no more."""

    room: RoomText
    id: RequestId = None


class Ack(_Said, tag="ack"):
    """Everything of a room up to `pos` was applied."""

    room: RoomText
    pos: Position
    id: RequestId = None


class Ping(_Said, tag="ping"):
    """Are you there?"""

    id: RequestId = None


class Pong(_Said, tag="pong"):
    """The answer to the server's `ping`."""

    id: RequestId = None


Said = Connect | Refresh | Sub | Unsub | Ack | Ping | Pong

_decoder = msgspec.json.Decoder(Said)
_encoder = msgspec.json.Encoder()
_FIELD = re.compile(r"\$\.(\w+)|field `(\w+)`")


class BadMessage(Exception):
    """No message of the protocol; `field` is where it goes wrong, `message` for all of it."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


def parse(text: str | None) -> Said:
    """Read what a client said (None: it sent bytes), or raise `BadMessage`."""
    if text is None or len(text) > MESSAGE_BYTES_MAX:
        raise BadMessage("message")
    message = text.encode("utf-8", "replace")
    if len(message) > MESSAGE_BYTES_MAX:
        raise BadMessage("message")
    try:
        said: Said = _decoder.decode(message)
    except msgspec.ValidationError as error:
        found = _FIELD.search(str(error))
        raise BadMessage((found[1] or found[2]) if found else "message") from None
    except (msgspec.DecodeError, RecursionError):
        raise BadMessage("message") from None
    return said


def frame(kind: str, **members: Any) -> bytes:
    """Return a message to the client; a None is left out."""
    told = {name: value for name, value in members.items() if value is not None}
    return _encoder.encode({"t": kind, **told})


def batch(room: str, bodies: Iterable[bytes], *, live: bool) -> bytes:
    """Return events' bodies as one message."""
    head = frame("batch", room=room, live=True if live else None)
    return b'%b,"events":[%b]}' % (head[:-1], b",".join(bodies))


def single(room: str, body: bytes) -> bytes:
    """Return one event's body as an `ev` of a room."""
    return b"%b,%b" % (frame("ev", room=room)[:-1], body[1:])


def body(position: int, prev: int, tail: bytes) -> bytes:
    """Return an event's members as a JSON object; `prev` is the room's position before it."""
    return b'{"pos":%d,"prev":%d,%b' % (position, prev, tail)


def of_several(position: int, prevs: Mapping[str, int], tail: bytes) -> bytes:
    """Return one event of several rooms as an `ev`; `prevs` are the rooms' positions before it."""
    return b'{"t":"ev","pos":%d,"prev":%b,%b' % (position, _encoder.encode(prevs), tail)


class EventText:
    """One event as text, made once for members and once for auditors, for however many rooms."""

    def __init__(self, envelope: Envelope, vault: Vault, log_id: UUID) -> None:
        self._envelope = envelope
        self._vault = vault
        self._log_id = log_id
        self._tails: dict[bool, bytes] = {}

    def tail(self, *, audit: bool) -> bytes:
        """Return what every room says of the event, behind its positions."""
        tail = self._tails.get(audit)
        if tail is None:
            tail = self._tails[audit] = self._made(audit=audit)
        return tail

    def _made(self, *, audit: bool) -> bytes:
        envelope = self._envelope
        data = self._data(audit=audit)
        members: dict[str, Any] = {
            "v": envelope.stream_version,
            "type": message_type(envelope.type),
            "event": envelope.type,
            "payload": {
                "entityId": envelope.stream_id,
                "data": data,
                "timestamp": envelope.recorded_at,
                "userId": envelope.actor_id,
            },
        }
        if audit:
            members["envelope"] = {**envelope.to_dict(self._log_id, {}), "data": data}
        return _encoder.encode(members)[1:]

    def _data(self, *, audit: bool) -> Mapping[str, Any] | msgspec.Raw:
        envelope = self._envelope
        if envelope.type not in PERSONAL_FIELDS:
            return msgspec.Raw(envelope.data.encode())
        data = _opened(envelope, self._vault)
        return data if audit else seen_by_members(envelope.type, data)


def subjects_in(envelopes: Iterable[Envelope]) -> set[UUID]:
    """Return whose keys the vault has to load before these events become text."""
    personal = (e for e in envelopes if e.type in PERSONAL_FIELDS)
    return set().union(*(subjects(e.type, e.payload) for e in personal))


def _opened(envelope: Envelope, vault: Vault) -> dict[str, Any]:
    try:
        return vault.open_event(envelope.type, envelope.payload, envelope.stream_id)
    except Tampered as error:
        # One bad box must not end a room for everybody: it reads as erased, and the log tells why.
        log.error("a sealed text does not open", position=envelope.position, error=str(error))
        hidden = dict.fromkeys(PERSONAL_FIELDS[envelope.type])
        return {**envelope.payload, **hidden}
