"""The quick look and jsonschema agree on bodies of quotas, capabilities and resources, right ones and nearly so."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.placement.errors import BadRequest
from tenet.placement.rules import validation
from tenet.placement.rules.capabilities import CAPABILITIES_ASKED, PUT_CAPABILITIES
from tenet.placement.rules.quick_shapes import quick_test
from tenet.placement.rules.quota_schemas import PUT_QUOTA
from tenet.placement.rules.resource_schemas import PUT_RESOURCES
from tenet.placement.rules.schemas import Schema
from tenet.placement.rules.validation import read_body

_NUMBERS = st.sampled_from([0, 1, 7, 2**53 - 1])
_CLASSES = st.sampled_from(["VCPU", "CUSTOM_FPGA", "MEMORY_MB"])
_TEXTS = st.sampled_from(["avx", "U46", "x" * 255])
_NAMES = st.sampled_from(["driver", "a1_b", "z" * 64])


def _maybe(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=members)


_LIMITS: dict[str, st.SearchStrategy[Any]] = {"resources": st.dictionaries(_CLASSES, _NUMBERS), "consumers": _NUMBERS}
_VALUES = st.one_of(
    st.fixed_dictionaries({"version": st.sampled_from(["1", "550.54.15", "1.2.3.4.5.6.7.8"])}),
    st.fixed_dictionaries({"integer": st.integers(-5, 5)}),
    st.fixed_dictionaries({"string": _TEXTS}),
    st.fixed_dictionaries({"set": st.lists(_TEXTS, unique=True)}),
)
_ONE = st.integers(-5, 5) | _TEXTS
_TERMS = st.fixed_dictionaries(
    {">=": _ONE},
    optional={"!=": _ONE, "in": st.lists(_ONE, min_size=1), "contains": st.lists(_TEXTS, min_size=1)},
)
#: Schemas with bodies as clients send them.
USUAL: dict[str, tuple[Schema, st.SearchStrategy[Any]]] = {
    "quota": (
        PUT_QUOTA,
        _maybe(**_LIMITS, consumer_types=st.dictionaries(st.sampled_from(["INSTANCE", "unknown"]), _maybe(**_LIMITS))),
    ),
    "capabilities": (
        PUT_CAPABILITIES,
        st.fixed_dictionaries(
            {"resource_provider_generation": _NUMBERS, "capabilities": st.dictionaries(_NAMES, _VALUES)}
        ),
    ),
    "asked": (CAPABILITIES_ASKED, st.dictionaries(_NAMES, _TERMS, min_size=1)),
    "resources": (
        PUT_RESOURCES,
        st.fixed_dictionaries(
            {"resource_provider_generation": _NUMBERS, "resources": st.dictionaries(_CLASSES, _NUMBERS | _TEXTS)}
        ),
    ),
}
_ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, -1, 1.5, 2**53, "", "vcpu", "VCPU\n", "Driver", "1.", [], ["avx", "avx"], [[]], {}, {"VCPU": -1}]
)


def passes(document: object, schema: Schema) -> bool:
    """Returns what jsonschema says, by the service's own rules for patterns and lists."""
    return validation._any_error(document, schema) is None


def places(document: Any) -> list[tuple[Any, Any]]:
    """Returns all places of a document: what a member is in, and its name."""
    found: list[tuple[Any, Any]] = []
    members = document.items() if isinstance(document, dict) else enumerate(document) if type(document) is list else ()
    for name, member in list(members):
        found += [(document, name), *places(member)]
    return found


@pytest.mark.parametrize("name", sorted(USUAL))
@given(data=st.data())
def test_what_clients_send_is_taken_at_a_glance(name: str, data: st.DataObject) -> None:
    schema, bodies = USUAL[name]
    document = data.draw(bodies)
    assert passes(document, schema)
    assert quick_test(schema)(document), "else each such request is looked at twice, which costs ten times as much"


@pytest.mark.parametrize("name", sorted(USUAL))
@given(data=st.data())
def test_what_is_nearly_right_is_not_taken_at_a_glance_and_refused_or_taken_as_jsonschema_says(
    name: str, data: st.DataObject
) -> None:
    schema, bodies = USUAL[name]
    document = data.draw(bodies)
    found = places(document)
    if found:
        above, last = data.draw(st.sampled_from(found))
        odd = data.draw(_ODD)
        if isinstance(above, dict) and data.draw(st.booleans()):
            above[data.draw(st.sampled_from(["more", "VCPU\n", "", "integer"]))] = odd
        else:
            above[last] = odd
    is_right = passes(document, schema)
    if quick_test(schema)(document):
        assert is_right
    body = orjson.dumps(document)
    if is_right:
        assert read_body(body, schema) == document
    else:
        with pytest.raises(BadRequest, match="JSON does not validate"):
            read_body(body, schema)
