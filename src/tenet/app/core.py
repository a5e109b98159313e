"""Store, access keys and services of one installation, opened and closed together, without a listener."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from typing import TYPE_CHECKING, Final

from tenet.app.data_directory import DataDirectory, RootKey
from tenet.app.engines import needing_to_write, open_store
from tenet.app.messages import FIRST_TENANT
from tenet.wire.keys import KeyRing
from tenet.wire.master import MasterKeys

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.store.contract import Engine
    from tenet.wire.credentials import AccessKey

_ID_BYTES: Final = 10
_SECRET_BYTES: Final = 30


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
        self.store = store
        self.clock = clock
        self.ids = ids
        self.ring: KeyRing
        self.root_key: RootKey
        #: Returns an access key, or None where there is none or it was revoked.
        self.find: Callable[[str], AccessKey | None]
        self._watching: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, directory: DataDirectory, *, clock: Clock, ids: Ids) -> Core:
        """Opens an installation; at the first start it makes what is missing.

        Args:
            directory: where it lies.
            clock: time.
            ids: randomness.

        Raises:
            StoreLocked: another process holds it.
            MasterKeyUnusable: there are encrypted secrets, and the key that they are encrypted under is missing.
            ConfigurationError: a file or directory cannot be made or read.
        """
        directory.make()
        with needing_to_write(directory):
            store = await open_store(directory, clock=clock, ids=ids)
        core = cls(directory, store, clock=clock, ids=ids)
        try:
            with needing_to_write(directory):
                await core.read_keys()
        except BaseException:
            await store.close()
            raise
        return core

    async def read_keys(self) -> None:
        """Opens the access keys, as they are in the store now."""
        known = self.directory.root_key()
        master = MasterKeys.open(self.directory.master_key_file, self.ids, may_create=known is None)
        ring = await KeyRing.open(self.store, master, clock=self.clock, ids=self.ids)
        self.root_key = await _ensure_root_key(self.directory, known, ring, self.ids)
        self.ring, self.find = ring, ring.find
        if self._watching is not None:
            await cancelled(self._watching)
            self.watch_keys()

    def watch_keys(self) -> None:
        """Keeps the access keys up to date from now on."""
        self._watching = asyncio.create_task(self.ring.run())

    async def close(self) -> None:
        """Closes the store."""
        if self._watching is not None:
            await cancelled(self._watching)
        await self.store.close()


async def _ensure_root_key(directory: DataDirectory, known: RootKey | None, ring: KeyRing, ids: Ids) -> RootKey:
    """Returns the root key, which is both in its file and in the store afterwards, wherever an earlier start ended."""
    if known is None:
        key_id = "AKIA" + base64.b32encode(ids.draw(_ID_BYTES)).decode("ascii")
        known = RootKey(key_id, base64.b64encode(ids.draw(_SECRET_BYTES)).decode("ascii"))
        directory.keep_root_key(known)
    if ring.find(known.access_key_id) is None:
        await _put_root_key(known, ring)
    return known


async def _put_root_key(root_key: RootKey, ring: KeyRing) -> None:
    helper = None
    if any(info.access_key_id == root_key.access_key_id for info in ring.list()):
        # A restored store brought the key encrypted under a master key that is gone. The last root key cannot be
        # revoked, so that another one stands in while it is replaced.
        helper = await ring.create(FIRST_TENANT, is_root=True)
        await ring.revoke(root_key.access_key_id)
    await ring.create(
        FIRST_TENANT, access_key_id=root_key.access_key_id, secret=root_key.secret_access_key, is_root=True
    )
    if helper is not None:
        await ring.revoke(helper.access_key_id)


async def cancelled(task: asyncio.Task[None]) -> None:
    """Ends a task of the background and waits until it has ended."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
