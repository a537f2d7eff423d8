"""Aggregates from the log, from snapshots, and through the library's own repository."""

import asyncio

import psycopg
import pytest
from eventsourcing.application import Repository
from eventsourcing.persistence import EventStore, IntegrityError

from domain.base import NotFound
from domain.mission import Mission
from infra.aggregates import SNAPSHOT_FORMAT, Aggregates
from infra.postgres import SYSTEM_OPTIONS
from infra.recorder import LogMapper, LogRecorder, SnapshotMapper, SnapshotRecorder


def _state(aggregate):
    return {name: value for name, value in vars(aggregate).items() if name != "_pending_events"}


def test_the_appends_of_another_process_are_seen(run, story):
    async def scenario(stand):
        mission = story.mission()
        await stand.log.append(story.append(story.board))
        await stand.log.append(story.append(mission))
        first = await stand.aggregates.get(Mission, mission.id, story.workspace_id)
        await stand.log.append(story.append_edits(mission.id, 1, 3))
        second = await stand.aggregates.get(Mission, mission.id, story.workspace_id)
        assert (first.version, second.version) == (1, 4)
        assert (first.content.title, second.content.title) == ("a mission", "edited")

    run(scenario)


def test_what_is_forgotten_while_it_is_looked_up_is_there(run, story):
    async def scenario(stand):
        missions = [story.mission() for _ in range(3)]
        await stand.log.append(story.append(story.board))
        for mission in missions:
            await stand.log.append(story.append(mission))
        aggregates = Aggregates(stand.database, stand.codec, cached_max=1)

        def get(mission):
            return aggregates.get(Mission, mission.id, story.workspace_id)

        await get(missions[0])
        found = await asyncio.gather(*map(get, missions))
        assert [mission.id for mission in found] == [mission.id for mission in missions]

    run(scenario)


def test_a_foreign_aggregate_is_not_there(run, new_story):
    mine, theirs = new_story(), new_story()

    async def scenario(stand):
        await stand.log.append(theirs.append(theirs.board))
        with pytest.raises(NotFound):
            await stand.aggregates.get(type(theirs.board), theirs.board.id, mine.workspace_id)
        with pytest.raises(NotFound):
            await stand.aggregates.get(Mission, theirs.board.id, theirs.workspace_id)

    run(scenario)


def test_snapshots_are_taken_used_and_ignored_when_stale(run, rows, story):
    async def scenario(stand):
        mission = story.mission()
        await stand.log.append(story.append(story.board))
        await stand.log.append(story.append(mission))
        mission = await stand.aggregates.get(Mission, mission.id, story.workspace_id)
        for event in (story.edited(mission.id, 2 + n) for n in range(120)):
            event.mutate(mission)
            mission.pending_events.append(event)
        await stand.log.append(story.append(mission))
        stand.aggregates.remember(mission)
        await stand.aggregates.close()
        assert rows("SELECT version FROM snapshots WHERE stream_id = %s", mission.id) == [(121,)]
        await stand.log.append(story.append_edits(mission.id, 121))

        async def load():
            return await Aggregates(stand.database, stand.codec).get(
                Mission, mission.id, story.workspace_id
            )

        quick = await load()
        change = "UPDATE snapshots SET format = %s, state = '{}' WHERE stream_id = %s RETURNING 1"
        rows(change, SNAPSHOT_FORMAT + 1, mission.id)
        slow = await load()
        # A snapshot keeps the command's time of the events in it, the log its own.
        ignored = ("_created_on", "_modified_on")
        assert {k: v for k, v in _state(quick).items() if k not in ignored} == {
            k: v for k, v in _state(slow).items() if k not in ignored
        }
        assert quick.version == 122

    run(scenario)


def test_the_librarys_repository_reads_and_writes_the_log(run, database_url, story):
    async def scenario(stand):
        loop = asyncio.get_running_loop()
        mission = story.mission()
        await stand.log.append(story.append(story.board))

        def append(command):
            return asyncio.run_coroutine_threadsafe(stand.log.append(command), loop).result(10)

        def with_library():
            with psycopg.connect(
                database_url, autocommit=True, options=SYSTEM_OPTIONS
            ) as connection:
                mapper = LogMapper(stand.codec)
                store = EventStore(mapper, LogRecorder(connection, mapper, append))
                snapshots = EventStore(SnapshotMapper(), SnapshotRecorder(connection))
                store.put(mission.pending_events, meta=story.meta())
                store.put([story.edited(mission.id, 2)], meta=story.meta())
                with pytest.raises(IntegrityError):
                    store.put([story.edited(mission.id, 2)], meta=story.meta())
                return Repository(store, snapshot_store=snapshots).get(mission.id)

        loaded = await asyncio.to_thread(with_library)
        ours = await stand.aggregates.get(Mission, mission.id, story.workspace_id)
        assert _state(loaded) == _state(ours)

    run(scenario)
