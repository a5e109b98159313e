"""Known differences in time to live."""

from __future__ import annotations

from tests.conformance.differential.known_differences import (
    CAPTURED,
    DOCUMENTED,
    DYNALITE,
    DYNOXIDE,
    LOCAL,
    SHARED_PARSER,
    KnownDifference,
)

_OPERATIONS = ("UpdateTimeToLive",)

OF_TIME_TO_LIVE = (
    KnownDifference(
        name="dynalite-time-to-live",
        witnesses=(DYNALITE,),
        member="outcome",
        reason="dynalite has no UpdateTimeToLive.",
        source=DOCUMENTED,
        operations=_OPERATIONS,
        theirs="^UnknownOperationException",
    ),
    KnownDifference(
        name="one-change-an-hour",
        witnesses=(LOCAL, DYNOXIDE),
        member="outcome",
        reason="Time to live is changed once an hour at most; the peers let it be changed at any time.",
        source=DOCUMENTED,
        operations=_OPERATIONS,
        ours="^ValidationException: Time to live has been modified multiple times",
    ),
    KnownDifference(
        name="local-bytes-of-attribute-names",
        witnesses=(LOCAL,),
        member="outcome|message",
        reason="The name of the attribute of a time to live has up to 255 characters; DynamoDB Local counts its bytes.",
        source=DOCUMENTED,
        operations=_OPERATIONS,
        theirs="^(ValidationException: )?Names of key attributes and attributes projected",
    ),
    KnownDifference(
        name="local-words-of-time-to-live",
        witnesses=(LOCAL,),
        member="message",
        reason="By which other attribute items expire is told; DynamoDB Local leaves it out.",
        source=DOCUMENTED,
        operations=_OPERATIONS,
        ours="^TimeToLive is active on a different AttributeName: current AttributeName is ",
        theirs="^TimeToLive is active on a different AttributeName$",
    ),
    KnownDifference(
        name="local-time-to-live-of-no-table",
        witnesses=(LOCAL,),
        member="message",
        reason="A missing TableName is told in the same words by every operation; DynamoDB Local has others here.",
        source=CAPTURED,
        operations=_OPERATIONS,
        ours="^The parameter 'TableName' is required",
        theirs="tableName: Member must not be null$",
    ),
    KnownDifference(
        name="dynoxide-short-names-of-tables",
        witnesses=(DYNOXIDE,),
        member="outcome|message",
        reason="The length of TableName is checked first; dynoxide looks for such a table, and at other members.",
        source=SHARED_PARSER,
        operations=_OPERATIONS,
        ours="TableName must be at least 3 characters long",
    ),
    KnownDifference(
        name="dynoxide-checks-of-time-to-live",
        witnesses=(DYNOXIDE,),
        member="outcome|message",
        reason="dynoxide does not check how long the attribute's name is, nor whether time to live is so already.",
        source=DOCUMENTED,
        operations=_OPERATIONS,
        ours="length less than or equal to 255|TimeToLive is already|TimeToLive is active on a different",
    ),
)
