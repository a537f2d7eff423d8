"""What the log promises to whoever appends."""

import asyncio
import json

import psycopg
import pytest
from uuid_utils.compat import uuid7

from commands.append import (
    Answer,
    Append,
    Appended,
    ClaimNext,
    Conflict,
    Duplicate,
    KeyReused,
    LogUnavailable,
    Nothing,
    OutcomeUnknown,
    Refused,
    RowWrite,
    StreamAppend,
)
from domain.agent import Agent
from domain.board import Stage
from domain.mission import Mission, Worker
from infra import event_log
from infra.codec import EventCodec
from infra.event_log import EventLog
from infra.http.problems import of_error
from infra.migrate import migrate
from infra.postgres import SYSTEM_OPTIONS, Database, hang_up


def test_positions_are_gapless_and_chained_per_workspace(run, rows, new_story):
    stories = [new_story() for _ in range(3)]

    async def scenario(stand):
        for story in stories:
            await stand.log.append(story.append(story.board))
        await asyncio.gather(
            *(stand.log.append(s.append(s.mission())) for s in stories for _ in range(100))
        )

    run(scenario)
    recorded = rows(
        "SELECT position, workspace_id, prev, recorded_at FROM events ORDER BY position"
    )
    assert [row[0] for row in recorded] == list(range(1, len(recorded) + 1))
    assert [row[3] for row in recorded] == sorted(row[3] for row in recorded)
    last = {}
    for position, workspace_id, prev, _ in recorded:
        assert prev == last.get(workspace_id, 0)
        last[workspace_id] = position
    assert dict(rows("SELECT workspace_id, position FROM workspace_heads")) == last


def test_a_repeated_command_gets_its_first_answer(run, story):
    async def scenario(stand):
        await stand.log.append(story.append(story.board))
        command_id = uuid7()
        first = await stand.log.append(
            story.append(story.mission(), key=b"one", command_id=command_id)
        )
        again = await stand.log.append(
            story.append(story.mission(), key=b"one", command_id=command_id)
        )
        other = await stand.log.append(
            story.append(story.mission(), key=b"two", command_id=command_id)
        )
        assert isinstance(first, Appended)
        assert again == Duplicate(Answer(201, dict(first.answer.body)))
        assert other == KeyReused()

    run(scenario)


def test_a_command_repeated_within_one_batch_is_recorded_once(run, story):
    async def scenario(stand):
        await stand.log.append(story.append(story.board))
        command_id = uuid7()
        commands = [
            story.append(story.mission(), key=b"one", command_id=command_id) for _ in range(5)
        ]
        verdicts = await asyncio.gather(*map(stand.log.append, commands))
        assert [type(v) for v in verdicts] == [Appended, *[Duplicate] * 4]
        assert {v.answer.body["position"] for v in verdicts} == {verdicts[0].position}

    run(scenario)


def test_of_two_commands_on_one_version_one_wins(run, story):
    async def scenario(stand):
        mission = story.mission()
        await stand.log.append(story.append(story.board))
        await stand.log.append(story.append(mission))
        edits = [stand.log.append(story.append_edits(mission.id, 1)) for _ in range(10)]
        verdicts = await asyncio.gather(*edits)
        assert [type(v) for v in verdicts] == [Appended, *[Conflict] * 9]
        assert await stand.log.append(story.append(mission)) == Conflict(mission.id)

    run(scenario)


def test_a_command_on_two_streams_is_recorded_whole_or_not_at_all(run, rows, story):
    async def scenario(stand):
        one, two = story.mission(), story.mission()
        await stand.log.append(story.append(story.board))
        await stand.log.append(story.append(one))
        assert await stand.log.append(story.append(two, one)) == Conflict(one.id)
        assert not rows("SELECT 1 FROM events WHERE stream_id = %s", two.id)
        assert isinstance(await stand.log.append(story.append(two)), Appended)

    run(scenario)


def test_a_foreign_stream_is_not_there(run, new_story):
    mine, theirs = new_story(), new_story()

    async def scenario(stand):
        mission = theirs.mission()
        await stand.log.append(theirs.append(theirs.board))
        await stand.log.append(theirs.append(mission))
        verdict = await stand.log.append(mine.append_edits(mission.id, 1))
        assert isinstance(verdict, Refused)
        assert verdict.refusal.code == "not_found"

    run(scenario)


def test_what_the_database_refuses_fails_alone(run, story):
    def bad_rows():
        bad = story.append(story.mission())
        return Append(bad.meta, bad.streams, bad.answer, [RowWrite("SELECT 1 / %(n)s", {"n": 0})])

    def bad_answer():
        bad = story.append(story.mission())
        return Append(bad.meta, bad.streams, lambda _: 1 / 0)

    async def scenario(stand):
        await stand.log.append(story.append(story.board))
        good = [story.append(story.mission()) for _ in range(6)]
        commands = [*good[:3], bad_rows(), bad_answer(), *good[3:]]
        verdicts = await asyncio.gather(*map(stand.log.append, commands), return_exceptions=True)
        assert [isinstance(v, Appended) for v in verdicts] == [True] * 3 + [False] * 2 + [True] * 3
        assert all(isinstance(v, Exception) for v in verdicts[3:5])

    run(scenario)


def test_text_that_the_database_refuses_fails_alone(run, story):
    async def scenario(stand):
        await stand.log.append(story.append(story.board))
        agent = Agent.begin(
            uuid7(), workspace_id=story.workspace_id, name="nul \x00", role="", capabilities=(), config={},
            owner_id=story.user_id,
        )  # fmt: skip
        commands = [
            story.append(story.mission()),
            story.append(agent),
            story.append(story.mission()),
        ]
        verdicts = await asyncio.gather(*map(stand.log.append, commands), return_exceptions=True)
        assert [isinstance(v, Appended) for v in verdicts] == [True, False, True]

    run(scenario)


def test_what_rules_cannot_read_fails_alone(run, rows, story):
    async def scenario(stand):
        await stand.log.append(story.append(story.board))
        broken = story.mission()
        await stand.log.append(story.append(broken))
        rows(
            "UPDATE guard_missions SET due = '10000-01-02' WHERE mission_id = %s RETURNING 1",
            broken.id,
        )
        commands = [
            *(story.append(story.mission()) for _ in range(3)),
            story.append_edits(broken.id, 1),
            *(story.append(story.mission()) for _ in range(3)),
        ]
        verdicts = await asyncio.gather(*map(stand.log.append, commands), return_exceptions=True)
        assert [isinstance(v, Appended) for v in verdicts] == [True] * 3 + [False] + [True] * 3
        assert isinstance(await stand.log.append(story.append(story.mission())), Appended)

    run(scenario)


def test_who_stops_waiting_loses_nothing_of_the_others(run, story):
    async def scenario(stand):
        await stand.log.append(story.append(story.board))
        asked = [
            asyncio.create_task(stand.log.append(story.append(story.mission()))) for _ in range(20)
        ]
        await asyncio.sleep(0)
        for task in asked[::2]:
            task.cancel()
        verdicts = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(v, Appended) for v in verdicts[1::2])
        assert isinstance(await stand.log.append(story.append(story.mission())), Appended)

    run(scenario)


def test_closing_writes_what_waits(run, rows, story):
    async def scenario(stand):
        await stand.log.append(story.append(story.board))
        log = EventLog(stand.database, stand.codec)
        await log.__aenter__()
        asked = [asyncio.create_task(log.append(story.append(story.mission()))) for _ in range(300)]
        await asyncio.sleep(0)
        await log.__aexit__()
        assert all(isinstance(v, Appended) for v in await asyncio.gather(*asked))
        with pytest.raises(LogUnavailable):
            await log.append(story.append(story.mission()))

    run(scenario)


class LosesCommit(EventLog):
    """The connection breaks before the third COMMIT arrives."""

    countdown = 3

    async def _commit(self, batch, *write):
        self.countdown -= 1
        if self.countdown == 0:
            hang_up(self._connection)
        await super()._commit(batch, *write)


class LosesAnswer(LosesCommit):
    """The connection breaks after the third COMMIT succeeded, before its answer arrives."""

    async def _commit(self, batch, *write):
        if self.countdown == 1:
            await self._messages.send(*write, b"COMMIT")
        await super()._commit(batch, *write)


@pytest.mark.parametrize("log_class", [LosesCommit, LosesAnswer])
@pytest.mark.parametrize("key", [b"key", None])
def test_a_lost_commit_is_looked_up(run, rows, story, log_class, key):
    async def scenario(stand):
        await stand.log.append(story.append(story.board))
        await stand.log.append(story.append(story.mission()))
        commands = [story.append(story.mission(), key=key) for _ in range(10)]
        verdicts = await asyncio.gather(*map(stand.log.append, commands))
        assert all(isinstance(v, Appended) for v in verdicts)
        for command, verdict in zip(commands, verdicts, strict=True):
            recorded = rows(
                "SELECT position FROM events WHERE command_id = %s", command.meta.command_id
            )
            assert recorded == [(verdict.position,)]

    run(scenario, log_class)


class LosesCommitToAnother(LosesCommit):
    """Before it finds out, another process is asked `elsewhere`."""

    async def _reconnect(self, in_doubt=()):
        if in_doubt:
            await self.elsewhere()
        await super()._reconnect(in_doubt)


@pytest.mark.parametrize("with_events", [True, False])
def test_a_lost_batch_is_not_recorded_because_another_process_recorded_a_command_of_it(
    run, rows, story, with_events
):
    def command():
        return story.append(*([story.mission()] if with_events else []), key=b"key")

    async def scenario(stand):
        await stand.log.append(story.append(story.board))
        await stand.log.append(story.append(story.mission()))
        repeated, other = command(), command()
        async with EventLog(stand.database, stand.codec) as another:
            stand.log.elsewhere = lambda: another.append(repeated)
            verdicts = await asyncio.gather(stand.log.append(repeated), stand.log.append(other))
        assert [type(each) for each in verdicts] == [Duplicate, Appended]
        for each in (repeated, other):
            for table in ("commands", "events") if with_events else ("commands",):
                recorded = f"SELECT count(*) FROM {table} WHERE command_id = %s"
                assert rows(recorded, each.meta.command_id) == [(1,)]

    run(scenario, LosesCommitToAnother)


class Away:
    """The third batch breaks the connection, and the server lets nobody in until it is `back`."""

    back = False

    async def _connect(self):
        if self.countdown <= 0 and not self.back:
            raise psycopg.OperationalError("the server is away")
        await super()._connect()


class AwayBeforeCommit(Away, LosesCommit):
    pass


class AwayAfterCommit(Away, LosesAnswer):
    pass


class AwayBeforeWriting(Away, EventLog):
    countdown = 3

    async def _write(self, batch, connection):
        self.countdown -= 1
        if self.countdown == 0:
            hang_up(connection)
        return await super()._write(batch, connection)


class AwayWhileOneByOne(AwayBeforeWriting):
    """Only single commands can be written, so a batch is when the server goes away at its first one."""

    async def _write(self, batch, connection):
        if len(batch) > 1:
            raise psycopg.errors.DiskFull("no space left")
        return await super()._write(batch, connection)


@pytest.mark.parametrize(
    "log_class", [AwayBeforeWriting, AwayWhileOneByOne, AwayBeforeCommit, AwayAfterCommit]
)
def test_an_outage_keeps_nobody_waiting_and_their_key_is_answered_once(
    run, rows, story, log_class, monkeypatch
):
    monkeypatch.setattr(event_log, "OUTAGE_GRACE_S", 0.5)

    async def scenario(stand):
        await stand.log.append(story.append(story.board))
        await stand.log.append(story.append(story.mission()))
        commands = [story.append(story.mission(), key=b"key") for _ in range(3)]
        told = await asyncio.gather(*map(stand.log.append, commands), return_exceptions=True)
        in_doubt = log_class in (AwayBeforeCommit, AwayAfterCommit)
        assert {type(each) for each in told} == {OutcomeUnknown if in_doubt else LogUnavailable}
        assert await stand.log.state() == {"status": "away", "reason": "the server is away"}
        stand.log.back = True
        for command in commands:
            verdict = await stand.log.append(command)
            assert isinstance(verdict, Appended | Duplicate), verdict
            assert rows(
                "SELECT count(*) FROM events WHERE command_id = %s", command.meta.command_id
            ) == [(1,)]
        assert await stand.log.state() == {"status": "ok"}

    run(scenario, log_class)


class LockedAfterwards(LosesCommit):
    """Who lost a COMMIT finds the log locked, as by a transaction that hangs."""

    async def _reconnect(self, in_doubt=()):
        if in_doubt:
            self.holder = await self._database.connect()
            await self.holder.execute("BEGIN; SELECT 1 FROM log_head FOR UPDATE")
        await super()._reconnect(in_doubt)


def test_who_lost_a_commit_is_told_when_nobody_can_find_out(run, rows, story, monkeypatch):
    monkeypatch.setitem(event_log.sql.WRITER_SETTINGS, "lock_timeout", "500ms")

    async def scenario(stand):
        await stand.log.append(story.append(story.board))
        await stand.log.append(story.append(story.mission()))
        command = story.append(story.mission(), key=b"key")
        with pytest.raises(OutcomeUnknown):
            await stand.log.append(command)
        await stand.log.holder.close()
        assert isinstance(await stand.log.append(command), Appended)
        number = "SELECT count(*) FROM events WHERE command_id = %s"
        assert rows(number, command.meta.command_id) == [(1,)]

    run(scenario, LockedAfterwards)


def test_a_database_that_says_nothing_keeps_nobody_waiting(own_postgres, story, monkeypatch):
    monkeypatch.setattr(event_log, "OUTAGE_GRACE_S", 0.5)
    monkeypatch.setattr(event_log, "SILENCE_S_MAX", 1.0)
    migrate(own_postgres.dsn())

    async def scenario():
        async with (
            Database(own_postgres.dsn()) as database,
            EventLog(database, EventCodec()) as log,
        ):
            await log.append(story.append(story.board))
            commands = [story.append(story.mission(), key=b"key") for _ in range(3)]
            own_postgres.pause()
            told = await asyncio.gather(*map(log.append, commands), return_exceptions=True)
            assert all(isinstance(each, LogUnavailable) for each in told), told
            own_postgres.resume()
            verdicts = [await log.append(command) for command in commands]
            assert all(isinstance(each, Appended | Duplicate) for each in verdicts), verdicts

    asyncio.run(scenario())
    with psycopg.connect(own_postgres.dsn(), options=SYSTEM_OPTIONS) as connection:
        rows = connection.execute("SELECT position FROM events ORDER BY 1").fetchall()
    assert rows == [(1,), (2,), (3,), (4,)]


@pytest.mark.parametrize("log_class", [EventLog, LosesCommit, LosesAnswer])
def test_claims_never_take_a_mission_twice(run, rows, story, log_class):
    agent = Agent.begin(
        uuid7(), workspace_id=story.workspace_id, name="worker", role="", capabilities=(), config={},
        owner_id=story.user_id,
    )  # fmt: skip

    async def scenario(stand):
        async def decide(candidate):
            mission = await stand.aggregates.get(Mission, candidate.mission_id, story.workspace_id)
            mission.claim(Worker(agent.id, frozenset()), 60, story.place(Stage.ACTIVE))
            return story.append(mission)

        def claim():
            return stand.log.append(ClaimNext(story.meta(), agent.id, None, decide))

        await stand.log.append(story.append(story.board, agent))
        await asyncio.gather(*(stand.log.append(story.append(story.mission())) for _ in range(20)))
        verdicts = await asyncio.gather(*(claim() for _ in range(30)))
        assert sum(isinstance(v, Appended) for v in verdicts) == 20
        assert sum(isinstance(v, Nothing) for v in verdicts) == 10
        claimed = rows(
            "SELECT stream_id FROM events WHERE workspace_id = %s AND type = 'mission.claimed.v1'",
            story.workspace_id,
        )
        assert len(claimed) == len(set(claimed)) == 20

    run(scenario, log_class)


def test_a_held_lock_is_told_and_outlived(run, story, database_url):
    async def scenario(stand):
        await stand.log.append(story.append(story.board))
        holder = await stand.database.connect()
        async with holder:
            await holder.execute("BEGIN")
            await holder.execute("SELECT 1 FROM log_head FOR UPDATE")
            with pytest.raises(LogUnavailable):
                await stand.log.append(story.append(story.mission()))
            await holder.execute("ROLLBACK")
        assert isinstance(await stand.log.append(story.append(story.mission())), Appended)

    run(scenario)


def test_a_big_batch_is_written(run, story):
    async def scenario(stand):
        mission = story.mission("x" * 200)
        await stand.log.append(story.append(story.board))
        await stand.log.append(story.append(mission))
        edits = [story.edited(mission.id, 2 + n, "y" * 1000) for n in range(5000)]
        command = Append(
            story.meta(), [StreamAppend(mission.id, 1, edits)], lambda _: Answer(200, {})
        )
        assert isinstance(await stand.log.append(command), Appended)

    run(scenario)


@pytest.mark.parametrize(
    ("error", "code"),
    [(LogUnavailable("x"), "log_unavailable"), (OutcomeUnknown("x"), "outcome_unknown")],
)
def test_an_answer_says_that_nothing_was_recorded_only_where_that_is_known(error, code):
    answer = of_error(error)
    told = json.loads(answer.body)
    assert (answer.status_code, told["code"]) == (503, code)
    assert ("nothing was recorded" in told["detail"]) == (code == "log_unavailable")
