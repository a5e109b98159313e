"""Administers an opened installation: what the administrative API does in a server, and a command does without one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from tenet.app.clustering import governance, node_of
from tenet.app.messages import (
    AuthorityMade,
    AuthorityWanted,
    BackupWanted,
    CopyNamed,
    CopyShown,
    Figures,
    FileNamed,
    InvitationMade,
    InvitationShown,
    InvitationWanted,
    KeyMade,
    KeyShown,
    KeysSealed,
    KeyWanted,
    NodeShown,
    RootKeyMade,
    RootKeyWanted,
    SettingsTaken,
)
from tenet.app.moving import Mover
from tenet.app.unusable_keys import unusable_keys
from tenet.base.errors import TenetError
from tenet.mesh.channel import NodeId
from tenet.mesh.errors import CannotRotate
from tenet.store.contract import Backups
from tenet.store.errors import CopyRefused
from tenet.wire.master import replace_durably

if TYPE_CHECKING:
    from tenet.app.core import Core
    from tenet.app.messages import Diagnosis
    from tenet.base.clock import Clock
    from tenet.mesh.governing import Governance, NodeInfo

#: Random bytes in the name of a file that is to take the place of another.
_NAME_BYTES: Final = 4


class CannotBackUp(TenetError):
    """The engine does not write backups, or the file is not one that it can write or read."""

    code = "CannotBackUp"
    http_status = 400


class NotRunning(TenetError):
    """What was asked only a server can do, and none runs."""

    code = "NotRunning"
    http_status = 409


class CoreAdministration:
    """Implements ``messages.Administration`` on an opened installation.

    Args:
        core: the installation.
        clock: time, for durations.
        diagnose: collects what is known about the process.
        paused: keeps the services still while the store is replaced under them.
        reload: reads the settings of the server again; None where none runs.
        mover: moves the store to another one; by default as where no server runs.
    """

    def __init__(
        self,
        core: Core,
        *,
        clock: Clock,
        diagnose: Callable[[], Awaitable[Diagnosis]],
        paused: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
        reload: Callable[[], Awaitable[SettingsTaken]] | None = None,
        mover: Mover | None = None,
    ) -> None:
        self._reload = reload
        self._core = core
        self._clock = clock
        self._diagnose = diagnose
        self._paused = paused
        self._mover = mover or Mover(core.directory, core.guard, clock=clock, ids=core.ids)
        self._restoring: asyncio.Task[Figures] | None = None

    async def create_key(self, wanted: KeyWanted) -> KeyMade:
        """Makes an access key; it works at once."""
        made = await self._core.ring.create(
            wanted.tenant, access_key_id=wanted.access_key_id, secret=wanted.secret_access_key
        )
        return KeyMade(made.access_key_id, made.secret, made.tenant)

    async def list_keys(self) -> list[KeyShown]:
        """Returns every access key, by tenant and id."""
        await self._core.ring.refresh()
        return [
            KeyShown(info.access_key_id, info.tenant, info.is_root, info.created_ms, info.unusable)
            for info in self._core.ring.list()
        ]

    async def revoke_key(self, access_key_id: str) -> None:
        """Removes an access key; it is refused at once."""
        await self._core.ring.revoke(access_key_id)

    async def rotate_master_key(self) -> KeysSealed:
        """Encrypts all secrets under a new master key and forgets the old one."""
        cluster = self._core.cluster
        if cluster is None:
            return KeysSealed(await self._core.ring.rotate_master())
        if self._core.rotation is not None:
            return KeysSealed(await self._core.rotation.rotate())
        others = [info.node for info in await self._governance().nodes() if info.state != "removed"]
        if len(others) > 1:
            raise CannotRotate(
                f"the master key of a cluster is changed by all of its nodes together: start {', '.join(others)}"
            )
        return KeysSealed(await self._core.ring.rotate_master(cluster.seal_anew))

    async def rotate_root_key(self, wanted: RootKeyWanted) -> RootKeyMade:
        """Exchanges the root key for a new one."""
        exchanged = await self._core.exchange_root_key(keeps_former=wanted.keeps_former)
        return RootKeyMade(exchanged.root_key.access_key_id, list(exchanged.revoked))

    async def reload_settings(self) -> SettingsTaken:
        """Reads the settings again and takes over those that may change; none where one is wrong."""
        if self._reload is None:
            raise NotRunning(f"no server runs on {self._core.directory.path}; it reads its settings when it starts")
        return await self._reload()

    async def invite_node(self, wanted: InvitationWanted) -> InvitationMade:
        """Makes an invitation with which one machine can join the cluster."""
        made_at = node_of(self._core.directory)
        made = await self._governance().invite(wanted.expires_s, made_at=made_at)
        return InvitationMade(made.token(), list(made.addresses), made.name)

    async def list_invitations(self) -> list[InvitationShown]:
        """Returns the invitations with which a machine can join now, without their tokens."""
        return [
            InvitationShown(one.name, one.made_ms, one.expires_ms, one.made_at)
            for one in await self._governance().invitations()
        ]

    async def withdraw_invitation(self, invitation_id: str) -> None:
        """Makes an invitation good for nobody."""
        await self._governance().withdraw(invitation_id)

    async def rotate_authority(self, wanted: AuthorityWanted) -> AuthorityMade:
        """Makes nodes have certificates of a new authority, and trust no other."""
        if self._core.succession is None:
            # Where there is no cluster, that is what is wrong.
            await self._governance().nodes()
            raise NotRunning(
                f"no server runs on {self._core.directory.path}; start it: nodes exchange it while they run"
            )
        done = await self._core.succession.exchange(wanted.overlap_s, cuts_off=wanted.cuts_off)
        return AuthorityMade(done.authority_sha256, list(done.not_seen), done.former_until_ms, done.withdrawn)

    async def list_nodes(self) -> list[NodeShown]:
        """Returns every node that the cluster has or had, by id."""
        me = self._core.node
        near = {me.node, *(peer.node for peer in me.peers())} if me is not None else None
        found = await self._governance().nodes()
        return [node_shown(info, is_connected=None if near is None else info.node in near) for info in found]

    async def drain_node(self, node: str, *, is_over: bool) -> None:
        """Makes a node let go of its work, or take on work again."""
        await self._governance().drain(node, is_over=is_over)
        self._tell_nodes()

    async def remove_node(self, node: str) -> None:
        """Makes all others refuse a node, for good."""
        await self._governance().remove(node)
        self._tell_nodes()
        if self._core.cooperation is not None:
            await self._core.cooperation.membership.expel(NodeId(node))

    def _governance(self) -> Governance:
        return governance(self._core.store, clock=self._clock, ids=self._core.ids)

    def _tell_nodes(self) -> None:
        if self._core.node is not None:
            self._core.node.tell_of_change()

    async def backup(self, wanted: BackupWanted) -> Figures:
        """Writes a consistent copy of the store to a file; where that takes another's place, only once it is whole."""
        target = Path(wanted.path)
        takes_a_place = self._takes_a_place(target, may_replace=wanted.replaces)
        began_s = self._clock.monotonic_s()
        if not takes_a_place:
            figures = await self._backups().backup(wanted.path)
        else:
            beside = target.with_name(f"{target.name}.{self._core.ids.draw(_NAME_BYTES).hex()}.new")
            figures = await self._backups().backup(str(beside))
            await asyncio.to_thread(_replace, target, beside)
        return self._figures(wanted.path, began_s, figures)

    async def restore(self, named: FileNamed) -> Figures:
        """Replaces everything in the store by what a backup holds; goes on to its end even if nobody waits for it."""
        if not os.access(named.path, os.R_OK):
            raise CannotBackUp(f"the process {os.getpid()}, which holds the store, cannot read {named.path}")
        if self._restoring is not None and not self._restoring.done():
            raise CannotBackUp("another backup is being restored")
        if self._mover.is_running or self._core.guard.refusal:
            raise CannotBackUp("the store is being copied, or was moved: nothing can be restored into it")
        self._restoring = asyncio.create_task(self._restore(named))
        return await asyncio.shield(self._restoring)

    async def _restore(self, named: FileNamed) -> Figures:
        began_s = self._clock.monotonic_s()
        async with self._paused():
            await self._backups().restore(named.path)
            await self._core.read_keys()
        restored = self._figures(named.path, began_s, {})
        return msgspec.structs.replace(restored, warning=unusable_keys(self._core.ring.list()))

    async def begin_copy(self, named: CopyNamed) -> CopyShown:
        """Begins to copy the store, or resumes it; it goes on in the background."""
        if self._restoring is not None and not self._restoring.done():
            raise CopyRefused("a backup is being restored; repeat the command when it is done")
        return await self._mover.begin(named)

    async def show_copy(self) -> CopyShown:
        """Returns how far the copy is that was begun last."""
        return self._mover.shown()

    async def end_copy(self, named: CopyNamed) -> None:
        """Gives a copy up: the store is served as before, and the copy is emptied."""
        await self._mover.end(named)

    async def diagnosis(self) -> Diagnosis:
        """Returns what the process knows about itself."""
        return await self._diagnose()

    def _backups(self) -> Backups:
        store = self._core.engine
        if not isinstance(store, Backups):
            raise CannotBackUp(f"the engine {store.capabilities.engine} does not write backups")
        return store

    def _figures(self, path: str, began_s: float, figures: Mapping[str, int]) -> Figures:
        return Figures(path, round((self._clock.monotonic_s() - began_s) * 1000), figures)

    def _takes_a_place(self, path: Path, *, may_replace: bool) -> bool:
        """Says whether there is a file where a backup is wanted.

        Raises:
            CannotBackUp: none may be there.
        """
        directory = self._core.directory
        if any(_lies_in(path, place) for place in directory.own_places):
            raise CannotBackUp(f"{path} is a place of the installation's own files; name one outside {directory.path}")
        if path.is_dir():
            raise CannotBackUp(f"{path} is a directory; name a file in it")
        if os.path.lexists(path) and not path.is_file():
            raise CannotBackUp(f"{path} is no ordinary file; name a new one")
        if path.exists() and not may_replace:
            raise CannotBackUp(f"{path} exists; name a new file, or have it replaced with --force")
        if not path.parent.is_dir():
            raise CannotBackUp(f"there is no directory {path.parent}")
        if not os.access(path.parent, os.W_OK):
            raise CannotBackUp(f"the process {os.getpid()}, which holds the store, cannot write to {path.parent}")
        return path.exists()


def node_shown(info: NodeInfo, *, is_connected: bool | None) -> NodeShown:
    """Returns a node as it is listed: by what is wanted of it as far as it is there.

    Args:
        info: what the store says of it.
        is_connected: see ``NodeShown``. One that is connected and no member is about to be one, or was until now.
    """
    state: str = info.state
    if state != "removed" and not info.is_there and not is_connected:
        state = "dead" if info.dead_since_ms else "off"
    dead_since_ms = info.dead_since_ms if state == "dead" else 0
    return NodeShown(info.node, state, info.address, info.joined_ms, is_connected, dead_since_ms)


def _lies_in(path: Path, place: Path) -> bool:
    """Whether a path leads to a file or directory, or into that directory, by whatever way it is named."""
    # The name itself counts beside what a link of that name leads to: the link is what would be replaced.
    names = (path.resolve(), path.parent.resolve() / path.name)
    places = (place.resolve(), place.parent.resolve() / place.name)
    return any(name.is_relative_to(own) for name in names for own in places)


def _replace(target: Path, beside: Path) -> None:
    """Puts a file in the place of another, and on the disk."""
    try:
        replace_durably(target, beside)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise CannotBackUp(f"{target} cannot be replaced: {error.strerror}; it is as it was") from error
