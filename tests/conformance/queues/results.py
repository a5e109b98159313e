"""How the peers answer the checks of the queues, kept in a file per peer, from which the compatibility page is made."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conformance.queues.wire import Target
from tests.conformance.queues.world import Check, Differs, OtherWords, World

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "results" / "queues"
EQUAL, OTHER_WORDS, OTHERWISE = "equal", "other words", "otherwise"
#: Per peer: its version, and for each protocol what came of each check.
Results = dict[str, tuple[str, dict[str, dict[str, str]]]]


def outcome(check: Check, target: Target) -> tuple[str, str]:
    """Asks a check of a target; returns what came of it, and what differs."""
    world = World(target)
    try:
        check.run(world)
    except OtherWords as differs:
        return OTHER_WORDS, str(differs)
    except (Differs, OSError, KeyError, ValueError, TypeError, AttributeError) as differs:
        return OTHERWISE, f"{type(differs).__name__}: {differs}"
    finally:
        world.clean()
    return EQUAL, ""


def write(peer: str, version: str, found: dict[str, dict[str, str]]) -> None:
    """Writes what came of the checks of a peer, by protocol and check."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    document = {"peer": peer, "version": version, "protocols": found}
    (FOLDER / f"{peer}.json").write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read() -> Results:
    """Returns what came of the checks of every peer that has a file, by its name."""
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))]
    return {one["peer"]: (one["version"], one["protocols"]) for one in documents}
