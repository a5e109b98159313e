"""Tells quickly that a document has the shape that a schema says; what is wrong with one, ``validation`` tells.

A schema (JSON Schema, draft 2020-12, as far as ``schemas`` and ``claim_schemas`` use it) becomes a function. It holds
only for documents that the schema lets pass. For some that pass it does not hold, odd forms of numbers and uuids: these
are looked at as thoroughly as those that are wrong, so nobody is refused by what stands here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

#: Tells whether a document surely has a shape.
Test: TypeAlias = Callable[[Any], bool]

#: Words of a schema that say nothing about shape.
_SAYING: Final = frozenset({"description", "default"})
#: Those that are understood here; a word that says something about another type of value does not bind this one.
_KNOWN: Final = frozenset(
    {
        *("type", "enum", "anyOf"),
        *("properties", "required", "additionalProperties", "patternProperties", "propertyNames"),
        *("minProperties", "maxProperties", "items", "minItems", "maxItems", "uniqueItems"),
        *("minLength", "maxLength", "pattern", "format", "minimum", "maximum"),
    }
)
_MOST: Final = float("inf")
#: How clients write uuids. Other forms are left to whoever knows them.
_USUAL_UUID: Final = re.compile("[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def quick_test(schema: Mapping[str, Any]) -> Test:
    """Returns the function that a schema becomes; with a word in it that is not known here, one that never holds."""
    words = schema.keys() - _SAYING
    if not words:
        return _always
    if not words <= _KNOWN:
        return _never
    if "type" in schema:
        kinds = schema["type"]
        if isinstance(kinds, str):
            return _MAKERS[kinds](schema) if words.isdisjoint(("enum", "anyOf")) else _never
        return _any_of([quick_test({**schema, "type": kind}) for kind in kinds])
    if words == {"anyOf"}:
        return _any_of([quick_test(choice) for choice in schema["anyOf"]])
    if words == {"enum"} and all(isinstance(value, str) for value in schema["enum"]):
        values = frozenset(schema["enum"])
        return lambda value: type(value) is str and value in values
    return _never


def _always(_: object) -> bool:
    return True


def _never(_: object) -> bool:
    return False


def _any_of(tests: list[Test]) -> Test:
    return lambda value: any(test(value) for test in tests)


def _object(schema: Mapping[str, Any]) -> Test:
    properties = {name: quick_test(one) for name, one in schema.get("properties", {}).items()}
    patterns = [(re.compile(text).search, quick_test(one)) for text, one in schema.get("patternProperties", {}).items()]
    if properties and patterns:
        return _never  # a member may have to be of both shapes; no schema here asks for that
    more = schema.get("additionalProperties", True)
    others = quick_test(more) if isinstance(more, Mapping) else _always if more else _never
    names = quick_test(schema["propertyNames"]) if "propertyNames" in schema else None
    required = frozenset(schema.get("required", ()))
    least, most = schema.get("minProperties", 0), schema.get("maxProperties", _MOST)

    def of_name(name: str, value: object) -> bool:
        matching = [test for search, test in patterns if search(name)]
        return all(test(value) for test in matching) if matching else others(value)

    def test(value: Any) -> bool:
        if type(value) is not dict or not least <= len(value) <= most or not required <= value.keys():
            return False
        if names is not None and not all(map(names, value)):
            return False
        for name, member in value.items():
            if not (of_name(name, member) if patterns else properties.get(name, others)(member)):
                return False
        return True

    return test


def _array(schema: Mapping[str, Any]) -> Test:
    items = quick_test(schema.get("items", {}))
    least, most = schema.get("minItems", 0), schema.get("maxItems", _MOST)
    is_unique = schema.get("uniqueItems", False)

    def test(value: Any) -> bool:
        if type(value) is not list or not least <= len(value) <= most or not all(map(items, value)):
            return False
        return not is_unique or (all(type(item) is str for item in value) and len(set(value)) == len(value))

    return test


def _string(schema: Mapping[str, Any]) -> Test:
    least, most = schema.get("minLength", 0), schema.get("maxLength", _MOST)
    pattern = schema.get("pattern")
    # As ``validation`` reads patterns: ``$`` is the end, and not also a line end before it.
    search = None if pattern is None else re.compile(pattern.replace("$", r"\Z")).search
    if "format" in schema and schema["format"] != "uuid":
        return _never
    is_form = _USUAL_UUID.fullmatch if "format" in schema else None

    def test(value: Any) -> bool:
        if type(value) is not str or not least <= len(value) <= most:
            return False
        return (search is None or search(value) is not None) and (is_form is None or is_form(value) is not None)

    return test


def _numeric(*types: type) -> Callable[[Mapping[str, Any]], Test]:
    def make(schema: Mapping[str, Any]) -> Test:
        least, most = schema.get("minimum", -_MOST), schema.get("maximum", _MOST)
        return lambda value: type(value) in types and least <= value <= most

    return make


def _null(_: Mapping[str, Any]) -> Test:
    return lambda value: value is None


def _boolean(_: Mapping[str, Any]) -> Test:
    return lambda value: type(value) is bool


_MAKERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Test]]] = {
    "object": _object,
    "array": _array,
    "string": _string,
    # True and False are no numbers in JSON Schema, and are of a type of their own here.
    "integer": _numeric(int),
    "number": _numeric(int, float),
    "null": _null,
    "boolean": _boolean,
}
