"""The root key: made, agreed upon, kept in its places, and exchanged for another.

It is an access key like others, and its secret lies in a file besides, for commands to sign with. Alone, that file says
which key is the root key; in a cluster the record that all nodes agree upon does, and each node keeps the file as the
record says.

An exchange has steps, each of them durable when it is done:

1. the new key is an access key that may administer;
2. it is the one that is agreed upon: the record (each node writes its file when it follows the record), or the file;
3. when the nodes that are connected have looked, all others that may administer are revoked, by a commit that checks
   the record: of several exchanges at once, whichever was agreed upon last stays.

After a crash between them at least one root key works whose secret is in the file. The same command goes through: it
makes another key, and revokes whatever the steps before have left.
"""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from tenet.app.data_directory import DataDirectory, RootKey
from tenet.app.messages import FIRST_TENANT
from tenet.wire.errors import AccessKeyExists

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tenet.base.ids import Ids
    from tenet.mesh.cluster import Cluster
    from tenet.store.contract import Check
    from tenet.wire.keys import KeyRing

#: What the record of a cluster calls it.
SHARED_NAME: Final = "root-key"
_ID_BYTES: Final = 10
_SECRET_BYTES: Final = 30


def new_root_key(ids: Ids) -> RootKey:
    """Returns a root key that nobody has yet."""
    key_id = "AKIA" + base64.b32encode(ids.draw(_ID_BYTES)).decode("ascii")
    return RootKey(key_id, base64.b64encode(ids.draw(_SECRET_BYTES)).decode("ascii"))


class Exchanged(Struct, frozen=True):
    """What came of an exchange.

    Args:
        root_key: the one that is agreed upon now.
        revoked: the ids of those that worked before and do not any more.
    """

    root_key: RootKey
    revoked: Sequence[str]


class RootKeys:
    """Keeps the root key of an opened installation.

    Args:
        directory: where its file lies.
        ring: the access keys.
        cluster: whose nodes agree upon one; None where one process has the store for itself.
        ids: for new keys.
        have_all_look: has other nodes look at what is agreed upon now.
    """

    def __init__(
        self,
        directory: DataDirectory,
        ring: KeyRing,
        cluster: Cluster | None,
        ids: Ids,
        have_all_look: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._have_all_look = have_all_look
        self._directory = directory
        self._ring = ring
        self._cluster = cluster
        self._ids = ids
        self._exchanging = asyncio.Lock()

    async def ensure(self) -> RootKey:
        """Returns the root key, which is both agreed upon and an access key then, wherever an earlier start ended.

        Raises:
            AccessKeyExists: there is another access key of its id.
        """
        while True:
            known, checks = self._agreed()
            if self._ring.find(known.access_key_id) is not None:
                return known
            try:
                await self._put(known, checks)
            except AccessKeyExists:
                # Another node has made it in the same moment, or another one is agreed upon since.
                has_changed = await self._look_again()
                await self._ring.refresh()
                if not has_changed and self._ring.find(known.access_key_id) is None:
                    raise

    async def exchange(self, *, keeps_former: bool) -> Exchanged:
        """Exchanges the root key for a new one; safe to repeat after a crash. Three commits.

        Args:
            keeps_former: whether those before go on working until they are revoked.

        Raises:
            StoreError: the store could not serve; a root key works whose secret is in the file.
            ConfigurationError: the file cannot be written; the same holds.
        """
        async with self._exchanging:
            made = new_root_key(self._ids)
            await self._ring.create(
                FIRST_TENANT, access_key_id=made.access_key_id, secret=made.secret_access_key, is_root=True
            )
            if self._cluster is None:
                self._directory.keep_root_key(made)
            else:
                await self._cluster.share(SHARED_NAME, msgspec.json.encode(made))
                self._directory.keep_root_key(self._agreed()[0])
            if self._have_all_look is not None:
                await self._have_all_look()
            if keeps_former:
                return Exchanged(await self.ensure(), ())
            return await self._revoke_others()

    async def _revoke_others(self) -> Exchanged:
        revoked: list[str] = []
        while True:
            known = await self.ensure()
            found = await self._ring.revoke_other_roots(known.access_key_id, self._agreed()[1])
            if found is None:
                await self._look_again()
            elif found:
                revoked += found
            else:
                return Exchanged(known, revoked)

    def _agreed(self) -> tuple[RootKey, Sequence[Check]]:
        """Returns the root key that is agreed upon, and what shows in a commit that it still is."""
        if self._cluster is not None:
            agreed = msgspec.json.decode(self._cluster.shared[SHARED_NAME], type=RootKey)
            return agreed, [self._cluster.unchanged]
        known = self._directory.root_key()
        if known is None:
            known = new_root_key(self._ids)
            self._directory.keep_root_key(known)
        return known, []

    async def _look_again(self) -> bool:
        """Says whether what is agreed upon has changed."""
        if self._cluster is None or not await self._cluster.refresh():
            return False
        self._directory.keep_root_key(self._agreed()[0])
        return True

    async def _put(self, root_key: RootKey, checks: Sequence[Check]) -> None:
        """Makes the root key an access key."""
        helper = None
        if any(info.access_key_id == root_key.access_key_id for info in self._ring.list()):
            # A restored store brought the key encrypted under a master key that is gone. The last root key cannot be
            # revoked, so that another one stands in while it is replaced.
            helper = await self._ring.create(FIRST_TENANT, is_root=True)
            await self._ring.revoke(root_key.access_key_id)
        await self._ring.create(
            FIRST_TENANT,
            access_key_id=root_key.access_key_id,
            secret=root_key.secret_access_key,
            is_root=True,
            checks=checks,
        )
        if helper is not None:
            await self._ring.revoke(helper.access_key_id)
