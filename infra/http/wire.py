"""The bare connection under a WebSocket, for those who send the same bytes to a thousand of them.

An ASGI `send` is a coroutine, and encodes its text for each connection anew: with a thousand clients in a
room, that is most of what an event costs. `infra/server.py` offers the connection itself as an extension of
the ASGI scope, and live updates write frames to it that were encoded once.
"""

import struct
import time
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

EXTENSION = "mission_control.wire"
NOT_A_HANDSHAKE = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
TEXT_FRAME = 0x81  # RFC 6455, 5.2: the last frame of a message, and the only one


def offer(scope: Any, connection: object) -> None:
    """Offer a connection to the application, which finds it in `scope["extensions"][EXTENSION]`."""
    scope["extensions"] = {**scope.get("extensions", {}), EXTENSION: connection}


def text_frame(payload: bytes) -> bytes:
    """Return a text message as a server's frame."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", TEXT_FRAME, size) + payload
    if size < 65_536:
        return struct.pack("!BBH", TEXT_FRAME, 126, size) + payload
    return struct.pack("!BBQ", TEXT_FRAME, 127, size) + payload


class Wire(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, and what its application may do with the connection.

    Frames may only be put behind the accept and before the close, both of which are ASGI messages.
    """

    full_since: float | None = None
    """Since when (monotonic) the client takes less than it is sent; None: there is room for a frame."""

    def handle_connect(self, event: Any) -> None:
        """Offer the connection to the application."""
        super().handle_connect(event)
        if self.response.status_code == 101:
            # The application starts with the loop's next turn.
            offer(self.scope, self)

    def data_received(self, data: bytes) -> None:
        """Take what came; the request's head comes whole, and first. One that is none would wait for ever."""
        super().data_received(data)
        if not self.handshake_initiated and not self.transport.is_closing():
            self.transport.write(NOT_A_HANDSHAKE)
            self.transport.close()

    def shutdown(self) -> None:
        """Say that the server ends, to who has got as far as to be told."""
        if self.handshake_initiated:
            super().shutdown()
        else:
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.full_since = time.monotonic()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.full_since = None

    def put(self, frame: bytes) -> None:
        """Send a frame; who looks at `full_since` before has at most one frame too many in memory."""
        if not (self.disconnected or self.close_sent):
            self.transport.write(frame)

    async def room(self) -> None:
        """Wait until there is room for a frame, or the connection is gone."""
        await self.writable.wait()

    def abort(self) -> None:
        """End the connection without waiting for a client that takes nothing."""
        self.transport.abort()
