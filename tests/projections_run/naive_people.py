"""What comments, agents, people, members and activity must look like, folded by code of its own.

Each function takes a row, empty before the first event, and returns it after one more; only what it names is compared.
"""

from typing import Any
from uuid import UUID

Row = dict[str, Any]
HOUSEKEEPING = {"mission.reranked.v1"}
LIFECYCLE = {"activated": "active", "deactivated": "inactive", "retired": "retired"}
PRESENCE = {
    "came_online": "available", "became_available": "available", "went_busy": "busy",
    "went_offline": "offline", "retired": "offline",
}  # fmt: skip
# What an event is about is its stream, or is named in its data.
ABOUT = {"mission_id": "mission", "board_id": "board", "agent_id": "agent", "comment_id": "comment"}


def comment(row: Row, name: str, data: Row, event: Row) -> Row:
    if name == "added":
        row = {
            "author_id": data["author_id"], "author_kind": event["actor_kind"],
            "mission_id": data["mission_id"], "parent_id": data["parent_id"],
            "thread_id": data["parent_id"] or event["stream_id"], "position": event["position"],
            "created_at": event["recorded_at"], "edited": False, "removed": False,
        }  # fmt: skip
    row["edited"] |= name == "edited"
    row["removed"] |= name == "removed"
    said = {"body": data.get("body"), "mentions": data.get("mentions", [])}
    return {**row, **said, "board_id": data["board_id"], "updated_at": event["recorded_at"]}


def agent(row: Row, name: str, data: Row, event: Row) -> Row:
    if name == "registered":
        row = {
            "owner_id": data["owner_id"], "created_at": event["recorded_at"], "keys": [],
            "lifecycle": "active", "presence": "offline",
        }  # fmt: skip
    if name in ("registered", "updated"):
        row |= {key: data[key] for key in ("name", "role", "capabilities", "config")}
    row["lifecycle"] = LIFECYCLE.get(name, row["lifecycle"])
    row["presence"] = PRESENCE.get(name, row["presence"])
    return {**row, "updated_at": event["recorded_at"]}


def person(row: Row, name: str, data: Row, event: Row) -> Row:
    if name == "registered":
        row = {"email": data["email"], "disabled": False, "created_at": event["recorded_at"]}
    if name in ("registered", "profile_changed"):
        row["name"] = data["name"]
    row["disabled"] |= name == "disabled"
    return {**row, "updated_at": event["recorded_at"]}


def member(row: Row, name: str, data: Row, event: Row) -> Row:
    if name == "member_added":
        row = {"joined_at": event["recorded_at"], "removed": False}
    row["removed"] |= name == "member_removed"
    return {**row, "role": data.get("role", row.get("role"))}


def activity(event: Row) -> Row:
    noun, name, _ = event["type"].split(".")
    data = event["data"]
    about = {
        key: event["stream_id"] if of == noun else data.get(key)
        for key, of in ABOUT.items()
        if key != "comment_id" or of == noun
    }
    about.setdefault("comment_id", None)
    if event["actor_kind"] == "agent" and about["agent_id"] is None:
        about["agent_id"] = event["actor_id"]
    same = ("position", "type", "recorded_at", "actor_kind", "actor_id", "stream_id")
    return {
        **about,
        **{key: event[key] for key in same},
        "version": event["stream_version"],
        "subject_id": data.get("assignee_id") or data.get("user_id"),
        "admin_only": noun == "system" or name.startswith("key_"),
    }


ROWS = {"comment": ("comments", comment), "agent": ("agents", agent), "user": ("people", person)}


def fold(events: list[Row]) -> dict[str, dict[str, Row]]:
    """Fold events (position order, personal texts opened) into `{"comments": {id: row}, …}`."""
    found: dict[str, dict[str, Row]] = {
        name: {} for name in ("comments", "agents", "people", "members", "activity")
    }
    for event in events:
        noun, name, _ = event["type"].split(".")
        data, seen = event["data"], {"version": event["stream_version"]}
        if event["type"] not in HOUSEKEEPING:
            found["activity"][event["event_id"]] = activity(event)
        if noun in ROWS:
            model, function = ROWS[noun]
            row = found[model].get(event["stream_id"], {})
            found[model][event["stream_id"]] = function(row, name, data, event) | seen
        if noun == "workspace" and "user_id" in data:
            row = found["members"].get(data["user_id"], {})
            found["members"][data["user_id"]] = member(row, name, data, event) | seen
    return found


EVENTS = """
SELECT json_build_object('position', position, 'event_id', event_id, 'stream_id', stream_id,
    'stream_version', stream_version, 'type', type, 'recorded_at', recorded_at, 'actor_kind', actor_kind,
    'actor_id', actor_id, 'data', data) FROM events ORDER BY position"""


async def differences(world: Any) -> list[str]:
    """Return where these read models differ from the naive fold of the whole log, in sentences."""
    events = [event for (event,) in await world.query(EVENTS)]
    vault = world.bus.tools.vault
    await vault.load({UUID(e["stream_id"]) for e in events} | {UUID(e["actor_id"]) for e in events})
    for event in events:
        event["data"] = vault.open_event(event["type"], event["data"], UUID(event["stream_id"]))
    found = []
    for model, expected in fold(events).items():
        stored = await world.query(f"SELECT row_to_json(r) FROM read_{model} r")
        rows = {row["id"]: row for (row,) in stored}
        if rows.keys() != expected.keys():
            found.append(f"{len(rows)} {model} where {len(expected)} are expected")
        found += [
            f"{model} {key}: {field} is {rows[key][field]}, not {value}"
            for key, row in expected.items()
            if key in rows
            for field, value in row.items()
            if rows[key][field] != value
        ]
    return found
