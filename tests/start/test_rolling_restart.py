"""Two processes behind a proxy are restarted one after the other, and nobody notices."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, aclosing, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from mission_control import MissionControl
from tests.servers.nginx import Nginx
from tests.servers.process import free_port
from tests.start.processes import EMAIL, PASSWORD, Running, run, started

CONFIGURATION = """\
pid {folder}/nginx.pid;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/client_body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream servers {{
        server 127.0.0.1:{first} max_fails=0;
        server 127.0.0.1:{second} max_fails=0;
    }}
    map $http_upgrade $connection_header {{
        default upgrade;
        ''      '';
    }}
    server {{
        listen 127.0.0.1:{door};
        location / {{
            proxy_pass http://servers;
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_header;
        }}
    }}
}}
"""
"""Like the one that is shipped: what could not be connected to is passed on, what was sent is not sent twice."""

CLIENTS = 16
LAST = "the last one"


class Pair:
    """Two servers of one database, and the address of the proxy before them."""

    def __init__(self, stack: ExitStack, data_dir: Path, database_url: str, url: str) -> None:
        self._stack, self._data_dir, self.url = stack, data_dir, url
        self._settings = {"MC_DATABASE_URL": database_url, "MC_DRAIN_S": "0.5"}
        self.ports = (free_port(), free_port())

    def migrate(self) -> None:
        assert run("migrate", "--data-dir", self._data_dir, **self._settings).returncode == 0

    def start(self, port: int) -> Running:
        server = self._stack.enter_context(
            started(self._data_dir, "serve", port=port, afresh=True, **self._settings)
        )
        assert server.url.endswith(f":{port}")
        return server


@pytest.fixture
def pair(
    open_folder: Path, tmp_path: Path, database_url: str,
    proxy: Callable[[str, int], AbstractContextManager[Nginx]],
) -> Iterator[Pair]:  # fmt: skip
    door = free_port()
    with ExitStack() as stack:
        servers = Pair(stack, open_folder / "pair", database_url, f"http://127.0.0.1:{door}")
        first, second = servers.ports
        stack.enter_context(
            proxy(
                CONFIGURATION.format(folder=tmp_path, first=first, second=second, door=door), door
            )
        )
        yield servers


def test_a_rolling_restart_fails_no_request_and_skips_no_event(pair: Pair) -> None:
    pair.migrate()
    asyncio.run(restart_in_turn(pair, [pair.start(port) for port in pair.ports]))


async def restart_in_turn(pair: Pair, running: list[Running]) -> None:
    async with signed_in(pair.url) as token, asyncio.timeout(60):
        done = asyncio.Event()
        clients = [asyncio.create_task(work(pair.url, token, done)) for _ in range(CLIENTS)]
        listener = asyncio.create_task(listen(pair.url, token))
        for server in running:
            server.process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(server.process.wait, 20) == 0
            await asyncio.to_thread(pair.start, int(server.url.rsplit(":", 1)[1]))
        done.set()
        made = [position for positions in await asyncio.gather(*clients) for position in positions]
        async with httpx.AsyncClient(base_url=pair.url, headers=bearer(token)) as client:
            last = await create(client, LAST)
        assert await listener == [*sorted(made), last]
    assert len(made) > CLIENTS * 10


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@asynccontextmanager
async def signed_in(url: str) -> AsyncIterator[str]:
    async with httpx.AsyncClient(base_url=url) as client:
        body = {"email": EMAIL, "password": PASSWORD}
        answer = await client.post("/api/auth/sign-in", json=body)
        yield answer.raise_for_status().json()["access_token"]


async def work(url: str, token: str, done: asyncio.Event) -> list[int]:
    """Create missions and read them until it is done; every single request has to succeed."""
    made = []
    async with httpx.AsyncClient(base_url=url, headers=bearer(token), timeout=20) as client:
        while not done.is_set():
            position = await create(client, "one of many")
            made.append(position)
            await read(client, position)
    return made


async def create(client: httpx.AsyncClient, title: str) -> int:
    answer = await client.post("/api/missions", json={"title": title})
    assert answer.status_code == 201, answer.text
    position: int = answer.json()["position"]
    return position


async def read(client: httpx.AsyncClient, position: int) -> None:
    answer = await client.get("/api/missions", params={"min_position": position, "limit": 1})
    assert answer.status_code == 200, answer.text


async def listen(url: str, token: str) -> list[int]:
    """Return where missions were created, as a client hears it, up to the last one."""
    heard = []
    async with (
        MissionControl(url, token, pause_s_max=0.5) as client,
        aclosing(client.subscribe("workspace", 0)) as events,
    ):
        async for event in events:
            if event.event == "mission.created.v1":
                heard.append(event.position)
                if event.data["content"]["title"] == LAST:
                    return heard
    raise AssertionError("the subscription ended")
