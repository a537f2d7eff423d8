"""What a body is said to be: where one is expected it is JSON, and its content type says so."""

from collections.abc import Iterable
from email.message import Message

from fastapi import Request
from fastapi.routing import APIRoute

from domain.base import Refusal
from infra.http.principal import authorise


class UnsupportedMediaType(Refusal):
    """A body of a type that is not read here (415)."""

    code = "unsupported_media_type"


class OnlyJson:
    """A router's dependency: refuses a body that is no JSON by its type, where one is expected."""

    def __init__(self, routes: Iterable[APIRoute]) -> None:
        self._expecting = {route.endpoint for route in routes if route.dependant.body_params}

    async def __call__(self, request: Request) -> None:
        """Let requests pass whose body can be read, or that have none; raises `UnsupportedMediaType`."""
        scope = request.scope
        if scope["endpoint"] not in self._expecting or not await request.body():
            return
        if _is_json(request.headers.get("content-type", "")):
            return
        # As with any other fault, who may not ask at all is told that and no more.
        await authorise(scope["route"], request)
        raise UnsupportedMediaType(
            "a body is JSON, and has to say so: application/json", field="content-type"
        )


def _is_json(content_type: str) -> bool:
    # As FastAPI reads it, which takes a body of any other type for a text.
    message = Message()
    message["content-type"] = content_type
    subtype = message.get_content_subtype()
    return message.get_content_maintype() == "application" and (
        subtype == "json" or subtype.endswith("+json")
    )
