"""Where servers are kept once they were brought: a folder per server and version, whole or not there."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import platformdirs


class Unavailable(Exception):
    """A server can't be had on this machine; the message is one line that says why."""


def cache_folder() -> Path:
    """Return the folder of all servers: `~/.cache/mission-control/servers`, or below `XDG_CACHE_HOME`."""
    return platformdirs.user_cache_path("mission-control") / "servers"


def bring(target: Path, build: Callable[[Path], None]) -> None:
    """Fill the folder `target` by `build`, once: a second caller waits for the first and finds it there."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            return
        fresh = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=target.parent))
        try:
            build(fresh)
            fresh.chmod(0o755)
            fresh.rename(target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def require_tools(*names: str) -> None:
    """Raise `Unavailable` when one of these programs is not on the path."""
    absent = [name for name in names if shutil.which(name) is None]
    if absent:
        raise Unavailable(f"needs {' and '.join(absent)} on the path")


def run_tool(words: Sequence[str | Path], cwd: Path, **environment: str) -> None:
    """Run a build tool to its end; raises `Unavailable` with the last thing that it said."""
    done = subprocess.run(
        words, cwd=cwd, env={**os.environ, **environment}, check=False, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    if done.returncode != 0:
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower()]
        raise Unavailable(f"{words[0]} failed: {(errors or lines or ['it said nothing'])[-1]}")
