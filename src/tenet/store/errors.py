"""What a store call raises. A conflict and an unknown outcome are results of a commit, not errors: see contract."""

from __future__ import annotations

import errno
from typing import Final

from tenet.base.errors import TenetError

#: What the operating system says where a file cannot grow: no room, a used up quota, a limit of the process (errno(3)).
FULL_ERRNOS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class StoreError(TenetError):
    """Base of everything that a store call raises."""

    code = "StoreError"


class SpaceNotFound(StoreError):
    """The space does not exist, or was dropped while the call ran. Nothing was written."""

    code = "SpaceNotFound"
    http_status = 404


class SpaceMismatch(StoreError):
    """The space exists with options that cannot be changed into the ones asked for. Nothing was changed."""

    code = "SpaceMismatch"
    http_status = 409


class LimitExceeded(StoreError):
    """A request is beyond one of the limits of ``contract.Limits``; the message names it. Nothing was written."""

    code = "LimitExceeded"
    http_status = 400


class InvalidRequest(StoreError):
    """A request contradicts the contract, for instance two puts of one key in a commit. Nothing was written."""

    code = "InvalidRequest"
    http_status = 400


class OutsideSlice(InvalidRequest):
    """The record to go on behind lies in another slice of the scan. Nothing was read."""

    code = "OutsideSlice"


class LogTrimmed(StoreError):
    """The position asked for lies before the first one that the log still holds.

    Args:
        message: what was asked for.
        first: the first position that can be read.
    """

    code = "LogTrimmed"
    http_status = 410

    def __init__(self, message: str, *, first: int) -> None:
        super().__init__(message)
        self.first = first


class StoreUnavailable(StoreError):
    """The store cannot serve now; nothing was written, and the same call may succeed later."""

    code = "StoreUnavailable"
    http_status = 503
    retryable = True


class DeadlineExceeded(StoreUnavailable):
    """The deadline passed before the call took effect; nothing was written."""

    code = "DeadlineExceeded"


class LineNotFree(DeadlineExceeded):
    """The deadline passed while other writes to the same key were carried out; nothing was written."""

    code = "LineNotFree"


class StoreSlow(StoreUnavailable):
    """Parts of the store were reached, and too few of them answered in time; nothing was written."""

    code = "StoreSlow"


class DiskFull(StoreUnavailable):
    """The disk has no room; nothing was written. Clears by itself when space returns."""

    code = "DiskFull"
    http_status = 507


class ReadOnlyStore(StoreUnavailable):
    """The data directory cannot be written to; nothing was written, and reads go on. Clears when it can be.

    Somebody has to give the directory back first, so that sending the same call again is of no use.
    """

    code = "ReadOnlyStore"
    retryable = False


class StoreMoved(StoreUnavailable):
    """What is stored here is, or is being, moved to another store; nothing was written. The message says which one.

    Clients that send the same call again reach the other store as soon as it is what answers them.
    """

    code = "StoreMoved"


class CopyRefused(StoreError):
    """A copy of a store cannot be begun, resumed or ended like this; the message says why. Nothing was changed."""

    code = "CopyRefused"
    http_status = 409


class CopyDiffers(StoreError):
    """A copy does not hold what the store holds that it was made of; it is not used. The store serves as before."""

    code = "CopyDiffers"


class StoreFault(StoreError):
    """The engine failed in a way that does not pass; nothing was written, and the same call would fail again."""

    code = "StoreFault"


class OutcomeUnknown(StoreError):
    """Whether the write took effect could not be found out before the deadline."""

    code = "OutcomeUnknown"
    http_status = 500
    retryable = True


class SettleWindowPassed(StoreError):
    """The commit was made too long ago for the store to say what became of it."""

    code = "SettleWindowPassed"


class StoreLocked(StoreError):
    """Another process has the data directory open; the message names it."""

    code = "StoreLocked"
    http_status = 409


class StoreCorrupt(StoreError):
    """Stored bytes are not what this or an older version writes; the message says where."""

    code = "StoreCorrupt"


class StoreOfLaterVersion(StoreCorrupt):
    """Nothing is damaged: a later version wrote it, in a format that this one does not know."""

    code = "StoreOfLaterVersion"
