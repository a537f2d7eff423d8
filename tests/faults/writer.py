"""A process that appends for the fault tests, and says on its output what was acknowledged.

The first line of its input is the DSN, so that no password is on a command line. It prints `ready`,
then `ack <command id>` for each acknowledged command, then `done`.
"""

import argparse
import asyncio
import os
import signal
import sys
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import uvloop
from uuid_utils.compat import uuid7

from commands.append import (
    Actor,
    ActorKind,
    Answer,
    Append,
    Appended,
    CommandMeta,
    Duplicate,
    LogUnavailable,
    RowWrite,
    StreamAppend,
)
from domain.base import command_time
from domain.board import Board, Stage, default_columns
from domain.mission import Content, Mission, Place
from infra.codec import EventCodec
from infra.event_log import EventLog
from infra.postgres import Database

RETRY_S = 0.1


class FailingLog(EventLog):
    """Sends itself a signal at a named point of one batch."""

    point = ""
    batch = 0
    signal = signal.SIGKILL

    async def _commit(self, batch: Any, *write: bytes) -> None:
        self.batch -= 1
        self._strike("before-commit")
        await super()._commit(batch, *write)
        self._strike("after-commit")

    def _strike(self, point: str) -> None:
        if self.batch == 0 and self.point == point:
            os.kill(os.getpid(), self.signal)


class Writer:
    """One workspace, and as many concurrent writers as asked."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._workspace = uuid7()
        self._actor = Actor(ActorKind.USER, uuid7())
        columns = default_columns([uuid7() for _ in range(5)])
        self._board = Board.begin(
            uuid7(), workspace_id=self._workspace, name="Main", columns=columns
        )

    async def begin(self) -> None:
        await self._until_recorded(self._board, ())

    async def write(self, count: int, rollbacks: int) -> None:
        """Append `count` missions; each `rollbacks`-th batch holds a command that the database refuses."""
        column = self._board.first(Stage.READY)
        for number in range(count):
            place = Place(self._board.id, column.id, column.stage, "m")
            mission = Mission.create(
                uuid7(), self._workspace, place, Content("m"), (), self._actor.id
            )
            if rollbacks and number % rollbacks == 0:
                broken = [RowWrite("SELECT 1 / %(zero)s", {"zero": 0})]
                await self._refused(mission, broken)
            await self._until_recorded(mission, ())

    async def _refused(self, mission: Mission, rows: list[RowWrite]) -> None:
        try:
            await self._log.append(self._append(mission, uuid7(), rows))
        except Exception:  # noqa: BLE001 - that it fails is the point
            return
        raise AssertionError("a broken command was recorded")

    async def _until_recorded(self, aggregate: Any, rows: Any) -> None:
        command_id = uuid7()
        while True:
            try:
                verdict = await self._log.append(self._append(aggregate, command_id, rows))
            except LogUnavailable:
                await asyncio.sleep(RETRY_S)
                continue
            assert isinstance(verdict, Appended | Duplicate), verdict
            sys.stdout.write(f"ack {command_id}\n")
            sys.stdout.flush()
            return

    def _append(self, aggregate: Any, command_id: UUID, rows: Any) -> Append:
        meta = CommandMeta(command_id, self._workspace, self._actor, uuid7(), request_hash=b"key")
        stream = StreamAppend(aggregate.id, 0, list(aggregate.pending_events))
        return Append(
            meta, [stream], lambda recorded: Answer(201, {"position": recorded.position}), rows
        )


async def main(options: argparse.Namespace, dsn: str) -> None:
    command_time.set(datetime.now(UTC))
    async with Database(dsn) as database, FailingLog(database, EventCodec()) as log:
        log.point, log.batch = options.point, options.batch
        log.signal = signal.Signals[options.signal]
        writer = Writer(log)
        await writer.begin()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        each = options.events // options.writers
        await asyncio.gather(
            *(writer.write(each, options.rollbacks) for _ in range(options.writers))
        )
    sys.stdout.write("done\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--writers", type=int, default=16)
    parser.add_argument("--events", type=int, default=1000)
    parser.add_argument("--point", default="")
    parser.add_argument("--batch", type=int, default=0)
    parser.add_argument("--signal", default="SIGKILL")
    parser.add_argument("--rollbacks", type=int, default=0)
    uvloop.run(main(parser.parse_args(), sys.stdin.readline().strip()))
