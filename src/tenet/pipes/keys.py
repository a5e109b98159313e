"""Every key that the pipes service writes, and the names of its spaces.

================== =============== ================== =====================
space              partition       sort               value
================== =============== ================== =====================
``pipes.catalog``  account         ``p`` + pipe name  a description
``pipes.catalog``  account         ``a``              cell ``pipes``
``pipes.cursors``  pipe id         shard              how far the pipe is
================== =============== ================== =====================
"""

from __future__ import annotations

from typing import Final

from tenet.base.keycodec import prefix_end
from tenet.store.contract import Key, Range

CATALOG_SPACE: Final = "pipes.catalog"
CURSORS_SPACE: Final = "pipes.cursors"
#: The cell of an account's record that counts its pipes.
PIPES_CELL: Final = "pipes"

_PREFIX: Final = b"p"
#: Sort keys of all pipes of an account, in the order of their names.
PIPES: Final = Range(b"p", b"q")


def pipe_key(account: str, name: str) -> Key:
    """Returns where a pipe's description lies.

    Args:
        account: the tenant, 12 digits.
        name: the pipe's name, ASCII.
    """
    return Key(CATALOG_SPACE, account.encode("ascii"), _PREFIX + name.encode("ascii"))


def account_key(account: str) -> Key:
    """Returns where the figures of an account lie."""
    return Key(CATALOG_SPACE, account.encode("ascii"), b"a")


def pipes_between(prefix: str, after: str) -> Range:
    """Returns the sort keys of an account's pipes.

    Args:
        prefix: what their names begin with; "" for all.
        after: only names behind this one; "" for all.
    """
    begin = _PREFIX + prefix.encode("ascii")
    lower = max(begin, _PREFIX + after.encode("ascii") + b"\x00") if after else begin
    return Range(lower, prefix_end(begin))


def cursors_partition(pipe_id: str) -> bytes:
    """Returns the partition of a pipe's cursors."""
    return pipe_id.encode("ascii")


def cursor_key(pipe_id: str, shard: int) -> Key:
    """Returns where lies how far a pipe is.

    Args:
        pipe_id: 32 hexadecimal digits.
        shard: of the table's log, 0 to 65,535.
    """
    return Key(CURSORS_SPACE, cursors_partition(pipe_id), shard.to_bytes(2, "big"))
