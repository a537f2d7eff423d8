"""`mission-control agents`: look at agents and register them."""

from typing import Annotated, Literal
from uuid import UUID

import typer
from rich.text import Text

from infra.terminal.names import Names
from infra.terminal.output import EXIT_CODES, Json, clean, print_json, print_rows, print_values
from infra.terminal.server import (
    ROWS_MAX,
    AsOfOption,
    JsonOption,
    KeyOption,
    UrlOption,
    as_it_was,
    connected,
)

app = typer.Typer(help="Agents of a running server.", no_args_is_help=True)

COLUMNS = ("id", "lifecycle", "presence", "capabilities", "role", "name")
PRESENCE_STYLES = {"available": "green", "busy": "cyan", "offline": "dim"}


@app.command("list", epilog=EXIT_CODES)
def list_(
    lifecycle: Annotated[
        Literal["active", "inactive", "retired"] | None, typer.Option(help="Only such ones.")
    ] = None,
    presence: Annotated[
        Literal["available", "busy", "offline"] | None, typer.Option(help="Only such ones.")
    ] = None,
    sort: Annotated[
        str | None, typer.Option(help="By this field; -field for the other way round.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=ROWS_MAX, help="How many at most.")] = 50,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List agents."""
    with connected(url, key) as server:
        found = server.rows("/api/agents", limit, lifecycle=lifecycle, presence=presence, sort=sort)
        if as_json:
            print_json(found)
            return
        print_rows(COLUMNS, [_row(agent) for agent in found["items"]])


@app.command(epilog=EXIT_CODES)
def show(
    agent_id: Annotated[UUID, typer.Argument(metavar="AGENT", help="The agent's id.")],
    as_of: AsOfOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show an agent in full, as it is or as it was."""
    with connected(url, key) as server:
        agent = as_it_was(server.get(f"/api/agents/{agent_id}", as_of=as_of), as_of)
        if as_json:
            print_json(agent)
            return
        row = _row(agent)
        owner = Names(server).actor(agent["owner_id"])
        print_values([
            *zip(COLUMNS, row, strict=True),
            ("owner", owner),
        ])  # fmt: skip


@app.command(epilog=EXIT_CODES)
def create(
    name: Annotated[str, typer.Argument(help="What it is called; unique in the workspace.")],
    role: Annotated[str, typer.Option(help="What it is for.")] = "",
    capability: Annotated[
        list[str] | None, typer.Option(help="What it is able to do; may be repeated.")
    ] = None,
    with_key: Annotated[
        bool, typer.Option("--with-key", help="Make a key for it as well. It is shown once.")
    ] = False,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Register an agent; it may work at once."""
    with connected(url, key) as server:
        body: Json = {"name": name, "role": role, "capabilities": capability or []}
        made = server.json(server.command("POST", "/api/agents", body))
        if with_key:
            issued = server.json(server.command("POST", f"/api/agents/{made['id']}/keys", {}))
            made = {**issued, "id": made["id"]}
        if as_json:
            print_json(made)
        else:
            print_values([("id", made["id"]), ("key", made.get("key", ""))])


def _row(agent: Json) -> list[str | Text]:
    presence = agent.get("presence") or "offline"
    return [
        agent["id"],
        agent["lifecycle"],
        Text(presence, style=PRESENCE_STYLES.get(presence, "")),
        clean(", ".join(agent["capabilities"])),
        clean(agent["role"]),
        Text(clean(agent["name"]), style="bold"),
    ]
