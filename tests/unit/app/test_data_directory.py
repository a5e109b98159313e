"""The small files of a data directory: private, whole or absent, and read back as they were written."""

from __future__ import annotations

import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from tenet.app.configuration import ConfigurationError
from tenet.app.data_directory import DataDirectory, RootKey, Running
from tenet.app.settings import Keys, Settings, StoreSettings
from tenet.store.errors import DiskFull


def directory(path: Path, **changes: msgspec.Struct) -> DataDirectory:
    made = DataDirectory(msgspec.structs.replace(Settings(data=str(path)), **changes))
    made.make()
    return made


def test_secrets_are_private_and_survive(tmp_path: Path) -> None:
    data = directory(tmp_path / "data")
    assert data.root_key() is None
    data.keep_root_key(RootKey("id", "secret"))
    assert data.root_key() == RootKey("id", "secret")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "data").iterdir()}
    assert modes == {"root-key.json": 0o600, "tls": 0o700}
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_a_running_server_is_announced_until_it_stops(tmp_path: Path) -> None:
    data = directory(tmp_path / "data")
    running = Running(endpoint="https://127.0.0.1:8000", pid=1, version="1.0")
    data.announce(running)
    assert data.running() == running
    data.withdraw()
    assert data.running() is None
    data.withdraw()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    data = directory(tmp_path / "data")
    (tmp_path / "data" / "root-key.json").write_bytes(b'{"access_key_id": ')
    with pytest.raises(ConfigurationError, match=r"root-key\.json is damaged .*; bring it back, or remove it"):
        data.root_key()
    (tmp_path / "data" / "running.json").write_bytes(b"{")
    with pytest.raises(ConfigurationError, match=r"running\.json is damaged .*; remove it"):
        data.running()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigurationError, match=r"cannot be made: a file is in its way"):
        directory(tmp_path / "file" / "data")


def test_a_damaged_store_never_takes_a_name_twice(tmp_path: Path) -> None:
    data = directory(tmp_path / "data")
    assert data.place_for_damaged_store() == tmp_path / "data" / "store.damaged-1"
    (tmp_path / "data" / "store.damaged-1").mkdir()
    (tmp_path / "data" / "store.damaged-2").symlink_to("nowhere")
    assert data.place_for_damaged_store() == tmp_path / "data" / "store.damaged-3"


def test_the_master_key_lies_apart(tmp_path: Path) -> None:
    assert directory(tmp_path / "data").master_key_file == tmp_path / "data.master-key"
    named = directory(tmp_path / "data", keys=Keys(master_key_file=str(tmp_path / "key")))
    assert named.master_key_file == tmp_path / "key"


def test_the_store_lies_in_the_directory_unless_its_url_says_otherwise(tmp_path: Path) -> None:
    assert directory(tmp_path / "data").engine_and_location == ("sqlite", str(tmp_path / "data" / "store"))
    elsewhere = directory(tmp_path / "data", store=StoreSettings(url="sqlite:/elsewhere"))
    assert elsewhere.engine_and_location == ("sqlite", "/elsewhere")


@contextmanager
def no_room() -> Iterator[None]:
    """For the length of a block no file of this process can grow, which is what a full disk does to it."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_file_without_room_is_told_from_one_that_may_not_be_written(tmp_path: Path) -> None:
    data = directory(tmp_path / "data")
    with no_room(), pytest.raises(DiskFull, match=r"root-key\.json cannot be written: the disk is full\. Make room"):
        data.keep_root_key(RootKey("id", "secret"))
    (tmp_path / "data" / "running.json").mkdir()
    with pytest.raises(ConfigurationError, match=r"running\.json cannot be written: Is a directory\."):
        data.announce(Running(endpoint="https://127.0.0.1:8000", pid=1, version="1.0"))
    assert data.root_key() is None
