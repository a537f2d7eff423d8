"""A listening socket is closed so that whoever has connected is heard, and whoever has not is refused."""

import socket
from collections.abc import Iterator

import pytest

from infra.door import accepted, hold_off

BRIEFLY_S = 0.3
"""Less than the second after which the kernel tries to connect once more."""
AGAIN_S = 10


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.setblocking(False)
        yield door


def test_who_has_connected_is_heard_and_who_comes_later_is_refused_and_never_cut_off(
    listening: socket.socket,
) -> None:
    address = listening.getsockname()
    with socket.create_connection(address) as early, socket.socket() as late:
        early.sendall(b"asked")
        hold_off(listening)
        late.settimeout(BRIEFLY_S)
        with pytest.raises(TimeoutError):
            late.connect(address)
        (heard,) = accepted(listening)
        listening.close()
        assert heard.recv(9) == b"asked"
        heard.sendall(b"answered")
        assert early.recv(9) == b"answered"
        heard.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=AGAIN_S)
