"""What requests about allocations say, in the forms of all microversions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from tenet.placement.errors import BadRequest, Conflict
from tenet.placement.model import Consumer
from tenet.placement.rules.claims import Wanted
from tenet.placement.rules.schemas import (
    POST_ALLOCATIONS_13,
    POST_ALLOCATIONS_28,
    POST_ALLOCATIONS_34,
    POST_ALLOCATIONS_38,
    PUT_ALLOCATIONS,
    PUT_ALLOCATIONS_8,
    PUT_ALLOCATIONS_12,
    PUT_ALLOCATIONS_28,
    PUT_ALLOCATIONS_34,
    PUT_ALLOCATIONS_38,
    of_version,
)
from tenet.placement.rules.validation import canonical_uuid, read_body

#: Project and user of consumers that were made without, before 1.8.
NOBODY: Final = "00000000-0000-0000-0000-000000000000"
#: Consumers in one request: a commit checks each of them, and its checks are bounded.
CONSUMERS_MAX: Final = 90
_BY_PROVIDER: Final = 12
_GENERATIONS: Final = 28
_TYPES: Final = 38


class Asking(Struct, frozen=True):
    """What a request wants for one consumer.

    Args:
        wanted: what it is to have.
        checks_generation: whether the generation below has to be the present one.
        generation: the one that the sender knows; None: the consumer does not exist yet.
    """

    wanted: Wanted
    checks_generation: bool
    generation: int | None

    def check(self, before: Consumer | None) -> None:
        """Refuses the request where the sender knows another generation than the present one.

        Raises:
            Conflict: he does.
        """
        if not self.checks_generation:
            return
        if before is None and self.generation is not None:
            raise Conflict.generation(f"consumer generation conflict - expected null but got {self.generation}")
        if before is not None and before.generation != self.generation:
            raise Conflict.generation(
                f"consumer generation conflict - expected {before.generation} but got {self.generation}"
            )


def read_put(consumer: str, body: bytes, version: int) -> Asking:
    """Returns what ``PUT /allocations/{consumer_uuid}`` asks for.

    Args:
        consumer: uuid in the path.
        body: of the request.
        version: microversion.

    Raises:
        BadRequest: one of them is malformed.
    """
    uuid = canonical_uuid(consumer)
    if uuid is None:
        raise BadRequest(f"Malformed consumer_uuid: {consumer}")
    schema = of_version(
        version,
        (0, PUT_ALLOCATIONS),
        (8, PUT_ALLOCATIONS_8),
        (_BY_PROVIDER, PUT_ALLOCATIONS_12),
        (_GENERATIONS, PUT_ALLOCATIONS_28),
        (34, PUT_ALLOCATIONS_34),
        (_TYPES, PUT_ALLOCATIONS_38),
    )
    data = read_body(body, schema)
    allocations = data["allocations"]
    if version < _BY_PROVIDER:
        allocations = {one["resource_provider"]["uuid"]: {"resources": one["resources"]} for one in allocations}
    return _asking(uuid, {**data, "allocations": allocations}, version)


def read_post(body: bytes, version: int) -> list[Asking]:
    """Returns what ``POST /allocations`` asks for.

    Raises:
        BadRequest: the body is malformed, or has too many consumers.
    """
    schema = of_version(
        version,
        (13, POST_ALLOCATIONS_13),
        (_GENERATIONS, POST_ALLOCATIONS_28),
        (34, POST_ALLOCATIONS_34),
        (_TYPES, POST_ALLOCATIONS_38),
    )
    return read_many(read_body(body, schema), version)


def read_many(data: Mapping[str, Any], version: int) -> list[Asking]:
    """Returns what is asked for some consumers, in a document that fits its schema.

    Raises:
        BadRequest: there are too many of them, or a key is no uuid.
    """
    if len(data) > CONSUMERS_MAX:
        raise BadRequest(f"{len(data)} consumers are in the request, which may have at most {CONSUMERS_MAX}.")
    asked: dict[str, Asking] = {}
    for consumer, one in data.items():
        uuid = canonical_uuid(consumer)
        if uuid is None or uuid in asked:
            raise BadRequest(f"Malformed consumer_uuid: {consumer}")
        asked[uuid] = _asking(uuid, one, version)
    return list(asked.values())


def _asking(uuid: str, data: Mapping[str, Any], version: int) -> Asking:
    allocations: dict[str, dict[str, int]] = {}
    for provider, one in data["allocations"].items():
        resources = allocations.setdefault(canonical_uuid(provider) or provider, {})
        resources.update(one["resources"])
    wanted = Wanted(
        uuid=uuid,
        project=data.get("project_id", NOBODY),
        user=data.get("user_id", NOBODY),
        type=data["consumer_type"] if version >= _TYPES else None,
        allocations=allocations,
    )
    return Asking(wanted, version >= _GENERATIONS, data.get("consumer_generation"))
