"""Who signs in: whose address and password these are, and how often somebody may be wrong."""

import hashlib
import math
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import repeat
from typing import NamedTuple
from uuid import UUID

from domain.base import InvalidValue
from domain.guards import name_key
from infra.counters import Counters, Full, Limit
from infra.http.principal import InvalidCredentials, RateLimited
from infra.identity import END_SESSIONS
from infra.passwords import Passwords
from infra.postgres import Database
from infra.vault import Vault, normal_email

# Failures only. By account and address together, so that nobody can lock somebody else out.
PER_ACCOUNT = Limit(10, 300)
PER_ADDRESS = Limit(100, 300)
# Passwords are verified two at a time: whoever asks for many at once would have all others wait behind.
AT_ONCE_MAX = 10
# A sign-in that names no workspace is looked for in each, and each costs a digest, a password a core.
WORKSPACES_SEARCHED_MAX = 200
ACCOUNTS_TRIED_MAX = 4

FIND = """
SELECT c.user_id, c.workspace_id, c.password_hash, c.changed_at
FROM unnest(%s::uuid[], %s::bytea[]) AS asked (workspace_id, email_digest)
JOIN credentials c USING (workspace_id, email_digest)
JOIN guard_members m ON m.user_id = c.user_id AND NOT m.disabled
ORDER BY c.workspace_id LIMIT %s"""
CHANGE = """
UPDATE credentials SET password_hash = %s, changed_at = clock_timestamp()
WHERE user_id = %s AND changed_at = %s RETURNING true"""
RENEW = "UPDATE credentials SET password_hash = %s WHERE user_id = %s AND password_hash = %s"


class WorkspaceNeeded(InvalidValue):
    """Sign-in can't tell which workspace is meant.

    Either address and password are right in several, of which only who knows them hears; or there are
    too many to look in, whoever asks.
    """

    code = "workspace_needed"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, field="workspace")


class Account(NamedTuple):
    """Whose password was right, and the better hash of it where its own is outdated."""

    user_id: UUID
    workspace_id: UUID
    stored: str
    changed_at: datetime
    new_hash: str | None


class SignInLimits:
    """Counts failures, in as many processes as the counters do, and what runs in this one."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._running = Counter[str]()

    @asynccontextmanager
    async def attempt(self, account: str, address: str) -> AsyncIterator[None]:
        """Let one attempt run, and count it as a failure if it ends in `InvalidCredentials`.

        Raises `RateLimited` after too many failures, or while too many attempts run. Attempts that still run
        count with failures, or a hundred at once would all begin before the first has failed.
        """
        if self._running[address] >= AT_ONCE_MAX:
            raise RateLimited(1)
        self._running[address] += 1
        try:
            async with self._counted(account, address):
                yield
        finally:
            self._running[address] -= 1
            if self._running[address] == 0:
                del self._running[address]

    @asynccontextmanager
    async def _counted(self, account: str, address: str) -> AsyncIterator[None]:
        limits = {
            f"sign-in:{account}:{address}": PER_ACCOUNT,
            f"sign-in:{address}": PER_ADDRESS,
        }
        taken = await self._counters.take(limits)
        if isinstance(taken, Full):
            raise RateLimited(max(1, math.ceil(taken.retry_after_s)))
        failed = False
        try:
            yield
        except InvalidCredentials:
            failed = True
            raise
        finally:
            if not failed:
                await self._counters.give_back(taken)


@dataclass(frozen=True, slots=True)
class Accounts:
    """Finds who somebody is by address and password, and changes passwords."""

    database: Database
    vault: Vault
    passwords: Passwords

    async def find(self, email: str, password: str, workspace: str | None) -> Account | None:
        """Return whose address and password these are. Raises `WorkspaceNeeded` where they are several's."""
        async with self.database.briefly() as connection:
            cursor = await connection.execute(
                "SELECT workspace_id, name FROM guard_workspaces WHERE name_key = %s OR %s"
                " ORDER BY workspace_id LIMIT %s",
                [name_key(workspace or ""), workspace is None, WORKSPACES_SEARCHED_MAX + 1],
            )
            names = dict(await cursor.fetchall())
        if len(names) > WORKSPACES_SEARCHED_MAX:
            raise WorkspaceNeeded("there are many workspaces here: name the one that is meant")
        found = await self.verified(list(names), email, password)
        if len(found) > 1:
            fitting = ", ".join(f'"{names[one.workspace_id]}"' for one in found)
            raise WorkspaceNeeded(
                f"this fits in several workspaces, {fitting}: name the one that is meant"
            )
        for one in found:
            await self._renew_hash(one)
        return found[0] if found else None

    async def verified(
        self, workspace_ids: Sequence[UUID], email: str, password: str
    ) -> list[Account]:
        """Return the accounts whose address and password are right, at most one in each workspace.

        As many passwords are verified as there are workspaces, up to `ACCOUNTS_TRIED_MAX`, however many
        of them have an account of this address: how long it takes says nothing about that.
        """
        # Its connection is asked for while none is held: else sign-ins could wait for each other.
        await self.vault.load_workspaces(workspace_ids)
        digests = [self.vault.email_digest(one, email) for one in workspace_ids]
        tries = min(max(1, len(workspace_ids)), ACCOUNTS_TRIED_MAX)
        asked = [workspace_ids, digests, tries]
        async with self.database.briefly() as connection:
            rows = await (await connection.execute(FIND, asked)).fetchall()
        found = []
        for row in (*rows, *repeat(None, tries - len(rows))):
            verified = await self.passwords.verify(password, row[2] if row else None)
            if verified and row:
                found.append(Account(row[0], row[1], row[2], row[3], verified.new_hash))
        return found

    async def change_password(self, account: Account, password: str) -> bool:
        """Store another password and end every session; False where it was changed since the account was found."""
        new_hash = await self.passwords.hash(password)
        async with self.database.briefly() as connection, connection.transaction():
            values = [new_hash, account.user_id, account.changed_at]
            if await (await connection.execute(CHANGE, values)).fetchone() is None:
                return False
            await connection.execute(END_SESSIONS, [account.user_id])
        return True

    async def _renew_hash(self, account: Account) -> None:
        if account.new_hash is None:
            return
        async with self.database.briefly() as connection:
            await connection.execute(RENEW, [account.new_hash, account.user_id, account.stored])


def account_key(email: str) -> str:
    """Return what failures are counted by; the address itself is kept nowhere.

    Whichever workspace is named: else each would be worth as many tries again.
    """
    return hashlib.sha256(normal_email(email).encode()).hexdigest()
