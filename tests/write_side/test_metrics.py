"""Points, hours and every analytic say what a naive reading of the events says, over weeks."""

import dataclasses
import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import msgspec
import pytest
from fastapi import Request

from commands import missions
from commands.bus import PreconditionFailed
from domain.base import Refusal
from domain.board import Stage
from infra.envelopes import Envelope
from infra.marks import Marks
from projections.agents import AGENTS
from projections.metrics import MISSION_FLOW, FlowRow
from read_api import analytics
from streams.follower import Follower
from streams.projector import Projector

BEGIN = datetime(2026, 3, 2, 10, 30, tzinfo=UTC)
STAGES = ("backlog", "ready", "active", "review", "done")
LEASE_ENDS = {
    "mission.lease_expired.v1": "expired", "mission.released.v1": "released",
    "mission.submitted.v1": "submitted", "mission.failed.v1": "failed",
    "mission.deleted.v1": "taken", "mission.moved.v1": "taken",
}  # fmt: skip
SAVE = """
INSERT INTO read_mission_flow SELECT r.* FROM json_populate_recordset(NULL::read_mission_flow, %(rows)s::json) r
ON CONFLICT (id) DO UPDATE SET ({columns}) = (SELECT {excluded})"""
Events = Sequence[Envelope]


async def work(world: Any, chance: random.Random, steps: int) -> None:
    """Do what makes missions flow, at random; refusals are part of it."""
    made = [await world.mission(f"m{n}", chance.choice(list(Stage)[:2])) for n in range(14)]
    made.append(await world.mission("already done", Stage.DONE))
    workers = [await world.agent() for _ in range(3)]
    tokens: dict[UUID, tuple[UUID, int]] = {}

    async def claim(mission_id: UUID, worker: UUID) -> None:
        answer = await world.do(missions.ClaimMission(mission_id), worker)
        tokens[mission_id] = (worker, answer.body["lease"]["token"])

    for _ in range(steps):
        key, worker, stage = chance.choice(made), chance.choice(workers), chance.choice(list(Stage))
        holder, token = tokens.get(key, (worker, 1))
        step = chance.choices([
            lambda k=key, w=worker: claim(k, w),
            lambda k=key, h=holder, t=token: world.do(missions.SubmitMission(k, t, "sum"), h),
            lambda k=key, h=holder, t=token: world.do(missions.FailMission(k, t, "no"), h),
            lambda k=key, h=holder, t=token: world.do(missions.ReleaseMission(k, t), h),
            lambda k=key: world.do(missions.ApproveMission(k)),
            lambda k=key: world.do(missions.RejectMission(k, "again")),
            lambda k=key, s=stage: world.move(k, s),
            lambda k=key, w=worker: world.do(missions.AssignMission(k, w)),
            lambda k=key: world.do(missions.EditMission(k, {"title": "new"})),
            lambda k=key: world.do(missions.UnblockMission(k)),
        ], [4, 4, 1, 1, 2, 1, 2, 1, 1, 1])[0]  # fmt: skip
        try:
            await step()
        except (Refusal, PreconditionFailed):
            continue
    await world.do(missions.DeleteMission(made[0]))
    await world.do(missions.DeleteMission(made[1]))


async def life_of_weeks(world: Any, seed: int) -> list[Envelope]:
    """Return the missions' events of a random life, as if up to 12 hours had gone by between any two."""
    chance = random.Random(seed)
    await work(world, chance, 400)
    at, retimed, commands = BEGIN, [], set[UUID]()
    for envelope in await of_missions(world):
        if envelope.command_id not in commands:
            at += timedelta(seconds=chance.randrange(12 * 3600))
        commands.add(envelope.command_id)
        retimed.append(dataclasses.replace(envelope, recorded_at=at))
    return retimed


async def of_missions(world: Any) -> list[Envelope]:
    """Return the events of the world's missions."""
    async with Follower(world.database, world.codec) as follower:
        events: list[Envelope] = []
        position = 0
        while batch := await follower.read(position):
            position = batch[-1].position
            events += batch
    mine = world.workspace_id
    return [e for e in events if e.workspace_id == mine and e.type.startswith("mission.")]


async def fold(world: Any, events: Events, chance: random.Random) -> dict[UUID, FlowRow]:
    """Fold events into the table in batches of any size, as the projector does."""
    columns = [field.name for field in dataclasses.fields(FlowRow)]
    save = SAVE.format(
        columns=", ".join(columns), excluded=", ".join(f"excluded.{name}" for name in columns)
    )
    rows: dict[UUID, FlowRow] = {}
    waiting = list(events)
    while waiting:
        size = chance.randrange(1, 40)
        batch, waiting = waiting[:size], waiting[size:]
        touched = {}
        for envelope in batch:
            row = MISSION_FLOW.apply(rows.get(envelope.stream_id), envelope)
            rows[envelope.stream_id] = touched[envelope.stream_id] = row
        await world.query(save, {"rows": msgspec.json.encode(list(touched.values())).decode()})
    return rows


async def know_agents(world: Any) -> None:
    marks = Marks(world.database)
    async with (
        Follower(world.database, world.codec) as follower,
        Projector(world.database, follower, world.bus, marks, [AGENTS]),
    ):
        head = (await world.query("SELECT position FROM log_head"))[0][0]
        await marks.wait(head, AGENTS.name)


async def ask(world: Any, route: Any, **parameters: Any) -> Any:
    marks = Marks(world.database)
    for model in (MISSION_FLOW, AGENTS):
        marks.note(model.name, 1)
    state = SimpleNamespace(database=world.database, marks=marks)
    request = Request({"type": "http", "app": SimpleNamespace(state=state)})
    principal = SimpleNamespace(workspace_id=world.workspace_id)
    answer = await route(request=request, principal=principal, **parameters)
    return msgspec.json.decode(answer.body)


def streams(events: Events) -> Iterable[list[Envelope]]:
    by_stream: dict[UUID, list[Envelope]] = {}
    for envelope in events:
        by_stream.setdefault(envelope.stream_id, []).append(envelope)
    return by_stream.values()


def naive_counts(events: Events, at: datetime) -> dict[str, int]:
    counts = dict.fromkeys(STAGES, 0)
    for stream in streams(events):
        past = [e for e in stream if e.recorded_at < at]
        placed = [e.payload["stage"] for e in past if "stage" in e.payload]
        if placed and past[-1].type != "mission.deleted.v1":
            counts[placed[-1]] += 1
    return counts


def naive_durations(events: Events) -> dict[str, list[tuple[datetime, float]]]:
    """Return when each span of each kind ended, and how many seconds it took."""
    begins = {
        "lead": ("mission.completed.v1", lambda back: back[opened(back)]),
        "cycle": ("mission.completed.v1", started),
        "review": ("mission.approved.v1 mission.rejected.v1", submitted),
        "claim": ("mission.claimed.v1", entered),
    }
    found: dict[str, list[tuple[datetime, float]]] = {name: [] for name in begins}
    for stream in streams(events):
        for index, envelope in enumerate(stream):
            for name, (ends, begin) in begins.items():
                # What is created in done is completed at once.
                at_once = not index and envelope.payload["stage"] == "done" and name == "lead"
                if at_once or envelope.type in ends.split():
                    first = envelope if at_once else begin(stream[:index])
                    end = envelope.recorded_at
                    if first is not None:
                        found[name].append((end, (end - first.recorded_at).total_seconds()))
    return found


def opened(back: Events) -> int:
    return max(n for n, e in enumerate(back) if not n or e.type == "mission.reopened.v1")


def started(back: Events) -> Envelope | None:
    at = opened(back)
    moved_there = at > 0 and back[at - 1].payload["stage"] in {"active", "review"}
    begun = [e for e in back[at:] if e.payload.get("stage") == "active"]
    return back[at] if moved_there else next(iter(begun), None)


def submitted(back: Events) -> Envelope | None:
    at = max((n for n, e in enumerate(back) if e.type == "mission.submitted.v1"), default=None)
    if at is None or any(e.payload.get("stage", "review") != "review" for e in back[at:]):
        return None
    return back[at]


def entered(back: Events) -> Envelope:
    places = [e for e in back if "stage" in e.payload]
    while len(places) > 1 and places[-2].payload["stage"] == places[-1].payload["stage"]:
        places.pop()
    return places[-1]


def naive_leases(events: Events) -> list[tuple[UUID, datetime, datetime | None, str]]:
    leases: list[tuple[UUID, datetime, datetime | None, str]] = []
    for stream in streams(events):
        held: tuple[UUID, datetime] | None = None
        for e in stream:
            ends = e.type in LEASE_ENDS and (
                e.type != "mission.moved.v1"
                or e.payload["column_id"] != e.payload["from_column_id"]
            )
            if ends and held is not None:
                leases.append((*held, e.recorded_at, LEASE_ENDS[e.type]))
                held = None
            if e.type == "mission.claimed.v1":
                held = UUID(e.payload["agent_id"]), e.recorded_at
        if held is not None:
            leases.append((*held, None, "held"))
    return leases


def naive_busy(leases: Any, agent: UUID, since: datetime, until: datetime) -> float:
    spans = sorted(
        (max(begin, since), min(end or until, until))
        for who, begin, end, _ in leases
        if who == agent
    )
    busy, seen = 0.0, since
    for begin, end in spans:
        if end > max(begin, seen):
            busy += (end - max(begin, seen)).total_seconds()
            seen = end
    return busy


def naive_percentile(values: list[float], share: float) -> float:
    ordered, at = sorted(values), (len(values) - 1) * share
    low = int(at)
    return ordered[low] + (ordered[min(low + 1, len(ordered) - 1)] - ordered[low]) * (at - low)


def time(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(("seed", "bucket"), [(1, "hour"), (2, "day"), (3, "week")])
async def test_each_analytic_is_what_the_events_say(world: Any, seed: int, bucket: str) -> None:
    events = await life_of_weeks(world, seed)
    await fold(world, events, random.Random(seed))
    # The range ends with the hour in which a card moves next: that one is out of it.
    after = [e for e in events if e.type == "mission.claimed.v1"][-1]
    until = after.recorded_at.replace(minute=0, second=0)
    asked: dict[str, Any] = {
        "since": BEGIN + timedelta(days=3), "until": until, "bucket": analytics.Bucket(bucket),
    }  # fmt: skip

    flow = await ask(world, analytics.flow, **asked)
    assert len(flow["buckets"]) > 1
    for one in flow["buckets"][-40:]:
        assert one["counts"] == naive_counts(events, time(one["until"]))

    durations = naive_durations(events)
    done = [at for at, _ in durations["lead"]]
    throughput = await ask(world, analytics.throughput, **asked)
    for one in throughput["buckets"]:
        begin, end = time(one["since"]), time(one["until"])
        assert one["completed"] == sum(begin <= at < end for at in done)
    assert throughput["completed"] == sum(one["completed"] for one in throughput["buckets"])

    for route, names in (
        (analytics.cycle_time, ("lead", "cycle")), (analytics.response_time, ("review", "claim")),
    ):  # fmt: skip
        answer = await ask(world, route, **asked)
        for one in (answer, *answer["buckets"]):
            begin, end = time(one["since"]), time(one["until"])
            for name in names:
                within = [seconds for at, seconds in durations[name] if begin <= at < end]
                assert one[name]["count"] == len(within), name
                for share, field in ((0.5, "p50_s"), (0.85, "p85_s"), (0.95, "p95_s")):
                    expected = naive_percentile(within, share) if within else None
                    assert one[name][field] == (expected and pytest.approx(expected)), name


async def test_an_agents_figures_are_what_its_leases_say(world: Any) -> None:
    events = await life_of_weeks(world, 4)
    await fold(world, events, random.Random(4))
    await know_agents(world)
    leases = naive_leases(events)
    since, until = BEGIN + timedelta(days=2), events[-1].recorded_at
    answer = await ask(
        world, analytics.utilisation, since=since, until=until, bucket=analytics.Bucket.WEEK
    )
    agents = {UUID(one["agent_id"]): one for one in answer["agents"]}
    assert set(agents) == {who for who, begin, end, _ in leases if end is None or end > since}
    for agent_id, one in agents.items():
        for part in (answer | one, *one["buckets"]):
            begin, end = time(part["since"]), time(part["until"])
            now = min(end, datetime.now(UTC))
            assert part["busy_s"] == pytest.approx(naive_busy(leases, agent_id, begin, now), abs=2)
        figures = await ask(
            world, analytics.agent_metrics, agent_id=agent_id, since=since, until=until
        )
        ended = [
            (outcome, (end - begin).total_seconds())
            for who, begin, end, outcome in leases
            if who == agent_id and end is not None and since <= end < until
        ]
        for name in ("submitted", "failed", "expired", "released", "taken"):
            assert figures[name] == sum(outcome == name for outcome, _ in ended), name
        mean = sum(seconds for _, seconds in ended) / len(ended) if ended else None
        assert figures["mean_work_s"] == (mean and pytest.approx(mean))
        busy = naive_busy(leases, agent_id, since, until)
        assert figures["busy_s"] == pytest.approx(busy)
        assert figures["share"] == pytest.approx(busy / (until - since).total_seconds())


async def test_another_board_and_another_workspace_have_nothing(world: Any) -> None:
    events = await life_of_weeks(world, 5)
    await fold(world, events, random.Random(5))
    asked = {"since": BEGIN, "until": BEGIN + timedelta(days=9), "bucket": analytics.Bucket.DAY}
    own = (await world.board()).id
    assert await ask(world, analytics.flow, board_id=own, **asked) == (
        await ask(world, analytics.flow, **asked)
    )
    nobody = await ask(world, analytics.flow, board_id=world.admin_id, **asked)
    assert all(not any(one["counts"].values()) for one in nobody["buckets"])
    world.workspace_id = world.admin_id
    elsewhere = await ask(world, analytics.utilisation, **asked)
    assert elsewhere["agents"] == []


async def test_what_is_derived_is_the_same_from_a_table_without_triggers(world: Any) -> None:
    events = await life_of_weeks(world, 6)
    rows = await fold(world, events, random.Random(6))

    async def derived() -> Any:
        points = await world.query("SELECT p FROM read_metric_points p ORDER BY mission_id, number")
        hours = await world.query(
            "SELECT measurement, board_id, stage, hour, points, change, round(seconds)"
            " FROM read_metric_hours ORDER BY 1, 2, 3, 4"
        )
        return points, hours

    before = await derived()
    mine = sum(len(row.points) for row in rows.values())
    assert len(before[0]) >= mine > 100
    await world.query("DROP TRIGGER derive_inserted ON read_mission_flow")
    await world.query("DROP TRIGGER derive_updated ON read_mission_flow")
    assert await world.query("SELECT mc_derive_missing()") == [(1,)]
    assert await derived() == before
    assert await world.query("SELECT mc_derive_missing()") == [(0,)]


@pytest.mark.parametrize(
    ("moves", "reviews"), [((), 1), ((Stage.REVIEW,), 1), ((Stage.READY, Stage.REVIEW), 0)],
    ids=["left where it is", "moved within review", "moved out by hand and back"],
)  # fmt: skip
async def test_a_review_is_measured_only_where_what_was_submitted_stayed_in_review(
    world: Any, moves: tuple[Stage, ...], reviews: int
) -> None:
    key, worker = await world.mission(), await world.agent()
    token = (await world.do(missions.ClaimMission(key), worker)).body["lease"]["token"]
    await world.do(missions.SubmitMission(key, token, "sum"), worker)
    for stage in moves:
        await world.move(key, stage)
    await world.do(missions.ApproveMission(key))
    events = await of_missions(world)
    row = (await fold(world, events, random.Random(1)))[key]
    assert [p.measurement for p in row.points].count("review") == reviews
    assert len(naive_durations(events)["review"]) == reviews
