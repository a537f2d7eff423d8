"""`docs/events.md`, made from the event catalogue: `python -m infra.catalogue_page > docs/events.md`."""

from typing import Any
from uuid import UUID

from domain.catalogue import AGGREGATES, events_of
from infra.codec import data_fields

HEAD = """# Events

Made from the catalogue by `python -m infra.catalogue_page`; a test holds that they agree. An event type is never
changed: a new version is added, with an upcaster from the old one.

Every event has the same envelope: `log_id`, `position` (gapless), `event_id`, `workspace_id`, `prev` (the workspace's
previous position), `stream_id`, `stream_version`, `type`, `recorded_at`, `actor` (kind and id), `on_behalf_of`,
`command_id`, `correlation_id`, `causation_id`, `traceparent`, `data`. The tables below are `data`.
"""
NAMES = {str: "text", int: "integer", bool: "boolean", UUID: "id", type(None): "null"}


def page() -> str:
    """Return the page as Markdown."""
    parts = [HEAD]
    for topic, aggregate in AGGREGATES.items():
        summary = (aggregate.__doc__ or "").strip().splitlines()[0]
        parts.append(f"\n## {topic}\n\n{summary}\n\n| event | data |\n|---|---|")
        for name, kind in sorted(events_of(aggregate).items()):
            fields = ", ".join(f"`{f}` {describe(hint)}" for f, hint in data_fields(kind).items())
            parts.append(f"| `{name}` | {fields or 'nothing'} |")
    return "\n".join(parts) + "\n"


def describe(hint: Any) -> str:
    """Return a type in words."""
    if hint in NAMES:
        return NAMES[hint]
    arguments = getattr(hint, "__args__", ())
    names = [describe(argument) for argument in arguments if argument is not Ellipsis]
    origin = getattr(hint, "__origin__", None)
    if origin is tuple:
        return f"list of {names[0]}"
    if origin is dict:
        return "object"
    if arguments:
        return " or ".join(names)
    return "any" if hint is Any else hint.__name__.lower()


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201 - this is what it is for
