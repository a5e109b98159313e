"""Known differences in the limits of requests."""

from __future__ import annotations

from tests.conformance.differential.known_differences import (
    CAPTURED,
    DOCUMENTED,
    DYNALITE,
    DYNOXIDE,
    LOCAL,
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
    KnownDifference(
        name="sizes-of-index-keys",
        witnesses=(DYNALITE, DYNOXIDE),
        member="outcome",
        reason="Keys of indexes are as long as those of tables, all attributes together; the peers do not look at it.",
        source=DOCUMENTED,
        ours="Size limit exceeded for Index Key|Aggregate size for (HASH|RANGE) key attributes",
        theirs="^success",
    ),
    KnownDifference(
        name="local-sizes-of-index-keys",
        witnesses=(LOCAL,),
        member="message",
        reason="The service names the attribute of an index that is too long; DynamoDB Local does not.",
        source=CAPTURED,
        ours="Size limit exceeded for Index Key",
        theirs="Size limit exceeded$",
    ),
)
