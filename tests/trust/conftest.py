"""A database with one workspace and its people, and the routes of sign-in over it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any
from uuid import UUID, uuid4

import httpx
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI

from commands.append import RowWrite
from commands.routes import auth
from domain.guards import name_key
from domain.permissions import DEFAULT_SCOPES, Permission, Scope
from domain.workspace import Role
from infra.counters import LocalCounters
from infra.http import problems
from infra.http.principal import Principal, requires
from infra.http.privacy import Private
from infra.identity import Identity, new_agent_key
from infra.passwords import Passwords
from infra.postgres import Database
from infra.settings import Settings
from infra.sign_in import SignInLimits
from infra.vault import RootKey, Vault

ORIGIN = "http://127.0.0.1:8000"
PASSWORD = "correct horse battery staple"
ADDRESS = "198.51.100.7"
# Quick, and weaker than what sign-in wants: so each first sign-in makes a new hash as well.
QUICK = PasswordHasher(time_cost=1, memory_cost=8_192, parallelism=1)

Run = Callable[[Callable[..., Awaitable[Any]]], Any]


@pytest.fixture(scope="module")
def root() -> RootKey:
    return RootKey.new()


@pytest.fixture
def within(database_url: str, root: RootKey) -> Run:
    """Run a coroutine function with an open database and a vault that has loaded nothing."""

    async def run(scenario: Callable[..., Awaitable[Any]]) -> Any:
        async with Database(database_url) as database:
            return await scenario(database, Vault(database, root))

    return lambda scenario: asyncio.run(run(scenario))


async def store(database: Database, *rows: RowWrite) -> None:
    """Execute rows as the append's transaction would."""
    async with database.system() as connection, connection.transaction():
        for row in rows:
            await connection.execute(row.statement, row.parameters)


@pytest.fixture
def storing() -> Callable[..., Awaitable[None]]:
    return store


@dataclass
class Site:
    """What signs in, with a client of one address, and ways to change who is who."""

    database: Database
    vault: Vault
    identity: Identity
    app: Any
    client: httpx.AsyncClient
    app_state: Any
    workspace_id: UUID = field(default_factory=uuid4)

    async def write(self, statement: str, *values: Any) -> None:
        async with self.database.system() as connection:
            await connection.execute(statement, values)

    async def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        async with self.database.system() as connection:
            return await (await connection.execute(statement, values)).fetchall()

    async def add_workspace(self, workspace_id: UUID, name: str) -> None:
        await store(self.database, self.vault.new_workspace(workspace_id))
        await self.write(
            "INSERT INTO guard_workspaces VALUES (%s, %s, %s)", workspace_id, name, name_key(name)
        )

    async def add_person(
        self, email: str, role: Role = Role.ADMIN, workspace_id: UUID | None = None
    ) -> UUID:
        user_id, where = uuid4(), workspace_id or self.workspace_id
        digest = self.vault.email_digest(where, email)
        await self.write(
            "INSERT INTO guard_members VALUES (%s, %s, %s, false)", user_id, where, role
        )
        await self.write(
            "INSERT INTO credentials (user_id, workspace_id, email_digest, password_hash)"
            " VALUES (%s, %s, %s, %s)",
            *(user_id, where, digest, QUICK.hash(PASSWORD)),
        )
        return user_id

    async def token(self, user_id: UUID) -> str:
        """Return an access token of a new session."""
        found = await self.rows("SELECT changed_at FROM credentials WHERE user_id = %s", user_id)
        session = await self.identity.new_session(user_id, found[0][0])
        assert session is not None
        return self.identity.access_token(user_id, self.workspace_id, session)

    async def add_agent(
        self, owner_id: UUID, scopes: tuple[Scope, ...] = DEFAULT_SCOPES
    ) -> tuple[UUID, str]:
        """Return the agent's id and the text of its key."""
        agent_id = uuid4()
        await self.write(
            "INSERT INTO guard_agents VALUES (%s, %s, %s, 'active', '{}')",
            *(agent_id, self.workspace_id, owner_id),
        )
        _, text, row = new_agent_key(self.workspace_id, agent_id, scopes)
        await store(self.database, row)
        return agent_id, text

    async def sign_in(self, email: str, password: str = PASSWORD, **more: str) -> httpx.Response:
        body = {"email": email, "password": password, **more}
        return await self.client.post("/api/auth/sign-in", json=body)

    async def status(self, credential: str, path: str = "/read") -> int:
        headers = {"authorization": f"Bearer {credential}"}
        return (await self.client.get(path, headers=headers)).status_code

    def from_address(self, address: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, client=(address, 1))
        return httpx.AsyncClient(transport=transport, base_url=ORIGIN)


def _app() -> FastAPI:
    app = FastAPI()
    problems.install(app, ())
    app.include_router(auth.router)

    @app.get("/read")
    async def read(principal: Annotated[Principal, requires(Permission.READ)]) -> dict[str, Any]:
        return {"permissions": sorted(principal.permissions)}

    @app.get("/administer")
    async def administer(
        principal: Annotated[Principal, requires(Permission.ADMIN_ACCESS)],
    ) -> None:
        return None

    return app


@asynccontextmanager
async def _site(database_url: str, root: RootKey) -> AsyncIterator[Site]:
    async with Database(database_url) as database:
        vault, app = Vault(database, root), _app()
        identity = Identity(database, vault)
        app.state.settings = Settings()
        app.state.database, app.state.vault, app.state.identity = database, vault, identity
        app.state.passwords = Passwords()
        app.state.sign_in_limits = SignInLimits(LocalCounters())
        app.state.origins = frozenset({ORIGIN})

        private = Private(app)

        async def with_state(scope: Any, receive: Any, send: Any) -> None:
            scope.setdefault("state", {})
            await private(scope, receive, send)

        transport = httpx.ASGITransport(with_state, client=(ADDRESS, 1))
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
            site = Site(database, vault, identity, with_state, client, app.state)
            await site.write("DELETE FROM guard_workspaces")
            await site.add_workspace(site.workspace_id, f"Workspace {site.workspace_id}")
            yield site


@pytest.fixture
def at_site(database_url: str, root: RootKey) -> Run:
    """Run a coroutine function with a `Site` of one new workspace."""

    async def run(scenario: Callable[..., Awaitable[Any]]) -> Any:
        async with _site(database_url, root) as site:
            return await scenario(site)

    return lambda scenario: asyncio.run(run(scenario))
