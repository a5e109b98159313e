"""The placement service of a process over a store that outlives it, asked as its edge is."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, Self
from uuid import UUID

import orjson

from tenet.base.clock import NEVER, Clock, SystemClock
from tenet.base.ids import Ids, SystemIds
from tenet.placement.api import Authenticator, Edge, NoProof, Placement, Policy
from tenet.placement.http import PlacementService
from tenet.placement.opening import Opened
from tenet.placement.ops.model_keeping import ModelKeeper
from tenet.store.contract import Engine
from tenet.store.memory import MemoryEngine
from tenet.store.memory_state import MemoryState
from tenet.wire.door import Request, Response

IDS = SystemIds()
LATEST = "1.39"
OWNER = {"project_id": "project", "user_id": "user", "consumer_type": "INSTANCE"}


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Runs a test in an event loop of its own."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        asyncio.run(test(*arguments, **named))

    return run


def memory(clock: Clock | None = None, state: MemoryState | None = None) -> Engine:
    return MemoryEngine(state or MemoryState(), clock=clock or SystemClock(), ids=IDS)


def uuid_of(number: int) -> str:
    return str(UUID(int=number))


class World:
    """A placement service.

    Args:
        store: stays when the service is gone.
        clock: time.
        ids: randomness.
        is_shared: whether others commit to the store.
        policy: who may do what.
        authenticator: who sent requests.
        cors_origins: whose pages may call.
        is_loaded: whether the service is open before the first request.
    """

    def __init__(
        self,
        store: Engine,
        *,
        clock: Clock | None = None,
        ids: Ids = IDS,
        is_shared: bool | None = None,
        policy: Policy | None = None,
        authenticator: Authenticator | None = None,
        cors_origins: tuple[str, ...] = (),
        is_loaded: bool = True,
    ) -> None:
        self.store = store
        self._is_loaded = is_loaded
        self.clock = clock or SystemClock()
        self._ids = ids
        self._is_shared = is_shared
        self._policy = policy or Policy()
        self._edge = Edge("/placement", "https", authenticator or NoProof(), cors_origins, ("openstack-api-version",))
        self.placement: Placement
        self.service: PlacementService

    async def __aenter__(self) -> Self:
        self.placement = await Placement.open(
            self.store, clock=self.clock, ids=self._ids, policy=self._policy, is_shared=self._is_shared
        )
        if self._is_loaded:
            await self.placement.load()
        self.service = self.placement.service(self._edge)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.placement.close()

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        version: str | None = LATEST,
        **headers: str,
    ) -> Response:
        """Sends a request; header names have underscores here."""
        return await self.send_by(NEVER, method, path, body, version=version, **headers)

    async def send_by(
        self,
        deadline: float,
        method: str,
        path: str,
        body: Any = None,
        *,
        version: str | None = LATEST,
        **headers: str,
    ) -> Response:
        """Sends a request as ``send`` does, of which the answer is of no use any more after some time."""
        given = {"x-auth-token": "admin", "host": "cloud:8000"}
        if version is not None:
            given["openstack-api-version"] = f"placement {version}"
        data = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        if data:
            given["content-type"] = "application/json"
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        url, _, query = path.partition("?")
        request = Request(
            method,
            f"/placement{url}",
            query,
            given,
            data,
            request_id="0123456789ABCDEF" * 3 + "0123",
            deadline=deadline,
        )
        response = await self.service.answer(request)
        if response.pieces is not None:
            response.body, response.pieces = b"".join([piece async for piece in response.pieces]), None
        return response

    async def ask(self, method: str, path: str, body: Any = None, *, status: int = 200, **more: str) -> Any:
        """Sends a request that has to be answered with a status; returns the document of the answer."""
        response = await self.send(method, path, body, **more)
        assert response.status == status, response.body
        return orjson.loads(response.body) if response.body else None

    async def refused(self, method: str, path: str, body: Any = None, *, status: int, **more: str) -> str:
        """Sends a request that has to be refused with a status; returns the text."""
        error = (await self.ask(method, path, body, status=status, **more))["errors"][0]
        assert error["status"] == status
        return str(error["detail"])

    @property
    def opened(self) -> Opened | None:
        """What answers; None before the first request."""
        return self.placement._loader.opened

    @property
    def keeper(self) -> ModelKeeper:
        """The one that keeps the read model."""
        assert self.opened is not None
        return self.opened.context.keeper

    # ---- what tests need again and again -----------------------------------------------------------------------------

    async def provider(self, number: int, *, parent: int | None = None, **inventories: Any) -> str:
        """Makes a provider, with inventories by class: a total, or all members."""
        uuid = uuid_of(number)
        above = None if parent is None else uuid_of(parent)
        await self.ask(
            "POST",
            "/resource_providers",
            {"name": f"provider-{number}", "uuid": uuid, "parent_provider_uuid": above},
        )
        if inventories:
            listed = {name: {"total": one} if isinstance(one, int) else one for name, one in inventories.items()}
            body = {"resource_provider_generation": 0, "inventories": listed}
            await self.ask("PUT", f"/resource_providers/{uuid}/inventories", body)
        return uuid

    async def claim(
        self, consumer: int, allocations: dict[str, dict[str, int]], *, generation: int | None = None, **owner: str
    ) -> Response:
        """Gives a consumer what it is to have."""
        body = {
            "allocations": {uuid: {"resources": resources} for uuid, resources in allocations.items()},
            "consumer_generation": generation,
            **OWNER,
            **owner,
        }
        return await self.send("PUT", f"/allocations/{uuid_of(consumer)}", body)

    async def used(self, uuid: str) -> dict[str, int]:
        """Returns what is in use of a provider."""
        usages: dict[str, int] = (await self.ask("GET", f"/resource_providers/{uuid}/usages"))["usages"]
        return usages

    async def generation(self, uuid: str) -> int:
        """Returns the generation of a provider."""
        return int((await self.ask("GET", f"/resource_providers/{uuid}"))["generation"])
