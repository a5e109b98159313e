"""What an engine offers over which something has to go on, beside what it is asked for."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Upkept(Protocol):
    """Offered by engines that need somebody to tidy up: one process at a time does it for all that use the store."""

    async def keep_up(self) -> None:
        """Does it until it is cancelled. It does no harm where several do, and goes on where another one ended.

        Raises:
            StoreError: it could not begin.
        """
        ...
