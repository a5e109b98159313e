"""Selection without a server: against a search that tries everything, and with plugins of others."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tenet.placement.errors import BadRequest
from tenet.placement.fleet.fleet import Fleet
from tenet.placement.model import Inventory, Provider
from tenet.placement.ops.plugins import installed_plugins
from tenet.placement.rules.candidate_answers import Candidate
from tenet.placement.rules.candidate_requests import CandidateRequest
from tenet.placement.rules.claim_requests import (
    Claimant,
    ClaimRequest,
    Nearness,
    Plugin,
    Spread,
    as_query_string,
    names_in,
    read_claim,
)
from tenet.placement.selection.contract import OUT, NamedFilter, NamedWeigher, Option, Question
from tenet.placement.selection.diagnosis import TOGETHER, Condition, explain
from tenet.placement.selection.domains import domains_of
from tenet.placement.selection.selecting import Chosen, Selection, WhyNot, select
from tests.rounds import examples
from tests.unit.placement.brute import candidates
from tests.unit.placement.fleets import make_fleet, make_query
from tests.unit.placement.test_candidates import SEEDS, fleet_of, host, outcome_of, read

PLUGIN = '''
class Odd:
    """Keeps and prefers hosts whose names end with an odd digit."""

    interface = {interface}

    def __init__(self, parameters):
        self._wants = parameters.get("remainder", 1)

    def keep(self, options, question):
        return [self._is_odd(option) for option in options]

    def weigh(self, options, question):
        return [float(self._is_odd(option)) for option in options]

    def _is_odd(self, option):
        return all(int(option.providers[one].name[-1]) % 2 == self._wants for one in option.local)
'''


def selection_of(
    *requests: CandidateRequest,
    seed: int = 0,
    considered: int | None = None,
    filters: Sequence[NamedFilter] = (),
    weighers: Sequence[NamedWeigher] = (),
    **constraints: Any,
) -> Selection:
    """Returns a selection for consumers named by numbers."""
    asked = ClaimRequest(
        claimants=tuple(Claimant(str(number), "p", "u", "x", one) for number, one in enumerate(requests)),
        filters=(),
        weighers=(),
        spread=constraints.get("spread", ()),
        affinity=constraints.get("affinity", ()),
        anti_affinity=constraints.get("anti_affinity", ()),
        considered=considered,
        digest=b"",
        document={},
    )
    return Selection(asked, filters, weighers, {}, seed)


def chosen_from(fleet: Fleet, selection: Selection) -> list[Chosen]:
    """Selects what there has to be."""
    result = select(fleet, selection)
    assert isinstance(result, list), result
    return result


@settings(max_examples=examples(300), deadline=None)
@given(seed=SEEDS)
def test_one_consumer_gets_a_candidate_or_there_is_none(seed: int) -> None:
    random = Random(seed)
    providers = make_fleet(random)
    request = read(make_query(random, providers))
    every = candidates(providers, request)
    weighers = [installed_plugins().weigher(Plugin(random.choice(("bin-packing", "spreading", "random-of-k")), {}))]
    selection = selection_of(request, seed=random.randrange(99), weighers=random.choice((weighers, ())))
    result = select(fleet_of(providers), selection)
    if isinstance(result, WhyNot):
        assert not every
        assert result.missing
        assert result.is_exhaustive
        assert [one.left for one in result.conditions][-1] == 0
        before = sum(provider.parent is None for provider in providers)
        assert sum(one.removed_providers for one in result.conditions) == before
    else:
        assert outcome_of(result[0].option.candidate) in every
        assert select(fleet_of(providers), selection) == result


@settings(max_examples=examples(150), deadline=None)
@given(seed=SEEDS)
def test_the_best_of_all_is_chosen(seed: int) -> None:
    """The emptiest host, by a count of its own."""
    random = Random(seed)
    providers = [
        replace(host(number, VCPU=Inventory(total=random.randint(4, 9))), used={"VCPU": random.randint(0, 4)})
        for number in range(random.randint(1, 40))
    ]
    request = read("resources=VCPU:1")
    weigher = installed_plugins().weigher(Plugin("spreading", {}))
    selection = selection_of(request, seed=random.randrange(99), considered=1000, weighers=[weigher])
    shares = {
        one.uuid: (one.used["VCPU"] + 1) / one.inventories["VCPU"].capacity
        for one in providers
        if one.used["VCPU"] < one.inventories["VCPU"].capacity
    }
    result = select(fleet_of(providers), selection)
    if not shares:
        assert isinstance(result, WhyNot)
        return
    assert isinstance(result, list)
    (uuid,) = result[0].option.candidate.allocations
    assert shares[uuid] == pytest.approx(min(shares.values()))


@settings(max_examples=examples(200), deadline=None)
@given(seed=SEEDS)
def test_a_gang_of_equals_is_placed_if_it_fits(seed: int) -> None:
    """As many as fit are found under a bound for each rack, and one more is not."""
    random = Random(seed)
    bound = random.randint(1, 4)
    providers: list[Provider] = []
    rooms: dict[str, int] = {}
    for number in range(random.randint(1, 8)):
        rack, total = random.choice("ABC"), random.randint(1, 4)
        rooms[rack] = rooms.get(rack, 0) + total
        provider = host(number, VCPU=Inventory(total=total))
        providers.append(replace(provider, traits=frozenset({f"CUSTOM_RACK_{rack}"})))
    most = sum(min(bound, room) for room in rooms.values())
    request = read("resources=VCPU:1")
    spread = (Spread("rack", bound),)
    chosen = chosen_from(fleet_of(providers), selection_of(*[request] * most, seed=random.randrange(9), spread=spread))
    assert len(chosen) == most
    taken: dict[str, int] = {}
    for one in chosen:
        (uuid,) = one.option.candidate.allocations
        taken[uuid] = taken.get(uuid, 0) + 1
    for provider in providers:
        assert taken.get(provider.uuid, 0) <= provider.inventories["VCPU"].total
    result = select(fleet_of(providers), selection_of(*[request] * (most + 1), spread=spread))
    assert isinstance(result, WhyNot)


@settings(max_examples=examples(150), deadline=None)
@given(seed=SEEDS)
def test_a_gang_that_stays_together_finds_the_rack_with_room(seed: int) -> None:
    random = Random(seed)
    providers: list[Provider] = []
    rooms: dict[str, int] = {}
    for number in range(random.randint(1, 12)):
        rack, total = random.choice("ABCDE"), random.randint(1, 3)
        rooms[rack] = rooms.get(rack, 0) + total
        provider = host(number, VCPU=Inventory(total=total))
        providers.append(replace(provider, traits=frozenset({f"CUSTOM_RACK_{rack}"})))
    most = max(rooms.values())
    request, affinity = read("resources=VCPU:1"), (Nearness("rack"),)
    chosen = chosen_from(
        fleet_of(providers), selection_of(*[request] * most, seed=random.randrange(9), affinity=affinity)
    )
    assert len({rack for one in chosen for rack in one.reason["domains"]["rack"]}) == 1
    assert isinstance(select(fleet_of(providers), selection_of(*[request] * (most + 1), affinity=affinity)), WhyNot)


@settings(max_examples=examples(200), deadline=None)
@given(seed=SEEDS)
def test_an_explanation_counts_who_meets_each_condition(seed: int) -> None:
    """Counted again from the providers, one by one; and what is left never grows."""
    random = Random(seed)
    providers = make_fleet(random)
    by_uuid = {provider.uuid: provider for provider in providers}
    request = read(make_query(random, providers))
    conditions, _ = explain(fleet_of(providers), request)
    left = sum(provider.parent is None for provider in providers)
    for one in conditions:
        assert one.removed_providers == left - one.left >= 0
        left = one.left
        if one.condition in {TOGETHER, "in_tree"}:
            continue
        meeting = [p for p in providers if meets(p, by_uuid[p.root], one, inherits=not one.group)]
        assert one.met_by_providers == len(meeting), one
    assert left == 0
    assert len(conditions) >= sum(len(group.resources) for group in request.groups)


def meets(provider: Provider, root: Provider, condition: Condition, *, inherits: bool) -> bool:
    """Tells whether a provider meets a condition by itself."""
    asked = condition.asked
    if condition.condition == "resources":
        ((name, amount),) = asked.items()
        inventory = provider.inventories.get(name)
        if inventory is None or not inventory.min_unit <= amount <= inventory.max_unit or amount % inventory.step_size:
            return False
        return bool(provider.used.get(name, 0) + amount <= inventory.capacity)
    names = {asked} if isinstance(asked, str) else set(asked)
    if condition.condition == "required":
        return bool(names & provider.traits)
    if condition.condition == "forbidden":
        return not names & provider.traits
    if condition.condition == "member_of":
        return bool(names & (provider.aggregates | (root.aggregates if inherits else frozenset())))
    if condition.condition == "forbidden_aggregates":
        return not names & (provider.aggregates | (root.aggregates if inherits else frozenset()))
    return True


# ---- requests --------------------------------------------------------------------------------------------------------


@st.composite
def asked_in_json(draw: st.DrawFn) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Returns a request as JSON, and the same as parameters written by hand."""
    suffix = draw(st.sampled_from(["", "_A", "1"]))
    group: dict[str, Any] = {"suffix": suffix, "resources": {"VCPU": 2, "DISK_GB": 1}}
    asked = [(f"resources{suffix}", "VCPU:2,DISK_GB:1")]
    aggregate, other = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"
    if draw(st.booleans()):
        group["required"] = ["COMPUTE_NODE", ["HW_CPU_X86_AVX", "HW_CPU_X86_VMX"]]
        asked += [(f"required{suffix}", "COMPUTE_NODE"), (f"required{suffix}", "in:HW_CPU_X86_AVX,HW_CPU_X86_VMX")]
    if draw(st.booleans()):
        group["forbidden"] = ["STORAGE_DISK_SSD", "HW_NIC_SRIOV"]
        asked.append((f"required{suffix}", "!STORAGE_DISK_SSD,!HW_NIC_SRIOV"))
    if draw(st.booleans()):
        group["member_of"], group["forbidden_aggregates"] = [[aggregate, other], other], [aggregate]
        asked += [(f"member_of{suffix}", f"in:{aggregate},{other}"), (f"member_of{suffix}", other)]
        asked.append((f"member_of{suffix}", f"!{aggregate}"))
    if draw(st.booleans()):
        group["in_tree"] = other
        asked.append((f"in_tree{suffix}", other))
    request: dict[str, Any] = {"groups": [group]}
    if draw(st.booleans()):
        request |= {"root_required": ["COMPUTE_NODE"], "root_forbidden": ["HW_NIC_SRIOV"], "group_policy": "isolate"}
        asked += [("root_required", "COMPUTE_NODE,!HW_NIC_SRIOV"), ("group_policy", "isolate")]
    if suffix and draw(st.booleans()):
        request["same_subtree"] = [[suffix]]
        asked.append(("same_subtree", suffix))
    return request, asked


@given(asked_in_json())
def test_json_means_what_the_query_string_means(both: tuple[dict[str, Any], list[tuple[str, str]]]) -> None:
    request, asked = both
    assert read(as_query_string(request)) == read(urlencode(asked))
    consumer = {"uuid": "00000000-0000-0000-0000-000000000001", "project_id": "p", "user_id": "u"}
    document = {"consumers": [consumer], "request": request}
    classes, traits = names_in(document)
    assert read_claim(document, classes=classes, traits=traits).claimants[0].request == read(urlencode(asked))


# ---- plugins ---------------------------------------------------------------------------------------------------------


def install(directory: Path, name: str, interface: int) -> None:
    """Lays out a package with a filter and a weigher as an installer does."""
    (directory / f"{name}.py").write_text(PLUGIN.format(interface=interface))
    info = directory / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    groups = "".join(f"[tenet.placement.{what}]\n{name} = {name}:Odd\n\n" for what in ("filters", "weighers"))
    (info / "entry_points.txt").write_text(groups)


def test_a_package_brings_a_filter_and_a_weigher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "odd_hosts", 1)
    install(tmp_path, "hosts_of_old", 0)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    plugins = installed_plugins()
    fleet = fleet_of(host(number, VCPU=Inventory(total=9)) for number in range(1, 9))

    def names(**more: Any) -> set[str]:
        picks = (chosen_from(fleet, selection_of(read("resources=VCPU:1"), seed=seed, **more)) for seed in range(20))
        return {name_of(pick[0]) for pick in picks}

    odd, even = {f"host-{number}" for number in (1, 3, 5, 7)}, {f"host-{number}" for number in (2, 4, 6, 8)}
    assert names(filters=[plugins.filter(Plugin("odd_hosts", {}))]) <= odd
    assert names(filters=[plugins.filter(Plugin("odd_hosts", {"remainder": 0}))]) <= even
    assert names(weighers=[plugins.weigher(Plugin("odd_hosts", {}))]) <= odd
    assert names() & odd
    assert names() & even
    with pytest.raises(BadRequest, match="written for version 0 of the interface; this is 1"):
        plugins.weigher(Plugin("hosts_of_old", {}))
    with pytest.raises(BadRequest, match=r"There is no weigher 'magic'; there are: .*bin-packing.*odd_hosts"):
        plugins.weigher(Plugin("magic", {}))


def name_of(chosen: Chosen) -> str:
    """Returns the name of the one host that a consumer is on."""
    (uuid,) = chosen.option.roots
    return chosen.option.providers[uuid].name


class _Wrong:
    """A weigher that gives no score to one, and none that is a number to another."""

    interface = 1

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        del parameters

    def weigh(self, options: Sequence[Any], question: Any) -> Sequence[float]:
        del question
        return [float("nan") if number % 2 else float("-inf") for number in range(len(options))]


def test_scores_that_are_none_leave_the_choice_open() -> None:
    fleet = fleet_of(host(number, VCPU=Inventory(total=9)) for number in range(1, 9))
    (chosen,) = chosen_from(
        fleet, selection_of(read("resources=VCPU:1"), weighers=[NamedWeigher("w", 1.0, _Wrong({}))])
    )
    assert chosen.reason["weighers"] == {"w": None}
    assert chosen.reason["score"] == 0


# ---- filters, weighers and domains one by one ------------------------------------------------------------------------


def option_of(*providers: Provider, taken: Mapping[str, Mapping[str, int]]) -> Option:
    """Returns an option that takes from some of the providers."""
    known = {provider.uuid: provider for provider in providers}
    roots = frozenset(known[uuid].root for uuid in taken)
    return Option(Candidate(taken, {}, roots), known, tuple(taken))


QUESTION = Question("consumer", read("resources=VCPU:1"), 7)
HALF = host(1, VCPU=Inventory(total=10, reserved=2), DISK_GB=Inventory(total=100))
HALF = replace(HALF, used={"VCPU": 2, "DISK_GB": 10})
PART = replace(host(2, HALF, VGPU=Inventory(total=4)), traits=frozenset({"CUSTOM_GPU"}))


@pytest.mark.parametrize(
    ("share", "classes", "keeps"),
    [(0.5, None, True), (0.51, None, False), (0.85, ["DISK_GB"], True), (0.86, ["DISK_GB"], False), (1, [], True)],
)
def test_headroom_is_what_is_left_of_the_capacity(share: float, classes: list[str] | None, keeps: bool) -> None:
    option = option_of(HALF, taken={HALF.uuid: {"VCPU": 2, "DISK_GB": 5}})
    parameters = {"share": share} | ({} if classes is None else {"resource_classes": classes})
    named = installed_plugins().filter(Plugin("headroom", parameters))
    assert list(named.filter.keep([option], QUESTION)) == [keeps]


@pytest.mark.parametrize(
    ("parameters", "keeps"),
    [
        ({"only": ["host-1"]}, True),
        ({"only": [HALF.uuid]}, True),
        ({"only": ["host-2"]}, True),
        ({"only": ["host-3"]}, False),
        ({"except": ["host-1"]}, False),
        ({"except": [PART.uuid]}, False),
        ({"only": ["host-1"], "except": ["host-2"]}, False),
        ({}, True),
    ],
)
def test_a_host_stands_for_its_tree(parameters: dict[str, Any], keeps: bool) -> None:
    option = option_of(HALF, PART, taken={PART.uuid: {"VGPU": 1}})
    named = installed_plugins().filter(Plugin("providers", parameters))
    assert list(named.filter.keep([option], QUESTION)) == [keeps]


@pytest.mark.parametrize(
    ("parameters", "cost"),
    [
        ({"per_unit": {"VCPU": 2, "VGPU": 10}}, 2 * 3 + 10),
        ({"per_unit": {"VCPU": 2, "VGPU": 10}, "factors": {"CUSTOM_GPU": 3}}, 2 * 3 + 10 * 3),
        ({"per_unit": {"DISK_GB": 1}}, 0),
        ({}, 0),
    ],
)
def test_a_cost_is_amounts_times_prices_times_factors(parameters: dict[str, Any], cost: float) -> None:
    option = option_of(HALF, PART, taken={HALF.uuid: {"VCPU": 3}, PART.uuid: {"VGPU": 1}})
    named = installed_plugins().weigher(Plugin("cost", parameters))
    assert list(named.weigher.weigh([option], QUESTION)) == [-cost]


@pytest.mark.parametrize(("name", "sign"), [("bin-packing", 1), ("spreading", -1)])
def test_fullness_is_the_mean_share_in_use_afterwards(name: str, sign: int) -> None:
    option = option_of(HALF, PART, taken={HALF.uuid: {"VCPU": 2, "DISK_GB": 40}, PART.uuid: {"VGPU": 1}})
    every, one = (
        installed_plugins().weigher(Plugin(name, parameters)).weigher.weigh([option], QUESTION)
        for parameters in ({}, {"resource_classes": ["VCPU"]})
    )
    assert list(every) == [pytest.approx(sign * (0.5 + 0.5 + 0.25) / 3)]
    assert list(one) == [pytest.approx(sign * 0.5)]


def test_random_of_k_draws_k_and_another_seed_draws_others() -> None:
    options = [option_of(HALF, taken={HALF.uuid: {"VCPU": 1}})] * 10
    weigher = installed_plugins().weigher(Plugin("random-of-k", {"k": 3})).weigher
    drawn = set()
    for seed in range(50):
        scores = weigher.weigh(options, replace(QUESTION, seed=seed))
        assert list(scores) == list(weigher.weigh(options, replace(QUESTION, seed=seed)))
        numbers = [number for number, score in enumerate(scores) if score == 0]
        assert len(numbers) == 3
        assert all(score == OUT for number, score in enumerate(scores) if number not in numbers)
        drawn.update(numbers)
    assert drawn == set(range(10))


def test_the_nearest_ancestor_that_knows_its_rack_tells_it() -> None:
    top = replace(host(1), traits=frozenset({"CUSTOM_RACK_A", "CUSTOM_SITE_X"}))
    middle = replace(host(2, top), traits=frozenset({"CUSTOM_RACK_B"}))
    low = host(3, middle, VCPU=Inventory(total=4))
    option = option_of(top, middle, low, taken={low.uuid: {"VCPU": 1}})
    assert domains_of(option, "rack") == frozenset({"B"})
    assert domains_of(option, "site") == frozenset({"X"})
    assert domains_of(option, "host") == frozenset({top.uuid})
    assert domains_of(option, "room") is None
    both = option_of(top, middle, low, taken={low.uuid: {"VCPU": 1}, top.uuid: {"VCPU": 1}})
    assert domains_of(both, "rack") == frozenset({"A", "B"})


@settings(max_examples=examples(100), deadline=None)
@given(seed=SEEDS)
def test_a_mixed_gang_never_takes_more_than_there_is_nor_breaks_a_demand(seed: int) -> None:
    """Whatever a gang gets holds together: room, spread, and being in one site."""
    random = Random(seed)
    providers = []
    for number in range(random.randint(1, 10)):
        traits = frozenset({f"CUSTOM_RACK_{random.choice('ABC')}", f"CUSTOM_SITE_{random.choice('XY')}"})
        provider = host(
            number, VCPU=Inventory(total=random.randint(1, 8)), DISK_GB=Inventory(total=random.randint(1, 8))
        )
        providers.append(replace(provider, traits=traits))
    asked = ("resources=VCPU:1", "resources=VCPU:3", "resources=VCPU:2,DISK_GB:2", "resources=DISK_GB:1")
    gang = [read(random.choice(asked)) for _ in range(random.randint(1, 7))]
    selection = selection_of(
        *gang,
        seed=random.randrange(99),
        spread=(Spread("host", 2), Spread("rack", 3)),
        affinity=(Nearness("site"),) if random.random() < 0.5 else (),
    )
    result = select(fleet_of(providers), selection)
    if isinstance(result, WhyNot):
        assert result.missing
        return
    by_uuid = {provider.uuid: provider for provider in providers}
    used: Counter[tuple[str, str]] = Counter()
    hosts: Counter[str] = Counter()
    racks: Counter[str] = Counter()
    sites: set[str] = set()
    for one, request in zip(result, gang, strict=True):
        ((uuid, resources),) = one.option.candidate.allocations.items()
        assert resources == request.groups[0].resources
        used.update({(uuid, name): amount for name, amount in resources.items()})
        hosts[uuid] += 1
        rack, site = sorted(by_uuid[uuid].traits)
        racks[rack] += 1
        sites.add(site)
    assert all(amount <= by_uuid[uuid].inventories[name].capacity for (uuid, name), amount in used.items())
    assert max(hosts.values()) <= 2
    assert max(racks.values()) <= 3
    assert len(sites) == 1 or not selection.request.affinity
