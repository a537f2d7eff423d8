"""How much script the first page needs: what its index names, and what that imports at once."""

import gzip
import re
from collections.abc import Iterable
from pathlib import Path

from benchmarks.scene import Result
from benchmarks.web.sizes import Sizes
from infra.http.site import FOLDER

BYTES_MAX = 165_000
NAMED = re.compile(r'(?:src|href)="/(assets/[^"]+\.js)"')
IMPORTED = re.compile(r'(?:from|import)\s*["\'`]\./([^"\'`]+\.js)["\'`]')


def script(sizes: Sizes) -> list[Result]:
    """Sizes as gzip makes them at its best, which is what the server sends to whoever takes no brotli."""
    named = [FOLDER / name for name in NAMED.findall((FOLDER / "index.html").read_text())]
    files = _with_imports(named)
    each = {file.name: len(gzip.compress(file.read_bytes(), 9)) for file in files}
    total = sum(each.values())
    measured = f"{total / 1000:.1f} kB gzipped in {len(each)} files"
    target = f"≤ {BYTES_MAX // 1000} kB"
    figures: dict[str, float] = {"gzip_bytes": total, **each}
    return [
        Result(
            "script of the first page", measured, target=target, met=total <= BYTES_MAX, figures=figures
        )
    ]  # fmt: skip


def _with_imports(files: Iterable[Path]) -> set[Path]:
    found: set[Path] = set()
    waiting = list(files)
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += [file.with_name(name) for name in IMPORTED.findall(file.read_text())]
    return found
