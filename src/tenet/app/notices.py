"""Notices for operators, as messages in a queue: what happened that nobody had asked for at that moment.

They go through the door of the queues room, as any client's messages do, into the queue ``tenet-notices`` of the
account that the root key belongs to. Making that queue is what asks for them; while there is none, nothing is sent. A
notice is told once and kept nowhere else: whoever tells it waits for nothing, and where the store cannot serve for long
it is dropped, and the log says so. All that a notice says is in the log as well.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import orjson
import structlog

from tenet.app.core import cancelled
from tenet.base.errors import TenetError
from tenet.queues.api import Caller, QueuesError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenet.base.clock import Clock

#: The queue that notices go to.
QUEUE: Final = "tenet-notices"
#: So many wait to be sent at the most; the oldest is dropped for one more.
WAITING_MAX: Final = 1_000
#: How often sending is tried, how long one try may take, how long to wait between, seconds.
_TRIES: Final = 5
_CALL_S: Final = 5.0
_PAUSE_S: Final = 1.0
#: How long closing waits for what is left, seconds.
_CLOSE_S: Final = 1.0

_log = structlog.get_logger(__name__)


class Notices:
    """Sends notices.

    Args:
        call: the door of the queues room.
        account: whose queue they go to.
        node: says where they come from; empty where there are no others.
        clock: time.
    """

    def __init__(
        self,
        call: Callable[[str, dict[str, Any], Caller], Awaitable[dict[str, Any] | None]],
        *,
        account: str,
        node: str,
        clock: Clock,
    ) -> None:
        self._call = call
        self._account = account
        self._node = node
        self._clock = clock
        self._waiting: deque[str] = deque(maxlen=WAITING_MAX)
        self._wake = asyncio.Event()
        self._done = asyncio.Event()
        self._done.set()
        self._sending = asyncio.get_running_loop().create_task(self._send_all())

    def tell(self, about: str, words: str) -> None:
        """Tells a notice; returns at once.

        Args:
            about: what it is about, for instance an ARN.
            words: what happened, in a sentence.
        """
        notice = {"time_ms": self._clock.wall_ms(), "about": about, "notice": words}
        self._waiting.append(orjson.dumps(notice | ({"node": self._node} if self._node else {})).decode())
        self._done.clear()
        self._wake.set()

    async def close(self) -> None:
        """Sends what is left, for a moment, and ends."""
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._done.wait()
        except TimeoutError:
            _log.warning("notices are dropped", count=len(self._waiting))
        await cancelled(self._sending)

    async def _send_all(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self._send(self._waiting.popleft())
            self._done.set()

    async def _send(self, notice: str) -> None:
        request = {"QueueUrl": f"/{self._account}/{QUEUE}", "MessageBody": notice}
        for _ in range(_TRIES):
            try:
                await self._call("SendMessage", request, Caller(self._account, deadline=self._deadline()))
            except QueuesError as error:
                if error.code != "QueueDoesNotExist":
                    _log.warning("a notice is not taken", error=error.code, reason=error.message)
                return
            except TenetError as error:
                _log.info("a notice waits", error=error.code, reason=error.message)
                await asyncio.sleep(_PAUSE_S)
            else:
                return
        _log.warning("a notice is dropped", notice=notice)

    def _deadline(self) -> float:
        return self._clock.monotonic_s() + _CALL_S
