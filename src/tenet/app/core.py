"""Store, access keys and services of one installation, opened and closed together, without a listener."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from tenet.app.clustering import (
    check_store,
    cooperation_of,
    is_clustered,
    node_of,
    open_cluster,
    rotation_of,
    start_node,
    succession_of,
)
from tenet.app.data_directory import DataDirectory, RootKey
from tenet.app.engines import needing_to_write, open_store
from tenet.app.root_key import Exchanged, RootKeys
from tenet.mesh.jobs import Job, Supervisor, Tenure
from tenet.store.copy_marks import check_opened, check_service, take_into_service
from tenet.store.guard import guarded
from tenet.store.upkept import Upkept
from tenet.wire.keys import KeyRing
from tenet.wire.master import MasterKeys

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.mesh.cluster import Cluster
    from tenet.mesh.cooperation import Cooperation
    from tenet.mesh.node import MeshNode
    from tenet.mesh.rotation import Rotation
    from tenet.mesh.succession import Succession
    from tenet.store.contract import Engine
    from tenet.wire.credentials import AccessKey

#: The background job that looks after the store.
UPKEEP: Final = "store.upkeep"


class Core:
    """An opened installation. Made by ``open``.

    It stands for the access keys where signatures are verified (``wire.credentials.Keys``), so that they can be read
    anew after a restore.

    Args:
        directory: where it lies.
        store: its store.
        clock: time.
        ids: randomness.
    """

    def __init__(self, directory: DataDirectory, store: Engine, *, clock: Clock, ids: Ids) -> None:
        self.directory = directory
        #: The engine by itself, for backups.
        self.engine = store
        #: The same, with what services write to it followed and refused while it is copied.
        self.guard = guarded(store, clock)
        #: The engine as services use it: where there are other nodes, they hint at what they change in it.
        self.store: Engine = self.guard
        self.clock = clock
        self.ids = ids
        self.ring: KeyRing
        self.root_key: RootKey
        self._root_keys: RootKeys
        #: The cluster that this is a node of; None where one process has the store for itself.
        self.cluster: Cluster | None = None
        #: This process as a node that others reach; None until it is started as one.
        self.node: MeshNode | None = None
        #: What it does together with the other nodes; None where there can be none.
        self.cooperation: Cooperation | None = None
        #: Its part in changes of the master key; None where it is no node.
        self.rotation: Rotation | None = None
        #: Its part in exchanges of the cluster's authority; None where it is no node.
        self.succession: Succession | None = None
        #: Runs the background jobs that are this process's.
        self.supervisor = Supervisor(self.store, clock=clock, ids=ids)
        #: Returns an access key, or None where there is none or it was revoked.
        self.find: Callable[[str], AccessKey | None]
        self._watching: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, directory: DataDirectory, *, clock: Clock, ids: Ids, serves: bool = False) -> Core:
        """Opens an installation; at the first start it makes what is missing.

        Args:
            directory: where it lies.
            clock: time.
            ids: randomness.
            serves: whether a server opens it, which then takes the store into service; commands leave a finished copy
                of another store alone, so that the move can be taken back.

        Raises:
            StoreLocked: another process holds it.
            MasterKeyUnusable: there are encrypted secrets, and the key that they are encrypted under is missing.
            NotAMember: the store is a cluster's that this is no node of.
            StoreMoved: it was moved to another store, is a copy that is not complete, or one that a server has to open.
            StoreGone: a server opens it, which was started before, and there is no store.
            ConfigurationError: a file or directory cannot be made or read.
        """
        if serves:
            check_store(directory)
        directory.make()
        with needing_to_write(directory):
            store = await open_store(directory, clock=clock, ids=ids)
        core = cls(directory, store, clock=clock, ids=ids)
        try:
            with needing_to_write(directory):
                if serves:
                    await check_service(store, node=node_of(directory), clock=clock, ids=ids)
                else:
                    await check_opened(store, clock=clock, ids=ids)
                if is_clustered(directory):
                    core.cluster = await open_cluster(directory, core.store, clock=clock, ids=ids)
                await core.read_keys()
        except BaseException:
            await core.guard.close()
            raise
        return core

    async def read_keys(self) -> None:
        """Opens the access keys, as they are in the store now."""
        if self.cluster is not None:
            master = self.cluster.master
        else:
            may_create = self.directory.root_key() is None
            master = MasterKeys.open(self.directory.master_key_file, self.ids, may_create=may_create)
        ring = await KeyRing.open(self.store, master, clock=self.clock, ids=self.ids)
        self._root_keys = RootKeys(self.directory, ring, self.cluster, self.ids, self._have_all_look)
        self.root_key = await self._root_keys.ensure()
        self.ring, self.find = ring, ring.find
        if self._watching is not None:
            await cancelled(self._watching)
            self.watch_keys()

    async def exchange_root_key(self, *, keeps_former: bool) -> Exchanged:
        """Exchanges the root key for a new one; see ``RootKeys.exchange``."""
        exchanged = await self._root_keys.exchange(keeps_former=keeps_former)
        self.root_key = exchanged.root_key
        return exchanged

    async def _have_all_look(self) -> None:
        if self.succession is not None:
            await self.succession.have_all_look()

    def watch_keys(self) -> None:
        """Keeps the access keys up to date from now on."""
        self._watching = asyncio.create_task(self.ring.run())

    async def start_node(self) -> None:
        """Makes this process a node that others reach, where the store is a cluster's.

        Raises:
            NodeExists: another node has its name.
            NodeRemoved: it was removed from the cluster.
            NotAMember: it is a node of another cluster.
            ConfigurationError: its address cannot be listened on.
        """
        if self.cluster is None:
            return
        self.node = await start_node(self.directory, self.cluster, clock=self.clock, ids=self.ids)
        self.cooperation = cooperation_of(self.node, self.store, clock=self.clock, ids=self.ids)
        self.store, self.supervisor = self.cooperation.store, self.cooperation.supervisor
        self.rotation = rotation_of(self.node, self.cluster, self.cooperation, lambda: self.ring)
        self.succession = succession_of(self.node, clock=self.clock, ids=self.ids)
        # From here on other nodes tell of keys that they change.
        await self.read_keys()

    async def take_into_service(self) -> None:
        """Makes sure, when all else is ready, that the store may take requests; the way back from a move ends with it.

        Raises:
            StoreMoved: it may not: it was moved meanwhile, is being copied, or the move to it is being taken back.
        """
        await take_into_service(self.engine, node=node_of(self.directory), clock=self.clock, ids=self.ids)

    async def begin_work(self) -> None:
        """Does the background jobs that are this process's from now on, once services have added theirs.

        Raises:
            StoreError: the store could not serve.
        """
        if isinstance(self.engine, Upkept):
            await self.supervisor.add(Job(UPKEEP, _upkeep_of(self.engine), is_fenced=False))
        if self.cooperation is None:
            self.supervisor.start()
        else:
            await self.cooperation.begin()

    async def end_work(self) -> None:
        """Stops all background jobs, so that other nodes go on with them at once; ``begin_work`` begins again."""
        if self.cooperation is None:
            await self.supervisor.close()
        else:
            await self.cooperation.end()

    def work_figures(self) -> Mapping[str, int]:
        """Returns figures of background jobs, and of other nodes where there can be any, for metrics."""
        if self.cooperation is not None:
            return self.cooperation.figures()
        return {f"jobs_{name}": value for name, value in self.supervisor.figures().items()}

    async def close(self) -> None:
        """Is no node any more, and closes the store."""
        if self._watching is not None:
            await cancelled(self._watching)
        await self.end_work()
        if self.node is not None:
            await self.node.close()
        await self.store.close()


def _upkeep_of(engine: Upkept) -> Callable[[Tenure], Awaitable[None]]:
    async def run(_: Tenure) -> None:
        await engine.keep_up()

    return run


async def cancelled(task: asyncio.Task[None]) -> None:
    """Ends a task of the background and waits until it has ended."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
