"""`mission-control up`: from settings to a ready server, and back."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager

import uvloop

from infra.compose import running, write_side
from infra.first_start import make_first_admin
from infra.logging import log
from infra.passwords import Passwords
from infra.postgres import Database
from infra.server import Server, bind, freeze_garbage, server
from infra.settings import Settings

READY_POLL_S = 0.01


def serve(settings: Settings, database: Callable[[Settings], AbstractContextManager[str]]) -> None:
    """Bind the port, then start everything behind it; return when a signal has stopped it."""
    listening = bind(settings)
    with listening, database(settings) as dsn:
        uvloop.run(_serve(settings, dsn, listening))


async def _serve(settings: Settings, dsn: str, listening: object) -> None:
    port = listening.getsockname()[1]  # type: ignore[attr-defined]
    await _first_start(settings, dsn)
    async with running(settings, dsn, port) as app:
        web = server(app, settings)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, _stop, web)
        serving = asyncio.create_task(_run(web, listening))
        while not web.started and not serving.done():  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(READY_POLL_S)
        if web.started:
            freeze_garbage()
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            print(f"ready {settings.scheme}://{host}:{port}", flush=True)  # noqa: T201 - what starters wait for
        await serving
        log.info("stopping")


async def _run(web: Server, listening: object) -> None:
    # `_serve` and not `serve`: the latter takes the signals over and raises them again at the end.
    await web._serve(sockets=[listening])  # type: ignore[list-item]


def _stop(web: Server) -> None:
    web.force_exit = web.should_exit
    web.should_exit = True


async def _first_start(settings: Settings, dsn: str) -> None:
    async with Database(dsn) as database, database.system() as connection:
        cursor = await connection.execute("SELECT position FROM log_head")
        row = await cursor.fetchone()
    if row and row[0]:
        return
    async with write_side(settings, dsn) as bus:
        admin = await make_first_admin(bus, settings, Passwords())
    if admin.password is not None:
        print(f"first admin {admin.email} password {admin.password}  (shown once)", flush=True)  # noqa: T201
