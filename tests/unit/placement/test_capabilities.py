"""Capabilities by themselves: their types, their order, their limits, and what a fleet finds by them."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from msgspec.structs import replace

from tenet.placement.errors import BadRequest
from tenet.placement.fleet.candidates import find
from tenet.placement.fleet.fleet import Fleet
from tenet.placement.model import Capability, Inventory, Provider
from tenet.placement.rules.candidate_requests import CandidateRequest
from tenet.placement.rules.capabilities import (
    ASKED_MAX,
    CAPABILITIES,
    CAPABILITIES_ASKED,
    CAPABILITIES_MAX,
    INTEGER_MAX,
    LISTED_MAX,
    SET_MAX,
    STORED_BYTES_MAX,
    TEXT_CHARS_MAX,
    Comparison,
    Term,
    capabilities_document,
    decode_capabilities,
    encode_capabilities,
    read_capabilities,
    read_comparisons,
    read_version,
)
from tenet.placement.rules.stored import FORMAT
from tenet.placement.rules.validation import check_document
from tenet.placement.selection.diagnosis import explain
from tenet.store.errors import StoreCorrupt, StoreOfLaterVersion
from tests.rounds import examples
from tests.unit.placement.brute import candidates
from tests.unit.placement.fleets import make_fleet, make_query
from tests.unit.placement.test_candidates import SEEDS, fleet_of, host, outcome_of, read

NUMBERS = st.lists(st.integers(0, 10**9 - 1), min_size=1, max_size=8)
VERSIONS = NUMBERS.map(lambda numbers: ".".join(map(str, numbers)))
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
VALUES = st.one_of(
    VERSIONS.map(lambda text: {"version": text}),
    st.integers(-INTEGER_MAX, INTEGER_MAX).map(lambda number: {"integer": number}),
    TEXTS.map(lambda text: {"string": text}),
    st.lists(TEXTS, unique=True, max_size=5).map(lambda texts: {"set": sorted(texts)}),
)
NAMES = st.from_regex("[a-z][a-z0-9_]{0,9}", fullmatch=True)
DOCUMENTS = st.dictionaries(NAMES, VALUES, max_size=6)
OPERATORS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def value_of(document: dict[str, Any]) -> Capability:
    return read_capabilities({"x": document})["x"]


def holds(document: dict[str, Any], asked: dict[str, Any]) -> bool:
    """Tells whether a value meets comparisons, both as documents have them."""
    check_document({"x": asked}, CAPABILITIES_ASKED)
    (comparison,) = read_comparisons({"x": asked}, "capabilities")
    assert comparison.told == {"x": asked}
    return comparison.is_met(value_of(document))


# ---- order -----------------------------------------------------------------------------------------------------------


def test_versions_are_ordered_number_by_number() -> None:
    ordered = ["0", "0.1", "1", "1.0.1", "1.2", "1.10", "1.10.0.0.1", "2", "10", "550.54", "550.54.15", "550.127"]
    for low, first in enumerate(ordered):
        for high, second in enumerate(ordered):
            for name, compare in OPERATORS.items():
                assert holds({"version": first}, {name: second}) == compare(low, high), (first, name, second)


@given(NUMBERS, NUMBERS, st.sampled_from(sorted(OPERATORS)))
def test_what_ends_is_followed_by_zeros(first: list[int], second: list[int], name: str) -> None:
    padded = [[*numbers, *([0] * (8 - len(numbers)))] for numbers in (first, second)]
    told = [".".join(map(str, numbers)) for numbers in (first, second)]
    assert holds({"version": told[0]}, {name: told[1]}) == OPERATORS[name](*padded)


@pytest.mark.parametrize("text", ["", "1.", ".1", "1..2", "v1", "1.0-rc1", "1.0a", "1,0", " 1", "1\n", "٣", "1" * 10])
def test_what_is_no_version_is_none(text: str) -> None:
    assert read_version(text) is None
    with pytest.raises(BadRequest):
        check_document({"x": {"version": text}}, CAPABILITIES)
    with pytest.raises(BadRequest, match=r"capabilities\.x: '>=' compares whole numbers and versions"):
        read_comparisons({"x": {">=": text}}, "capabilities")


def test_a_version_has_eight_numbers_at_most() -> None:
    assert read_version("1.2.3.4.5.6.7.8") is not None
    assert read_version("1.2.3.4.5.6.7.8.9") is None


@pytest.mark.parametrize(
    ("value", "asked", "is_met"),
    [
        ({"version": "550.54.15"}, {">=": "550.54"}, True),
        ({"version": "550.54.15"}, {">=": "550.54", "<": "550.54.15"}, False),
        ({"version": "550.54"}, {"==": "550.54.0"}, True),
        ({"version": "550.54"}, {"in": ["550.53", "550.54.0"]}, True),
        ({"version": "550.54"}, {"in": [550, "U46"]}, False),
        ({"version": "5"}, {"==": 5}, False),
        ({"version": "5"}, {"!=": 6}, False),
        ({"version": "5"}, {"!=": "U46"}, False),
        ({"integer": 5}, {">": 4, "<": 6}, True),
        ({"integer": 5}, {"==": "5"}, False),
        ({"integer": -5}, {"<": -4}, True),
        ({"integer": 5}, {"in": [4, 5]}, True),
        ({"string": "U46"}, {"==": "U46"}, True),
        ({"string": "U46"}, {"!=": "U45"}, True),
        ({"string": "U46"}, {"in": ["U45", "U46"]}, True),
        ({"string": "550.54"}, {">=": "550.54"}, False),
        ({"string": "550.54"}, {"==": "550.54.0"}, False),
        ({"string": "avx"}, {"contains": ["avx"]}, False),
        ({"set": ["avx", "avx512f"]}, {"contains": ["avx512f"]}, True),
        ({"set": ["avx", "avx512f"]}, {"contains": ["avx512f", "amx"]}, False),
        ({"set": ["avx"]}, {"==": "avx"}, False),
        ({"set": []}, {"contains": ["avx"]}, False),
    ],
)
def test_a_comparison_holds_of_its_type_alone(value: dict[str, Any], asked: dict[str, Any], is_met: bool) -> None:
    assert holds(value, asked) == is_met


@given(st.sampled_from(sorted(OPERATORS)))
def test_who_has_no_capability_meets_nothing(name: str) -> None:
    assert not Comparison("x", (Term(name, 1),)).is_met(None)


# ---- shapes and limits -----------------------------------------------------------------------------------------------


@given(DOCUMENTS)
def test_what_is_stored_is_what_was_sent(document: dict[str, dict[str, Any]]) -> None:
    check_document(document, CAPABILITIES)
    capabilities = read_capabilities(document)
    assert decode_capabilities(encode_capabilities(capabilities)) == capabilities
    assert capabilities_document(capabilities) == document


@pytest.mark.parametrize(
    "document",
    [
        {f"x{number}": {"integer": 1} for number in range(CAPABILITIES_MAX + 1)},
        {"X": {"integer": 1}},
        {"": {"integer": 1}},
        {"x" * 65: {"integer": 1}},
        {"x\n": {"integer": 1}},
        {"x": {}},
        {"x": {"integer": 1, "string": "1"}},
        {"x": {"number": 1}},
        {"x": 1},
        {"x": {"integer": INTEGER_MAX + 1}},
        {"x": {"integer": 1.5}},
        {"x": {"integer": True}},
        {"x": {"string": ""}},
        {"x": {"string": "a" * (TEXT_CHARS_MAX + 1)}},
        {"x": {"version": 5}},
        {"x": {"set": "avx"}},
        {"x": {"set": ["avx", "avx"]}},
        {"x": {"set": [1]}},
        {"x": {"set": [str(number) for number in range(SET_MAX + 1)]}},
    ],
)
def test_what_has_another_shape_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="JSON does not validate"):
        check_document(document, CAPABILITIES)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"x": {}},
        {"x": 5},
        {"x": {"~": 5}},
        {"x": {">=": None}},
        {"x": {">=": [1]}},
        {"x": {"in": []}},
        {"x": {"in": 5}},
        {"x": {"contains": "avx"}},
        {"x": {"contains": [5]}},
        {"x": {"contains": [str(number) for number in range(LISTED_MAX + 1)]}},
        {"X": {"==": 5}},
        {f"x{number}": {"==": 1} for number in range(ASKED_MAX + 1)},
    ],
)
def test_a_demand_of_another_shape_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="JSON does not validate"):
        check_document(asked, CAPABILITIES_ASKED)


def test_the_schemas_are_schemas() -> None:
    Draft202012Validator.check_schema(CAPABILITIES)
    Draft202012Validator.check_schema(CAPABILITIES_ASKED)


def test_all_together_have_a_limit() -> None:
    large = {f"x{at}": {"set": ["a" * 100 + str(number) for number in range(SET_MAX)]} for at in range(2)}
    check_document(large, CAPABILITIES)
    with pytest.raises(BadRequest, match=rf"have \d+ bytes as they are stored; they may have {STORED_BYTES_MAX}"):
        read_capabilities(large)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x00",
        FORMAT,
        FORMAT + b"\xc1",
        FORMAT + msgspec.msgpack.encode({"x": {}}),
        FORMAT + msgspec.msgpack.encode({"x": {"version": "a"}}),
        FORMAT + msgspec.msgpack.encode({"x": {"version": 5}}),
        FORMAT + msgspec.msgpack.encode({"x": {"set": 5}}),
        FORMAT + msgspec.msgpack.encode({"x": {"set": "avx"}}),
        FORMAT + msgspec.msgpack.encode({"x": {"integer": "5"}}),
        FORMAT + msgspec.msgpack.encode({"x": {"string": 5}}),
        FORMAT + msgspec.msgpack.encode({"x": {"date": 5}}),
        FORMAT + msgspec.msgpack.encode([]),
    ],
)
def test_what_cannot_be_read_is_refused(value: bytes) -> None:
    with pytest.raises(StoreCorrupt):
        decode_capabilities(value)


def test_what_a_later_version_has_stored_is_refused_in_words() -> None:
    with pytest.raises(StoreOfLaterVersion, match="capabilities"):
        decode_capabilities(b"\x02")


# ---- fleets ----------------------------------------------------------------------------------------------------------

DRIVERS = ("535.1", "550.54", "550.127")
FLAGS = (("avx",), ("avx", "avx512f"))


def with_capabilities(random: Random, provider: Provider) -> Provider:
    documents: dict[str, dict[str, Any]] = {}
    if random.random() < 0.7:
        documents["driver"] = {"version": random.choice(DRIVERS)}
    if random.random() < 0.7:
        documents["flags"] = {"set": list(random.choice(FLAGS))}
    return replace(provider, capabilities=read_capabilities(documents))


def asking(random: Random, request: CandidateRequest) -> CandidateRequest:
    """Returns a request some of whose groups ask for capabilities."""
    demands: tuple[Mapping[str, Any], ...] = (
        {"driver": {">=": random.choice(DRIVERS)}},
        {"flags": {"contains": ["avx512f"]}},
        {"driver": {"<": "550.127"}, "flags": {"contains": ["avx"]}},
        {"driver": {">=": "540", "<": "550.100"}},
    )
    groups = [
        replace(group, capabilities=read_comparisons(random.choice(demands), ""))
        if random.random() < 0.5 and (group.resources or group.required or group.member_of)
        else group
        for group in request.groups
    ]
    return replace(request, groups=tuple(groups))


@settings(max_examples=examples(300), deadline=None)
@given(seed=SEEDS)
def test_finds_by_capabilities_what_trying_everything_finds(seed: int) -> None:
    random = Random(seed)
    providers = [with_capabilities(random, one) for one in make_fleet(random)]
    request = asking(random, read(make_query(random, providers)))
    found = [outcome_of(candidate) for candidate in find(fleet_of(providers), request)]
    assert len(found) == len(set(found))
    assert set(found) == candidates(providers, request)


@settings(max_examples=examples(100), deadline=None)
@given(seed=SEEDS)
def test_why_not_counts_those_who_meet_a_capability(seed: int) -> None:
    random = Random(seed)
    providers = [with_capabilities(random, one) for one in make_fleet(random)]
    (comparison,) = read_comparisons({"driver": {">=": "550", "<": "551"}}, "")
    request = read("resources=VCPU:1")
    request = replace(request, groups=(replace(request.groups[0], capabilities=(comparison,)),))
    conditions, missing = explain(fleet_of(providers), request)
    (told,) = [one.told for one in conditions if one.condition == "capabilities"]
    meeting = sum(comparison.is_met(one.capabilities.get("driver")) for one in providers)
    assert told["met_by_providers"] == meeting
    assert told["asked"] == {"driver": {">=": "550", "<": "551"}}
    if not meeting:
        assert "capability driver >= 550 and < 551" in missing


@settings(max_examples=examples(100), deadline=None)
@given(seed=SEEDS)
def test_a_fleet_knows_who_can_what_through_all_changes(seed: int) -> None:
    """Providers come, change and go; the columns say what the providers say, and keep nothing of those that went."""
    random = Random(seed)
    fleet, there = Fleet(), dict[str, Provider]()
    for _ in range(60):
        provider = with_capabilities(random, host(random.randrange(90), VCPU=Inventory(8)))
        if random.random() < 0.3:
            fleet.remove(provider.uuid)
            there.pop(provider.uuid, None)
        else:
            fleet.put(provider)
            there[provider.uuid] = provider
        for document in ({"driver": {">=": "550"}}, {"flags": {"contains": ["avx512f"]}}, {"none": {"==": 1}}):
            (comparison,) = read_comparisons(document, "")
            mask = fleet.meeting(comparison)
            found = {fleet.at(place).uuid for place in range(len(mask)) if mask[place]}
            assert found == {
                uuid for uuid, one in there.items() if comparison.is_met(one.capabilities.get(comparison.name))
            }
    assert all(fleet.get(uuid) == provider for uuid, provider in there.items())
    for uuid in there:
        fleet.remove(uuid)
    assert not fleet._capabilities._values
    assert not fleet._capabilities._counts
    assert fleet._capabilities._told.keys() == {0}


def test_values_are_kept_once_however_different_the_hosts_are() -> None:
    """Of hosts with serial numbers no two are alike; what they have in common is kept once all the same."""
    fleet = Fleet()
    flags = [f"flag_{number}" for number in range(100)]
    for number in range(50):
        document: dict[str, Any] = {
            "serial": {"integer": number},
            "flags": {"set": flags},
            "driver": {"version": "550.54"},
        }
        capabilities = decode_capabilities(encode_capabilities(read_capabilities(document)))
        fleet.put(replace(host(number, VCPU=Inventory(8)), capabilities=capabilities))
    kept = [fleet.at(place).capabilities for place in range(50)]
    assert len({one["serial"] for one in kept}) == 50
    assert len({id(one["flags"]) for one in kept}) == 1
    assert len({id(one["driver"]) for one in kept}) == 1


@pytest.mark.interpreted
def test_a_comparison_looks_at_different_values_and_not_at_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 10,000 hosts with 3 drivers, 3 values are compared."""
    fleet = Fleet()
    for number in range(10_000):
        capabilities = read_capabilities({"driver": {"version": DRIVERS[number % 3]}})
        fleet.put(replace(host(number, VCPU=Inventory(8)), capabilities=capabilities))
    looked_at: list[Capability] = []
    plain = Term.holds

    def holds_and_counts(self: Term, value: Capability) -> bool:
        looked_at.append(value)
        return plain(self, value)

    monkeypatch.setattr(Term, "holds", holds_and_counts)
    (comparison,) = read_comparisons({"driver": {">=": "550.54"}}, "")
    assert int(fleet.meeting(comparison).sum()) == 6666
    assert len(looked_at) == 3
    assert int(fleet.meeting(comparison).sum()) == 6666
    assert len(looked_at) == 3, "and what was found is remembered"
    fleet.put(replace(host(1, VCPU=Inventory(8)), capabilities=read_capabilities({"driver": {"version": "1"}})))
    assert int(fleet.meeting(comparison).sum()) == 6665
    assert len(looked_at) == 7, "until somebody changes a capability"
    fleet.put(replace(host(1, VCPU=Inventory(8)), capabilities=read_capabilities({"driver": {"version": DRIVERS[1]}})))
    assert len({id(fleet.at(place).capabilities) for place in range(10_000)}) == 3, "and kept once for all alike"
