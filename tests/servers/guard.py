"""TLS and an API key in front of an Elasticsearch, whose core modules have neither."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.servers.certificates import Certificates
from tests.servers.process import HOST

KEY = "a2V5"
REFUSED = (
    b"HTTP/1.1 401 Unauthorized\r\nX-Elastic-Product: Elasticsearch\r\n"
    b"Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
)


@asynccontextmanager
async def guarded(behind: int, certificates: Certificates) -> AsyncIterator[int]:
    """Put TLS and a key in front of a server that has neither; yield the port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.certificate, certificates.key)

    async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            target.write(data)
        target.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if f"authorization: apikey {KEY}\r\n".lower().encode() not in head.lower():
            writer.write(REFUSED)
            writer.close()
            return
        inward, outward = await asyncio.open_connection(HOST, behind)
        outward.write(head)
        await asyncio.gather(pass_on(reader, outward), pass_on(inward, writer))

    async with await asyncio.start_server(serve, HOST, 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]
