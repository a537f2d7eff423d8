"""`mission-control search`: find missions, comments and what agents did."""

import re
from typing import Annotated, Literal
from uuid import UUID

import typer
from rich.text import Text

from infra.terminal.output import Json, age, clean, moment, print_json, print_rows, screen
from infra.terminal.server import ROWS_MAX, JsonOption, KeyOption, UrlOption, Value, connected

MARK = re.compile(r"<mark>(.*?)</mark>", re.DOTALL)
MARK_STYLE = "bold underline"
PLURALS = {"mission": "missions", "comment": "comments"}
Kind = Literal["mission", "comment", "activity"]


def search(
    text: Annotated[str, typer.Argument(help="Words; misspelt ones are found too.")],
    kind: Annotated[Kind | None, typer.Option("--type", help="Only these.")] = None,
    board: Annotated[str | None, typer.Option(help="Only on this board, by name or id.")] = None,
    label: Annotated[str | None, typer.Option(help="Only with this label.")] = None,
    priority: Annotated[str | None, typer.Option(help="Only of this priority.")] = None,
    stage: Annotated[str | None, typer.Option(help="Only in columns of this stage.")] = None,
    agent: Annotated[UUID | None, typer.Option(help="Only what this agent has to do with.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=ROWS_MAX, help="How many at most.")] = 20,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find missions, comments and activity by their words."""
    with connected(url, key) as server:
        filters: dict[str, Value] = {
            "q": text, "type": kind, "board_id": server.board_id(board), "label": label,
            "priority": priority, "stage": stage, "agent_id": str(agent) if agent else None,
        }  # fmt: skip
        found = server.rows("/api/search", limit, **filters)
        if as_json:
            print_json(found)
        elif screen().is_terminal:
            _show(found)
        else:
            print_rows(("type", "mission", "title"), [
                [hit["type"], hit["mission_id"], clean(hit["title"] or "")] for hit in found["items"]
            ])  # fmt: skip


def _show(found: Json) -> None:
    console = screen()
    for hit in found["items"]:
        marks = hit.get("highlights") or {}
        title = marked(marks["title"]) if "title" in marks else Text(clean(hit["title"] or ""))
        title.style = "bold"
        when = age(moment(hit["updated_at"]))
        console.print(
            title + Text(f"  {hit['type']} · {when} ago · {hit['mission_id']}", style="dim")
        )
        for field, snippet in marks.items():
            if field != "title":
                console.print(Text("  ") + marked(snippet), no_wrap=True, overflow="ellipsis")
    kinds = found.get("facets", {}).get("type", {})
    counts = ", ".join(f"{PLURALS.get(kind, kind)}: {kinds[kind]}" for kind in sorted(kinds))
    console.print(Text(counts or "nothing found", style="dim"))


def marked(snippet: str) -> Text:
    """Return a snippet with what was found standing out."""
    text, end = Text(), 0
    for match in MARK.finditer(snippet):
        text.append(_flat(snippet[end : match.start()]))
        text.append(_flat(match[1]), style=MARK_STYLE)
        end = match.end()
    text.append(_flat(snippet[end:]))
    return text


def _flat(text: str) -> str:
    # The blanks at both ends stay: a mark is in the middle of a sentence.
    return "".join(char if char.isprintable() else " " for char in text)
