"""RedrivePolicy and RedriveAllowPolicy: which queue takes the dead letters of which.

Source: Amazon SQS API Reference, SetQueueAttributes; Developer Guide, "Using dead-letter queues".
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from tenet.queues.errors import InvalidAttributeValue, InvalidParameterValue
from tenet.queues.model import Queue, RedrivePolicy
from tenet.queues.rules.addresses import read_arn

_REDRIVE: Final = "RedrivePolicy"
_ALLOW: Final = "RedriveAllowPolicy"
RECEIVES_MAX: Final = 1_000
_SOURCES_MAX: Final = 10
_DIGITS: Final = re.compile(r"[0-9]{1,10}")
_FIELDS: Final = frozenset({"deadLetterTargetArn", "maxReceiveCount"})
_ALLOW_FIELDS: Final = frozenset({"redrivePermission", "sourceQueueArns"})
_ALLOW_ALL: Final = "allowAll"
_BY_QUEUE: Final = "byQueue"
_PERMISSIONS: Final = frozenset({_ALLOW_ALL, "denyAll", _BY_QUEUE})
_UNSUPPORTED: Final = (
    "Amazon SQS can't create the redrive allow policy, as it\N{RIGHT SINGLE QUOTATION MARK}s in an unsupported format."
)
_CANNOT: Final = "Amazon SQS can't create the redrive allow policy. "


def read_redrive(text: str) -> RedrivePolicy | None:
    """Returns what a RedrivePolicy says; None where it is empty, which removes it.

    Raises:
        QueuesError: it says nothing that can be.
    """
    if not text:
        return None
    policy = _object(text)
    if policy is None:
        raise InvalidAttributeValue.of(_REDRIVE, "Redrive policy is not a valid JSON map.")
    for field in ("maxReceiveCount", "deadLetterTargetArn"):
        if field not in policy:
            raise _refused(text, f"Redrive policy does not contain mandatory attribute: {field}.")
    if not policy.keys() <= _FIELDS:
        raise _refused(text, "Only following attributes are supported: [deadLetterTargetArn, maxReceiveCount].")
    count = policy["maxReceiveCount"]
    if not _DIGITS.fullmatch(str(count)) or not 1 <= int(count) <= RECEIVES_MAX:
        raise _refused(
            text,
            f"Invalid value for maxReceiveCount: {count}, valid values are from 1 to {RECEIVES_MAX} both inclusive.",
        )
    target = policy["deadLetterTargetArn"]
    if not isinstance(target, str) or not target.startswith("arn:"):
        raise _refused(text, "Invalid value for deadLetterTargetArn.")
    if read_arn(target) is None:
        raise _refused(text, "Only SQS queues are valid resources for deadLetterTargetArn.")
    return RedrivePolicy(target, int(count))


def check_target(text: str, account: str, name: str, region: str, target: Queue | None) -> None:
    """Refuses a dead-letter queue that cannot be one, or does not want to be this queue's.

    Args:
        text: the RedrivePolicy as it was given.
        account: of the source.
        name: of the source.
        region: of the source.
        target: the dead-letter queue; None: there is none.

    Raises:
        InvalidParameterValue: it cannot be.
    """
    if target is None:
        raise _refused(text, "Dead letter target does not exist.")
    if target.is_fifo != name.endswith(".fifo"):
        raise _refused(text, "Dead-letter queue must be same type of queue as the source..")
    source = f"arn:aws:sqs:{region}:{account}:{name}"
    if not is_allowed(target, source):
        raise _refused(text, f"Queue {source} does not have permission to use {target.arn} as its dead-letter queue.")


def check_address(text: str, account: str, region: str, arn: str) -> tuple[str, str]:
    """Returns account and name of a dead-letter queue.

    Args:
        text: the RedrivePolicy as it was given.
        account: of the source.
        region: of the source.
        arn: of the target, from `read_redrive`.

    Raises:
        InvalidParameterValue: it is not of the same account and region.
    """
    found = read_arn(arn)
    assert found is not None
    if found[0] != region:
        raise _refused(text, "Dead-letter target must be in same region as the source.")
    if found[1] != account:
        raise _refused(text, "Dead-letter target owner should be same as the source.")
    return found[1], found[2]


def redrive_text(policy: RedrivePolicy | None) -> str:
    """Returns a RedrivePolicy as it is shown; empty for none."""
    if policy is None:
        return ""
    shown = {"deadLetterTargetArn": policy.target, "maxReceiveCount": policy.receives_max}
    return orjson.dumps(shown).decode()


def read_redrive_allow(text: str) -> str:
    """Returns a RedriveAllowPolicy as it is kept and shown; empty for none.

    Raises:
        QueuesError: it says nothing that can be.
    """
    if not text:
        return ""
    policy = _object(text)
    sources = [] if policy is None else policy.get("sourceQueueArns", [])
    if policy is None or not policy.keys() <= _ALLOW_FIELDS or not _is_list_of_texts(sources):
        raise InvalidAttributeValue.of(_ALLOW, _UNSUPPORTED)
    permission = policy.get("redrivePermission")
    if permission not in _PERMISSIONS:
        raise InvalidAttributeValue.of(_ALLOW, _UNSUPPORTED)
    problem = _problem_of_sources(permission, sources)
    if problem:
        raise InvalidParameterValue.of(_ALLOW, text, _CANNOT + problem)
    shown: dict[str, Any] = {"redrivePermission": permission}
    if sources:
        shown["sourceQueueArns"] = sources
    return orjson.dumps(shown).decode()


def _problem_of_sources(permission: str, sources: list[str]) -> str:
    if permission == _BY_QUEUE and not sources:
        return "When you specify the byQueue permission type, you must also specify one or more sourceQueueArns values."
    if permission != _BY_QUEUE and sources:
        return "To specify one or more source queue ARNs, you must set redrivePermission to byQueue."
    if len(sources) > _SOURCES_MAX:
        return f"The maximum number of source queue ARNs you can specify is {_SOURCES_MAX}."
    if any(read_arn(source) is None for source in sources):
        return "Only SQS queues are valid source queues."
    return ""


def is_allowed(target: Queue, source: str) -> bool:
    """Whether a queue lets another one use it as its dead-letter queue.

    Args:
        target: the dead-letter queue.
        source: ARN of the other one.
    """
    if not target.settings.redrive_allow:
        return True
    policy = orjson.loads(target.settings.redrive_allow)
    permission = policy["redrivePermission"]
    return permission == _ALLOW_ALL or (permission == _BY_QUEUE and source in policy["sourceQueueArns"])


def _refused(text: str, reason: str) -> InvalidParameterValue:
    return InvalidParameterValue.of(_REDRIVE, text, reason)


def _object(text: str) -> dict[str, Any] | None:
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(element, str) for element in value)
