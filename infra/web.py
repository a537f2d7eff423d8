"""What is served over HTTP: every role's routes, and the API's description."""

import json
from collections.abc import Sequence
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute

from commands.routes import agents, auth, boards, comments, members, missions
from infra.http import problems
from infra.http.bodies import OnlyJson
from infra.http.openapi import complete, refusals
from infra.http.queries import OnlyDeclared
from infra.roles import ALL, Role
from read_api import activity, analytics, events, health, inbox, metrics, presence, search
from read_api import agents as agent_queries
from read_api import boards as board_queries
from read_api import comments as comment_queries
from read_api import members as member_queries
from read_api import missions as mission_queries
from read_api import telemetry as telemetry_queries
from streams import sse
from streams.sockets import live_socket

COMMANDS = (missions, agents, boards, comments, members, auth)
QUERIES = (
    mission_queries, events, agent_queries, presence, board_queries, comment_queries,
    member_queries, activity, inbox, search, analytics, telemetry_queries,
)  # fmt: skip
"""In the order of how often they are asked: each request tries them in turn."""
ROUTERS: dict[Role, Sequence[Any]] = {
    Role.COMMANDS: COMMANDS,
    Role.QUERIES: QUERIES,
    Role.LIVE: (auth, sse),
}
PROBES = (health, metrics)
"""Of every process. What asks them may add parameters of its own, which change nothing."""


class Api(FastAPI):
    """An app whose document also tells what comes back."""

    described: Sequence[APIRoute] = ()

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document, made when it is first asked for."""
        if self.openapi_schema is None:
            complete(super().openapi(), self.described)
        return super().openapi()


def web_app(roles: frozenset[Role] = ALL) -> FastAPI:
    """Return the routes of these roles without anything behind them: enough to describe the API."""
    app = Api(
        title="Mission Control",
        version="0.1.0",
        description="Missions that people and agents work together, on a log that can be replayed.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,  # to wherever the Host header says
        responses={"default": {"description": "A problem"}},  # in place of FastAPI's own 422
    )
    app.described = routes(roles)
    problems.install(app, app.described)
    strictly = [Depends(OnlyDeclared(app.described)), Depends(OnlyJson(app.described))]
    for module in _served(roles):
        app.include_router(module.router, dependencies=strictly, responses=refusals(422))
    for module in PROBES:
        app.include_router(module.router)
    if Role.LIVE in roles:
        app.add_api_websocket_route("/ws", live_socket)
    return app


def routes(roles: frozenset[Role] = ALL) -> list[APIRoute]:
    """Return every route of the API that these roles serve."""
    return [
        route
        for module in (*_served(roles), *PROBES)
        for route in module.router.routes
        if isinstance(route, APIRoute)
    ]


def _served(roles: frozenset[Role]) -> list[Any]:
    return list(
        dict.fromkeys(module for role in ROUTERS if role in roles for module in ROUTERS[role])
    )


if __name__ == "__main__":
    # For whoever makes a client: the OpenAPI document of the whole system.
    print(json.dumps(web_app().openapi(), indent=1))  # noqa: T201
