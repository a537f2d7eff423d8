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
FOLD = """
## What a fold has to know

Beyond what the names say (`projections/` are these folds, as tables of pure functions):

- A thing's version is the `stream_version` of its newest event, whatever that changed. Texts about a person
  (`sealed`) are opened on the way out, and null when their key was destroyed.
- An event of a mission with `column_id`, `stage` and `rank` tells where the card stands from now on. Cards, and
  columns, are in the order of `rank`, by bytes, then of the id.
- `mission.created` in the stage `done` is completed from the first.
- `mission.claimed`: the holder is `agent_id`, the lease's token is the event's own `stream_version`, and progress is
  0 again, without a note. What was reported before stays until then.
- `mission.lease_expired`, `released`, `submitted`, `failed` and `deleted` end a lease; so does `moved` where
  `column_id` differs from `from_column_id` (`ended_lease` is its token then). `reranked`, and `moved` within a
  column, do not.
- `mission.completed` sets progress to 100, and there is no reason any more why it was sent back. It follows
  `approved`, and a `moved` from another stage into `done`; these two alone complete nothing. A `moved` out of `done`
  is followed by `reopened`, which takes back that it is completed, who submitted it and the summary, and leaves
  progress as it is.
- `mission.submitted` keeps `agent_id` as who submitted, and `summary`, and clears why it was sent back. `rejected`
  clears the first two, and its `reason` is why it was sent back.
- `mission.failed` counts one failure more; the third is followed by `blocked`, unless it is blocked already.
  `unblocked` sets them to 0.
- `mission.edited` and `agent.updated` have the whole new content; `changed` only names what differs. So `moved` to
  another board has the whole `card`, but for who created it, the note of its progress, and why it was sent back;
  within a board `card` is null.
- `mission.dependency_added` with `met` false waits for that mission; `dependency_met` and `dependency_unmet` change
  this, and name the same dependency.
- A mission or comment that was removed stays as a tombstone; a comment has no body and no mentions then. A thread is
  the comment without `parent_id` and those that name it.
- `agent.registered` is active and offline. `came_online` and `became_available` both mean available. `retired` is
  offline as well, and has no keys any more.
"""
NAMES = {str: "text", int: "integer", bool: "boolean", UUID: "id", type(None): "null"}


def page() -> str:
    """Return the page as Markdown."""
    parts = [HEAD, FOLD]
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
