"""The search for allocation candidates against one that tries everything."""

from __future__ import annotations

from random import Random
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tenet.placement.fleet.candidates import find
from tenet.placement.fleet.fleet import Fleet
from tenet.placement.model import Inventory, Provider
from tenet.placement.rules.candidate_answers import Candidate
from tenet.placement.rules.candidate_requests import CandidateRequest, Group, read_candidate_request

from .brute import Outcome, candidates
from .fleets import KNOWN_CLASSES, KNOWN_TRAITS, make_fleet, make_query

RANDOMS = st.randoms(use_true_random=False)


def fleet_of(providers: list[Provider]) -> Fleet:
    fleet = Fleet()
    for provider in providers:
        fleet.put(provider)
    return fleet


def outcome_of(candidate: Candidate) -> Outcome:
    amounts = {(uuid, name, amount) for uuid, taken in candidate.allocations.items() for name, amount in taken.items()}
    return frozenset(amounts), frozenset((suffix, frozenset(met)) for suffix, met in candidate.mappings.items())


def read(query: str, version: int = 39) -> CandidateRequest:
    return read_candidate_request(query, version, classes=KNOWN_CLASSES, traits=KNOWN_TRAITS)


@settings(max_examples=400, deadline=None)
@given(random=RANDOMS)
def test_finds_what_trying_everything_finds_and_each_once(random: Random) -> None:
    providers = make_fleet(random)
    shuffled = random.sample(providers, len(providers))
    request = read(make_query(random, providers))
    request = replace(request, one_per_tree=random.random() < 0.2)
    found = [outcome_of(candidate) for candidate in find(fleet_of(shuffled), request, turn=random.randrange(9))]
    assert len(set(found)) == len(found)
    assert set(found) == candidates(providers, request)
