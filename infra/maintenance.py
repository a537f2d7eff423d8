"""What an operator does now and then."""

import secrets
from typing import Any

import psycopg
from pydantic import ValidationError

from domain.base import Refusal
from infra.command_bus import write_side
from infra.data_dir import write_private
from infra.deployment import check_root_key
from infra.first_start import found
from infra.http.fields import Body, Email, Line
from infra.passwords import Passwords
from infra.postgres import SYSTEM_OPTIONS, Database
from infra.settings import Settings, StartRefused
from infra.vault import RootKey, finish_rotation, new_key_file, root_key, rotate_root


class _NewWorkspace(Body):
    """As people may write it over HTTP: where they sign in, a name is a line."""

    name: Line
    admin_email: Email


async def create_workspace(
    settings: Settings, dsn: str, name: str, admin_email: str
) -> dict[str, Any]:
    """Found a workspace; return its name, its admin and the password that is shown once."""
    try:
        asked = _NewWorkspace(name=name, admin_email=admin_email)
    except ValidationError as error:
        (wrong, *_) = error.errors()
        raise StartRefused(f"{wrong['loc'][0]}: {wrong['msg']}") from None
    password = secrets.token_urlsafe(18)
    async with write_side(settings, dsn) as bus:
        try:
            await found(bus, Passwords(), asked.name, asked.admin_email, password)
        except Refusal as refusal:
            raise StartRefused(refusal.detail) from None
    return {"workspace": asked.name, "admin": asked.admin_email, "password": password}


async def workspace_names(dsn: str) -> list[str]:
    """Return the names of all workspaces, the first one first."""
    async with Database(dsn) as database, database.system() as connection:
        cursor = await connection.execute("SELECT name FROM guard_workspaces ORDER BY workspace_id")
        return [row[0] for row in await cursor.fetchall()]


async def rotate_root_key(settings: Settings, dsn: str) -> dict[str, Any]:
    """Replace the root key in the data directory; the old one stays beside it until all is wrapped.

    Raises `StartRefused` where the old one is missing or another: nothing is written then.
    """
    if settings.root_key:
        raise StartRefused(
            "MC_ROOT_KEY is set: rotate where that key is kept, with MC_ROOT_KEY unset here"
        )
    file = settings.root_key_file
    async with Database(dsn) as database:
        await finish_rotation(database, file)
        with psycopg.connect(dsn, options=SYSTEM_OPTIONS) as connection:
            check_root_key(settings, connection)
        old, new = root_key(None, file), RootKey.new()
        write_private(new_key_file(file), new.text())
        count = await rotate_root(database, old, new)
        await finish_rotation(database, file)
    return {"workspaces": count}
