"""What missions and boards must look like, folded from raw rows of the log by code of its own."""

from typing import Any

PLACE = ("board_id", "column_id", "stage", "rank")
SETS: dict[str, dict[str, Any]] = {
    "claimed": {"progress_percent": 0, "progress_note": None},
    "rejected": {"submitted_by": None, "summary": None},
    "reopened": {"submitted_by": None, "summary": None, "completed": False},
    "completed": {"completed": True, "progress_percent": 100},
    "unblocked": {"blocked_reason": None, "failures": 0},
    "deleted": {"deleted": True},
}
ENDS_LEASE = {"lease_expired", "released", "submitted", "failed"}


def fold(events: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Fold events (position order) into `{"missions": {id: …}, "boards": {id: …}}`."""
    found: dict[str, dict[str, dict[str, Any]]] = {"missions": {}, "boards": {}}
    for event in events:
        noun, name, _ = event["type"].split(".")
        if noun == "mission":
            state = found["missions"].setdefault(event["stream_id"], {"id": event["stream_id"]})
            mission(state, name, event["data"], event)
        elif noun == "board":
            state = found["boards"].setdefault(event["stream_id"], {"id": event["stream_id"]})
            board(state, name, event["data"])
        else:
            continue
        state["version"] = event["stream_version"]
    return found


def mission(m: dict[str, Any], name: str, data: dict[str, Any], event: dict[str, Any]) -> None:
    if name == "created":
        m.update(
            holder=None, lease_token=None, progress_percent=0, progress_note=None, dependencies=set(),
            unmet_dependencies=set(), blocked_reason=None, failures=0, submitted_by=None, summary=None,
            completed=data["stage"] == "done", deleted=False, assignees=list(data["assignees"]),
        )  # fmt: skip
    left_column = name == "moved" and data["column_id"] != data["from_column_id"]
    if name in ENDS_LEASE or name == "deleted" or left_column:
        m["holder"] = m["lease_token"] = None
    if "column_id" in data and "rank" in data:
        m.update({key: data[key] for key in PLACE})
    if "content" in data:
        m.update(data["content"])
    m.update(SETS.get(name, {}))
    work(m, name, data, event)
    assignment(m, name, data)


def work(m: dict[str, Any], name: str, data: dict[str, Any], event: dict[str, Any]) -> None:
    if name == "claimed":
        m.update(holder=data["agent_id"], lease_token=event["stream_version"])
    if name == "progressed":
        m.update(progress_percent=data["percent"], progress_note=data["note"])
    if name == "submitted":
        m.update(submitted_by=data["agent_id"], summary=data["summary"])
    if name == "failed":
        m["failures"] += 1
    if name == "blocked":
        m["blocked_reason"] = data["reason"]


def assignment(m: dict[str, Any], name: str, data: dict[str, Any]) -> None:
    if name == "assigned":
        m["assignees"] = [*m["assignees"], data["assignee_id"]]
    if name == "unassigned":
        m["assignees"] = [a for a in m["assignees"] if a != data["assignee_id"]]
    other = data.get("depends_on_id")
    if name == "dependency_added":
        m["dependencies"] |= {other}
    if name == "dependency_removed":
        m["dependencies"] -= {other}
    if name == "dependency_unmet" or (name == "dependency_added" and not data["met"]):
        m["unmet_dependencies"] |= {other}
    if name in ("dependency_removed", "dependency_met"):
        m["unmet_dependencies"] -= {other}


def board(b: dict[str, Any], name: str, data: dict[str, Any]) -> None:
    if name == "created":
        b.update(name=data["name"], columns={c["id"]: dict(c) for c in data["columns"]})
    elif name == "renamed":
        b["name"] = data["name"]
    elif name == "column_added":
        b["columns"][data["column"]["id"]] = dict(data["column"])
    elif name == "column_removed":
        del b["columns"][data["column_id"]]
    else:
        changed = {key: data[key] for key in ("name", "rank", "wip_limit") if key in data}
        b["columns"][data["column_id"]].update(changed)


def same(kind: str, row: dict[str, Any], state: dict[str, Any]) -> bool:
    """Tell whether a row says what the naive fold says."""
    if kind == "boards":
        columns = sorted(state["columns"].values(), key=lambda c: c["rank"])
        return row["columns"] == columns and all(row[k] == state[k] for k in ("name", "version"))
    sets = ("dependencies", "unmet_dependencies")
    plain = {key: value for key, value in state.items() if key not in {*sets, "due"}}
    return all(row[key] == value for key, value in plain.items()) and all(
        set(row[key]) == state[key] for key in sets
    )


EVENTS = """
SELECT json_build_object('position', position, 'stream_id', stream_id, 'stream_version', stream_version,
    'type', type, 'data', data) FROM events ORDER BY position"""


async def differences(world: Any) -> list[str]:
    """Return where read models differ from the naive fold of the whole log, in sentences."""
    expected = fold([row for (row,) in await world.query(EVENTS)])
    found: list[str] = []
    for kind, table in (("missions", "read_missions"), ("boards", "read_boards")):
        stored = await world.query(f"SELECT row_to_json(r) FROM {table} r")
        rows = {row["id"]: row for (row,) in stored}
        if rows.keys() != expected[kind].keys():
            found.append(f"{len(rows)} {kind} where {len(expected[kind])} are expected")
        found += [
            f"{kind} {key}: {rows[key]} is not {state}"
            for key, state in expected[kind].items()
            if key in rows and not same(kind, rows[key], state)
        ]
    return found
