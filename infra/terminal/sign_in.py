"""`mission-control sign-in` and `sign-out`: who the other commands act as, on this machine."""

import os
import sys
from typing import Annotated

import typer

from infra.terminal import kept
from infra.terminal.output import MISUSED, Failed, print_json, quiet_ends, screen
from infra.terminal.server import Away, JsonOption, Server, UrlOption, address, is_loopback

EmailOption = Annotated[
    str | None, typer.Option(envvar="MC_EMAIL", show_envvar=False, help="Your address (MC_EMAIL).")
]
WorkspaceOption = Annotated[
    str | None, typer.Option(help="The workspace, where you are in more than one.")
]


def sign_in(
    email: EmailOption = None,
    workspace: WorkspaceOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign in as a person. The password is asked for, or taken from MC_PASSWORD.

    The sign-in is kept in a file that only you can read, for 12 hours; its password is not.
    """
    with quiet_ends():
        server = Server(address(url))
        if server.url.startswith("http://") and not is_loopback(server.url):
            warning = f"mission-control: {server.url} is not encrypted: others may read along"
            screen(stderr=True).print(warning, style="yellow", soft_wrap=True)
        who = email or _ask("E-mail", "MC_EMAIL")
        password = os.environ.get("MC_PASSWORD") or _ask("Password", "MC_PASSWORD", hidden=True)
        with server.http:
            made = server.sign_in(who, password, workspace)
        kept.keep(server.url, made)
        if as_json:
            print_json({"url": server.url, "email": who, "kept_in": str(kept.kept_file())})
        else:
            screen().print(f"signed in to {server.url} as {who}", soft_wrap=True)


def sign_out(url: UrlOption = None, as_json: JsonOption = False) -> None:
    """End the sign-in that is kept for a server, there and here."""
    with quiet_ends():
        server = Server(address(url))
        found = kept.kept_for(server.url)
        kept.forget(server.url)
        if found is not None:
            with server.http:
                _end_there(server, found)
        if as_json:
            print_json({"url": server.url, "was_signed_in": found is not None})
        else:
            was = "signed out of" if found else "you were not signed in to"
            screen().print(f"{was} {server.url}", soft_wrap=True)


def _end_there(server: Server, found: kept.SignIn) -> None:
    try:
        server.sign_out(found)
    except Away as away:
        raise Failed(f"forgotten here, but the session there goes on: {away}") from None


def _ask(what: str, variable: str, *, hidden: bool = False) -> str:
    if not sys.stdin.isatty():
        raise Failed(f"there is no terminal to ask on: set {variable}", MISUSED)
    try:
        answer: str = typer.prompt(what, hide_input=hidden, err=True)
    except typer.Abort:
        raise KeyboardInterrupt from None
    return answer
