"""The seeded log passes what the real one has to pass, and is two believable weeks long."""

import asyncio
import itertools
import json
import stat
from collections import Counter, defaultdict
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import uuid4

import msgspec
import psycopg
import pytest

from commands import missions
from commands.bus import Bus, Tools
from commands.handlers import HANDLERS
from domain.board import Stage
from domain.guards import GuardState
from domain.mission import Mission
from infra.aggregates import Aggregates
from infra.codec import EventCodec
from infra.demo import story, texts
from infra.demo.company import PEOPLE, TEAMS, WORKERS
from infra.demo.keys import FILE
from infra.demo.seed import DRAFT, seed
from infra.event_log import EventLog
from infra.guards import ROWS_BY_TABLE, read_rows
from infra.identity import Identity
from infra.marks import Marks
from infra.postgres import Database
from infra.vault import Vault, root_key
from infra.write_side import WriteSide
from projections.catalogue import READ_MODELS
from projections.missions import MISSIONS
from streams.follower import Follower
from streams.projector import Projector
from tests.demo.conftest import Seeded


def test_there_are_12_agents_4_boards_and_300_missions_of_two_weeks(seeded: Seeded) -> None:
    counts = dict(
        seeded.rows("SELECT type, count(*) FROM events WHERE stream_version = 1 GROUP BY 1")
    )
    assert counts["agent.registered.v1"] == 12
    assert counts["board.created.v1"] == 4
    assert counts["mission.created.v1"] == 300
    assert counts["comment.added.v1"] > 100
    assert counts["user.registered.v1"] == len(PEOPLE) + 1
    ((first, last),) = seeded.rows("SELECT min(recorded_at), max(recorded_at) FROM events")
    assert timedelta(days=13, hours=23) < last - first <= timedelta(days=14)
    assert seeded.began - timedelta(minutes=5) < last < seeded.began + timedelta(minutes=1)
    days = seeded.rows("SELECT DISTINCT recorded_at::date FROM events WHERE type LIKE 'mission.%%'")
    assert len(days) >= 10


def test_positions_have_no_gaps_and_each_event_names_the_one_before_it(seeded: Seeded) -> None:
    events = seeded.rows(
        "SELECT position, prev, workspace_id, stream_id, stream_version, event_id"
        " FROM events ORDER BY position"
    )
    assert [event[0] for event in events] == list(range(1, len(events) + 1))
    assert seeded.rows("SELECT position FROM log_head") == [(len(events),)]
    assert seeded.rows("SELECT position FROM workspace_heads") == [(len(events),)]
    assert [event[1] for event in events] == list(range(len(events)))
    assert len({event[2] for event in events}) == 1
    versions: dict[object, int] = defaultdict(int)
    for event in events:
        versions[event[3]] += 1
        assert event[4] == versions[event[3]]
    assert len({event[5] for event in events}) == len(events)


def test_recorded_times_never_go_back_and_later_commands_come_after_them(seeded: Seeded) -> None:
    times = [row[0] for row in seeded.rows("SELECT recorded_at FROM events ORDER BY position")]
    assert times == sorted(times)
    assert seeded.rows("SELECT recorded_at FROM log_head") == [(times[-1],)]
    assert times[-1] < datetime.now(UTC)
    # Not all at once: a batch of the writer has many moments.
    assert len(set(times)) > len(times) / 3


def test_guards_rebuilt_from_the_seeded_log_equal_the_tables(seeded: Seeded) -> None:
    codec, state = EventCodec(), GuardState()
    for stream_id, version, workspace_id, topic, recorded_at, data in seeded.rows(
        "SELECT stream_id, stream_version, workspace_id, type, recorded_at, data::text"
        " FROM events ORDER BY position"
    ):
        event = codec.decode(
            topic, data, stream_id=stream_id, version=version, workspace_id=workspace_id,
            recorded_at=recorded_at,
        )  # fmt: skip
        state.admit(event, workspace_id, recorded_at, check=False)
    rebuilt = {row for _, row in state.changes() if row is not None}
    tables = {
        name: seeded.rows(f"SELECT coalesce(json_agg(t), '[]')::text FROM {name} t")[0][0]
        for name in ROWS_BY_TABLE
    }
    assert set(read_rows({name: text.encode() for name, text in tables.items()})) == rebuilt


def test_read_models_of_the_seeded_log_say_what_its_aggregates_say(seeded: Seeded) -> None:
    async def project() -> dict[object, Mission]:
        codec = EventCodec()
        async with Database(seeded.dsn) as database, AsyncExitStack() as stack:
            follower = await stack.enter_async_context(Follower(database, codec))
            marks = Marks(database)
            vault = Vault(database, root_key(None, seeded.settings.data_dir / "root.key"))
            aggregates = Aggregates(database, codec)
            tools = Tools(aggregates, WriteSide(database), vault, 60)
            log = await stack.enter_async_context(EventLog(database, codec))
            bus = Bus(log, tools, HANDLERS)
            projector = Projector(database, follower, bus, marks, READ_MODELS)
            await stack.enter_async_context(projector)
            ((head,),) = seeded.rows("SELECT position FROM log_head")
            await marks.wait(head, *(model.name for model in READ_MODELS), patience_s=60)
            streams = seeded.rows("SELECT mission_id, workspace_id FROM guard_missions")
            found = await asyncio.gather(*(aggregates.get(Mission, *row) for row in streams))
            return {mission.id: mission for mission in found}

    missions = asyncio.run(project())
    ((document,),) = seeded.rows("SELECT json_agg(r)::text FROM read_missions r")
    rows = msgspec.json.decode(document, type=list[MISSIONS.row])
    assert {row.id for row in rows} == set(missions)
    for row in rows:
        mission = missions[row.id]
        assert (row.version, row.stage, row.rank, row.holder, row.lease_token) == (
            mission.version, mission.place.stage, mission.place.rank, mission.holder,
            mission.lease_token,
        )  # fmt: skip
        assert (row.title, row.due, row.failures, row.completed) == (
            mission.content.title, mission.content.due, mission.failures, mission.completed,
        )  # fmt: skip
        unmet = {other for other, met in mission.dependencies.items() if not met}
        assert set(row.unmet_dependencies) == unmet


def test_no_name_address_or_comment_is_in_the_log_in_clear(seeded: Seeded) -> None:
    ((everything,),) = seeded.rows("SELECT string_agg(data::text, ' ') FROM events")
    for person in PEOPLE:
        assert person.name not in everything and person.email not in everything
    said = (*texts.REMARKS, *texts.QUESTIONS, *texts.REPLIES, *texts.THANKS)
    for text in said:
        longest = max(text.replace("}", "{").split("{"), key=len)
        assert longest not in everything
    for secret in (*seeded.keys.agents, *seeded.keys.people):
        assert (getattr(secret, "key", None) or secret.password) not in everything


@pytest.mark.parametrize("board", [team.name for team in TEAMS])
def test_every_board_is_alive_at_the_end(seeded: Seeded, board: str) -> None:
    rows = seeded.rows(
        "SELECT m.stage, m.blocked, m.due FROM guard_missions m JOIN guard_names n ON n.owner_id = m.board_id"
        " WHERE n.kind = 'board' AND n.name_key = %s",
        [board.casefold()],
    )
    stages = Counter(stage for stage, *_ in rows)
    assert min(stages[stage] for stage in Stage) >= 1, stages
    assert any(blocked for _, blocked, _ in rows)
    soon = datetime.now(UTC) + timedelta(hours=48)
    assert any(stage != "done" and due < soon for stage, _, due in rows)


def test_work_was_rejected_failed_lapsed_and_waited_for(seeded: Seeded) -> None:
    types = Counter(row[0].removesuffix(".v1") for row in seeded.rows("SELECT type FROM events"))
    for kind in (
        "mission.rejected", "mission.failed", "mission.lease_expired", "mission.released",
        "mission.blocked", "mission.assigned", "mission.dependency_added", "mission.dependency_met",
        "agent.went_offline", "board.wip_limit_set", "board.column_added",
    ):  # fmt: skip
        assert types[kind] >= 1, kind
    mentions = seeded.rows(
        "SELECT data FROM events WHERE type = 'comment.added.v1' AND data->>'parent_id' IS NOT NULL"
    )
    assert any(data["mentions"] for (data,) in mentions)


def test_missions_differ_from_each_other(seeded: Seeded) -> None:
    rows = seeded.rows("SELECT data->'content' FROM events WHERE type = 'mission.created.v1'")
    assert len({content["title"] for (content,) in rows}) == 300
    assert not any("{" in content["title"] + content["description"] for (content,) in rows)


def test_the_keys_are_in_a_file_of_mode_0600_and_open_the_api(seeded: Seeded) -> None:
    file = seeded.settings.data_dir / FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert set(json.loads(file.read_text())) == {"agents", "people"}

    async def who() -> list[object]:
        async with Database(seeded.dsn) as database:
            vault = Vault(database, root_key(None, seeded.settings.data_dir / "root.key"))
            await vault.start()
            identity = Identity(database, vault)
            found = [
                await identity.authenticate(key.key.encode(), {"state": {}})
                for key in seeded.keys.agents
            ]
            return [principal.actor.id for principal in found]

    assert asyncio.run(who()) == [key.id for key in seeded.keys.agents]
    assert len(seeded.keys.agents) == len(WORKERS)


def test_a_log_that_holds_something_is_never_seeded(seeded: Seeded) -> None:
    before = seeded.rows("SELECT log_id, position FROM log_head")
    assert asyncio.run(seed(seeded.settings, seeded.dsn, lambda *_: None)) is None
    assert seeded.rows("SELECT log_id, position FROM log_head") == before


def test_no_draft_is_left_and_progress_was_told_to_the_end(seeded: Seeded) -> None:
    assert seeded.rows("SELECT to_regnamespace(%s) IS NULL", [DRAFT]) == [(True,)]
    assert seeded.told == sorted(seeded.told)
    done, total = seeded.told[-1]
    assert done == total > 2_000


def test_the_seeded_log_is_append_only_too(seeded: Seeded) -> None:
    with (
        psycopg.connect(seeded.dsn) as connection,
        pytest.raises(psycopg.errors.RaiseException, match="append-only"),
    ):
        connection.execute("TRUNCATE events")


@pytest.mark.parametrize("hour", range(0, 168, 12))
def test_a_story_that_ends_at_any_hour_of_the_week_leaves_work_everywhere(hour: int) -> None:
    end = datetime(2026, 3, 2, tzinfo=UTC) + timedelta(hours=hour)
    told = story.Story(Random(hour), end)
    steps = told.steps()
    assert all(a.at <= b.at for a, b in itertools.pairwise(steps))
    assert told.start <= steps[0].at and steps[-1].at < end
    assert end - steps[-1].at < timedelta(minutes=15)
    stages = Counter(_stages(steps).values())
    for team in TEAMS:
        for stage in Stage:
            assert stages[team.name, stage] >= 1, (team.name, stage)
        assert stages[team.name, Stage.ACTIVE] <= team.limits[Stage.ACTIVE]


def _stages(steps: list[story.Step]) -> dict[object, tuple[str, Stage]]:
    """Fold the commands as a child would, to where each mission is."""
    columns: Any = {(team.name, stage): (team.name, stage) for team in TEAMS for stage in Stage}
    people = [person.name for person in PEOPLE]
    actors = {name: uuid4() for name in [*people, *(worker.name for worker in WORKERS)]}
    names = story.Names(actors, columns, {team.name: uuid4() for team in TEAMS})
    places: dict[object, tuple[str, Stage]] = {}
    goes_to = {
        missions.ClaimMission: Stage.ACTIVE, missions.SubmitMission: Stage.REVIEW,
        missions.ApproveMission: Stage.DONE, missions.RejectMission: Stage.READY,
        missions.FailMission: Stage.READY, missions.ReleaseMission: Stage.READY,
        story.Lapse: Stage.READY,
    }  # fmt: skip
    for step in steps:
        command = step.command(names)
        fresh = uuid4()
        if step.kept is not None:
            step.kept(names, {"id": fresh, "lease": {"token": 1}})
        if isinstance(command, missions.CreateMission):
            places[fresh] = command.column_id  # type: ignore[assignment]
        elif isinstance(command, missions.MoveMission):
            places[command.mission_id] = command.column_id  # type: ignore[assignment]
        elif type(command) in goes_to:
            places[command.mission_id] = (places[command.mission_id][0], goes_to[type(command)])
    return places
