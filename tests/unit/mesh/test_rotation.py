"""The master key changes at all nodes, whoever ends at whatever step: every node can read everything then and later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds
from tenet.mesh.channel import NodeId
from tenet.mesh.cluster import Cluster
from tenet.mesh.errors import CallFailed, CannotRotate
from tenet.mesh.records import StoredNode, encode, node_key
from tenet.mesh.registry import Registry
from tenet.mesh.rotation import RETIRE, SWITCH, TAKE, Named, Rotation
from tenet.mesh.switchboard import Switchboard, SwitchboardChannel
from tenet.store.contract import Put
from tenet.store.landing import land
from tenet.store.memory import MemoryEngine
from tenet.wire import master
from tenet.wire.errors import MasterKeyUnusable
from tenet.wire.keys import KeyRing
from tenet.wire.master import MasterKeys
from tests.nodes import until
from tests.steps import Died, Steps

CLOCK, IDS = SystemClock(), SystemIds()
NAMES = ("a", "b", "c")
TENANT = "111122223333"


class Stepping:
    """A channel whose calls are steps, each before it is sent and after it was answered."""

    def __init__(self, channel: SwitchboardChannel, step: Steps) -> None:
        self._channel = channel
        self._step = step
        self.node, self.peers, self.handle = channel.node, channel.peers, channel.handle

    async def call(self, peer: NodeId, kind: str, body: bytes, timeout_s: float) -> bytes:
        self._step.take()
        answer = await self._channel.call(peer, kind, body, timeout_s)
        self._step.take()
        return answer


class Site:
    """One node: its file, its view of the store, its part in a rotation."""

    def __init__(self, channel: Any, file: Path, cluster: Cluster, ring: KeyRing, rotation: Rotation) -> None:
        self.channel, self.file, self.cluster, self.ring, self.rotation = channel, file, cluster, ring, rotation

    @property
    def masters(self) -> frozenset[str]:
        return MasterKeys.open(self.file, IDS, may_create=False).names


class World:
    """Three nodes over one store, each of which may be started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = MemoryEngine(clock=CLOCK, ids=IDS)
        self.number = 0
        self.sites: dict[str, Site] = {}
        self.board: Switchboard

    async def start(self, step: Steps | None = None, names: Sequence[str] = NAMES) -> None:
        """Starts all nodes from what is in their files and in the store; the first of them leads with these steps."""
        self.board = Switchboard(CLOCK.monotonic_s)
        channels = [self.board.start(name) for name in names]
        for channel, other in ((one, two) for one in channels for two in channels if one.node < two.node):
            channel.dial(f"{other.node}:1", other.node)
        for at, channel in enumerate(channels):
            used = channel if at or step is None else Stepping(channel, step)
            self.sites[channel.node] = await self._site(used, self.folder / channel.node)
        for channel in channels:
            await until(lambda channel=channel: len(channel.peers()) == len(channels) - 1)  # type: ignore[misc]

    async def _site(self, channel: Any, file: Path) -> Site:
        if self.sites and channel.node not in self.sites:
            MasterKeys.take_over(file, next(iter(self.sites.values())).cluster.master.exported())
        keys = MasterKeys.open(file, IDS, may_create=not self.sites)
        cluster = await Cluster.open(self.store, keys, {}, clock=CLOCK, ids=IDS)
        ring = await KeyRing.open(self.store, keys, clock=CLOCK, ids=IDS)
        await self.join(channel.node)
        registry = await Registry.open(self.store, clock=CLOCK, ids=IDS)
        return Site(channel, file, cluster, ring, Rotation(channel, cluster, registry, lambda: ring, self.alone))

    async def join(self, node: str) -> None:
        """Makes a node a member."""
        put = Put(node_key(NodeId(node)), encode(StoredNode(1, "serving", f"{node}:1", 1, "key")))
        await land(self.store, [put], [], clock=CLOCK, ids=IDS, deadline=CLOCK.monotonic_s() + 5)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[int]:
        self.number += 1
        yield self.number

    async def check(self, secrets: dict[str, str]) -> None:
        """Checks that every node can be started, and reads everything, in memory and from its file."""
        for site in self.sites.values():
            keys = MasterKeys.open(site.file, IDS, may_create=False)
            await Cluster.open(self.store, keys, {}, clock=CLOCK, ids=IDS)
            opened = await KeyRing.open(self.store, keys, clock=CLOCK, ids=IDS)
            await site.ring.refresh()
            for ring in (site.ring, opened):
                found = {key_id: ring.find(key_id) for key_id in secrets}
                assert {key_id: key.secret if key else "" for key_id, key in found.items()} == secrets


def on_world(folder: Path, body: Callable[[World, dict[str, str]], Awaitable[None]], step: Steps | None = None) -> None:
    async def main() -> None:
        world = World(folder)
        await world.start(step)
        made = [await site.ring.create(TENANT) for site in world.sites.values()]
        await body(world, {key.access_key_id: key.secret for key in made})

    asyncio.run(main())


def test_all_nodes_change_to_one_new_key_and_forget_the_former_one(tmp_path: Path) -> None:
    async def body(world: World, secrets: dict[str, str]) -> None:
        (former,) = world.sites["a"].masters
        assert await world.sites["b"].rotation.rotate() == len(secrets) + 1
        assert {site.masters for site in world.sites.values()} == {world.sites["a"].masters}
        assert former not in world.sites["a"].masters
        assert len(world.sites["a"].masters) == 1
        await world.check(secrets)

    on_world(tmp_path, body)


@pytest.mark.thorough
def test_whoever_leads_may_end_at_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = 0
    write = master.write_private
    while True:
        ended += 1
        step = Steps(ended)
        folder = tmp_path / str(ended)
        folder.mkdir()

        def write_in_steps(path: Path, content: bytes, leads: Path = folder / "a", step: Steps = step) -> None:
            if path == leads:
                step.take()
            write(path, content)
            if path == leads:
                step.take()

        has_ended = asyncio.run(
            _ends_once(folder, step, lambda: monkeypatch.setattr(master, "write_private", write_in_steps))
        )
        monkeypatch.setattr(master, "write_private", write)
        if not has_ended:
            break
    # Four rounds of calls to two nodes each, and four changes of the file, begun and done.
    assert ended - 1 >= 20


async def _ends_once(folder: Path, step: Steps, watch_files: Callable[[], None]) -> bool:
    """Lets a leading node end at a step, checks everything, starts all anew, and has another one lead to the end."""
    world = World(folder)
    await world.start(step)
    made = [await site.ring.create(TENANT) for site in world.sites.values()]
    secrets = {key.access_key_id: key.secret for key in made}
    watch_files()
    try:
        await world.sites["a"].rotation.rotate()
        has_ended = False
    except Died:
        has_ended = True
    step.last = 0
    await world.check(secrets)
    # What nodes that live write meanwhile, all can read.
    for name in ("b", "c"):
        late = await world.sites[name].ring.create(TENANT)
        secrets[late.access_key_id] = late.secret
    await world.check(secrets)
    await world.start()
    await world.sites["c"].rotation.rotate()
    await world.check(secrets)
    assert {len(site.masters) for site in world.sites.values()} == {1}
    return has_ended


def test_keys_that_are_made_meanwhile_at_any_node_can_be_read_by_all(tmp_path: Path) -> None:
    async def body(world: World, secrets: dict[str, str]) -> None:
        is_over = asyncio.Event()

        async def create(site: Site) -> None:
            while not is_over.is_set():
                made = await site.ring.create(TENANT)
                secrets[made.access_key_id] = made.secret
                await asyncio.sleep(0.001)

        tasks = [asyncio.create_task(create(site)) for site in world.sites.values()]
        for name in NAMES:
            await world.sites[name].rotation.rotate()
        is_over.set()
        await asyncio.gather(*tasks)
        await world.check(secrets)
        assert {site.masters for site in world.sites.values()} == {world.sites["a"].masters}
        assert len(secrets) > len(NAMES)

    on_world(tmp_path, body)


def test_without_every_node_nothing_begins(tmp_path: Path) -> None:
    async def body(world: World, secrets: dict[str, str]) -> None:
        world.board.kill(NodeId("c"))
        await until(lambda: len(world.sites["a"].channel.peers()) == 1)
        before = [site.file.read_bytes() for site in world.sites.values()]
        with pytest.raises(CannotRotate, match="c cannot be reached from a: start it, or remove it"):
            await world.sites["a"].rotation.rotate()
        assert [site.file.read_bytes() for site in world.sites.values()] == before
        await world.check(secrets)

    on_world(tmp_path, body)


def test_a_node_of_a_version_that_cannot_is_named_and_nothing_begins(tmp_path: Path) -> None:
    async def body(world: World, secrets: dict[str, str]) -> None:
        await world.join("old")
        old = world.board.start("old")
        old.dial("a:1", NodeId("a"))
        await until(old.peers)
        before = world.sites["a"].masters
        with pytest.raises(CannotRotate, match="old runs a version that cannot change it yet"):
            await world.sites["a"].rotation.rotate()
        assert world.sites["a"].masters == before
        await world.check(secrets)

    on_world(tmp_path, body)


def test_nothing_is_forgotten_while_a_node_that_joined_meanwhile_has_not_switched(tmp_path: Path) -> None:
    async def body(world: World, secrets: dict[str, str]) -> None:
        leading = world.sites["a"]
        seal_anew = leading.cluster.seal_anew

        async def joined_by_then() -> int:
            await world.join("d")
            newcomer = world.board.start("d")
            newcomer.dial("a:1", NodeId("a"))
            await until(newcomer.peers)
            return await seal_anew()

        leading.cluster.seal_anew = joined_by_then  # type: ignore[method-assign]
        with pytest.raises(CannotRotate, match="d joined meanwhile"):
            await leading.rotation.rotate()
        assert {len(site.masters) for site in world.sites.values()} == {2}
        await world.check(secrets)

    on_world(tmp_path, body)


def test_what_a_former_leader_still_asks_for_is_refused(tmp_path: Path) -> None:
    async def body(world: World, secrets: dict[str, str]) -> None:
        (former,) = world.sites["a"].masters
        await world.sites["a"].rotation.rotate()
        await world.sites["b"].rotation.rotate()
        (current,) = world.sites["a"].masters
        for kind, names in ((SWITCH, (current,)), (RETIRE, (current, former))):
            with pytest.raises(CallFailed, match="node c follows another node"):
                await world.sites["a"].channel.call(NodeId("c"), kind, msgspec.json.encode(Named(1, names)), 5.0)
        await world.check(secrets)

    on_world(tmp_path, body)


def test_a_key_under_which_something_lies_is_not_forgotten(tmp_path: Path) -> None:
    async def body(world: World, secrets: dict[str, str]) -> None:
        (current,) = world.sites["a"].masters
        asked = msgspec.json.encode(Named(9, (current,)))
        with pytest.raises(CallFailed, match="something lies under it"):
            await world.sites["a"].channel.call(NodeId("b"), RETIRE, asked, 5.0)
        with pytest.raises(CallFailed, match="does not hold the master key 00"):
            await world.sites["a"].channel.call(NodeId("b"), SWITCH, msgspec.json.encode(Named(9, ("00",))), 5.0)
        for kind in (SWITCH, RETIRE, TAKE):
            with pytest.raises(CallFailed, match=r"cannot be read|damaged"):
                await world.sites["a"].channel.call(NodeId("b"), kind, b"{", 5.0)
        await world.check(secrets)

    on_world(tmp_path, body)


def test_the_current_key_stays_whoever_wants_it_gone(tmp_path: Path) -> None:
    keys = MasterKeys.open(tmp_path / "file", IDS, may_create=True)
    (current,) = keys.names
    prepared = keys.prepare()
    keys.retire({current, prepared})
    assert keys.names == {current}
    with pytest.raises(MasterKeyUnusable, match="does not hold the master key"):
        keys.switch(prepared)
