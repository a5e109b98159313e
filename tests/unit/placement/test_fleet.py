"""The fleet in memory against the providers themselves, whatever order they come in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tenet.placement.fleet.fleet import Fleet
from tenet.placement.fleet.sets import Sets
from tenet.placement.model import Inventory, Provider
from tenet.placement.rules.provider_filters import ProviderFilter
from tests.rounds import examples
from tests.unit.placement.fleets import CLASSES, SHARES, TRAITS, make_fleet, uuid_of

SEEDS = st.integers(0, 2**32 - 1)


def make_filter(random: Random, providers: Sequence[Provider]) -> ProviderFilter:
    some = random.choice(providers)
    aggregates = sorted(frozenset().union(*(provider.aggregates for provider in providers))) or [uuid_of(random)]

    def choices(names: Sequence[str], chance: float) -> tuple[frozenset[str], ...]:
        return tuple(frozenset(random.sample(names, min(len(names), 2))) for _ in range(2) if random.random() < chance)

    return ProviderFilter(
        name=some.name if random.random() < 0.15 else None,
        uuid=random.choice(providers).uuid if random.random() < 0.15 else None,
        in_tree=random.choice((some.uuid, uuid_of(random))) if random.random() < 0.3 else None,
        required=choices(TRAITS, 0.2),
        forbidden=frozenset({random.choice(TRAITS)} if random.random() < 0.2 else ()),
        member_of=choices(aggregates, 0.15),
        forbidden_aggregates=frozenset({random.choice(aggregates)} if random.random() < 0.2 else ()),
        resources={name: random.choice((1, 2, 3)) for name in random.sample(CLASSES, random.choice((0, 0, 1, 2)))},
    )


def passes(provider: Provider, wanted: ProviderFilter, by_uuid: dict[str, Provider]) -> bool:
    if wanted.in_tree is not None and (wanted.in_tree not in by_uuid or by_uuid[wanted.in_tree].root != provider.root):
        return False
    for name, amount in wanted.resources.items():
        inventory = provider.inventories.get(name)
        if (
            inventory is None
            or not inventory.min_unit <= amount <= inventory.max_unit
            or amount % inventory.step_size
            or provider.used.get(name, 0) + amount > inventory.capacity
        ):
            return False
    return (
        wanted.name in (None, provider.name)
        and wanted.uuid in (None, provider.uuid)
        and all(names & provider.traits for names in wanted.required)
        and not wanted.forbidden & provider.traits
        and all(names & provider.aggregates for names in wanted.member_of)
        and not wanted.forbidden_aggregates & provider.aggregates
    )


def assert_is(fleet: Fleet, providers: Iterable[Provider]) -> None:
    """Compares a fleet with the providers that it should have, and with one that never had others."""
    by_uuid = {provider.uuid: provider for provider in providers}
    fresh = Fleet()
    for provider in by_uuid.values():
        fresh.put(provider)
    assert len(fleet) == len(by_uuid)
    assert fleet.has_trees == fresh.has_trees
    assert {fleet.at(place).uuid for place in fleet.sharing} == {p.uuid for p in by_uuid.values() if SHARES in p.traits}
    ours, fresh_ones = (
        [one.fitting(name, amount) for name in CLASSES for amount in (1, 2, 3, 4)] for one in (fleet, fresh)
    )
    for provider in by_uuid.values():
        assert fleet.get(provider.uuid) == provider
        assert fleet.named(provider.name) == provider
        tree = {member.uuid for member in by_uuid.values() if member.root == provider.root}
        assert {member.uuid for member in fleet.tree(provider.root)} == tree
        place, other = fleet.place(provider.uuid), fresh.place(provider.uuid)
        assert place is not None
        assert other is not None
        assert [mask[place] for mask in ours] == [mask[other] for mask in fresh_ones]


@settings(max_examples=examples(60), deadline=None)
@given(seed=SEEDS)
def test_a_fleet_is_what_was_put_last(seed: int) -> None:
    random = Random(seed)
    fleet = Fleet()
    known: dict[str, Provider] = {}
    for number in range(random.randint(1, 4)):
        newcomers = make_fleet(random, roots_max=6, salt=number)
        for provider in random.sample(newcomers, len(newcomers)):
            fleet.put(provider)
            known[provider.uuid] = provider
        for root in random.sample(sorted({provider.root for provider in known.values()}), 1):
            for provider in [one for one in known.values() if one.root == root and random.random() < 0.9]:
                # A tree goes as a whole, parts in any order; meanwhile it is there in part.
                fleet.remove(provider.uuid)
            for provider in [one for one in known.values() if one.root == root]:
                fleet.remove(provider.uuid)
                del known[provider.uuid]
        for uuid in random.sample(sorted(known), min(3, len(known))):
            changed = replace(
                known[uuid],
                name=f"{uuid}-{number}",
                traits=frozenset(random.sample((*TRAITS, SHARES), 2)),
                aggregates=frozenset({f"aggregate-{random.randrange(3)}"}),
                generation=known[uuid].generation + 1,
                inventories={"VCPU": Inventory(total=3, step_size=random.choice((1, 2)))},
                used={"VCPU": 1},
            )
            fleet.put(changed)
            known[uuid] = changed
        for uuid in random.sample(sorted(known), min(3, len(known))):
            fleet.set_used(uuid, "VCPU", 2, generation=77)
            known[uuid] = replace(known[uuid], used={**known[uuid].used, "VCPU": 2}, generation=77)
    assert_is(fleet, known.values())


@settings(max_examples=examples(200), deadline=None)
@given(seed=SEEDS)
def test_lists_have_what_passes_the_filter(seed: int) -> None:
    random = Random(seed)
    providers = make_fleet(random)
    fleet = Fleet()
    for provider in random.sample(providers, len(providers)):
        fleet.put(provider)
    wanted = make_filter(random, providers)
    by_uuid = {provider.uuid: provider for provider in providers}
    expected = [provider.uuid for provider in providers if passes(provider, wanted, by_uuid)]
    assert sorted(provider.uuid for provider in fleet.matching(wanted)) == sorted(expected)


def test_a_tree_whose_root_is_not_here_is_not_found() -> None:
    root, part = uuid_of(Random(1)), uuid_of(Random(2))
    fleet = Fleet()
    fleet.put(Provider(uuid=part, name="part", parent=root, root=root, generation=0))
    assert fleet.get(root) is None
    assert fleet.named("root") is None
    assert [provider.uuid for provider in fleet.tree(root)] == [part]
    assert not list(fleet.matching(ProviderFilter(uuid=root)))
    assert not fleet.in_tree(root).any()
    fleet.remove(part)
    assert len(fleet) == 0
    # Neither of them has left its place behind.
    fleet.put(Provider(uuid=uuid_of(Random(3)), name="a", parent=None, root=uuid_of(Random(3)), generation=0))
    fleet.put(Provider(uuid=uuid_of(Random(4)), name="b", parent=None, root=uuid_of(Random(4)), generation=0))
    assert len(fleet.here) == 2


def test_a_part_that_moves_to_another_tree_is_found_there() -> None:
    one, other, part = (uuid_of(Random(number)) for number in range(3))
    fleet = Fleet()
    for uuid in (one, other):
        fleet.put(Provider(uuid=uuid, name=uuid, parent=None, root=uuid, generation=0))
    fleet.put(Provider(uuid=part, name="part", parent=one, root=one, generation=0))
    fleet.put(Provider(uuid=part, name="part", parent=other, root=other, generation=1))
    assert {provider.uuid for provider in fleet.tree(other)} == {other, part}
    assert {provider.uuid for provider in fleet.tree(one)} == {one}
    fleet.put(Provider(uuid=part, name="part", parent=None, root=part, generation=2))
    assert not fleet.has_trees
    assert [provider.uuid for provider in fleet.tree(part)] == [part]


def test_a_name_that_changes_hands_stays_with_the_last_who_took_it() -> None:
    one, other = (uuid_of(Random(number)) for number in range(2))
    fleet = Fleet()
    fleet.put(Provider(uuid=one, name="a", parent=None, root=one, generation=0))
    # The change of the first comes later: what follows several partitions has no order among them.
    fleet.put(Provider(uuid=other, name="a", parent=None, root=other, generation=0))
    fleet.put(Provider(uuid=one, name="b", parent=None, root=one, generation=1))
    assert (fleet.named("a"), fleet.named("b")) == (fleet.get(other), fleet.get(one))


def test_what_is_unknown_changes_nothing() -> None:
    fleet = Fleet()
    fleet.remove(uuid_of(Random(1)))
    fleet.set_used(uuid_of(Random(1)), "VCPU", 1, generation=1)
    assert len(fleet) == 0
    assert not list(fleet.matching(ProviderFilter(resources={"VCPU": 1})))


def test_amounts_beyond_all_bounds_fit_nowhere() -> None:
    uuid = uuid_of(Random(1))
    fleet = Fleet()
    inventory = Inventory(total=2**31 - 1, allocation_ratio=1e9)
    fleet.put(Provider(uuid=uuid, name="a", parent=None, root=uuid, generation=0, inventories={"VCPU": inventory}))
    assert fleet.fitting("VCPU", 2**31 - 1)[0]
    assert not fleet.fitting("VCPU", 2**31)[0]
    assert not fleet.fitting("VCPU", 10**30)[0]


@given(st.lists(st.frozensets(st.sampled_from("abcd")), max_size=12), SEEDS)
def test_sets_are_found_by_their_names_and_go_when_nobody_has_them(sets: list[frozenset[str]], seed: int) -> None:
    random = Random(seed)
    kept: Sets[str] = Sets()
    numbers = [kept.take(names) for names in sets]
    gone = set(random.sample(range(len(sets)), len(sets) // 2))
    for index in gone:
        kept.give_back(numbers[index])
    numbers += [kept.take(names) for names in sets]
    left = [index for index in range(2 * len(sets)) if index not in gone]
    for index in left:
        assert kept[numbers[index]] == sets[index % len(sets)]
    for wanted in ("a", "bc"):
        found = kept.with_any(wanted)
        assert {index for index in left if numbers[index] in found} == {
            index for index in left if sets[index % len(sets)] & set(wanted)
        }
        assert np.flatnonzero(kept.table(found)).tolist() == sorted(found)
    for index in left:
        kept.give_back(numbers[index])
    assert not kept.with_any("abcd")
