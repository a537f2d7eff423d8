"""Personal fields are sealed: root key → workspace keys → a key per person or agent → fields.

The root key is outside the database (environment, or a file 0600). It wraps workspace keys, they
wrap subject keys, and both live in tables outside the log. Destroying a subject's key makes every
copy of that subject's text unreadable: in the log, in backups, in exports. AES-256-GCM everywhere,
with the identity of what is sealed as associated data, so that no box opens in another's place.
"""

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
import unicodedata
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Self, TypeVar, get_args, get_type_hints
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from commands.append import RowWrite
from domain.base import Event, Sealed
from domain.catalogue import EVENTS
from infra.postgres import Database
from infra.settings import StartRefused

KEY_BYTES = 32
NONCE_BYTES = 12
SUBJECT_KEYS_MAX = 10_000
WORKSPACE_KEYS_MAX = 100_000
SEALED_FIELDS = {"subject_id", "box"}

# One of another root key, if there is any: after a rotation that was broken off, both kinds are there.
STORED_KEY = """
    SELECT workspace_id, wrapped, root_key_id FROM workspace_keys
    ORDER BY root_key_id = %s, workspace_id LIMIT 1"""
INSERT_WORKSPACE_KEY = """
    INSERT INTO workspace_keys (workspace_id, wrapped, root_key_id)
    VALUES (%(workspace_id)s, %(wrapped)s, %(root_key_id)s)"""
INSERT_SUBJECT_KEY = """
    INSERT INTO subject_keys (subject_id, workspace_id, wrapped)
    VALUES (%(subject_id)s, %(workspace_id)s, %(wrapped)s)"""

Key = TypeVar("Key")
Kept = TypeVar("Kept")


class Tampered(Exception):
    """A box does not open with its subject's key in its own place: it was changed or swapped."""


class KeyNotLoaded(LookupError):
    """A key was used that `load` or `load_workspaces` did not fetch: a mistake of the caller.

    It is no None: a reader would take the text for erased, and write that down.
    """


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The key of access tokens; `kid` is the RFC 7638 thumbprint of its public half."""

    private: Ed25519PrivateKey
    kid: str
    jwk: Mapping[str, str]


class RootKey:
    """32 bytes from which everything else follows."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise StartRefused(f"the root key must be {KEY_BYTES} bytes in base64")
        self._key = key
        self._cipher = AESGCM(key)
        self.id = hashlib.sha256(b"mc root key id\0" + key).hexdigest()[:16]

    @classmethod
    def new(cls) -> Self:
        """Return a fresh random key."""
        return cls(secrets.token_bytes(KEY_BYTES))

    @classmethod
    def from_text(cls, text: str, source: str) -> Self:
        """Read base64; `source` names where it came from. Raises `StartRefused`."""
        try:
            return cls(base64.b64decode(text.strip(), validate=True))
        except (binascii.Error, ValueError):
            raise StartRefused(f"{source} is not base64") from None

    def wrap(self, workspace_id: UUID, key: bytes) -> bytes:
        """Encrypt a workspace's key."""
        return _encrypt(self._cipher, key, workspace_id.bytes)

    def unwrap(self, workspace_id: UUID, wrapped: bytes) -> bytes:
        """Decrypt a workspace's key, or raise `Tampered`."""
        return _decrypt(self._cipher, wrapped, workspace_id.bytes)

    def require_fits(self, stored: Sequence[Any] | None) -> None:
        """Raise `StartRefused` if a row of `STORED_KEY` is of another root key, or damaged."""
        if stored is None:
            return
        workspace_id, wrapped, root_key_id = stored
        if root_key_id != self.id:
            raise StartRefused(
                f"the root key {self.id} is not the one of this data ({root_key_id}):"
                " set MC_ROOT_KEY, or bring back the key file"
            )
        try:
            self.unwrap(workspace_id, wrapped)
        except Tampered:
            raise StartRefused(
                "the root key does not open this data: a stored key is damaged"
            ) from None

    def text(self) -> str:
        """Return the key in base64, for its file."""
        return base64.b64encode(self._key).decode()

    def signing_key(self) -> SigningKey:
        """Derive the key that signs access tokens; it changes with the root key."""
        private = Ed25519PrivateKey.from_private_bytes(derive(self._key, b"mc access tokens v1"))
        x = base64.urlsafe_b64encode(private.public_key().public_bytes_raw()).rstrip(b"=").decode()
        required = {"crv": "Ed25519", "kty": "OKP", "x": x}
        thumbed = json.dumps(required, separators=(",", ":"), sort_keys=True).encode()
        kid = base64.urlsafe_b64encode(hashlib.sha256(thumbed).digest()).rstrip(b"=").decode()
        return SigningKey(private, kid, {**required, "kid": kid, "use": "sig", "alg": "EdDSA"})


def root_key(setting: str | None, file: Path) -> RootKey:
    """Return the root key of the setting (base64), else of the file, which is made when absent.

    Raises `StartRefused` for a key of another length, or a file that others may read or we can't.
    """
    if setting is not None:
        return RootKey.from_text(setting, "MC_ROOT_KEY")
    if not file.exists():
        _create_root_file(file)
    if file.stat().st_mode & 0o077:
        raise StartRefused(f"others may read the root key: chmod 600 {file}")
    return read_root_key(file)


def read_root_key(file: Path) -> RootKey:
    """Return the root key in a file; raises `StartRefused` where there is none, or it can't be read."""
    try:
        return RootKey.from_text(file.read_text("ascii", errors="replace"), str(file))
    except OSError as error:
        raise StartRefused(f"cannot read {file}: {error.strerror}") from None


def _create_root_file(file: Path) -> None:
    # Written aside and then linked: a kill half-way must not leave a short key that stops every
    # start, and a link, unlike a rename, fails where another process was first.
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as writer:
            writer.write(RootKey.new().text() + "\n")
            writer.flush()
            os.fsync(writer.fileno())
        try:
            os.link(draft, file)
        except FileExistsError:
            return
    finally:
        draft.unlink()
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class Bounded(Generic[Key, Kept]):
    """The entries used last, at most `size` of them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries = OrderedDict[Key, Kept]()

    def __contains__(self, key: Key) -> bool:
        return key in self._entries

    def get(self, key: Key) -> Kept | None:
        """Return an entry, which is then the one used last."""
        if key not in self._entries:
            return None
        self._entries.move_to_end(key)
        return self._entries[key]

    def put(self, key: Key, kept: Kept) -> None:
        """Keep an entry, and let the one go that was not used for longest."""
        self._entries[key] = kept
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def drop(self, key: Key) -> None:
        """Let an entry go, if it is there."""
        self._entries.pop(key, None)


class WorkspaceKey:
    """Wraps the keys of a workspace's people and agents, and digests their addresses."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._digest_key = derive(key, b"mc email digest v1")

    def wrap(self, subject_id: UUID, key: bytes) -> bytes:
        """Encrypt a subject's key."""
        return _encrypt(self._cipher, key, subject_id.bytes)

    def unwrap(self, subject_id: UUID, wrapped: bytes) -> bytes:
        """Decrypt a subject's key, or raise `Tampered`."""
        return _decrypt(self._cipher, wrapped, subject_id.bytes)

    def digest(self, text: str) -> bytes:
        """Return 32 bytes that are equal for equal texts and tell nothing to who lacks the key."""
        return hmac.digest(self._digest_key, text.encode(), "sha256")


class Vault:
    """Seals and opens personal fields. Keys are fetched by `load…`; the rest is synchronous."""

    def __init__(self, database: Database, root: RootKey) -> None:
        self._database = database
        self._root = root
        self._workspaces = Bounded[UUID, WorkspaceKey](WORKSPACE_KEYS_MAX)
        # None: asked for and not there, so destroyed.
        self._subjects = Bounded[UUID, AESGCM | None](SUBJECT_KEYS_MAX)
        # Made here, and perhaps never committed: what is stored wins as soon as it was loaded.
        self._new = Bounded[UUID, tuple[bytes, AESGCM]](SUBJECT_KEYS_MAX)

    async def start(self) -> None:
        """Check that the root key fits the database, or raise `StartRefused`."""
        async with self._database.system() as connection:
            cursor = await connection.execute(STORED_KEY, [self._root.id])
            self._root.require_fits(await cursor.fetchone())

    # Keys ---------------------------------------------------------------------------------------

    def new_workspace(self, workspace_id: UUID) -> RowWrite:
        """Make a workspace's key, to be stored with its first event; usable here at once."""
        key = AESGCM.generate_key(KEY_BYTES * 8)
        self._workspaces.put(workspace_id, WorkspaceKey(key))
        wrapped = self._root.wrap(workspace_id, key)
        return RowWrite(
            INSERT_WORKSPACE_KEY,
            {"workspace_id": workspace_id, "wrapped": wrapped, "root_key_id": self._root.id},
        )

    def new_subject(self, workspace_id: UUID, subject_id: UUID) -> RowWrite:
        """Make the key of a new person or agent, to be stored with the first event about them.

        It seals here at once; asked again for the same subject, it gives the same key, so that a
        command may be decided afresh. The workspace's key must be loaded.
        """
        made = self._new.get(subject_id)
        if made is None:
            key = AESGCM.generate_key(KEY_BYTES * 8)
            made = (key, AESGCM(key))
            self._new.put(subject_id, made)
        wrapped = self._workspace(workspace_id).wrap(subject_id, made[0])
        return RowWrite(
            INSERT_SUBJECT_KEY,
            {"subject_id": subject_id, "workspace_id": workspace_id, "wrapped": wrapped},
        )

    async def load_workspaces(self, workspace_ids: Iterable[UUID]) -> None:
        """Fetch the keys of workspaces; unknown ids are passed over."""
        wanted = [id_ for id_ in set(workspace_ids) if self._workspaces.get(id_) is None]
        if not wanted:
            return
        async with self._database.briefly() as connection:
            cursor = await connection.execute(
                "SELECT workspace_id, wrapped FROM workspace_keys WHERE workspace_id = ANY(%s)",
                [wanted],
            )
            rows = await cursor.fetchall()
        for workspace_id, wrapped in rows:
            key = self._root.unwrap(workspace_id, wrapped)
            self._workspaces.put(workspace_id, WorkspaceKey(key))

    async def load(self, subject_ids: Iterable[UUID]) -> None:
        """Fetch the keys of at most `SUBJECT_KEYS_MAX` people and agents.

        Always before sealing or opening for a subject that was not made a moment ago. An absent key
        is asked for again each time: it may have been committed since.
        """
        wanted = [id_ for id_ in set(subject_ids) if self._subjects.get(id_) is None]
        if not wanted:
            return
        async with self._database.briefly() as connection:
            cursor = await connection.execute(
                "SELECT subject_id, workspace_id, wrapped FROM subject_keys"
                " WHERE subject_id = ANY(%s)",
                [wanted],
            )
            rows = await cursor.fetchall()
        await self.load_workspaces(workspace_id for _, workspace_id, _ in rows)
        for subject_id in wanted:
            self._subjects.put(subject_id, None)
        for subject_id, workspace_id, wrapped in rows:
            key = self._workspace(workspace_id).unwrap(subject_id, wrapped)
            self._subjects.put(subject_id, AESGCM(key))
            self._new.drop(subject_id)

    def email_digest(self, workspace_id: UUID, email: str) -> bytes:
        """Return what identifies an address in a workspace, whose key must be loaded."""
        return self._workspace(workspace_id).digest(normal_email(email))

    def signing_key(self) -> SigningKey:
        """Return the key that signs access tokens."""
        return self._root.signing_key()

    # Fields -------------------------------------------------------------------------------------

    def seal(self, subject_id: UUID, stream_id: UUID, field: str, text: str) -> Sealed:
        """Seal a text about a subject, for one field of one stream."""
        cipher = self._subjects.get(subject_id) or self._made(subject_id)
        if cipher is None:
            raise KeyNotLoaded(f"no key of subject {subject_id} to seal with")
        box = _encrypt(cipher, text.encode(), _place(subject_id, stream_id, field))
        return Sealed(subject_id, base64.b64encode(box).decode())

    def open(self, sealed: Sealed, stream_id: UUID, field: str) -> str | None:
        """Open a text in its own place; None when its subject's key was destroyed.

        Raises `Tampered` for a box that was changed or comes from another place.
        """
        subject_id = sealed.subject_id
        known = subject_id in self._subjects
        cipher = self._subjects.get(subject_id) or self._made(subject_id)
        if cipher is None:
            if known:
                return None
            raise KeyNotLoaded(f"the key of subject {subject_id} was not loaded")
        try:
            box = base64.b64decode(sealed.box, validate=True)
        except binascii.Error:
            raise Tampered(f"{field} of {stream_id} is not base64") from None
        return _decrypt(cipher, box, _place(subject_id, stream_id, field)).decode()

    def opened(self, event: Event) -> Event:
        """Return an event with its personal fields as text, for whoever folds it."""
        names = PERSONAL_FIELDS.get(event.TOPIC)
        if names is None:
            return event
        texts = {
            name: self.open(value, event.originator_id, name)
            for name in names
            if isinstance(value := getattr(event, name), Sealed)
        }
        if not texts:
            return event
        readable = copy(event)
        readable.__dict__.update(texts)
        return readable

    def open_event(
        self, event_type: str, data: Mapping[str, Any], stream_id: UUID
    ) -> dict[str, Any]:
        """Return an event's decoded JSON data with its personal fields as text (or None).

        Only fields that the event type declares as personal are opened: an agent's `config` may
        look like a sealed text and is none.
        """
        return {
            name: self.open(sealed, stream_id, name)
            if (sealed := _sealed(event_type, name, value))
            else value
            for name, value in data.items()
        }

    def _workspace(self, workspace_id: UUID) -> WorkspaceKey:
        key = self._workspaces.get(workspace_id)
        if key is None:
            raise KeyNotLoaded(f"the key of workspace {workspace_id} was not loaded")
        return key

    def _made(self, subject_id: UUID) -> AESGCM | None:
        made = self._new.get(subject_id)
        return made[1] if made else None


def subjects(event_type: str, data: Mapping[str, Any]) -> set[UUID]:
    """Return whose keys `Vault.open_event` needs for an event's decoded JSON data."""
    found = (_sealed(event_type, name, value) for name, value in data.items())
    return {sealed.subject_id for sealed in found if sealed}


def subjects_of(event: Event) -> set[UUID]:
    """Return whose keys `Vault.opened` needs for an event."""
    names = PERSONAL_FIELDS.get(event.TOPIC)
    if names is None:
        return set()
    values = (getattr(event, name) for name in names)
    return {value.subject_id for value in values if isinstance(value, Sealed)}


async def rotate_root(database: Database, old: RootKey, new: RootKey) -> int:
    """Wrap every workspace key afresh, all or none, and return how many. Stop the servers first.

    Events and subject keys stay as they are. Raises `StartRefused` where a key is wrapped by
    neither.
    """
    async with database.system() as connection, connection.transaction():
        await connection.execute("LOCK TABLE workspace_keys IN EXCLUSIVE MODE")
        cursor = await connection.execute(
            "SELECT workspace_id, wrapped, root_key_id FROM workspace_keys WHERE root_key_id <> %s",
            [new.id],
        )
        rows = await cursor.fetchall()
        for workspace_id, wrapped, root_key_id in rows:
            if root_key_id != old.id:
                raise StartRefused(f"a workspace key is wrapped by another root key: {root_key_id}")
            await connection.execute(
                "UPDATE workspace_keys SET wrapped = %s, root_key_id = %s WHERE workspace_id = %s",
                [new.wrap(workspace_id, old.unwrap(workspace_id, wrapped)), new.id, workspace_id],
            )
    return len(rows)


async def finish_rotation(database: Database, file: Path) -> None:
    """Take up the new root key of a rotation that has committed, if that is left to do.

    One that is not in use is left alone: its rotation may be about to commit. Several programs may do this at a time.
    """
    fresh = new_key_file(file)
    try:
        new = RootKey.from_text(fresh.read_text(), str(fresh))
    except FileNotFoundError:
        return
    async with database.system() as connection:
        cursor = await connection.execute(
            "SELECT 1 FROM workspace_keys WHERE root_key_id = %s LIMIT 1", [new.id]
        )
        in_use = await cursor.fetchone()
    if in_use:
        with suppress(FileNotFoundError):  # another program was quicker
            fresh.rename(file)


def new_key_file(file: Path) -> Path:
    """Return where the next root key is kept until every workspace key is wrapped with it."""
    return file.with_name(f"{file.name}.new")


def normal_email(email: str) -> str:
    """Return the form in which two addresses of one person are equal."""
    return unicodedata.normalize("NFKC", email).strip().casefold()


def derive(key: bytes, purpose: bytes) -> bytes:
    """Derive a 32-byte key for one purpose (HKDF-SHA256)."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=purpose).derive(key)


def _place(subject_id: UUID, stream_id: UUID, field: str) -> bytes:
    return f"{subject_id}:{stream_id}:{field}".encode()


def _encrypt(cipher: AESGCM, text: bytes, place: bytes) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, text, place)


def _decrypt(cipher: AESGCM, box: bytes, place: bytes) -> bytes:
    try:
        return cipher.decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], place)
    except (InvalidTag, ValueError):
        raise Tampered("a sealed text was changed, or moved to another place") from None


def _sealed(event_type: str, name: str, value: object) -> Sealed | None:
    if name not in PERSONAL_FIELDS.get(event_type, ()):
        return None
    if not isinstance(value, dict) or value.keys() != SEALED_FIELDS:
        return None
    return Sealed(UUID(str(value["subject_id"])), value["box"])


def _personal_fields(kind: type[Event]) -> tuple[str, ...]:
    return tuple(name for name, hint in get_type_hints(kind).items() if Sealed in get_args(hint))


PERSONAL_FIELDS: Mapping[str, tuple[str, ...]] = {
    topic: fields for topic, kind in EVENTS.items() if (fields := _personal_fields(kind))
}
"""Event type → its fields of type `Personal`."""
