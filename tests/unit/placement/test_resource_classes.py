"""Resource classes by themselves: what they write, what they ask for, what they show, and what they refuse."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.placement.errors import BadRequest
from tenet.placement.model import AMOUNT_MAX, SHARES, Inventory
from tenet.placement.ops.resource_plugins import ResourceClasses, installed_classes
from tenet.placement.rules.resources.builtin import A100, H100, RESOURCE_CLASSES
from tenet.placement.rules.resources.contract import ResourceClass, State, Written
from tenet.placement.rules.resources.quantities import Partitioned, Quantity
from tenet.placement.rules.resources.translating import plain_claim, shown, traits_after, written
from tenet.placement.rules.resources.units import Units
from tenet.placement.rules.standard_names import is_standard_class, is_standard_trait

CLASSES = ResourceClasses(RESOURCE_CLASSES)
GIB = 1024


def named(name: str) -> ResourceClass:
    return CLASSES.named(name)


def state_of(made: Written, used: Mapping[str, int] | None = None) -> State:
    return State(made.inventories, used or {}, made.traits)


@pytest.mark.parametrize(
    ("name", "amount", "amounts", "traits"),
    [
        ("cpu", 4, {"VCPU": 4}, ()),
        ("dedicated_cpu", 2, {"PCPU": 2}, ()),
        ("memory", "16GiB", {"MEMORY_MB": 16 * GIB}, ()),
        ("disk", "1TiB", {"DISK_GB": 1024}, ()),
        ("bandwidth_egress", "1Gbit/s", {"NET_BW_EGR_KILOBIT_PER_SEC": 1_000_000}, ()),
        ("bandwidth_ingress", "500kbit/s", {"NET_BW_IGR_KILOBIT_PER_SEC": 500}, ()),
        ("pci_device", "8086:1572", {"CUSTOM_PCI_8086_1572": 1}, ()),
        ("pci_device", {"8086:1572": 2, "10de:20f1": 1}, {"CUSTOM_PCI_8086_1572": 2, "CUSTOM_PCI_10DE_20F1": 1}, ()),
        ("licence", {"acme-db": 3}, {"CUSTOM_LICENCE_ACME_DB": 3}, ()),
        ("numa_cell", {"cpu": 4, "memory": "8GiB"}, {"VCPU": 4, "MEMORY_MB": 8 * GIB}, ("HW_NUMA_ROOT",)),
        ("gpu_a100_40gb", "3g.20gb", {"CUSTOM_GPU_A100_40GB_COMPUTE": 3, "CUSTOM_GPU_A100_40GB_MEMORY": 4}, ()),
        (
            "gpu_h100_80gb",
            {"1g.20gb": 2, "2g.20gb": 1},
            {"CUSTOM_GPU_H100_80GB_COMPUTE": 4, "CUSTOM_GPU_H100_80GB_MEMORY": 6},
            (),
        ),
    ],
)
def test_an_amount_becomes_a_query(name: str, amount: Any, amounts: dict[str, int], traits: tuple[str, ...]) -> None:
    wanted = named(name).ask(amount)
    assert dict(wanted.amounts) == amounts
    assert wanted.traits == frozenset(traits)


@pytest.mark.parametrize(
    ("name", "amount", "text"),
    [
        ("memory", 0, "0 is less than 1 MiB"),
        ("memory", "0GiB", "'0GiB' is less than 1 MiB"),
        ("memory", "1GB", "'1GB' is no whole number of MiB"),
        ("cpu", {"total": 4}, "has to be a whole number of cpu"),
        ("pci_device", "8086", "'8086' is no kind, such as '8086:1572'"),
        ("pci_device", "8086:15AB", "is no kind, such as"),
        ("pci_device", {"8086:1572": 0}, f"'8086:1572' has to be a whole number of devices from 1 to {AMOUNT_MAX}"),
        ("pci_device", {"8086:1572": True}, "has to be a whole number of devices"),
        ("pci_device", {}, "has to be an object with a count for each kind, such as {'8086:1572': 1}"),
        ("pci_device", 1, "has to be an object with a count for each kind"),
        ("pci_device", {f"8086:{n:04x}": 1 for n in range(65)}, "has 65 kinds; it may have 64"),
        ("licence", {"acme db": 1}, "'acme db' is no kind, such as 'acme-db'"),
        ("licence", {"a" * 128: 1.5}, "has to be a whole number of licences"),
        ("licence", "a" * 129, "is no kind, such as 'acme-db'"),
        ("gpu_a100_40gb", "5g.25gb", "'5g.25gb' is none of the sizes 1g.5gb, 1g.10gb, 2g.10gb"),
        ("gpu_a100_40gb", {"4g.20gb": 2}, "takes 8 of the 7 compute slices of one device"),
        ("gpu_a100_40gb", {"3g.20gb": 2, "1g.5gb": 1}, "takes 9 of the 8 memory slices of one device"),
        ("gpu_a100_40gb", {"1g.5gb": -1}, "'1g.5gb' has to be a whole number of partitions, 1 and more"),
        ("gpu_a100_40gb", [], "has to be a size of partition, or an object of sizes and counts"),
        ("numa_cell", {"cpu": "4GiB"}, "'cpu': '4GiB' has none of the units cpu"),
        ("numa_cell", {"cores": 4}, "'cores' is none of cpu, dedicated_cpu, memory"),
        ("numa_cell", 4, "has to be an object with some of the members cpu, dedicated_cpu, memory"),
        ("numa_cell", {}, "has to be an object with some of the members"),
    ],
)
def test_an_amount_that_is_none_is_refused(name: str, amount: Any, text: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - its text is looked at below
        named(name).ask(amount)
    assert text in str(refused.value)


@pytest.mark.parametrize(
    ("name", "described", "inventories", "traits"),
    [
        ("memory", "64GiB", {"MEMORY_MB": Inventory(64 * GIB)}, ()),
        (
            "memory",
            {"total": "64GiB", "reserved": "4GiB", "min": "256MiB", "max": "16GiB", "step": "256MiB", "ratio": 1.5},
            {"MEMORY_MB": Inventory(64 * GIB, 4 * GIB, 256, 16 * GIB, 256, 1.5)},
            (),
        ),
        (
            "bandwidth_egress",
            {"total": "10Gbit/s", "step": "1Mbit/s"},
            {"NET_BW_EGR_KILOBIT_PER_SEC": Inventory(10_000_000, step_size=1000)},
            (),
        ),
        ("pci_device", {"8086:1572": 2}, {"CUSTOM_PCI_8086_1572": Inventory(2)}, ()),
        ("licence", {"acme-db": 50}, {"CUSTOM_LICENCE_ACME_DB": Inventory(50)}, (SHARES,)),
        (
            "gpu_a100_40gb",
            1,
            {"CUSTOM_GPU_A100_40GB_COMPUTE": Inventory(7), "CUSTOM_GPU_A100_40GB_MEMORY": Inventory(8)},
            (),
        ),
        (
            "numa_cell",
            {"cpu": {"total": 16, "ratio": 2.0}, "memory": "32GiB"},
            {"VCPU": Inventory(16, allocation_ratio=2.0), "MEMORY_MB": Inventory(32 * GIB)},
            ("HW_NUMA_ROOT",),
        ),
    ],
)
def test_a_description_becomes_inventories_and_is_shown_again(
    name: str, described: Any, inventories: dict[str, Inventory], traits: tuple[str, ...]
) -> None:
    made = named(name).write(described)
    assert dict(made.inventories) == inventories
    assert made.traits == frozenset(traits)
    told = named(name).show(state_of(made))
    assert told is not None
    assert told.inventories == inventories.keys()
    assert named(name).write(told.described) == made


@pytest.mark.parametrize(
    ("name", "described", "text"),
    [
        ("memory", {"total": "64GiB", "ratio": 0}, "'ratio' has to be a number above 0 and up to 10000"),
        ("memory", {"total": "64GiB", "ratio": "2"}, "'ratio' has to be a number above 0"),
        ("memory", {"total": "64GiB", "reserved": "65GiB"}, "'reserved' is more than 'total'"),
        ("memory", {"total": "64GiB", "step": 0}, "'step': 0 is less than 1 MiB"),
        ("memory", {"total": "64GiB", "size": 1}, "'size' is none of the members total, reserved, min, max, step"),
        ("memory", {"reserved": 1}, "'total' is missing"),
        ("memory", {"total": "all"}, "'total': 'all' is no number with a unit"),
        ("dedicated_cpu", {"total": 8, "ratio": 2}, "'ratio' has to be 1: what one consumer has is its own"),
        ("pci_device", {"8086:1572": {"total": 1}}, "'8086:1572' has to be a whole number of devices"),
        ("gpu_a100_40gb", 2, "has to be 1: a provider is one device"),
        ("gpu_a100_40gb", True, "has to be 1: a provider is one device"),
        ("numa_cell", {"memory": {"total": "1GB"}}, "'memory': 'total': '1GB' is no whole number of MiB"),
    ],
)
def test_a_description_that_is_none_is_refused(name: str, described: Any, text: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - its text is looked at below
        named(name).write(described)
    assert text in str(refused.value)


@pytest.mark.parametrize("name", sorted(RESOURCE_CLASSES))
def test_what_a_class_says_of_itself_is_so(name: str) -> None:
    """Its examples are accepted, and its inventories and traits are those that it tells."""
    one, about = named(name), named(name).about
    made, wanted = one.write(about.described), one.ask(about.amount)
    assert made.traits == frozenset(about.traits)
    for resource_class in (*made.inventories, *wanted.amounts):
        assert is_standard_class(resource_class) or resource_class.startswith("CUSTOM_")
        assert any(
            resource_class == told or (told.endswith("*") and resource_class.startswith(told[:-1]))
            for told in about.resource_classes
        )
    assert all(is_standard_trait(trait) for trait in made.traits)
    if about.is_exclusive:
        assert all(inventory.allocation_ratio == 1 for inventory in made.inventories.values())
    if wanted.traits:
        assert about.is_of_one, "traits are of one provider"
    assert one.show(State({}, {}, frozenset())) is None


@given(st.data())
def test_partitions_fit_as_long_as_there_are_slices(data: st.DataObject) -> None:
    """Whatever was taken, a size is told as free as often as it can still be taken."""
    device: Partitioned = data.draw(st.sampled_from((A100(), H100())))
    made, used = device.write(1), dict[str, int]()
    for size in data.draw(st.lists(st.sampled_from(sorted(device.partitions)), max_size=7)):
        told = device.show(state_of(made, used))
        assert told is not None
        amounts = device.ask(size).amounts
        fits = all(used.get(one, 0) + more <= made.inventories[one].capacity for one, more in amounts.items())
        assert (told.free[size] > 0) == fits
        if fits:
            used |= {one: used.get(one, 0) + more for one, more in amounts.items()}


def test_the_sizes_of_a_device_are_as_many_as_its_maker_says() -> None:
    told = A100().show(state_of(A100().write(1)))
    assert told is not None
    assert told.free == {"1g.5gb": 7, "1g.10gb": 4, "2g.10gb": 3, "3g.20gb": 2, "4g.20gb": 1, "7g.40gb": 1}
    # One of 3 leaves 4 of each kind of slice: the largest is excluded, and another of 3 is not.
    slices = A100().ask("3g.20gb").amounts
    left = A100().show(state_of(A100().write(1), slices))
    assert left is not None
    assert left.free == {"1g.5gb": 4, "1g.10gb": 2, "2g.10gb": 2, "3g.20gb": 1, "4g.20gb": 1, "7g.40gb": 0}


# ---- documents -------------------------------------------------------------------------------------------------------


def claim_of(*groups: dict[str, Any], own: dict[str, Any] | None = None) -> dict[str, Any]:
    consumer = {"uuid": "x"} if own is None else {"uuid": "x", "request": {"groups": [own]}}
    return {"consumers": [consumer], "request": {"groups": list(groups)}, "attempt": 1}


def test_a_claim_in_the_language_of_the_api_is_left_as_it_is() -> None:
    document = claim_of({"resources": {"VCPU": 1}, "required": ["HW_CPU_X86_AVX"]}, own={"resources": {"VCPU": 2}})
    assert plain_claim(document, CLASSES) == document


def test_both_languages_stand_in_one_group() -> None:
    cell = {"suffix": "_cell", "resources": {"numa_cell": {"cpu": 2}}, "required": ["HW_CPU_X86_AVX"]}
    document = claim_of({"resources": {"VCPU": 1, "memory": "1GiB"}}, cell, own={"resources": {"disk": 5}})
    plain = plain_claim(document, CLASSES)
    assert plain["request"]["groups"] == [
        {"resources": {"VCPU": 1, "MEMORY_MB": 1024}},
        {"suffix": "_cell", "resources": {"VCPU": 2}, "required": ["HW_CPU_X86_AVX", "HW_NUMA_ROOT"]},
    ]
    assert plain["consumers"][0]["request"]["groups"] == [{"resources": {"DISK_GB": 5}}]
    assert plain["attempt"] == 1
    assert document["request"]["groups"][0]["resources"]["memory"] == "1GiB", "what was sent stays"


@pytest.mark.parametrize(
    ("group", "text"),
    [
        ({"resources": {"memory": "1XB"}}, "request.groups[0].resources.memory: '1XB' has none of the units"),
        (
            {"resources": {"memory": "1GiB", "MEMORY_MB": 5}},
            "request.groups[0].resources.MEMORY_MB: asks for MEMORY_MB, as memory does in the same group.",
        ),
        (
            {"suffix": "_a", "resources": {"numa_cell": {"memory": 1}, "memory": 1}},
            "resources.memory: asks for MEMORY_MB, as numa_cell does",
        ),
        ({"resources": {"numa_cell": {"cpu": 1}}}, "comes from one provider, so that its group has to have a `suffix`"),
        ({"resources": {"fuel": 1}}, "There is no resource class 'fuel'; there are: bandwidth_egress, "),
    ],
)
def test_errors_name_the_field(group: dict[str, Any], text: str) -> None:
    with pytest.raises(BadRequest) as refused:
        plain_claim(claim_of(group), CLASSES)
    assert text in refused.value.message
    with pytest.raises(BadRequest) as refused:
        plain_claim(claim_of({"resources": {"VCPU": 1}}, own=group), CLASSES)
    assert text.replace("request.groups", "consumers[0].request.groups") in refused.value.message


def test_each_inventory_is_shown_once() -> None:
    """What a cell has is not told as processors and memory again, and what nobody knows is left over."""
    cell = named("numa_cell").write({"cpu": 4, "memory": "1GiB"})
    others = {"DISK_GB": Inventory(5), "CUSTOM_FUEL": Inventory(9)}
    told, left = shown(State({**cell.inventories, **others}, {"VCPU": 1}, cell.traits), CLASSES)
    assert told.keys() == {"numa_cell", "disk"}
    assert told["numa_cell"].used == {"cpu": 1, "memory": "0MiB"}
    assert told["numa_cell"].free == {"cpu": 3, "memory": "1GiB"}
    assert left == {"CUSTOM_FUEL": Inventory(9)}
    without_trait, _ = shown(State(cell.inventories, {}, frozenset()), CLASSES)
    assert without_trait.keys() == {"cpu", "memory"}


def test_inventories_that_a_class_would_not_write_are_not_its_own() -> None:
    """An OpenStack client may give devices a ratio; who shows that as a class would not say what is there."""
    strange = {"CUSTOM_PCI_8086_1572": Inventory(2, allocation_ratio=2.0), "CUSTOM_PCI_NIC": Inventory(1)}
    device = {"CUSTOM_GPU_A100_40GB_COMPUTE": Inventory(7), "CUSTOM_GPU_A100_40GB_MEMORY": Inventory(8, reserved=1)}
    told, left = shown(State({**strange, **device}, {}, frozenset()), CLASSES)
    assert not told
    assert left == {**strange, **device}


def test_traits_of_a_class_go_with_it_and_others_stay() -> None:
    cell = named("numa_cell").write({"cpu": 4})
    before = {"HW_NUMA_ROOT", "HW_CPU_X86_AVX"}
    assert traits_after(before, state_of(cell), named("memory").write(1), CLASSES) == {"HW_CPU_X86_AVX"}
    assert traits_after(before, state_of(cell), cell, CLASSES) == before
    # A trait that somebody has set, without the class, is his.
    assert traits_after(before, State({}, {}, frozenset(before)), named("memory").write(1), CLASSES) == before


# ---- plugins ---------------------------------------------------------------------------------------------------------


class Bad:
    """Writes what it is told to: inventories and traits of names that nobody may store."""

    interface = 1

    def __init__(self, made: Written) -> None:
        self.about = named("cpu").about
        self._made = made

    def write(self, _: Any) -> Written:
        return self._made


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (Written({"fuel": Inventory(1)}), "'fuel' does not match"),
        (Written({"CUSTOM_FUEL": Inventory(0)}), "0 is less than the minimum of 1"),
        (Written({"CUSTOM_FUEL": Inventory(1, max_unit=1 << 40)}), "is greater than the maximum"),
        (Written({"CUSTOM_" + "A" * 300: Inventory(1)}), "is too long"),
        (Written({}, frozenset({"custom"})), "'custom' is no name of a trait"),
    ],
)
def test_a_mistake_in_a_plugin_is_not_stored(made: Written, text: str) -> None:
    with pytest.raises(BadRequest) as refused:
        written({"bad": 1}, ResourceClasses({"bad": lambda: Bad(made)}))
    assert text in refused.value.message
    assert "resources.bad" in refused.value.message


PLUGIN = '''
from tenet.placement.rules.resources.quantities import Quantity
from tenet.placement.rules.resources.units import Units


class Power(Quantity):
    """Electrical power."""

    interface = {interface}
    summary = "Electrical power, in steps of 50 W."
    resource_class = "CUSTOM_POWER_W"
    units = Units("W", {{"W": 1, "kW": 1000}})
    step = 50
    is_exclusive = True
'''


def install(directory: Path, name: str, source: str, entries: Mapping[str, str]) -> None:
    """Lays out a package with resource classes as an installer does."""
    (directory / f"{name}.py").write_text(source)
    info = directory / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = "".join(f"{one} = {name}:{what}\n" for one, what in entries.items())
    (info / "entry_points.txt").write_text(f"[tenet.placement.resource_classes]\n{lines}")


def test_a_package_brings_a_resource_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "power_now", PLUGIN.format(interface=1), {"power": "Power", "memory": "Power", "Power": "Power"})
    install(tmp_path, "power_of_old", PLUGIN.format(interface=0), {"old_power": "Power", "no_power": "Gone"})
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    classes = installed_classes()
    power = classes.named("power")
    assert power.ask("1.5kW").amounts == {"CUSTOM_POWER_W": 1500}
    assert power.about.step == 50
    with pytest.raises(ValueError, match="'120W' is no multiple of '50W'"):
        power.ask("120W")
    with pytest.raises(ValueError, match="'step': '30W' is no multiple of '50W'"):
        power.write({"total": "2kW", "step": "30W"})
    assert classes.named("memory").about.resource_classes == ("MEMORY_MB",), "Tenet's own win"
    assert classes.every().keys() == {*RESOURCE_CLASSES, "power"}
    assert classes.problems().keys() == {"old_power", "no_power", "Power"}
    with pytest.raises(BadRequest, match="cannot be used: it is written for version 0 of the interface; this is 1"):
        classes.named("old_power")
    with pytest.raises(BadRequest, match=r"cannot be used: AttributeError: .*Gone"):
        classes.named("no_power")
    with pytest.raises(BadRequest, match="cannot be used: its name is not of the pattern"):
        classes.named("Power")


@given(
    amounts=st.tuples(st.integers(1, 40_000), *(st.integers(1, 9) for _ in range(4))),
    ratio=st.sampled_from((0.5, 1, 1.5, 16.0)),
)
def test_every_inventory_that_a_description_can_say_is_shown_as_one(
    amounts: tuple[int, int, int, int, int], ratio: float
) -> None:
    class Fuel(Quantity):
        summary = "Fuel."
        resource_class = "CUSTOM_FUEL_ML"
        units = Units("ml", {"ml": 1, "l": 1000})
        step = 5

    total, reserved, least, most, step = (5 * amount for amount in amounts)
    inventory = Inventory(total, min(reserved, total), least, most, step, ratio)
    assert Fuel().inventory(Fuel().described(inventory)) == inventory
