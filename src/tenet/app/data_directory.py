"""What lies in the data directory beside the store, and how a second process finds the server that holds it.

| path | what | mode |
|---|---|---|
| ``store/`` | the embedded store | 0700 |
| ``tls/`` | the local certificate authority, the server's certificate, a trust store for Java | 0700 |
| ``root-key.json`` | the installation's root key | 0600 |
| ``node/`` | what makes it a node of a cluster: name, private key, certificate | 0700 |
| ``running.json`` | where the server that holds the directory answers; gone after a clean stop | 0600 |

The master key lies outside, by default beside the directory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from tenet.app.configuration import ConfigurationError
from tenet.app.settings import Settings
from tenet.store.errors import FULL_ERRNOS, DiskFull

PRIVATE_DIRECTORY: Final = 0o700

Content = TypeVar("Content", bound=Struct)


class RootKey(Struct, frozen=True):
    """The installation's root key.

    Args:
        access_key_id: its id.
        secret_access_key: its secret.
    """

    access_key_id: str
    secret_access_key: str


class Running(Struct, frozen=True):
    """A server that holds the data directory, or held it when it was killed.

    Args:
        endpoint: URL of its listener.
        pid: its process.
        version: of Tenet.
        certificate_file: the certificate that its operator has given it; empty where it has one of the local authority.
    """

    endpoint: str
    pid: int
    version: str
    certificate_file: str = ""


class DataDirectory:
    """Paths and small files of one installation.

    Args:
        settings: say where they are.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.path = Path(settings.data).absolute()

    @property
    def engine_and_location(self) -> tuple[str, str]:
        """The name of the store's engine, and what it is opened with."""
        engine, _, location = self.settings.store.url.partition(":")
        return engine, location or str(self.path / "store")

    def place_for_damaged_store(self) -> Path:
        """Returns a free name beside the store, for a damaged one to be kept under."""
        store = Path(self.engine_and_location[1])
        names = (store.with_name(f"{store.name}.damaged-{number}") for number in count(1))
        return next(name for name in names if not os.path.lexists(name))

    @property
    def own_places(self) -> tuple[Path, ...]:
        """Every file and directory of the installation's own that nothing else may be written to."""
        tls = self.settings.tls
        key = self.master_key_file
        further = [Path(name) for name in (tls.certificate_file, tls.private_key_file) if name]
        location = self.engine_and_location[1]
        store = [] if location.startswith("//") else [Path(location)]  # the other kind of place is a cluster
        return (self.path, *store, key, key.with_name(f".{key.name}.new"), *further)

    @property
    def root_key_file(self) -> Path:
        """The root key."""
        return self.path / "root-key.json"

    @property
    def tls(self) -> Path:
        """Directory of the local certificate authority."""
        return self.path / "tls"

    @property
    def node(self) -> Path:
        """Directory of what makes this a node of a cluster."""
        return self.path / "node"

    @property
    def is_of_node(self) -> bool:
        """Whether it is the data directory of a node, or is being made one.

        Raises:
            ConfigurationError: that cannot be seen.
        """
        file = self.node / "node.json"
        with _looked_at(file):
            return file.exists()

    @property
    def master_key_file(self) -> Path:
        """The key that the secrets of access keys are encrypted under."""
        named = self.settings.keys.master_key_file
        return Path(named).absolute() if named else self.path.with_name(self.path.name + ".master-key")

    @property
    def ca_file(self) -> Path:
        """The certificate of the authority that clients have to trust, as PEM."""
        return self.tls / "ca.pem"

    @property
    def ca_key_file(self) -> Path:
        """The private key of the local certificate authority."""
        return self.tls / "ca-key.pem"

    @property
    def trust_store(self) -> Path:
        """The same certificate as a PKCS #12 trust store, for Java."""
        return self.tls / "ca.p12"

    def make(self) -> None:
        """Creates the directory where it is missing.

        Raises:
            ConfigurationError: it cannot be made or written to.
        """
        try:
            self.path.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
            self.tls.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise ConfigurationError(
                [f"the data directory {self.path} cannot be made: a file is in its way."]
            ) from error
        except OSError as error:
            raise ConfigurationError([f"the data directory {self.path} cannot be made: {error.strerror}."]) from error

    def root_key(self) -> RootKey | None:
        """Returns the root key, or None before the first start."""
        return _read(self.root_key_file, RootKey, "bring it back, or remove it: the next start makes another root key")

    def keep_root_key(self, key: RootKey) -> None:
        """Writes the root key.

        Raises:
            ConfigurationError: it cannot be written.
            DiskFull: there is no room for it.
        """
        _write(self.root_key_file, key)

    def running(self) -> Running | None:
        """Returns who said last that it holds the directory; it may be gone."""
        return _read(self._running_file, Running, "remove it: it only says where a server answers")

    def announce(self, running: Running) -> None:
        """Says that this process holds the directory.

        Raises:
            ConfigurationError: the file cannot be written.
            DiskFull: there is no room for it.
        """
        _write(self._running_file, running)

    def withdraw(self) -> None:
        """Says that nobody holds it any more."""
        self._running_file.unlink(missing_ok=True)

    @property
    def _running_file(self) -> Path:
        return self.path / "running.json"


def _read(path: Path, kind: type[Content], remedy: str) -> Content | None:
    try:
        with _looked_at(path):
            return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise ConfigurationError([f"{path} is damaged ({error}); {remedy}."]) from error


@contextmanager
def _looked_at(path: Path) -> Iterator[None]:
    """Says of a file in the data directory why it cannot be looked at; that it is missing is for the caller.

    Raises:
        ConfigurationError: the message names the file, or what is in the way of its directory.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except PermissionError as error:
        raise ConfigurationError([f"{path} belongs to another user; run this as the one who runs Tenet."]) from error
    except NotADirectoryError as error:
        problem = f"{path.parent} is no directory: a file is in its way. Name the data directory with --data."
        raise ConfigurationError([problem]) from error
    except OSError as error:
        raise ConfigurationError([f"{path} cannot be read: {error.strerror}."]) from error


def _write(path: Path, content: Struct) -> None:
    from tenet.wire.master import write_private

    try:
        write_private(path, msgspec.json.encode(content))
    except OSError as error:
        if error.errno in FULL_ERRNOS:
            raise DiskFull(f"{path} cannot be written: the disk is full. Make room, then start again.") from error
        raise ConfigurationError([f"{path} cannot be written: {error.strerror}."]) from error
