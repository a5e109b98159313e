"""The shapes of the API's requests: botocore's model as ``tools/generate_shapes.py`` wrote it, with ``shape_facts``."""

from __future__ import annotations

from importlib import resources
from typing import Any, Final, Literal, TypeAlias

import orjson
from msgspec import Struct

from tenet.tables.rules.shape_facts import ANY_LENGTH, ANY_VALUE, MEMBER_ORDER, NOT_REQUIRED, REQUIRED

Kind: TypeAlias = Literal[
    "structure", "list", "map", "string", "blob", "boolean", "integer", "long", "double", "timestamp"
]

#: Attribute values have rules of their own (``rules.attributes``).
ATTRIBUTE_VALUE: Final = "AttributeValue"


class Shape(Struct, frozen=True):
    """One shape of the model.

    Args:
        name: its name in the model.
        kind: what JSON it is.
        members: of a structure, the names of their shapes, in the order in which they are checked.
        required: members that must be there.
        member: the shape of a list's elements.
        key: the shape of a map's keys.
        value: the shape of a map's values.
        enum: the values that a string may have, in the order in which the service lists them.
        pattern: what a string must match as a whole.
        min: the least length, or the least value of a number.
        max: the greatest.
    """

    name: str
    kind: Kind
    members: dict[str, str] = {}
    required: frozenset[str] = frozenset()
    member: str = ""
    key: str = ""
    value: str = ""
    enum: tuple[str, ...] = ()
    pattern: str = ""
    min: int | None = None
    max: int | None = None


def _shape(name: str, raw: dict[str, Any]) -> Shape:
    members: dict[str, str] = raw.get("members", {})
    first = MEMBER_ORDER.get(name, ())
    required = {*raw.get("required", ()), *REQUIRED.get(name, ())} - NOT_REQUIRED.get(name, frozenset())
    return Shape(
        name=name,
        kind=raw["type"],
        members={member: members[member] for member in (*first, *(other for other in members if other not in first))},
        required=frozenset(required),
        member=raw.get("member", ""),
        key=raw.get("key", ""),
        value=raw.get("value", ""),
        enum=() if name in ANY_VALUE else tuple(raw.get("enum", ())),
        pattern=raw.get("pattern", ""),
        min=None if name in ANY_LENGTH else raw.get("min"),
        max=None if name in ANY_LENGTH else raw.get("max"),
    )


_raw: Final[dict[str, Any]] = orjson.loads(resources.files(__package__).joinpath("shapes.json").read_bytes())

#: Every shape that a request can hold, by its name.
SHAPES: Final[dict[str, Shape]] = {name: _shape(name, raw) for name, raw in _raw["shapes"].items()}
#: The shape of each operation's request, by the operation's name.
REQUESTS: Final[dict[str, Shape]] = {operation: SHAPES[name] for operation, name in _raw["operations"].items()}
