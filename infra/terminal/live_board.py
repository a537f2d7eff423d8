"""The live board: a socket says that something happened, the board is fetched again, the screen is drawn."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import termios
import time
import tty
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.live import Live
from rich.text import Text

from infra.tasks import end
from infra.terminal import board_view
from infra.terminal.names import Names
from infra.terminal.output import Json, screen
from infra.terminal.server import Away, Refused, Server, is_loopback
from infra.terminal.words import Happening, in_words, who
from mission_control import Event, MissionControl, Reset, SignedOut
from mission_control import Refused as RoomRefused

FETCH_GAP_S = 0.1
TICK_S = 1.0
PAUSE_S_MAX = 1.0
CHANGED_S = 3.0
EVENTS_SHOWN = 4
EVENTS_MAX = 50
LEAVE_KEYS = (b"q", b"Q", b"\x1b", b"\x04")


def follow(server: Server, board_id: str | None) -> None:
    """Show a board and what happens on it until somebody leaves."""
    with _keys_at_once():
        asyncio.run(LiveBoard(server, board_id).run())


class LiveBoard:
    """One board on the screen."""

    def __init__(self, server: Server, board_id: str | None) -> None:
        self._server = server
        self._board_id = board_id
        self._names = Names(server)
        self._board: Json = {}
        self._etag: str | None = None
        self._position = 0
        self._status = "connecting"
        self._events: deque[Happening] = deque(maxlen=EVENTS_MAX)
        self._told: deque[Text] = deque(maxlen=EVENTS_SHOWN)
        self._changed_until: dict[str, float] = {}
        self._stale = asyncio.Event()
        self._redraw = asyncio.Event()
        self._left = asyncio.Event()

    async def run(self) -> None:
        """Fetch, follow and draw; returns when somebody leaves, raises `Failed` when nothing is left to see."""
        await self._fetch()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGWINCH, self._redraw.set)
        if sys.stdin.isatty():
            loop.add_reader(sys.stdin.fileno(), self._key)
        work = [
            asyncio.create_task(self._listen()),
            asyncio.create_task(self._keep_fresh()),
            asyncio.create_task(self._draw()),
            asyncio.create_task(self._left.wait()),
        ]
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(work)
        for task in done:
            task.result()

    def _key(self) -> None:
        pressed = os.read(sys.stdin.fileno(), 32)
        if not pressed or pressed in LEAVE_KEYS:
            self._left.set()

    # The board itself

    async def _keep_fresh(self) -> None:
        """Fetch the board when something happened; what happens meanwhile is one more fetch, not many."""
        while True:
            await self._stale.wait()
            self._stale.clear()
            try:
                await self._fetch()
            except Away:
                # The socket notices too, and asks again when it is back.
                self._status = "away"
            self._redraw.set()
            await asyncio.sleep(FETCH_GAP_S)

    async def _fetch(self) -> None:
        headers = {"If-None-Match": self._etag} if self._etag else {}
        parameters = {"board_id": self._board_id, "min_position": self._position or None}
        answer = await asyncio.to_thread(
            self._server.request, "GET", "/api/missions/board", parameters=parameters, headers=headers
        )  # fmt: skip
        if answer.status_code != 304:
            self._take(self._server.json(answer))
            self._etag = answer.headers.get("etag")
        await asyncio.to_thread(self._tell)

    def _take(self, board: Json) -> None:
        if self._board:
            until = time.monotonic() + CHANGED_S
            before = board_view.versions(self._board)
            for card_id in board_view.changed_cards(before, board):
                self._changed_until[card_id] = until
        self._board = board
        self._board_id = board["id"]
        self._names.learn_board(board)

    def _tell(self) -> None:
        """Put the new events into words. Names may have to be asked for, so the screen does not wait."""
        while self._events:
            event = self._events.popleft()
            words = in_words(event, self._names)
            left = Text(f"{event.at.astimezone():%H:%M:%S} {event.position:>7}  ", style="dim")
            self._told.append(left + Text(f"{who(event, self._names)}  ", style="cyan") + words)
        for column in self._board["columns"]:
            for card in column["cards"]:
                for actor in (card["holder"], card["submitted_by"], *card["assignees"][:1]):
                    if actor:
                        self._names.actor(actor)

    # What happens on it

    async def _listen(self) -> None:
        """Follow the board's room, for ever: a connection that ends is followed by another."""
        url = self._server.url
        # The screen says whether there is a connection; a warning would be written across it.
        logging.getLogger("mission_control").addHandler(logging.NullHandler())
        proxies = not is_loopback(url)
        async with MissionControl(
            url, self._token, pause_s_max=PAUSE_S_MAX, proxies=proxies
        ) as client:
            while True:
                try:
                    await self._follow(client)
                except Reset:
                    await self._begin_again()
                except SignedOut:
                    raise self._server.signed_out() from None
                except RoomRefused as refused:
                    told = "you may not see this board any more"
                    raise Refused(403, refused.code, told) from None

    async def _follow(self, client: MissionControl) -> None:
        position = self._position or self._board["position"]
        room = f"board:{self._board['id']}"
        async for event in client.subscribe(room, position, on_connection=self._connection):
            self._notice(event)

    async def _token(self) -> str:
        try:
            return await asyncio.to_thread(self._server.fresh_token)
        except Away as away:
            raise ConnectionError(str(away)) from away  # which the client waits for

    def _connection(self, stands: bool) -> None:
        self._status = "live" if stands else "away"
        if stands:
            # What was on the screen until now is as old as the last connection.
            self._stale.set()
        self._redraw.set()

    async def _begin_again(self) -> None:
        """Fetch the board of another log: positions of the old one mean nothing in it."""
        self._position, self._etag = 0, None
        while True:
            with contextlib.suppress(Away):
                await self._fetch()
                return
            await asyncio.sleep(PAUSE_S_MAX)

    def _notice(self, event: Event) -> None:
        self._position = event.position
        self._events.append(Happening.of_event(event))
        self._stale.set()

    # The screen

    async def _draw(self) -> None:
        console = screen()
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                width, height = console.size
                live.update(
                    board_view.draw(self._board, self._scene(), width, height), refresh=True
                )
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TICK_S):
                        await self._redraw.wait()
                self._redraw.clear()

    def _scene(self) -> board_view.Scene:
        now = time.monotonic()
        self._changed_until = {c: t for c, t in self._changed_until.items() if t > now}
        return board_view.Scene(
            now=datetime.now(UTC),
            name_of=lambda one: self._names.known(one) or one[-8:],
            status=self._status,
            changed=self._changed_until.keys(),
            events=tuple(self._told),
            hint="q leaves",
        )


@contextmanager
def _keys_at_once() -> Iterator[None]:
    """Get each key as it is pressed, and do not show it; Ctrl-C still interrupts."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
