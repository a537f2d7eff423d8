"""nginx, as the system has it, with a configuration of ours."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import debian
from tests.servers.process import Server, is_open, temporary_folder

VERSION = "of Debian"
PACKAGE = "nginx"
WHERE = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"


def install(cache: Path) -> None:
    """Install Debian's package where there is no nginx; raises `Unavailable`."""
    if missing() is not None:
        debian.install(PACKAGE, "nginx")


def missing() -> str | None:
    """Return why it can't be started here, if so."""
    return None if shutil.which(PACKAGE, path=WHERE) else "nginx is not installed: make servers"


class Nginx(Server):
    """A server of one configuration, which listens on `port`."""

    def __init__(self, folder: Path, configuration: str, port: int) -> None:
        self.port = port
        file = folder / "nginx.conf"
        file.write_text(configuration)
        program = shutil.which(PACKAGE, path=WHERE)
        assert program is not None, "`missing` was asked"
        words: list[str | Path] = [program, "-p", folder, "-c", file, "-e", "stderr"]
        super().__init__([*words, "-g", "daemon off;"], folder)

    def answers(self) -> bool:
        """Tell whether it listens."""
        return is_open(self.port)


@contextmanager
def start(configuration: str, port: int) -> Iterator[Nginx]:
    """Start it; the configuration's own `listen` says the port too."""
    with temporary_folder() as folder, Nginx(folder, configuration, port) as server:
        yield server
