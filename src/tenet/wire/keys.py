"""The key ring: the access keys of all tenants, kept in the store with their secrets encrypted.

What a process holds in memory is a copy that the store validates: it is looked at again when a watch hints at a change,
and at least once a second, so that a key made or revoked through another process counts within that time.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec
import structlog
from msgspec import Struct

from tenet.base.clock import Clock
from tenet.base.errors import TenetError
from tenet.base.ids import Ids
from tenet.store.contract import (
    Check,
    Conflict,
    Delete,
    IsVersion,
    Key,
    Put,
    Range,
    Record,
    SpaceOptions,
    StampOf,
    Store,
    Write,
)
from tenet.store.errors import StoreCorrupt, StoreError
from tenet.store.formats import decode_numbered
from tenet.store.landing import land
from tenet.wire.credentials import AccessKey
from tenet.wire.door import Principal
from tenet.wire.errors import AccessKeyExists, AccessKeyInvalid, AccessKeyNotFound, MasterKeyUnusable, RootKeyNeeded
from tenet.wire.master import MasterKeys, Sealed

SPACE: Final = "access-keys"
_PARTITION: Final = b"keys"
_STAMP: Final = StampOf(SPACE, _PARTITION)

REREAD_S: Final = 1.0
_STORE_S_MAX: Final = 5.0
_PAGE_RECORDS: Final = 1_000
#: How many keys are removed by one commit, whose checks are bounded.
_REVOKED_MAX: Final = 50

_ID: Final = re.compile(r"[A-Za-z0-9_]{3,128}")
_SECRET: Final = re.compile(r"[\x21-\x7e]{8,128}")
_TENANT: Final = re.compile(r"[0-9]{12}")

_log = structlog.get_logger(__name__)


class KeyInfo(Struct, frozen=True):
    """What may be told of an access key.

    Args:
        access_key_id: its id.
        tenant: the account that it belongs to, 12 digits.
        is_root: whether it may administer the installation.
        created_ms: when it was made, milliseconds since 1970.
        unusable: why its secret cannot be read, so that what it signs is refused; empty where it can.
    """

    access_key_id: str
    tenant: str
    is_root: bool
    created_ms: int
    unusable: str = ""


class NewKey(Struct, frozen=True):
    """An access key that was just made; the only time that its secret is told."""

    access_key_id: str
    secret: str
    tenant: str

    def __repr__(self) -> str:
        return f"NewKey({self.access_key_id!r})"


class _Stored(Struct, frozen=True):
    """A key's record, version 1."""

    version: int
    tenant: str
    is_root: bool
    created_ms: int
    secret: Sealed


class KeyRing:
    """Implements ``credentials.Keys``; made by ``open``.

    Args:
        store: where the keys lie.
        master: what their secrets are encrypted under.
        clock: time.
        ids: for new keys.
    """

    def __init__(self, store: Store, master: MasterKeys, *, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._master = master
        self._clock = clock
        self._ids = ids
        self._keys: dict[str, AccessKey] = {}
        self._records: dict[str, Record] = {}
        #: Why the secret of a key cannot be read, by the key's id.
        self._unusable: dict[str, str] = {}
        self._stamp: int | None = None
        self._refreshing = asyncio.Lock()
        #: Held while a secret is encrypted and stored, and while the master key changes.
        self._sealing = asyncio.Lock()

    @classmethod
    async def open(cls, store: Store, master: MasterKeys, *, clock: Clock, ids: Ids) -> KeyRing:
        """Opens the key ring of a store, which may be empty.

        Raises:
            StoreUnavailable: the store cannot serve now.
        """
        ring = cls(store, master, clock=clock, ids=ids)
        await store.ensure_space(SPACE, SpaceOptions(stamps=True))
        await ring.refresh()
        return ring

    def find(self, access_key_id: str) -> AccessKey | None:
        """Returns the key, or None where there is none or it was revoked."""
        return self._keys.get(access_key_id)

    def list(self) -> Sequence[KeyInfo]:
        """Returns every key, by tenant and id; those too whose secrets cannot be read."""
        infos = [
            _info(key_id, _decode(record), self._unusable.get(key_id, "")) for key_id, record in self._records.items()
        ]
        return sorted(infos, key=lambda info: (info.tenant, info.access_key_id))

    async def create(
        self,
        tenant: str,
        *,
        access_key_id: str | None = None,
        secret: str | None = None,
        is_root: bool = False,
        checks: Sequence[Check] = (),
    ) -> NewKey:
        """Makes a key. One store commit; it counts at once in this process.

        Args:
            tenant: the account that it belongs to, 12 digits.
            access_key_id: 3 to 128 letters, digits and underscores; None draws one.
            secret: 8 to 128 printable characters; None draws one.
            is_root: whether it may administer the installation.
            checks: what has to hold besides; in another partition that costs more than one round.

        Raises:
            AccessKeyInvalid: one of these is not of its form.
            AccessKeyExists: there is a key of this id, or a check does not hold.
        """
        if not _TENANT.fullmatch(tenant):
            raise AccessKeyInvalid(f"tenant {tenant!r} is not an account of 12 digits")
        if access_key_id is not None and not _ID.fullmatch(access_key_id):
            raise AccessKeyInvalid("an access key id has 3 to 128 characters of A-Z, a-z, 0-9 and _")
        if secret is not None and not _SECRET.fullmatch(secret):
            raise AccessKeyInvalid("a secret access key has 8 to 128 printable ASCII characters, none of them a space")
        key_id = access_key_id or "AKIA" + base64.b32encode(self._ids.draw(10)).decode("ascii")
        secret = secret or base64.b64encode(self._ids.draw(30)).decode("ascii")
        key = _key(key_id)
        async with self._sealing:
            sealed = self._master.seal(secret.encode("ascii"), _belongs_to(key_id, tenant))
            stored = _Stored(1, tenant, is_root, self._clock.wall_ms(), sealed)
            if not await self._land([Put(key, msgspec.json.encode(stored))], [IsVersion(key, None), *checks]):
                raise AccessKeyExists(f"there is an access key {key_id} already")
            # Another process with this file may have begun to change the master key meanwhile, and not have seen this
            # record. A node that changes it at all others has them switch when nothing is under way instead.
            try:
                await self.refresh()
                self._master.read_again()
                if self._master.current != sealed.master:
                    await self._seal_anew()
            except (TenetError, OSError) as error:
                # The key is made: its secret must not be lost to whoever asked for it.
                _log.warning("a new access key could not be read again", access_key_id=key_id, reason=str(error))
        return NewKey(key_id, secret, tenant)

    async def revoke(self, access_key_id: str) -> None:
        """Removes a key. One store commit; it is refused at once in this process, within a second in every other.

        Raises:
            AccessKeyNotFound: there is no such key.
            RootKeyNeeded: it is the last one that may administer the installation.
        """
        await self.refresh()
        record = self._records.get(access_key_id)
        if record is None:
            raise AccessKeyNotFound(f"there is no access key {access_key_id}")
        checks: list[Check] = [IsVersion(_key(access_key_id), record.version)]
        if _decode(record).is_root:
            others = [info for info in self.list() if info.is_root and info.access_key_id != access_key_id]
            if not others:
                raise RootKeyNeeded(f"{access_key_id} is the last key that may administer this installation")
            kept = others[0].access_key_id
            checks.append(IsVersion(_key(kept), self._records[kept].version))
        if not await self._land([Delete(_key(access_key_id))], checks):
            await self.revoke(access_key_id)
            return
        await self.refresh()

    async def revoke_other_roots(self, access_key_id: str, checks: Sequence[Check] = ()) -> Sequence[str] | None:
        """Removes the keys that may administer the installation, but for one. One store commit; none without others.

        Args:
            access_key_id: of the one that stays.
            checks: what has to hold besides.

        Returns:
            The ids of those that were removed; None, and nothing was, where that one is missing, a check does not hold,
            or another change came first.
        """
        await self.refresh()
        kept = self._records.get(access_key_id)
        others = [info.access_key_id for info in self.list() if info.is_root and info.access_key_id != access_key_id]
        if kept is None:
            return None
        others = others[:_REVOKED_MAX]
        if others:
            found = [IsVersion(_key(key_id), self._records[key_id].version) for key_id in (access_key_id, *others)]
            if not await self._land([Delete(_key(key_id)) for key_id in others], [*found, *checks]):
                return None
            await self.refresh()
        return others

    async def rotate_master(self, further: Callable[[], Awaitable[int]] | None = None) -> int:
        """Encrypts every secret under a new master key, and forgets the ones before. Safe to repeat after a crash.

        Args:
            further: encrypts what else there is under the master key anew, and returns how many secrets that were.

        Returns:
            How many secrets were encrypted anew.
        """
        async with self._sealing:
            former = self._master.add()
            count = await self._seal_anew()
            if further is not None:
                count += await further()
            self._master.retire(former)
        return count

    async def switch_master(self, name: str) -> None:
        """Encrypts under another master key from now on; nothing is under way under the former one when it returns.

        Args:
            name: of the key, which this process has.

        Raises:
            MasterKeyUnusable: it does not have it.
        """
        async with self._sealing:
            self._master.switch(name)

    async def seal_anew(self) -> int:
        """Encrypts every secret under the current master key that is encrypted under another; returns how many."""
        async with self._sealing:
            return await self._seal_anew()

    async def masters_in_use(self) -> frozenset[str]:
        """Returns the names of the master keys that secrets are encrypted under: one store read, or a few."""
        await self.refresh()
        return frozenset(_decode(record).secret.master for record in self._records.values())

    async def _seal_anew(self) -> int:
        """Encrypts every secret under the current master key that is encrypted under another; returns how many."""
        count = 0
        while True:
            await self.refresh()
            self._master.read_again()
            outdated = [
                (key_id, record, stored)
                for key_id, record in self._records.items()
                if key_id in self._keys and (stored := _decode(record)).secret.master != self._master.current
            ]
            if not outdated:
                return count
            for key_id, record, stored in outdated:
                secret = self._keys[key_id].secret.encode("ascii")
                sealed = self._master.seal(secret, _belongs_to(key_id, stored.tenant))
                value = msgspec.json.encode(msgspec.structs.replace(stored, secret=sealed))
                # A conflict means that it was revoked meanwhile, or encrypted anew by another process.
                count += await self._land([Put(_key(key_id), value)], [IsVersion(_key(key_id), record.version)])

    async def refresh(self) -> None:
        """Reads the keys again if any changed: one store read, and another page by page where something did."""
        async with self._refreshing:
            deadline = self._clock.monotonic_s() + _STORE_S_MAX
            (stamp,) = await self._store.read_together([_STAMP], deadline=deadline)
            if stamp == self._stamp and stamp is not None:
                return
            records: dict[str, Record] = {}
            within, more = Range(), True
            while more:
                page = await self._store.query(SPACE, _PARTITION, within, limit=_PAGE_RECORDS, deadline=deadline)
                for record in page.records:
                    records[record.sort.decode("ascii")] = record
                more = page.more
                if page.records:
                    within = Range(page.records[-1].sort + b"\x00")
            self._take_over(records)
            # The stamp was read before the records: what changed in between is seen by the next look.
            self._stamp = stamp if isinstance(stamp, int) else None

    async def run(self) -> None:
        """Keeps the copy in memory up to date, until it is cancelled."""
        watch = self._store.watch(SPACE, _PARTITION)
        try:
            while True:
                await watch.wait(REREAD_S)
                try:
                    await self.refresh()
                except StoreError as error:
                    _log.warning("access keys cannot be read again", code=error.code, reason=error.message)
                    await asyncio.sleep(REREAD_S)
        finally:
            watch.close()

    def _take_over(self, records: dict[str, Record]) -> None:
        keys: dict[str, AccessKey] = {}
        unusable: dict[str, str] = {}
        for key_id, record in records.items():
            known = self._records.get(key_id)
            if known is not None and known.version == record.version and key_id in self._keys:
                keys[key_id] = self._keys[key_id]
                continue
            try:
                keys[key_id] = self._unseal(key_id, _decode(record))
            except (MasterKeyUnusable, StoreCorrupt) as error:
                unusable[key_id] = error.message
                _log.error("an access key cannot be used", access_key_id=key_id, reason=error.message)
        self._records, self._keys, self._unusable = records, keys, unusable

    def _unseal(self, key_id: str, stored: _Stored) -> AccessKey:
        secret = self._master.unseal(stored.secret, _belongs_to(key_id, stored.tenant))
        return AccessKey(Principal(key_id, stored.tenant, stored.is_root), secret.decode("ascii"))

    async def _land(self, writes: Sequence[Write], checks: Sequence[Check]) -> bool:
        deadline = self._clock.monotonic_s() + _STORE_S_MAX
        outcome = await land(self._store, writes, checks, clock=self._clock, ids=self._ids, deadline=deadline)
        return not isinstance(outcome, Conflict)


def _key(key_id: str) -> Key:
    return Key(SPACE, _PARTITION, key_id.encode("ascii"))


def _belongs_to(key_id: str, tenant: str) -> bytes:
    return f"access-key/{tenant}/{key_id}".encode("ascii")


def _decode(record: Record) -> _Stored:
    return decode_numbered(record.value, _Stored, f"the access key {record.sort.decode('ascii')}")


def _info(key_id: str, stored: _Stored, unusable: str) -> KeyInfo:
    return KeyInfo(key_id, stored.tenant, stored.is_root, stored.created_ms, unusable)
