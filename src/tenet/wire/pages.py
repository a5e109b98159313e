"""The server's own pages: that it lives, that it can serve, and its figures."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final

from tenet.base.clock import Clock
from tenet.base.errors import TenetError
from tenet.store.contract import Engine
from tenet.wire.door import Response
from tenet.wire.metrics import Figures

TEXT: Final = "text/plain; charset=utf-8"
PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"

#: How long the store may take to say that it is there.
_STORE_S_MAX: Final = 2.0
_REGION: Final = re.compile(r"dynamodb\.([a-z0-9-]{1,32})\.")


class Pages:
    """Answers GET and HEAD of the server's own paths.

    Args:
        store: asked whether it can be reached, and whether it takes writes.
        exposition: writes the page of metrics, given the store's figures.
        clock: time, for deadlines.
        region: what ``GET /`` names where the Host header names none.
        refusal: returns why the services refuse every request; empty while they do not.
    """

    def __init__(
        self,
        store: Engine | None,
        exposition: Callable[[Figures], bytes],
        clock: Clock,
        region: str,
        refusal: Callable[[], str] = str,
    ) -> None:
        self._store = store
        self._refusal = refusal
        self._exposition = exposition
        self._clock = clock
        self._region = region
        self._paths: dict[str, Callable[[dict[str, str]], Awaitable[Response]]] = {
            "/": self._healthy,
            "/healthz": self._alive,
            "/readyz": self._ready,
            "/metrics": self._metrics,
        }
        #: Why the server takes on nothing new; "" while it does.
        self.stopping = ""

    async def answer(self, method: str, path: str, headers: dict[str, str]) -> Response | None:
        """Answers a request for a page; None where there is none at this path, or not for this method.

        Args:
            method: upper case.
            path: percent-encoded.
            headers: by lower-case name.
        """
        page = self._paths.get(path)
        if page is None:
            return None
        if method not in {"GET", "HEAD"}:
            if path == "/":
                return None
            allowed = (("Allow", "GET, HEAD"),)
            return Response(405, b"Only GET and HEAD\n", TEXT, allowed, error_code="MethodNotAllowed")
        return await page(headers)

    async def _healthy(self, headers: dict[str, str]) -> Response:
        named = _REGION.match(headers.get("host", ""))
        region = named[1] if named else self._region
        return Response(200, f"healthy: dynamodb.{region}.amazonaws.com ".encode(), "")

    async def _alive(self, _headers: dict[str, str]) -> Response:
        return Response(200, b"ok\n", TEXT)

    async def _ready(self, _headers: dict[str, str]) -> Response:
        if self.stopping:
            return Response(503, f"{self.stopping}\n".encode(), TEXT, error_code="Draining")
        if refusal := self._refusal():
            return Response(503, f"{refusal}\n".encode(), TEXT, error_code="ServiceUnavailable")
        if self._store is not None:
            try:
                figures = await self._store.health()
                if not figures.get("can_write", True):
                    reason = f"the store takes no writes: {figures.get('write_refusal')}\n"
                    return Response(503, reason.encode(), TEXT, error_code="StoreUnavailable")
                # An engine over a network watches it all the time. Were it asked here, a replica that is slow would
                # make every node late at once, and a proxy that gives them little time would have none left.
                if not self._store.capabilities.remote:
                    await self._store.list_spaces("a", deadline=self._clock.monotonic_s() + _STORE_S_MAX)
            except TenetError as error:
                reason = f"the store does not answer: {error.code}: {error.message}\n"
                return Response(503, reason.encode(), TEXT, error_code=error.code)
        return Response(200, b"ready\n", TEXT)

    async def _metrics(self, _headers: dict[str, str]) -> Response:
        figures: Figures = {}
        if self._store is not None:
            try:
                figures = await self._store.health()
            except TenetError:
                figures = {"reachable": False}
        return Response(200, self._exposition(figures), PROMETHEUS)
