"""A real terminal for a command: what it draws is read, keys are pressed."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable

import psutil

WIDTH, HEIGHT = 150, 40
WAIT_S = 20.0
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
HOME = "\x1b[H"


class Terminal:
    """A terminal with a command in it."""

    def __init__(self, spawn: Callable[..., subprocess.Popen[bytes]], *words: str) -> None:
        self._master, slave = pty.openpty()
        self.resize(WIDTH, HEIGHT)
        self.process = spawn(
            *words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        self.seen = ""

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def press(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def press_ctrl_c(self) -> None:
        """Press Ctrl-C, when the command waits for a key.

        A signal between CPython's last look for one and its blocking read waits for that read's end: 2 of 30,000
        that were sent as soon as a prompt was seen.
        """
        command = psutil.Process(self.process.pid)
        deadline = time.monotonic() + WAIT_S
        while command.status() != psutil.STATUS_SLEEPING:
            assert time.monotonic() < deadline, self.seen
        command.send_signal(signal.SIGINT)

    @property
    def frame(self) -> list[str]:
        """The lines of the last whole frame."""
        frames = self.seen.split(HOME)
        return ESCAPES.sub("", frames[-2] if len(frames) > 2 else "").replace("\r", "").split("\n")

    def until(self, condition: Callable[[list[str]], bool]) -> list[str]:
        """Read until a frame is so; return it."""
        deadline = time.monotonic() + WAIT_S
        while not condition(self.frame):
            assert time.monotonic() < deadline, "\n".join(self.frame)
            self._read()
        return self.frame

    def read_until(self, text: str) -> None:
        """Read until a text was printed."""
        deadline = time.monotonic() + WAIT_S
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            self._read()

    def end(self) -> int:
        """Read to the end; return the exit code."""
        deadline = time.monotonic() + WAIT_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.seen
            self._read()
        return self.process.wait(WAIT_S)

    def close(self) -> None:
        os.close(self._master)

    def _read(self) -> None:
        if not select.select([self._master], [], [], 1)[0]:
            return
        try:
            self.seen += os.read(self._master, 65_536).decode("utf-8", "replace")
        except OSError:  # the other end has closed
            self.process.wait(WAIT_S)
