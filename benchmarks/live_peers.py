"""What live updates are measured against: a Starlette app that loops over its sockets.

`python -m benchmarks.live_peers` serves `/ws`. A socket that says `feed` is the source: each text that it
sends goes to every other one, by `send_text`, one after the other. One that says `replay N BYTES` is sent so
many events as one frame each, and waits for nothing.
"""

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from benchmarks.peers import Server

LISTENING: dict[WebSocket, None] = {}


async def ws(websocket: WebSocket) -> None:
    """Serve a source, a listener or a replay."""
    await websocket.accept()
    words = (await websocket.receive_text()).split()
    try:
        if words[0] == "feed":
            while True:
                text = await websocket.receive_text()
                for listener in list(LISTENING):
                    await listener.send_text(text)
        elif words[0] == "replay":
            filling = "x" * int(words[2])
            for number in range(int(words[1])):
                text = f'{{"t":"ev","pos":{number},"x":"{filling}"}}'
                await websocket.send_text(text)
        LISTENING[websocket] = None
        await websocket.receive_text()
    except WebSocketDisconnect:
        LISTENING.pop(websocket, None)


if __name__ == "__main__":
    app = Starlette(routes=[WebSocketRoute("/ws", ws)])
    config = uvicorn.Config(
        app, port=0, log_level="error", loop="uvloop", ws="websockets-sansio",
        ws_per_message_deflate=False, ws_ping_interval=None,
    )  # fmt: skip
    Server(config).run()
