"""What an administrator and a server say to each other: the bodies of the administrative API, version 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Protocol

import msgspec
from msgspec import Meta, Struct, field

#: Where the administrative API lies on the listener.
PREFIX: Final = "/_tenet/v1"
#: The service part of the scope that its requests are signed for.
SIGNING_NAME: Final = "tenet"
#: The account of the first tenant.
FIRST_TENANT: Final = "000000000000"

Account = Annotated[str, Meta(pattern=r"^[0-9]{12}$")]
AccessKeyId = Annotated[str, Meta(pattern=r"^\w{3,128}$")]
Secret = Annotated[str, Meta(min_length=8, max_length=128)]


class KeyWanted(Struct, frozen=True, forbid_unknown_fields=True):
    """Asks for an access key.

    Args:
        tenant: the account that it belongs to, 12 digits.
        access_key_id: its id, 3 to 128 of A-Z, a-z, 0-9 and _; None draws one.
        secret_access_key: its secret, 8 to 128 characters; None draws one.
    """

    tenant: Account = FIRST_TENANT
    access_key_id: AccessKeyId | None = None
    secret_access_key: Secret | None = None


def mistakes_in(wanted: KeyWanted) -> list[str]:
    """Returns what is wrong with the access key that a command asks for, a sentence for each of its options."""
    mistakes = []
    if not _fits(wanted.tenant, Account):
        mistakes.append(f"--tenant is '{wanted.tenant}'; an account is 12 digits.")
    if not _fits(wanted.access_key_id, AccessKeyId | None):
        mistakes.append(f"--id is '{wanted.access_key_id}'; an access key id is 3 to 128 of A-Z, a-z, 0-9 and _.")
    if not _fits(wanted.secret_access_key, Secret | None):
        # The secret itself stays out of what a terminal or a log keeps.
        mistakes.append(f"--secret has {len(wanted.secret_access_key or '')} characters; a secret has 8 to 128.")
    return mistakes


def _fits(value: object, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


class KeyMade(Struct, frozen=True):
    """An access key with its secret, which is told only once.

    Args:
        access_key_id: its id.
        secret_access_key: its secret.
        tenant: the account that it belongs to.
    """

    access_key_id: str
    secret_access_key: str
    tenant: str


class KeyShown(Struct, frozen=True):
    """An access key without its secret.

    Args:
        access_key_id: its id.
        tenant: the account that it belongs to.
        is_root: whether it may administer the installation.
        created_ms: when it was made, milliseconds since 1970.
        unusable: why its secret cannot be read, so that what it signs is refused; empty where it can.
    """

    access_key_id: str
    tenant: str
    is_root: bool
    created_ms: int
    unusable: str = ""


class KeysSealed(Struct, frozen=True):
    """What a rotation of the master key did.

    Args:
        count: how many secrets were encrypted anew.
    """

    count: int


class RootKeyWanted(Struct, frozen=True, forbid_unknown_fields=True):
    """Asks for another root key.

    Args:
        keeps_former: whether the one before goes on working until it is revoked.
    """

    keeps_former: bool = False


class RootKeyMade(Struct, frozen=True):
    """The root key that an installation has now; its secret is in the file of each data directory.

    Args:
        access_key_id: its id.
        revoked: ids of root keys that do not work any more.
    """

    access_key_id: str
    revoked: list[str]


class SettingsTaken(Struct, frozen=True):
    """What came of reading the settings again.

    Args:
        changed: names of settings whose new values are in force.
        at_next_start: names of settings that have other values now, which the next start takes over.
        endpoint: URL that clients on this machine reach the listener at.
    """

    changed: list[str]
    at_next_start: list[str]
    endpoint: str


class InvitationWanted(Struct, frozen=True, forbid_unknown_fields=True):
    """Asks for an invitation of one node.

    Args:
        expires_s: how long it is good.
    """

    expires_s: Annotated[int, Meta(ge=10, le=2_592_000)] = 3_600


class InvitationMade(Struct, frozen=True):
    """An invitation, which is told only once.

    Args:
        token: what `tenet node join` takes.
        addresses: ``HOST:PORT`` of nodes that can be asked.
        invitation_id: names it to an administrator, and is no secret; empty where the server is of a former version.
    """

    token: str
    addresses: list[str]
    invitation_id: str = ""


class InvitationShown(Struct, frozen=True):
    """An invitation with which a machine can join now; without its token.

    Args:
        invitation_id: 16 hexadecimal digits.
        made_ms: when it was made, milliseconds since 1970.
        expires_ms: until when it is good.
        made_at: the node at which it was made; empty where that is not known.
    """

    invitation_id: str
    made_ms: int
    expires_ms: int
    made_at: str


class AuthorityWanted(Struct, frozen=True, forbid_unknown_fields=True):
    """Asks for another authority of the nodes.

    Args:
        overlap_s: for how long nodes that are not seen are talked to with certificates of the former one.
        cuts_off: whether that ends at once.
    """

    overlap_s: Annotated[int, Meta(ge=60, le=2_592_000)] = 3_600
    cuts_off: bool = False


class AuthorityMade(Struct, frozen=True):
    """The authority that nodes' certificates are of now.

    Args:
        authority_sha256: fingerprint of its certificate.
        not_seen: nodes that have not said that they follow.
        former_until_ms: until when the former one is trusted, milliseconds since 1970; 0 where it is no more.
        withdrawn: how many invitations were withdrawn, which told a machine to believe the former one.
    """

    authority_sha256: str
    not_seen: list[str]
    former_until_ms: int
    withdrawn: int


class NodeShown(Struct, frozen=True):
    """A node of the cluster.

    Args:
        node: its id.
        state: ``serving``, ``draining``, ``off`` (not started, or stopped), ``dead`` or ``removed``.
        address: ``HOST:PORT`` that other nodes reach it at; empty until it was started.
        joined_ms: when it became a member, milliseconds since 1970.
        is_connected: whether it is, or is connected with, the node that was asked; None where none runs.
        dead_since_ms: when the others found it dead, milliseconds since 1970; 0 where they have not.
    """

    node: str
    state: str
    address: str
    joined_ms: int
    is_connected: bool | None = None
    dead_since_ms: int = 0


class FileNamed(Struct, frozen=True, forbid_unknown_fields=True):
    """Names a file on the server's machine.

    Args:
        path: absolute.
    """

    path: Annotated[str, Meta(pattern=r"^/")]


class BackupWanted(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Asks for a backup in a file on the server's machine.

    Args:
        path: absolute.
        replaces: whether it may take the place of a file; else there must be none of that name.
    """

    path: Annotated[str, Meta(pattern=r"^/")]
    replaces: bool = False


class Figures(Struct, frozen=True):
    """What a backup or a restore did.

    Args:
        path: of the backup.
        elapsed_ms: how long it took.
        figures: what the engine counted, for instance ``bytes`` and ``records``.
        warning: what does not work afterwards, and what to do; empty where nothing does not.
    """

    path: str
    elapsed_ms: int
    figures: Mapping[str, int] = field(default_factory=dict)
    warning: str = ""


class CopyNamed(Struct, frozen=True, forbid_unknown_fields=True):
    """Names a copy of a store.

    Args:
        source: URL of the store, as `tenet up --store` takes it.
        target: URL of the copy.
    """

    source: Annotated[str, Meta(min_length=1)]
    target: Annotated[str, Meta(min_length=1)]


class CopyShown(Struct, frozen=True):
    """How far a copy of the store is.

    Args:
        source: URL of the store.
        target: URL of the copy.
        state: ``running``, ``complete`` or ``failed``.
        phase: what it does now, in words.
        space: that it is at.
        spaces: how many there are.
        spaces_done: how many of them were copied once.
        records: that were copied for the first time.
        value_bytes: of their values.
        changed: records that were copied or removed later.
        left: changes that are known and not copied yet.
        verified: records that were compared by digest.
        elapsed_ms: since it was begun or resumed.
        code: of the error that ended it; empty where none did.
        message: of that error.
    """

    source: str
    target: str
    state: Literal["running", "complete", "failed"]
    phase: str
    space: str
    spaces: int
    spaces_done: int
    records: int
    value_bytes: int
    changed: int
    left: int
    verified: int
    elapsed_ms: int
    code: str = ""
    message: str = ""


class Diagnosis(Struct, frozen=True):
    """What a server knows about itself; without secrets.

    Args:
        server: version, process, endpoint, uptime.
        settings: each setting's value and origin, by dotted name.
        store: what the engine says about its health.
        requests: recent slow and failed requests, newest last.
        limits: limits in force and how much of them is used.
        certificate: of the listener; empty where http is spoken.
        unusable_keys: what to know of access keys whose secrets cannot be read; empty where there are none.
        placement: what placement says about itself; empty where nobody has used it.
    """

    server: Mapping[str, Any]
    settings: Mapping[str, Any]
    store: Mapping[str, Any]
    requests: list[Mapping[str, Any]]
    limits: Mapping[str, Any]
    certificate: Mapping[str, Any]
    unusable_keys: str = ""
    placement: Mapping[str, Any] = field(default_factory=dict)


class Failure(Struct, frozen=True):
    """Why a request was not carried out.

    Args:
        code: stable name of the error.
        message: what is wrong and what to do.
    """

    code: str
    message: str


class Administration(Protocol):
    """What an administrator may ask, of a server that runs or of the data directory itself where none does."""

    async def create_key(self, wanted: KeyWanted) -> KeyMade:
        """Makes an access key; it works at once."""
        ...

    async def list_keys(self) -> list[KeyShown]:
        """Returns every access key, by tenant and id."""
        ...

    async def revoke_key(self, access_key_id: str) -> None:
        """Removes an access key; it is refused at once."""
        ...

    async def rotate_master_key(self) -> KeysSealed:
        """Encrypts all secrets under a new master key and forgets the old one."""
        ...

    async def rotate_root_key(self, wanted: RootKeyWanted) -> RootKeyMade:
        """Exchanges the root key for a new one."""
        ...

    async def reload_settings(self) -> SettingsTaken:
        """Reads the settings again and takes over those that may change; none where one is wrong."""
        ...

    async def invite_node(self, wanted: InvitationWanted) -> InvitationMade:
        """Makes an invitation with which one machine can join the cluster."""
        ...

    async def list_invitations(self) -> list[InvitationShown]:
        """Returns the invitations with which a machine can join now, without their tokens."""
        ...

    async def withdraw_invitation(self, invitation_id: str) -> None:
        """Makes an invitation good for nobody."""
        ...

    async def rotate_authority(self, wanted: AuthorityWanted) -> AuthorityMade:
        """Makes nodes have certificates of a new authority, and trust no other."""
        ...

    async def list_nodes(self) -> list[NodeShown]:
        """Returns every node that the cluster has or had, by id."""
        ...

    async def drain_node(self, node: str, *, is_over: bool) -> None:
        """Makes a node let go of its work, or take on work again."""
        ...

    async def remove_node(self, node: str) -> None:
        """Makes all others refuse a node, for good."""
        ...

    async def backup(self, wanted: BackupWanted) -> Figures:
        """Writes a consistent copy of the store to a file."""
        ...

    async def restore(self, named: FileNamed) -> Figures:
        """Replaces everything in the store by what a backup holds."""
        ...

    async def begin_copy(self, named: CopyNamed) -> CopyShown:
        """Begins to copy the store, or resumes it; it goes on in the background."""
        ...

    async def show_copy(self) -> CopyShown:
        """Returns how far the copy is that was begun last."""
        ...

    async def end_copy(self, named: CopyNamed) -> None:
        """Gives a copy up: the store is served as before, and the copy is emptied."""
        ...

    async def diagnosis(self) -> Diagnosis:
        """Returns what the server knows about itself."""
        ...
