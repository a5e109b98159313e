"""The cluster's authority: made once by whoever starts first, kept in the store under the master key, used by members.

Every member has the master key and signs its own short-lived certificates with the authority's key; none of them is
special. Many that start at once over an empty store agree on the one whose commit came first.
"""

from __future__ import annotations

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
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric import ec

    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.wire.master import MasterKeys

#: A first start makes tables, which takes its time to be known to all nodes of a distributed store.
STORE_S_MAX: Final = 30.0


class Cluster:
    """An opened cluster: its authority, and what its nodes share. Made by ``open``.

    Args:
        store: where it lies.
        master: what its secrets are encrypted under.
        authority: the authority.
        shared: contents of files that are the same on every node, by name.
        clock: time.
        ids: for serial numbers.
    """

    def __init__(
        self,
        store: Store,
        master: MasterKeys,
        authority: Authority,
        shared: Mapping[str, bytes],
        *,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self.store = store
        self.master = master
        self.authority = authority
        self.shared = shared
        self._clock = clock
        self._ids = ids
        self._issuer = Issuer(clock=clock, ids=ids)

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
        stored = decode_cluster(record)
        certificate = x509.load_pem_x509_certificate(stored.authority)
        try:
            secrets = _unseal(stored, master)
        except MasterKeyUnusable as error:
            raise NotAMember(
                f"the store belongs to a cluster that this node is no member of: {error.message}. Print an invitation"
                " on one of its nodes with `tenet node invite`, and use it here with `tenet node join`"
            ) from error
        key = load_key(secrets.authority_key)
        assert key is not None
        return cls(store, master, Authority(certificate, key), secrets.shared, clock=clock, ids=ids)

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
        record = await _read(self.store, self._clock)
        assert record is not None, "a cluster is never removed"
        return decode_cluster(record).sealed.master

    async def seal_anew(self) -> int:
        """Encrypts the cluster's secrets under the current master key; returns 1 where they were under another."""
        self.master.read_again()
        while True:
            record = await _read(self.store, self._clock)
            assert record is not None, "a cluster is never removed"
            stored = decode_cluster(record)
            if stored.sealed.master == self.master.current:
                return 0
            secrets = msgspec.json.encode(_unseal(stored, self.master))
            sealed = replace(stored, sealed=self.master.seal(secrets, _belongs_to(stored.authority)))
            outcome = await land(
                self.store,
                [Put(CLUSTER, encode(sealed))],
                [IsVersion(CLUSTER, record.version)],
                clock=self._clock,
                ids=self._ids,
                deadline=self._clock.monotonic_s() + STORE_S_MAX,
            )
            if not isinstance(outcome, Conflict):
                return 1


def new_node(public_key: ec.EllipticCurvePublicKey, clock: Clock) -> StoredNode:
    """Returns the record of a node that becomes a member now."""
    return StoredNode(1, "serving", "", clock.wall_ms(), key_sha256(public_key))


async def authority_of(store: Store, clock: Clock) -> x509.Certificate:
    """Returns the certificate of a cluster's authority, which is no secret: one read.

    Raises:
        NotAMember: the store belongs to no cluster.
    """
    record = await _read(store, clock)
    if record is None:
        raise NotAMember("there is no cluster yet: a node has to be started first, with `tenet up`")
    return x509.load_pem_x509_certificate(decode_cluster(record).authority)


async def _read(store: Store, clock: Clock) -> Record | None:
    (record,) = await store.get([CLUSTER], deadline=clock.monotonic_s() + STORE_S_MAX)
    return record


async def _make(store: Store, master: MasterKeys, shared: Mapping[str, bytes], clock: Clock, ids: Ids) -> Record:
    """Makes a cluster; returns its record, which is another's where that came first."""
    authority = Issuer(clock=clock, ids=ids).new_authority("Tenet cluster")
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


def _belongs_to(authority: bytes) -> bytes:
    return b"mesh/cluster/" + hashlib.sha256(authority).hexdigest().encode("ascii")
