"""The search for allocation candidates: against one that tries everything, and what it costs in hard places."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import islice, permutations
from math import perm
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tenet.placement.fleet.candidates import find
from tenet.placement.fleet.fleet import Fleet
from tenet.placement.model import Inventory, Provider
from tenet.placement.rules.candidate_answers import Candidate
from tenet.placement.rules.candidate_requests import CandidateRequest, read_candidate_request
from tests.rounds import examples
from tests.unit.placement.brute import Outcome, candidates
from tests.unit.placement.fleets import KNOWN_CLASSES, KNOWN_TRAITS, SHARES, make_fleet, make_query, uuid_of

SEEDS = st.integers(0, 2**32 - 1)
#: Far less than going through all combinations takes, and enough for a machine that is busy.
CPU_S_MAX = 2.0


def fleet_of(providers: Iterable[Provider]) -> Fleet:
    fleet = Fleet()
    for provider in providers:
        fleet.put(provider)
    return fleet


def outcome_of(candidate: Candidate) -> Outcome:
    amounts = {(uuid, name, amount) for uuid, taken in candidate.allocations.items() for name, amount in taken.items()}
    return frozenset(amounts), frozenset((suffix, frozenset(met)) for suffix, met in candidate.mappings.items())


def read(query: str, version: int = 39) -> CandidateRequest:
    return read_candidate_request(query, version, classes=KNOWN_CLASSES, traits=KNOWN_TRAITS)


def host(number: int, parent: Provider | None = None, **inventories: Inventory) -> Provider:
    uuid = uuid_of(Random(number))
    return Provider(
        uuid=uuid,
        name=f"host-{number}",
        parent=parent.uuid if parent else None,
        root=parent.root if parent else uuid,
        generation=1,
        inventories=inventories,
    )


def wide_tree(devices: int, total: int = 4) -> list[Provider]:
    root = host(0, VCPU=Inventory(total=16))
    return [root, *(host(number, root, VGPU=Inventory(total=total)) for number in range(1, devices + 1))]


def granular(groups: int, amount: int = 1, policy: str = "none") -> str:
    asked = "&".join(f"resources{number}=VGPU:{amount}" for number in range(1, groups + 1))
    return f"{asked}&group_policy={policy}"


@settings(max_examples=examples(400), deadline=None)
@given(seed=SEEDS)
def test_finds_what_trying_everything_finds_and_each_once(seed: int) -> None:
    random = Random(seed)
    providers = make_fleet(random)
    shuffled = random.sample(providers, len(providers))
    request = read(make_query(random, providers))
    request = replace(request, one_per_tree=random.random() < 0.2)
    found = [outcome_of(candidate) for candidate in find(fleet_of(shuffled), request, turn=random.randrange(9))]
    assert len(set(found)) == len(found)
    assert set(found) == candidates(providers, request)


@settings(max_examples=examples(100), deadline=None)
@given(seed=SEEDS)
def test_a_limited_answer_is_that_many_of_the_unlimited_one(seed: int) -> None:
    random = Random(seed)
    providers = make_fleet(random)
    request = read(make_query(random, providers))
    every = candidates(providers, request)
    limit = random.randint(1, 6)
    found = [outcome_of(one) for one in find(fleet_of(providers), replace(request, limit=limit))]
    assert len(set(found)) == len(found) == min(limit, len(every))
    assert every.issuperset(found)


@settings(max_examples=examples(100), deadline=None)
@given(seed=SEEDS)
def test_whatever_changes_meanwhile_the_others_are_found_once(seed: int) -> None:
    random = Random(seed)
    providers = make_fleet(random, may_share_nested=False, roots_max=6)
    request = read(make_query(random, providers))
    fleet = fleet_of(providers)
    search = find(fleet, request, turn=random.randrange(9))
    found = [outcome_of(one) for one in islice(search, random.randint(0, 3))]
    gone = random.choice([provider for provider in providers if provider.parent is None])
    tree = [provider for provider in providers if provider.root == gone.uuid]
    for provider in tree:
        fleet.remove(provider.uuid)
    newcomer = host(7, VCPU=Inventory(total=1), VGPU=Inventory(total=1))
    fleet.put(newcomer)
    found += [outcome_of(one) for one in search]
    assert len(set(found)) == len(found)
    # Whatever shares nothing with the tree that went is found however it lies to the tree that the search was in.
    left = [provider for provider in providers if provider not in tree]
    if SHARES not in frozenset().union(*(provider.traits for provider in providers)):
        assert candidates(left, request) <= set(found) <= candidates([*providers, newcomer], request)


def test_what_is_in_use_counts_at_once() -> None:
    provider = host(1, VCPU=Inventory(total=4, allocation_ratio=2.0, max_unit=6))
    fleet = fleet_of([provider])
    for used, fits in ((0, 6), (2, 6), (3, 5), (8, 0), (9, 0)):
        fleet.set_used(provider.uuid, "VCPU", used, generation=2)
        for amount in range(1, 8):
            assert bool(list(find(fleet, read(f"resources=VCPU:{amount}")))) == (amount <= fits)


def test_different_turns_begin_with_different_providers() -> None:
    fleet = fleet_of(host(number, VCPU=Inventory(total=4)) for number in range(50))
    first = {
        next(iter(one.allocations))
        for turn in range(50)
        for one in find(fleet, read("resources=VCPU:1&limit=1"), turn=turn)
    }
    assert len(first) == 50
    every = [next(iter(one.allocations)) for one in find(fleet, read("resources=VCPU:1"), turn=33)]
    assert len(set(every)) == len(every) == 50


@pytest.mark.parametrize(("groups", "policy", "count"), [(3, "none", 5**3), (3, "isolate", perm(5, 3))])
def test_all_combinations_of_a_wide_tree_come(groups: int, policy: str, count: int) -> None:
    found = {outcome_of(one) for one in find(fleet_of(wide_tree(5)), read(granular(groups, policy=policy)))}
    assert len(found) == count


def test_full_devices_are_spread_in_every_order() -> None:
    tree = wide_tree(4, total=2)
    found = [one.mappings for one in find(fleet_of(tree), read(granular(4, amount=2)))]
    devices = [provider.uuid for provider in tree[1:]]
    expected = {tuple(order) for order in permutations(devices)}
    assert {tuple(mapping[str(number)][0] for number in range(1, 5)) for mapping in found} == expected
    assert len(found) == len(expected)


@pytest.mark.parametrize(
    "query",
    [
        pytest.param(granular(8) + "&limit=10", id="limit"),
        pytest.param(granular(17, policy="isolate"), id="one group more than devices"),
        pytest.param(granular(33, amount=2), id="one amount more than there is"),
        pytest.param(granular(16, amount=3) + "&resources17=VGPU:2", id="what is left lies apart"),
        pytest.param(granular(6) + "&resourcesA=VCPU:20", id="another group fits nowhere"),
        pytest.param(granular(6) + "&same_subtree=1,2,3,4,5,6&required1=HW_NIC_SRIOV", id="a trait that nobody has"),
    ],
)
def test_no_products_are_gone_through_in_vain(query: str) -> None:
    fleet = fleet_of(wide_tree(16))
    before = time.process_time()
    found = list(find(fleet, read(query)))
    assert time.process_time() - before < CPU_S_MAX
    assert len(found) == (10 if "limit" in query else 0)


@pytest.mark.thorough
def test_a_tree_that_is_a_riddle_is_given_up() -> None:
    random = Random(1)
    rooms, amounts = [random.randint(50, 100) for _ in range(12)], [random.randint(20, 60) for _ in range(40)]
    root = host(0, VCPU=Inventory(total=4))
    devices = [host(number, root, VGPU=Inventory(total=total)) for number, total in enumerate(rooms, 1)]
    wanted: list[int] = []
    for amount in sorted(amounts, reverse=True):
        if sum(wanted) + amount <= sum(rooms) * 0.97:
            wanted.append(amount)
    asked = "&".join(f"resources{number}=VGPU:{amount}" for number, amount in enumerate(wanted))
    easy = host(1000, VCPU=Inventory(total=4), VGPU=Inventory(total=sum(wanted)))
    request = read(f"{asked.replace('resources0', 'resourcesA')}&group_policy=none")
    before = time.process_time()
    # What comes behind it is found.
    assert [list(one.allocations) for one in find(fleet_of([root, *devices, easy]), request)] == [[easy.uuid]]
    assert time.process_time() - before < CPU_S_MAX


def test_devices_under_different_parents_are_no_subtree() -> None:
    root = host(0, VCPU=Inventory(total=16))
    cells = [host(number, root) for number in range(1, 9)]
    devices = [host(10 + number, cell, VGPU=Inventory(total=1)) for number, cell in enumerate(cells)]
    fleet = fleet_of([root, *cells, *devices])
    groups = "&".join(f"resources{number}=VGPU:1" for number in range(1, 9))
    before = time.process_time()
    assert not list(find(fleet, read(f"{groups}&group_policy=none&same_subtree=1,2,3,4,5,6,7,8")))
    assert time.process_time() - before < CPU_S_MAX


def test_a_shared_disk_alone_is_one_candidate_however_many_it_is_shared_with() -> None:
    aggregates = frozenset({uuid_of(Random(99))})
    disks = replace(host(500, DISK_GB=Inventory(total=100)), traits=frozenset({SHARES}), aggregates=aggregates)
    hosts = [replace(host(number, VCPU=Inventory(total=4)), aggregates=aggregates) for number in range(300)]
    fleet = fleet_of([*hosts, disks])
    before = time.process_time()
    assert [one.allocations for one in find(fleet, read("resources=DISK_GB:5"))] == [{disks.uuid: {"DISK_GB": 5}}]
    assert time.process_time() - before < CPU_S_MAX
    assert len(list(find(fleet, read("resources=DISK_GB:5,VCPU:1")))) == 300


def test_the_groups_of_a_long_request_are_no_depth_of_the_stack() -> None:
    fleet = fleet_of(wide_tree(1, total=3000))
    assert len(list(find(fleet, read(granular(2500))))) == 1


@pytest.mark.thorough
def test_trees_without_a_trait_that_is_required_are_not_searched_one_by_one() -> None:
    fleet = Fleet()
    for number in range(15_000):
        root = host(10 * number, VCPU=Inventory(total=4))
        fleet.put(root)
        fleet.put(host(10 * number + 1, root, VGPU=Inventory(total=4)))
    before = time.process_time()
    assert not list(find(fleet, read("resources=VCPU:1,VGPU:1&required=in:HW_CPU_X86_AVX,COMPUTE_NODE")))
    assert time.process_time() - before < 0.25


def test_a_tree_that_does_not_exist_has_nothing_to_give() -> None:
    tree = [replace(provider, traits=frozenset({"COMPUTE_NODE"})) for provider in wide_tree(2)]
    query = "resources1=VGPU:1&required2=COMPUTE_NODE&same_subtree=1,2&group_policy=none"
    assert list(find(fleet_of(tree), read(query)))
    for suffix in ("1", "2"):
        assert not list(find(fleet_of(tree), read(f"{query}&in_tree{suffix}={uuid_of(Random(77))}")))
    assert not list(find(fleet_of(tree), read(f"resources=VCPU:1&in_tree={uuid_of(Random(77))}")))


@settings(max_examples=examples(300), deadline=None)
@given(seed=SEEDS)
def test_groups_that_compete_for_devices_find_all_ways_and_no_others(seed: int) -> None:
    random = Random(seed)
    tree = [host(0, VCPU=Inventory(total=4))]
    for number in range(1, random.randint(2, 6)):
        device = host(
            number, random.choice(tree), VGPU=Inventory(total=random.randint(1, 5), max_unit=random.choice((2, 9)))
        )
        tree.append(replace(device, traits=frozenset(random.sample(["HW_NIC_SRIOV"], random.randint(0, 1)))))
    groups = range(1, random.randint(3, 5))
    asked = [f"resources{number}=VGPU:{random.choice((1, 1, 2, 3))}" for number in groups]
    asked += [f"required{number}=HW_NIC_SRIOV" for number in groups if random.random() < 0.2]
    if random.random() < 0.3:
        asked.append("resources=VCPU:1,VGPU:1")
    if random.random() < 0.4:
        asked.append("same_subtree=" + ",".join(str(number) for number in groups if number != 2))
    request = read("&".join([*asked, f"group_policy={random.choice(('none', 'isolate'))}"]))
    found = [outcome_of(one) for one in find(fleet_of(tree), request)]
    assert len(set(found)) == len(found)
    assert set(found) == candidates(tree, request)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "query",
    [
        pytest.param(granular(9), id="less than is asked for altogether"),
        pytest.param(granular(5, amount=2) + "&resources6=VGPU:1", id="what is left over is of no use"),
        pytest.param(granular(3, policy="isolate"), id="fewer devices than groups"),
    ],
)
def test_trees_that_cannot_do_are_not_searched_one_by_one(query: str) -> None:
    fleet = Fleet()
    for number in range(3000):
        root = host(10 * number, VCPU=Inventory(total=4))
        for provider in (root, *(host(10 * number + part, root, VGPU=Inventory(total=4)) for part in (1, 2))):
            fleet.put(provider)
    before = time.process_time()
    assert not list(find(fleet, read(query)))
    assert time.process_time() - before < 0.25
