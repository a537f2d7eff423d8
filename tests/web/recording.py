"""Records what the dashboard's reducers are tested with: states of read models, and the events between them.

`python -m tests.web.recording FOLDER` writes one file per read model, from a real server.
"""

import json
import random
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from tests.api.conftest import ADMIN, PASSWORD, System, serving

STEPS = 150
Document = dict[str, Any]


def record(system: System, folder: Path, seed: int = 4) -> None:
    """Live a life on two boards, and write each read model before, the events since, and it after."""
    life = Life(system, random.Random(seed))
    for _ in range(STEPS // 3):
        life.step()
    before = life.documents()
    for _ in range(STEPS):
        life.step()
    after = life.documents()
    for name, (room, _) in life.models().items():
        start, end = before[name], after[name]
        events = life.events(room, start["position"], end["position"])
        assert events, f"nothing happened in {room}"
        recorded = {"start": start, "events": events, "end": end}
        (folder / f"{name}.json").write_text(json.dumps(recorded, indent=1) + "\n")


class Life:
    """People and agents who do whatever comes to their mind. A refusal is an answer as any other."""

    def __init__(self, system: System, chance: random.Random) -> None:
        self.chance = chance
        self.admin = system.sign_in(ADMIN, PASSWORD)
        self.boards = [self.post("/api/boards", name=name)["id"] for name in ("Here", "There")]
        self.agents: dict[str, httpx.Client] = {}
        self.system = system
        self.missions: list[str] = []
        self.leases: dict[str, tuple[httpx.Client, int]] = {}
        self.submitted: list[str] = []
        for name in ("ada", "ben"):
            self.employ(name)
        for _ in range(6):
            self.create()
        self.followed = self.missions[0]

    def post(self, path: str, **body: Any) -> Document:
        return self.send("POST", path, **body)

    def send(self, method: str, path: str, **body: Any) -> Document:
        answer = self.admin.request(method, path, json=body)
        assert answer.status_code < 500, answer.text
        return dict(answer.json()) if answer.content else {}

    def models(self) -> dict[str, tuple[str, str]]:
        """The room of each read model, and its address up to a position."""
        here = self.boards[0]
        return {
            "board": (f"board:{here}", f"/api/missions/board?board_id={here}&min_position="),
            "mission": (f"mission:{self.followed}", f"/api/missions/{self.followed}?min_position="),
            "agents": ("workspace", "/api/agents?limit=200&min_position="),
            "members": ("workspace", "/api/members?limit=200&min_position="),
        }

    def documents(self) -> dict[str, Document]:
        """Every read model as it is once it has seen all that was done."""
        head = self.post("/api/missions", title="the last one")["position"]
        return {
            name: self.admin.get(f"{path}{head}").json()
            for name, (_, path) in self.models().items()
        }

    def events(self, room: str, after: int, upto: int) -> list[Document]:
        """The events of a room, as a browser hears them."""
        found = []
        stream = {"room": room, "pos": after}
        with self.admin.stream("GET", "/api/stream", params=stream) as lines:
            for line in lines.iter_lines():
                told = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if told.get("t") == "ev" and told["pos"] <= upto:
                    found.append(told)
                if told.get("pos", 0) >= upto:
                    return found
        raise AssertionError("the stream ended")

    def step(self) -> None:
        whats: list[Callable[[], object]] = [
            self.create, self.edit, self.move, self.move, self.move, self.block, self.assign, self.depend,
            self.claim, self.claim, self.work, self.work, self.review, self.change_column, self.change_fleet,
            self.change_people, self.delete,
        ]  # fmt: skip
        self.chance.choice(whats)()

    def register(self, name: str) -> str:
        return str(self.post("/api/agents", name=name, role="hand", capabilities=[])["id"])

    def employ(self, name: str) -> None:
        """Register an agent with a key; its events are for auditors alone, so none comes later."""
        agent = self.register(name)
        self.agents[agent] = self.system.client(self.post(f"/api/agents/{agent}/keys")["key"])

    def create(self) -> None:
        board = self.chance.choice(self.boards)
        self.missions.append(
            self.post("/api/missions", title=f"Work {len(self.missions)}", board_id=board)["id"]
        )

    def any(self) -> str:
        return self.chance.choice([*self.missions, self.followed])

    def edit(self) -> None:
        change = self.chance.choice(
            [
                {"title": "Other work"},
                {"priority": "urgent"},
                {"labels": ["a", "b"]},
                {"description": "How."},
            ]
        )
        self.send("PUT", f"/api/missions/{self.any()}", **change)

    def move(self) -> None:
        board = self.chance.choice(self.boards)
        columns = self.admin.get(f"/api/missions/board?board_id={board}").json()["columns"]
        self.send(
            "PUT",
            f"/api/missions/{self.any()}/move",
            board_id=board,
            column_id=self.chance.choice(columns)["id"],
        )

    def block(self) -> None:
        if self.chance.random() < 0.5:
            self.post(f"/api/missions/{self.any()}/block", reason="No ship.")
        else:
            self.post(f"/api/missions/{self.any()}/unblock")

    def assign(self) -> None:
        verb = self.chance.choice(["assign", "unassign"])
        self.post(
            f"/api/missions/{self.any()}/{verb}", assignee_id=self.chance.choice([*self.agents])
        )

    def depend(self) -> None:
        path, other = f"/api/missions/{self.any()}/dependencies", self.any()
        self.post(path, depends_on_id=other)
        if self.chance.random() < 0.3:
            self.admin.delete(f"{path}/{other}")

    def claim(self) -> None:
        agent = self.chance.choice([*self.agents.values()])
        which = self.chance.choice(["", f"/{self.any()}"])  # the next that fits, or this very one
        answer = agent.post(f"/api/missions{which}/claim")
        if answer.status_code == 200:
            self.leases[answer.json()["id"]] = agent, answer.json()["lease"]["token"]

    def work(self) -> None:
        if not self.leases:
            return
        mission = self.chance.choice([*self.leases])
        agent, token = self.leases[mission]
        what, body = self.chance.choice([
            ("progress", {"percent": self.chance.randrange(100), "note": "on it"}),
            ("submit", {"summary": "Done."}), ("release", {}), ("fail", {"reason": "It broke."}),
        ])  # fmt: skip
        body |= {"lease_token": token}
        answer = agent.post(f"/api/missions/{mission}/{what}", json=body)
        if what == "submit" and answer.status_code == 200:
            self.submitted.append(mission)

    def review(self) -> None:
        mission = self.submitted.pop() if self.submitted else self.any()
        if self.chance.random() < 0.5:
            self.post(f"/api/missions/{mission}/approve")
        else:
            self.post(f"/api/missions/{mission}/reject", reason="Again, please.")

    def change_column(self) -> None:
        path = f"/api/boards/{self.boards[0]}/columns"
        board = self.admin.get(f"/api/missions/board?board_id={self.boards[0]}").json()
        column, other = self.chance.sample([c["id"] for c in board["columns"]], 2)
        what: Callable[[], object] = self.chance.choice([
            lambda: self.post(path, name=f"Extra {self.chance.randrange(10**6)}", stage="in_progress"),
            lambda: self.send("PUT", f"{path}/{column}", name=f"Named {self.chance.randrange(10**6)}"),
            lambda: self.send("PUT", f"{path}/{column}/move", before=other),
            lambda: self.send("PUT", f"{path}/{column}/wip-limit", wip_limit=self.chance.randrange(5, 20)),
            lambda: self.send("DELETE", f"{path}/{column}"),
        ])  # fmt: skip
        what()

    def change_fleet(self) -> None:
        agent = self.chance.choice([*self.agents])
        what: Callable[[], object] = self.chance.choice([
            lambda: self.register(f"agent {self.chance.randrange(10**6)}"),
            lambda: self.send("PUT", f"/api/agents/{agent}", role="other hand"),
            lambda: self.post(f"/api/agents/{agent}/deactivate"),
            lambda: self.post(f"/api/agents/{agent}/activate"),
            lambda: self.agents[agent].post(f"/api/agents/{agent}/heartbeat", json={}),
        ])  # fmt: skip
        what()

    def change_people(self) -> None:
        name = f"p{self.chance.randrange(10**9)}"
        body = {"email": f"{name}@example.org", "name": name, "role": "viewer"}
        member = self.post("/api/members", **body, password=PASSWORD)
        if self.chance.random() < 0.5:
            self.send("PUT", f"/api/members/{member['id']}/role", role="agent_operator")

    def delete(self) -> None:
        mission = self.any()
        if mission != self.followed:
            with suppress(KeyError):
                del self.leases[mission]
            self.admin.delete(f"/api/missions/{mission}")


def main() -> None:
    """Record from a server of its own."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data_dir:
        Path(data_dir).chmod(0o711)
        with serving(Path(data_dir)) as system:
            record(system, folder)


if __name__ == "__main__":
    main()
