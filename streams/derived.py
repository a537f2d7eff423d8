"""Looks after what PostgreSQL derives from read models: known words, points, rollups, facets, mentions."""

import asyncio

from infra.postgres import Database
from streams.job import Job

LOOK_S = 1.0


class Derived(Job):
    """Derives afresh from a table that has taken the place of another, as after a rebuild.

    Triggers keep derived rows up to their table in the same transaction; a table that was rebuilt beside
    the live one has none yet.
    """

    def __init__(self, database: Database) -> None:
        super().__init__("derived")
        self._database = database

    async def work(self) -> None:
        while True:
            async with self._database.system() as connection:
                await connection.execute("SELECT mc_derive_missing()")
            await asyncio.sleep(LOOK_S)
