"""The first admin and workspace of an empty log."""

import secrets
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError
from uuid_utils.compat import uuid7

from commands.append import Actor, ActorKind, CommandMeta
from commands.bus import Bus, Context
from commands.workspaces import FoundWorkspace
from domain.base import InvalidValue
from infra.http.fields import Email
from infra.logging import log
from infra.passwords import (
    PASSWORD_LENGTH_MAX,
    PASSWORD_LENGTH_MIN,
    Passwords,
    is_common,
    normal,
)
from infra.settings import Settings, StartRefused

DEFAULT_WORKSPACE = "Mission Control"
DEFAULT_EMAIL = "admin@localhost"
EMAIL: TypeAdapter[str] = TypeAdapter(Email)


@dataclass(frozen=True)
class FirstAdmin:
    """Who may sign in first; `password` only where it was made up here, to be shown once."""

    email: str
    password: str | None


async def make_first_admin(bus: Bus, settings: Settings, passwords: Passwords) -> FirstAdmin:
    """Found the first workspace with its admin."""
    admin, password = first_admin(settings)
    try:
        await found(bus, passwords, DEFAULT_WORKSPACE, admin.email, password)
    except InvalidValue as refusal:
        raise StartRefused(f"MC_ADMIN_PASSWORD: {refusal.detail}") from None
    return admin


def first_admin(settings: Settings) -> tuple[FirstAdmin, str]:
    """Return who is to be the first admin, and the password; raises `StartRefused` where they could not sign in."""
    try:
        email = EMAIL.validate_python(settings.admin_email or DEFAULT_EMAIL)
    except ValidationError as error:
        raise StartRefused(f"MC_ADMIN_EMAIL: {error.errors()[0]['msg']}") from None
    made_up = None if settings.admin_password else secrets.token_urlsafe(18)
    password = settings.admin_password or made_up or ""
    if len(normal(password)) < PASSWORD_LENGTH_MIN:
        raise StartRefused(f"MC_ADMIN_PASSWORD: at least {PASSWORD_LENGTH_MIN} characters")
    if len(normal(password)) > PASSWORD_LENGTH_MAX:
        raise StartRefused(f"MC_ADMIN_PASSWORD: at most {PASSWORD_LENGTH_MAX} characters")
    if is_common(password):
        # Who starts the system decides; they should know.
        log.warning("MC_ADMIN_PASSWORD is among the first that are guessed")
    return FirstAdmin(email, made_up), password


async def found(bus: Bus, passwords: Passwords, name: str, email: str, password: str) -> None:
    """Found a workspace with one admin; raises `NameTaken` for a name that is in use."""
    user_id, workspace_id = uuid7(), uuid7()
    command = FoundWorkspace(
        workspace_id=workspace_id,
        name=name,
        admin_id=user_id,
        admin_email=email,
        admin_name=email.split("@", maxsplit=1)[0],
        password_hash=await passwords.hash(password),
    )
    meta = CommandMeta(uuid7(), workspace_id, Actor(ActorKind.SYSTEM, user_id), uuid7())
    await bus.execute(command, Context(meta))
