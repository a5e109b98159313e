"""What the entries of known differences have in common: parts of answers, operations, and what must hold."""

from __future__ import annotations

import re
from typing import Any

from tests.conformance.differential.answers import by_value
from tests.conformance.differential.compare import Difference
from tests.conformance.differential.schemas import Json
from tests.conformance.differential.scripted import FILLER

CONTENTS = "contents.*"
CONSUMED = "ConsumedCapacity"
ITEMS = "Items?|Attributes|Responses|CancellationReasons|LastEvaluatedKey"
TRANSACTIONS = ("TransactWriteItems", "TransactGetItems")
READS = ("Query", "Scan", "BatchGetItem", "GetItem")
#: The absent part of an answer, and a request that was carried out.
NONE, SUCCESS = "^None$", "^success"

_SETS_OR_ADDS = re.compile(r"\b(set|add)\b", re.IGNORECASE)
#: The names of key attributes are single letters.
_PATH_INTO_KEY = re.compile(r"(?<![\w:#.])[prghk]\s*[.\[]")
_ODD_NUMBERS = re.compile(r"'[+]\d|'\d+\.'|'\.\d")


def only_takes(difference: Difference) -> bool:
    """Whether an update of the request does nothing but REMOVE and DELETE."""
    actions = difference.request.get("TransactItems", ())
    updates = [difference.request, *(part for action in actions for part in action.values())]
    texts = [update["UpdateExpression"] for update in updates if "UpdateExpression" in update]
    return any(isinstance(text, str) and not _SETS_OR_ADDS.search(text) for text in texts)


def same_by_value(difference: Difference) -> bool:
    return bool(by_value(difference.ours) == by_value(difference.theirs))


def same_reasons(difference: Difference) -> bool:
    """Whether reasons of a cancellation are the same but for full stops and the spelling of numbers."""

    def form(reasons: Any) -> Any:
        return by_value([reason | {"Message": reason.get("Message", "").rstrip(".")} for reason in reasons or ()])

    return bool(form(difference.ours) == form(difference.theirs))


def _index_arms(consumed: Any) -> set[str]:
    parts = consumed if isinstance(consumed, list) else [consumed or {}]
    kinds = ("GlobalSecondaryIndexes", "LocalSecondaryIndexes")
    return {name for part in parts for kind in kinds for name in part.get(kind, ())}


def _units(consumed: Any) -> float:
    parts = consumed if isinstance(consumed, list) else [consumed or {}]
    return sum(float(part.get("CapacityUnits", 0)) for part in parts)


def charges_more_indexes(difference: Difference) -> bool:
    """Whether the witness charges indexes that Tenet does not; without the indexes' names, whether it charges more."""
    ours, theirs = _index_arms(difference.ours), _index_arms(difference.theirs)
    return ours < theirs if ours or theirs else _units(difference.ours) < _units(difference.theirs)


def reads_nothing(difference: Difference) -> bool:
    """Whether Tenet charges the minimum for a read that the witness gives away."""
    return _units(difference.theirs) < _units(difference.ours) <= 16


def in_local_index(difference: Difference) -> bool:
    return "local-" in str(difference.request.get("IndexName"))


def sends_odd_numbers(difference: Difference) -> bool:
    """Whether a number of the request has a plus sign, or nothing on one side of its point."""
    return _ODD_NUMBERS.search(str(difference.request)) is not None


def is_about_full_pages(difference: Difference) -> bool:
    """Whether the request is one of those that read items so large that they fill pages."""
    return FILLER in str(difference.request.get("ProjectionExpression"))


def leads_into_keys(difference: Difference) -> bool:
    """Whether a path of a transaction leads into a key attribute."""
    actions = [part for action in difference.request.get("TransactItems", ()) for part in action.values()]
    return any(_PATH_INTO_KEY.search(_plain_text(part)) for part in actions if isinstance(part, dict))


def _plain_text(part: Json) -> str:
    """The expressions of an action, with names in place of their placeholders."""
    text = " ".join(str(value) for name, value in part.items() if name.endswith("Expression"))
    for placeholder, name in (part.get("ExpressionAttributeNames") or {}).items():
        text = text.replace(str(placeholder), str(name))
    return text
