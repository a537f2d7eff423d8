"""Passwords: Argon2id, off the event loop, a few at a time."""

import asyncio
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from domain.base import InvalidValue

LENGTH_MIN = 8  # the least that NIST SP 800-63B and OWASP ASVS 6.2.1 take
LENGTH_MAX = 256
AT_ONCE_MAX = 2  # each takes 64 MiB and a core

COMMON = frozenset(
    """password1234 passwordpassword 123456789012 1234567890123 qwertyuiopas qwertyuiop12 qwerty123456
    letmeinletmein iloveyouiloveyou administrator adminadminadmin welcome12345 welcomewelcome monkeymonkey
    passw0rd1234 password12345 password123456 1q2w3e4r5t6y 1qaz2wsx3edc zaq12wsxcde3 abcdefghijkl abcd1234abcd
    aaaaaaaaaaaa 000000000000 111111111111 121212121212 123123123123 changemechangeme defaultpassword
    missioncontrol mission-control trustno1trustno1 football1234 baseball1234 superman1234 dragondragon
    sunshine1234 princess1234 qazwsxedcrfv asdfghjklqwe zxcvbnmasdfg q1w2e3r4t5y6 123qweasdzxc
    password password1 12345678 123456789 1234567890 qwertyui qwerty123 iloveyou sunshine princess football
    baseball superman trustno1 letmein1 welcome1 passw0rd changeme""".split()
)


class Passwords:
    """Hashes and verifies; the bound on how many at once keeps a flood from taking the machine."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._turn = asyncio.Semaphore(AT_ONCE_MAX)
        self._nobody: str | None = None

    async def hash(self, password: str) -> str:
        """Return the hash of a new password; raises `InvalidValue` for one that is easily guessed."""
        normal = _normal(password)
        if not LENGTH_MIN <= len(normal) <= LENGTH_MAX:
            raise InvalidValue(f"{LENGTH_MIN} to {LENGTH_MAX} characters", field="password")
        if normal.casefold().replace(" ", "") in COMMON or len(set(normal)) < 4:
            raise InvalidValue("this password is among the first that are tried", field="password")
        async with self._turn:
            return await asyncio.to_thread(self._hasher.hash, normal)

    async def verify(self, password: str, stored: str | None) -> bool:
        """Tell whether a password fits; takes as long where there is no account."""
        async with self._turn:
            if stored is None:
                if self._nobody is None:
                    self._nobody = await asyncio.to_thread(self._hasher.hash, "nobody's password")
                await asyncio.to_thread(self._fits, self._nobody, _normal(password))
                return False
            return await asyncio.to_thread(self._fits, stored, _normal(password))

    def outdated(self, stored: str) -> bool:
        """Tell whether a hash was made with weaker parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    async def rehash(self, password: str) -> str:
        """Return a hash by today's parameters of a password that was just verified."""
        async with self._turn:
            return await asyncio.to_thread(self._hasher.hash, _normal(password))

    def _fits(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False


def _normal(password: str) -> str:
    return unicodedata.normalize("NFKC", password)
