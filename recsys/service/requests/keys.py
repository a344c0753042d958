"""API keys: random tokens that are shown once, of which a file keeps the digests.

A token has 256 random bits, so that its SHA-256 tells nothing of it and needs no salt.
"""

import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from datasets.errors import DataError, InvalidArgumentError
from datasets.system.files import read_text, reason_of, sync_directory, sync_file
from datasets.system.locks import locked
from datasets.system.temporary import temporary_file
from datasets.texts.suggestions import did_you_mean

Role = Literal["read", "write"]
"""What a key allows: to ask, or to ask and to change the model."""

_PREFIX = "ct_"
_FORMAT = "coldtune-keys"
_LONGEST = 200
"""Characters of a token at most."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@ -]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Key(NamedTuple):
    """A key as its file has it: the token itself is kept nowhere."""

    name: str
    """Who uses it; stands in logs."""
    role: Role
    """What it allows."""
    digest: str
    """Hex SHA-256 of the token."""
    created: str
    """When it was made, in ISO 8601."""

    def allows(self, role: Role) -> bool:
        """Return whether the key allows what a role allows."""
        return self.role == "write" or role == "read"


class KeyFile:
    """A file of keys; read again whenever it has changed.

    Args:
        path: the file; it need not exist.

    Examples:
        >>> keys = KeyFile(folder / "keys.json")
        >>> token = keys.add("player", "read")
        >>> keys.identify(token).name, keys.identify("ct_other") is None
        ('player', True)
        >>> token in (folder / "keys.json").read_text()
        False
        >>> keys.remove("player")
        >>> keys.identify(token) is None
        True
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: tuple[tuple[int, ...] | None, tuple[Key, ...]] | None = None

    def keys(self) -> tuple[Key, ...]:
        """Return all keys, in the order in which they were made; none where there is no file.

        Raises:
            DataError: the file cannot be read, or holds something else.
        """
        # Looked at before it is read: a change in between is seen the next time.
        state = self._state()
        if self._read is None or self._read[0] != state:
            self._read = state, () if state is None else _parse(self.path)
        return self._read[1]

    def identify(self, token: str) -> Key | None:
        """Return the key of a token, None for an unknown one; in the same time for all.

        Raises:
            DataError: as `keys`.
        """
        digest = _digest(token[:_LONGEST])
        found = None
        for key in self.keys():
            if hmac.compare_digest(key.digest, digest) and len(token) <= _LONGEST:
                found = key
        return found

    def add(self, name: str, role: Role) -> str:
        """Make a key and return its token, which cannot be had again.

        Raises:
            InvalidArgumentError: a name that is taken or cannot be one, or another role.
            DataError: the file cannot be read or written.
        """
        if not _NAME.fullmatch(name):
            raise InvalidArgumentError(
                "the name of a key has up to 64 letters, digits, spaces and any of . _ @ -, "
                f"not {name!r}"
            )
        if role not in get_args(Role):
            raise InvalidArgumentError(f"role must be read or write, not {role!r}")
        token = _PREFIX + secrets.token_urlsafe(32)
        created = datetime.now(UTC).isoformat(timespec="seconds")
        with self._changing() as keys:
            if any(key.name == name for key in keys):
                raise InvalidArgumentError(f"{self.path}: there is a key {name!r} already")
            self._write([*keys, Key(name, role, _digest(token), created)])
        return token

    def remove(self, name: str) -> None:
        """Take a key out; it is refused from then on.

        Raises:
            InvalidArgumentError: there is none of this name.
            DataError: the file cannot be read or written.
        """
        with self._changing() as keys:
            names = [key.name for key in keys]
            if name not in names:
                hint = did_you_mean(name, names)
                raise InvalidArgumentError(f"{self.path}: there is no key {name!r}{hint}")
            self._write([key for key in keys if key.name != name])

    @contextmanager
    def _changing(self) -> Iterator[tuple[Key, ...]]:
        """Keep others from changing the file inside the block; yield the keys in it."""
        lock = self.path.with_name(f".{self.path.name}.lock")
        with ExitStack() as stack:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                stack.enter_context(locked(lock, "changing keys", name=str(self.path)))
            except OSError as error:
                raise DataError(f"{self.path}: cannot be written: {error.strerror}") from None
            yield self.keys()

    def _state(self) -> tuple[int, ...] | None:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error.strerror}") from None
        return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def _write(self, keys: list[Key]) -> None:
        document = {"format": _FORMAT, "version": 1, "keys": [key._asdict() for key in keys]}
        try:
            with temporary_file(self.path) as temporary:
                temporary.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
                temporary.chmod(0o600)
                sync_file(temporary)
                temporary.replace(self.path)
            sync_directory(self.path.parent)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be written: {error.strerror}") from None


def default_key_file() -> Path:
    """Return the file that `coldtune key` writes: COLDTUNE_KEYS, or one in ~/.config/coldtune."""
    if named := os.environ.get("COLDTUNE_KEYS"):
        return Path(named)
    configured = os.environ.get("XDG_CONFIG_HOME")
    folder = Path(configured) if configured else Path.home() / ".config"
    return folder / "coldtune" / "keys.json"


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _parse(path: Path) -> tuple[Key, ...]:
    try:
        document = json.loads(read_text(path))
        if document["format"] != _FORMAT or document["version"] != 1:
            raise ValueError("is of another format")
        keys = tuple(
            Key(*(str(one[field]) for field in Key._fields))  # type: ignore[arg-type]
            for one in document["keys"]
        )
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(f"{path}: is no file of keys: {reason_of(error)}") from None
    for key in keys:
        if key.role not in get_args(Role) or not _DIGEST.fullmatch(key.digest):
            raise DataError(f"{path}: key {key.name!r}: its role or its digest cannot be read")
    return keys
