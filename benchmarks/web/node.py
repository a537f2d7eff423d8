"""Node for Lighthouse: the machine's where it is new enough, else PyPI's, brought on first use."""

import importlib
import sys
from pathlib import Path

from tests.servers.cache import bring, cache_folder, run_tool
from web_build import NODE_WHEEL, NPM_CI, Node, find_node, has_modules, node_of_wheel, run

FOLDER = Path(__file__).parent
OLDEST = (22, 19)
"""What Lighthouse 13 runs on."""


def lighthouse() -> Node:
    """Return a Node that Lighthouse runs on, after npm has installed what the lock file names."""
    node = find_node(lambda version: version >= OLDEST) or node_of_wheel() or _brought()
    if not has_modules(FOLDER):
        run(node, [*node.npm, *NPM_CI, "--ignore-scripts"], FOLDER)
    return node


def _brought() -> Node:
    folder = cache_folder() / NODE_WHEEL.replace("==", "-")
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", NODE_WHEEL, "--target"]
    bring(folder, lambda fresh: run_tool([*words, fresh], fresh))
    sys.path.append(str(folder))
    importlib.invalidate_caches()
    node = node_of_wheel()
    assert node is not None, f"{NODE_WHEEL} brings no Node for this machine"
    return node
