"""`mission-control missions`: look at missions, make them, and work on them as an agent."""

from typing import Annotated, Literal
from uuid import UUID

import typer
from rich.text import Text

from infra.terminal.names import Names
from infra.terminal.output import (
    EXIT_CODES,
    MISUSED,
    NOTHING_TO_CLAIM,
    PRIORITY_STYLES,
    STAGE_STYLES,
    Failed,
    Json,
    age,
    clean,
    moment,
    print_json,
    print_rows,
    print_values,
    screen,
)
from infra.terminal.server import (
    ROWS_MAX,
    AsOfOption,
    JsonOption,
    KeyOption,
    Server,
    UrlOption,
    Value,
    as_it_was,
    connected,
    is_id,
)

app = typer.Typer(help="Missions of a running server.", no_args_is_help=True)

Priority = Literal["low", "normal", "high", "urgent"]
Stage = Literal["backlog", "ready", "active", "review", "done"]

MissionArgument = Annotated[UUID, typer.Argument(metavar="MISSION", help="The mission's id.")]
BoardOption = Annotated[str | None, typer.Option(help="A board, by its name or id.")]
LimitOption = Annotated[int, typer.Option(min=1, max=ROWS_MAX, help="How many at most.")]
LeaseOption = Annotated[int, typer.Option(min=1, help="The lease's token, which `claim` printed.")]


@app.command("list", epilog=EXIT_CODES)
def list_(
    board: BoardOption = None,
    stage: Annotated[Stage | None, typer.Option(help="Only in columns of this stage.")] = None,
    priority: Annotated[Priority | None, typer.Option(help="Only of this priority.")] = None,
    label: Annotated[str | None, typer.Option(help="Only with this label.")] = None,
    assignee: Annotated[UUID | None, typer.Option(help="Only assigned to this one.")] = None,
    holder: Annotated[UUID | None, typer.Option(help="Only what this agent works on.")] = None,
    sort: Annotated[
        str | None, typer.Option(help="By this field; -field for the other way round.")
    ] = None,
    limit: LimitOption = 50,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List missions."""
    with connected(url, key) as server:
        filters: dict[str, Value] = {
            "board_id": server.board_id(board), "stage": stage, "priority": priority, "label": label,
            "assignee_id": _text(assignee), "holder": _text(holder), "sort": sort,
        }  # fmt: skip
        found = server.rows("/api/missions", limit, **filters)
        if as_json:
            print_json(found)
            return
        names = Names(server)
        rows = [_row(mission, names) for mission in found["items"]]
        print_rows(("id", "stage", "priority", "progress", "who", "age", "title"), rows)


@app.command(epilog=EXIT_CODES)
def show(
    mission_id: MissionArgument,
    as_of: AsOfOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a mission in full, as it is or as it was."""
    with connected(url, key) as server:
        mission = as_it_was(server.get(f"/api/missions/{mission_id}", as_of=as_of), as_of)
        if as_json:
            print_json(mission)
        else:
            print_values(_values(mission, Names(server)))


@app.command(epilog=EXIT_CODES)
def create(
    title: Annotated[str, typer.Argument(help="What is to be done.")],
    description: Annotated[str, typer.Option(help="More about it.")] = "",
    priority: Annotated[Priority, typer.Option(help="How much it hurries.")] = "normal",
    label: Annotated[list[str] | None, typer.Option(help="A label; may be repeated.")] = None,
    capability: Annotated[
        list[str] | None, typer.Option(help="What an agent must be able to; may be repeated.")
    ] = None,
    assignee: Annotated[
        list[UUID] | None, typer.Option(help="Who is responsible; may be repeated.")
    ] = None,
    due: Annotated[str | None, typer.Option(help="When it is due (ISO 8601, with offset).")] = None,
    board: BoardOption = None,
    column: Annotated[str | None, typer.Option(help="A column, by its name or id.")] = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a new mission on a board."""
    with connected(url, key) as server:
        board_id = server.board_id(board)
        body: Json = {
            "title": title, "description": description, "priority": priority, "labels": label or [],
            "required_capabilities": capability or [], "assignees": [str(a) for a in assignee or []],
            "due": due, "board_id": board_id,
        }  # fmt: skip
        if column is not None:
            body["column_id"] = _column_id(server, board_id, column)
        _done(server, "POST", "/api/missions", body, "created", as_json=as_json)


@app.command(epilog=EXIT_CODES)
def claim(
    mission_id: Annotated[
        UUID | None, typer.Argument(metavar="MISSION", help="This one; else the next that fits.")
    ] = None,
    board: BoardOption = None,
    ttl_s: Annotated[int | None, typer.Option(min=1, help="Seconds until the lease ends.")] = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a mission as an agent (its key is needed) and print the lease. Exits with 3 if nothing fits."""
    with connected(url, key) as server:
        body: Json = {"ttl_s": ttl_s}
        if mission_id is None:
            body["board_id"] = server.board_id(board)
        path = f"/api/missions/{mission_id}/claim" if mission_id else "/api/missions/claim"
        answer = server.command("POST", path, body)
        if answer.status_code == 204:
            raise Failed("nothing to claim", NOTHING_TO_CLAIM)
        claimed = server.json(answer)
        if as_json:
            print_json(claimed)
            return
        lease = claimed["lease"]
        title = claimed.get("mission", {}).get("title", "")
        print_values([
            ("mission", claimed["id"]),
            ("title", Text(clean(title), style="bold")),
            ("lease token", str(lease["token"])),
            ("expires at", _time(lease["expires_at"])),
        ])  # fmt: skip


@app.command(epilog=EXIT_CODES)
def move(
    mission_id: MissionArgument,
    column: Annotated[str, typer.Argument(help="The column, by its name or id.")],
    board: BoardOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move a card to the end of a column."""
    with connected(url, key) as server:
        board_id = server.board_id(board)
        there = board_id or server.get(f"/api/missions/{mission_id}")["board_id"]
        body = {"column_id": _column_id(server, there, column), "board_id": board_id}
        path = f"/api/missions/{mission_id}/move"
        _done(server, "PUT", path, body, "moved", as_json=as_json)


@app.command(epilog=EXIT_CODES)
def progress(
    mission_id: MissionArgument,
    percent: Annotated[int, typer.Argument(min=0, max=100, help="How far it is.")],
    lease_token: LeaseOption,
    note: Annotated[str | None, typer.Option(help="What is being done.")] = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say how far the work is, as the agent that holds the lease."""
    body = {"lease_token": lease_token, "percent": percent, "note": note}
    with connected(url, key) as server:
        path = f"/api/missions/{mission_id}/progress"
        _done(server, "POST", path, body, f"at {percent} %", as_json=as_json)


@app.command(epilog=EXIT_CODES)
def submit(
    mission_id: MissionArgument,
    summary: Annotated[str, typer.Argument(help="What came out.")],
    lease_token: LeaseOption,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hand the work in for review, as the agent that holds the lease."""
    body = {"lease_token": lease_token, "summary": summary}
    with connected(url, key) as server:
        path = f"/api/missions/{mission_id}/submit"
        _done(server, "POST", path, body, "submitted", as_json=as_json)


@app.command(epilog=EXIT_CODES)
def approve(
    mission_id: MissionArgument,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Accept submitted work."""
    with connected(url, key) as server:
        path = f"/api/missions/{mission_id}/approve"
        _done(server, "POST", path, None, "approved", as_json=as_json)


def _done(
    server: Server, method: Literal["POST", "PUT"], path: str, body: Json | None, what: str,
    *, as_json: bool,
) -> None:  # fmt: skip
    answer = server.json(server.command(method, path, body))
    if as_json:
        print_json(answer)
    else:
        screen().print(f"{what} {answer['id']} at position {answer['position']}", soft_wrap=True)


def _column_id(server: Server, board_id: str | None, column: str) -> str:
    if is_id(column):
        return column
    columns = server.get("/api/missions/board", board_id=board_id)["columns"]
    for one in columns:
        if one["name"].casefold() == column.casefold():
            return str(one["id"])
    known = ", ".join(clean(one["name"]) for one in columns)
    raise Failed(f"no column is named {clean(column)}; there are {known}", MISUSED)


def _row(mission: Json, names: Names) -> list[str | Text]:
    stage, priority = mission["stage"], mission["priority"]
    who = mission["holder"] or next(iter(mission["assignees"]), None)
    title = Text(clean(mission["title"]), style="bold")
    if mission["blocked_reason"] or mission["unmet_dependencies"]:
        title = Text("⊘ ", style="red") + title
    return [
        mission["id"],
        Text(stage, style=STAGE_STYLES.get(stage, "")),
        Text(priority, style=PRIORITY_STYLES.get(priority, "")),
        f"{mission['progress_percent']}%",
        names.actor(who) if who else "",
        age(moment(mission["updated_at"])),
        title,
    ]


def _values(mission: Json, names: Names) -> list[tuple[str, str | Text]]:
    stage, priority = mission["stage"], mission["priority"]
    column = names.column(mission["column_id"], mission["board_id"])
    waits = ", ".join(names.mission(one) for one in mission["unmet_dependencies"])
    return [
        ("id", mission["id"]),
        ("title", Text(clean(mission["title"]), style="bold")),
        ("column", Text(f"{column} ({stage})", style=STAGE_STYLES.get(stage, ""))),
        ("priority", Text(priority, style=PRIORITY_STYLES.get(priority, ""))),
        ("labels", clean(", ".join(mission["labels"]))),
        ("capabilities", clean(", ".join(mission["required_capabilities"]))),
        ("due", _time(mission["due"])),
        ("assignees", ", ".join(names.actor(one) for one in mission["assignees"])),
        ("held by", names.actor(mission["holder"]) if mission["holder"] else ""),
        ("progress", f"{mission['progress_percent']} %"),
        ("note", clean(mission["progress_note"] or "")),
        ("blocked", Text(clean(mission["blocked_reason"] or ""), style="red")),
        ("sent back", Text(clean(mission["sent_back_reason"] or ""), style="yellow")),
        ("waits for", waits),
        ("summary", clean(mission["summary"] or "")),
        ("created", f"{_time(mission['created_at'])} by {names.actor(mission['created_by'])}"),
        ("changed", _time(mission["updated_at"])),
        ("description", clean(mission["description"])),
    ]


def _time(text: str | None) -> str:
    return "" if text is None else f"{moment(text).astimezone():%Y-%m-%d %H:%M:%S}"


def _text(identifier: UUID | None) -> str | None:
    return None if identifier is None else str(identifier)
