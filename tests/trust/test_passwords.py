"""Passwords (security test 11)."""

import asyncio
import unicodedata

import pytest
from argon2 import PasswordHasher

from infra.passwords import Passwords, WeakPassword, generate, require_strong

GOOD = "correct horse battery staple"
EMAIL = "christopher@example.org"


@pytest.fixture(scope="module")
def passwords() -> Passwords:
    return Passwords()


def test_the_hash_is_argon2id_and_salted(passwords: Passwords) -> None:
    first, second = (asyncio.run(passwords.hash(GOOD)) for _ in range(2))
    assert first.startswith("$argon2id$")
    assert first != second


def test_the_right_password_is_verified_and_another_is_not(passwords: Passwords) -> None:
    stored = asyncio.run(passwords.hash(GOOD))
    assert asyncio.run(passwords.verify(GOOD, stored)) is not None
    assert asyncio.run(passwords.verify(GOOD + "r", stored)) is None


def test_a_missing_account_and_a_damaged_hash_fit_no_password(passwords: Passwords) -> None:
    assert asyncio.run(passwords.verify(GOOD, None)) is None
    assert asyncio.run(passwords.verify(GOOD, "not a hash")) is None


def test_a_hash_of_weaker_parameters_is_made_anew_on_sign_in(passwords: Passwords) -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=8_192, parallelism=1).hash(GOOD)
    verified = asyncio.run(passwords.verify(GOOD, weak))
    assert verified is not None
    assert verified.new_hash is not None
    again = asyncio.run(passwords.verify(GOOD, verified.new_hash))
    assert again is not None
    assert again.new_hash is None


def test_a_wrong_password_never_makes_a_new_hash(passwords: Passwords) -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=8_192, parallelism=1).hash(GOOD)
    assert asyncio.run(passwords.verify("another " + GOOD, weak)) is None


def test_two_keyboards_write_one_password(passwords: Passwords) -> None:
    text = "crème brûlée für alle"
    stored = asyncio.run(passwords.hash(unicodedata.normalize("NFD", text)))
    assert asyncio.run(passwords.verify(unicodedata.normalize("NFC", text), stored)) is not None


def test_long_and_unusual_passwords_are_taken(passwords: Passwords) -> None:
    for password in ("x7 " + "Löwe zahn 雪 🦁 " * 10, "ab3$xyz&" * 32):
        require_strong(password, EMAIL)
        stored = asyncio.run(passwords.hash(password))
        assert asyncio.run(passwords.verify(password, stored)) is not None


def test_the_last_character_of_a_long_password_counts(passwords: Passwords) -> None:
    long = "ab3$xyz&" * 32
    stored = asyncio.run(passwords.hash(long))
    assert asyncio.run(passwords.verify(long[:-1] + "!", stored)) is None


@pytest.mark.parametrize(
    "password",
    [
        "short", "seven-7", "x" * 257, "aaaaaaaaaaaa", "abcabcabcabc", "123456789012",
        "passwordpassword", "Password1234!", "P@ssw0rd1234!", "qwertyuiop123", "1qaz2wsx3edc",
        "iloveyou12345", "Summer2024!!!", "welcome12345!", "letmein-please", "missioncontrol1",
        "christopher@example.org", "Christopher2024", "12christopher!",
    ],
)  # fmt: skip
def test_a_password_that_is_guessed_first_is_refused(password: str) -> None:
    with pytest.raises(WeakPassword) as refused:
        require_strong(password, EMAIL)
    assert refused.value.field == "password"
    assert password not in refused.value.detail


@pytest.mark.parametrize(
    "password", [GOOD, "7392-dragon-55188-kx", "monkey8Fq!72#xw", "tr0ub4dor&3xyzq"]
)
def test_a_password_is_not_refused_for_a_word_in_it(password: str) -> None:
    require_strong(password, EMAIL)


def test_a_short_local_part_refuses_nothing() -> None:
    require_strong("a" + GOOD, "a@example.org")


def test_a_generated_password_is_strong() -> None:
    for _ in range(100):
        require_strong(generate(), EMAIL)
