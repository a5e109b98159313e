"""Known differences in switching streams on and off; what is read of them is compared in a test of its own."""

from __future__ import annotations

from tests.conformance.differential.known_differences import (
    CAPTURED,
    DYNALITE,
    DYNOXIDE,
    LOCAL,
    KnownDifference,
)

_REFUSED = "UpdateViewType|streamViewType|has an enabled stream|has no stream to disable"
_SWITCHING = ("CreateTable", "UpdateTable")

OF_STREAMS = (
    KnownDifference(
        name="local-words-of-streams",
        witnesses=(LOCAL,),
        member="message",
        reason="DynamoDB Local refuses a StreamSpecification in words of its own.",
        source=CAPTURED,
        operations=_SWITCHING,
        ours=_REFUSED,
        theirs="^Invalid StreamViewType|^Table already has an enabled stream$|^Table has no stream|StreamViewType",
    ),
    KnownDifference(
        name="dynalite-has-no-streams",
        witnesses=(DYNALITE,),
        member="outcome|message|.*Stream.*",
        reason="dynalite has no streams, and takes no notice of a StreamSpecification.",
        source=CAPTURED,
        operations=(*_SWITCHING, "DescribeTable", "DeleteTable"),
        when=lambda difference: "Stream" in f"{difference.request}{difference.member}",
    ),
    KnownDifference(
        name="dynoxide-view-types",
        witnesses=(DYNOXIDE,),
        member="outcome|message",
        reason="dynoxide does not compare StreamViewType with StreamEnabled, nor with the stream that a table has.",
        source=CAPTURED,
        operations=_SWITCHING,
        ours=_REFUSED,
    ),
)
