"""The master key: what the secrets of access keys are encrypted under. It lies in a file apart from the data.

AES-256-GCM (NIST SP 800-38D) with 96-bit random nonces. Every ciphertext is bound to what it belongs to, so that one
cannot be put in another's place. The file holds the current key and, during a rotation, those before it.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from tenet.base.ids import Ids
from tenet.wire.errors import MasterKeyUnusable

_KEY_BYTES = 32
_NONCE_BYTES = 12
_NAME_BYTES = 8


class Sealed(Struct, frozen=True):
    """A secret, encrypted.

    Args:
        master: names the master key that it is encrypted under.
        nonce: 12 bytes.
        ciphertext: with its tag.
    """

    master: str
    nonce: bytes
    ciphertext: bytes


class _File(Struct, frozen=True):
    version: int
    current: str
    keys: dict[str, bytes]


class MasterKeys:
    """The master keys of one file.

    Args:
        path: of the file.
        current: the name of the key to encrypt under.
        keys: 32 bytes each, by name.
        ids: for nonces and new keys.
    """

    def __init__(self, path: Path, current: str, keys: dict[str, bytes], ids: Ids) -> None:
        self._path = path
        self._current = current
        self._keys = keys
        self._ids = ids

    @classmethod
    def open(cls, path: Path, ids: Ids, *, may_create: bool) -> MasterKeys:
        """Reads the file, or makes one.

        Args:
            path: of the file; a new one can be read by its owner alone.
            ids: for nonces and new keys.
            may_create: whether to make one where there is none; not where secrets exist that are encrypted already.

        Raises:
            MasterKeyUnusable: there is none, or it cannot be read, or is damaged.
        """
        file = _read(path)
        if file is not None:
            return cls(path, file.current, file.keys, ids)
        if not may_create:
            raise MasterKeyUnusable(
                f"the master key {path} is missing; without it the secrets of access keys cannot be read. Put it, or a "
                "copy of it, back there. Unless `keys.master_key_file` names another place, it lies beside the data "
                "directory as NAME.master-key: where that was renamed or moved, it is still beside the former name"
            )
        made = cls(path, "", {}, ids)
        made.add()
        return made

    @property
    def current(self) -> str:
        """The name of the key that is encrypted under."""
        return self._current

    def add(self) -> frozenset[str]:
        """Makes a new current key; those before it can still decrypt. Durable when it returns.

        Returns:
            The names of those before it.
        """
        former = self.read_again()
        name = self._ids.draw(_NAME_BYTES).hex()
        self._save(name, {**former, name: self._ids.draw(_KEY_BYTES)})
        return frozenset(former)

    @property
    def names(self) -> frozenset[str]:
        """The names of all keys of the file."""
        return frozenset(self.read_again())

    def prepare(self) -> str:
        """Makes a new key that is not encrypted under yet, and returns its name. Durable when it returns."""
        former = self.read_again()
        name = self._ids.draw(_NAME_BYTES).hex()
        self._save(self._current, {**former, name: self._ids.draw(_KEY_BYTES)})
        return name

    def add_foreign(self, content: bytes) -> None:
        """Adds the keys of another node; the current one stays. Durable when it returns.

        Args:
            content: as from ``exported``.

        Raises:
            MasterKeyUnusable: the content is damaged, or the file is.
        """
        given, found = _decoded(content, "what another node has sent").keys, self.read_again()
        if not given.keys() <= found.keys():
            self._save(self._current, {**given, **found})

    def switch(self, name: str) -> None:
        """Encrypts under another key of the file from now on. Durable when it returns.

        Raises:
            MasterKeyUnusable: the file does not hold it.
        """
        keys = self.read_again()
        if name not in keys:
            raise MasterKeyUnusable(f"{self._path} does not hold the master key {name}")
        if name != self._current:
            self._save(name, keys)

    def retire(self, former: Collection[str]) -> None:
        """Forgets keys under which nothing is encrypted any more. Durable when it returns.

        Args:
            former: their names; what another process has added meanwhile stays, and so does the current key.
        """
        found = self.read_again()
        kept = {name: key for name, key in found.items() if name not in former or name == self._current}
        if kept.keys() != found.keys():
            self._save(self._current, kept)

    def seal(self, secret: bytes, belongs_to: bytes) -> Sealed:
        """Encrypts a secret under the current key.

        Args:
            secret: what to encrypt.
            belongs_to: what it belongs to; only with the same bytes is it decrypted again.
        """
        nonce = self._ids.draw(_NONCE_BYTES)
        ciphertext = AESGCM(self._keys[self._current]).encrypt(nonce, secret, belongs_to)
        return Sealed(self._current, nonce, ciphertext)

    def unseal(self, sealed: Sealed, belongs_to: bytes) -> bytes:
        """Decrypts a secret.

        Raises:
            MasterKeyUnusable: it was encrypted under another key, or for something else, or is damaged.
        """
        key = self._keys.get(sealed.master) or self.read_again().get(sealed.master)
        if key is None:
            raise MasterKeyUnusable(f"{self._path} does not hold the master key {sealed.master}")
        try:
            return AESGCM(key).decrypt(sealed.nonce, sealed.ciphertext, belongs_to)
        except (InvalidTag, ValueError):
            raise MasterKeyUnusable("an encrypted secret is damaged, or not in its place") from None

    def exported(self) -> bytes:
        """Returns the content of the file, for another node of the same cluster to ``take_over``."""
        return msgspec.json.encode(_File(1, self._current, self.read_again()))

    @classmethod
    def take_over(cls, path: Path, content: bytes) -> None:
        """Writes the master keys of another node; those that the file holds already stay in it. Durable on return.

        Args:
            path: of the file.
            content: as from ``exported``.

        Raises:
            MasterKeyUnusable: the content is damaged, or the file is.
        """
        given, found = _decoded(content, "what another node has sent"), _read(path)
        keys = {**(found.keys if found else {}), **given.keys}
        _write(path, _File(1, given.current, keys))

    @staticmethod
    def check_place(path: Path) -> None:
        """Finds out whether the file of the master keys can be written; makes its directory where that is missing.

        Args:
            path: of the file.

        Raises:
            MasterKeyUnusable: it cannot, or there is one that cannot be read.
        """
        _read(path)
        with _explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path.parent):
                pass

    def read_again(self) -> dict[str, bytes]:
        """Takes over what another process has put into the file, and returns the keys by name."""
        file = _read(self._path)
        if file is not None:
            self._current, self._keys = file.current, file.keys
        return self._keys

    def _save(self, current: str, keys: dict[str, bytes]) -> None:
        _write(self._path, _File(1, current, keys))
        self._current, self._keys = current, keys


def _read(path: Path) -> _File | None:
    """Returns what a file holds; None where there is none."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MasterKeyUnusable(f"the master key {path} cannot be read: {error.strerror}") from error
    remedy = ". Bring it back from a copy: without it the secrets of access keys cannot be read"
    return _decoded(content, str(path), remedy)


def _write(path: Path, file: _File) -> None:
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, msgspec.json.encode(file))


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Says of a file that cannot be written which one that is, and which setting names another."""
    try:
        yield
    except OSError as error:
        raise MasterKeyUnusable(
            f"the master key {path} cannot be written: {error.strerror}. Run this as the user whose directory that is,"
            " or name another file by `keys.master_key_file`"
        ) from error


def _decoded(content: bytes, named: str, remedy: str = "") -> _File:
    try:
        file = msgspec.json.decode(content, type=_File)
    except msgspec.DecodeError as error:
        raise MasterKeyUnusable(f"the master key {named} is damaged: {error}{remedy}") from error
    if file.version != 1 or file.current not in file.keys or any(len(k) != _KEY_BYTES for k in file.keys.values()):
        raise MasterKeyUnusable(f"the master key {named} is damaged, or of a later version than this one{remedy}")
    return file


def write_private(path: Path, content: bytes) -> None:
    """Replaces a file at once by one that its owner alone can read; durable when it returns.

    Args:
        path: of the file; its directory has to exist.
        content: all of it.
    """
    temporary = path.with_name(f".{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    replace_durably(path, temporary)


def replace_durably(path: Path, by: Path) -> None:
    """Gives a file the name of another, in whose place it is from then on; durable when it returns.

    Args:
        path: the name, with or without a file.
        by: a file in the same directory that is on the disk.
    """
    by.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
