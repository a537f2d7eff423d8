"""Signing in and out: no enumeration (10), limits (20, 25), sessions and origins (23)."""

import asyncio
from collections.abc import Callable
from typing import Any, cast
from uuid import uuid4

import httpx
import psycopg
import pytest

from infra.http.principal import address_of, network_of
from infra.passwords import Passwords, Verified
from infra.sign_in import WORKSPACES_SEARCHED_MAX

Run = Callable[[Any], Any]
ORIGIN = "http://127.0.0.1:8000"
PASSWORD = "correct horse battery staple"
ADA = "ada@example.org"


class CountingPasswords(Passwords):
    """The real ones, which also count how often they were asked."""

    verified = 0

    async def verify(self, password: str, stored: str | None) -> Verified | None:
        self.verified += 1
        return await super().verify(password, stored)


def test_a_sign_in_gives_a_token_that_works_and_a_session(at_site: Run) -> None:
    async def scenario(site: Any) -> tuple[Any, int]:
        await site.add_person(ADA)
        answer = await site.sign_in(" ADA@Example.org ")
        return answer, await site.status(answer.json()["access_token"])

    answer, status = at_site(scenario)
    assert status == 200
    assert answer.json().keys() == {"access_token", "token_type", "expires_in"}
    assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("Bearer", 600)
    assert answer.headers["cache-control"] == "no-store"
    cookie = answer.headers["set-cookie"].lower()
    for part in ("mc_session=", "httponly", "samesite=strict", "path=/", "max-age=43200"):
        assert part in cookie


def test_a_failed_sign_in_does_not_say_why(at_site: Run) -> None:
    async def scenario(site: Any) -> list[Any]:
        await site.add_person(ADA)
        disabled = await site.add_person("bob@example.org")
        await site.write("UPDATE guard_members SET disabled = true WHERE user_id = %s", disabled)
        removed = await site.add_person("cyd@example.org")
        await site.write("DELETE FROM guard_members WHERE user_id = %s", removed)
        return [
            await site.sign_in(ADA, "wrong horse battery staple"),
            await site.sign_in("nobody@example.org"),
            await site.sign_in("bob@example.org"),
            await site.sign_in("cyd@example.org"),
            await site.sign_in(ADA, workspace="Elsewhere"),
        ]

    answers = at_site(scenario)
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert answers[0].json()["code"] == "invalid_credentials"
    assert not any("set-cookie" in answer.headers for answer in answers)
    header_names = {tuple(sorted(answer.headers)) for answer in answers}
    assert len(header_names) == 1


def test_whoever_is_in_one_of_two_workspaces_may_leave_it_unnamed(at_site: Run) -> None:
    async def scenario(site: Any) -> list[int]:
        other = uuid4()
        await site.add_person(ADA)
        await site.add_workspace(other, "Second  Place")
        await site.add_person("eve@example.org", workspace_id=other)
        answers = [
            await site.sign_in(ADA),
            await site.sign_in(ADA, workspace=f"workspace {site.workspace_id}"),
            await site.sign_in(ADA, workspace="Second Place"),
            await site.sign_in("eve@example.org"),
            await site.sign_in("eve@example.org", workspace="second place"),
            await site.sign_in("eve@example.org", "wrong " * 3),
        ]
        return [answer.status_code for answer in answers]

    assert at_site(scenario) == [200, 200, 401, 200, 200, 401]


def test_which_workspace_is_meant_is_asked_of_who_knows_the_password_of_several(
    at_site: Run,
) -> None:
    async def scenario(site: Any) -> tuple[Any, Any, Any, str]:
        other = uuid4()
        await site.add_workspace(other, "Second Place")
        await site.add_person(ADA)
        second_id = await site.add_person(ADA, workspace_id=other)
        refused = await site.sign_in(ADA)
        wrong = await site.sign_in(ADA, "wrong " * 3)
        named = await site.sign_in(ADA, workspace="Second Place")
        await site.write("UPDATE guard_members SET disabled = true WHERE user_id = %s", second_id)
        alone = await site.sign_in(ADA)
        assert alone.status_code == 200
        return refused, wrong, named, f"Workspace {site.workspace_id}"

    refused, wrong, named, first = at_site(scenario)
    assert (refused.status_code, named.status_code) == (422, 200)
    assert (refused.json()["code"], refused.json()["field"]) == ("workspace_needed", "workspace")
    assert f'"{first}"' in refused.json()["detail"]
    assert '"Second Place"' in refused.json()["detail"]
    assert "set-cookie" not in refused.headers
    assert (wrong.status_code, wrong.json()["code"]) == (401, "invalid_credentials")


@pytest.mark.parametrize("others", [0, 1, 3, 6])
def test_how_many_passwords_are_verified_says_nothing_about_the_address(
    at_site: Run, others: int
) -> None:
    async def scenario(site: Any) -> list[int]:
        counting = site.app_state.passwords = CountingPasswords()
        everywhere = "everywhere@example.org"
        places = [site.workspace_id, *(uuid4() for _ in range(others))]
        for place in places[1:]:
            await site.add_workspace(place, str(place))
        await site.add_person(ADA)
        for place in places:
            await site.add_person(everywhere, workspace_id=place)
        counts = []
        for email in (ADA, everywhere, "nobody@example.org"):
            counting.verified = 0
            assert (await site.sign_in(email, "wrong " * 3)).status_code == 401
            counts.append(counting.verified)
        return counts

    assert at_site(scenario) == [min(others + 1, 4)] * 3


def test_of_too_many_workspaces_one_has_to_be_named_whoever_asks(at_site: Run) -> None:
    async def scenario(site: Any) -> tuple[list[bytes], int]:
        await site.add_person(ADA)
        for _ in range(WORKSPACES_SEARCHED_MAX):
            place = uuid4()
            await site.add_workspace(place, str(place))
        refused = [
            await site.sign_in(ADA),
            await site.sign_in(ADA, "wrong " * 3),
            await site.sign_in("nobody@example.org"),
        ]
        assert refused[0].json()["code"] == "workspace_needed"
        named = await site.sign_in(ADA, workspace=f"Workspace {site.workspace_id}")
        return [answer.content for answer in refused], named.status_code

    bodies, named = at_site(scenario)
    assert len(set(bodies)) == 1
    assert named == 200


def test_another_workspace_is_worth_no_more_tries(at_site: Run) -> None:
    async def scenario(site: Any) -> list[int]:
        await site.add_workspace(uuid4(), "Second Place")
        names = ({}, {"workspace": "Second Place"}, {"workspace": f"{uuid4()}"})
        return [
            (await site.sign_in(ADA, "wrong " * 3, **names[number % 3])).status_code
            for number in range(12)
        ]

    assert at_site(scenario) == [401] * 10 + [429] * 2


def test_an_old_hash_is_made_anew_once(at_site: Run) -> None:
    async def scenario(site: Any) -> list[str]:
        user_id = await site.add_person(ADA)
        hashes = []
        for _ in range(3):
            query = "SELECT password_hash FROM credentials WHERE user_id = %s"
            hashes.append((await site.rows(query, user_id))[0][0])
            assert (await site.sign_in(ADA)).status_code == 200
        return hashes

    first, second, third = at_site(scenario)
    assert first != second
    assert second == third


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"email": ADA}, "password"),
        ({"email": ADA, "password": PASSWORD, "role": "admin"}, "role"),
        ({"email": "a" * 321, "password": PASSWORD}, "email"),
        ({"email": ADA, "password": "p" * 1025}, "password"),
        ({"email": 7, "password": PASSWORD}, "email"),
        ({"email": ADA, "password": PASSWORD, "workspace": "a\x00b"}, "workspace"),
        ({"email": ADA, "password": PASSWORD, "workspace": ""}, "workspace"),
    ],
)
def test_a_bad_body_is_refused_by_its_field(at_site: Run, body: dict[str, Any], field: str) -> None:
    async def scenario(site: Any) -> Any:
        return await site.client.post("/api/auth/sign-in", json=body)

    answer = at_site(scenario)
    assert answer.status_code == 422
    assert answer.json()["field"] == field
    assert PASSWORD not in answer.text


@pytest.mark.parametrize("field", ["email", "password", "workspace"])
def test_a_lone_surrogate_or_nul_never_breaks_it(at_site: Run, field: str) -> None:
    async def scenario(site: Any) -> set[int]:
        statuses = set()
        for text in ("\\ud800", "\\u0000", "a\\u0000b"):
            parts = {"email": "x", "password": "y", field: text}
            body = ",".join(f'"{name}":"{value}"' for name, value in parts.items())
            headers = {"content-type": "application/json"}
            answer = await site.client.post(
                "/api/auth/sign-in", content=f"{{{body}}}".encode(), headers=headers
            )
            statuses.add(answer.status_code)
        return statuses

    assert at_site(scenario) <= {401, 422}


def test_failures_from_one_address_are_limited_and_lock_nobody_else_out(at_site: Run) -> None:
    async def scenario(site: Any) -> tuple[list[int], Any, int, int]:
        await site.add_person(ADA)
        await site.add_person("bob@example.org")
        failures = [(await site.sign_in(ADA, "wrong " * 3)).status_code for _ in range(10)]
        limited = await site.sign_in(ADA)
        neighbour = (await site.sign_in("bob@example.org")).status_code
        async with site.from_address("203.0.113.9") as elsewhere:
            body = {"email": ADA, "password": PASSWORD}
            other = (await elsewhere.post("/api/auth/sign-in", json=body)).status_code
        return failures, limited, neighbour, other

    failures, limited, neighbour, other = at_site(scenario)
    assert failures == [401] * 10
    assert limited.status_code == 429
    assert limited.json()["code"] == "rate_limited"
    assert 1 <= int(limited.headers["retry-after"]) <= 300
    assert (neighbour, other) == (200, 200)


def test_a_forged_forwarded_address_changes_nothing(at_site: Run) -> None:
    async def scenario(site: Any) -> list[int]:
        statuses = []
        for number in range(11):
            headers = {"x-forwarded-for": f"203.0.113.{number}"}
            body = {"email": ADA, "password": "wrong " * 3}
            answer = await site.client.post("/api/auth/sign-in", json=body, headers=headers)
            statuses.append(answer.status_code)
        return statuses

    assert at_site(scenario) == [401] * 10 + [429]


def test_attempts_at_once_are_no_way_around_the_limit(at_site: Run) -> None:
    async def scenario(site: Any) -> list[int]:
        attempts = (site.sign_in(ADA, "wrong " * 3) for _ in range(25))
        return sorted(answer.status_code for answer in await asyncio.gather(*attempts))

    assert at_site(scenario) == [401] * 10 + [429] * 15


def test_one_address_does_not_make_all_others_wait(at_site: Run) -> None:
    async def scenario(site: Any) -> tuple[list[int], set[str], int]:
        attempts = (site.sign_in(f"{n}@example.org", "wrong " * 3) for n in range(25))
        answers = await asyncio.gather(*attempts)
        after = {a.headers["retry-after"] for a in answers if a.status_code == 429}
        await site.add_person(ADA)
        return sorted(a.status_code for a in answers), after, (await site.sign_in(ADA)).status_code

    assert at_site(scenario) == ([401] * 10 + [429] * 15, {"1"}, 200)


def test_a_network_of_ipv6_addresses_is_one_place() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff") == "2001:db8::/64"
    assert network_of("2001:db8:0:1::1") != network_of("2001:db8::1")
    assert network_of("::ffff:198.51.100.7") == network_of("198.51.100.7") == "198.51.100.7"
    assert network_of(address_of({"client": ("fe80::1%eth0", 1)})) == "fe80::/64"
    assert address_of({"client": ("<script>", 1)}) == address_of({"client": None}) == "unknown"


@pytest.mark.parametrize("path", ["/api/auth/sign-in", "/api/auth/token", "/api/auth/sign-out"])
def test_a_page_of_another_origin_is_refused(at_site: Run, path: str) -> None:
    foreign = ["https://evil.example", "null", ORIGIN + "0", ORIGIN + "/", "http://127.0.0.1"]

    async def scenario(site: Any) -> tuple[set[int], int]:
        await site.add_person(ADA)
        await site.sign_in(ADA)
        body = {"email": ADA, "password": PASSWORD}
        statuses = {
            (await site.client.post(path, json=body, headers={"origin": o})).status_code
            for o in foreign
        }
        kept = await site.client.post("/api/auth/token", headers={"origin": ORIGIN})
        return statuses, kept.status_code

    assert at_site(scenario) == ({403}, 200)


def test_a_session_gives_fresh_tokens_to_our_own_page_only(at_site: Run) -> None:
    async def scenario(site: Any) -> tuple[int, Any, int]:
        await site.add_person(ADA)
        await site.sign_in(ADA)
        without = await site.client.post("/api/auth/token")
        fresh = await site.client.post("/api/auth/token", headers={"origin": ORIGIN})
        status = await site.status(fresh.json()["access_token"])
        return without.status_code, fresh, status

    without, fresh, status = at_site(scenario)
    assert (without, fresh.status_code, status) == (403, 200, 200)
    assert fresh.headers["cache-control"] == "no-store"


def test_signing_out_ends_the_session_for_a_stolen_cookie_too(at_site: Run) -> None:
    async def scenario(site: Any) -> tuple[Any, int]:
        await site.add_person(ADA)
        await site.sign_in(ADA)
        stolen = site.client.cookies["mc_session"]
        out = await site.client.post("/api/auth/sign-out", headers={"origin": ORIGIN})
        headers = {"origin": ORIGIN, "cookie": f"mc_session={stolen}"}
        return out, (await site.client.post("/api/auth/token", headers=headers)).status_code

    out, status = at_site(scenario)
    assert (out.status_code, status) == (204, 401)
    assert 'mc_session=""' in out.headers["set-cookie"]


@pytest.mark.parametrize("how", ["cookie", "token"])
def test_signing_out_ends_the_tokens_and_tickets_of_that_session_and_no_other(
    at_site: Run, how: str
) -> None:
    async def scenario(site: Any) -> Any:
        await site.add_person(ADA)
        other = (await site.sign_in(ADA)).json()["access_token"]
        token = (await site.sign_in(ADA)).json()["access_token"]
        ticket = await site.identity.new_ticket(await site.identity.find(token.encode()))
        before = [await site.status(token), await site.status(other)]
        if how == "token":
            site.client.cookies.clear()
        headers = {"authorization": f"Bearer {token}"} if how == "token" else {}
        await site.client.post("/api/auth/sign-out", headers=headers)
        after = [await site.status(token), await site.status(other)]
        return before, after, await site.identity.redeem_ticket(ticket)

    assert at_site(scenario) == ([200, 200], [401, 200], None)


def test_signing_out_elsewhere_ends_every_session_but_this_one(at_site: Run) -> None:
    async def scenario(site: Any) -> Any:
        await site.add_person(ADA)
        await site.add_person("grace@example.org")
        elsewhere = [(await site.sign_in(ADA)).json()["access_token"] for _ in range(2)]
        grace = (await site.sign_in("grace@example.org")).json()["access_token"]
        here = (await site.sign_in(ADA)).json()["access_token"]
        headers = {"authorization": f"Bearer {here}"}
        out = await site.client.post("/api/auth/sign-out-elsewhere", headers=headers)
        cookie = await site.client.post("/api/auth/token", headers={"origin": ORIGIN})
        after = [await site.status(token) for token in (*elsewhere, grace, here)]
        return out.status_code, cookie.status_code, after

    assert at_site(scenario) == (204, 200, [401, 401, 200, 200])


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE guard_members SET disabled = true WHERE user_id = %s",
        "DELETE FROM guard_members WHERE user_id = %s",
        "UPDATE sessions SET expires_at = now() - interval '1 second' WHERE user_id = %s",
    ],
)
def test_a_session_of_someone_shut_out_or_run_out_gives_nothing(at_site: Run, change: str) -> None:
    async def scenario(site: Any) -> int:
        user_id = await site.add_person(ADA)
        await site.sign_in(ADA)
        await site.write(change, user_id)
        answer = await site.client.post("/api/auth/token", headers={"origin": ORIGIN})
        status: int = answer.status_code
        return status

    assert at_site(scenario) == 401


def test_no_cookie_is_a_credential_of_a_route(at_site: Run) -> None:
    async def scenario(site: Any) -> int:
        await site.add_person(ADA)
        await site.sign_in(ADA)
        status: int = (await site.client.get("/read", headers={"origin": ORIGIN})).status_code
        return status

    assert at_site(scenario) == 401


def test_outcomes_are_logged_without_address_or_password(at_site: Run) -> None:
    async def scenario(site: Any) -> tuple[Any, list[tuple[Any, ...]]]:
        user_id = await site.add_person(ADA)
        last = (await site.rows("SELECT coalesce(max(id), 0) FROM auth_log"))[0][0]
        await site.sign_in(ADA, "wrong " * 3)
        token = (await site.sign_in(ADA)).json()["access_token"]
        await site.status("mc_made_up")
        await site.write("UPDATE guard_members SET role = 'viewer' WHERE user_id = %s", user_id)
        site.identity.on_event("workspace.role_changed.v1")
        await site.status(token, "/administer")
        await site.client.post("/api/auth/token", headers={"origin": ORIGIN})
        await site.client.post("/api/auth/sign-out", headers={"origin": ORIGIN})
        query = "SELECT * FROM auth_log WHERE id > %s ORDER BY id"
        return user_id, await site.rows(query, last)

    user_id, rows = at_site(scenario)
    assert [(event, outcome, actor) for _, _, _, event, outcome, actor, _, _ in rows] == [
        ("sign_in", "refused", None),
        ("sign_in", "granted", user_id),
        ("credential", "refused", None),
        ("permission", "refused", user_id),
        ("token", "granted", user_id),
        ("sign_out", "granted", user_id),
    ]
    assert {row[6] for row in rows} == {"198.51.100.7"}
    assert not any(secret in str(rows) for secret in (ADA, PASSWORD, "wrong", "mc_made_up"))


def test_a_flood_of_worthless_credentials_is_no_flood_of_rows(at_site: Run) -> None:
    async def scenario(site: Any) -> int:
        count = "SELECT count(*) FROM auth_log"
        before = (await site.rows(count))[0][0]
        for number in range(400):
            await site.status(f"mc_{number}")
        added: int = (await site.rows(count))[0][0] - before
        return added

    assert at_site(scenario) == 300


@pytest.mark.parametrize("change", ["UPDATE auth_log SET outcome = 'x'", "DELETE FROM auth_log"])
def test_the_log_of_outcomes_can_only_grow(at_site: Run, change: str) -> None:
    async def scenario(site: Any) -> None:
        await site.sign_in(ADA, "wrong " * 3)
        await site.write(change)

    with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        at_site(scenario)


def test_only_hashes_of_sessions_and_keys_are_stored(at_site: Run) -> None:
    async def scenario(site: Any) -> tuple[list[str], str]:
        user_id = await site.add_person(ADA)
        await site.sign_in(ADA)
        _, key = await site.add_agent(user_id)
        principal = await site.identity.authenticate(key.encode(), {})
        ticket = await site.identity.new_ticket(principal)
        tables = ("sessions", "agent_keys", "socket_tickets", "credentials", "auth_log")
        stored = [str(await site.rows(f"SELECT t::text FROM {table} t")) for table in tables]
        secrets = [site.client.cookies["mc_session"], key.split("_", 2)[2], ticket, PASSWORD]
        return secrets, " ".join(stored)

    secrets, stored = at_site(scenario)
    for secret in secrets:
        assert secret not in stored
        assert secret.encode().hex() not in stored


class SlowPasswords(Passwords):
    """The real ones, whose next answer is held back: `asked` is set then, and `go_on` lets it go."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()

    async def verify(self, password: str, stored: str | None) -> Verified | None:
        verified = await super().verify(password, stored)
        if not self.asked.is_set():
            self.asked.set()
            await self.go_on.wait()
        return verified


@pytest.mark.parametrize("late", ["sign-in", "change"])
def test_the_old_password_does_nothing_more_once_it_was_changed(at_site: Run, late: str) -> None:
    new, other = "staple battery horse correct", "horse correct staple battery"

    async def scenario(site: Any) -> tuple[int, int, list[tuple[Any, ...]]]:
        user_id = await site.add_person(ADA)
        token = await site.token(user_id)

        async def change(wanted: str) -> httpx.Response:
            body = {"email": ADA, "password": PASSWORD, "new_password": wanted}
            me = {"authorization": f"Bearer {token}"}
            path = "/api/members/me/password"
            return cast("httpx.Response", await site.client.put(path, json=body, headers=me))

        slow = site.app_state.passwords = SlowPasswords()
        verified = asyncio.create_task(site.sign_in(ADA) if late == "sign-in" else change(other))
        await slow.asked.wait()
        changed = await change(new)
        slow.go_on.set()
        answer = await verified
        sessions = await site.rows(
            "SELECT FROM sessions WHERE ended_at IS NULL AND user_id = %s", user_id
        )
        assert (await site.sign_in(ADA, new)).status_code == 200
        return changed.status_code, answer.status_code, sessions

    assert at_site(scenario) == (204, 401, [])


def test_a_password_is_changed_by_whoever_knows_it(at_site: Run) -> None:
    new = "staple battery horse correct"

    async def scenario(site: Any) -> dict[str, Any]:
        ada_id = await site.add_person(ADA)
        await site.add_person("bob@example.org")
        ada = (await site.sign_in(ADA)).json()["access_token"]

        async def change(token: str, email: str, old: str, wanted: str) -> Any:
            return await site.client.put(
                "/api/members/me/password",
                json={"email": email, "password": old, "new_password": wanted},
                headers={"authorization": f"Bearer {token}"},
            )

        return {
            "wrong": await change(ada, ADA, "wrong horse battery staple", new),
            "another's": await change(ada, "bob@example.org", PASSWORD, new),
            "weak": await change(ada, ADA, PASSWORD, "password1234"),
            "done": await change(ada, ADA, PASSWORD, new),
            "old": await site.sign_in(ADA, PASSWORD),
            "new": await site.sign_in(ADA, new),
            "sessions": await site.rows(
                "SELECT count(*) FROM sessions WHERE ended_at IS NULL AND user_id = %s", ada_id
            ),
        }

    found = at_site(scenario)
    statuses = {name: answer.status_code for name, answer in found.items() if name != "sessions"}
    assert statuses == {
        "wrong": 401, "another's": 401, "weak": 422, "done": 204, "old": 401, "new": 200,
    }  # fmt: skip
    assert found["weak"].json()["field"] == "new_password"
    assert found["sessions"] == [(1,)], "only that of the last sign-in is left"
