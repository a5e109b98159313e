"""What goes wrong between nodes. Each error says whether the other node may have done what it was asked."""

from __future__ import annotations

from tenet.base.errors import TenetError


class MeshError(TenetError):
    """Base of everything that the mesh raises."""

    code = "MeshError"


class PeerUnreachable(MeshError):
    """There is no connection to the peer, or no room to send on it. The peer was asked nothing."""

    code = "PeerUnreachable"
    http_status = 503
    retryable = True


class CallLost(MeshError):
    """The deadline passed, or the connection ended, before an answer came. The peer may have done it, or may yet."""

    code = "CallLost"
    http_status = 504
    retryable = True


class CallRefused(MeshError):
    """The peer did not do it: it knows no such kind of call, or has as many at work as it takes."""

    code = "CallRefused"
    http_status = 503
    retryable = True


class CallFailed(MeshError):
    """The peer's handler raised an error.

    Args:
        message: the error's message.
        code: the error's code at the peer.
        retryable: whether the peer says that the same call may succeed later.
    """

    code = "CallFailed"

    def __init__(self, message: str, *, code: str, retryable: bool) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable


class FrameTooLarge(MeshError):
    """A body is larger than a frame carries. Nothing was sent."""

    code = "FrameTooLarge"
    http_status = 400


class IdentityUnusable(MeshError):
    """What makes this process a node is missing, damaged, or another node's."""

    code = "IdentityUnusable"
    http_status = 500


class NotAMember(MeshError):
    """This process may not be a node of the cluster that the store belongs to. Nothing was changed."""

    code = "NotAMember"
    http_status = 403


class NodeRemoved(MeshError):
    """The node was removed from its cluster, for good."""

    code = "NodeRemoved"
    http_status = 403


class NodeNotFound(MeshError):
    """The cluster has no node of this id."""

    code = "NodeNotFound"
    http_status = 404


class NodeExists(MeshError):
    """The cluster has, or had, a node of this id."""

    code = "NodeExists"
    http_status = 409


class NodeNameInvalid(MeshError):
    """A node cannot have this id."""

    code = "NodeNameInvalid"
    http_status = 400


class InvitationInvalid(MeshError):
    """The token is no invitation of this cluster."""

    code = "InvitationInvalid"
    http_status = 400


class InvitationExpired(MeshError):
    """The invitation's time is up."""

    code = "InvitationExpired"
    http_status = 403


class InvitationUsed(MeshError):
    """Another node has used the invitation."""

    code = "InvitationUsed"
    http_status = 403


class InvitationWithdrawn(MeshError):
    """An administrator has withdrawn the invitation."""

    code = "InvitationWithdrawn"
    http_status = 403


class CannotInvite(MeshError):
    """An invitation that is made now would be good for nobody. Nothing was changed."""

    code = "CannotInvite"
    http_status = 409
    retryable = True


class InvitationNotFound(MeshError):
    """The cluster has no invitation of this id."""

    code = "InvitationNotFound"
    http_status = 404


class WrongHost(MeshError):
    """At the address there is no node that one could join."""

    code = "WrongHost"
    http_status = 502


class WrongAuthority(MeshError):
    """Who answers belongs to another cluster than the invitation is from, or pretends to be somebody else."""

    code = "WrongAuthority"
    http_status = 502


class ClockSkewed(MeshError):
    """The clocks of two machines differ by too much."""

    code = "ClockSkewed"
    http_status = 400


class NodeNeeded(MeshError):
    """The last node of a cluster cannot be removed."""

    code = "NodeNeeded"
    http_status = 409


class CannotRotate(MeshError):
    """The master key, or the authority, cannot be changed now, or not to the end. Every node can do what it could."""

    code = "CannotRotate"
    http_status = 409


class LeaseLost(MeshError):
    """The lease under which something was to be written belongs to somebody else now. Nothing was written."""

    code = "LeaseLost"
    http_status = 409
