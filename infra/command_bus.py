"""The command bus with all that it needs: for a server, or for a command line that serves nothing."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from commands.bus import Bus, Tools
from commands.handlers import HANDLERS
from infra.aggregates import Aggregates
from infra.codec import EventCodec
from infra.event_log import EventLog
from infra.postgres import Database
from infra.settings import Settings
from infra.vault import Vault, finish_rotation, root_key
from infra.write_side import WriteSide


@asynccontextmanager
async def write_side(
    settings: Settings, dsn: str, options: str = "", *, as_decided: bool = False
) -> AsyncIterator[Bus]:
    """Open what commands need, without serving anything: for the command line and first starts.

    `options` are of `Database`, `as_decided` of `EventLog`.
    """
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(dsn, options))
        codec = EventCodec()
        log_writer = await stack.enter_async_context(
            EventLog(database, codec, as_decided=as_decided)
        )
        yield await command_bus(settings, database, codec, log_writer)


async def command_bus(
    settings: Settings, database: Database, codec: EventCodec, log_writer: EventLog
) -> Bus:
    """Return a bus on an open log; a rotation of the root key that was broken off is finished first."""
    key_file = settings.root_key_file
    await finish_rotation(database, key_file)
    vault = Vault(database, root_key(settings.root_key, key_file))
    await vault.start()
    aggregates = Aggregates(database, codec)
    tools = Tools(aggregates, WriteSide(database), vault, settings.lease_ttl_s)
    return Bus(log_writer, tools, HANDLERS)
