"""The root key is exchanged while everything is served, whoever ends at whatever step, at one node or at several."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tenet.app.clustering import open_cluster, start_node
from tenet.app.configuration import load
from tenet.app.core import Core
from tenet.app.data_directory import DataDirectory, RootKey
from tenet.app.root_key import RootKeys
from tenet.base.clock import SystemClock
from tenet.mesh import cluster as cluster_module
from tenet.mesh.cluster import Cluster
from tenet.store.contract import Store
from tenet.store.memory import open_engine
from tenet.wire import keys
from tenet.wire.keys import KeyRing
from tenet.wire.master import MasterKeys
from tests.nodes import IDS, on_loop, until
from tests.steps import Died, Steps

CLOCK = SystemClock()
ALONE: dict[str, Any] = {}
NODE: dict[str, Any] = {"mesh.listen": "127.0.0.1:0", "mesh.name": "one"}


def directory(path: Path, flags: dict[str, Any] = ALONE) -> DataDirectory:
    made = DataDirectory(load(None, {}, {"data": str(path)} | flags).settings)
    made.make()
    return made


async def opened(path: Path, flags: dict[str, Any] = ALONE) -> Core:
    return await Core.open(directory(path, flags), clock=CLOCK, ids=IDS)


def roots(ring: KeyRing) -> list[str]:
    return [info.access_key_id for info in ring.list() if info.is_root]


def works(ring: KeyRing, root_key: RootKey | None) -> bool:
    found = ring.find(root_key.access_key_id) if root_key is not None else None
    assert root_key is not None
    return found is not None and found.secret == root_key.secret_access_key and found.principal.is_root


@pytest.mark.parametrize("flags", [ALONE, NODE])
def test_a_new_root_key_takes_the_place_of_the_former_one_for_good(tmp_path: Path, flags: dict[str, Any]) -> None:
    async def main() -> None:
        core = await opened(tmp_path / "data", flags)
        former = core.root_key
        await core.ring.create("111122223333", access_key_id="mine", secret="my-own-secret")
        exchanged = await core.exchange_root_key(keeps_former=False)
        assert exchanged.revoked == [former.access_key_id]
        assert exchanged.root_key == core.root_key == core.directory.root_key() != former
        assert roots(core.ring) == [core.root_key.access_key_id]
        await core.close()
        again = await opened(tmp_path / "data", flags)
        assert again.root_key == exchanged.root_key == again.directory.root_key()
        assert roots(again.ring) == [again.root_key.access_key_id]
        assert works(again.ring, again.root_key)
        assert again.find("mine") is not None
        await again.close()

    on_loop(main)


@pytest.mark.parametrize("flags", [ALONE, NODE])
def test_the_former_root_key_may_stay_until_it_is_revoked(tmp_path: Path, flags: dict[str, Any]) -> None:
    async def main() -> None:
        core = await opened(tmp_path / "data", flags)
        former = core.root_key
        exchanged = await core.exchange_root_key(keeps_former=True)
        assert exchanged.revoked == ()
        assert works(core.ring, former)
        assert works(core.ring, exchanged.root_key)
        await core.ring.revoke(former.access_key_id)
        await core.close()
        again = await opened(tmp_path / "data", flags)
        assert roots(again.ring) == [exchanged.root_key.access_key_id]
        await again.close()

    on_loop(main)


@contextmanager
def counted(steps: Steps) -> Iterator[None]:
    """Counts commits and changes of the root key's file, each before and after it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "land", steps.land)
        patch.setattr(cluster_module, "land", steps.land)
        patch.setattr(DataDirectory, "keep_root_key", steps.around(DataDirectory.keep_root_key))
        yield


@pytest.mark.thorough
@pytest.mark.parametrize(("flags", "steps_min"), [(ALONE, 6), (NODE, 8)])
def test_whoever_exchanges_it_may_end_at_every_step(tmp_path: Path, flags: dict[str, Any], steps_min: int) -> None:
    async def ends(path: Path, last: int) -> bool:
        core = await opened(path, flags)
        steps = Steps(last)
        try:
            with counted(steps):
                await core.exchange_root_key(keeps_former=False)
            has_ended = False
        except Died:
            has_ended = True
        await core.ring.refresh()
        # Commands go on to sign with what the file holds, with this process and with the next one.
        assert works(core.ring, core.directory.root_key())
        await core.close()
        again = await opened(path, flags)
        assert works(again.ring, again.directory.root_key())
        assert again.root_key == again.directory.root_key()
        left = roots(again.ring)
        exchanged = await again.exchange_root_key(keeps_former=False)
        assert sorted(exchanged.revoked) == sorted(left)
        assert roots(again.ring) == [exchanged.root_key.access_key_id]
        assert works(again.ring, again.directory.root_key())
        await again.close()
        return has_ended

    last = 1
    while asyncio.run(ends(tmp_path / str(last), last)):
        last += 1
    assert last - 1 >= steps_min


class Site:
    """A node's files, and its view of what the nodes agree upon."""

    def __init__(self, place: DataDirectory, cluster: Cluster, ring: KeyRing) -> None:
        self.place, self.cluster, self.ring = place, cluster, ring
        self.root_keys = RootKeys(place, ring, cluster, IDS)

    @classmethod
    async def open(cls, path: Path, store: Store, like: Site | None = None) -> Site:
        place = directory(path, NODE)
        if like is not None:
            MasterKeys.take_over(place.master_key_file, like.cluster.master.exported())
        cluster = await open_cluster(place, store, clock=CLOCK, ids=IDS)
        return cls(place, cluster, await KeyRing.open(store, cluster.master, clock=CLOCK, ids=IDS))


def test_of_many_exchanges_at_once_at_several_nodes_one_root_key_is_left(tmp_path: Path) -> None:
    async def main() -> None:
        store = await open_engine("", clock=CLOCK, ids=IDS)
        first = await Site.open(tmp_path / "0", store)
        await first.root_keys.ensure()
        sites = [first, *[await Site.open(tmp_path / str(n), store, first) for n in range(1, 4)]]
        await asyncio.gather(*(site.root_keys.exchange(keeps_former=False) for site in sites for _ in range(3)))
        for site in sites:
            await site.ring.refresh()
            await site.cluster.refresh()
        (left,) = roots(first.ring)
        agreed = await first.root_keys.ensure()
        assert agreed.access_key_id == left
        assert all(works(site.ring, agreed) for site in sites)
        # Whoever starts later has the same in its file.
        again = await Site.open(tmp_path / "0", store)
        assert again.place.root_key() == agreed

    on_loop(main)


def test_a_node_that_starts_meanwhile_does_not_bring_the_former_root_key_back(tmp_path: Path) -> None:
    async def main() -> None:
        store = await open_engine("", clock=CLOCK, ids=IDS)
        first = await Site.open(tmp_path / "first", store)
        former = await first.root_keys.ensure()
        # It has read what was agreed upon, and has put down the file; then the exchange comes, from its first step to
        # its last.
        late = await Site.open(tmp_path / "late", store, first)
        assert late.place.root_key() == former
        exchanged = await first.root_keys.exchange(keeps_former=False)
        await late.ring.refresh()
        assert await late.root_keys.ensure() == exchanged.root_key == late.place.root_key()
        assert roots(late.ring) == [exchanged.root_key.access_key_id]
        assert late.ring.find(former.access_key_id) is None

    on_loop(main)


def test_nodes_that_run_have_the_new_root_key_within_seconds(tmp_path: Path) -> None:
    async def main() -> None:
        store = await open_engine("", clock=CLOCK, ids=IDS)
        first = await Site.open(tmp_path / "first", store)
        former = await first.root_keys.ensure()
        second = await Site.open(tmp_path / "second", store, first)
        nodes = [
            await start_node(site.place, site.cluster, clock=CLOCK, ids=IDS)
            for site in (
                first,
                Site(directory(tmp_path / "second", NODE | {"mesh.name": "two"}), second.cluster, second.ring),
            )
        ]
        assert second.place.root_key() == former
        exchanged = await first.root_keys.exchange(keeps_former=False)
        began_s = CLOCK.monotonic_s()
        await until(lambda: second.place.root_key() == exchanged.root_key)
        assert CLOCK.monotonic_s() - began_s < 3
        for node in nodes:
            await node.close()

    on_loop(main)


def test_a_file_that_could_not_be_written_is_written_later(tmp_path: Path) -> None:
    async def main() -> None:
        store = await open_engine("", clock=CLOCK, ids=IDS)
        first = await Site.open(tmp_path / "first", store)
        await first.root_keys.ensure()
        second = await Site.open(tmp_path / "second", store, first)
        is_full, told = True, list[bytes]()

        def put_down() -> None:
            if is_full and told:
                raise OSError("full")
            told.append(second.cluster.shared["root-key"])

        listener: Callable[[], None] = put_down
        second.cluster.on_change(listener)
        await first.root_keys.exchange(keeps_former=False)
        with pytest.raises(OSError, match="full"):
            await second.cluster.refresh()
        is_full = False
        assert await second.cluster.refresh()
        assert told[-1] == first.cluster.shared["root-key"] != told[0]
        assert not await second.cluster.refresh()

    on_loop(main)
