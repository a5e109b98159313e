"""Answers in a form in which two implementations can be compared: what the service leaves open is taken out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Context, Decimal, InvalidOperation
from typing import Any

from tests.conformance.differential.schemas import Json

SUCCESS = "success"
#: What a target that ended or broke the connection answers.
NO_ANSWER = "no answer"

#: More digits than the sum of the largest and the smallest number has, which dynalite keeps whole.
_EXACT = Context(prec=300)
_PREFIX = re.compile(r"^1 validation error detected: (?!Value (?:'|null |at ))")
_CONSTRAINT = re.compile(
    r"(?:Value (?:'.*?' |null )?at '(?P<path>.*?)' failed|Failed) to satisfy constraint: "
    r"(?P<constraint>.*?)(?=; (?:Value|Failed)|$)",
    re.DOTALL,
)
_ENVELOPE = re.compile(r"^(\d+ validation errors? detected: |Value .* failed to satisfy constraint: )")
#: Attributes that a text lists in no order.
_LISTED = re.compile(r"(does not project .*?)\[(.*)\]$")
#: Reads and writes a second that every table on demand can carry at once.
_WARM_ANYHOW = [12_000, 4_000]
_SETS = frozenset({"SS", "NS", "BS"})


@dataclass(frozen=True)
class Answer:
    """What a target answered.

    Args:
        status: of HTTP; 0 where there was no answer.
        code: of the error, without what stands before ``#``; ``success`` where there was none.
        message: of the error, as it came.
        body: everything else.
    """

    status: int
    code: str
    message: str
    body: Json

    @property
    def is_success(self) -> bool:
        """Whether the request was carried out."""
        return self.code == SUCCESS


def parse(status: int, raw: bytes) -> Answer:
    """Reads an answer."""
    try:
        # An answer without members has no body, or an empty one, or is an empty text.
        body = (json.loads(raw) if raw else {}) or {}
    except ValueError:
        return Answer(status, NO_ANSWER, raw.decode("utf-8", "replace")[:300], {})
    if status == 200:
        return Answer(status, SUCCESS, "", body)
    kind = str(body.pop("__type", "")).rpartition("#")[2]
    message = body.pop("message", None)
    other = body.pop("Message", None)
    return Answer(status, kind or f"HTTP {status}", str(message or other or ""), body)


def comparable(answer: Answer, *, is_ordered: bool) -> Json:
    """The parts of an answer to compare, by name: ``outcome``, ``message`` and the members of the body.

    Args:
        answer: from a target.
        is_ordered: whether the order of ``Items`` counts.
    """
    parts: Json = {"outcome": answer.code}
    if not answer.is_success:
        parts["message"] = message_form(answer.message)
    for member, value in answer.body.items():
        parts[member] = _member(member, value, is_ordered=is_ordered)
        if member in _DESCRIPTIONS:
            parts.update({f"{member}.{name}": setting for name, setting in _settings(value).items()})
    return parts


def _member(member: str, value: Any, *, is_ordered: bool) -> Any:
    if member in _DESCRIPTIONS:
        return _described(value)
    if member == "Items":
        items = [canonical_item(item) for item in value]
        return items if is_ordered else in_order(items)
    if member in {"Item", "Attributes", "LastEvaluatedKey"}:
        return canonical_item(value)
    if member == "Responses" and isinstance(value, dict):
        return {table: in_order(canonical_item(item) for item in items) for table, items in value.items()}
    if member == "Responses":
        return [{name: _part(name, part) for name, part in one.items()} for one in value]
    if member in _FREE:
        return _FREE[member](value)
    if member == "ConsumedCapacity" and isinstance(value, list):
        return in_order(value)
    if member == "CancellationReasons":
        return [_reason(reason) for reason in value]
    return value


def _endpoints(endpoints: list[Json]) -> list[Json]:
    return [{**endpoint, "Address": "an address"} for endpoint in endpoints]


def _part(name: str, part: Any) -> Any:
    """A part of the answer to one of several statements or gets."""
    if name == "Error":
        return _reason(part)
    return canonical_item(part) if name == "Item" else part


#: Members that describe a table.
_DESCRIPTIONS = frozenset({"Table", "TableDescription"})
#: What of a table's description follows from its definition alone.
_DEFINED = ("TableName", "KeySchema", "IndexName", "Projection", "DeletionProtectionEnabled")


def _described(part: Json) -> Json:
    """A table's or an index's description without what depends on time, place and progress."""
    form: Json = {name: part[name] for name in _DEFINED if part.get(name)}
    if part.get("Projection", {}).get("NonKeyAttributes"):
        # The service describes them in the order of their names, the peers in that of the request.
        form["Projection"] = part["Projection"] | {"NonKeyAttributes": sorted(part["Projection"]["NonKeyAttributes"])}
    if "AttributeDefinitions" in part:
        form["AttributeDefinitions"] = in_order(part["AttributeDefinitions"])
    throughput = part.get("ProvisionedThroughput", {})
    form["units"] = [throughput.get("ReadCapacityUnits", 0), throughput.get("WriteCapacityUnits", 0)]
    form["billing"] = part.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED")
    for kind in ("LocalSecondaryIndexes", "GlobalSecondaryIndexes"):
        if part.get(kind):
            form[kind] = in_order(_described(index) for index in part[kind])
    return form


def _settings(table: Json) -> Json:
    """The settings of a table that it need not have, each by its name, those of its indexes behind ``indexes``.

    Where a table has no more warm throughput than it has anyhow it is left out: few peers describe it then.
    """
    form: Json = {name: table[name] for name in ("OnDemandThroughput", "StreamSpecification") if table.get(name)}
    table_class = table.get("TableClassSummary", {}).get("TableClass", "STANDARD")
    if table_class != "STANDARD":
        form["TableClass"] = table_class
    if table.get("SSEDescription"):
        encryption = table["SSEDescription"]
        form["SSEDescription"] = {name: encryption.get(name) for name in ("Status", "SSEType")}
    form |= _warm(table)
    for index in table.get("GlobalSecondaryIndexes", ()):
        of_index = {name: index[name] for name in ("OnDemandThroughput",) if index.get(name)} | _warm(index)
        for name, setting in of_index.items():
            form.setdefault(f"indexes.{name}", {})[index["IndexName"]] = setting
    return form


def _warm(part: Json) -> Json:
    """The warm throughput of a table or an index, where it is not what everyone has."""
    given = part.get("WarmThroughput") or {}
    units = [given.get("ReadUnitsPerSecond"), given.get("WriteUnitsPerSecond")]
    throughput = part.get("ProvisionedThroughput", {})
    provisioned = [throughput.get("ReadCapacityUnits"), throughput.get("WriteCapacityUnits")]
    return {} if not given or units in (_WARM_ANYHOW, provisioned) else {"WarmThroughput": units}


def _reason(reason: Json) -> Json:
    form = dict(reason)
    if "Message" in form:
        form["Message"] = message_form(form["Message"] or "")
    if "Item" in form:
        form["Item"] = canonical_item(form["Item"])
    return {name: value for name, value in form.items() if value not in (None, "")}


def message_form(text: str) -> str:
    """An error's text without what differs between the service's own regions and releases.

    The prefix that newer layers put before hand-written texts is taken out, and so are values that are printed with
    the hash of an object; the faults of a list, whose order follows no rule, are sorted.
    """
    text = _PREFIX.sub("", text)
    if not _ENVELOPE.match(text):
        return _LISTED.sub(lambda match: f"{match[1]}[{', '.join(sorted(match[2].split(', ')))}]", text)
    faults = [f"{_path(match['path'] or '')}: {match['constraint']}" for match in _CONSTRAINT.finditer(text)]
    return "; ".join(sorted(faults)) if faults else text


def _path(path: str) -> str:
    return ".".join(part[:1].lower() + part[1:] for part in path.split("."))


def in_order(values: Iterable[Any]) -> list[Any]:
    """The values in an order that depends on nothing but themselves, and not on how their numbers are written."""
    return sorted(values, key=lambda value: json.dumps(by_value(value), sort_keys=True))


def canonical_item(item: Json) -> Json:
    """An item with its sets in order."""
    return {name: canonical(value) for name, value in item.items()}


def canonical(value: Any) -> Any:
    """An attribute value with its sets in order; what is no value stays what it is."""
    if not isinstance(value, dict) or len(value) != 1:
        return value
    kind, inner = next(iter(value.items()))
    if kind in _SETS:
        return {kind: sorted(inner)}
    if kind == "L":
        return {"L": [canonical(element) for element in inner]}
    if kind == "M":
        return {"M": canonical_item(inner)}
    return value


def by_value(part: Any) -> Any:
    """A part of an answer with every number in it as its value instead of its text."""
    if isinstance(part, list):
        return [by_value(element) for element in part]
    if not isinstance(part, dict):
        return part
    if len(part) == 1 and isinstance(part.get("N"), str):
        return {"N": _number(part["N"])}
    if len(part) == 1 and isinstance(part.get("NS"), list):
        return {"NS": sorted(_number(member) for member in part["NS"])}
    return {name: by_value(value) for name, value in part.items()}


def _number(text: str) -> str:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text
    return str(number.normalize(_EXACT)) if number else "0"


#: Members in which something is free: the order, or what everybody has of his own.
_FREE: dict[str, Callable[[Any], Any]] = {
    "Tags": in_order,
    "Endpoints": _endpoints,
    "NextToken": lambda _: "a token",
}
