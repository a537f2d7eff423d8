"""Whatever is asked of several writers at once, the log stays one gapless line."""

import asyncio
from datetime import UTC, datetime

import psycopg
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from uuid_utils.compat import uuid7

from commands.append import Appended, Conflict, Duplicate
from domain.base import command_time
from infra.codec import EventCodec
from infra.event_log import EventLog
from infra.postgres import SYSTEM_OPTIONS, Database

WRITERS = 3
STREAMS = 4


def _machine(dsn, new_story):  # noqa: C901 - a machine and its rules
    class LogMachine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            command_time.set(datetime.now(UTC))
            self.runner = asyncio.Runner()
            self.story = new_story()
            self.done = []
            self.runner.run(self.open())

        async def open(self):
            self.database = await Database(dsn).__aenter__()
            self.logs = [
                await EventLog(self.database, EventCodec()).__aenter__() for _ in range(WRITERS)
            ]
            missions = [self.story.mission() for _ in range(STREAMS)]
            await self.logs[0].append(self.story.append(self.story.board))
            for mission in missions:
                await self.logs[0].append(self.story.append(mission))
            self.versions = {mission.id: 1 for mission in missions}

        @rule(
            asked=st.lists(
                st.tuples(st.integers(0, WRITERS - 1), st.integers(0, STREAMS - 1)),
                min_size=1,
                max_size=12,
            )
        )
        def race(self, asked):
            """All at once, each on the version that is known: of each stream one wins."""
            streams = [list(self.versions)[stream] for _, stream in asked]
            commands = [
                self.story.append_edits(stream, self.versions[stream], key=b"k", command_id=uuid7())
                for stream in streams
            ]
            verdicts = self.together([writer for writer, _ in asked], commands)
            for stream in set(streams):
                outcomes = [type(v) for s, v in zip(streams, verdicts, strict=True) if s == stream]
                assert outcomes.count(Appended) == 1
                assert outcomes.count(Conflict) == len(outcomes) - 1
                self.versions[stream] += 1
            self.done += [
                (c, v) for c, v in zip(commands, verdicts, strict=True) if type(v) is Appended
            ]

        @rule(writers=st.lists(st.integers(0, WRITERS - 1), min_size=1, max_size=5))
        def repeat(self, writers):
            """The last command again, by anybody: its first answer."""
            if self.done:
                command, first = self.done[-1]
                for verdict in self.together(writers, [command] * len(writers)):
                    assert verdict == Duplicate(first.answer)

        def together(self, writers, commands):
            async def ask():
                asked = zip(writers, commands, strict=True)
                return await asyncio.gather(*(self.logs[w].append(c) for w, c in asked))

            return self.runner.run(ask())

        @invariant()
        def positions_are_gapless(self):
            with psycopg.connect(dsn, options=SYSTEM_OPTIONS) as connection:
                count, last = connection.execute(
                    "SELECT count(*), max(position) FROM events"
                ).fetchone()
                head = connection.execute("SELECT position FROM log_head").fetchone()
                versions = connection.execute(
                    "SELECT stream_id, max(stream_version) FROM events WHERE stream_id = ANY (%s)"
                    " GROUP BY stream_id", [list(self.versions)],
                ).fetchall()  # fmt: skip
            assert count == last == head[0]
            assert dict(versions) == self.versions

        def teardown(self):
            async def close():
                for log in self.logs:
                    await log.__aexit__()
                await self.database.__aexit__()

            self.runner.run(close())
            self.runner.close()

    return LogMachine


def test_the_log_under_several_writers(database_url, new_story):
    run_state_machine_as_test(
        _machine(database_url, new_story),
        settings=settings(max_examples=8, stateful_step_count=12, deadline=None),
    )
