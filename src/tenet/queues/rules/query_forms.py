"""The Query protocol: what a form asks, in the members of the JSON protocol.

A form flattens lists, maps and structures into the names of its parameters: ``MessageAttribute.2.Value.StringValue``.
Lists and maps are numbered from 1; gaps are closed. Parameters that the API does not have are left out. What is
numbered wrongly is refused, so that no part of a message gets lost.

Source: AWS SDKs, the query protocol ("Query protocol serialization"); the service model's places (``shapes``);
https://github.com/rusoto/rusoto/issues/324 for what the service says of a wrong number.
"""

from __future__ import annotations

import re
from operator import itemgetter
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl

from tenet.queues.errors import InvalidParameterValue, SerializationException
from tenet.queues.rules.shapes import INTEGER_MAX, REQUESTS, Shape

#: Parameters of a form. The largest right one, ten messages with ten attributes each of three parts, has fewer.
PARAMETERS_MAX: Final = 2_000
#: Names that have more parts belong to nothing.
_PARTS_MAX: Final = 8
_MEMBER: Final = "member"
_INTEGER: Final = re.compile(r"-?[0-9]{1,20}")
_NUMBER: Final = re.compile(r"[0-9]{1,9}")

#: What a form's parameters make up: texts by the parts of their names; "" is what stands at the place itself.
_Tree: TypeAlias = dict[str, Any]


def read_form(operation: str, form: str) -> dict[str, Any]:
    """Returns the request that a form holds.

    Args:
        operation: its name, one of ``REQUESTS``.
        form: ``application/x-www-form-urlencoded``, ASCII.

    Raises:
        SerializationException: it is no form, has more than ``PARAMETERS_MAX`` parameters, or a wrong number in one.
        InvalidParameterValue: a parameter has not the type that it should.
    """
    shape = REQUESTS[operation]
    known = shape.members.keys() | {member.place for member in shape.members.values()}
    structure: dict[str, Any] = _structure(shape, _tree(_parameters(form), known), "")
    return structure


def _parameters(form: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(form, keep_blank_values=True, errors="strict", max_num_fields=PARAMETERS_MAX)
    except UnicodeDecodeError as error:
        raise SerializationException("The request is not valid UTF-8") from error
    except ValueError as error:
        raise SerializationException(f"The request has more than {PARAMETERS_MAX} parameters") from error


def _tree(parameters: list[tuple[str, str]], known: set[str]) -> _Tree:
    tree: _Tree = {}
    for name, value in parameters:
        parts = name.split(".", _PARTS_MAX)
        if len(parts) > _PARTS_MAX or "" in parts:
            if parts[0] in known:
                raise SerializationException(f"{name} is not a valid parameter")
            continue
        branch = tree
        for part in parts:
            branch = branch.setdefault(part, {})
        branch[""] = value
    return tree


def _value(shape: Shape, branch: _Tree, name: str) -> Any:
    if shape.kind == "structure":
        return _structure(shape, branch, name)
    text = branch.get("", "")
    return _integer(name, text) if shape.kind == "integer" else text


def _structure(shape: Shape, branch: _Tree, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for member, of in shape.members.items():
        # Version 1 of the SDK for Java numbers the tags of TagQueue under the member's own name.
        place = of.place if of.place and of.place in branch else member
        if place not in branch:
            continue
        below = f"{name}.{place}" if name else place
        if of.kind == "list":
            found[member] = _list(of, branch[place], below)
        elif of.kind == "map":
            found[member] = _map(of, branch[place], below)
        else:
            found[member] = _value(of, branch[place], below)
    return found


def _numbered(branch: _Tree, name: str) -> list[tuple[int, _Tree]]:
    """Returns the elements of a list or a map, in the order of their numbers.

    Raises:
        SerializationException: one has no number from 1 on.
    """
    if branch.keys() == {_MEMBER}:
        branch = branch[_MEMBER]
    numbered = []
    for number, element in branch.items():
        if not number:
            # Clients write an empty list so.
            if element:
                raise SerializationException(f"{name} has to be numbered")
            continue
        if not _NUMBER.fullmatch(number) or not int(number):
            raise SerializationException(f"{number} is not a valid index")
        numbered.append((int(number), element))
    return sorted(numbered, key=itemgetter(0))


def _list(shape: Shape, branch: _Tree, name: str) -> list[Any]:
    assert shape.of is not None
    if branch.keys() == {""}:
        # The oldest clients do not number an only element.
        return [_value(shape.of, branch, name)]
    return [_value(shape.of, element, f"{name}.{number}") for number, element in _numbered(branch, name)]


def _map(shape: Shape, branch: _Tree, name: str) -> dict[str, Any]:
    assert shape.of is not None
    is_only = shape.key in branch and branch.keys() <= {shape.key, shape.value}
    numbered = [(1, branch)] if is_only else _numbered(branch, name)
    return {
        entry.get(shape.key, {}).get("", ""): _value(
            shape.of, entry.get(shape.value, {}), f"{name}.{number}.{shape.value}"
        )
        for number, entry in numbered
    }


def _integer(name: str, text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise InvalidParameterValue.of(name, text, "Must be an integer.")
    return min(max(int(text), -INTEGER_MAX - 1), INTEGER_MAX)
