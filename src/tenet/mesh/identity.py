"""What makes a process a node: its name, its private key and its certificate, in a directory of its own.

| file | what | mode |
|---|---|---|
| ``node.json`` | its id | 0600 |
| ``joining.json`` | the id that it wants to have, until it has joined | 0600 |
| ``node-key.pem`` | its private key, which never leaves it | 0600 |
| ``node.pem`` | its certificate, renewed long before its end | 0644 |
| ``cluster-ca.pem`` | the certificate of the cluster's authority | 0644 |
| ``cluster-ca-other.pem`` | in an exchange: that of the incoming or the former one, which is trusted as well | 0644 |

Versions that know of no exchange read ``cluster-ca.pem`` alone, and go on with the present authority.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import structlog
from msgspec import Struct

from tenet.mesh.channel import NodeId
from tenet.mesh.cluster import Cluster
from tenet.mesh.credentials import CredentialFiles, ensure_key, keep, key_sha256, node_of
from tenet.mesh.errors import IdentityUnusable, NodeExists, NodeRemoved, NotAMember
from tenet.mesh.records import checked_name
from tenet.mesh.registry import Registry
from tenet.store.errors import StoreCorrupt
from tenet.store.formats import decode_numbered
from tenet.wire.errors import TlsUnusable
from tenet.wire.issuing import fingerprint, is_signed_by, pem_certificate, read_pair
from tenet.wire.master import write_private

if TYPE_CHECKING:
    from tenet.base.clock import Clock
    from tenet.base.ids import Ids

_log = structlog.get_logger(__name__)

_RANDOM_BYTES: Final = 4
_HOST_CHARS_MAX: Final = 40
#: Directories of nodes can be read by their owner alone.
_PRIVATE: Final = 0o700


class _File(Struct, frozen=True):
    version: int
    node: str


class Identity:
    """A node's identity, in its directory.

    Args:
        directory: where it lies.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.files = CredentialFiles.within(directory)

    @property
    def _file(self) -> Path:
        return self.directory / "node.json"

    @property
    def _intended(self) -> Path:
        return self.directory / "joining.json"

    def node(self) -> NodeId | None:
        """Returns the node's id; None where the directory is no node's.

        Raises:
            IdentityUnusable: the file cannot be read.
        """
        return _read(self._file)

    def intended(self) -> NodeId | None:
        """Returns the id that it wants to have, where it has begun to join.

        Raises:
            IdentityUnusable: the file cannot be read.
        """
        return _read(self._intended)

    def intend(self, name: str) -> NodeId:
        """Notes the id that it wants to have; durable when it returns.

        Raises:
            NodeNameInvalid: a node cannot have it.
            IdentityUnusable: it cannot be written.
        """
        node = checked_name(name)
        _write(self._intended, node)
        return node

    def make_directory(self) -> None:
        """Makes the directory where there is none.

        Raises:
            IdentityUnusable: it cannot be made.
        """
        try:
            self.directory.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        except OSError as error:
            raise IdentityUnusable(f"{self.directory} cannot be made: {error.strerror}") from error

    def keep_node(self, node: NodeId) -> None:
        """Writes the node's id; durable when it returns.

        Raises:
            IdentityUnusable: it cannot be written.
        """
        _write(self._file, node)
        self._intended.unlink(missing_ok=True)

    async def ensure(self, cluster: Cluster, registry: Registry, name: str) -> NodeId:
        """Returns the node's id, which is a member of the cluster afterwards, wherever an earlier start ended.

        Args:
            cluster: whose node it is.
            registry: of its nodes.
            name: how it is to be called where it has no name yet.

        Raises:
            NodeExists: another node has this name.
            NodeRemoved: it was removed from the cluster.
            NotAMember: it is a node of another cluster.
        """
        self.make_directory()
        key, node, is_new = ensure_key(self.files.private_key), self.node(), False
        if node is None:
            node, is_new = checked_name(name), True
            self.keep_node(node)
        await registry.refresh()
        stored = registry.nodes.get(node)
        if stored is None or stored.key_sha256 != key_sha256(key.public_key()):
            # A member may have been off while the authority was exchanged; this one is none.
            self._check_authority(cluster)
        if stored is not None and stored.state == "removed":
            raise NodeRemoved(
                f"node {node} was removed from its cluster; to join again, remove {self.directory} and use another"
                " invitation"
            )
        if stored is None or stored.key_sha256 != key_sha256(key.public_key()):
            try:
                await cluster.enrol_self(node, key.public_key())
            except NodeExists:
                if is_new:
                    self._file.unlink()
                raise
            await registry.refresh()
        return node

    def ensure_certificate(self, cluster: Cluster, node: NodeId, lifetime_s: float, clock: Clock) -> bool:
        """Keeps whom nodes trust, and makes the certificate anew; says whether anything of it has changed.

        It is made anew where less than half of its time is left, or another authority has taken the place of its own.

        Args:
            cluster: who signs it.
            node: whom it is made out to.
            lifetime_s: how long it is good for.
            clock: time.

        Raises:
            IdentityUnusable: a file cannot be read or written.
        """
        key = ensure_key(self.files.private_key)
        is_good = self._is_good(cluster, node, lifetime_s, clock)
        present, *others = map(pem_certificate, cluster.trusted(clock.wall_ms()))
        # Whom to trust beside the present one comes first: wherever this ends, nobody is refused who is trusted.
        changed = [
            _keep_changed(self.files.others, b"".join(others)),
            _keep_changed(self.files.authority, present),
        ]
        if not is_good:
            keep(self.files.certificate, pem_certificate(cluster.certify(node, key.public_key(), lifetime_s)))
        return not is_good or any(changed)

    def _is_good(self, cluster: Cluster, node: NodeId, lifetime_s: float, clock: Clock) -> bool:
        try:
            found = read_pair(self.files.certificate, self.files.private_key, "It is made anew")
        except TlsUnusable as error:
            _log.warning("the certificate of this node is made anew", reason=error.message)
            return False
        if found is None or node_of(found[0]) != node:
            return False
        left = found[0].not_valid_after_utc.timestamp() - clock.wall_ms() / 1000
        return lifetime_s / 2 < left <= lifetime_s and is_signed_by(found[0], cluster.authority.certificate)

    def _check_authority(self, cluster: Cluster) -> None:
        """Refuses a directory that belongs to another cluster than the store."""
        if not (self.files.authority.exists() and self._file.exists()):
            return
        if pem_certificate(cluster.authority.certificate) not in _kept(self.files.authority) + _kept(self.files.others):
            raise NotAMember(
                f"{self.directory} is of a node of another cluster than the store, whose authority is"
                f" {fingerprint(cluster.authority.certificate)}; name the store of its own cluster. Only where the node"
                " is to leave that one for good, remove the directory and join this one"
            )


def _keep_changed(file: Path, certificates: bytes) -> bool:
    """Has a file of certificates hold these; says whether it held others. One without any is left out."""
    if _kept(file) == certificates:
        return False
    if certificates:
        keep(file, certificates)
    else:
        file.unlink(missing_ok=True)
    return True


def _kept(file: Path) -> bytes:
    """Returns what a file of certificates holds; empty where there is none."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise IdentityUnusable(f"{file} cannot be read: {error.strerror}") from error


def _read(file: Path) -> NodeId | None:
    try:
        return checked_name(decode_numbered(file.read_bytes(), _File, str(file)).node)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise IdentityUnusable(f"{file} cannot be read: {error}") from error
    except StoreCorrupt as error:
        raise IdentityUnusable(error.message) from error


def _write(file: Path, node: NodeId) -> None:
    try:
        write_private(file, msgspec.json.encode(_File(1, node)))
    except OSError as error:
        raise IdentityUnusable(f"{file} cannot be written: {error.strerror}") from error


def invented_name(host: str, ids: Ids) -> str:
    """Returns a name for a node that nobody has named: its machine's, and random digits.

    Args:
        host: the machine's name.
        ids: for the digits.
    """
    first = host.partition(".")[0].lower()
    kept = "".join(char if char.isascii() and char.isalnum() else "-" for char in first)[:_HOST_CHARS_MAX].strip("-")
    return f"{kept or 'node'}-{ids.draw(_RANDOM_BYTES).hex()}"
