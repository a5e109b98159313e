"""An installation opens the same way after every kind of accident: its root key works, or the message says why not."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import msgspec
import pytest

from tenet.app import core as core_module
from tenet.app.clustering import StoreGone
from tenet.app.configuration import ConfigurationError
from tenet.app.core import Core
from tenet.app.data_directory import DataDirectory, RootKey
from tenet.app.engines import needing_to_write
from tenet.app.settings import Settings, StoreSettings
from tenet.app.unusable_keys import unusable_keys
from tenet.base.clock import ManualClock
from tenet.base.errors import TenetError
from tenet.base.ids import SeededIds
from tenet.store.contract import Backups
from tenet.store.errors import DiskFull, ReadOnlyStore, StoreLocked
from tenet.store.sqlite.lock import DirectoryLock
from tenet.wire.errors import MasterKeyUnusable
from tenet.wire.keys import KeyRing
from tenet.wire.master import MasterKeys


def directory(path: Path) -> DataDirectory:
    return DataDirectory(Settings(data=str(path / "data")))


async def opened(path: Path, seed: int = 1) -> Core:
    return await Core.open(directory(path), clock=ManualClock(), ids=SeededIds(seed))


def secret_of(core: Core, access_key_id: str) -> str:
    found = core.find(access_key_id)
    assert found is not None
    return found.secret


def test_the_first_start_makes_a_root_key_that_later_starts_keep(tmp_path: Path) -> None:
    async def main() -> None:
        first = await opened(tmp_path)
        made = first.root_key
        found = first.find(made.access_key_id)
        assert found is not None
        assert found.principal.is_root
        assert found.principal.tenant == "000000000000"
        await first.close()
        again = await opened(tmp_path, seed=2)
        assert again.root_key == made
        assert secret_of(again, made.access_key_id) == made.secret_access_key
        await again.close()

    asyncio.run(main())


def test_a_start_that_ended_after_writing_the_file_goes_on_with_it(tmp_path: Path) -> None:
    async def main() -> None:
        place = directory(tmp_path)
        place.make()
        core = await opened(tmp_path)
        await core.close()
        place.keep_root_key(RootKey("AKIAWRITTENBEFORE", "the-secret-of-then"))
        core = await opened(tmp_path)
        assert secret_of(core, "AKIAWRITTENBEFORE") == "the-secret-of-then"
        await core.close()

    asyncio.run(main())


async def served(path: Path, seed: int = 1) -> Core:
    """The same as a server opens it."""
    return await Core.open(directory(path), clock=ManualClock(), ids=SeededIds(seed), serves=True)


def names_below(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


@pytest.mark.parametrize("left", ["nothing", "a mount point", "an empty volume", "a lock"])
def test_where_the_store_is_gone_no_empty_one_is_served_in_its_place(tmp_path: Path, left: str) -> None:
    async def main() -> None:
        core = await served(tmp_path)
        await core.close()
        store = tmp_path / "data" / "store"
        lock = (store / "tenet.lock").read_bytes()
        shutil.rmtree(store)
        if left != "nothing":
            store.mkdir()
        if left == "an empty volume":
            (store / "lost+found").mkdir()
        if left == "a lock":
            (store / "tenet.lock").write_bytes(lock)
        before = names_below(tmp_path)
        for _ in range(2):
            with pytest.raises(StoreGone, match=f"there is no store in {store}: it may be on a volume that is not"):
                await served(tmp_path)
        assert names_below(tmp_path) == before
        # What the message says of a store that is to be empty; the root key is the former one.
        store.mkdir(exist_ok=True)
        (store / "tenet.lock").write_bytes(b"")
        again = await served(tmp_path, seed=2)
        assert again.root_key == core.root_key
        await again.close()
        await (await served(tmp_path)).close()

    asyncio.run(main())


def test_no_first_start_is_refused_wherever_an_earlier_one_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(Exception):
        """The process ends here."""

    def interrupt(*_: object, **__: object) -> None:
        raise Interrupted

    async def main() -> None:
        # In the order in which they are come to: the store is there before the root key's file is.
        steps: list[tuple[object, str]] = [
            (DataDirectory, "make"),
            (DirectoryLock, "note_opened"),
            (core_module, "check_service"),
            (MasterKeys, "open"),
            (KeyRing, "open"),
            (DataDirectory, "keep_root_key"),
            (KeyRing, "create"),
        ]
        for number, (place, name) in enumerate(steps):
            with monkeypatch.context() as patched:
                patched.setattr(place, name, interrupt)
                with pytest.raises(Interrupted):
                    await served(tmp_path / str(number))
            core = await served(tmp_path / str(number), seed=2)
            assert secret_of(core, core.root_key.access_key_id) == core.root_key.secret_access_key
            await core.close()

    asyncio.run(main())


def test_a_lost_root_key_is_made_anew(tmp_path: Path) -> None:
    async def main() -> None:
        core = await opened(tmp_path)
        lost = core.root_key
        await core.close()
        directory(tmp_path).root_key_file.unlink()
        core = await opened(tmp_path, seed=2)
        assert core.root_key != lost
        assert secret_of(core, core.root_key.access_key_id) == core.root_key.secret_access_key
        await core.ring.revoke(lost.access_key_id)
        await core.close()

    asyncio.run(main())


def test_a_lost_master_key_is_an_error_that_names_it(tmp_path: Path) -> None:
    async def main() -> None:
        core = await opened(tmp_path)
        await core.close()
        core.directory.master_key_file.unlink()
        with pytest.raises(MasterKeyUnusable, match=r"data\.master-key is missing"):
            await opened(tmp_path)
        assert not core.directory.master_key_file.exists()
        # Nothing is left open: the same directory opens as soon as the key is there, or both are given up.
        core.directory.root_key_file.unlink()
        again = await opened(tmp_path, seed=2)
        assert again.find(again.root_key.access_key_id) is not None
        assert again.find(core.root_key.access_key_id) is None
        await again.close()

    asyncio.run(main())


def test_a_backup_from_before_a_rotation_brings_no_key_but_the_root_key_works(tmp_path: Path) -> None:
    async def main() -> None:
        core = await opened(tmp_path)
        await core.ring.create("000000000000", access_key_id="mine", secret="my-own-secret")
        store = core.engine
        assert isinstance(store, Backups)
        await store.backup(str(tmp_path / "backup"))
        await core.ring.rotate_master()
        await store.restore(str(tmp_path / "backup"))
        await core.read_keys()
        assert core.find("mine") is None
        unusable = [info for info in core.ring.list() if info.unusable]
        assert [info.access_key_id for info in unusable] == ["mine"]
        assert unusable_keys(core.ring.list()).startswith(
            f"1 of 2 access keys cannot be read, and what they sign is refused: {unusable[0].unusable}. "
        )
        assert unusable_keys([info for info in core.ring.list() if not info.unusable]) == ""
        assert secret_of(core, core.root_key.access_key_id) == core.root_key.secret_access_key
        assert sorted(info.access_key_id for info in core.ring.list() if info.is_root) == [core.root_key.access_key_id]
        await core.close()

    asyncio.run(main())


def test_two_of_one_directory_are_refused(tmp_path: Path) -> None:
    async def main() -> None:
        core = await opened(tmp_path)
        with pytest.raises(StoreLocked, match="in use"):
            await opened(tmp_path)
        await core.close()

    asyncio.run(main())


def test_an_unknown_engine_is_named_with_those_that_exist(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(Settings(data=str(tmp_path)), store=StoreSettings(url="oracle:x"))
    with pytest.raises(ConfigurationError, match=r"'oracle'; installed are: .*sqlite"):
        asyncio.run(Core.open(DataDirectory(settings), clock=ManualClock(), ids=SeededIds(1)))


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (DiskFull("writing goes on by itself"), "no room is left .* Free some, then try again"),
        (ReadOnlyStore("writing goes on by itself"), "cannot be written to, .* Mount it writable"),
    ],
)
def test_a_disk_that_refuses_writes_while_opening_is_not_said_to_recover_by_itself(
    tmp_path: Path, error: TenetError, says: str
) -> None:
    with pytest.raises(type(error), match=says) as told, needing_to_write(directory(tmp_path)):
        raise error
    assert "by itself" not in told.value.message
    assert str(tmp_path / "data" / "store") in told.value.message


def test_a_root_key_that_cannot_be_written_is_an_error_that_names_its_file(tmp_path: Path) -> None:
    async def main() -> None:
        place = directory(tmp_path)
        place.make()
        # A directory is in the way of the new file.
        (tmp_path / "data" / ".root-key.json.new").mkdir()
        with pytest.raises(ConfigurationError, match=r"root-key\.json cannot be written: "):
            await opened(tmp_path)

    asyncio.run(main())
