"""The edge as one object: listens, serves, drains, and takes on new limits while it runs."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Final

import structlog

from tenet.base.clock import Clock, ProcessTime
from tenet.base.ids import Ids
from tenet.store.contract import Engine
from tenet.wire.admission import Admission
from tenet.wire.credentials import Keys
from tenet.wire.dispatch import Dispatcher
from tenet.wire.door import Measure, Service
from tenet.wire.errors import PlaintextRefused
from tenet.wire.limits import EdgeLimits, ObservedRules
from tenet.wire.listener import Listener, is_loopback
from tenet.wire.metrics import Figures, Metrics, undescribed
from tenet.wire.observe import Observer
from tenet.wire.pages import Pages
from tenet.wire.pulse import Pulse
from tenet.wire.routing import Routes
from tenet.wire.shared import Shared
from tenet.wire.sigv4 import Verifier
from tenet.wire.trace import Tracer
from tenet.wire.witness import WitnessedProcessTime

_SWEEP_S: Final = 1.0
_DRAIN_STEP_S: Final = 0.02

_log = structlog.get_logger(__name__)


class Edge:
    """Serves every API on one listener.

    Args:
        services: who answers; their mounts must not overlap.
        keys: access keys, for signatures.
        clock: time.
        ids: for request ids.
        limits: what is taken on.
        rules: which requests leave a log line.
        store: the engine that readiness and metrics ask; None for none.
        mesh: gives the figures of what this node does together with others.
        described: gives the figures of the store and of the mesh, which begin with the prefix that it is given, their
            meaning for the page of metrics.
        region: what ``GET /`` names.
        tracer: takes the spans of requests; None for no traces.
        measures: returns what the services say about themselves, for the page of metrics.
        refusal: returns why the services refuse every request, for the page of readiness; empty while they do not.
        process: tells that the process stood still; None for what the system says of it.

    Raises:
        ValueError: two mounts claim the same requests.
    """

    def __init__(
        self,
        services: Sequence[Service],
        keys: Keys,
        *,
        clock: Clock,
        ids: Ids,
        limits: EdgeLimits | None = None,
        rules: ObservedRules | None = None,
        store: Engine | None = None,
        mesh: Callable[[], Figures] = dict,
        described: Callable[[str, Figures], Iterable[Measure]] = undescribed,
        region: str = "us-east-1",
        tracer: Tracer | None = None,
        measures: Callable[[], Iterable[Measure]] = tuple,
        refusal: Callable[[], str] = str,
        process: ProcessTime | None = None,
    ) -> None:
        self._measures = measures
        limits = limits or EdgeLimits()
        routes = Routes(services)
        self.metrics = Metrics()
        self.admission = Admission(limits, clock)
        self.observer = Observer(self.metrics, clock, rules or ObservedRules(), tracer)
        self._mesh = mesh
        self._described = described
        self._pages = Pages(store, self._exposition, clock, region, refusal)
        self._pulse = Pulse(clock, process or WitnessedProcessTime(), self._cut_off)
        dispatcher = Dispatcher(
            routes=routes,
            admission=self.admission,
            verifier=Verifier(keys),
            observer=self.observer,
            metrics=self.metrics,
            pages=self._pages.answer,
            pulse=self._pulse,
            clock=clock,
            ids=ids,
        )
        self._shared = Shared(dispatcher, limits, routes.body_bytes_small, self._pulse)
        self._listener: Listener | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_stopping = False
        #: Former listeners, whose last handshakes may not be over.
        self._retired: list[Listener] = []

    @property
    def limits(self) -> EdgeLimits:
        """The limits in force; a new value holds from the next request on."""
        return self._shared.limits

    @limits.setter
    def limits(self, limits: EdgeLimits) -> None:
        self._shared.limits = limits
        self.admission.limits = limits

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that are listened on; the first of them where a name has several addresses."""
        if self._listener is None:
            raise RuntimeError("the edge has not been started")
        return self._listener.address

    async def start(self, host: str, port: int, *, tls: ssl.SSLContext | None) -> None:
        """Begins to listen.

        Args:
            host: name or address.
            port: 0 to 65,535; 0 takes a free one.
            tls: server certificate and settings; None for plaintext, which only a loopback address may speak.

        Raises:
            PlaintextRefused: plaintext was asked for on an address that others can reach.
            OSError: the address cannot be listened on.
        """
        self._listener = await self.open_listener(host, port, tls=tls)
        self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)
        self._pulse.begin()

    async def open_listener(self, host: str, port: int, *, tls: ssl.SSLContext | None) -> Listener:
        """Opens another listener, for ``change_listener``; raises as ``start`` does."""
        if tls is None:
            if not is_loopback(host):
                raise PlaintextRefused(
                    f"http is refused on {host}, which other machines can reach: use TLS, or listen on 127.0.0.1"
                )
            _log.warning("http without TLS: whoever can listen on this machine can read and replay requests", host=host)
        return await Listener.open(host, port, tls=tls, shared=self._shared, metrics=self.metrics)

    def change_listener(self, listener: Listener) -> None:
        """Listens by another listener from now on; what came by the former one ends, each after an answer.

        Args:
            listener: from ``open_listener``.
        """
        if self._listener is not None:
            self._listener.retire()
            self._retired.append(self._listener)
            for connection in (*self._shared.greeted, *self._shared.connections):
                connection.retire()
        self._listener = listener

    def stand_back(self, reason: str) -> None:
        """Says on its page of readiness that it is not to be sent requests, which it answers all the same.

        Each connection ends after the answer that it is at, so that clients make their next one elsewhere and a later
        stop finds nobody in the middle of anything.

        Args:
            reason: why, for an operator; empty: it is to be sent requests again.
        """
        if not self._is_stopping:
            self._pages.stopping = reason
            self._shared.draining = bool(reason)

    async def drain(self, timeout_s: float) -> bool:
        """Stops listening, lets the requests under way end, and closes every connection.

        Args:
            timeout_s: how long they may take; then they are cut off.

        Returns:
            Whether every request was answered.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + timeout_s
        self.stand_back("the server is stopping")
        self._is_stopping = True
        for listener in (self._listener, *self._retired):
            if listener is not None:
                listener.close()
        while self._shared.connections:
            for connection in list(self._shared.connections):
                connection.drain()
            if loop.time() >= until_s:
                break
            await asyncio.sleep(_DRAIN_STEP_S)
        cut_off = list(self._shared.connections)
        for connection in cut_off:
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._pulse.end()
        self.observer.sum_up()
        await asyncio.sleep(0)
        return not cut_off

    def _cut_off(self, still_s: float) -> None:
        """Ends all that came before the process stood still: every connection, and the requests that it was at.

        Every connection there is was made before, and what is made from now on brings nothing old.
        """
        cut_off = [*self._shared.greeted, *self._shared.connections]
        in_flight = self.admission.in_flight
        for connection in cut_off:
            connection.cut_off()
        for listener in (self._listener, *self._retired):
            if listener is not None:
                listener.turn_out()
        self.metrics.standstills += 1
        _log.warning(
            "this process stood still, and ends what came before: its clients have gone elsewhere",
            seconds=round(still_s, 1),
            connections=len(cut_off),
            requests=in_flight,
        )

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        for connection in list(self._shared.connections):
            connection.sweep(now_s)
        self.observer.sum_up()
        self._sweeper = loop.call_later(_SWEEP_S, self._sweep)

    def _exposition(self, store: Figures) -> bytes:
        # What the words take is loaded when somebody asks for them, not by every start.
        from tenet.wire.exposition import exposition

        figures = chain(self._described("tenet_store", store), self._described("tenet_mesh", self._mesh()))
        return exposition(self.metrics, self.admission, self._shared, chain(figures, self._measures()))
