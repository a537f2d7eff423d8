"""Sealing, the key hierarchy and its rotation (security test 24)."""

import base64
import json
import stat
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from domain.base import Sealed
from domain.catalogue import EVENTS
from infra.codec import EventCodec
from infra.postgres import Database
from infra.settings import StartRefused
from infra.vault import (
    PERSONAL_FIELDS,
    Bounded,
    KeyNotLoaded,
    RootKey,
    Tampered,
    Vault,
    root_key,
    rotate_root,
    subjects,
    subjects_of,
)

Within = Callable[[Any], Any]
Storing = Callable[..., Awaitable[None]]
TEXT = "Ada Lovelace"


@pytest.fixture
def sealed_name(within: Within, storing: Storing) -> tuple[UUID, UUID, Sealed]:
    """A workspace, a person of it and their sealed name, with the keys stored."""
    workspace_id, subject_id = uuid4(), uuid4()

    async def seal(database: Database, vault: Vault) -> Sealed:
        rows = [vault.new_workspace(workspace_id), vault.new_subject(workspace_id, subject_id)]
        sealed = vault.seal(subject_id, subject_id, "name", TEXT)
        await storing(database, *rows)
        return sealed

    return workspace_id, subject_id, within(seal)


def opening(sealed: Sealed, stream_id: UUID, field: str) -> Any:
    async def open_it(_: Database, vault: Vault) -> str | None:
        await vault.load([sealed.subject_id])
        return vault.open(sealed, stream_id, field)

    return open_it


def test_another_process_opens_what_was_sealed(
    within: Within, sealed_name: tuple[UUID, UUID, Sealed]
) -> None:
    _, subject_id, sealed = sealed_name
    assert within(opening(sealed, subject_id, "name")) == TEXT


def test_the_box_shows_nothing_and_differs_each_time(within: Within) -> None:
    async def seal(_: Database, vault: Vault) -> set[str]:
        workspace_id, subject_id = uuid4(), uuid4()
        vault.new_workspace(workspace_id)
        vault.new_subject(workspace_id, subject_id)
        return {vault.seal(subject_id, subject_id, "name", TEXT).box for _ in range(3)}

    boxes = within(seal)
    assert len(boxes) == 3
    assert not any(TEXT.encode() in base64.b64decode(box) for box in boxes)


def test_a_box_opens_in_no_other_place(
    within: Within, sealed_name: tuple[UUID, UUID, Sealed]
) -> None:
    _, subject_id, sealed = sealed_name
    for stream_id, field in ((uuid4(), "name"), (subject_id, "email")):
        with pytest.raises(Tampered):
            within(opening(sealed, stream_id, field))


def test_a_swapped_or_flipped_box_is_found(
    within: Within, storing: Storing, sealed_name: tuple[UUID, UUID, Sealed]
) -> None:
    workspace_id, subject_id, sealed = sealed_name
    other_id = uuid4()

    async def seal_other(database: Database, vault: Vault) -> Sealed:
        await vault.load_workspaces([workspace_id])
        await storing(database, vault.new_subject(workspace_id, other_id))
        return vault.seal(other_id, subject_id, "name", "Grace Hopper")

    other = within(seal_other)
    flipped = bytearray(base64.b64decode(sealed.box))
    flipped[-1] ^= 1
    forged = [
        replace(sealed, box=other.box),
        replace(other, box=sealed.box),
        replace(sealed, box=base64.b64encode(flipped).decode()),
        replace(sealed, box=""),
        replace(sealed, box="%%%"),
    ]
    for box in forged:
        with pytest.raises(Tampered):
            within(opening(box, subject_id, "name"))


def test_a_wrapped_key_moved_to_another_subject_is_found(
    within: Within, storing: Storing, sealed_name: tuple[UUID, UUID, Sealed]
) -> None:
    _, subject_id, _ = sealed_name

    async def swap(database: Database, vault: Vault) -> None:
        thief = uuid4()
        async with database.system() as connection:
            await connection.execute(
                "INSERT INTO subject_keys SELECT %s, workspace_id, wrapped FROM subject_keys"
                " WHERE subject_id = %s",
                [thief, subject_id],
            )
        await vault.load([thief])

    with pytest.raises(Tampered):
        within(swap)


def test_a_destroyed_key_leaves_nothing_to_read(
    within: Within, sealed_name: tuple[UUID, UUID, Sealed]
) -> None:
    _, subject_id, sealed = sealed_name

    async def destroy(database: Database, vault: Vault) -> str | None:
        async with database.system() as connection:
            await connection.execute("DELETE FROM subject_keys WHERE subject_id = %s", [subject_id])
        await vault.load([subject_id])
        return vault.open(sealed, subject_id, "name")

    assert within(destroy) is None


def test_a_key_that_was_not_loaded_is_no_erasure(
    within: Within, sealed_name: tuple[UUID, UUID, Sealed]
) -> None:
    _, subject_id, sealed = sealed_name

    async def forget_to_load(_: Database, vault: Vault) -> None:
        vault.open(sealed, subject_id, "name")

    with pytest.raises(KeyNotLoaded):
        within(forget_to_load)


def test_a_key_committed_after_it_was_missed_is_found(
    within: Within, storing: Storing, root: RootKey
) -> None:
    workspace_id, subject_id = uuid4(), uuid4()

    async def scenario(database: Database, vault: Vault) -> str | None:
        await vault.load([subject_id])
        writer = Vault(database, root)
        await storing(
            database,
            writer.new_workspace(workspace_id),
            writer.new_subject(workspace_id, subject_id),
        )
        sealed = writer.seal(subject_id, subject_id, "name", TEXT)
        await vault.load([subject_id])
        return vault.open(sealed, subject_id, "name")

    assert within(scenario) == TEXT


def test_the_stored_key_wins_over_one_that_was_never_committed(
    within: Within, root: RootKey, sealed_name: tuple[UUID, UUID, Sealed]
) -> None:
    workspace_id, subject_id, sealed = sealed_name

    async def decide_again(database: Database, vault: Vault) -> tuple[str | None, str | None]:
        await vault.load_workspaces([workspace_id])
        vault.new_subject(workspace_id, subject_id)
        await vault.load([subject_id])
        renamed = vault.seal(subject_id, subject_id, "name", "Ada King")
        reader = Vault(database, root)
        await reader.load([subject_id])
        return vault.open(sealed, subject_id, "name"), reader.open(renamed, subject_id, "name")

    assert within(decide_again) == (TEXT, "Ada King")


def test_a_command_decided_afresh_keeps_its_new_key(within: Within) -> None:
    async def twice(_: Database, vault: Vault) -> str | None:
        workspace_id, subject_id = uuid4(), uuid4()
        vault.new_workspace(workspace_id)
        vault.new_subject(workspace_id, subject_id)
        first = vault.seal(subject_id, subject_id, "name", TEXT)
        vault.new_subject(workspace_id, subject_id)
        return vault.open(first, subject_id, "name")

    assert within(twice) == TEXT


def test_no_key_lies_in_the_database_in_the_clear(
    within: Within, storing: Storing, database_url: str
) -> None:
    async def make(database: Database, vault: Vault) -> bytes:
        workspace_id, subject_id = uuid4(), uuid4()
        await storing(
            database, vault.new_workspace(workspace_id), vault.new_subject(workspace_id, subject_id)
        )
        made = vault._new.get(subject_id)
        assert made is not None
        return made[0]

    key = within(make)
    with psycopg.connect(database_url, options="-c mc.system=on") as connection:
        rows = connection.execute(
            "SELECT wrapped FROM subject_keys UNION ALL SELECT wrapped FROM workspace_keys"
        ).fetchall()
    assert rows
    assert not any(key in wrapped for (wrapped,) in rows)


def test_rotation_reads_old_boxes_and_writes_new_ones(
    within: Within,
    database_url: str,
    root: RootKey,
    sealed_name: tuple[UUID, UUID, Sealed],
) -> None:
    _, subject_id, sealed = sealed_name
    new = RootKey.new()

    async def rotate(database: Database, _: Vault) -> tuple[str | None, int, str | None]:
        before = await _wrapped_subjects(database)
        assert await rotate_root(database, root, new) > 0
        again = await rotate_root(database, root, new)
        assert await _wrapped_subjects(database) == before
        vault = Vault(database, new)
        await vault.start()
        await vault.load([subject_id])
        opened = vault.open(sealed, subject_id, "name")
        fresh = vault.seal(subject_id, subject_id, "name", "new")
        reopened = vault.open(fresh, subject_id, "name")
        with pytest.raises(StartRefused, match="root key"):
            await Vault(database, root).start()
        await rotate_root(database, new, root)
        return opened, again, reopened

    assert within(rotate) == (TEXT, 0, "new")


def test_a_rotation_from_the_wrong_key_changes_nothing(
    within: Within, sealed_name: tuple[UUID, UUID, Sealed]
) -> None:
    async def rotate(database: Database, vault: Vault) -> None:
        with pytest.raises(StartRefused):
            await rotate_root(database, RootKey.new(), RootKey.new())
        await vault.start()

    within(rotate)


def test_a_start_with_a_wrong_root_key_is_refused_in_one_line(
    within: Within, sealed_name: tuple[UUID, UUID, Sealed]
) -> None:
    async def start(database: Database, _: Vault) -> None:
        await Vault(database, RootKey.new()).start()

    with pytest.raises(StartRefused) as refused:
        within(start)
    assert "\n" not in str(refused.value)


def test_the_root_key_file_is_made_once_and_is_ours_alone(tmp_path: Path) -> None:
    file = tmp_path / "root.key"
    first = root_key(None, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert root_key(None, file).id == first.id
    assert list(tmp_path.iterdir()) == [file]


def test_a_root_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "root.key"
    root_key(None, file)
    file.chmod(0o644)
    with pytest.raises(StartRefused, match="chmod 600"):
        root_key(None, file)


def test_a_root_key_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / "root.key"
    file.mkdir(mode=0o700)
    with pytest.raises(StartRefused, match=f"^cannot read {file}: Is a directory$"):
        root_key(None, file)


@pytest.mark.parametrize("text", ["", "short", "!!!!", base64.b64encode(b"x" * 31).decode()])
def test_a_root_key_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(StartRefused):
        root_key(text, tmp_path / "unused")
    assert not (tmp_path / "unused").exists()


def test_the_setting_wins_over_the_file(tmp_path: Path) -> None:
    key = RootKey.new()
    assert root_key(key.text(), tmp_path / "unused").id == key.id


def test_an_address_has_one_digest_however_it_is_written(within: Within) -> None:
    async def digests(_: Database, vault: Vault) -> tuple[set[bytes], set[bytes]]:
        here, there = uuid4(), uuid4()
        vault.new_workspace(here)
        vault.new_workspace(there)
        forms = ("ada@example.org", " ADA@example.org ", "\uff41da@example.org")
        same = {vault.email_digest(here, form) for form in forms}
        return same, {
            vault.email_digest(there, forms[0]),
            vault.email_digest(here, "b@example.org"),
        }

    same, others = within(digests)
    assert len(same) == 1
    assert len(others) == 2
    assert not same & others


def test_only_declared_fields_are_opened(within: Within) -> None:
    looks_sealed = {"subject_id": str(uuid4()), "box": "AAAA"}
    data = {"name": "scout", "config": looks_sealed}
    assert subjects("agent.registered.v1", data) == set()

    async def open_it(_: Database, vault: Vault) -> dict[str, Any]:
        return vault.open_event("agent.registered.v1", data, uuid4())

    assert within(open_it) == data


def test_an_event_is_opened_as_data_and_as_an_object(
    within: Within, sealed_name: tuple[UUID, UUID, Sealed]
) -> None:
    workspace_id, subject_id, sealed = sealed_name
    box = {"subject_id": str(subject_id), "box": sealed.box}
    data = {"name": box, "email": None}
    event = EventCodec().decode(
        "user.registered.v1",
        json.dumps(data),
        stream_id=subject_id,
        version=1,
        workspace_id=workspace_id,
        recorded_at=datetime.now(UTC),
    )
    assert subjects("user.registered.v1", data) == subjects_of(event) == {subject_id}

    async def open_both(_: Database, vault: Vault) -> tuple[dict[str, Any], Any]:
        await vault.load([subject_id])
        return vault.open_event("user.registered.v1", data, subject_id), vault.opened(event)

    opened, readable = within(open_both)
    assert opened == {"name": TEXT, "email": None}
    assert readable.name == TEXT
    assert event.name == sealed


def test_every_personal_field_of_the_catalogue_is_known() -> None:
    assert PERSONAL_FIELDS["user.registered.v1"] == ("name", "email")
    assert PERSONAL_FIELDS["comment.added.v1"] == ("body",)
    assert PERSONAL_FIELDS.keys() <= EVENTS.keys()


def test_the_cache_lets_go_of_what_was_not_used_for_longest() -> None:
    cache = Bounded[int, str](2)
    cache.put(1, "a")
    cache.put(2, "b")
    cache.get(1)
    cache.put(3, "c")
    assert (cache.get(1), cache.get(2), cache.get(3)) == ("a", None, "c")


async def _wrapped_subjects(database: Database) -> list[tuple[Any, ...]]:
    async with database.system() as connection:
        cursor = await connection.execute("SELECT * FROM subject_keys ORDER BY subject_id")
        return await cursor.fetchall()
