"""The quick look at a document's shape never lets pass what the thorough one refuses, and spares it the usual ones."""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.placement.errors import BadRequest
from tenet.placement.rules import claim_schemas, schemas, validation
from tenet.placement.rules.quick_shapes import quick_test
from tenet.placement.rules.schemas import Schema
from tenet.placement.rules.validation import check_document, check_query, matches

UUID_1 = "00000000-0000-0000-0000-000000000001"
UUID_2 = "00000000-0000-0000-0000-00000000000A"
OWNER = {"project_id": "project", "user_id": "user"}

#: Every schema there is, by its name.
SCHEMAS: dict[str, Schema] = {
    name: value
    for module in (schemas, claim_schemas)
    for name, value in vars(module).items()
    if isinstance(value, dict) and name.isupper() and not name.startswith("_")
}

INVENTORY = {"total": 4, "reserved": 0, "min_unit": 1, "max_unit": 4, "step_size": 1, "allocation_ratio": 16.0}
HELD = {"allocations": {UUID_1: {"resources": {"VCPU": 1}}}, **OWNER}
#: What clients send, and what is to be taken without a second look.
USUAL: list[tuple[str, Any]] = [
    ("POST_PROVIDER_14", {"name": "host", "uuid": UUID_1, "parent_provider_uuid": None}),
    ("POST_PROVIDER_14", {"name": "host", "parent_provider_uuid": UUID_2}),
    ("PUT_INVENTORY", {"resource_provider_generation": 0, **INVENTORY}),
    ("PUT_INVENTORIES", {"resource_provider_generation": 0, "inventories": {"VCPU": INVENTORY}}),
    ("PUT_TRAITS", {"traits": ["HW_CPU_X86_VMX"], "resource_provider_generation": 1}),
    ("PUT_AGGREGATES_19", {"aggregates": [UUID_1, UUID_2], "resource_provider_generation": 1}),
    ("PUT_ALLOCATIONS_28", {**HELD, "consumer_generation": None}),
    ("PUT_ALLOCATIONS_38", {**HELD, "consumer_generation": 1, "consumer_type": "INSTANCE", "mappings": {"": [UUID_1]}}),
    ("POST_ALLOCATIONS_13", {UUID_1: HELD, UUID_2: {**HELD, "allocations": {}}}),
    ("GET_USAGES_38", {"project_id": "project", "consumer_type": "all"}),
    (
        "CLAIM",
        {
            "consumers": [{"uuid": UUID_1, **OWNER, "consumer_type": "INSTANCE"}],
            "request": {
                "groups": [{"resources": {"VCPU": 1}, "required": ["HW_CPU_X86_VMX", ["CUSTOM_A", "CUSTOM_B"]]}],
                "group_policy": "isolate",
            },
            "filters": [{"name": "headroom", "parameters": {"share": 0.5}}],
            "weighers": [{"name": "bin-packing", "multiplier": -1.5}],
            "spread": [{"over": "rack", "at_most": 1}],
        },
    ),
]
#: Values that take the place of any part of a document.
ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 1.0, 1.5, 2**31, 10**30, float("nan"), "", "x", "VCPU", "VCPU\n", "a" * 300),
    *(UUID_1, UUID_1.replace("-", ""), "{" + UUID_1 + "}", UUID_1 + "\n", [], [UUID_1, UUID_1], [[]], {}),
    *({"VCPU": 1}, {"VCPU\n": 1}, {"x": []}, {UUID_1: {}}, {"\n": "x"}, [1, 1], ["CUSTOM_A", "CUSTOM_A"]),
]


def passes(document: object, schema: Schema) -> bool:
    """Returns what jsonschema says, by the service's own rules for patterns and uuids."""
    return validation._any_error(document, schema) is None


def parts(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Returns the ways to all parts of a document."""
    found = [path]
    members = document.items() if isinstance(document, dict) else enumerate(document) if type(document) is list else ()
    for name, member in members:
        found += parts(member, (*path, name))
    return found


def changed(document: Any, path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    """Returns a copy of which the part at the end of a way is changed."""
    document = copy.deepcopy(document)
    above = document
    for name in path[:-1]:
        above = above[name]
    change(above, path[-1])
    return document


def put(value: Any, above: Any, last: Any) -> None:
    above[last] = value


@pytest.mark.parametrize(("name", "document"), USUAL)
def test_what_clients_send_is_taken_at_a_glance(name: str, document: Any) -> None:
    assert passes(document, SCHEMAS[name])
    assert quick_test(SCHEMAS[name])(document)


@pytest.mark.parametrize(("name", "document"), USUAL)
def test_no_part_can_be_put_wrong_unseen(name: str, document: Any) -> None:
    """Every part in turn is replaced by every odd value, left out, or has another member beside it."""
    schema, test = SCHEMAS[name], quick_test(SCHEMAS[name])
    for path in parts(document):
        if not path:
            continue
        for odd in ODD:
            other = changed(document, path, functools.partial(put, odd))
            assert passes(other, schema) or not test(other)
        without = changed(document, path, lambda above, last: above.__delitem__(last))
        assert passes(without, schema) or not test(without)

        def add(above: Any, _: Any) -> None:
            above.update({"more\n": 1}) if isinstance(above, dict) else above.append(1)

        more = changed(document, path, add)
        assert passes(more, schema) or not test(more)


_LEAVES = st.sampled_from([odd for odd in ODD if not isinstance(odd, (dict, list))])
_NAMES = st.sampled_from(["total", "name", "resources", "VCPU", "VCPU\n", UUID_1, "uuid", "traits", "", "x\n"])
_DOCUMENTS = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3), max_leaves=8
)


@given(_DOCUMENTS, st.sampled_from(sorted(SCHEMAS)))
def test_whatever_is_taken_at_a_glance_would_be_taken_at_length(document: Any, name: str) -> None:
    if quick_test(SCHEMAS[name])(document):
        assert passes(document, SCHEMAS[name])


_WORDS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["object", "array", "string", "integer", "number", "null", ["integer", "null"]]),
        "minLength": st.integers(0, 3),
        "maxLength": st.integers(0, 3),
        "minimum": st.integers(-1, 2),
        "maximum": st.integers(-1, 2),
        "pattern": st.sampled_from(["^V", "^[A-Z]+$", "x$"]),
        "format": st.just("uuid"),
        "minItems": st.integers(0, 2),
        "uniqueItems": st.booleans(),
        "required": st.just(["total"]),
        "maxProperties": st.integers(0, 2),
        "additionalProperties": st.booleans(),
        "propertyNames": st.just({"pattern": "^[A-Z]+$"}),
        "patternProperties": st.just({"^V": {"type": "integer"}, "U$": {"minimum": 1}}),
        "properties": st.just({"total": {"type": "integer"}}),
        "enum": st.just(["VCPU", "x"]),
        "anyOf": st.just([{"type": "integer"}, {"type": "string"}]),
        "description": st.just("says nothing"),
    },
)


@given(_DOCUMENTS, _WORDS)
def test_any_schema_is_read_as_jsonschema_reads_it(document: Any, schema: Schema) -> None:
    if quick_test(schema)(document):
        assert passes(document, schema)


def test_a_schema_with_an_unknown_word_takes_nothing_at_a_glance() -> None:
    assert not quick_test({"type": "string", "contentEncoding": "base64"})("x")
    assert not quick_test({"type": "string", "format": "email"})("x@y")
    assert not quick_test({"type": "object", "properties": {"a": {"not": {}}}})({"a": 1})
    assert quick_test({"description": "anything"})([1])


def test_what_is_odd_and_right_is_still_taken() -> None:
    """What the quick look does not know, the thorough one lets pass."""
    body = {"uuid": UUID_1.replace("-", ""), "name": "x"}
    assert not quick_test(schemas.POST_PROVIDER)(body)
    check_document(body, schemas.POST_PROVIDER)
    assert matches("CUSTOM_A", schemas.CUSTOM_TRAIT)
    assert not matches("CUSTOM_A\n", schemas.CUSTOM_TRAIT)


def test_refusals_have_the_texts_that_they_had() -> None:
    with pytest.raises(BadRequest, match="JSON does not validate: 'name' is a required property"):
        check_document({}, schemas.POST_PROVIDER)
    with pytest.raises(BadRequest, match="Invalid query string parameters: 'project_id' is a required property"):
        check_query({}, schemas.GET_USAGES)


def test_a_glance_costs_a_fraction() -> None:
    """The reason that it is there; a tenth is usual."""
    _, document = USUAL[-1]
    schema, test = SCHEMAS["CLAIM"], quick_test(SCHEMAS["CLAIM"])

    def cost(look: Callable[[], object]) -> float:
        began = time.process_time()
        for _ in range(200):
            look()
        return time.process_time() - began

    assert cost(lambda: test(document)) < cost(lambda: passes(document, schema)) / 2
