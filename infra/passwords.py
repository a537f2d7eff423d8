"""Passwords: Argon2id, off the event loop, and a policy that refuses what is guessed first."""

import asyncio
import re
import secrets
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from domain.base import InvalidValue

PASSWORD_LENGTH_MIN = 8  # OWASP ASVS 6.2.1
PASSWORD_LENGTH_MAX = 256
HASHES_AT_ONCE_MAX = 2
DISTINCT_CHARACTERS_MIN = 5
FILLERS_MAX = 8
LOCAL_PART_LENGTH_MIN = 4

MEMORY_COST_KIB = 47_104
TIME_COST = 2
PARALLELISM = 1


class WeakPassword(InvalidValue):
    """A password that is too short, too long, or among the first that are guessed."""

    code = "weak_password"


@dataclass(frozen=True, slots=True)
class Verified:
    """A right password; `new_hash` is to be stored where the hash's parameters are out of date."""

    new_hash: str | None


class Passwords:
    """Hashes and verifies, at most `HASHES_AT_ONCE_MAX` at once: each takes 46 MiB and a core."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher(
            time_cost=TIME_COST,
            memory_cost=MEMORY_COST_KIB,
            parallelism=PARALLELISM,
            type=Type.ID,
        )
        # Threads of their own bound what runs also when a waiting request is cancelled.
        self._threads = ThreadPoolExecutor(HASHES_AT_ONCE_MAX, thread_name_prefix="argon2")
        self._nobodys_hash = self._hasher.hash(secrets.token_urlsafe())

    async def hash(self, password: str) -> str:
        """Return the hash to store. Check the policy first."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._hasher.hash, normal(password))

    async def verify(self, password: str, stored: str | None) -> Verified | None:
        """Return None for a wrong password.

        `stored` is None where there is no such account: the same work is done all the same, so that
        the time of an answer doesn't tell which addresses have one.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._verify, normal(password), stored)

    def _verify(self, password: str, stored: str | None) -> Verified | None:
        try:
            self._hasher.verify(self._nobodys_hash if stored is None else stored, password)
        except (VerificationError, InvalidHashError):
            return None
        if stored is None:
            return None
        outdated = self._hasher.check_needs_rehash(stored)
        return Verified(self._hasher.hash(password) if outdated else None)


def normal(password: str) -> str:
    """Return the form that is hashed: two keyboards may write one password differently."""
    return unicodedata.normalize("NFKC", password)


def generate() -> str:
    """Return a password for a new account: 24 characters, 144 random bits."""
    return secrets.token_urlsafe(18)


def require_strong(password: str, email: str) -> None:
    """Raise `WeakPassword` for a password that the policy refuses; any characters may be in it."""
    text = normal(password)
    if len(text) < PASSWORD_LENGTH_MIN:
        raise WeakPassword(f"at least {PASSWORD_LENGTH_MIN} characters", field="password")
    if len(text) > PASSWORD_LENGTH_MAX:
        raise WeakPassword(f"at most {PASSWORD_LENGTH_MAX} characters", field="password")
    if is_common(text):
        raise WeakPassword("among the first that are guessed; choose another", field="password")
    if _is_made_of(text, email):
        raise WeakPassword("made of the e-mail address; choose another", field="password")


def is_common(password: str) -> bool:
    """Say whether a password is a well-known one, or a thin disguise of one.

    Well-known passwords are short; what people make of them to reach a minimum length is a repetition,
    a few digits around them, or figures in place of letters.
    """
    lowered = password.casefold()
    if len(set(lowered)) < DISTINCT_CHARACTERS_MIN:
        return True
    if any(lowered in run or lowered[::-1] in run for run in KEYBOARD_RUNS):
        return True
    plain = re.sub(r"[\W\d_]", "", lowered)
    # Figures around a word are figures, those inside may be letters: p@ssw0rd1234!
    inside = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", lowered)
    disguised = re.sub(r"[\W\d_]", "", inside.translate(FIGURES_FOR_LETTERS))
    return any(
        len(lowered) - len(core) <= FILLERS_MAX and COMMON.fullmatch(core)
        for core in (plain, disguised)
    )


def _is_made_of(password: str, email: str) -> bool:
    address = normal(email).strip().casefold()
    local = address.partition("@")[0]
    lowered = password.casefold()
    if lowered == address:
        return True
    if len(local) < LOCAL_PART_LENGTH_MIN or local not in lowered:
        return False
    rest = lowered.replace(local, "")
    return len(rest) <= FILLERS_MAX and not any(char.isalpha() for char in rest)


FIGURES_FOR_LETTERS = str.maketrans("013457@$!", "oleastasi")
KEYBOARD_RUNS = (
    "01234567890" * 24,
    "1234567890" * 26,
    "abcdefghijklmnopqrstuvwxyz" * 10,
    "qwertyuiopasdfghjklzxcvbnm" * 10,
    "qwertzuiopasdfghjklyxcvbnm" * 10,
    "azertyuiopqsdfghjklmwxcvbn" * 10,
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p" * 8,
    "q1w2e3r4t5y6u7i8o9p0" * 13,
    "1q2w3e4r5t6y7u8i9o0p" * 13,
    "a1b2c3d4e5f6g7h8i9j0" * 13,
)
COMMON_WORDS = """
abc abcd access account adam admin administrator agent alex alexander alexis amanda amazing america
amour andrea andrew angel angela angels anthony apple april arsenal asdf asdfgh ashley august austin
baby babygirl bailey banana barcelona baseball basketball batman beautiful beauty benjamin bitcoin
black blink blue bond brandon brian bubbles buster butterfly captain carlos change changeit changeme
charles charlie cheese chelsea chicken chocolate chris christian cocacola coffee computer control
cookie corvette cowboy cowboys crystal dallas daniel danielle david december default demo denver
diamond dolphin donald dragon eagle eagles elizabeth eminem enter everton family february ferrari
fish flower flowers football forever freedom friday friend friends gandalf garfield gemini
george ginger god golden golf google green guest guitar hallo hammer hannah happy harley heart
heaven hello help hockey home hunter iloveyou internet jackson jaguar james january jasmine
jason jasper jennifer jessica jesus john jordan joseph joshua july june junior justin justine key
killer king kitty ladybug legend letmein liberty little liverpool login london louise love lovely
loveme lover lucky maggie manager marina mario marlboro martin master matrix matthew maverick melissa
mercedes merlin michael michelle mickey midnight mission missioncontrol monday money monkey monster
morgan mother mustang my naruto natalie newyork nicholas nicole ninja november october oliver orange
oscar pa panther parola pass passwd passwort password patrick peanut pepper phoenix player please
pokemon police porsche power prince princess private purple qwer qwert qwerty qwertyuiop
rabbit rachel raiders rainbow ranger rebecca red richard robert rockyou root ruby samantha samsung
sandra saturday scooter secret secure security september server sexy shadow shop silver slipknot
smokey snoopy soccer sophie spiderman spring star starwars steelers stella steven success summer
sunday sunshine super superman superuser sweet system taylor temp tennis test tester testing thomas
thunder thursday tiger tigger tinkerbell tomorrow trustno tuesday tweety twitter user vanessa victoria
viking wednesday welcome whatever white william willow windows winner winter wizard word world
yankees yellow york you your zaq zxcv zxcvbn zxcvbnm
"""
COMMON = re.compile(f"(?:{'|'.join(sorted(COMMON_WORDS.split(), key=len, reverse=True))}){{1,3}}")
