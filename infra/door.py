"""Closing a listening socket so that nobody is cut off who has connected already.

What the kernel has accepted in our place when the socket closes, it resets, and a proxy may not send to another
server what it has sent to this one. Taking that first is not enough: whoever comes between the last look and the
close is cut off all the same, and on a busy machine that can be long. So nobody new is let as far from a moment on.
"""

import contextlib
import ctypes
import socket
import struct
import sys
from collections.abc import Iterator

SO_ATTACH_FILTER = 26  # of Linux's socket(7); Python has no name for it
# A classic BPF program (Linux's networking/filter), which sees a segment from its TCP header on: it drops what begins
# a handshake, a SYN without an ACK, and lets everything else pass.
FLAGS_AT, SYN, ACK = 13, 0x02, 0x10
LOAD_BYTE, AND, JUMP_IF_EQUAL, RETURN = 0x30, 0x54, 0x15, 0x06
DROP, PASS = 0, 0xFFFFFFFF
NO_SYN = (
    (LOAD_BYTE, 0, 0, FLAGS_AT),
    (AND, 0, 0, SYN | ACK),
    (JUMP_IF_EQUAL, 0, 1, SYN),
    (RETURN, 0, 0, DROP),
    (RETURN, 0, 0, PASS),
)


def hold_off(listening: socket.socket) -> None:
    """Begin no more connections; those who try will try again, and be refused when it is closed.

    Where the system can't do that, nothing is changed.
    """
    if sys.platform != "linux":
        return
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in NO_SYN))
    described = struct.pack("HP", len(NO_SYN), ctypes.addressof(program))
    with contextlib.suppress(OSError):
        listening.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, described)


def accepted(listening: socket.socket) -> Iterator[socket.socket]:
    """Take every connection that the kernel has made and nobody has accepted yet."""
    with contextlib.suppress(BlockingIOError):
        while True:
            connection, _ = listening.accept()
            connection.setblocking(False)
            yield connection
