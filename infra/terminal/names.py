"""Who and what an id is: told by the events that pass by, else asked of the server, once."""

import time
from collections.abc import Callable
from contextlib import suppress

from infra.terminal.output import Failed, Json, clean, short
from infra.terminal.server import ROWS_MAX, Server

KNOWN_MAX = 100_000
"""Ids whose names are remembered; when there are more, all are learned afresh."""
ASK_AGAIN_S = 30.0


class Names:
    """The names of agents, people, missions and columns."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._known: dict[str, str] = {}
        self._asked: dict[str, float] = {}

    def learn(self, event_type: str, stream_id: str, data: Json) -> None:
        """Take the names out of an event."""
        if len(self._known) > KNOWN_MAX:
            self._known.clear()
            self._asked.clear()
        noun = event_type.partition(".")[0]
        content = data.get("content") or (data.get("card") or {}).get("content")
        name = data.get("name") if noun != "board" or "column_id" not in data else None
        if noun == "mission" and content:
            name = content["title"]
        if name and not event_type.startswith("agent.key_"):
            self._known[stream_id] = clean(name)
        if data.get("column_id") and data.get("name"):
            self._known[data["column_id"]] = clean(data["name"])
        for column in [*(data.get("columns") or []), data.get("column")]:
            if column:
                self._known[column["id"]] = clean(column["name"])

    def learn_board(self, board: Json) -> None:
        """Take the names out of a board."""
        for column in board["columns"]:
            self._known[column["id"]] = clean(column["name"])
            self._known.update({card["id"]: clean(card["title"]) for card in column["cards"]})

    def actor(self, identifier: str | None) -> str:
        """Return the name of an agent or a person."""
        return self._look_up(identifier, "everybody", self._ask_for_everybody)

    def mission(self, identifier: str) -> str:
        """Return the title of a mission."""

        def ask() -> None:
            mission = self._server.get(f"/api/missions/{identifier}")
            self._known[identifier] = clean(mission["title"])

        return self._look_up(identifier, identifier, ask)

    def column(self, identifier: str, board_id: str | None) -> str:
        """Return the name of a column."""

        def ask() -> None:
            self.learn_board(self._server.get("/api/missions/board", board_id=board_id))

        return self._look_up(identifier, f"board {board_id}", ask)

    def known(self, identifier: str) -> str | None:
        """Return a name if it was told already."""
        return self._known.get(identifier)

    def _look_up(self, identifier: str | None, question: str, ask: Callable[[], None]) -> str:
        if not identifier:
            return "nobody"
        asked_at = self._asked.get(question, -ASK_AGAIN_S)
        if identifier not in self._known and time.monotonic() - asked_at >= ASK_AGAIN_S:
            self._asked[question] = time.monotonic()
            with suppress(Failed):  # deleted, or not ours to see: the id has to do
                ask()
        return self._known.get(identifier) or short(identifier)

    def _ask_for_everybody(self) -> None:
        for path in ("/api/agents", "/api/members"):
            for one in self._server.rows(path, ROWS_MAX)["items"]:
                # A name that was erased is null.
                self._known[one["id"]] = clean(one["name"] or short(one["id"]))
