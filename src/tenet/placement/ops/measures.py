"""What the page of metrics and the doctor say about placement, as this process knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tenet.placement.counts import TRIES_BOUNDS
from tenet.wire.door import Distribution, Measured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenet.placement.counts import Counts
    from tenet.placement.ops.expiring import Expired
    from tenet.placement.ops.model_keeping import ModelKeeper
    from tenet.wire.door import Measure

#: Providers that the doctor names, of those that something is wrong with.
NAMED_MAX: Final = 10
_MS: Final = 1000


def measures_of(counts: Counts, keeper: ModelKeeper | None, expired: Expired | None = None) -> Sequence[Measure]:
    """Returns the figures for the page of metrics.

    Args:
        counts: what was counted.
        keeper: of the read model; None where the service is not open.
        expired: which claims this process has freed; None where it never looks for any.
    """
    of_model = () if keeper is None else _of_model(keeper)
    of_expired = () if expired is None else _of_expired(expired)
    return (*_counted(counts), *of_model, *of_expired)


def _counted(counts: Counts) -> Sequence[Measure]:
    return (
        Measured(
            "tenet_placement_requests",
            "Requests answered, by the form of their paths.",
            ("method", "route", "status"),
            counts.requests,
            is_counter=True,
        ),
        Measured("tenet_placement_refusals", "Requests refused.", ("reason",), counts.refusals, is_counter=True),
        Measured(
            "tenet_placement_claims",
            "Claims: what came of them, by the call, which is of claims or of allocations.",
            ("call", "result"),
            counts.claims,
            is_counter=True,
        ),
        Measured(
            "tenet_placement_shortages",
            "Claims that found no place, by the kind and the name of what was missing.",
            ("condition", "name"),
            counts.shortages,
            is_counter=True,
        ),
        Distribution(
            "tenet_placement_write_tries",
            "How often a write was tried until it was committed, or given up.",
            TRIES_BOUNDS,
            counts.write_tries.buckets,
            counts.write_tries.total,
        ),
        Distribution(
            "tenet_placement_claim_choices",
            "How often it was chosen for a claim until it was made, refused or given up.",
            TRIES_BOUNDS,
            counts.claim_choices.buckets,
            counts.claim_choices.total,
        ),
    )


def _of_model(keeper: ModelKeeper) -> Sequence[Measure]:
    return (
        Measured(
            "tenet_placement_behind_seconds",
            "For how long this node may have missed what others changed of the providers that it lists.",
            (),
            {(): keeper.behind_s},
        ),
        Measured(
            "tenet_placement_load_seconds", "How long the last load of all providers took.", (), {(): keeper.load_s}
        ),
        Measured("tenet_placement_loads", "Loads of all providers.", (), {(): keeper.loads}, is_counter=True),
        Measured("tenet_placement_providers", "Resource providers that this node lists.", (), {(): len(keeper.fleet)}),
        Measured(
            "tenet_placement_providers_over_capacity",
            "Providers that more is in use of than there is, since they were made smaller.",
            (),
            {(): len(keeper.fleet.over_capacity())},
        ),
        Measured(
            "tenet_placement_providers_unreadable",
            "Providers that cannot be read, and are in no list.",
            (),
            {(): len(keeper.left_out)},
        ),
    )


def _of_expired(expired: Expired) -> Sequence[Measure]:
    return (
        Measured(
            "tenet_placement_claims_expired",
            "Consumers whose claims this node has freed because they were not confirmed in time.",
            (),
            {(): expired.count},
            is_counter=True,
        ),
        Measured(
            "tenet_placement_expired_late_seconds_max",
            "How long after its time the latest claim that was not confirmed was freed by this node.",
            (),
            {(): expired.late_ms_max / _MS},
        ),
    )


def health_of(trouble: str, keeper: ModelKeeper | None) -> dict[str, Any]:
    """Returns what the doctor looks at; empty where nobody has used placement since the start.

    Args:
        trouble: why the service does not open; empty where it does.
        keeper: of the read model; None where the service is not open.
    """
    if keeper is None:
        return {"trouble": trouble} if trouble else {}
    over = keeper.fleet.over_capacity()
    return {
        "providers": len(keeper.fleet),
        "behind_s": round(keeper.behind_s, 3),
        "load_s": round(keeper.load_s, 3),
        "loads": keeper.loads,
        "over_capacity": len(over),
        "over_capacity_named": {uuid: sorted(over[uuid]) for uuid in sorted(over)[:NAMED_MAX]},
        "unreadable": len(keeper.left_out),
        "unreadable_named": sorted(keeper.left_out)[:NAMED_MAX],
    }
