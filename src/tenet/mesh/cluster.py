"""The cluster's authority: made once by whoever starts first, kept in the store under the master key, used by members.

Every member has the master key and signs its own short-lived certificates with the authority's key; none of them is
special. Many that start at once over an empty store agree on the one whose commit came first.

What the nodes agree upon is one record. Whoever changes it checks its version; whoever runs reads it again when it has
changed, so that a change needs no node to be told.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from msgspec.structs import replace

from tenet.mesh.channel import NodeId
from tenet.mesh.credentials import key_sha256, wanted_of
from tenet.mesh.errors import NodeExists, NotAMember
from tenet.mesh.records import (
    CLUSTER,
    OPTIONS,
    SPACE,
    Secrets,
    StoredCluster,
    StoredNode,
    decode_cluster,
    decode_node,
    encode,
    node_key,
)
from tenet.store.contract import Conflict, IsVersion, Put, Record, Store
from tenet.store.landing import land
from tenet.wire.errors import MasterKeyUnusable
from tenet.wire.issuing import Authority, Issuer, load_key, pem_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptography.hazmat.primitives.asymmetric import ec

    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.wire.master import MasterKeys

#: A first start makes tables, which takes its time to be known to all nodes of a distributed store.
STORE_S_MAX: Final = 30.0
_AUTHORITY_NAME: Final = "Tenet cluster"


class Cluster:
    """An opened cluster: its authority, and what its nodes share. Made by ``open``.

    Args:
        store: where it lies.
        master: what its secrets are encrypted under.
        record: what its nodes agree upon.
        clock: time.
        ids: for serial numbers.

    Raises:
        MasterKeyUnusable: its secrets are encrypted under a master key that this node does not have.
    """

    #: The authority that nodes' certificates are of.
    authority: Authority
    #: The one that is to take its place, and the one whose place it has taken; see ``succession``.
    incoming: x509.Certificate | None
    former: x509.Certificate | None
    former_until_ms: int
    #: Who leads that, or has led it last; empty where that is not known.
    led_by: str
    #: Contents of files that are the same on every node, by name.
    shared: Mapping[str, bytes]

    def __init__(self, store: Store, master: MasterKeys, record: Record, *, clock: Clock, ids: Ids) -> None:
        self.store = store
        self.master = master
        self._clock = clock
        self._ids = ids
        self._issuer = Issuer(clock=clock, ids=ids)
        self._listeners: list[Callable[[], None]] = []
        #: What is read later is taken over later.
        self._reading = asyncio.Lock()
        self._take(record)
        #: The version that all listeners have been told of.
        self._told = record.version

    @staticmethod
    async def exists(store: Store, clock: Clock) -> bool:
        """Tells whether the store belongs to a cluster already: one read."""
        await store.ensure_space(SPACE, OPTIONS)
        return await _read(store, clock) is not None

    @classmethod
    async def open(
        cls, store: Store, master: MasterKeys, shared: Mapping[str, bytes], *, clock: Clock, ids: Ids
    ) -> Cluster:
        """Opens the cluster of a store; makes it where there is none. One read, and one commit where it is made.

        Args:
            store: where it lies.
            master: of this node.
            shared: what this node would have the others share, if it is the one that makes the cluster.
            clock: time.
            ids: for the authority's name.

        Raises:
            NotAMember: the cluster's secrets are encrypted under a master key that this node does not have.
            StoreUnavailable: the store cannot serve now.
        """
        await store.ensure_space(SPACE, OPTIONS)
        record = await _read(store, clock) or await _make(store, master, shared, clock, ids)
        try:
            return cls(store, master, record, clock=clock, ids=ids)
        except MasterKeyUnusable as error:
            raise NotAMember(
                f"the store belongs to a cluster that this node is no member of: {error.message}. Print an invitation"
                " on one of its nodes with `tenet node invite`, and use it here with `tenet node join`"
            ) from error

    def _take(self, record: Record) -> None:
        """Takes over what the record says."""
        stored = decode_cluster(record)
        secrets = _unseal(stored, self.master)
        self.authority = _authority(stored.authority, secrets.authority_key)
        self.incoming = x509.load_pem_x509_certificate(stored.incoming) if stored.incoming else None
        self.former = x509.load_pem_x509_certificate(stored.former) if stored.former else None
        self.former_until_ms = stored.former_until_ms
        self.led_by = stored.led_by
        self.shared = secrets.shared
        self._version = record.version

    def on_change(self, listener: Callable[[], None]) -> None:
        """Tells the listener now, and whenever the nodes agree upon something else.

        Args:
            listener: finds it here; where it raises, it is told again by the next ``refresh``.
        """
        self._listeners.append(listener)
        listener()

    async def refresh(self) -> bool:
        """Reads again what the nodes agree upon, and says whether it was changed: one read.

        Raises:
            MasterKeyUnusable: it is encrypted under a master key that this node does not have.
            TenetError: a listener's.
        """
        async with self._reading:
            return self._follow(await self._found())

    def _follow(self, record: Record) -> bool:
        if record.version == self._told:
            return False
        self._take(record)
        for listener in self._listeners:
            listener()
        self._told = record.version
        return True

    @property
    def unchanged(self) -> IsVersion:
        """Checks in a commit that what the nodes agree upon is what this node has read last."""
        return IsVersion(CLUSTER, self._version)

    async def change(self, change: Callable[[StoredCluster, Secrets], tuple[StoredCluster, Secrets] | None]) -> bool:
        """Changes what the nodes agree upon: a read and a commit, and both again where another change came first.

        Whatever master key it is encrypted under is this node's current one; see ``rotation`` for why none is forgotten
        meanwhile: a change of the key writes the same record, and checks its version too.

        Args:
            change: returns what it is to be, or None where nothing is to change. It may be asked more than once.

        Returns:
            Whether it was changed.
        """
        async with self._reading:
            self.master.read_again()
            return await self._change(change)

    async def _change(self, change: Callable[[StoredCluster, Secrets], tuple[StoredCluster, Secrets] | None]) -> bool:
        while True:
            record = await self._found()
            stored = decode_cluster(record)
            changed = change(stored, _unseal(stored, self.master))
            if changed is None:
                self._follow(record)
                return False
            made, secrets = changed
            sealed = self.master.seal(msgspec.json.encode(secrets), _belongs_to(made.authority))
            outcome = await land(
                self.store,
                [Put(CLUSTER, encode(replace(made, sealed=sealed)))],
                [IsVersion(CLUSTER, record.version)],
                clock=self._clock,
                ids=self._ids,
                deadline=self._clock.monotonic_s() + STORE_S_MAX,
            )
            if not isinstance(outcome, Conflict):
                self._follow(await self._found())
                return True

    async def share(self, name: str, content: bytes) -> None:
        """Makes a file be the same on every node: one commit, which running nodes follow within a second.

        Args:
            name: of the file.
            content: of it.
        """

        def shared(stored: StoredCluster, secrets: Secrets) -> tuple[StoredCluster, Secrets]:
            return stored, replace(secrets, shared={**secrets.shared, name: content})

        await self.change(shared)

    async def _found(self) -> Record:
        record = await _read(self.store, self._clock)
        assert record is not None, "a cluster is never removed"
        return record

    def trusted(self, now_ms: int) -> tuple[x509.Certificate, ...]:
        """Returns the certificates of the authorities that nodes trust at a time, that of the present one first.

        Args:
            now_ms: milliseconds since 1970.
        """
        found = [self.authority.certificate]
        if self.incoming is not None:
            found.append(self.incoming)
        if self.former is not None and now_ms < self.former_until_ms:
            found.append(self.former)
        return tuple(found)

    def new_authority(self) -> Authority:
        """Returns an authority that nobody trusts yet."""
        return self._issuer.new_authority(_AUTHORITY_NAME)

    def certify(self, node: NodeId, public_key: ec.EllipticCurvePublicKey, lifetime_s: float) -> x509.Certificate:
        """Returns a certificate for a node.

        Args:
            node: whom it is made out to.
            public_key: whose private key the node has.
            lifetime_s: how long it is good for.
        """
        return self._issuer.issue(self.authority, public_key, wanted_of(node, lifetime_s))

    async def enrol_self(self, node: NodeId, public_key: ec.EllipticCurvePublicKey) -> None:
        """Makes a node a member that has the master key already: one commit.

        Raises:
            NodeExists: the cluster has, or had, another node of this id.
        """
        key = node_key(node)
        made = new_node(public_key, self._clock)
        outcome = await land(
            self.store,
            [Put(key, encode(made))],
            [IsVersion(key, None)],
            clock=self._clock,
            ids=self._ids,
            deadline=self._clock.monotonic_s() + STORE_S_MAX,
        )
        if isinstance(outcome, Conflict):
            found = outcome.records[key]
            if found is None or decode_node(found).key_sha256 != made.key_sha256:
                raise NodeExists(f"there is, or was, another node {node} in this cluster; choose another name")

    async def master_in_use(self) -> str:
        """Returns the name of the master key that the cluster's secrets are encrypted under: one read."""
        return decode_cluster(await self._found()).sealed.master

    async def seal_anew(self) -> int:
        """Encrypts the cluster's secrets under the current master key; returns 1 where they were under another."""

        def sealed(stored: StoredCluster, secrets: Secrets) -> tuple[StoredCluster, Secrets] | None:
            return None if stored.sealed.master == self.master.current else (stored, secrets)

        return int(await self.change(sealed))


def new_node(public_key: ec.EllipticCurvePublicKey, clock: Clock) -> StoredNode:
    """Returns the record of a node that becomes a member now."""
    return StoredNode(1, "serving", "", clock.wall_ms(), key_sha256(public_key))


async def agreed_upon(store: Store, clock: Clock) -> tuple[StoredCluster, IsVersion]:
    """Returns what a cluster's nodes agree upon, its secrets encrypted, and what checks that they still do: one read.

    Raises:
        NotAMember: the store belongs to no cluster.
    """
    record = await _read(store, clock)
    if record is None:
        raise NotAMember("there is no cluster yet: a node has to be started first, with `tenet up`")
    return decode_cluster(record), IsVersion(CLUSTER, record.version)


async def _read(store: Store, clock: Clock) -> Record | None:
    (record,) = await store.get([CLUSTER], deadline=clock.monotonic_s() + STORE_S_MAX)
    return record


async def _make(store: Store, master: MasterKeys, shared: Mapping[str, bytes], clock: Clock, ids: Ids) -> Record:
    """Makes a cluster; returns its record, which is another's where that came first."""
    authority = Issuer(clock=clock, ids=ids).new_authority(_AUTHORITY_NAME)
    pem = authority.certificate.public_bytes(serialization.Encoding.PEM)
    secrets = msgspec.json.encode(Secrets(pem_key(authority.key), dict(shared)))
    made = StoredCluster(1, pem, master.seal(secrets, _belongs_to(pem)), clock.wall_ms())
    outcome = await land(
        store,
        [Put(CLUSTER, encode(made))],
        [IsVersion(CLUSTER, None)],
        clock=clock,
        ids=ids,
        deadline=clock.monotonic_s() + STORE_S_MAX,
    )
    record = outcome.records[CLUSTER] if isinstance(outcome, Conflict) else await _read(store, clock)
    assert record is not None, "a cluster is never removed"
    return record


def _unseal(stored: StoredCluster, master: MasterKeys) -> Secrets:
    return msgspec.json.decode(master.unseal(stored.sealed, _belongs_to(stored.authority)), type=Secrets)


def _authority(certificate: bytes, private_key: bytes) -> Authority:
    key = load_key(private_key)
    assert key is not None
    return Authority(x509.load_pem_x509_certificate(certificate), key)


def _belongs_to(authority: bytes) -> bytes:
    return b"mesh/cluster/" + hashlib.sha256(authority).hexdigest().encode("ascii")
