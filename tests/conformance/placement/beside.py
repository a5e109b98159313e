"""Allocation candidates and lists of providers of random fleets: Tenet's search beside the reference service.

    python -m tests.conformance.placement.beside PYTHON [--seconds 60] [--seed 0]

PYTHON is an interpreter with openstack-placement. Each fleet is made by the reference's own API; both are then asked
the same, at random microversions, and what they answer is compared: status, candidates, summaries, and texts of
errors. The order of candidates is nobody's promise. With a limit, the answer has to be that many of the unlimited one.

What is not asked, because the reference has it wrong: the same class with and without a suffix under another policy
than ``none`` (it adds to amounts that other candidates use as well), and providers that share and are part of another
(it fails where their tree has no candidate of its own). What is asked and then let pass: of the ways in which sharing
providers alone meet the group without a suffix, the reference keeps one anchor each, whichever comes first, and so
loses candidates in which other groups come from the tree of another anchor. Those are counted.
"""

from __future__ import annotations

import argparse
import html
import json
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import orjson
from msgspec.structs import replace

from tenet.placement.errors import PlacementError
from tenet.placement.fleet.candidates import find
from tenet.placement.fleet.fleet import Fleet
from tenet.placement.model import Provider
from tenet.placement.rules.candidate_answers import candidate_told, write_answer
from tenet.placement.rules.candidate_requests import read_candidate_request
from tenet.placement.rules.provider_filters import read_provider_filter
from tests.unit.placement.fleets import KNOWN_CLASSES, KNOWN_TRAITS, make_fleet, make_query, uuid_of

VERSION = "1.39"


class Peer:
    """The reference service in a process of its own."""

    def __init__(self, python: str, folder: Path) -> None:
        program = Path(__file__).with_name("programs") / "peer.py"
        self._process = subprocess.Popen(
            [python, "-P", str(program), str(folder / "placement.sqlite")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, requests: Sequence[tuple[str, str, str, Any]]) -> list[tuple[int, Any]]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(requests) + "\n")
        stdin.flush()
        return [(status, document) for status, document in json.loads(stdout.readline())]

    def close(self) -> None:
        self._process.communicate()


def fill(peer: Peer, random: Random, providers: Sequence[Provider]) -> Callable[[], None]:
    """Makes the providers in the reference; returns what removes them."""
    requests: list[tuple[str, str, str, Any]] = []
    consumers = []
    for provider in providers:
        path = f"/resource_providers/{provider.uuid}"
        body: dict[str, Any] = {"uuid": provider.uuid, "name": provider.name, "parent_provider_uuid": provider.parent}
        requests.append(("POST", "/resource_providers", VERSION, body))
        inventories = {
            name: {part: getattr(inventory, part) for part in inventory.__struct_fields__}
            for name, inventory in provider.inventories.items()
        }
        parts = {
            "inventories": inventories,
            "traits": sorted(provider.traits),
            "aggregates": sorted(provider.aggregates),
        }
        for generation, (part, value) in enumerate(parts.items()):
            body = {part: value, "resource_provider_generation": generation}
            requests.append(("PUT", f"{path}/{part}", VERSION, body))
        for name, used in provider.used.items():
            consumer = uuid_of(random)
            consumers.append(consumer)
            body = {
                "allocations": {provider.uuid: {"resources": {name: used}}},
                "project_id": "p",
                "user_id": "u",
                "consumer_generation": None,
                "consumer_type": "INSTANCE",
            }
            requests.append(("PUT", f"/allocations/{consumer}", VERSION, body))
    for request, (status, document) in zip(requests, peer.ask(requests), strict=True):
        assert status < 300, (request, status, document)

    def remove() -> None:
        gone: list[tuple[str, str, str, Any]] = [("DELETE", f"/allocations/{one}", VERSION, None) for one in consumers]
        gone += [("DELETE", f"/resource_providers/{p.uuid}", VERSION, None) for p in reversed(providers)]
        assert all(status == 204 for status, _ in peer.ask(gone))

    return remove


def ours(fleet: Fleet, kind: str, query: str, version: int) -> tuple[int, Any]:
    """Returns what Tenet answers."""
    known: dict[str, Any] = {"classes": KNOWN_CLASSES, "traits": KNOWN_TRAITS}
    try:
        if kind == "providers":
            wanted = read_provider_filter(query, version, **known)
            return 200, {"resource_providers": [{"uuid": p.uuid} for p in fleet.matching(wanted)]}
        request = read_candidate_request(query, version, **known)
    except PlacementError as error:
        return error.http_status, {"errors": [{"detail": str(error), "code": error.code}]}
    return 200, json.loads(b"".join(write_answer(find(fleet, request), request, version, fleet.tree)))


def plain(document: Any) -> Any:
    """Returns a document in a form in which equal ones are equal: whatever has no order is sorted."""
    if isinstance(document, dict):
        return {key: plain(value) for key, value in document.items()}
    if isinstance(document, list):
        return sorted((plain(value) for value in document), key=lambda value: json.dumps(value, sort_keys=True))
    return document


def lost(fleet: Fleet, query: str, version: int) -> list[Any]:
    """Returns the candidates that the reference may lose, in their plain form."""
    request = read_candidate_request(query, version, classes=KNOWN_CLASSES, traits=KNOWN_TRAITS)
    if len(request.groups) < 2 or not any(not group.suffix for group in request.groups):
        return []
    sharing = {fleet.at(place).uuid for place in fleet.sharing}
    return [
        plain(json.loads(orjson.dumps(candidate_told(candidate, version))))
        for candidate in find(fleet, replace(request, limit=None))
        if sharing.issuperset(candidate.mappings[""])
    ]


def difference(
    asked: tuple[str, str, int], theirs: tuple[int, Any], answer: tuple[int, Any], may_lose: list[Any]
) -> str:
    """Returns what differs; empty where nothing does."""
    kind, query, version = asked
    if theirs[0] != answer[0]:
        return f"status {theirs[0]} and {answer[0]}: {str(theirs[1])[:300]} | {str(answer[1])[:300]}"
    if theirs[0] != 200:
        return _difference_of_errors(version, theirs[1]["errors"][0], answer[1]["errors"][0])
    if kind == "providers":
        listed = [{p["uuid"] for p in document["resource_providers"]} for document in (theirs[1], answer[1])]
        return "" if listed[0] == listed[1] else f"providers {listed}"
    if "limit=" in query:
        counts = [len(document["allocation_requests"]) for document in (theirs[1], answer[1])]
        return "" if counts[0] == counts[1] or may_lose else f"counts {counts}"
    one, other = plain(theirs[1]["allocation_requests"]), plain(answer[1]["allocation_requests"])
    if one != other and one != [candidate for candidate in other if candidate in one or candidate not in may_lose]:
        return f"candidates:\n  {one}\n  {other}"
    one, other = (plain(document["provider_summaries"]) for document in (theirs[1], answer[1]))
    if one != other and not (may_lose and one == {uuid: told for uuid, told in other.items() if uuid in one}):
        return f"summaries:\n  {one}\n  {other}"
    return ""


def _difference_of_errors(version: int, theirs: dict[str, Any], error: dict[str, Any]) -> str:
    detail = " ".join(html.unescape(theirs["detail"]).split())
    wanted = " ".join(error["detail"].split())
    if wanted not in detail:
        return f"texts:\n  {detail[:400]}\n  {wanted[:400]}"
    if version >= 23 and theirs["code"] != error["code"]:
        return f"codes {theirs['code']} {error['code']}"
    return ""


def make_asked(random: Random, providers: Sequence[Provider]) -> tuple[str, str, int]:
    """Returns what is asked for, the query string and the microversion."""
    version = random.choice((39, 39, 39, random.randint(10, 39)))
    query = make_query(random, providers, may_repeat_classes=False)
    if random.random() < 0.25 or (version < 36 and random.random() < 0.7):
        query = "&".join(part for part in query.split("&") if part.partition("=")[0] in _plain_parts(version))
        query = query or "resources=VCPU:1"
    if version >= 16 and random.random() < 0.1:
        query += f"&limit={random.randint(0, 4)}"
    if random.random() < 0.25:
        query = "&".join(
            part for part in query.split("&") if part.split("=")[0] in ("resources", "member_of", "required")
        )
        return "providers", query, random.choice((39, random.randint(0, 39)))
    return "candidates", query, version


def _plain_parts(version: int) -> set[str]:
    since = {"resources": 10, "required": 17, "member_of": 21, "in_tree": 31}
    return {name for name, first in since.items() if first <= version}


def compare(peer: Peer, seed: int, counts: Counter[str]) -> str:
    """Asks about one random fleet.

    Args:
        peer: the reference; has no providers, before and after.
        seed: of all that is random.
        counts: what was asked and found is added to them.

    Returns:
        The first difference; empty where there is none.
    """
    random = Random(seed)
    providers = make_fleet(random, may_share_nested=False)
    remove = fill(peer, random, providers)
    fleet = Fleet()
    for provider in providers:
        fleet.put(provider)
    asking = [make_asked(random, providers) for _ in range(25)]
    paths = {"providers": "/resource_providers", "candidates": "/allocation_candidates"}
    answers = peer.ask([("GET", f"{paths[kind]}?{query}", f"1.{version}", None) for kind, query, version in asking])
    for asked, theirs in zip(asking, answers, strict=True):
        answer = ours(fleet, *asked)
        may_lose = lost(fleet, *asked[1:]) if asked[0] == "candidates" and answer[0] == 200 else []
        told = difference(asked, theirs, answer, may_lose)
        if told:
            return f"seed {seed}: {asked[0]} 1.{asked[2]} ?{asked[1]}\n{told}"
        found, known = (len(document.get("allocation_requests", ())) for document in (answer[1], theirs[1]))
        counts.update(requests=1, refused=int(answer[0] != 200), candidates=found, lost=found - known)
    remove()
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("python")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    told, seed = "", options.seed
    with tempfile.TemporaryDirectory() as folder:
        peer = Peer(options.python, Path(folder))
        until = time.monotonic() + options.seconds
        while time.monotonic() < until and not told:
            told = compare(peer, seed, counts)
            seed += 1
        peer.close()
    print(told or "no difference but candidates that the reference loses", dict(counts))
    return int(bool(told))


if __name__ == "__main__":
    raise SystemExit(main())
