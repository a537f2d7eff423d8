"""The guards' tables: load the rows that a batch needs, write back those that it changed."""

import dataclasses
from collections.abc import Iterable
from typing import Any

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

_IDS = "(SELECT value::uuid FROM json_array_elements_text(%(keys)s::json->'{}'))"
_TOUCHED_MISSIONS = f"""
    SELECT mission_id FROM guard_missions WHERE mission_id IN {_IDS.format("missions")}
    UNION SELECT mission_id FROM guard_dependencies
        WHERE depends_on_id IN {_IDS.format("dependents_of")}"""
# One query per table that the batch needs, each giving an array of rows.
LOADS: dict[str, tuple[str, ...]] = {
    "guard_missions": (f"SELECT * FROM guard_missions WHERE mission_id IN ({_TOUCHED_MISSIONS})",),
    "guard_columns": (
        f"""SELECT * FROM guard_columns WHERE column_id IN {_IDS.format("columns")}
        OR column_id IN (SELECT column_id FROM guard_missions
            WHERE mission_id IN {_IDS.format("missions")})""",
    ),
    "guard_dependencies": (
        f"""WITH RECURSIVE reached (id) AS (
            SELECT value::uuid FROM json_array_elements_text(%(keys)s::json->'closure_of')
            UNION SELECT d.depends_on_id FROM guard_dependencies d JOIN reached ON d.mission_id = reached.id)
        SELECT * FROM guard_dependencies WHERE mission_id IN (SELECT id FROM reached)
        UNION SELECT * FROM guard_dependencies WHERE depends_on_id IN {_IDS.format("dependents_of")}
            OR mission_id IN {_IDS.format("dependents_of")}""",
    ),
    "guard_agents": (f"SELECT * FROM guard_agents WHERE agent_id IN {_IDS.format('agents')}",),
    "guard_members": (f"SELECT * FROM guard_members WHERE user_id IN {_IDS.format('members')}",),
    "guard_names": (
        f"""SELECT * FROM guard_names WHERE owner_id IN {_IDS.format("owned_names")}
        OR (workspace_id, kind, name_key) IN (SELECT (n->>0)::uuid, n->>1, n->>2
            FROM json_array_elements(%(keys)s::json->'names') n)""",
    ),
    "guard_workspaces": (
        """SELECT * FROM guard_workspaces WHERE name_key IN
        (SELECT value FROM json_array_elements_text(%(keys)s::json->'workspace_names'))""",
    ),
}


def tables_needed(needs: Needs) -> list[str]:
    """Return which guard tables hold rows that these needs ask for."""
    wanted = {
        "guard_missions": needs.missions or needs.dependents_of,
        "guard_columns": needs.columns or needs.missions,
        "guard_dependencies": needs.closure_of or needs.dependents_of,
        "guard_agents": needs.agents,
        "guard_members": needs.members,
        "guard_names": needs.names or needs.owned_names,
        "guard_workspaces": needs.workspace_names,
    }
    return [table for table, keys in wanted.items() if keys]


def load_query(tables: Iterable[str]) -> str:
    """Return an SQL expression: a JSON object of the rows of each table, by table."""
    parts = [
        f"'{table}', (SELECT coalesce(json_agg(r), '[]') FROM ({LOADS[table][0]}) r)"
        for table in tables
    ]
    return f"json_build_object({', '.join(parts)})"


def keys_of(needs: Needs) -> dict[str, list[Any]]:
    """Return the needs as the JSON that `load_query` reads."""
    return {field.name: list(getattr(needs, field.name)) for field in dataclasses.fields(needs)}


def read_rows(document: dict[str, Any]) -> list[Row]:
    """Return the loaded rows, typed."""
    return [
        msgspec.convert(row, ROWS_BY_TABLE[table], strict=False)
        for table, rows in document.items()
        for row in rows
    ]


def writes(state: GuardState) -> Iterable[tuple[str, str]]:
    """Yield a statement and its JSON parameter for each table that the batch changed."""
    upserts: dict[str, list[Row]] = {}
    deletes: dict[str, list[dict[str, Any]]] = {}
    for key, row in state.changes():
        table = TABLE_OF[key[0]]
        if row is not None:
            upserts.setdefault(table, []).append(row)
        else:
            deletes.setdefault(table, []).append(_key_columns(table, key))
    for table, keys in deletes.items():
        yield DELETE[table], msgspec.json.encode(keys).decode()
    for table, rows in upserts.items():
        yield UPSERT[table], msgspec.json.encode(rows).decode()


def _key_columns(table: str, key: Key) -> dict[str, Any]:
    names = PRIMARY_KEYS[table]
    values = key[1] if isinstance(key[1], tuple) else (key[1],)
    return dict(zip(names, values, strict=True))


def _upsert(table: str) -> str:
    keys = PRIMARY_KEYS[table]
    columns = [field.name for field in dataclasses.fields(ROWS_BY_TABLE[table])]
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in keys)
    action = f"UPDATE SET {changes}" if changes else "NOTHING"
    names = ", ".join(columns)
    return (
        f"INSERT INTO {table} ({names}) SELECT {names} FROM json_populate_recordset(NULL::{table}, %s)"
        f" ON CONFLICT ({', '.join(keys)}) DO {action}"
    )


def _delete(table: str) -> str:
    match = " AND ".join(f"t.{name} = k.{name}" for name in PRIMARY_KEYS[table])
    return f"DELETE FROM {table} t USING json_populate_recordset(NULL::{table}, %s) k WHERE {match}"


UPSERT = {table: _upsert(table) for table in ROWS_BY_TABLE}
DELETE = {table: _delete(table) for table in ROWS_BY_TABLE}
