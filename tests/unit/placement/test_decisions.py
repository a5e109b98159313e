"""What a fleet keeps of decisions: never another one than would be made now, and for as long as it can be."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from tenet.placement.fleet.candidates import search
from tenet.placement.fleet.fleet import DECISIONS_MAX, Fleet
from tenet.placement.model import Inventory, Provider
from tenet.placement.rules.candidate_requests import CandidateRequest
from tests.rounds import examples
from tests.unit.placement.fleets import CLASSES, make_fleet, make_query
from tests.unit.placement.test_candidates import SEEDS, fleet_of, host, read


@pytest.mark.thorough
@settings(max_examples=examples(300), deadline=None)
@given(seed=SEEDS)
def test_a_search_with_kept_decisions_finds_what_one_without_finds(seed: int) -> None:
    random = Random(seed)
    providers = make_fleet(random)
    fleet = fleet_of(providers)
    requests = [read(make_query(random, providers)) for _ in range(3)]
    known = {provider.uuid: provider for provider in providers}
    for _ in range(12):
        request, turn = random.choice(requests), random.randrange(10)
        kept = list(search(fleet, request, turn=turn, is_again=True))
        assert kept == list(search(fleet, request, turn=turn))
        _change(random, fleet, known)


def _change(random: Random, fleet: Fleet, known: dict[str, Provider]) -> None:
    """Changes what is in use of a provider as a rule, else all of it."""
    one = random.choice(list(known.values()))
    if random.random() < 0.8:
        used = {name: random.randint(0, 5) for name in random.sample(CLASSES, 2)}
        for name, amount in used.items():
            fleet.set_used(one.uuid, name, amount, one.generation + 1)
        return
    traits = one.traits ^ {"COMPUTE_NODE"}
    inventories = {**one.inventories, "DISK_GB": Inventory(total=random.randint(1, 9))}
    known[one.uuid] = replace(one, traits=traits, inventories=inventories)
    fleet.put(known[one.uuid])


def kept_for(fleet: Fleet, query: str) -> CandidateRequest:
    """Returns a request that was searched for, and is kept."""
    request = read(query)
    assert next(search(fleet, request, is_again=True)) is not None
    assert fleet.decided(request) is not None
    return request


def test_a_decision_is_kept_until_an_amount_that_it_is_about_fits_otherwise() -> None:
    one, other = host(1, VCPU=Inventory(total=8)), host(2, VCPU=Inventory(total=8), DISK_GB=Inventory(total=8))
    fleet = fleet_of([one, other])
    request = kept_for(fleet, "resources=VCPU:3")
    fleet.set_used(one.uuid, "VCPU", 5, 2)
    fleet.set_used(other.uuid, "DISK_GB", 8, 2)
    assert fleet.decided(request) is not None, "3 fit still, and nobody asked for a disk"
    fleet.set_used(one.uuid, "VCPU", 6, 3)
    assert fleet.decided(request) is None
    request = kept_for(fleet, "resources=VCPU:3")
    fleet.set_used(one.uuid, "VCPU", 8, 4)
    assert fleet.decided(request) is not None, "they did not fit before either"
    fleet.set_used(one.uuid, "VCPU", 5, 5)
    assert fleet.decided(request) is None


def test_a_decision_is_not_kept_beyond_another_provider() -> None:
    fleet = fleet_of([host(1, VCPU=Inventory(total=8))])
    request = kept_for(fleet, "resources=VCPU:3")
    fleet.put(host(2, VCPU=Inventory(total=8)))
    assert fleet.decided(request) is None
    request = kept_for(fleet, "resources=VCPU:3")
    fleet.remove(host(1).uuid)
    assert fleet.decided(request) is None


def test_nothing_is_kept_where_it_matters_how_much_there_is_altogether() -> None:
    fleet = fleet_of([host(1, VCPU=Inventory(total=8))])
    request = read("resources=VCPU:3&resources1=VCPU:3&group_policy=none")
    assert next(search(fleet, request, is_again=True)) is not None
    assert fleet.decided(request) is None


def test_so_many_decisions_are_kept_at_most() -> None:
    fleet = fleet_of([host(1, VCPU=Inventory(total=8))])
    first = kept_for(fleet, "resources=VCPU:3")
    others = [kept_for(fleet, "resources=VCPU:2") for _ in range(2 * DECISIONS_MAX)]
    kept = [request for request in (first, *others) if fleet.decided(request) is not None]
    assert 1 <= len(kept) <= DECISIONS_MAX
    assert others[-1] in kept
