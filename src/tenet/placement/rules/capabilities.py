"""Capabilities: what a provider can do, as values under names, and what claims ask of them.

A value is a version, a whole number, a text, or a set of texts, and says itself which: ``{"version": "550.54.15"}``,
``{"integer": 6912}``, ``{"string": "U46"}``, ``{"set": ["avx", "avx512f"]}``.

A version is 1 to 8 numbers with dots between them. Versions are compared number by number, and one that ends is
followed by 0s: 550.54 = 550.54.0 < 550.54.15 < 550.127. What has letters in it has no order that all vendors agree
upon, and is a text.

A comparison holds of a value whose type can be compared so, and of no other: without the capability, or with a text
where a number is asked for, not even ``!=`` holds.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec import Struct

from tenet.placement.errors import BadRequest
from tenet.placement.model import Capability, DottedVersion
from tenet.placement.rules.schema_parts import listed, record
from tenet.placement.rules.schemas import Schema
from tenet.placement.rules.stored import FORMAT
from tenet.store.errors import StoreCorrupt
from tenet.store.formats import decode_marked

#: Of one provider; asked for in one request, in all its groups.
CAPABILITIES_MAX: Final = 64
ASKED_MAX: Final = 32
NAME_PATTERN: Final = "^[a-z][a-z0-9_]{0,63}$"
#: Texts in a set, and in what a comparison lists; characters of one text.
SET_MAX: Final = 512
LISTED_MAX: Final = 64
TEXT_CHARS_MAX: Final = 255
#: All capabilities of one provider, as they are stored.
STORED_BYTES_MAX: Final = 64 * 1024
#: So many different ones are kept as they were read: a fleet has few kinds of hosts.
_DECODED_MAX: Final = 128
#: So many texts are remembered as versions: a comparison reads its own for each value that it looks at.
_VERSIONS_MAX: Final = 4096
#: Whole numbers that are the same in every language of clients.
INTEGER_MAX: Final = 2**53 - 1
_VERSION_PATTERN: Final = "^[0-9]{1,9}([.][0-9]{1,9}){0,7}$"
_VERSION: Final = re.compile("[0-9]{1,9}(?:[.][0-9]{1,9}){0,7}")

_TEXT: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": TEXT_CHARS_MAX}
_INTEGER: Final[Schema] = {"type": "integer", "minimum": -INTEGER_MAX, "maximum": INTEGER_MAX}
_VALUE: Final[Schema] = {
    "type": "object",
    "properties": {
        "version": {"type": "string", "pattern": _VERSION_PATTERN},
        "integer": _INTEGER,
        "string": _TEXT,
        "set": {**listed(_TEXT, 0, SET_MAX), "uniqueItems": True},
    },
    "additionalProperties": False,
    "minProperties": 1,
    "maxProperties": 1,
}
CAPABILITIES: Final[Schema] = {
    "type": "object",
    "propertyNames": {"type": "string", "pattern": NAME_PATTERN},
    "additionalProperties": _VALUE,
    "maxProperties": CAPABILITIES_MAX,
}
#: Body of ``PUT …/capabilities``, and of the answer.
PUT_CAPABILITIES: Final = record(
    {"resource_provider_generation": {"type": "integer"}, "capabilities": CAPABILITIES},
    ("resource_provider_generation", "capabilities"),
)
_ONE: Final[Schema] = {"anyOf": [_INTEGER, _TEXT]}
#: Member ``capabilities`` of a group in a claim.
CAPABILITIES_ASKED: Final[Schema] = {
    "type": "object",
    "propertyNames": {"type": "string", "pattern": NAME_PATTERN},
    "additionalProperties": {
        **record(
            {
                **dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), _ONE),
                "in": listed(_ONE, 1, LISTED_MAX),
                "contains": listed(_TEXT, 1, LISTED_MAX),
            }
        ),
        "minProperties": 1,
    },
    "minProperties": 1,
    "maxProperties": ASKED_MAX,
    "description": "By name, what has to hold of the value. Versions are compared number by number.",
}


@lru_cache(maxsize=_VERSIONS_MAX)
def read_version(text: str) -> DottedVersion | None:
    """Returns the version that a text is; None where it is none."""
    if not _VERSION.fullmatch(text):
        return None
    numbers = [int(part) for part in text.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return DottedVersion(text, tuple(numbers))


# ---- comparisons -----------------------------------------------------------------------------------------------------

_ORDERED: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
#: Those that need an order, which texts have none of.
_OF_ORDER: Final = frozenset({"<", "<=", ">", ">="})


class Term(Struct, frozen=True):
    """One comparison.

    Args:
        operator: one of those in ``CAPABILITIES_ASKED``.
        operand: a whole number or a text; of ``in`` and ``contains`` several.
    """

    operator: str
    operand: int | str | tuple[int | str, ...]

    def holds(self, value: Capability) -> bool:
        """Tells whether it holds of a value."""
        if isinstance(self.operand, tuple):
            if self.operator == "contains":
                return isinstance(value, frozenset) and value.issuperset(self.operand)
            return any(_compares("==", value, one) for one in self.operand)
        return _compares(self.operator, value, self.operand)


class Comparison(Struct, frozen=True):
    """What is asked of one capability.

    Args:
        name: of the capability.
        terms: one and more; all have to hold of one provider's value.
    """

    name: str
    terms: tuple[Term, ...]

    def is_met(self, value: Capability | None) -> bool:
        """Tells whether a value meets it.

        Args:
            value: None: there is none.
        """
        return value is not None and all(term.holds(value) for term in self.terms)

    @property
    def told(self) -> dict[str, Any]:
        """As a request has it."""
        return {
            self.name: {
                term.operator: list(term.operand) if isinstance(term.operand, tuple) else term.operand
                for term in self.terms
            }
        }


def _compares(name: str, value: Capability, operand: int | str) -> bool:
    compare = _ORDERED[name]
    if isinstance(value, DottedVersion):
        other = read_version(operand) if isinstance(operand, str) else None
        return other is not None and compare(value.numbers, other.numbers)
    if isinstance(value, int):
        return isinstance(operand, int) and compare(value, operand)
    return isinstance(value, str) and isinstance(operand, str) and name not in _OF_ORDER and compare(value, operand)


def read_comparisons(asked: Mapping[str, Mapping[str, Any]], where: str) -> tuple[Comparison, ...]:
    """Returns what a group asks of capabilities.

    Args:
        asked: member ``capabilities`` of the group, of the shape that its schema says.
        where: how the member is called, for errors.

    Raises:
        BadRequest: something is to be ordered that has no order.
    """
    return tuple(
        Comparison(name, tuple(_term(kind, operand, f"{where}.{name}") for kind, operand in terms.items()))
        for name, terms in asked.items()
    )


def _term(kind: str, operand: Any, where: str) -> Term:
    if kind in _OF_ORDER and isinstance(operand, str) and read_version(operand) is None:
        raise BadRequest(
            f"JSON does not validate: {where}: {kind!r} compares whole numbers and versions, which are 1 to 8 numbers "
            f"with dots between them; {operand!r} is neither."
        )
    return Term(kind, tuple(operand) if isinstance(operand, list) else operand)


# ---- values ----------------------------------------------------------------------------------------------------------


def read_capabilities(document: Mapping[str, Mapping[str, Any]]) -> dict[str, Capability]:
    """Returns the values of a document.

    Args:
        document: of the shape that ``CAPABILITIES`` says.

    Raises:
        BadRequest: they are too large altogether.
    """
    capabilities = {name: _read(kind, value) for name, one in document.items() for kind, value in one.items()}
    size = len(encode_capabilities(capabilities))
    if size > STORED_BYTES_MAX:
        raise BadRequest(f"The capabilities have {size} bytes as they are stored; they may have {STORED_BYTES_MAX}.")
    return capabilities


def _read(kind: str, value: Any) -> Capability:
    """Returns a value of the type that it says itself.

    Raises:
        ValueError: it is of no type or another one, which is what a store may hold.
    """
    if kind == "version":
        version = read_version(value) if isinstance(value, str) else None
        if version is not None:
            return version
    elif kind == "set" and isinstance(value, list):
        return frozenset(value)
    elif (kind == "integer" and isinstance(value, int)) or (kind == "string" and isinstance(value, str)):
        return value
    raise ValueError(f"{value!r} is no {kind}")


def capabilities_document(capabilities: Mapping[str, Capability]) -> dict[str, dict[str, Any]]:
    """Returns values as documents have them."""
    return {name: _told(capabilities[name]) for name in sorted(capabilities)}


def _told(value: Capability) -> dict[str, Any]:
    if isinstance(value, DottedVersion):
        return {"version": value.text}
    if isinstance(value, int):
        return {"integer": value}
    return {"string": value} if isinstance(value, str) else {"set": sorted(value)}


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(dict[str, dict[str, str | int | list[str]]])


def encode_capabilities(capabilities: Mapping[str, Capability]) -> bytes:
    """Returns the stored form of a provider's capabilities: that of their document."""
    return FORMAT + _encoder.encode(capabilities_document(capabilities))


@lru_cache(maxsize=_DECODED_MAX)
def decode_capabilities(value: bytes) -> Mapping[str, Capability]:
    """Returns a provider's capabilities, which nobody changes: hosts of one kind share them.

    Raises:
        StoreCorrupt: the bytes are none that this or an older version writes.
    """
    what = "the record of a provider's capabilities"
    capabilities = decode_marked(value, _decoder, what, mark=FORMAT)
    try:
        return {name: _read(*next(iter(one.items()))) for name, one in capabilities.items()}
    except (StopIteration, ValueError) as error:
        raise StoreCorrupt(f"{what} cannot be read: {error}") from error
