"""The past: at any position it is what a plain fold of the log says, which knows nothing of ours."""

import asyncio
import random
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from fastapi import FastAPI, Request

from commands import boards, missions
from commands.agents import UpdateAgent
from commands.bus import PreconditionFailed
from commands.comments import AddComment
from domain.agent import Agent
from domain.base import InvalidValue, NotFound, Refusal
from domain.board import Stage
from domain.mission import Priority
from infra.history import FORMAT, BeyondTheLog, History
from infra.marks import KEYFRAMES, Marks
from infra.migrate import MIGRATIONS
from projections.missions import MISSIONS
from projections.read_model import ReadModel
from read_api.history import agent_as_of
from streams.follower import Follower, NotAlone
from streams.keyframes import Keyframes
from streams.room_index import RoomIndex

STEPS = 220
INTERVAL = 20
BATCH = 12
PAGE = 7
POSITIONS = 60


@dataclass(frozen=True)
class AgentName:
    id: UUID
    workspace_id: UUID
    version: int
    name: str


AGENT_NAMES: ReadModel[AgentName] = ReadModel(
    "agent_names",
    table="read_agent_names",
    row=AgentName,
    on={
        Agent.Created: lambda _, event: AgentName(
            event.originator_id, event.workspace_id, event.originator_version, event.name
        ),
        Agent.Updated: lambda row, event: AgentName(row.id, row.workspace_id, 0, event.name),
    },
)


# A fold that shares nothing with the product's.


def naive_missions(log: list[tuple[Any, ...]]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for _, stream_id, version, kind, at, data in log:
        noun, _, what = kind.removesuffix(".v1").partition(".")
        if noun != "mission":
            continue
        card = found.setdefault(str(stream_id), {})
        naive_step(card, what, data, version)
        card |= {"version": version, "updated_at": at}
        for name in ("board_id", "column_id", "stage", "rank"):
            if name in data and (name != "board_id" or "column_id" in data):
                card[name] = data[name]
        if what == "created":
            card |= {"id": str(stream_id), "created_at": at}
    return found


def naive_step(  # noqa: C901, PLR0912 - one case for each event
    card: dict[str, Any], what: str, data: dict[str, Any], version: int
) -> None:
    free = {"holder": None, "lease_token": None}
    other = data.get("depends_on_id")
    match what:
        case "created":
            card |= {
                **data["content"], **free, "assignees": data["assignees"], "progress_percent": 0,
                "progress_note": None, "dependencies": [], "unmet_dependencies": [],
                "blocked_reason": None, "failures": 0, "submitted_by": None, "summary": None,
                "sent_back_reason": None,
                "completed": data["stage"] == "done", "deleted": False, "created_by": data["created_by"],
                "stale": False,
            }  # fmt: skip
        case "edited":
            card |= data["content"]
        case "moved":
            card |= free if data["column_id"] != data["from_column_id"] else {}
        case "assigned":
            card["assignees"] = [*card["assignees"], data["assignee_id"]]
        case "unassigned":
            card["assignees"] = [a for a in card["assignees"] if a != data["assignee_id"]]
        case "claimed":
            card |= {"holder": data["agent_id"], "lease_token": version}
            card |= {"progress_percent": 0, "progress_note": None}
        case "released" | "lease_expired":
            card |= free
        case "progressed":
            card |= {"progress_percent": data["percent"], "progress_note": data["note"]}
        case "submitted":
            card |= {**free, "submitted_by": data["agent_id"], "summary": data["summary"]}
            card["sent_back_reason"] = None
        case "rejected":
            card |= {"submitted_by": None, "summary": None, "sent_back_reason": data["reason"]}
        case "completed":
            card |= {"progress_percent": 100, "completed": True, "sent_back_reason": None}
        case "reopened":
            card |= {"completed": False, "submitted_by": None, "summary": None}
        case "failed":
            card |= {**free, "failures": card["failures"] + 1}
        case "blocked":
            card["blocked_reason"] = data["reason"]
        case "unblocked":
            card |= {"blocked_reason": None, "failures": 0}
        case "dependency_added":
            card["dependencies"] = [*card["dependencies"], other]
            if not data["met"]:
                card["unmet_dependencies"] = [*card["unmet_dependencies"], other]
        case "dependency_removed":
            for name in ("dependencies", "unmet_dependencies"):
                card[name] = [one for one in card[name] if one != other]
        case "dependency_met":
            card["unmet_dependencies"] = [o for o in card["unmet_dependencies"] if o != other]
        case "dependency_unmet":
            card["unmet_dependencies"] = [*card["unmet_dependencies"], other]
        case "deleted":
            card |= {**free, "deleted": True}


def naive_columns(log: list[tuple[Any, ...]], board_id: UUID) -> list[dict[str, Any]] | None:
    columns: dict[str, dict[str, Any]] | None = None
    for _, stream_id, _, kind, _, data in log:
        if stream_id != board_id:
            continue
        if kind == "board.created.v1":
            columns = {column["id"]: column for column in data["columns"]}
        assert columns is not None
        if kind == "board.column_added.v1":
            columns[data["column"]["id"]] = data["column"]
        elif kind == "board.column_removed.v1":
            del columns[data["column_id"]]
        elif "column_id" in data:
            changed = {name: value for name, value in data.items() if name != "column_id"}
            columns[data["column_id"]] = {**columns[data["column_id"]], **changed}
    if columns is None:
        return None
    return sorted(columns.values(), key=lambda column: (column["rank"], column["id"]))


def plain(row: Any) -> Any:
    """Return a row as JSON values, but for its times."""
    found = msgspec.json.decode(msgspec.json.encode(row))
    for name in ("created_at", "updated_at"):
        if found and name in found:
            found[name] = getattr(row, name)
    return found


# A life on three boards.


async def live_a_life(world: Any, chance: random.Random) -> list[UUID]:
    """Do at random what people and agents do on three boards; refusals are part of it."""
    own = await world.board()
    board_ids = [own.id]
    for name in ("second", "third"):
        answer = await world.do(boards.CreateBoard(f"{name} {chance.random()}"))
        board_ids.append(UUID(str(answer.body["id"])))
    made = [await world.mission(f"m{n}", priority=Priority.HIGH) for n in range(10)]
    workers = [await world.agent() for _ in range(3)]
    tokens: dict[UUID, tuple[UUID, int]] = {}
    for number in range(STEPS):
        step = _step(world, chance, made, workers, tokens, chance.choice(board_ids), number)
        try:
            await step
        except (Refusal, PreconditionFailed):
            continue
    return board_ids


def _step(  # noqa: C901 - one case for each thing to do
    world: Any, chance: random.Random, made: list[UUID], workers: list[UUID], tokens: Any, board_id: UUID,
    number: int,
) -> Any:  # fmt: skip
    mission_id, worker = chance.choice(made), chance.choice(workers)
    holder, token = tokens.get(mission_id, (worker, 1))
    match chance.randrange(14):
        case 0 | 1 | 2:
            return _move(world, chance, mission_id, board_id)
        case 3 | 4:
            return _claim(world, mission_id, worker, tokens)
        case 5:
            return world.do(missions.ReportProgress(mission_id, token, number % 100, "x"), holder)
        case 6:
            return world.do(missions.SubmitMission(mission_id, token, "sum"), holder)
        case 7:
            return world.do(missions.FailMission(mission_id, token, "no"), holder)
        case 8:
            return world.do(missions.RejectMission(mission_id, "again"))
        case 9:
            return world.do(missions.EditMission(mission_id, {"title": f"t{number}"}))
        case 10:
            return world.do(missions.AssignMission(mission_id, worker))
        case 11:
            return world.do(missions.AddDependency(mission_id, chance.choice(made)))
        case 12:
            return _add(world, made, number)
        case _ if number % 3 == 0:
            return world.do(missions.DeleteMission(mission_id))
        case _:
            return world.do(boards.AddColumn(board_id, f"c{number}", Stage.READY, None, None))


async def _add(world: Any, made: list[UUID], number: int) -> None:
    made.append(await world.mission(f"n{number}"))


async def _claim(world: Any, mission_id: UUID, worker: UUID, tokens: Any) -> None:
    answer = await world.do(missions.ClaimMission(mission_id), worker)
    tokens[mission_id] = (worker, answer.body["lease"]["token"])


async def _move(world: Any, chance: random.Random, mission_id: UUID, board_id: UUID) -> None:
    rows = await world.query(
        "SELECT data->'columns'->%s->>'id' FROM events WHERE stream_id = %s AND stream_version = 1",
        [chance.randrange(5), board_id],
    )
    await world.do(missions.MoveMission(mission_id, UUID(rows[0][0]), board_id))


async def the_log(world: Any) -> list[tuple[Any, ...]]:
    return await world.query(  # type: ignore[no-any-return]
        "SELECT position, stream_id, stream_version, type, recorded_at, data FROM events"
        " WHERE workspace_id = %s ORDER BY position",
        [world.workspace_id],
    )


async def keep(world: Any, until: int, *, interval: int = INTERVAL) -> None:
    """Let the room index and the keyframes come as far as `until`."""
    marks = Marks(world.database)
    marks.note(KEYFRAMES, 0)
    history = History(world.database, world.codec)
    async with AsyncExitStack() as stack:
        follower = await stack.enter_async_context(Follower(world.database, world.codec))
        await stack.enter_async_context(RoomIndex(world.database, follower))
        job = Keyframes(world.database, follower, history, marks, interval, BATCH)
        await stack.enter_async_context(job)
        await marks.wait(until, KEYFRAMES)


async def check(world: Any, history: History, board_ids: list[UUID], chance: random.Random) -> None:
    """Compare random positions with the plain fold."""
    log = await the_log(world)
    for position in sorted(chance.sample(range(log[0][0], log[-1][0] + 1), POSITIONS)):
        before = [row for row in log if row[0] <= position]
        expected = naive_missions(before)
        for board_id in board_ids:
            state = await history.board(world.workspace_id, board_id, position)
            columns = naive_columns(before, board_id)
            assert (plain(state.board.columns) if state.board else None) == columns
            cards = {str(key): plain(row) for key, row in state.cards.items()}
            on_board = {
                key: card
                for key, card in expected.items()
                if card["board_id"] == str(board_id) and not card["deleted"]
            }
            for card in cards.values():
                assert card.pop("workspace_id") == str(world.workspace_id)
            assert cards == on_board, position
        key = chance.choice(list(expected) or [str(board_ids[0])])
        row = await history.row(MISSIONS, world.workspace_id, UUID(key), position)
        plainly = plain(row)
        assert (plainly and plainly["version"]) == expected.get(key, {}).get("version")


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_board_at_any_position_is_what_a_plain_fold_says(world: Any, seed: int) -> None:
    chance = random.Random(seed)
    board_ids = await live_a_life(world, chance)
    log = await the_log(world)
    await keep(world, log[-1][0])
    made = await world.query("SELECT count(*) FROM read_keyframes")
    assert made[0][0] > 5
    await check(world, History(world.database, world.codec, PAGE), board_ids, chance)


async def test_a_keyframe_changes_how_far_is_folded_and_never_what_is_found(world: Any) -> None:
    chance = random.Random(7)
    board_ids = await live_a_life(world, chance)
    end = (await the_log(world))[-1][0]
    history = History(world.database, world.codec)
    await keep(world, end)
    with_keyframes = [await history.board(world.workspace_id, b, end) for b in board_ids]
    await world.query("DELETE FROM read_keyframes")
    assert [await history.board(world.workspace_id, b, end) for b in board_ids] == with_keyframes


async def test_keyframes_that_were_stopped_in_the_middle_go_on_without_a_gap_or_a_double(
    world: Any,
) -> None:
    chance = random.Random(3)
    board_ids = await live_a_life(world, chance)
    end = (await the_log(world))[-1][0]
    marks = Marks(world.database)
    history = History(world.database, world.codec)
    async with Follower(world.database, world.codec) as follower:
        async with RoomIndex(world.database, follower):
            while await history.indexed() < end:
                await asyncio.sleep(0.01)
        for _ in range(30):
            async with Keyframes(world.database, follower, history, marks, INTERVAL, BATCH):
                await asyncio.sleep(chance.uniform(0, 0.02))  # cancelled wherever it is by now
    await keep(world, end)
    counted = await world.query(
        "SELECT sum(events), min(first_position), max(last_position) FROM read_event_minutes"
        " WHERE workspace_id = %s",
        [world.workspace_id],
    )
    log = await the_log(world)
    assert counted == [(len(log), log[0][0], log[-1][0])]
    await check(world, history, board_ids, chance)


async def test_two_that_keep_the_same_count_nothing_twice(world: Any) -> None:
    await live_a_life(world, random.Random(5))
    log = await the_log(world)
    await asyncio.gather(*(keep(world, log[-1][0]) for _ in range(3)))
    counted = await world.query(
        "SELECT sum(events) FROM read_event_minutes WHERE workspace_id = %s", [world.workspace_id]
    )
    assert counted == [(len(log),)]


def naive_board_minutes(log: list[tuple[Any, ...]]) -> dict[tuple[str, datetime], list[int]]:
    """Return the positions of each board's minutes, from each event's own words of where it was."""
    found: dict[tuple[str, datetime], list[int]] = {}
    for position, stream_id, _, kind, at, data in log:
        named = {str(data[name]) for name in ("board_id", "from_board_id") if data.get(name)}
        on = {str(stream_id)} if kind.startswith("board.") else named
        for board_id in on if kind.startswith(("board.", "mission.", "comment.")) else ():
            found.setdefault((board_id, at.replace(second=0, microsecond=0)), []).append(position)
    return found


async def board_minutes(world: Any) -> dict[tuple[str, datetime], tuple[int, int, int]]:
    rows = await world.query(
        "SELECT board_id::text, minute, events, first_position, last_position"
        " FROM read_board_minutes WHERE workspace_id = %s",
        [world.workspace_id],
    )
    return {(board_id, minute): tuple(rest) for board_id, minute, *rest in rows}


def summed(naive: dict[Any, list[int]]) -> dict[Any, tuple[int, int, int]]:
    return {key: (len(of), min(of), max(of)) for key, of in naive.items()}


async def test_each_event_of_a_board_is_counted_once_in_its_minute_whoever_indexes_it(
    world: Any,
) -> None:
    chance = random.Random(8)
    await live_a_life(world, chance)
    mission_id = await world.mission("talked about")
    await world.do(AddComment(mission_id, "a word", None, ()))
    log = await the_log(world)
    history = History(world.database, world.codec)
    async with Follower(world.database, world.codec) as follower:
        for _ in range(10):
            async with RoomIndex(world.database, follower), RoomIndex(world.database, follower):
                await asyncio.sleep(chance.uniform(0, 0.02))  # cancelled wherever they are by now
        async with RoomIndex(world.database, follower):
            while await history.indexed() < log[-1][0]:
                await asyncio.sleep(0.01)
    assert await board_minutes(world) == summed(naive_board_minutes(log)) != {}


async def test_an_index_that_comes_late_takes_nothing_back(world: Any) -> None:
    await live_a_life(world, random.Random(6))
    end = (await the_log(world))[-1][0]
    history = History(world.database, world.codec)
    async with Follower(world.database, world.codec) as follower:
        late = RoomIndex(world.database, follower)
        batch = await follower.read(0, 3)
        async with RoomIndex(world.database, follower):
            while await history.indexed() < end:
                await asyncio.sleep(0.01)
        async with world.database.system() as connection:
            with pytest.raises(NotAlone):
                async with connection.transaction():
                    await late._write(connection, 0, batch)
    assert await history.indexed() == end


async def test_what_was_indexed_before_boards_had_minutes_is_counted_by_the_migration(
    world: Any,
) -> None:
    await live_a_life(world, random.Random(9))
    log = await the_log(world)
    await keep(world, log[-1][0])
    await world.query("DROP TRIGGER board_minutes ON room_index")
    await world.query("DROP FUNCTION mc_count_board_minutes; DROP TABLE read_board_minutes")
    await world.query((MIGRATIONS / "0016_board_minutes.sql").read_text())
    assert await board_minutes(world) == summed(naive_board_minutes(log)) != {}


async def test_keyframes_of_an_older_form_are_made_anew(world: Any) -> None:
    chance = random.Random(4)
    board_ids = await live_a_life(world, chance)
    end = (await the_log(world))[-1][0]
    await keep(world, end)
    before = await world.query("SELECT count(*) FROM read_keyframes")
    await world.query("UPDATE read_keyframes SET format = 'older', state = '\\x00'")
    await keep(world, end)
    forms = await world.query("SELECT format, count(*) FROM read_keyframes GROUP BY format")
    assert [form for form, _ in forms] == [FORMAT]
    assert forms[0][1] >= before[0][0] // 2
    await check(world, History(world.database, world.codec, PAGE), board_ids, chance)


async def test_an_event_that_cannot_be_folded_holds_up_its_own_card_only(world: Any) -> None:
    poisoned, sound = await world.mission("poisoned"), await world.mission("sound")
    board = await world.board()
    await world.query("ALTER TABLE events DISABLE TRIGGER events_are_append_only")
    for title in ("edited", "edited again"):
        for mission_id in (poisoned, sound):
            await world.do(missions.EditMission(mission_id, {"title": title}))
    await world.query(
        "UPDATE events SET data = (data::jsonb || '{\"content\": 1}')::json"
        " WHERE stream_id = %s AND stream_version = 2",
        [poisoned],
    )
    await world.query("ALTER TABLE events ENABLE TRIGGER events_are_append_only")
    end = (await the_log(world))[-1][0]
    await keep(world, end, interval=1)
    history = History(world.database, world.codec)
    cards = (await history.board(world.workspace_id, board.id, end)).cards
    assert (cards[poisoned].title, cards[poisoned].version) == ("poisoned", 1)
    assert (cards[sound].title, cards[sound].version) == ("edited again", 3)


async def test_a_time_is_the_last_position_at_or_before_it(world: Any) -> None:
    for number in range(5):
        await world.mission(f"m{number}")
    history = History(world.database, world.codec)
    log = await world.query("SELECT position, recorded_at FROM events ORDER BY position")
    times = [row[1] for row in log]
    for position, at in log:
        same = [p for p, other in log if other == at]
        assert (await history.at(at)).position == max(same)
        assert (await history.at(at, inclusive=False)).position == min(same) - 1
        assert (await history.at(position)).recorded_at == at
    early = await history.at(times[0] - timedelta(days=1))
    assert (early.position, early.recorded_at) == (0, None)
    now = datetime.now(UTC)
    latest = await history.at(now - timedelta(microseconds=1))
    assert latest.position == log[-1][0]


@pytest.mark.parametrize("what", ["position", "time"])
async def test_what_is_yet_to_come_has_no_state(world: Any, what: str) -> None:
    history = History(world.database, world.codec)
    head = (await world.query("SELECT position FROM log_head"))[0][0]
    when = head + 1 if what == "position" else datetime.now(UTC) + timedelta(hours=1)
    with pytest.raises(BeyondTheLog) as beyond:
        await history.at(when)
    assert beyond.value.head == head


async def test_any_read_model_of_one_row_a_stream_has_a_past(world: Any) -> None:
    agent_id = await world.agent()
    before = (await world.query("SELECT position FROM log_head"))[0][0]
    await world.do(UpdateAgent(agent_id, {"name": "renamed"}))
    after = (await world.query("SELECT position FROM log_head"))[0][0]
    history = History(world.database, world.codec)
    then = await history.row(AGENT_NAMES, world.workspace_id, agent_id, before)
    now = await history.row(AGENT_NAMES, world.workspace_id, agent_id, after)
    assert then is not None and now is not None
    assert then.name.startswith("agent ") and now.name == "renamed"
    assert await history.row(AGENT_NAMES, world.workspace_id, agent_id, before - 1) is None
    assert await history.row(AGENT_NAMES, UUID(int=1), agent_id, after) is None


async def test_an_agent_as_of_a_moment_is_its_row_then(world: Any) -> None:
    agent_id = await world.agent()
    before = (await world.query("SELECT position FROM log_head"))[0][0]
    await world.do(UpdateAgent(agent_id, {"name": "renamed"}))
    app = FastAPI()
    app.state.history = History(world.database, world.codec)
    request = Request({"type": "http", "app": app, "headers": []})

    async def name(workspace_id: UUID, as_of: str) -> str:
        past = await agent_as_of(request, AGENT_NAMES, workspace_id, agent_id, as_of)
        return past.found.name

    assert (await name(world.workspace_id, str(before))).startswith("agent ")
    assert await name(world.workspace_id, str(before + 1)) == "renamed"
    for workspace_id, as_of in ((world.workspace_id, str(before - 1)), (UUID(int=1), str(before))):
        with pytest.raises(NotFound):
            await name(workspace_id, as_of)
    with pytest.raises(InvalidValue) as refused:
        await name(world.workspace_id, str(before + 2))
    assert refused.value.field == "as_of"
