"""Every difference between Tenet and the peers that is known, why Tenet answers as it does, and what decides that."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.conformance.differential.answers import by_value
from tests.conformance.differential.compare import Difference

DOCUMENTED = "documentation of the service"
CAPTURED = "published captures of the service's answers"


@dataclass(frozen=True)
class KnownDifference:
    """A difference that is explained.

    Args:
        name: short, with hyphens.
        witnesses: the peers that differ.
        member: the part of the answer, as ``Difference.member`` names it.
        reason: why Tenet answers as it does, in a sentence.
        source: what decides.
        operations: of which operations; empty for any.
        ours: what Tenet's part matches, as a regular expression; empty for anything.
        theirs: the same of the witness.
        when: what else must hold.
    """

    name: str
    witnesses: tuple[str, ...]
    member: str
    reason: str
    source: str
    operations: tuple[str, ...] = ()
    ours: str = ""
    theirs: str = ""
    when: Callable[[Difference], bool] | None = None

    def explains(self, difference: Difference) -> bool:
        """Whether it is this difference."""
        return (
            difference.witness in self.witnesses
            and re.fullmatch(self.member, difference.member) is not None
            and (not self.operations or difference.operation in self.operations)
            and _matches(self.ours, difference.ours)
            and _matches(self.theirs, difference.theirs)
            and (self.when is None or self.when(difference))
        )


def _matches(pattern: str, part: Any) -> bool:
    return not pattern or re.search(pattern, str(part), re.DOTALL) is not None


def _same_by_value(difference: Difference) -> bool:
    return bool(by_value(difference.ours) == by_value(difference.theirs))


LOCAL, DYNALITE, DYNOXIDE, MOTO = "dynamodb-local", "dynalite", "dynoxide", "moto"

KNOWN_DIFFERENCES: tuple[KnownDifference, ...] = ()


def explain(difference: Difference) -> KnownDifference | None:
    """Returns the entry that explains a difference, or None."""
    return next((known for known in KNOWN_DIFFERENCES if known.explains(difference)), None)
