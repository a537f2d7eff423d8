"""Missions with comments and notes, made by the same commands for the same seed: something to search in."""

import asyncio
import contextlib
import random
from typing import Any
from uuid import UUID, uuid4

from commands import boards, comments, missions
from domain.base import Refusal
from domain.board import Board, Stage
from domain.mission import Priority

ODD_WORDS = ("Überprüfung", "naïve", "漢字", "a1", "x9y", "ＦＵＬＬ", "résumé", "İzmir")
SYLLABLES = [a + b for a in "bdfklmnprstz" for b in "aeiou"]
LABELS = [f"label {n}" for n in range(70)]
AT_ONCE = 24


class Talk:
    """Words by Zipf's law: a few often, most rarely."""

    def __init__(self, chance: random.Random, words: int) -> None:
        self.chance = chance
        syllables = [2, 3, 3, 4, 5]
        made = [
            "".join(chance.choices(SYLLABLES, k=chance.choice(syllables))) for _ in range(words)
        ]
        self.words = list(dict.fromkeys([*made[:20], *ODD_WORDS, *made[20:]]))
        self._weights = [1 / rank for rank in range(1, len(self.words) + 1)]

    def say(self, count: int) -> str:
        return " ".join(self.chance.choices(self.words, self._weights, k=count))


async def live(world: Any, talk: Talk, count: int) -> list[UUID]:
    """Make missions and let agents work on them; return their ids."""
    workers = [await world.agent() for _ in range(4)]
    answer = await world.do(boards.CreateBoard(f"board {uuid4()}"))
    board = await world.get(Board, UUID(str(answer.body["id"])))
    made: list[UUID] = []
    for start in range(0, count, AT_ONCE):
        # What each does is said before, so that chance does not hang on who is quicker.
        plans = [_plan(talk, workers) for _ in range(min(AT_ONCE, count - start))]
        made += await asyncio.gather(*(_life(world, plan, board) for plan in plans))
    return made


def _plan(talk: Talk, workers: list[UUID]) -> dict[str, Any]:
    chance = talk.chance
    return {
        "title": talk.say(3),
        "description": talk.say(chance.randrange(12)),
        "labels": tuple(chance.sample(LABELS, chance.randrange(4))),
        "priority": chance.choice(list(Priority)),
        "comments": [talk.say(6) for _ in range(chance.randrange(4))],
        "worker": chance.choice(workers),
        "notes": [talk.say(5) for _ in range(chance.randrange(4))],
        "end": chance.choice(["submit", "approve", "reject", "fail", "release", "block", "none"]),
        "last": talk.say(6),
        "edit": talk.say(3) if chance.random() < 0.3 else None,
        "comment_edit": chance.choice([None, None, talk.say(4), ""]),
        "move": chance.choice([None, None, *Stage]),
        "elsewhere": chance.random() < 0.1,
        "delete": chance.random() < 0.06,
    }


async def _life(world: Any, plan: dict[str, Any], other: Board) -> UUID:
    mission_id = await world.mission(
        plan["title"], description=plan["description"], labels=plan["labels"],
        priority=plan["priority"],
    )  # fmt: skip
    said = [
        UUID(str((await world.do(comments.AddComment(mission_id, body, None, ()))).body["id"]))
        for body in plan["comments"]
    ]
    await _work(world, mission_id, plan)
    if said and plan["comment_edit"]:
        await world.do(comments.EditComment(said[0], plan["comment_edit"], ()))
    elif said and plan["comment_edit"] == "":
        await world.do(comments.RemoveComment(said[0]))
    if plan["edit"]:
        await world.do(missions.EditMission(mission_id, {"title": plan["edit"]}))
    if plan["move"]:
        with contextlib.suppress(Refusal):  # the review rule, for one
            await world.move(mission_id, plan["move"])
    if plan["elsewhere"]:
        column = other.first(Stage.READY)
        await world.do(missions.MoveMission(mission_id, column.id, other.id))
    if plan["delete"]:
        await world.do(missions.DeleteMission(mission_id))
    return mission_id  # type: ignore[no-any-return]


async def _work(world: Any, mission_id: UUID, plan: dict[str, Any]) -> None:
    worker = plan["worker"]
    claimed = await world.do(missions.ClaimMission(mission_id), worker)
    token = claimed.body["lease"]["token"]
    for percent, note in enumerate(plan["notes"], 1):
        await world.do(missions.ReportProgress(mission_id, token, percent, note), worker)
    end, last = plan["end"], plan["last"]
    if end in {"submit", "approve", "reject"}:
        await world.do(missions.SubmitMission(mission_id, token, last), worker)
    if end == "approve":
        await world.do(missions.ApproveMission(mission_id))
    if end == "reject":
        await world.do(missions.RejectMission(mission_id, last))
    if end == "fail":
        await world.do(missions.FailMission(mission_id, token, last), worker)
    if end == "release":
        await world.do(missions.ReleaseMission(mission_id, token), worker)
    if end == "block":
        await world.do(missions.BlockMission(mission_id, last))
