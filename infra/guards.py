"""The guards' tables: load the rows that a batch needs, write back those that it changed."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import msgspec

from domain import guards
from domain.guards import GuardState, Key, Needs, Row

ROWS_BY_TABLE: dict[str, type[Any]] = {
    "guard_workspaces": guards.WorkspaceRow,
    "guard_names": guards.NameRow,
    "guard_columns": guards.ColumnRow,
    "guard_missions": guards.MissionRow,
    "guard_dependencies": guards.DependencyRow,
    "guard_agents": guards.AgentRow,
    "guard_members": guards.MemberRow,
    "leases": guards.LeaseRow,
}
PRIMARY_KEYS: dict[str, tuple[str, ...]] = {
    "guard_workspaces": ("workspace_id",),
    "guard_names": ("workspace_id", "kind", "name_key"),
    "guard_columns": ("column_id",),
    "guard_missions": ("mission_id",),
    "guard_dependencies": ("mission_id", "depends_on_id"),
    "guard_agents": ("agent_id",),
    "guard_members": ("user_id",),
    "leases": ("mission_id",),
}
TABLE_OF = {row: table for table, row in ROWS_BY_TABLE.items()}

_TOUCHED_MISSIONS = """
    SELECT unnest(%(missions)s::uuid[])
    UNION SELECT mission_id FROM guard_dependencies WHERE depends_on_id = ANY (%(dependents_of)s::uuid[])"""
# One query per table that the batch needs, each giving an array of rows.
LOADS: dict[str, str] = {
    "guard_missions": f"SELECT * FROM guard_missions WHERE mission_id IN ({_TOUCHED_MISSIONS})",
    "guard_columns": """
        SELECT * FROM guard_columns WHERE column_id IN (SELECT unnest(%(columns)s::uuid[])
            UNION SELECT column_id FROM guard_missions WHERE mission_id = ANY (%(missions)s::uuid[]))""",
    "guard_dependencies": """
        WITH RECURSIVE reached (id) AS (
            SELECT unnest(%(closure_of)s::uuid[])
            UNION SELECT d.depends_on_id FROM guard_dependencies d JOIN reached ON d.mission_id = reached.id)
        SELECT * FROM guard_dependencies WHERE mission_id IN (SELECT id FROM reached)
        UNION SELECT * FROM guard_dependencies WHERE depends_on_id = ANY (%(dependents_of)s::uuid[])
        UNION SELECT * FROM guard_dependencies WHERE mission_id = ANY (%(dependents_of)s::uuid[])""",
    "guard_agents": "SELECT * FROM guard_agents WHERE agent_id = ANY (%(agents)s::uuid[])",
    "guard_members": "SELECT * FROM guard_members WHERE user_id = ANY (%(members)s::uuid[])"
    " OR (workspace_id = ANY (%(admins_of)s::uuid[]) AND role = 'admin')",
    "guard_names": """
        SELECT * FROM guard_names WHERE owner_id = ANY (%(owned_names)s::uuid[])
        UNION SELECT g.* FROM json_array_elements(%(names)s::json) n JOIN guard_names g
            ON (g.workspace_id, g.kind, g.name_key) = ((n->>0)::uuid, n->>1, n->>2)""",
    "guard_workspaces": """
        SELECT * FROM guard_workspaces
        WHERE name_key IN (SELECT json_array_elements_text(%(workspace_names)s::json))""",
}


def tables_needed(needs: Needs) -> list[str]:
    """Return which guard tables hold rows that these needs ask for."""
    wanted = {
        "guard_missions": needs.missions or needs.dependents_of,
        "guard_columns": needs.columns or needs.missions,
        "guard_dependencies": needs.closure_of or needs.dependents_of,
        "guard_agents": needs.agents,
        "guard_members": needs.members or needs.admins_of,
        "guard_names": needs.names or needs.owned_names,
        "guard_workspaces": needs.workspace_names,
    }
    return [table for table, keys in wanted.items() if keys]


def load_query(tables: Iterable[str]) -> str:
    """Return an SQL expression: a JSON object of the rows of each table, by table."""
    parts = [
        f"'{table}', (SELECT coalesce(json_agg(r), '[]') FROM ({LOADS[table]}) r)"
        for table in tables
    ]
    return f"json_build_object({', '.join(parts)})"


def keys_of(needs: Needs) -> dict[str, Any]:
    """Return the needs as the parameters of `load_query`."""
    keys = {field.name: getattr(needs, field.name) for field in dataclasses.fields(needs)}
    names = msgspec.json.encode(list(keys.pop("names"))).decode()
    workspace_names = msgspec.json.encode(list(keys.pop("workspace_names"))).decode()
    ids = {name: id_array(values) for name, values in keys.items()}
    return {**ids, "names": names, "workspace_names": workspace_names}


def id_array(ids: Iterable[UUID]) -> str:
    """Return ids as PostgreSQL writes an array, which is many times quicker than psycopg's way."""
    return f"{{{','.join(map(str, ids))}}}"


def read_rows(document: Mapping[str, msgspec.Raw]) -> list[Row]:
    """Return the loaded rows, typed."""
    return [row for table, rows in document.items() for row in _DECODERS[table].decode(rows)]


def writes(state: GuardState) -> dict[str, str]:
    """Return what the batch changed: the names of statements in `WRITES`, with their JSON parameters."""
    changed: dict[str, list[Any]] = {}
    for key, row in state.changes():
        table = TABLE_OF[key[0]]
        if row is not None:
            changed.setdefault(f"put_{table}", []).append(row)
        else:
            changed.setdefault(f"delete_{table}", []).append(_key_columns(table, key))
    return {name: msgspec.json.encode(rows).decode() for name, rows in changed.items()}


def _key_columns(table: str, key: Key) -> dict[str, Any]:
    names = PRIMARY_KEYS[table]
    values = key[1] if isinstance(key[1], tuple) else (key[1],)
    return dict(zip(names, values, strict=True))


def _put(table: str) -> str:
    keys = PRIMARY_KEYS[table]
    columns = [field.name for field in dataclasses.fields(ROWS_BY_TABLE[table])]
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in keys)
    action = f"UPDATE SET {changes}" if changes else "NOTHING"
    names = ", ".join(columns)
    return (
        f"INSERT INTO {table} ({names})"
        f" SELECT {names} FROM json_populate_recordset(NULL::{table}, %(put_{table})s)"
        f" ON CONFLICT ({', '.join(keys)}) DO {action}"
    )


def _delete(table: str) -> str:
    match = " AND ".join(f"t.{name} = k.{name}" for name in PRIMARY_KEYS[table])
    rows = f"json_populate_recordset(NULL::{table}, %(delete_{table})s)"
    return f"DELETE FROM {table} t USING {rows} k WHERE {match}"


_DECODERS = {table: msgspec.json.Decoder(list[row]) for table, row in ROWS_BY_TABLE.items()}  # type: ignore[valid-type]
WRITES = {
    **{f"put_{table}": _put(table) for table in ROWS_BY_TABLE},
    **{f"delete_{table}": _delete(table) for table in ROWS_BY_TABLE},
}
