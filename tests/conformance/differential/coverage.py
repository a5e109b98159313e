"""Counts which operations and which members of their requests the sequences of the differential test send.

A member counts where it stands in a request that was not broken on purpose and that botocore's model takes; its place
is written as a path: ``RequestItems.{}[].PutRequest.Item`` is a map's value, and an element of a list in it. Attribute
values stand in so many places that their types count once for an operation, as ``AttributeValue.NS``. Of a member with
an enumeration each value counts too, as ``ReturnConsumedCapacity=INDEXES``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape
from botocore.session import get_session
from botocore.validate import ParamValidator

from tests.conformance.differential.requests import Step

#: Whose members are counted without the path that leads to them.
ATTRIBUTE_VALUE = "AttributeValue"
#: What a step sends that reads all pages, beside what stands in its request.
_OF_NEXT_PAGES = {
    "ExecuteStatement": "NextToken",
    "Query": "ExclusiveStartKey",
    "Scan": "ExclusiveStartKey",
}

Sent = dict[str, set[str]]


@cache
def model(service: str) -> ServiceModel:
    """Returns botocore's model of a service."""
    return get_session().get_service_model(service)


def members_of(operation: OperationModel, *, without: Mapping[str, Iterable[str]] | None = None) -> set[str]:
    """Returns the paths of all members that a request can have.

    Args:
        operation: in botocore's model.
        without: top-level members that are left out with all below them, by operation.
    """
    if operation.input_shape is None:
        return set()
    out = set((without or {}).get(operation.name, ()))
    return {path for path in _paths(operation.input_shape, "", ()) if re.split(r"\W", path)[0] not in out}


def answered_members_of(operation: OperationModel) -> set[str]:
    """Returns the paths of all members that an answer can have."""
    return set() if operation.output_shape is None else set(_paths(operation.output_shape, "", ()))


def _paths(shape: Shape, path: str, above: tuple[str, ...]) -> Iterator[str]:
    """All paths below a shape; one that holds itself is gone into once."""
    if isinstance(shape, StructureShape):
        if shape.name in above:
            return
        start = ATTRIBUTE_VALUE if shape.name == ATTRIBUTE_VALUE else path
        for name, member in shape.members.items():
            below = f"{start}.{name}" if start else name
            yield below
            yield from (f"{below}={option}" for option in getattr(member, "enum", ()))
            yield from _paths(member, below, (*above, shape.name))
    elif isinstance(shape, ListShape):
        yield from _paths(shape.member, f"{path}[]", above)
    elif isinstance(shape, MapShape):
        yield from _paths(shape.value, f"{path}.{{}}", above)


def _sent(shape: Shape, value: Any, path: str) -> Iterator[str]:
    """All paths that stand in a request which the model takes."""
    if isinstance(shape, StructureShape):
        start = ATTRIBUTE_VALUE if shape.name == ATTRIBUTE_VALUE else path
        for name, part in value.items():
            if name in shape.members:
                below = f"{start}.{name}" if start else name
                yield below
                if getattr(shape.members[name], "enum", ()):
                    yield f"{below}={part}"
                yield from _sent(shape.members[name], part, below)
    elif isinstance(shape, ListShape):
        for part in value:
            yield from _sent(shape.member, part, f"{path}[]")
    elif isinstance(shape, MapShape):
        for part in value.values():
            yield from _sent(shape.value, part, f"{path}.{{}}")


def count(steps: Iterable[Step], service: ServiceModel, sent: Sent) -> None:
    """Adds what steps send.

    Args:
        steps: of one sequence.
        service: botocore's model of it.
        sent: paths of members by operation, which are added to.
    """
    validator = ParamValidator()
    for step in steps:
        shape = service.operation_model(step.operation).input_shape
        if step.is_faulty or shape is None or validator.validate(step.request, shape).has_errors():
            continue
        found = sent.setdefault(step.operation, set())
        found.update(_sent(shape, step.request, ""))
        if step.segments > 1:
            found.add("Segment")
        if step.reads_all and step.operation in _OF_NEXT_PAGES:
            found.add(_OF_NEXT_PAGES[step.operation])


def never_sent(service: ServiceModel, sent: Sent, wanted: Mapping[str, Iterable[str]]) -> list[str]:
    """Returns every operation and every member that is not sent, as ``operation`` or ``operation: path``.

    Args:
        service: botocore's model of it.
        sent: as `count` has it.
        wanted: the operations that are looked for, with the top-level members that are not.
    """
    missing = []
    for operation in sorted(wanted):
        if operation not in sent:
            missing.append(operation)
            continue
        members = members_of(service.operation_model(operation), without=wanted)
        missing += [f"{operation}: {path}" for path in sorted(members - sent[operation])]
    return missing
