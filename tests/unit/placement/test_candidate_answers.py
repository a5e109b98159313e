"""The documents of allocation candidates, microversion by microversion."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tenet.placement.model import Inventory, Provider
from tenet.placement.rules.candidate_answers import PIECE_BYTES, Candidate, write_answer
from tenet.placement.rules.candidate_requests import CandidateRequest, Group

HOST = Provider(
    uuid="h",
    name="host",
    parent=None,
    root="h",
    generation=3,
    traits=frozenset({"HW_B", "HW_A"}),
    inventories={"VCPU": Inventory(total=8, reserved=1, allocation_ratio=1.5), "DISK_GB": Inventory(total=100)},
    used={"VCPU": 2},
)
PART = Provider(uuid="p", name="part", parent="h", root="h", generation=1)
REQUEST = CandidateRequest(groups=(Group(resources={"VCPU": 1}), Group(suffix="X", required=(frozenset({"HW_A"}),))))
FOUND = Candidate({"h": {"VCPU": 1}}, {"": ("h",), "X": ("p",)}, frozenset({"h"}))
VCPU = {"capacity": 10, "used": 2}
DISK = {"capacity": 100, "used": 0}


def answer(version: int, *, candidates: int = 1, one_per_tree: bool = False) -> Any:
    request = CandidateRequest(groups=REQUEST.groups, one_per_tree=one_per_tree)
    pieces = write_answer([FOUND] * candidates, request, version, lambda root: [HOST, PART] if root == "h" else [])
    return orjson.loads(b"".join(pieces))


def test_allocations_are_a_list_before_1_12() -> None:
    told = [{"resource_provider": {"uuid": "h"}, "resources": {"VCPU": 1}}]
    assert answer(10)["allocation_requests"] == answer(11)["allocation_requests"] == [{"allocations": told}]


@pytest.mark.parametrize("version", [12, 33])
def test_allocations_are_an_object_from_1_12_on(version: int) -> None:
    assert answer(version)["allocation_requests"] == [{"allocations": {"h": {"resources": {"VCPU": 1}}}}]


def test_mappings_are_told_from_1_34_on() -> None:
    told = {"allocations": {"h": {"resources": {"VCPU": 1}}}, "mappings": {"": ["h"], "X": ["p"]}}
    assert answer(34)["allocation_requests"] == answer(39)["allocation_requests"] == [told]


@pytest.mark.parametrize(
    ("version", "told"),
    [
        (10, {"resources": {"VCPU": VCPU}}),
        (16, {"resources": {"VCPU": VCPU}}),
        (17, {"resources": {"VCPU": VCPU}, "traits": ["HW_A", "HW_B"]}),
        (27, {"resources": {"VCPU": VCPU, "DISK_GB": DISK}, "traits": ["HW_A", "HW_B"]}),
        (
            29,
            {
                "resources": {"VCPU": VCPU, "DISK_GB": DISK},
                "traits": ["HW_A", "HW_B"],
                "parent_provider_uuid": None,
                "root_provider_uuid": "h",
            },
        ),
    ],
)
def test_what_summaries_tell(version: int, told: Any) -> None:
    summaries = answer(version)["provider_summaries"]
    assert summaries["h"] == told
    assert summaries.keys() == {"h", "p"}


def test_who_does_not_know_of_trees_is_told_of_the_providers_of_candidates_alone() -> None:
    assert answer(28, one_per_tree=True)["provider_summaries"].keys() == {"h"}


def test_no_candidates_are_an_empty_answer() -> None:
    assert answer(39, candidates=0) == {"allocation_requests": [], "provider_summaries": {}}


def test_a_large_answer_comes_in_pieces_as_it_is_found() -> None:
    taken = 0

    def found() -> Any:
        nonlocal taken
        for _ in range(100_000):
            taken += 1
            yield FOUND

    pieces = write_answer(found(), REQUEST, 39, lambda _root: [HOST])
    assert PIECE_BYTES <= len(next(pieces)) < 2 * PIECE_BYTES
    assert taken < 2000
    assert max(map(len, pieces)) < 2 * PIECE_BYTES


def test_a_capacity_beyond_64_bits_is_told() -> None:
    huge = Provider(
        uuid="h", name="h", parent=None, root="h", generation=0,
        inventories={"VCPU": Inventory(total=2**31 - 1, allocation_ratio=3.0e38)},
    )  # fmt: skip
    told = b"".join(write_answer([FOUND], REQUEST, 39, lambda _root: [huge]))
    assert str(int((2**31 - 1) * 3.0e38)).encode() in told
