"""A right that somebody loses is gone when the command that takes it is answered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from infra.command_bus import write_side
from infra.compose import running
from infra.embedded_postgres import EmbeddedPostgres
from infra.first_start import make_first_admin
from infra.passwords import Passwords
from infra.roles import Role
from infra.settings import Settings
from tests.conftest import fresh_database

PORT = 8_000  # as the origin of requests; nothing listens there
EMAIL, PASSWORD = "admin@example.org", "correct horse battery staple"


@asynccontextmanager
async def deaf(database_url: str, data_dir: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Serve commands in a process that hears nothing of its log, as slow as a loaded machine may make it."""
    settings = Settings(data_dir=data_dir, admin_email=EMAIL, admin_password=PASSWORD)
    async with write_side(settings, database_url) as bus:
        await make_first_admin(bus, settings, Passwords())
    async with running(settings, database_url, PORT, roles=frozenset({Role.COMMANDS})) as (app, _):
        (follower,) = [task for task in asyncio.all_tasks() if task.get_name() == "follower"]
        follower.cancel()
        url = f"http://127.0.0.1:{PORT}"
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=url) as client:
            yield client


async def post(client: httpx.AsyncClient, path: str, token: str, **body: object) -> httpx.Response:
    return await client.post(path, json=body, headers={"authorization": f"Bearer {token}"})


async def sign_in(client: httpx.AsyncClient, email: str) -> str:
    answer = await client.post("/api/auth/sign-in", json={"email": email, "password": PASSWORD})
    return str(answer.raise_for_status().json()["access_token"])


def test_of_an_agent_that_is_deactivated(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with deaf(fresh_database(postgres), tmp_path) as client:
            admin = await sign_in(client, EMAIL)
            agent_id = (await post(client, "/api/agents", admin, name="Scout")).json()["id"]
            key = (await post(client, f"/api/agents/{agent_id}/keys", admin)).json()["key"]
            heartbeat = f"/api/agents/{agent_id}/heartbeat"
            assert (await post(client, heartbeat, key, state="available")).status_code == 200
            off = await post(client, f"/api/agents/{agent_id}/deactivate", admin)
            assert off.status_code == 200, off.text
            refused = await post(client, heartbeat, key, state="available")
            assert (refused.status_code, refused.json()["code"]) == (403, "agent_inactive")
            refused = await post(client, "/api/agents", key, name="Another")
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")

    asyncio.run(scenario())


def test_of_somebody_whose_role_is_lowered(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with deaf(fresh_database(postgres), tmp_path) as client:
            admin = await sign_in(client, EMAIL)
            person = {"email": "commander@example.org", "name": "C", "password": PASSWORD}
            made = await post(client, "/api/members", admin, role="mission_commander", **person)
            commander = await sign_in(client, person["email"])
            assert (await post(client, "/api/missions", commander, title="t")).status_code == 201
            role = f"/api/members/{made.json()['id']}/role"
            headers = {"authorization": f"Bearer {admin}"}
            lowered = await client.put(role, json={"role": "viewer"}, headers=headers)
            assert lowered.status_code == 200, lowered.text
            assert (await post(client, "/api/missions", commander, title="t")).status_code == 403

    asyncio.run(scenario())
