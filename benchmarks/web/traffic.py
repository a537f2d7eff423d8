"""A board with many cards, and people and agents who change it at a steady rate over the API."""

import asyncio
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import aiohttp
import uvloop

from benchmarks.processes import sign_in

CLIENTS = 32
LEASED = 0.1
"""Of the cards, an agent is at work on so many."""
LEASE_S = 7_200
MARKED_PER_COLUMN = 3
"""So many cards at the top of each column stay in sight: their titles say which event was painted."""
NEW_TOKEN_S = 300.0
MIX = (
    "mark",
    "progress",
    "move",
    "edit",
    "progress",
    "move",
    "progress",
    "edit",
    "progress",
    "move",
)
PRIORITIES = ("low", "normal", "high", "urgent")


@dataclass
class Scene:
    """A filled board."""

    url: str
    board_id: str
    columns: list[str]
    """Those that cards are moved between."""
    marked: list[str]
    leased: list[tuple[str, int]]
    """Missions with the tokens of their leases."""
    free: list[str]
    """The other missions."""
    agent_key: str


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def fill(url: str, cards: int) -> Scene:
    """Make a board of so many cards, spread over its columns, some of them leased to an agent."""
    connector = aiohttp.TCPConnector(limit=CLIENTS)
    async with aiohttp.ClientSession(
        url, connector=connector, headers=_bearer(sign_in(url))
    ) as http:

        async def post(path: str, headers: dict[str, str] | None = None, **body: Any) -> Any:
            async with http.post(path, json=body, headers=headers) as answer:
                answer.raise_for_status()
                return await answer.json()

        made = await post("/api/boards", name="A busy board")
        board_id = made["id"]
        agent_id = (await post("/api/agents", name="bench"))["id"]
        key = (await post(f"/api/agents/{agent_id}/keys"))["key"]
        wanted = {"board_id": board_id, "min_position": made["position"]}
        async with http.get("/api/missions/board", params=wanted) as answer:
            columns = {each["stage"]: each["id"] for each in (await answer.json())["columns"]}
        targets = [column for stage, column in columns.items() if stage != "active"]
        # One after the other where their order counts: those in sight come first.
        places = [column for column in targets for _ in range(MARKED_PER_COLUMN)]
        texts = {"description": "What is to be done. " * 5, "labels": ["load"]}
        marked = [
            (await post("/api/missions", title="mark 0", board_id=board_id, column_id=column))["id"]
            for column in places
        ]
        others = await asyncio.gather(*(
            post("/api/missions", title=f"Card {n} of a board that is full of cards", board_id=board_id,
                 column_id=targets[n % len(targets)], **texts)
            for n in range(cards - len(marked))
        ))  # fmt: skip
        ready = others[targets.index(columns["ready"]) :: len(targets)]
        claims = [one["id"] for one in ready[: int(cards * LEASED)]]
        leases = await asyncio.gather(*(
            post(f"/api/missions/{mission}/claim", _bearer(key), ttl_s=LEASE_S) for mission in claims
        ))  # fmt: skip
    leased = [(one["id"], one["lease"]["token"]) for one in leases]
    free = [one["id"] for one in others if one["id"] not in set(claims)]
    return Scene(url, board_id, targets, marked, leased, free, key)


@dataclass
class Traffic:
    """Commands at a steady rate, from a thread of its own, for the time of a block."""

    scene: Scene
    rate: int
    done: Counter[int] = field(default_factory=Counter)
    """How many answers had which status."""
    began: float = 0.0
    ended: float = 0.0
    marks: int = 0

    def __post_init__(self) -> None:
        self._chance = random.Random(4)  # noqa: S311 - no secret
        self._ending = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._drive()), daemon=True)

    def __enter__(self) -> Self:
        self.began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:  # fmt: skip
        self._ending.set()
        self._thread.join()

    @property
    def reached(self) -> float:
        """How many events there were a second."""
        return sum(n for status, n in self.done.items() if status < 300) / (self.ended - self.began)

    async def _drive(self) -> None:
        running: set[asyncio.Task[None]] = set()
        connector = aiohttp.TCPConnector(limit=CLIENTS)
        async with aiohttp.ClientSession(self.scene.url, connector=connector) as http:
            admin, renew_at, number, start = {}, 0.0, 0, 0.0
            while not self._ending.is_set():
                if (now := time.monotonic()) >= renew_at:
                    admin = _bearer(await asyncio.to_thread(sign_in, self.scene.url))
                    renew_at = now + NEW_TOKEN_S
                    # What was missed while signing in is not made up for in a burst.
                    start = time.monotonic() - number / self.rate
                task = asyncio.create_task(self._send(http, MIX[number % len(MIX)], admin))
                running.add(task)
                task.add_done_callback(running.discard)
                number += 1
                await asyncio.sleep(max(0.0, start + number / self.rate - time.monotonic()))
            self.ended = time.monotonic()
            await asyncio.gather(*running)

    def _send(
        self, http: aiohttp.ClientSession, what: str, admin: dict[str, str]
    ) -> Coroutine[Any, Any, None]:
        chance, scene = self._chance, self.scene
        if what == "mark":
            self.marks += 1
            mission = scene.marked[self.marks % len(scene.marked)]
            body: dict[str, Any] = {"title": f"mark {self.marks}"}
            return self._ask(http, "PUT", f"/api/missions/{mission}", admin, body)
        if what == "progress":
            mission, token = chance.choice(scene.leased)
            body = {"lease_token": token, "percent": chance.randrange(100)}
            agent = _bearer(scene.agent_key)
            return self._ask(http, "POST", f"/api/missions/{mission}/progress", agent, body)
        mission = chance.choice(scene.free)
        if what == "edit":
            body = {"priority": chance.choice(PRIORITIES)}
            return self._ask(http, "PUT", f"/api/missions/{mission}", admin, body)
        body = {"column_id": chance.choice(scene.columns)}
        return self._ask(http, "PUT", f"/api/missions/{mission}/move", admin, body)

    async def _ask(
        self, http: aiohttp.ClientSession, verb: str, path: str, headers: dict[str, str], body: Any
    ) -> None:
        async with http.request(verb, path, headers=headers, json=body) as answer:
            self.done[answer.status] += 1
            await answer.read()


async def recorded(scene: Scene) -> dict[int, float]:
    """Return when each mark was recorded in the log, in milliseconds since the epoch."""
    found: dict[int, float] = {}
    headers = _bearer(sign_in(scene.url))
    async with aiohttp.ClientSession(scene.url, headers=headers) as http:
        for mission in scene.marked:
            wanted = {"stream_id": mission, "type": "mission.edited.v1"}
            async with http.get("/api/events", params=wanted) as answer:
                answer.raise_for_status()
                for line in (await answer.text()).splitlines():
                    event = json.loads(line)
                    mark = int(event["data"]["content"]["title"].removeprefix("mark "))
                    found[mark] = datetime.fromisoformat(event["recorded_at"]).timestamp() * 1000
    return found
