"""A batch of the event log: what it looks up, the verdict it gives each command, and the rows that record them.

It runs under the log's lock (`infra/event_log.py`), in one transaction of the writer's connection.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from uuid_utils.compat import uuid7

from commands.append import (
    Answer,
    Append,
    Appended,
    Candidate,
    ClaimNext,
    Command,
    CommandMeta,
    Conflict,
    Duplicate,
    ExpireLease,
    KeyReused,
    Nothing,
    Recorded,
    Refused,
    Verdict,
)
from domain.base import NotFound, Refusal
from domain.guards import GuardState, Needs, Stale
from infra import event_log_sql as sql
from infra import guards
from infra.codec import EventCodec
from infra.statements import Messages

SPARE_CANDIDATES = 8
"""How many more missions than claims are looked at, should a mission say no after all."""


class _EventRow(msgspec.Struct, omit_defaults=True):
    """An event's row but for what the batch decides: position, prev and time."""

    event_id: UUID
    workspace_id: UUID
    stream_id: UUID
    stream_version: int
    type: str
    actor_kind: str
    actor_id: UUID
    command_id: UUID
    correlation_id: UUID
    data: msgspec.Raw
    on_behalf_of: UUID | None = None
    causation_id: UUID | None = None
    traceparent: str | None = None


class _CommandRow(msgspec.Struct):
    command_id: UUID
    workspace_id: UUID
    request_hash: str | None
    status: int
    answer: msgspec.Raw


class _Looked(msgspec.Struct):
    """What the log knew of a batch before it. Stream versions go on with the batch."""

    now: datetime
    heads: dict[UUID, int]
    streams: dict[UUID, tuple[int, UUID]]
    answers: dict[UUID, tuple[str, int, msgspec.Raw]]
    guards: dict[str, msgspec.Raw]


class _Chosen(msgspec.Struct):
    """What the log knew of a batch's claims and expiries, before they were decided."""

    answers: dict[UUID, tuple[str, int, msgspec.Raw]]
    fitting: list[tuple[int, UUID, UUID, frozenset[str]]]
    """The number of a wish, and a mission that fits it; in the order in which they are to be taken."""
    due: list[UUID]


class _Wish(NamedTuple):
    """What a claim asks for. Claims that ask for the same share one look at the missions."""

    workspace_id: UUID
    board_id: UUID | None
    agent_id: UUID


@dataclass(slots=True, eq=False)
class Waiting:
    """A command in the queue, and whoever awaits its verdict."""

    command: Command
    verdict: asyncio.Future[Verdict]
    events: list[bytes]
    rounds: int = 0
    alone: bool = False
    """It is written without others, as it may be the one that a batch could not be written for."""

    @property
    def size(self) -> int:
        return sum(map(len, self.events))

    def settle(self, outcome: Verdict | Exception) -> None:
        """Tell whoever awaits, if still there."""
        if self.verdict.done():
            return
        if isinstance(outcome, Exception):
            self.verdict.set_exception(outcome)
        else:
            self.verdict.set_result(outcome)


_Outcome = tuple[Waiting, Append | BaseException | None]
"""A claim or an expiry, and what came of asking the mission: None where there was nothing to ask."""


@dataclass(slots=True)
class _Decided:
    """A command whose events are known, as encoded rows that lack their end."""

    asker: Waiting
    append: Append
    events: list[bytes]


@dataclass(slots=True)
class Batch:
    """What a batch writes, as far as its commands were accepted."""

    position: int
    now: datetime
    looked: _Looked
    state: GuardState
    events: list[bytes] = field(default_factory=list)
    commands: list[_CommandRow] = field(default_factory=list)
    rows: list[tuple[str, Any]] = field(default_factory=list)
    heads: dict[UUID, int] = field(default_factory=dict)
    accepted: int = 0
    verdicts: list[tuple[Waiting, Verdict | Exception]] = field(default_factory=list)


class Batches:
    """Decides batches. `as_decided` records each command at the time that it was decided at."""

    def __init__(self, codec: EventCodec, *, as_decided: bool) -> None:
        self._codec = codec
        self._as_decided = as_decided
        self._encoder = msgspec.json.Encoder()
        self._looked_decoder = msgspec.json.Decoder(_Looked)
        self._chosen_decoder = msgspec.json.Decoder(_Chosen)

    def encode(self, append: Append) -> list[bytes]:
        """Return a command's events as JSON objects, without what only the batch knows."""
        meta = append.meta
        return [
            self._encoder.encode(
                _EventRow(
                    event_id=uuid7(), workspace_id=meta.workspace_id, stream_id=stream.stream_id,
                    stream_version=event.originator_version, type=event.TOPIC,
                    actor_kind=meta.actor.kind, actor_id=meta.actor.id, on_behalf_of=meta.on_behalf_of,
                    command_id=meta.command_id, correlation_id=meta.correlation_id,
                    causation_id=meta.causation_id, traceparent=meta.traceparent,
                    data=msgspec.Raw(self._codec.encode(event)),
                )
            )
            for stream in append.streams
            for event in stream.events
        ]  # fmt: skip

    async def decide(self, messages: Messages, waiting: list[Waiting]) -> Batch:
        """Lock the log, look at what rules need, and give each command its verdict."""
        decided = [
            _Decided(w, w.command, w.events) for w in waiting if isinstance(w.command, Append)
        ]
        late = [w for w in waiting if not isinstance(w.command, Append)]
        idle: list[tuple[Waiting, Verdict | Exception]] = []
        if late:
            choose = await self._choose(messages, late)
            _, head, found = await messages.send(b"BEGIN", sql.LOCK, choose)
            chosen = self._chosen_decoder.decode(found[0][0])
            decided_late, idle = await self._decide_late(late, chosen)
            # All commands of a batch wait at the same time, so any order is right; in this one a
            # claim sees nothing but what is committed.
            decided = [*decided_late, *decided]
            (found,) = await messages.send(await self._look(messages, decided))
        else:
            look = await self._look(messages, decided)
            _, head, found = await messages.send(b"BEGIN", sql.LOCK, look)
        position, last = head[0]
        looked = self._looked_decoder.decode(found[0][0])
        now = last if self._as_decided else max(looked.now, last)
        batch = Batch(position, now, looked, GuardState(guards.read_rows(looked.guards)))
        batch.verdicts.extend(idle)
        for each in decided:
            batch.verdicts.append((each.asker, self._accept(batch, each)))
        return batch

    async def _look(self, messages: Messages, decided: Sequence[_Decided]) -> bytes:
        """Return the call that looks up what the rules for these commands need."""
        appends = [each.append for each in decided]
        needs = Needs()
        for append in appends:
            for stream in append.streams:
                for event in stream.events:
                    needs.add(event, append.meta.workspace_id)
        tables = tuple(guards.tables_needed(needs))
        statement = sql.look_up(tables)
        await messages.prepare(statement)
        return messages.call(
            statement,
            {
                "workspaces": guards.id_array({append.meta.workspace_id for append in appends}),
                "streams": guards.id_array(
                    {s.stream_id for append in appends for s in append.streams}
                ),
                "commands": _keyed(append.meta for append in appends),
                **(guards.keys_of(needs) if tables else {}),
            },
        )

    def _accept(self, batch: Batch, decided: _Decided) -> Verdict | Exception:
        append = decided.append
        verdict = _known(append.meta, batch.looked.answers) or self._stale(append, batch.looked)
        if verdict is not None:
            return verdict
        outcome: Verdict | Exception
        if self._as_decided:
            batch.now = max([batch.now, *(s.events[0].timestamp for s in append.streams)])
        try:
            for stream in append.streams:
                for event in stream.events:
                    batch.state.admit(event, append.meta.workspace_id, batch.now)
            outcome = self._record(batch, decided)
        except Refusal as refusal:
            outcome = Refused(refusal)
        except Stale:
            outcome = Conflict(append.streams[0].stream_id)
        except Exception as error:  # noqa: BLE001 - one command's mistake is not its neighbours'
            outcome = error
        if isinstance(outcome, Appended):
            batch.state.commit()
        else:
            batch.state.rollback()
        return outcome

    def _stale(self, append: Append, looked: _Looked) -> Verdict | None:
        for stream in append.streams:
            version, workspace_id = looked.streams.get(stream.stream_id, (0, None))
            if workspace_id is not None and workspace_id != append.meta.workspace_id:
                return Refused(NotFound("no such thing in this workspace"))
            if version != stream.expected_version:
                return Conflict(stream.stream_id)
        return None

    def _record(self, batch: Batch, decided: _Decided) -> Appended:
        append, meta = decided.append, decided.append.meta
        position = batch.position + len(decided.events)
        versions = {s.stream_id: s.expected_version + len(s.events) for s in append.streams}
        answer = append.answer(Recorded(position, versions, batch.now))
        body = msgspec.Raw(self._encoder.encode(answer.body))
        # Nothing may fail from here on: the batch has the command as a whole or not at all.
        if meta.request_hash is not None or not decided.events:
            hash_hex = None if meta.request_hash is None else meta.request_hash.hex()
            batch.commands.append(
                _CommandRow(meta.command_id, meta.workspace_id, hash_hex, answer.status, body)
            )
            if hash_hex is not None:
                batch.looked.answers[meta.command_id] = (hash_hex, answer.status, body)
        prev = batch.heads.get(meta.workspace_id, batch.looked.heads.get(meta.workspace_id, 0))
        when = b',"recorded_at":"%b"' % batch.now.isoformat().encode() if self._as_decided else b""
        for number, row in enumerate(decided.events, batch.position + 1):
            batch.events.append(b'%b,"position":%d,"prev":%d%b}' % (row[:-1], number, prev, when))
            prev = number
        if decided.events:
            batch.heads[meta.workspace_id] = position
        for stream_id, version in versions.items():
            batch.looked.streams[stream_id] = (version, meta.workspace_id)
        batch.rows.extend((row.statement, row.parameters) for row in append.rows)
        batch.position = position
        batch.accepted += 1
        return Appended(answer, position)

    async def writing(self, messages: Messages, batch: Batch) -> bytes:
        """Return the call that writes all of a batch but the rows that its commands bring along."""
        documents = guards.writes(batch.state)
        if batch.events:
            heads = [{"workspace_id": w, "position": p} for w, p in batch.heads.items()]
            documents["events"] = (b"[" + b",".join(batch.events) + b"]").decode()
            documents["heads"] = self._encoder.encode(heads).decode()
        if batch.commands:
            documents["commands"] = self._encoder.encode(batch.commands).decode()
        statement = sql.append(tuple(sorted(documents)))
        await messages.prepare(statement)
        parameters = {**documents, "position": batch.position, "now": batch.now}
        return messages.call(statement, parameters)

    # Claims and expiries, which the writer itself decides

    async def _choose(self, messages: Messages, late: Sequence[Waiting]) -> bytes:
        """Return the call that finds what claims may be given, and which leases are due."""
        wishes = [{"claim": number, **wish._asdict()} for number, wish in enumerate(_alike(late))]
        leases = [
            {"mission_id": w.command.mission_id, "token": w.command.token}
            for w in late
            if isinstance(w.command, ExpireLease)
        ]
        await messages.prepare(sql.CHOOSE)
        return messages.call(
            sql.CHOOSE,
            {
                "claims": self._encoder.encode(wishes).decode(),
                "most": len(late) + SPARE_CANDIDATES,
                "leases": self._encoder.encode(leases).decode(),
                "commands": _keyed(w.command.meta for w in late),
            },
        )

    async def _decide_late(
        self, late: Sequence[Waiting], chosen: _Chosen
    ) -> tuple[list[_Decided], list[tuple[Waiting, Verdict | Exception]]]:
        decided: list[_Decided] = []
        idle: list[tuple[Waiting, Verdict | Exception]] = []
        new = []
        for asker in late:
            known = _known(asker.command.meta, chosen.answers)
            if known is None:
                new.append(asker)
            else:
                idle.append((asker, known))
        outcomes = [*await self._expire(new, set(chosen.due)), *await self._serve(new, chosen)]
        for asker, outcome in outcomes:
            if isinstance(outcome, Append):
                decided.append(_Decided(asker, outcome, self.encode(outcome)))
            elif outcome is None or isinstance(outcome, Refusal):
                idle.append((asker, Nothing()))
            elif isinstance(outcome, Exception):
                idle.append((asker, outcome))
            else:
                raise outcome
        return decided, idle

    async def _expire(self, late: Sequence[Waiting], due: set[UUID]) -> list[_Outcome]:
        """Let the leases decide that are due still."""
        asked: list[tuple[Waiting, Awaitable[Append | None]]] = []
        outcomes: list[_Outcome] = []
        for asker in late:
            if isinstance(asker.command, ExpireLease):
                if asker.command.mission_id in due:
                    asked.append((asker, asker.command.decide()))
                else:
                    outcomes.append((asker, None))
        decisions = await asyncio.gather(*(each for _, each in asked), return_exceptions=True)
        return outcomes + [
            (asker, decision) for (asker, _), decision in zip(asked, decisions, strict=True)
        ]

    async def _serve(self, late: Sequence[Waiting], chosen: _Chosen) -> list[_Outcome]:
        """Give each claim the first mission that fits, that no claim before it got and that agrees."""
        fitting: dict[int, list[Candidate]] = {}
        for number, mission_id, board_id, capabilities in chosen.fitting:
            candidate = Candidate(mission_id, board_id, capabilities)
            fitting.setdefault(number, []).append(candidate)
        # Claims that ask for the same take from the same line.
        lines = {wish: iter(fitting.get(number, ())) for number, wish in enumerate(_alike(late))}
        taken: set[UUID] = set()
        outcomes: list[_Outcome] = []
        waiting = [w for w in late if isinstance(w.command, ClaimNext)]
        while waiting:
            asked: list[tuple[Waiting, Awaitable[Append | None]]] = []
            for asker in waiting:
                assert isinstance(asker.command, ClaimNext)
                line = lines[_wish(asker.command)]
                offer = next((c for c in line if c.mission_id not in taken), None)
                if offer is None:
                    outcomes.append((asker, None))
                else:
                    taken.add(offer.mission_id)
                    asked.append((asker, asker.command.decide(offer)))
            decisions = await asyncio.gather(*(each for _, each in asked), return_exceptions=True)
            waiting = []
            for (asker, _), decision in zip(asked, decisions, strict=True):
                if decision is None or isinstance(decision, Refusal):
                    waiting.append(asker)
                else:
                    outcomes.append((asker, decision))
        return outcomes


def _wish(command: Command) -> _Wish:
    assert isinstance(command, ClaimNext)
    return _Wish(command.meta.workspace_id, command.board_id, command.agent_id)


def _alike(late: Iterable[Waiting]) -> dict[_Wish, None]:
    """Return the different wishes among these commands, in a fixed order."""
    return dict.fromkeys(_wish(w.command) for w in late if isinstance(w.command, ClaimNext))


def _keyed(metas: Iterable[CommandMeta]) -> str:
    """Return the ids of those commands that may have been recorded before, as an array."""
    return guards.id_array(meta.command_id for meta in metas if meta.request_hash is not None)


def _known(
    meta: CommandMeta, answers: Mapping[UUID, tuple[str, int, msgspec.Raw]]
) -> Duplicate | KeyReused | None:
    """Return what a command was answered when it was recorded before."""
    found = answers.get(meta.command_id)
    if found is None or meta.request_hash is None:
        return None
    request_hash, status, body = found
    if request_hash != meta.request_hash.hex():
        return KeyReused()
    return Duplicate(Answer(status, msgspec.json.decode(body)))
