"""Access keys whose secrets cannot be read, said in words: to whoever has restored a backup, and by the doctor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tenet.wire.keys import KeyInfo

#: How many different reasons are told: nearly always it is one, the master key.
_REASONS_MAX: Final = 3


def unusable_keys(keys: Sequence[KeyInfo]) -> str:
    """Returns what to know of keys that cannot be used, and what to do; empty where every one can.

    Args:
        keys: all access keys of an installation.
    """
    reasons = [key.unusable for key in keys if key.unusable]
    if not reasons:
        return ""
    told = "; ".join(sorted(set(reasons))[:_REASONS_MAX])
    return (
        f"{len(reasons)} of {len(keys)} access keys cannot be read, and what they sign is refused: {told}. Stop the "
        "server, put the master key file of their time in the place of this one, and start it again; without that "
        "file, revoke them and make others. `tenet keys list` shows which they are."
    )
