"""What a differential run found, kept in a file per peer, from which the compatibility page is made."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.differential.arena import EQUAL, OTHER_WORDS
from tests.conformance.differential.schemas import Json

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "results" / "differential"


@dataclass(frozen=True)
class Result:
    """How a peer and Tenet answered an operation.

    Args:
        operation: its name.
        equal: how many answers were equal.
        other_words: how many differed in the words of an error alone, Tenet's being those of another peer.
        known: how often each known difference was seen.
    """

    operation: str
    equal: int
    other_words: int
    known: dict[str, int]

    @property
    def compared(self) -> int:
        """How many answers were compared, at least: one may show several known differences."""
        return self.equal + self.other_words + sum(self.known.values())


def write(tally: Counter[tuple[str, str, str]], versions: dict[str, str]) -> None:
    """Writes a file per peer.

    Args:
        tally: of an ``Arena``.
        versions: of the peers, by name.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    for peer in sorted({witness for witness, _, _ in tally}):
        operations: dict[str, Json] = {}
        for (witness, operation, what), count in sorted(tally.items()):
            if witness == peer:
                operations.setdefault(operation, {})[what] = count
        document = {"peer": peer, "version": versions[peer], "operations": operations}
        (FOLDER / f"{peer}.json").write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read() -> dict[str, tuple[str, list[Result]]]:
    """Returns version and results of every peer that has a file, by its name."""
    found = {}
    for path in sorted(FOLDER.glob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        results = [_result(operation, counts) for operation, counts in document["operations"].items()]
        found[document["peer"]] = (document["version"], results)
    return found


def _result(operation: str, counts: dict[str, int]) -> Result:
    known = {name: count for name, count in counts.items() if name not in {EQUAL, OTHER_WORDS}}
    return Result(operation, counts.get(EQUAL, 0), counts.get(OTHER_WORDS, 0), known)
