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
