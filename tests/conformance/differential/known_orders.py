"""Known differences in the order of checks: which of its faults a request is refused for."""

from __future__ import annotations

import re

from tests.conformance.differential.compare import Difference
from tests.conformance.differential.known_differences import (
    CAPTURED,
    DYNALITE,
    DYNOXIDE,
    LOCAL,
    KnownDifference,
)

_VALUES = (
    "^Supplied AttributeValue|^One or more .* invalid: (?:An |Binary sets|Input|Null)|^The parameter cannot be"
    "|^Number (?:over|under)flow|^Attempting to store|^Input collection|^Empty attribute name$"
)
#: What the texts of each check have in common. The first that fits counts; a group is part of what is checked.
_CHECKS = tuple(
    re.compile(pattern)
    for pattern in (
        "Member must |Map (value|keys) must",
        "ExpressionAttribute(?:Names|Values) can only be specified",
        "^ExpressionAttribute(?P<part>Names|Values) (?:contains|must)",
        _VALUES,
        "^ReturnValues can only",
        "^Invalid (?P<part>\\w+)Expression: (?:Syntax error|The expression can not be empty|Expression size)",
        "^Invalid (?P<part>\\w+)Expression: .*section can only be used once",
        "^Invalid (?P<part>\\w+)Expression: .*redundant parentheses",
        "^Invalid (?P<part>\\w+Expression: .*reserved keyword.*)",
        "^Invalid (?P<part>\\w+)Expression: (?:The function|Invalid function|Incorrect number|Operator or function)",
        "^Invalid (?P<part>\\w+Expression: An expression attribute.*)",
        "^Invalid (?P<part>\\w+)Expression: Incorrect operand type",
        "^Invalid (?P<part>\\w+)Expression: The first operand must be distinct",
        "^Invalid (?P<part>\\w+)Expression: The BETWEEN operator requires",
        "^Invalid (?P<part>\\w+)Expression: Two document paths",
        "^Value provided in ExpressionAttribute(?P<part>Names|Values) unused",
        "^KeyConditionExpressions|in KeyConditionExpression: |^Either the KeyConditions|^Conditions can be of length",
        "ALL_PROJECTED_ATTRIBUTES can be used|when choosing to get|Select type",
        "^The (?:Total)?Segments? parameter",
        "does not have the specified index",
        "^Consistent reads",
        "starting key",
        "^Query (?:key )?condition|parameter type does not match",
        "key element does not match|Missing the key|Type mismatch for (?:key|Index Key)",
        "^One or more parameter values are not valid",
        "non-primary key attributes",
        "does not project",
        "Key attributes must be scalars",
        "contains duplicates$|multiple operations on one item",
        "Cannot update attribute",
        "refers to an attribute that does not exist",
        "An operand in the update expression",
        "document path provided in the update expression",
    )
)


def check_of(text: str) -> tuple[int, str] | None:
    """Which check a request failed by the text of its error; None for a text of a peer's own."""
    for number, pattern in enumerate(_CHECKS):
        found = pattern.search(text)
        if found is not None:
            return number, found.groupdict().get("part") or ""
    return None


def is_of_another_check(difference: Difference) -> bool:
    """Whether the texts belong to different checks, and no other witness answers as this one does."""
    ours, theirs = check_of(str(difference.ours)), check_of(str(difference.theirs))
    return None not in {ours, theirs} and ours != theirs and not difference.is_seconded


OF_ORDERS = (
    KnownDifference(
        name="another-fault-first",
        witnesses=(LOCAL, DYNALITE, DYNOXIDE),
        member="message",
        reason="Of several faults each tells the one that it looks for first; no two peers agree on another one.",
        source=CAPTURED,
        when=is_of_another_check,
    ),
)
