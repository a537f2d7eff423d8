"""A rotation that is cut off loses no key."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from infra.data_dir import write_private
from infra.maintenance import rotate_root_key
from infra.postgres import Database
from infra.settings import Settings, StartRefused
from infra.vault import RootKey, Vault, finish_rotation, new_key_file, root_key, rotate_root


@pytest.mark.parametrize("committed", [True, False])
def test_a_rotation_is_taken_up_by_whoever_starts_once_it_has_committed_and_no_earlier(
    committed: bool, database_url: str, tmp_path: Path
) -> None:
    async def play() -> Any:
        file = tmp_path / "root.key"
        old, new = root_key(None, file), RootKey.new()
        async with Database(database_url) as database:
            async with database.system() as connection:
                await connection.execute("DELETE FROM workspace_keys")
                row = Vault(database, old).new_workspace(uuid4())
                await connection.execute(row.statement, row.parameters)
            write_private(new_key_file(file), new.text())
            if committed:
                await rotate_root(database, old, new)
            await asyncio.gather(*(finish_rotation(database, file) for _ in range(3)))
            assert root_key(None, file).id == (new if committed else old).id
            await Vault(database, root_key(None, file)).start()
            if not committed:  # it was under way, and commits now
                await rotate_root(database, old, new)
                await finish_rotation(database, file)
            assert root_key(None, file).id == new.id
            assert not new_key_file(file).exists()
            await Vault(database, root_key(None, file)).start()

    asyncio.run(play())


@pytest.mark.parametrize(("is_there", "said"), [(False, "is missing"), (True, "is not the one")])
def test_without_the_root_key_of_the_data_nothing_is_rotated_and_nothing_is_made(
    is_there: bool, said: str, database_url: str, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path)
    if is_there:
        root_key(None, settings.root_key_file)
    before = {file: file.read_text() for file in tmp_path.iterdir()}

    async def play() -> None:
        async with Database(database_url) as database, database.system() as connection:
            row = Vault(database, RootKey.new()).new_workspace(uuid4())
            await connection.execute(row.statement, row.parameters)
        await rotate_root_key(settings, database_url)

    with pytest.raises(StartRefused, match=f"the root key .*{said}"):
        asyncio.run(play())
    assert {file: file.read_text() for file in tmp_path.iterdir()} == before
