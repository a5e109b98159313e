"""Known differences in the limits of requests."""

from __future__ import annotations

from tests.conformance.differential.known_differences import (
    DOCUMENTED,
    DYNALITE,
    DYNOXIDE,
    KnownDifference,
)

OF_LIMITS = (
    KnownDifference(
        name="bytes-of-substitutes",
        witnesses=(DYNALITE, DYNOXIDE),
        member="outcome",
        reason="Names and values of expressions have 2 MB together, which the peers do not look at.",
        source=DOCUMENTED,
        ours="^ValidationException: (Combined size of )?ExpressionAttribute(Names|Values).* exceeds max size$",
    ),
)
