"""A service that can be taken away for a moment, while the store is replaced under it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from tenet.base.errors import TenetError
from tenet.wire.door import Mount, Request, Response, Service
from tenet.wire.errors import Overloaded

RESTORING: Final = "The store is being restored. Send the request again."
STARTING: Final = "The server is starting. Send the request again."
MOVING: Final = "The store is about to move to another one. Send the request again."


class Gate:
    """Implements ``tenet.wire.door.Service`` by the service behind it; open, it costs nothing.

    Args:
        service: behind it.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._why = ""
        #: Answers a request.
        self.answer: Callable[[Request], Coroutine[Any, Any, Response]] = service.answer

    @property
    def mount(self) -> Mount:
        """Which requests are the service's own."""
        return self._service.mount

    def refuse(self, request: Request, error: TenetError) -> Response:
        """Turns an error into the service's bytes."""
        return self._service.refuse(request, error)

    @property
    def refusal(self) -> str:
        """Why every request is refused; empty while the gate is open."""
        return self._why

    def shut(self, why: str = RESTORING) -> None:
        """Refuses every request from now on with an error that clients retry.

        Args:
            why: what they are told.
        """
        self._why = why
        self.answer = self._refuse

    def open(self, service: Service) -> None:
        """Lets requests through to a service, which need not be the one before."""
        self._service = service
        self._why = ""
        self.answer = service.answer

    async def _refuse(self, request: Request) -> Response:
        return self.refuse(request, Overloaded(self._why))


class Gates:
    """The gates before several services, which are shut and opened together.

    Args:
        services: behind them.
    """

    def __init__(self, services: Sequence[Service]) -> None:
        self._gates = tuple(Gate(service) for service in services)

    @property
    def services(self) -> tuple[Gate, ...]:
        """The gates, as services for the edge."""
        return self._gates

    @property
    def refusal(self) -> str:
        """Why every request is refused; empty while the gates are open."""
        return self._gates[0].refusal

    def shut(self, why: str = RESTORING) -> None:
        """Refuses every request from now on with an error that clients retry.

        Args:
            why: what they are told.
        """
        for gate in self._gates:
            gate.shut(why)

    def open(self, services: Sequence[Service]) -> None:
        """Lets requests through to services, in the order of those before, which they need not be."""
        for gate, service in zip(self._gates, services, strict=True):
            gate.open(service)
