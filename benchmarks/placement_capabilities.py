"""What comparisons of capabilities cost: CPU milliseconds of one request with limit 10, beside the same with a trait.

    python -m benchmarks.placement_capabilities [--providers 10000,100000] [--repeats 20]

The fleets: hosts with 20 capabilities, a set of 150 flags among them, of four kinds; and the same with a serial number
for each, so that no two hosts have the same. Each figure is the median of the repeats; everything is in this process.
``µs to read one`` is what it costs to read the capabilities of a provider as they are stored.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from msgspec.structs import replace

from benchmarks.placement_candidates import CLASSES, PLAIN, TRAITS, VERSION, fleet_of, hosts
from tenet.placement.fleet.candidates import find
from tenet.placement.fleet.fleet import Fleet
from tenet.placement.model import Capability, Provider
from tenet.placement.rules.candidate_requests import CandidateRequest, read_candidate_request
from tenet.placement.rules.capabilities import (
    decode_capabilities,
    encode_capabilities,
    read_capabilities,
    read_comparisons,
)

FLAGS = [f"flag_{number}" for number in range(150)]
LIMIT = 10


def capabilities_of(kind: int) -> dict[str, Capability]:
    """Returns what hosts of a kind can do."""
    document: dict[str, Any] = {f"figure_{number}": {"integer": number} for number in range(18)}
    versions: dict[str, Any] = {
        "driver_version": {"version": f"550.{kind}.15"},
        "cpu_flags": {"set": FLAGS[: 147 + kind]},
    }
    return read_capabilities({**document, **versions})


def capable(count: int, *, has_serials: bool) -> Iterator[Provider]:
    """Returns hosts that can do something, each with values of its own as they are read from a store."""
    for number, provider in enumerate(hosts(count)):
        capabilities = capabilities_of(number % 4)
        if has_serials:
            capabilities["serial"] = f"S{number:08}"
        yield replace(provider, capabilities=capabilities)


def measure(name: str, fleet: Fleet, request: CandidateRequest, repeats: int) -> None:
    """Prints the median of what a request costs, the dearest, and how many candidates it had."""
    spent, found = [], 0
    for turn in range(repeats):
        before = time.process_time_ns()
        found = len(list(islice(find(fleet, request, turn=turn * 977), LIMIT)))
        spent.append((time.process_time_ns() - before) / 1e6)
    print(f"{name:70} {statistics.median(spent):9.2f} {max(spent):9.2f} {found:9}", flush=True)


def measure_reading(name: str, fleet: Fleet) -> None:
    """Prints what it costs to read what is stored, when a node loads its fleet."""
    stored = [encode_capabilities(fleet.at(place).capabilities) for place in range(len(fleet))]
    before = time.process_time_ns()
    for one in stored:
        _ = decode_capabilities(one)
    spent = (time.process_time_ns() - before) / 1e3 / len(stored)
    print(f"{f'{name}, µs to read one':70} {spent:9.2f}", flush=True)


def asking(document: Mapping[str, Mapping[str, Any]]) -> CandidateRequest:
    """Returns the request for three classes and some capabilities."""
    plain = read_candidate_request(PLAIN, VERSION, classes=CLASSES, traits=TRAITS)
    (group,) = plain.groups
    return replace(plain, groups=(replace(group, capabilities=read_comparisons(document, "capabilities")),))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--providers", default="10000,100000")
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    gc.freeze()
    print(f"{'':70} {'median ms':>9} {'max ms':>9} {'found':>9}")
    trait = read_candidate_request(f"{PLAIN}&required=CUSTOM_KIND_1", VERSION, classes=CLASSES, traits=TRAITS)
    for count in map(int, options.providers.split(",")):
        for has_serials, words in ((False, "four kinds"), (True, "no two alike")):
            fleet = fleet_of(capable(count, has_serials=has_serials))
            name = f"{count} hosts, {words}"
            measure(f"{name}, no capability", fleet, asking({}), options.repeats)
            measure(f"{name}, a trait", fleet, trait, options.repeats)
            version: dict[str, Any] = {"driver_version": {">=": "550.2"}}
            measure(f"{name}, a version", fleet, asking(version), options.repeats)
            flags: dict[str, Any] = {"cpu_flags": {"contains": ["flag_3", "flag_148"]}}
            measure(f"{name}, a version and flags", fleet, asking({**version, **flags}), options.repeats)
            measure(
                f"{name}, a version that nobody has", fleet, asking({"driver_version": {">": "9999"}}), options.repeats
            )
            measure_reading(name, fleet)
            if has_serials:
                measure(f"{name}, a serial number", fleet, asking({"serial": {"==": "S00000009"}}), options.repeats)


if __name__ == "__main__":
    main()
