"""Fleets and requests at random, small and dense enough that every rule of the search matters in many of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from random import Random
from uuid import UUID

from msgspec.structs import replace

from tenet.placement.model import Inventory, Provider

CLASSES = ("VCPU", "MEMORY_MB", "DISK_GB", "SRIOV_NET_VF")
TRAITS = ("HW_CPU_X86_AVX", "HW_CPU_X86_VMX", "COMPUTE_NODE", "STORAGE_DISK_SSD")
SHARES = "MISC_SHARES_VIA_AGGREGATE"
KNOWN_TRAITS = frozenset((*TRAITS, SHARES, "HW_NIC_SRIOV"))
KNOWN_CLASSES = frozenset((*CLASSES, "VGPU"))


def uuid_of(random: Random) -> str:
    return str(UUID(int=random.getrandbits(128), version=4))


def make_fleet(random: Random, *, may_share_nested: bool = True, roots_max: int = 4, salt: int = 0) -> list[Provider]:
    """Returns providers, parents before children.

    Args:
        random: what decides all but uuids, which it could repeat.
        salt: fleets of different ones have different uuids.
        may_share_nested: whether a provider that is part of another may share what it has.
        roots_max: so many trees at most.
    """
    uuids = (str(UUID(int=(salt + 1) * 1_000_003 + number * 7919, version=4)) for number in count())
    aggregates = [next(uuids) for _ in range(3)]
    has_sharing, is_flat = random.random() < 0.6, random.random() < 0.2
    providers: list[Provider] = []
    for number in range(random.randint(1, roots_max)):
        tree: list[Provider] = []
        size = 1 if is_flat else random.choice((1, 1, 2, 3, 4, 5))
        for part in range(size):
            uuid = next(uuids)
            parent = random.choice(tree) if tree else None
            may_share = has_sharing and (parent is None or may_share_nested)
            traits = set(random.sample(TRAITS, random.randint(1, 4)))
            if may_share and random.random() < 0.35:
                traits.add(SHARES)
            provider = Provider(
                uuid=uuid,
                name=f"p{salt}-{number}-{part}",
                parent=parent.uuid if parent else None,
                root=tree[0].uuid if tree else uuid,
                generation=0,
                aggregates=frozenset(random.sample(aggregates, random.choice((0, 0, 1, 1, 2)))),
                traits=frozenset(traits),
            )
            tree.append(_with_inventories(random, provider))
        providers += tree
    return providers


def _with_inventories(random: Random, provider: Provider) -> Provider:
    inventories, used = {}, {}
    for name in random.sample(CLASSES, random.choice((0, 2, 3, 4, 4))):
        total = random.randint(2, 9)
        step = random.choice((1, 1, 1, 2))
        inventory = Inventory(
            total=total,
            reserved=random.choice((0, 0, 0, 1)) if total > 1 else 0,
            min_unit=random.choice((1, 1, 1, 2)),
            max_unit=random.choice((2, 4, 8, 16)),
            step_size=step,
            allocation_ratio=random.choice((1.0, 1.0, 1.5, 2.0)),
        )
        inventories[name] = inventory
        amount = step * inventory.min_unit
        if random.random() < 0.4 and amount <= min(inventory.capacity, inventory.max_unit):
            used[name] = amount
    return replace(provider, inventories=inventories, used=used)


def make_query(random: Random, providers: Sequence[Provider], *, may_repeat_classes: bool = True) -> str:
    """Returns a query string of ``GET /allocation_candidates`` at 1.39.

    Args:
        random: what decides.
        providers: what it may ask about.
        may_repeat_classes: whether a class may be asked for with and without a suffix under ``isolate``.
    """
    suffixes = random.choice(
        (["", "1"], [""], [""], ["1"], ["", "_A", "_B"], ["1", "2"], ["1", "2", "3"], ["", "x", "y"])
    )
    asked: list[str] = []
    bare: set[str] = set()
    granular = [suffix for suffix in suffixes if suffix]
    for suffix in suffixes:
        wants_resources = not suffix or len(granular) < 2 or suffix == granular[0] or random.random() < 0.75
        asked += _group(random, providers, suffix, wants_resources=wants_resources)
        if not wants_resources:
            bare.add(suffix)
    if bare or (len(granular) > 1 and random.random() < 0.3):
        asked.append(
            "same_subtree=" + ",".join(sorted(bare | set(random.sample(granular, random.randint(1, len(granular))))))
        )
    if len(granular) > 1 or random.random() < 0.5:
        policy = random.choice(("none", "isolate")) if may_repeat_classes or "" not in suffixes else "none"
        asked.append(f"group_policy={policy}")
    elif not may_repeat_classes:
        asked.append("group_policy=none")
    if random.random() < 0.15:
        asked.append(f"root_required={random.choice(('', '!'))}{random.choice(TRAITS)}")
    return "&".join(asked)


def _group(random: Random, providers: Sequence[Provider], suffix: str, *, wants_resources: bool) -> list[str]:
    asked = []
    if wants_resources:
        names = random.sample(CLASSES, random.choice((1, 1, 2, 2, 3)))
        asked.append(f"resources{suffix}=" + ",".join(f"{name}:{random.choice((1, 1, 2, 3))}" for name in names))
    aggregates = sorted({aggregate for provider in providers for aggregate in provider.aggregates})
    traits = random.sample(TRAITS, 3)
    if not wants_resources or random.random() < 0.3:
        asked.append(f"required{suffix}={traits[0]}")
    if random.random() < 0.12:
        asked.append(f"required{suffix}=in:{traits[0]},{traits[1]}")
    elif random.random() < 0.12:
        asked.append(f"required{suffix}=!{traits[2]}")
    if aggregates and random.random() < 0.2:
        asked.append(f"member_of{suffix}=in:" + ",".join(random.choices(aggregates, k=2)))
    elif aggregates and random.random() < 0.25:
        asked.append(f"member_of{suffix}=!" + random.choice(aggregates))
    if random.random() < 0.08:
        asked.append(f"in_tree{suffix}=" + random.choice(providers).uuid)
    return asked
