"""`mission-control up`: from settings to a ready server, and back."""

import asyncio
import os
import secrets
import signal
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import uvloop

from infra.command_bus import write_side
from infra.compose import running
from infra.data_dir import DataDir
from infra.deployment import database_of, ready_database, require_root_key
from infra.embedded_postgres import EmbeddedPostgres, StartCancelled
from infra.first_start import FirstAdmin, make_first_admin
from infra.logging import log
from infra.migrate import migrate
from infra.passwords import Passwords
from infra.postgres import Database
from infra.roles import ALL, Role
from infra.server import Server, bind, freeze_garbage, server, tls
from infra.settings import Settings, StartRefused
from infra.start_database import started
from infra.tasks import end

if TYPE_CHECKING:
    from infra.demo.start import Scene

# The demo is imported where it is played or an empty log is founded: most starts do without, and are quicker.
SIGNALS = (signal.SIGINT, signal.SIGTERM)
POSTGRES_WATCH_S = 1.0
POSTGRES_RETRY_S = 5.0


class Stop:
    """The wish to end, by SIGINT or SIGTERM. A second one is heard, and changes nothing but haste.

    The handlers are Python's own, from the first to the last moment: a loop's would be gone with the
    loop, while PostgreSQL is still to be stopped.
    """

    def __init__(self) -> None:
        self._asked = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting: asyncio.Task[None] | None = None
        self._server: Server | None = None
        for number in SIGNALS:
            signal.signal(number, lambda *_: self._ask())

    def asked(self) -> bool:
        """Tell whether to end."""
        return self._asked

    def starting(self, task: asyncio.Task[None]) -> None:
        """From now on, a signal cancels this task."""
        self._loop, self._starting = task.get_loop(), task
        if self._asked:
            task.cancel()

    def serving(self, web: Server) -> None:
        """From now on, a signal ends this server."""
        self._server = web

    def is_done(self) -> None:
        """Hear nothing more: Python, at its very end, would give the signals back their deadly meaning."""
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def _ask(self) -> None:
        again, self._asked = self._asked, True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end, again)

    def _end(self, again: bool) -> None:
        if self._server is not None:
            self._server.force_exit = again
            self._server.should_exit = True
        elif self._starting is not None and not again:
            self._starting.cancel()


def serve_roles(settings: Settings, roles: frozenset[Role]) -> None:
    """Serve some roles of a deployment until a signal comes; holds nothing on this machine.

    The database is there and migrated, and the root key is known. Raises `StartRefused`.
    """
    database_of(settings)  # that none is set is found before a port is taken
    stop = Stop()
    tls(settings)
    with bind(settings) as listening:
        # Queries go on where the database has become read-only, also from a process that is started then.
        dsn = ready_database(settings, writes=roles != {Role.QUERIES})
        service = _Service(settings, dsn, None, None, listening, roles)
        with suppress(asyncio.CancelledError):  # by a signal, while it started
            uvloop.run(service.run(stop))
        log.info("stopped")
    stop.is_done()


def prepare_database(settings: Settings) -> None:
    """Do once what every process of a deployment needs done: the schema, and who signs in first.

    Raises `StartRefused`.
    """
    with DataDir(settings.data_dir), started(settings) as found:
        migrate(found.dsn)
        require_root_key(settings, found.dsn)
        uvloop.run(first_start(settings, found.dsn))


def serve(settings: Settings) -> None:
    """Start everything, serve until a signal comes, and end everything. Raises `StartRefused`."""
    stop = Stop()
    tls(settings)  # a certificate that can't be used is found before anything is touched
    with DataDir(settings.data_dir) as data_dir, bind(settings) as listening:
        try:
            with started(settings, stop.asked) as found:
                migrate(found.dsn)
                require_root_key(settings, found.dsn)
                service = _Service(settings, found.dsn, found.postgres, data_dir, listening, ALL)
                uvloop.run(service.run(stop))
        except (StartCancelled, asyncio.CancelledError):
            if not stop.asked():
                raise
        log.info("stopped")
    stop.is_done()


class _Service:
    """One life of the server, from a database that answers to the last request."""

    def __init__(
        self,
        settings: Settings,
        dsn: str,
        postgres: EmbeddedPostgres | None,
        data_dir: DataDir | None,
        listening: socket.socket,
        roles: frozenset[Role],
    ) -> None:
        self._settings = settings
        self._dsn = dsn
        self._postgres = postgres
        self._data_dir = data_dir
        self._listening = listening
        self._roles = roles
        self._port = int(listening.getsockname()[1])
        self._scene: Scene | None = None
        self._demo: asyncio.Task[None] | None = None
        self._demo_mark = f"demo-{secrets.token_hex(8)}-"

    async def run(self, stop: Stop) -> None:
        starting = asyncio.current_task()
        assert starting is not None, "uvloop.run makes a task of this"
        stop.starting(starting)
        if self._data_dir is not None:
            self._scene = await first_start(self._settings, self._dsn)
        building = running(self._settings, self._dsn, self._port, self._demo_mark, self._roles)
        async with building as (app, leaving):
            web = server(app, self._settings, self._announce, leaving)
            watch = asyncio.create_task(self._watch_postgres(), name="watch-postgres")
            stop.serving(web)
            try:
                await web.serve(sockets=[self._listening])
            finally:
                log.info("stopping")
                if self._postgres is not None:
                    self._postgres.wake()  # all that ends now says so to it
                await end(task for task in (watch, self._demo) if task is not None)

    def _announce(self) -> None:
        freeze_garbage()
        url = self._settings.url(self._port)
        if self._data_dir is not None:
            self._data_dir.serves_at(url)
        _say(f"ready {url}")
        if self._scene is not None:
            from infra.demo.agents import play  # noqa: PLC0415

            self._demo = asyncio.create_task(
                play(self._settings, self._scene, self._listening, self._demo_mark), name="demo"
            )

    async def _watch_postgres(self) -> None:
        """Start our PostgreSQL again should it die: its clients reconnect by themselves."""
        postgres = self._postgres
        while postgres is not None:
            await asyncio.sleep(POSTGRES_WATCH_S)
            if postgres.pid() is not None:
                continue
            log.error("PostgreSQL is gone; starting it again")
            try:
                await asyncio.to_thread(postgres.start)
            except StartRefused as refused:
                log.error("PostgreSQL does not start", reason=str(refused))
                await asyncio.sleep(POSTGRES_RETRY_S)


def _say(line: str) -> None:
    """Print a line for whoever waits for it; that nobody reads any more is no reason to end."""
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except OSError:
        # Else Python tries to flush it once more at its end, and exits with 120.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def first_start(settings: Settings, dsn: str) -> "Scene | None":
    """Found what an empty log needs, and say who may sign in; return the demo's scene, if it is one."""
    if settings.demo:
        from infra.demo.start import prepare  # noqa: PLC0415

        scene, admin = await prepare(settings, dsn)
    else:
        scene, admin = None, await _found(settings, dsn)
    if admin is not None and admin.password is not None:
        _say(f"first admin {admin.email} password {admin.password}  (shown once)")
    return scene


async def _found(settings: Settings, dsn: str) -> FirstAdmin | None:
    async with Database(dsn) as database, database.system() as connection:
        cursor = await connection.execute("SELECT position FROM log_head")
        row = await cursor.fetchone()
    if row and row[0]:
        return None
    from infra.demo.start import clean_up  # noqa: PLC0415

    clean_up(dsn)
    async with write_side(settings, dsn) as bus:
        return await make_first_admin(bus, settings, Passwords())
