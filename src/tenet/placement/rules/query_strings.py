"""Query strings of the Placement API: what may stand in them, and the texts by which the rest is refused.

The parsers here are shared by ``GET /resource_providers`` and ``GET /allocation_candidates``. Texts are those that
clients of the reference see (openstack-placement 16.0.0); where that quotes a JSON schema behind its message, the
message and the name of the rule are given and the schema is not.

Microversions are given by their minor number: 39 is 1.39.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final
from urllib.parse import parse_qsl
from uuid import UUID

from msgspec import Struct

from tenet.placement.errors import BadRequest

#: What precedes every refusal of a query string as a whole.
_INVALID: Final = "Invalid query string parameters: "
_TRAITS_FORM: Final = "HW_CPU_X86_VMX,CUSTOM_MAGIC"
#: Since which microversion traits may be forbidden, several member_of are told apart, aggregates may be forbidden, and
#: traits are asked for by choice.
_FORBIDDEN_TRAITS: Final = 22
_SEVERAL_MEMBER_OF: Final = 24
_FORBIDDEN_AGGREGATES: Final = 32
_ANY_TRAITS: Final = 39


class Query:
    """The parameters of a query string, in their order, repetitions included.

    Args:
        text: what followed the question mark, percent-encoded as it came.

    Raises:
        BadRequest: it is not UTF-8.
    """

    def __init__(self, text: str) -> None:
        try:
            self._pairs = parse_qsl(text, keep_blank_values=True, errors="strict")
        except (UnicodeDecodeError, ValueError) as error:
            raise BadRequest(f"{_INVALID}{error}") from None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._pairs)

    def keys(self) -> set[str]:
        """Returns the names of all parameters."""
        return {key for key, _ in self._pairs}

    def all(self, name: str) -> list[str]:
        """Returns the values of a parameter, in their order."""
        return [value for key, value in self._pairs if key == name]

    def last(self, name: str) -> str | None:
        """Returns the last value of a parameter; None where there is none."""
        values = self.all(name)
        return values[-1] if values else None


class Traits(Struct, frozen=True):
    """Which traits are asked for.

    Args:
        required: of each of these choices one.
        forbidden: none of these.
    """

    required: tuple[frozenset[str], ...] = ()
    forbidden: frozenset[str] = frozenset()


class Aggregates(Struct, frozen=True):
    """Which aggregates are asked for.

    Args:
        required: of each of these choices one.
        forbidden: none of these.
    """

    required: tuple[frozenset[str], ...] = ()
    forbidden: frozenset[str] = frozenset()


def refuse_unknown(unknown: Collection[str], patterns: Iterable[str] = ()) -> None:
    """Refuses parameters that a microversion does not have.

    Args:
        unknown: their names.
        patterns: regular expressions of names that it has, as the reference writes them; none: it has fixed names only.

    Raises:
        BadRequest: there are such.
    """
    if not unknown:
        return
    names, shown = ", ".join(map(repr, sorted(unknown))), ", ".join(map(repr, sorted(patterns)))
    if shown:
        message = f"{names} {'does' if len(unknown) == 1 else 'do'} not match any of the regexes: {shown}"
    else:
        verb = "was" if len(unknown) == 1 else "were"
        message = f"Additional properties are not allowed ({names} {verb} unexpected)"
    raise refused(message, "additionalProperties")


def refused(message: str, rule: str, member: str | None = None) -> BadRequest:
    """Returns the refusal of a query string by a rule of its schema.

    Args:
        message: what is wrong.
        rule: the JSON schema's word for it.
        member: the parameter that is wrong; None: the whole is.
    """
    where = "schema" if member is None else f"schema['properties'][{member!r}]"
    return BadRequest(f"{_INVALID}{message}\n\nFailed validating {rule!r} in {where}")


def is_uuid_like(text: str) -> bool:
    """Whether a text is a UUID, in whatever of its usual forms."""
    return _uuid_of(text) is not None


def _uuid_of(text: str) -> str | None:
    try:
        found = str(UUID(text))
    except ValueError:
        return None
    bare = text.replace("urn:", "").replace("uuid:", "").strip("{}").replace("-", "").lower()
    return found if bare == found.replace("-", "") else None


def read_resources(value: str) -> dict[str, int]:
    """Returns the amounts by resource class that ``VCPU:2,MEMORY_MB:1024`` asks for.

    Raises:
        BadRequest: it has another form, or an amount below 1.
    """
    form = "Badly formed resources parameter. Expected resources query string parameter in form: "
    form += "?resources=VCPU:2,MEMORY_MB:1024. Got: "
    if not value.strip():
        raise BadRequest(f"{form}empty string.")
    resources: dict[str, int] = {}
    for part in value.split(","):
        name, colon, amount = part.partition(":")
        if not colon or ":" in amount:
            raise BadRequest(f"{form}{part}.")
        try:
            number = int(amount)
        except ValueError:
            raise BadRequest(f"Requested resource {name} expected positive integer amount. Got: {amount}.") from None
        if number < 1:
            raise BadRequest(f"Requested resource {name} requires amount >= 1. Got: {number}.")
        resources[name] = number
    return resources


def read_traits(values: Collection[str], version: int) -> Traits:
    """Returns the traits that the values of ``required`` ask for.

    Args:
        values: in their order. Before 1.39 the last one counts, and nothing else is looked at.
        version: the microversion.

    Raises:
        BadRequest: one has another form than the microversion allows.
    """
    read = list(values) if version >= _ANY_TRAITS else list(values)[-1:]
    required: list[frozenset[str]] = []
    forbidden: set[str] = set()
    for value in read:
        if value.startswith("in:"):
            required.append(_any_of(value, version))
        else:
            found = read_plain_traits(value, may_forbid=version >= _FORBIDDEN_TRAITS)
            required += found.required
            forbidden |= found.forbidden
    return Traits(tuple(required), frozenset(forbidden))


def _any_of(value: str, version: int) -> frozenset[str]:
    if version < _ANY_TRAITS:
        raise BadRequest(
            f"{_INVALID}The format 'in:{_TRAITS_FORM}' only supported since microversion 1.39. Got: {value}"
        )
    traits = frozenset(part.strip() for part in value[3:].split(","))
    if "" in traits:
        raise BadRequest(
            f"{_INVALID}Expected 'required' parameter value of the form: in:{_TRAITS_FORM}. "
            f"Got an empty trait in: {value}"
        )
    if any(trait.startswith("!") for trait in traits):
        raise BadRequest(f"{_INVALID}The format 'in:{_TRAITS_FORM}' does not support forbidden traits. Got: {value}")
    return traits


def read_plain_traits(value: str, *, may_forbid: bool) -> Traits:
    """Returns the traits that ``HW_CPU_X86_VMX,!CUSTOM_MAGIC`` asks for.

    Args:
        value: names, those that are forbidden behind one exclamation mark or more.
        may_forbid: whether there may be such.

    Raises:
        BadRequest: a name is empty, or forbidden where none may be.
    """
    parts = [part.strip() for part in value.split(",")]
    forbidden = frozenset(part.lstrip("!") for part in parts if part.startswith("!"))
    expected = f"{_INVALID}Expected 'required' parameter value of the form: "
    if "" in parts or "" in forbidden:
        form = "HW_CPU_X86_VMX,!CUSTOM_MAGIC" if may_forbid else _TRAITS_FORM
        raise BadRequest(f"{expected}{form}. Got an empty trait in: {value}")
    if forbidden and not may_forbid:
        raise BadRequest(f"{expected}{_TRAITS_FORM}. Got: {value}")
    return Traits(tuple(frozenset((part,)) for part in parts if not part.startswith("!")), forbidden)


def read_member_of(values: Collection[str], version: int, suffix: str = "") -> Aggregates:
    """Returns the aggregates that the values of ``member_of`` ask for.

    Args:
        values: each one UUID, or several behind ``in:``; forbidden behind an exclamation mark.
        version: the microversion; one value before 1.24, nothing forbidden before 1.32.
        suffix: of the group that they belong to, for texts.

    Raises:
        BadRequest: one has another form than the microversion allows.
    """
    if version < _SEVERAL_MEMBER_OF and len(values) > 1:
        raise BadRequest(f"Multiple member_of{suffix} parameters are not supported")
    required: list[frozenset[str]] = []
    forbidden: set[str] = set()
    for value in values:
        found, is_forbidden = _aggregates_of(value)
        if not is_forbidden:
            required.append(found)
        elif version < _FORBIDDEN_AGGREGATES:
            raise BadRequest(f"Forbidden member_of{suffix} parameters are not supported in the specified microversion")
        else:
            forbidden |= found
    return Aggregates(tuple(required), frozenset(forbidden))


def _aggregates_of(value: str) -> tuple[frozenset[str], bool]:
    if "," in value and not value.startswith(("in:", "!in:")):
        raise BadRequest(
            "Multiple values for 'member_of' must be prefixed with the 'in:' or '!in:' keyword using the valid "
            f"microversion. Got: {value}"
        )
    is_forbidden = value.startswith("!")
    listed = value.removeprefix("!")
    names = listed[3:].split(",") if listed.startswith("in:") else [listed]
    found = set()
    for name in names:
        uuid = _uuid_of(name)
        if uuid is None:
            raise BadRequest(f"{_INVALID}Expected 'member_of' parameter to contain valid UUID(s). Got: {name}")
        found.add(uuid)
    return frozenset(found), is_forbidden


def read_in_tree(value: str) -> str:
    """Returns the UUID of the provider in whose tree ``in_tree`` asks to stay.

    Raises:
        BadRequest: it is none.
    """
    uuid = _uuid_of(value.strip())
    if uuid is None:
        raise BadRequest(f"{_INVALID}Expected 'in_tree' parameter to be a format of uuid. Got: {value}")
    return uuid


def check_classes(names: Iterable[str], known: Collection[str]) -> None:
    """Refuses resource classes that do not exist.

    Raises:
        BadRequest: there is one.
    """
    for name in names:
        if name not in known:
            raise BadRequest(f"Invalid resource class in resources parameter: No such resource class {name}.")


def unknown_trait(traits: Traits, known: Collection[str]) -> str | None:
    """Returns a trait that is asked for and does not exist; None where all do."""
    asked = [*(name for names in traits.required for name in sorted(names)), *sorted(traits.forbidden)]
    return next((name for name in asked if name not in known), None)
