"""Simulated agents and the people around them: they keep the demo's boards moving, over the API."""

import asyncio
import random
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.demo import texts
from infra.demo.client import NotWelcome, Server
from infra.demo.company import TEAMS, WORKERS, Worker, leads
from infra.demo.keys import AgentKey, PersonPassword
from infra.demo.start import Scene
from infra.logging import log
from infra.settings import Settings

MAIN = TEAMS[0].name
STEP_S = {True: (3.0, 7.0), False: (12.0, 26.0)}
"""How long an agent works between two reports, on the main board and on the others."""
LEAD_S = {True: (1.8, 3.2), False: (8.0, 16.0)}
"""How often a person looks at the main board, and at the others."""
IDLE_S = (4.0, 9.0)
REST_S = (40.0, 120.0)
UNWELCOME_S = 60.0
BEAT_MAX_S = 14.0
BEATS_PER_TIMEOUT = 2.2
LEASE_TTL_S, SHORT_LEASE_TTL_S = 180, 20
ACTS_PER_LOOK = 3
DONE_MAX, BACKLOG_MIN, READY_MIN, REVIEW_MAX, BLOCKED_MAX = 44, 11, 8, 2, 2
QUESTIONS_MAX = 20

Cards = dict[str, list[dict[str, Any]]]
"""The cards of a board by stage, each stage from top to bottom."""


@dataclass(frozen=True)
class Question:
    """What an agent asked, until somebody answers."""

    mission_id: str
    comment_id: str
    agent: AgentKey


async def play(settings: Settings, scene: Scene, listening: socket.socket, mark: str) -> None:
    """Go on until cancelled. Requests bear ids that begin with `mark`."""
    async with (
        Server(settings, listening, mark, scene.workspace) as server,
        asyncio.TaskGroup() as group,
    ):
        questions: dict[str, list[Question]] = {team.name: [] for team in TEAMS}
        for worker in WORKERS:
            if worker.name in scene.keys and worker.board in scene.boards:
                agent = Agent(server, scene, worker, settings.heartbeat_timeout_s, questions)
                group.create_task(_for_ever(agent.work, worker.name))
                group.create_task(_for_ever(agent.beat, f"{worker.name}'s heartbeat"))
        for board in scene.boards:
            lead = Lead(server, scene, board, questions[board])
            group.create_task(_for_ever(lead.look, f"lead of {board}"))


async def _for_ever(life: Callable[[], Awaitable[None]], who: str) -> None:
    welcome = True
    while True:
        try:
            await life()
            welcome = True
        except NotWelcome as refused:
            if welcome:
                log.warning("an actor of the demo is not welcome", who=who, reason=str(refused))
            welcome = False
            await asyncio.sleep(UNWELCOME_S)
        except Exception as error:  # noqa: BLE001 - a demo that stumbles goes on, and is no error of the server
            log.debug("the demo stumbled", error=type(error).__name__)
            await asyncio.sleep(UNWELCOME_S / 6)


class Agent:
    """One agent: claims, reports, hands in, and now and then fails or goes silent."""

    def __init__(
        self,
        server: Server,
        scene: Scene,
        worker: Worker,
        heartbeat_timeout_s: int,
        questions: dict[str, list[Question]],
    ) -> None:
        self._server = server
        self._scene = scene
        self._worker = worker
        self._key = scene.keys[worker.name]
        self._board_id = str(scene.boards[worker.board])
        self._questions = questions[worker.board]
        self._beat_s = min(BEAT_MAX_S, heartbeat_timeout_s / BEATS_PER_TIMEOUT)
        self._state: str | None = "available"
        self._chance = random.Random()  # noqa: S311 - chance in a demo keeps no secret
        self._pace = STEP_S[worker.board == MAIN]

    async def work(self) -> None:
        """Do one mission, or wait for one."""
        board = await self._board()
        found = await self._held(board) or await self._claim(board)
        if found is None:
            await self._pause(*IDLE_S)
            return
        mission, token, short = found
        await self._say("busy")
        try:
            await self._do(mission, token, short=short)
        finally:
            self._state = "available"
        await self._say("available")
        if self._chance.random() < 0.04:
            self._state = None  # no heartbeats: it is taken for offline after a while
            await self._pause(*REST_S)
            await self._say("available")
        await self._pause(0.5, 2.5)

    async def beat(self) -> None:
        """Send one heartbeat, and wait for the next."""
        if self._state is not None:
            await self._say(self._state)
        await self._pause(self._beat_s * 0.8, self._beat_s)

    async def _say(self, state: str) -> None:
        self._state = state
        await self._post(f"/api/agents/{self._key.id}/heartbeat", {"state": state})

    async def _board(self) -> dict[str, Any]:
        path = f"/api/missions/board?board_id={self._board_id}"
        status, board = await self._server.ask("GET", path, self._key.key)
        return board if status == 200 and board is not None else {"columns": []}

    async def _held(self, board: dict[str, Any]) -> tuple[dict[str, Any], int, bool] | None:
        """Return what this agent held before a restart, if its lease is still in force."""
        for card in _by_stage(board)["active"]:
            if card["holder"] == str(self._key.id):
                body = {"lease_token": card["lease_token"], "ttl_s": LEASE_TTL_S}
                status, _ = await self._post(f"/api/missions/{card['id']}/renew", body)
                if status == 200:
                    return card, card["lease_token"], False
        return None

    async def _claim(self, board: dict[str, Any]) -> tuple[dict[str, Any], int, bool] | None:
        if not _has_room(board):
            return None
        lapses = self._chance.random() < 0.03
        ttl_s = SHORT_LEASE_TTL_S if lapses else LEASE_TTL_S
        body = {"board_id": self._board_id, "ttl_s": ttl_s}
        status, claimed = await self._post("/api/missions/claim", body)
        if status != 200 or claimed is None:
            return None
        return claimed["mission"], claimed["lease"]["token"], lapses

    async def _do(self, mission: dict[str, Any], token: int, *, short: bool) -> None:
        path, lease = f"/api/missions/{mission['id']}", {"lease_token": token}
        percent = int(mission.get("progress_percent", 0))
        while (percent := percent + self._chance.randint(14, 38)) < 97:
            await self._pause(*self._pace)
            said = {
                "percent": percent,
                "note": texts.note(self._chance, self._worker.board, percent),
            }
            status, _ = await self._post(f"{path}/progress", {**lease, **said})
            if status != 200:
                return  # moved away, deleted or lapsed: it is somebody else's now
            if short:
                await self._pause(SHORT_LEASE_TTL_S + 2, SHORT_LEASE_TTL_S + 8)
                return
            if self._chance.random() < 0.07:
                await self._ask(mission["id"])
        await self._pause(*self._pace)
        fate = self._chance.random()
        if fate < 0.05:
            reason = texts.fill(self._chance, self._chance.choice(texts.FAILURES))
            await self._post(f"{path}/fail", {**lease, "reason": reason})
        elif fate < 0.07:
            await self._post(f"{path}/release", lease)
        else:
            summary = texts.summary(self._chance, mission["labels"])
            await self._post(f"{path}/submit", {**lease, "summary": summary})

    async def _ask(self, mission_id: str) -> None:
        people = [p.name for p in leads(self._worker.board) if p.name in self._scene.people]
        if not people or len(self._questions) >= QUESTIONS_MAX:
            return
        person = self._scene.people[self._chance.choice(people)]
        text = self._chance.choice(texts.QUESTIONS)
        body = {
            "body": texts.fill(self._chance, text, who=f"@{person.name.split()[0]}"),
            "mentions": [str(person.id)],
        }
        status, made = await self._post(f"/api/missions/{mission_id}/comments", body)
        if status == 201:
            self._questions.append(Question(mission_id, made["id"], self._key))

    async def _post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        return await self._server.ask("POST", path, self._key.key, body)

    async def _pause(self, least_s: float, most_s: float) -> None:
        await asyncio.sleep(self._chance.uniform(least_s, most_s))


class Lead:
    """The people who lead a board: they review, answer, write missions and clear away old ones."""

    def __init__(self, server: Server, scene: Scene, board: str, questions: list[Question]) -> None:
        self._server = server
        self._board = board
        self._board_id = str(scene.boards[board])
        self._people = [scene.people[p.name] for p in leads(board) if p.name in scene.people]
        self._questions = questions
        self._chance = random.Random()  # noqa: S311 - chance in a demo keeps no secret
        self._pace = LEAD_S[board == MAIN]
        self._person: PersonPassword | None = None
        self._columns: dict[str, str] = {}

    async def look(self) -> None:
        """Look at the board once, and do the few things that it needs most, one after the other."""
        if not self._people:
            raise NotWelcome("nobody leads this board")
        self._person = self._chance.choice(self._people)
        try:
            status, board = await self._ask("GET", f"/api/missions/board?board_id={self._board_id}")
            self._columns = {}
            for column in board["columns"] if status == 200 else ():
                self._columns.setdefault(column["stage"], column["id"])
            for _ in range(ACTS_PER_LOOK):
                await asyncio.sleep(self._chance.uniform(*self._pace))
                if self._columns:
                    await self._act(board)
        except NotWelcome:
            self._server.forget(self._person)
            raise

    async def _act(self, board: dict[str, Any]) -> None:
        cards = _by_stage(board)
        blocked = [card for card in cards["ready"] if card["blocked_reason"]]
        free = [
            card for card in cards["ready"]
            if not (card["blocked_reason"] or card["unmet_dependencies"] or card["assignees"])
        ]  # fmt: skip
        review = [card for card in cards["review"] if str(self._me.id) not in card["assignees"]]
        if review and (len(review) > REVIEW_MAX or self._chance.random() < 0.35):
            await self._review(_taken(board, review[0]))
        elif len(cards["done"]) > DONE_MAX:
            oldest = _taken(board, cards["done"][0])
            await self._ask("DELETE", f"/api/missions/{oldest['id']}")
        elif len(free) < READY_MIN and len(cards["backlog"]) > BACKLOG_MIN:
            card = _taken(board, self._chance.choice(cards["backlog"][:4]))
            body = {"column_id": self._columns["ready"]}
            await self._ask("PUT", f"/api/missions/{card['id']}/move", body)
        elif len(free) < READY_MIN or len(cards["backlog"]) < BACKLOG_MIN:
            await self._write("ready" if len(free) < READY_MIN else "backlog")
        elif self._questions:
            await self._reply(self._questions.pop(0))
        elif len(blocked) > BLOCKED_MAX:
            await self._ask("POST", f"/api/missions/{_taken(board, blocked[0])['id']}/unblock")
        elif self._chance.random() < 0.2:
            await self._remark(cards)
        elif not blocked and self._chance.random() < 0.2:
            reason = texts.fill(self._chance, self._chance.choice(texts.BLOCKS))
            card = _taken(board, self._chance.choice(free))
            await self._ask("POST", f"/api/missions/{card['id']}/block", {"reason": reason})
        elif self._chance.random() < 0.3:
            await self._write("backlog")

    async def _review(self, card: dict[str, Any]) -> None:
        path = f"/api/missions/{card['id']}"
        if self._chance.random() < 0.86:
            await self._ask("POST", f"{path}/approve")
            return
        reason = texts.fill(self._chance, self._chance.choice(texts.REJECTIONS))
        await self._ask("POST", f"{path}/reject", {"reason": reason})

    async def _write(self, stage: str) -> None:
        idea = texts.idea(self._chance, self._board)
        due = datetime.now(UTC) + timedelta(hours=self._chance.randint(4, 200))
        await self._ask(
            "POST", "/api/missions",
            {
                "title": idea.title, "description": idea.description, "labels": idea.labels,
                "priority": idea.priority, "required_capabilities": idea.capabilities,
                "due": due.isoformat(timespec="minutes") if self._chance.random() < 0.5 else None,
                "board_id": self._board_id, "column_id": self._columns[stage],
            },
        )  # fmt: skip

    async def _reply(self, question: Question) -> None:
        text = self._chance.choice(texts.REPLIES)
        body = {
            "body": texts.fill(self._chance, text, who=f"@{question.agent.name}"),
            "parent_id": question.comment_id, "mentions": [str(question.agent.id)],
        }  # fmt: skip
        await self._ask("POST", f"/api/missions/{question.mission_id}/comments", body)

    async def _remark(self, cards: Cards) -> None:
        card = self._chance.choice([*cards["active"], *cards["ready"], *cards["backlog"]])
        body = {"body": texts.fill(self._chance, self._chance.choice(texts.REMARKS))}
        await self._ask("POST", f"/api/missions/{card['id']}/comments", body)

    @property
    def _me(self) -> PersonPassword:
        assert self._person is not None, "somebody looks at the board"
        return self._person

    async def _ask(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> tuple[int, Any]:
        return await self._server.ask(method, path, await self._server.sign_in(self._me), body)


def _taken(board: dict[str, Any], card: dict[str, Any]) -> dict[str, Any]:
    """Take a card off the picture of the board, so that it is not acted on twice."""
    for column in board["columns"]:
        column["cards"] = [other for other in column["cards"] if other is not card]
    return card


def _has_room(board: dict[str, Any]) -> bool:
    """Whether another mission may be begun, and a place is left: a person who tries the board out needs one."""
    return any(
        column["wip_limit"] is None or len(column["cards"]) + 1 < column["wip_limit"]
        for column in board["columns"]
        if column["stage"] == "active"
    )


def _by_stage(board: dict[str, Any]) -> Cards:
    cards: Cards = {stage: [] for stage in ("backlog", "ready", "active", "review", "done")}
    for column in board["columns"]:
        cards[column["stage"]].extend(column["cards"])
    return cards
