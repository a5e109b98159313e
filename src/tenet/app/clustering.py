"""Makes a data directory that of a node: opens the cluster that the store belongs to, or joins one.

What all nodes share lies in each data directory as in that of the first: the master key, the root key, and the local
certificate authority, so that clients trust every node by the same file. The cluster's authority, which vouches for the
nodes to each other, is another one (see ``mesh.cluster``).
"""

from __future__ import annotations

import asyncio
import shlex
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tenet.app.catalogue import shown
from tenet.app.configuration import ConfigurationError, host_and_port, is_loopback
from tenet.app.data_directory import DataDirectory
from tenet.app.engines import LOCK_FILE, is_gone, is_missing, is_shared
from tenet.app.root_key import SHARED_NAME, new_root_key
from tenet.app.settings import StoreSettings
from tenet.app.versions import tenet_version
from tenet.base.clock import SystemClock
from tenet.base.ids import SystemIds

if TYPE_CHECKING:
    from tenet.app.configuration import Configuration
    from tenet.app.settings import Settings
    from tenet.base.clock import Clock
    from tenet.base.ids import Ids
    from tenet.mesh.channel import NodeId
    from tenet.mesh.cluster import Cluster
    from tenet.mesh.cooperation import Cooperation
    from tenet.mesh.errors import NotAMember
    from tenet.mesh.governing import Governance
    from tenet.mesh.node import MeshNode
    from tenet.mesh.rotation import Rotation
    from tenet.mesh.succession import Succession
    from tenet.store.contract import Engine, Store
    from tenet.wire.keys import KeyRing

#: Where nodes listen for each other unless the settings say otherwise, on machines that others can reach.
MESH_PORT: Final = 7900
#: Addresses of a host that stand for all of a machine's.
_EVERY: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 (names them; nothing is bound here)


def is_clustered(directory: DataDirectory) -> bool:
    """Tells whether a data directory is, or is to be, a node's."""
    return directory.is_of_node or bool(directory.settings.mesh.listen) or is_shared(directory)


def node_of(directory: DataDirectory) -> str:
    """Returns the id of the node whose data directory this is; empty where it is none's yet.

    Args:
        directory: the data directory.

    Raises:
        ConfigurationError: whether it is one's cannot be seen.
        IdentityUnusable: it cannot be read.
    """
    if not directory.is_of_node:
        return ""
    from tenet.mesh.identity import Identity

    return Identity(directory.node).node() or ""


class StoreGone(ConfigurationError):
    """The installation is one that has been started before, and its settings name a store of which there is nothing."""


def check_store(directory: DataDirectory) -> None:
    """Refuses to make a store for an installation that had one, and for a node, whose cluster has one.

    The root key is made when the store is open, so that a first start which was interrupted goes on.

    Args:
        directory: the data directory.

    Raises:
        StoreGone: it was started before, or is a node's, and the settings name a store of which there is nothing.
        ConfigurationError: it cannot be read.
        IdentityUnusable: it cannot be read whose it is.
    """
    node = node_of(directory)
    if node and is_missing(directory):
        problem = (
            f"{directory.path} is of the node {node}, and the store that its settings name does not exist:"
            f" {_store_shown(directory)}. Name the store of the node's cluster with --store or `store.url`; nothing was"
            " made or changed."
        )
        raise StoreGone([problem])
    if is_gone(directory) and directory.root_key() is not None:
        location = Path(directory.engine_and_location[1])
        problem = (
            f"{directory.path} is of an installation that has been started before, and there is no store in {location}:"
            " it may be on a volume that is not mounted. Mount that, or name the store with --store or `store.url`, or"
            " bring a backup back with `tenet restore`; to begin with an empty store, make an empty file"
            f" {location / LOCK_FILE}. Nothing was made or changed."
        )
        raise StoreGone([problem])


def start_line(configuration: Configuration) -> tuple[str, bool]:
    """Returns the command that starts a node which has joined just now, and whether its store is still to be named.

    Args:
        configuration: with which it has joined.
    """
    words = ["tenet", "up", "--data", str(Path(configuration.settings.data).absolute())]
    if configuration.file is not None:
        words += ["--config", str(configuration.file.absolute())]
    is_open = configuration.origins["store.url"] == "default"
    return shlex.join([*words, "--store", "URL"] if is_open else words), is_open


def _at_store(error: NotAMember, directory: DataDirectory) -> NotAMember:
    """Returns the same error with the store that was meant, which may be the wrong one."""
    from tenet.mesh.errors import NotAMember

    return NotAMember(f"{error.message} ({_store_shown(directory)}; --store names another)")


def _store_shown(directory: DataDirectory) -> str:
    """Returns how the settings name the store, for a message."""
    url = directory.settings.store.url
    return f"`store.url` is '{shown('store.url', url)}'{', the default' if url == StoreSettings().url else ''}"


def mesh_listen(settings: Settings) -> str:
    """Returns ``HOST:PORT`` at which a node listens for others.

    Unless it is named, that is the host at which clients are listened for, and a port that firewalls and invitations
    can name. On a loopback address, which no other machine reaches, it is a free one: there may be several nodes.
    """
    if settings.mesh.listen:
        return settings.mesh.listen
    host = settings.server.listen.rpartition(":")[0]
    return f"{host}:{0 if is_loopback(host) else MESH_PORT}"


async def open_cluster(directory: DataDirectory, store: Store, *, clock: Clock, ids: Ids) -> Cluster:
    """Opens the cluster of a store; makes it where there is none. What its nodes share lies in the directory then.

    Args:
        directory: of this node.
        store: that the nodes share.
        clock: time.
        ids: randomness.

    Raises:
        NotAMember: there is a cluster, and this directory does not have its master key.
        MasterKeyUnusable: the master key is damaged, or missing where there are secrets under it.
    """
    from tenet.mesh.cluster import Cluster
    from tenet.mesh.errors import NotAMember
    from tenet.mesh.identity import Identity
    from tenet.wire.master import MasterKeys

    exists = await Cluster.exists(store, clock)
    if exists and not directory.master_key_file.exists():
        member = Identity(directory.node).node()
        if member is not None:
            raise NotAMember(
                f"{directory.path} is of the node {member}, and its master key is not in {directory.master_key_file}."
                " Where it joined with another setting of `keys.master_key_file` (for instance from a shell, without"
                " the environment of its service), the key lies there: name that file, or move it here"
            )
        raise NotAMember(
            f"the store belongs to a cluster, and {directory.path} is of none of its nodes. Print an invitation on one"
            " of them with `tenet node invite`, and use it here with `tenet node join`"
        )
    may_create = not exists and directory.root_key() is None
    master = MasterKeys.open(directory.master_key_file, ids, may_create=may_create)
    shared = {} if exists else _made(directory, clock, ids)
    try:
        cluster = await Cluster.open(store, master, shared, clock=clock, ids=ids)
    except NotAMember as error:
        raise _at_store(error, directory) from error
    put_down(cluster.shared, directory)
    return cluster


def cooperation_of(node: MeshNode, store: Engine, *, clock: Clock, ids: Ids) -> Cooperation:
    """Returns what a node does together with the others; it has not begun yet.

    Args:
        node: which has been started.
        store: that the nodes share.
        clock: time.
        ids: randomness.
    """
    from tenet.mesh.cooperation import Cooperation

    address = node.channel.address
    return Cooperation(store, node.channel, clock=clock, ids=ids, address=address, release=tenet_version())


def rotation_of(node: MeshNode, cluster: Cluster, cooperation: Cooperation, ring: Callable[[], KeyRing]) -> Rotation:
    """Returns a node's part in changes of the master key.

    Args:
        node: which has been started.
        cluster: whose node it is.
        cooperation: gives leases.
        ring: the access keys, as they are opened now.
    """
    from tenet.mesh.rotation import Rotation, lead_under

    return Rotation(node.channel, cluster, node.registry, ring, lead_under(cooperation.leases))


def succession_of(node: MeshNode, *, clock: Clock, ids: Ids) -> Succession:
    """Returns a node's part in exchanges of the cluster's authority.

    Args:
        node: which has been started.
        clock: time.
        ids: for commits.
    """
    from tenet.mesh.succession import Succession

    return Succession(node, clock=clock, ids=ids)


async def start_node(directory: DataDirectory, cluster: Cluster, *, clock: Clock, ids: Ids) -> MeshNode:
    """Makes this process a node that others reach. It keeps the files that all nodes share as they are agreed upon.

    Args:
        directory: of the node.
        cluster: whose node it is.
        clock: time.
        ids: randomness.

    Raises:
        NodeExists: another node has its name.
        NodeRemoved: it was removed from the cluster.
        NotAMember: it is a node of another cluster.
        ConfigurationError: its address cannot be listened on.
    """
    from tenet.mesh.errors import NotAMember
    from tenet.mesh.identity import Identity, invented_name
    from tenet.mesh.node import MeshNode, NodeOptions

    mesh = directory.settings.mesh
    host, port = host_and_port(mesh_listen(directory.settings))
    advertised = mesh.advertise or (f"{socket.getfqdn()}:0" if host in _EVERY else "")
    options = NodeOptions(
        name=mesh.name or invented_name(socket.gethostname(), ids),
        host=host,
        port=port,
        advertised=advertised,
        seeds=mesh.peers,
        lifetime_s=mesh.certificate_s,
        release=tenet_version(),
    )
    cluster.on_change(lambda: put_down(cluster.shared, directory))
    try:
        return await MeshNode.start(Identity(directory.node), cluster, options, clock=clock, ids=ids)
    except NotAMember as error:
        raise _at_store(error, directory) from error
    except OSError as error:
        shown = mesh_listen(directory.settings)
        told = f"is '{shown}', which" if mesh.listen else f"is not set, and '{shown}', which stands for it then,"
        raise ConfigurationError([f"`mesh.listen` {told} cannot be listened on: {error.strerror}."]) from error


def governance(store: Store, *, clock: Clock, ids: Ids) -> Governance:
    """Returns what an administrator does with the nodes of a store's cluster.

    Args:
        store: of the cluster.
        clock: time.
        ids: for invitations.
    """
    from tenet.mesh.governing import Governance

    return Governance(store, clock=clock, ids=ids)


def join_cluster(configuration: Configuration, address: str, token: str, name: str) -> NodeId:
    """Makes the data directory that of a node, by an invitation; safe to repeat where it was interrupted.

    Args:
        configuration: says where the directory is.
        address: ``HOST:PORT`` of any node of the cluster.
        token: the invitation.
        name: of the new node; empty: as the settings say, or drawn.

    Returns:
        The new node's id.

    Raises:
        ConfigurationError: the directory is that of a node, or of an installation of its own.
        MasterKeyUnusable: the file of the master key cannot be written.
        MeshError: it could not join; the message says why.
    """
    from tenet.mesh.identity import Identity, invented_name
    from tenet.mesh.invitations import read_token
    from tenet.mesh.joining import join
    from tenet.wire.master import MasterKeys

    clock, ids = SystemClock(), SystemIds()
    directory, invitation = DataDirectory(configuration.settings), read_token(token)
    identity = Identity(directory.node)
    if identity.node() is not None:
        raise ConfigurationError([f"{directory.path} is of the node {identity.node()} already."])
    if directory.root_key() is not None and identity.intended() is None:
        raise ConfigurationError(
            [f"{directory.path} holds an installation of its own; name another directory with --data."]
        )
    directory.make()
    # Told before the invitation is used.
    MasterKeys.check_place(directory.master_key_file)
    identity.make_directory()
    # The name is kept, so that a join that was interrupted goes on as the same node.
    wanted = name or configuration.settings.mesh.name or identity.intended() or invented_name(socket.gethostname(), ids)
    node = identity.intend(wanted)
    enrolled = asyncio.run(join(address, invitation, node, identity.files, clock))
    MasterKeys.take_over(directory.master_key_file, enrolled.master_keys)
    put_down(enrolled.shared, directory)
    identity.keep_node(node)
    return node


def put_down(shared: Mapping[str, bytes], directory: DataDirectory) -> None:
    """Writes what all nodes share into a data directory, where it lies on the first node too.

    Raises:
        ConfigurationError: a file cannot be written.
    """
    from tenet.wire.master import write_private

    for name, path in _places(directory).items():
        content = shared[name]
        try:
            if path.exists() and path.read_bytes() == content:
                continue
            write_private(path, content)
            if path == directory.ca_file:
                path.chmod(0o644)
                directory.trust_store.unlink(missing_ok=True)
        except OSError as error:
            raise ConfigurationError([f"{path} cannot be written: {error.strerror}."]) from error


def _made(directory: DataDirectory, clock: Clock, ids: Ids) -> dict[str, bytes]:
    """Returns what a first node shares; made where it is missing."""
    from tenet.wire.tls import LocalAuthority

    if directory.root_key() is None:
        directory.keep_root_key(new_root_key(ids))
    LocalAuthority(directory.tls, clock=clock, ids=ids).ensure_authority()
    return {name: path.read_bytes() for name, path in _places(directory).items()}


def _places(directory: DataDirectory) -> Mapping[str, Path]:
    """Returns where each shared file lies, by its name; private keys before what belongs to them."""
    return {
        SHARED_NAME: directory.root_key_file,
        "client-authority-key": directory.ca_key_file,
        "client-authority": directory.ca_file,
    }
