"""What a known difference between Tenet and a peer is, and which of them explains what was seen."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.conformance.differential.compare import Difference

#: What decides, the first before the others.
DOCUMENTED = "the service's documentation"
CAPTURED = "published captures of the service's answers"
SHARED_PARSER = "the peer that shares the service's own parser"

LOCAL, DYNALITE, DYNOXIDE, MOTO = "dynamodb-local", "dynalite", "dynoxide", "moto"


@dataclass(frozen=True, kw_only=True)
class KnownDifference:
    """A difference that is explained; everything that is given must match.

    Args:
        name: short, with hyphens.
        witnesses: the peers that differ.
        member: the part of the answer, as ``Difference.member`` names it, as a regular expression.
        reason: how the service answers, or how the peer does, in a sentence.
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
