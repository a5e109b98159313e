"""Who sends a request, and what one that waits on purpose says of it."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct


class Principal(Struct, frozen=True, gc=False):
    """Who signed a request.

    Args:
        access_key_id: the key that signed.
        tenant: the account of 12 digits that the key belongs to.
        is_root: whether it is the installation's root key, which may administer it.
    """

    access_key_id: str
    tenant: str
    is_root: bool = False


#: Who stands behind a request that no service asked to be signed.
NOBODY = Principal(access_key_id="", tenant="")


class Patience(Protocol):
    """What a request says that waits on purpose for something to come, as a long poll does."""

    def begin_wait(self) -> None:
        """Gives back the request's place among those in flight; from now on it is ended when its client goes away.

        Its task is cancelled then. What it waits for is not counted as its own time.
        """
        ...

    def end_wait(self) -> None:
        """Takes a place again, whether one is free or not. Called once for each ``begin_wait``, whatever came of it."""
        ...
