"""C1: a board of 200 missions, read on the server as `mission-control up` starts it."""

import asyncio
import time

import httpx
import psycopg
import uvloop

from benchmarks import peers
from benchmarks.http import WARM_UP_S, Request
from benchmarks.processes import process, sign_in, up
from benchmarks.scene import Result, ms, new_database, percentile
from infra.embedded_postgres import EmbeddedPostgres
from infra.postgres import SYSTEM_OPTIONS

CARDS = 200
CLIENTS = 8
SECONDS = 1.5
ROUNDS = 4
READS = 200
PATH = "/api/missions/board"


class Get(Request):
    """The same GET again and again."""

    def __init__(self, url: str, token: str, **headers: str) -> None:
        super().__init__(url, PATH, token, b"")
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        self._whole = (
            f"GET {PATH} HTTP/1.1\r\nhost: {self.host}:{self.port}\r\n"
            f"authorization: Bearer {token}\r\n{lines}\r\n"
        ).encode()
        self.seconds = 0.0

    @property
    def rate(self) -> float:
        """Requests per second."""
        return len(self.latencies) / self.seconds

    def encoded(self) -> bytes:
        return self._whole

    def answered(self, status: int, body: bytes, latency_s: float) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.latencies.append(latency_s)


def board(postgres: EmbeddedPostgres, _: int) -> list[Result]:
    """C1: against rows → pydantic models; sent again, built afresh, and not changed (304)."""
    dsn = new_database(postgres)
    with up(dsn) as url:
        token = sign_in(url)
        board_id, etag = _fill(url, token)
        with process(["benchmarks.board_peer"], f"{dsn}\n{board_id}") as peer_url:
            peer_token = peers.token()
            again, same = Get(url, token), Get(url, token, if_none_match=etag)
            peer = Get(peer_url, peer_token)
            _in_turn(again, same, peer)
            fresh, peer_one = _changed_before_each_read(dsn, (url, token), (peer_url, peer_token))
    assert {*again.statuses, *peer.statuses, *same.statuses} == {200, 304}
    of_peer = f"{peer.rate:,.0f}/s, {ms(peer.latencies)}"
    sent, unchanged = again.rate / peer.rate, same.rate / peer.rate
    one = percentile(peer_one, 50) / percentile(fresh, 50)
    return [
        Result(f"C1 board of {CARDS}, {CLIENTS} clients", f"{again.rate:,.0f}/s, {ms(again.latencies)}",
               of_peer, sent, "≥ 3.5x", sent >= 3.5),
        Result("C1 changed before each read", ms(fresh), ms(peer_one), one, "≥ 3.5x", one >= 3.5),
        Result("C1 not changed (304)", f"{same.rate:,.0f}/s, {ms(same.latencies)}",
               of_peer, unchanged, "≥ 13x", unchanged >= 13),
    ]  # fmt: skip


def _fill(url: str, token: str) -> tuple[str, str]:
    """Make the missions; return the board's id and its ETag."""
    position = 0
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {token}"}) as client:
        for number in range(CARDS):
            body = {
                "title": f"Summarise the incidents of week {number}", "description": "x" * 200,
                "labels": ["weekly", "report"], "due": "2030-01-01T12:00:00Z",
            }  # fmt: skip
            made = client.post("/api/missions", json=body)
            made.raise_for_status()
            position = made.json()["position"]
        answer = client.get(PATH, params={"min_position": position})
        answer.raise_for_status()
        return str(answer.json()["id"]), answer.headers["etag"]


def _in_turn(*requests: Get) -> None:
    """Load the servers one after the other, again and again: what else the machine does meets all alike."""
    for request in requests:
        uvloop.run(request.repeat(CLIENTS, WARM_UP_S))
        request.latencies.clear()
        request.statuses.clear()
    for _ in range(ROUNDS):
        for request in requests:
            begin = time.perf_counter()
            request.finished = asyncio.Event()
            uvloop.run(request.repeat(CLIENTS, SECONDS))
            request.seconds += time.perf_counter() - begin


def _changed_before_each_read(
    dsn: str, *servers: tuple[str, str]
) -> tuple[list[float], list[float]]:
    """Return the latencies of reads, on both servers, where nothing that was kept may be sent again."""
    latencies: tuple[list[float], list[float]] = ([], [])
    clients = [
        # As they are: the peer compresses nothing.
        httpx.Client(
            base_url=url,
            headers={"authorization": f"Bearer {token}", "accept-encoding": "identity"},
        )
        for url, token in servers
    ]
    with psycopg.connect(dsn, autocommit=True, options=SYSTEM_OPTIONS) as connection:
        for _ in range(READS):
            for client, mine in zip(clients, latencies, strict=True):
                connection.execute("UPDATE board_revisions SET revision = revision + 1")
                begin = time.perf_counter()
                client.get(PATH).raise_for_status()
                mine.append(time.perf_counter() - begin)
    for client in clients:
        client.close()
    return latencies[0][READS // 10 :], latencies[1][READS // 10 :]
