"""The dashboard's files as they are served: by encoding, with validators, and never in the place of the API."""

import asyncio
import gzip
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from infra.http.site import NONCE, Site

SCRIPT = b"console.info('board');" * 40


async def api(request: object) -> PlainTextResponse:
    return PlainTextResponse("of the API")


API = Starlette(
    routes=[
        Route("/api/missions", api),
        Route("/metrics", api),
        Route("/board", api, methods=["POST"]),
    ]
)


class Client:
    """Asks the site without a network."""

    def __init__(self, folder: Path) -> None:
        self.transport = httpx.ASGITransport(Site(API, folder))

    def ask(self, method: str, path: str, **headers: str) -> httpx.Response:
        async def asking() -> httpx.Response:
            async with httpx.AsyncClient(transport=self.transport, base_url="http://site") as http:
                return await http.request(
                    method, path, headers={k.replace("_", "-"): v for k, v in headers.items()}
                )

        return asyncio.run(asking())

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.ask("GET", path, **headers)


@pytest.fixture
def client(tmp_path: Path) -> Client:
    assets = tmp_path / "assets"
    assets.mkdir()
    (tmp_path / "index.html").write_text(f'<script nonce="{NONCE}" src="/assets/a-1.js"></script>')
    (assets / "a-1.js").write_bytes(SCRIPT)
    (assets / "a-1.js.gz").write_bytes(gzip.compress(SCRIPT))
    return Client(tmp_path)


@pytest.mark.parametrize(
    ("accepts", "given"),
    [
        ("gzip, br", "gzip"),
        ("gzip;q=0", None),
        ("identity", None),
        ("", None),
        ("x, GZIP;q=0.5", "gzip"),
    ],
)
def test_a_file_comes_in_an_encoding_that_the_client_takes(
    client: Client, accepts: str, given: str | None
) -> None:
    answer = client.get("/assets/a-1.js", accept_encoding=accepts)
    assert answer.headers.get("content-encoding") == given
    assert answer.content == SCRIPT
    assert answer.headers["vary"] == "Accept-Encoding"
    assert "javascript" in answer.headers["content-type"]
    assert "immutable" in answer.headers["cache-control"]


def test_who_has_a_file_is_told_so(client: Client) -> None:
    etag = client.get("/assets/a-1.js").headers["etag"]
    answer = client.get("/assets/a-1.js", if_none_match=etag)
    assert (answer.status_code, answer.content) == (304, b"")


@pytest.mark.parametrize("path", ["/", "/assets/a-1.js", "/missions/1"])
def test_head_is_get_without_the_body(client: Client, path: str) -> None:
    head, get = client.ask("HEAD", path), client.get(path)
    assert head.status_code == get.status_code == 200
    assert head.content == b""
    assert int(head.headers["content-length"]) > 0
    assert head.headers["content-type"] == get.headers["content-type"]


@pytest.mark.parametrize("path", ["/", "/index.html", "/missions/1", "/a/deep/link?at=7"])
def test_a_page_has_a_nonce_of_its_own_and_is_asked_for_each_time(
    client: Client, path: str
) -> None:
    first, second = client.get(path), client.get(path)
    assert first.status_code == 200
    assert first.text != second.text
    assert "no-cache" in first.headers["cache-control"]
    nonce = first.text.partition('nonce="')[2].partition('"')[0]
    policy = first.headers["content-security-policy"]
    assert f"'nonce-{nonce}'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize(("accepts", "given"), [("br, gzip", "gzip"), ("br", None)])
def test_a_page_is_compressed_for_who_takes_that(
    client: Client, accepts: str, given: str | None
) -> None:
    answer = client.get("/", accept_encoding=accepts)
    assert answer.headers.get("content-encoding") == given
    assert "/assets/a-1.js" in answer.text
    assert answer.headers["vary"] == "Accept-Encoding"


def test_a_file_of_an_older_build_is_no_page(client: Client) -> None:
    assert client.get("/assets/a-0.js").status_code == 404


def test_the_api_answers_for_itself(client: Client) -> None:
    assert client.get("/api/missions").text == "of the API"
    assert client.get("/metrics").text == "of the API"
    assert client.get("/api/nonsense").status_code == 404
    assert client.ask("POST", "/board").text == "of the API"


@pytest.mark.parametrize(
    "path",
    ["//api/missions", "///api", "/API/missions", "/Api", "//WS", "/Metrics", "/.Well-Known/x"],
)
def test_what_looks_like_the_api_in_another_spelling_is_no_page(client: Client, path: str) -> None:
    assert client.get(f"http://site{path}").status_code == 404


def test_without_a_build_the_answer_says_how_to_make_one(tmp_path: Path) -> None:
    answer = Client(tmp_path).get("/")
    assert answer.status_code == 503
    assert "web_build.py" in answer.text
