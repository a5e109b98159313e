"""What the entries of known differences have in common: parts of answers, operations, and what must hold."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.conformance.differential.answers import by_value
from tests.conformance.differential.compare import Difference
from tests.conformance.differential.schemas import Json
from tests.conformance.differential.scripted import FILLER

CONTENTS = "contents.*"
CONSUMED = "ConsumedCapacity"
ITEMS = "Items?|Attributes|Responses|CancellationReasons|LastEvaluatedKey"
#: The parameters that hold legacy conditions.
CONDITIONS = ("Expected", "QueryFilter", "ScanFilter", "KeyConditions")
TRANSACTIONS = ("TransactWriteItems", "TransactGetItems")
STATEMENTS = ("ExecuteStatement", "BatchExecuteStatement", "ExecuteTransaction")
READS = ("Query", "Scan", "BatchGetItem", "GetItem")
#: The absent part of an answer, and a request that was carried out.
NONE, SUCCESS = "^None$", "^success"

_SETS_OR_ADDS = re.compile(r"\b(set|add)\b", re.IGNORECASE)
#: The names of key attributes are single letters.
_PATH_INTO_KEY = re.compile(r"(?<![\w:#.])[prghk]\s*[.\[]")
_KEY_AS_TARGET = re.compile(r"(?:\b(?:set|remove|add|delete)|,)\s*[pr](?!\w)", re.IGNORECASE)
_ODD_NUMBERS = re.compile(r"'[+]\d|'\d+\.'|'\.\d")


def only_takes(difference: Difference) -> bool:
    """Whether an update of the request does nothing but REMOVE and DELETE."""
    texts = [part["UpdateExpression"] for part in _parts(difference) if "UpdateExpression" in part]
    updates = difference.request.get("AttributeUpdates")
    if isinstance(updates, dict) and updates:
        return all(update.get("Action") == "DELETE" for update in updates.values())
    return any(isinstance(text, str) and not _SETS_OR_ADDS.search(text) for text in texts)


def updates_without_action(difference: Difference) -> bool:
    """Whether one of AttributeUpdates does not say what it does."""
    updates = difference.request.get("AttributeUpdates") or {}
    return any(not update.get("Action") for update in updates.values())


def has_empty_legacy_parameters(difference: Difference) -> bool:
    return any(difference.request.get(name) == {} for name in (*CONDITIONS, "AttributeUpdates"))


def has_legacy_conditions(difference: Difference) -> bool:
    return any(name in difference.request for name in CONDITIONS)


def is_about_parts_of_binaries(difference: Difference) -> bool:
    text = str(difference.request)
    return "CONTAINS" in text and "'B': " in text


def denies_containing(difference: Difference) -> bool:
    return "NOT_CONTAINS" in str(difference.request)


def compares_expected_values(difference: Difference) -> bool:
    """Whether an expectation of the request has an operator."""
    return "ComparisonOperator" in str(difference.request.get("Expected"))


def sends_extreme_numbers(difference: Difference) -> bool:
    return "1E-130" in str(difference.request) or "1E125" in str(difference.request)


def _parts(difference: Difference) -> list[Json]:
    """The request itself and the actions of its transaction."""
    actions = difference.request.get("TransactItems")
    listed = [action for action in actions if isinstance(action, dict)] if isinstance(actions, list) else []
    return [difference.request, *(part for action in listed for part in action.values() if isinstance(part, dict))]


def returns_more(difference: Difference) -> bool:
    """Whether the witness returns all that Tenet does of what was updated, and what lies around it."""
    modes = {"UPDATED_OLD", "UPDATED_NEW"}
    return difference.request.get("ReturnValues") in modes and _is_part(
        by_value(difference.ours), by_value(difference.theirs)
    )


def _is_part(one: Any, whole: Any) -> bool:
    if isinstance(one, dict) and isinstance(whole, dict):
        return all(name in whole and _is_part(value, whole[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(whole, list):
        return all(any(_is_part(element, other) for other in whole) for element in one)
    return bool(one == whole)


def is_alone(difference: Difference) -> bool:
    """Whether no other witness gives the same."""
    return not difference.is_seconded


def same_by_value(difference: Difference) -> bool:
    return bool(by_value(difference.ours) == by_value(difference.theirs))


def same_reasons(difference: Difference) -> bool:
    """Whether reasons of a cancellation are the same but for full stops and the spelling of numbers."""

    def form(reasons: Any) -> Any:
        return by_value([reason | {"Message": reason.get("Message", "").rstrip(".")} for reason in reasons or ()])

    return bool(form(difference.ours) == form(difference.theirs))


def lists_more_faults(difference: Difference) -> bool:
    """Whether Tenet lists every fault that the witness does, and others."""
    return set(str(difference.theirs).split("; ")) < set(str(difference.ours).split("; "))


def same_codes(difference: Difference) -> bool:
    """Whether reasons of a cancellation differ in their texts alone."""
    return [reason["Code"] for reason in difference.ours] == [reason["Code"] for reason in difference.theirs]


def _index_units(consumed: Any) -> dict[str, float]:
    parts = consumed if isinstance(consumed, list) else [consumed or {}]
    kinds = ("GlobalSecondaryIndexes", "LocalSecondaryIndexes")
    arms = [arm for part in parts for kind in kinds for arm in part.get(kind, {}).items()]
    return {name: float(arm["CapacityUnits"]) for name, arm in arms}


def _units(consumed: Any) -> float:
    parts = consumed if isinstance(consumed, list) else [consumed or {}]
    return sum(float(part.get("CapacityUnits", 0)) for part in parts)


def charges_more_indexes(difference: Difference) -> bool:
    """Whether the witness charges some indexes more and none less; without their names, whether it charges more."""
    ours, theirs = _index_units(difference.ours), _index_units(difference.theirs)
    if not ours and not theirs:
        return _units(difference.ours) < _units(difference.theirs)
    return ours != theirs and all(theirs.get(name, 0.0) >= units for name, units in ours.items())


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
    return any(_PATH_INTO_KEY.search(_plain_text(part)) for part in _parts(difference)[1:])


def updates_keys(difference: Difference) -> bool:
    """Whether an update of the request names an attribute of the table's key as what it changes."""
    texts = [_plain_text(part) for part in _parts(difference) if "UpdateExpression" in part]
    return any(_KEY_AS_TARGET.search(text) for text in texts)


def sends_high_texts(difference: Difference) -> bool:
    """Whether a text of the request comes behind others in UTF-16 and before them in UTF-8."""
    return "\uffff" in json.dumps(difference.request, ensure_ascii=False)


def has_condition(difference: Difference) -> bool:
    return "ConditionExpression" in difference.request


def _plain_text(part: Json) -> str:
    """The expressions of an action, with names in place of their placeholders."""
    text = " ".join(str(value) for name, value in part.items() if name.endswith("Expression"))
    names = part.get("ExpressionAttributeNames")
    for placeholder, name in names.items() if isinstance(names, dict) else ():
        text = text.replace(str(placeholder), str(name))
    return text
