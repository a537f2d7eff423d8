"""A rotation that is cut off loses no key."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from infra.data_dir import write_private
from infra.postgres import Database
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
