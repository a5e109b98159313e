"""The attributes of queues: what they may be set to, and how they read.

Source: Amazon SQS API Reference, CreateQueue, SetQueueAttributes and GetQueueAttributes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import msgspec

from tenet.queues.errors import InvalidAttributeName, InvalidAttributeValue, QueueNameExists
from tenet.queues.model import MESSAGE_BYTES_MAX, Figures, Queue, Settings
from tenet.queues.rules.policy_checks import check_policy
from tenet.queues.rules.redrive import read_redrive, read_redrive_allow, redrive_text

#: Reads the text of an attribute; raises InvalidAttributeValue or InvalidParameterValue.
_Reader: TypeAlias = Callable[[str, str], object]

#: Id, ARN or alias of a key (AWS KMS API Reference, KeyId); empty for none.
_KEY: Final = re.compile(r"[!-~]{0,2048}")
_DIGITS: Final = re.compile(r"[0-9]{1,10}")
_ONE_ENCRYPTION: Final = (
    "You can use one type of server-side encryption (SSE) at one time. You can either enable KMS SSE or SQS SSE."
)
_BOOLEANS: Final = {"true": True, "false": False}
_GROUP: Final = "messageGroup"
_PER_GROUP: Final = "perMessageGroupId"


def _integer(least: int, most: int) -> _Reader:
    def read(name: str, text: str) -> int:
        if not _DIGITS.fullmatch(text) or not least <= int(text) <= most:
            raise InvalidAttributeValue.of(name)
        return int(text)

    return read


def _boolean(name: str, text: str) -> bool:
    value = _BOOLEANS.get(text.lower())
    if value is None:
        raise InvalidAttributeValue.of(name)
    return value


def _one_of(*values: str) -> _Reader:
    def read(name: str, text: str) -> str:
        if text not in values:
            raise InvalidAttributeValue.of(name)
        return text

    return read


def _key(name: str, text: str) -> str:
    if not _KEY.fullmatch(text):
        raise InvalidAttributeValue.of(name)
    return text


#: Field of the settings and reader, by attribute.
_SETTABLE: Final[Mapping[str, tuple[str, _Reader]]] = {
    "DelaySeconds": ("delay_s", _integer(0, 900)),
    "MaximumMessageSize": ("maximum_message_bytes", _integer(1_024, MESSAGE_BYTES_MAX)),
    "MessageRetentionPeriod": ("retention_s", _integer(60, 1_209_600)),
    "ReceiveMessageWaitTimeSeconds": ("wait_s", _integer(0, 20)),
    "VisibilityTimeout": ("visibility_s", _integer(0, 43_200)),
    "Policy": ("policy", lambda _, text: text),
    "RedrivePolicy": ("redrive", lambda _, text: read_redrive(text)),
    "RedriveAllowPolicy": ("redrive_allow", lambda _, text: read_redrive_allow(text)),
    "KmsMasterKeyId": ("kms_key_id", _key),
    "KmsDataKeyReusePeriodSeconds": ("kms_reuse_s", _integer(60, 86_400)),
    "SqsManagedSseEnabled": ("is_sse", _boolean),
}
_SETTABLE_OF_FIFO: Final[Mapping[str, tuple[str, _Reader]]] = {
    "ContentBasedDeduplication": ("content_based_deduplication", _boolean),
    "DeduplicationScope": ("deduplication_scope", _one_of("queue", _GROUP)),
    "FifoThroughputLimit": ("throughput_limit", _one_of("perQueue", _PER_GROUP)),
}
FIFO_QUEUE: Final = "FifoQueue"


def asks_for_fifo(attributes: Mapping[str, str]) -> bool:
    """Whether the attributes of a new queue ask for a FIFO queue.

    Raises:
        InvalidAttributeValue: FifoQueue is no truth value.
    """
    text = attributes.get(FIFO_QUEUE)
    return text is not None and _boolean(FIFO_QUEUE, text)


def read_settings(before: Queue, attributes: Mapping[str, str], *, is_new: bool) -> Settings:
    """Returns the settings of a queue once attributes are set.

    Args:
        before: the queue as it is.
        attributes: texts by name, as in the request.
        is_new: whether the queue is being made.

    Raises:
        QueuesError: an attribute cannot be set, or not to this; those names come first that the API does not have.
    """
    for attribute in attributes:
        _check_settable(attribute, is_fifo=before.is_fifo, is_new=is_new)
    changes: dict[str, object] = {}
    for attribute, text in attributes.items():
        if attribute == FIFO_QUEUE:
            continue
        field, read = _SETTABLE.get(attribute) or _SETTABLE_OF_FIFO[attribute]
        changes[field] = read(attribute, text)
        if attribute == "Policy" and text:
            check_policy(text, before.arn)
    settings = msgspec.structs.replace(before.settings, **_encrypted(changes))
    if settings.throughput_limit == _PER_GROUP and settings.deduplication_scope != _GROUP:
        raise InvalidAttributeValue(
            "The perMessageGroupId value is allowed only when the value for DeduplicationScope is messageGroup"
        )
    return settings


def _check_settable(attribute: str, *, is_fifo: bool, is_new: bool) -> None:
    if attribute in _SETTABLE or (is_fifo and attribute in _SETTABLE_OF_FIFO):
        return
    if attribute == FIFO_QUEUE and is_fifo:
        if is_new:
            return
        raise InvalidAttributeValue.of(FIFO_QUEUE, "Modifying queue type is not supported.")
    if attribute in {"DeduplicationScope", "FifoThroughputLimit"}:
        raise InvalidAttributeName(f"You can specify the {attribute} only when FifoQueue is set to true.")
    raise unknown_attribute(attribute)


def unknown_attribute(attribute: str) -> InvalidAttributeName:
    """Returns the error for an attribute that there is not, in the service's words."""
    return InvalidAttributeName(f"Unknown Attribute {attribute}.")


def _encrypted(changes: dict[str, object]) -> dict[str, object]:
    """Completes changes by what one way of encryption says about the other."""
    if changes.get("kms_key_id"):
        if changes.get("is_sse"):
            raise InvalidAttributeName(_ONE_ENCRYPTION)
        return changes | {"is_sse": False}
    if changes.get("is_sse"):
        return changes | {"kms_key_id": ""}
    return changes


def compare(queue: Queue, attributes: Mapping[str, str], wanted: Settings) -> None:
    """Refuses to make a queue that exists with other attributes.

    Args:
        queue: that exists.
        attributes: of the request; others are not compared.
        wanted: what they mean.

    Raises:
        QueueNameExists: one differs; the first in the order of the request.
    """
    for attribute in attributes:
        if attribute == FIFO_QUEUE:
            continue
        field, _ = _SETTABLE.get(attribute) or _SETTABLE_OF_FIFO[attribute]
        if getattr(queue.settings, field) != getattr(wanted, field):
            raise QueueNameExists(
                f"A queue already exists with the same name and a different value for attribute {attribute}"
            )


# ---- reading ---------------------------------------------------------------------------------------------------------


_Text: TypeAlias = Callable[[Queue, Figures], str]


def _flag(value: bool) -> str:  # noqa: FBT001 (it is what is shown)
    return "true" if value else "false"


#: How each attribute reads; "" where a queue does not have it.
_TEXTS: Final[Mapping[str, _Text]] = {
    "ApproximateNumberOfMessages": lambda _, figures: str(figures.visible),
    "ApproximateNumberOfMessagesDelayed": lambda _, figures: str(figures.delayed),
    "ApproximateNumberOfMessagesNotVisible": lambda _, figures: str(figures.in_flight),
    "CreatedTimestamp": lambda queue, _: str(queue.created_ms // 1000),
    "DelaySeconds": lambda queue, _: str(queue.settings.delay_s),
    "LastModifiedTimestamp": lambda queue, _: str(queue.modified_ms // 1000),
    "MaximumMessageSize": lambda queue, _: str(queue.settings.maximum_message_bytes),
    "MessageRetentionPeriod": lambda queue, _: str(queue.settings.retention_s),
    "QueueArn": lambda queue, _: queue.arn,
    "ReceiveMessageWaitTimeSeconds": lambda queue, _: str(queue.settings.wait_s),
    "VisibilityTimeout": lambda queue, _: str(queue.settings.visibility_s),
    "Policy": lambda queue, _: queue.settings.policy,
    "RedrivePolicy": lambda queue, _: redrive_text(queue.settings.redrive),
    "RedriveAllowPolicy": lambda queue, _: queue.settings.redrive_allow,
    "KmsMasterKeyId": lambda queue, _: queue.settings.kms_key_id,
    "KmsDataKeyReusePeriodSeconds": lambda queue, _: (
        str(queue.settings.kms_reuse_s) if queue.settings.kms_key_id else ""
    ),
    "SqsManagedSseEnabled": lambda queue, _: _flag(queue.settings.is_sse),
    FIFO_QUEUE: lambda queue, _: "true" if queue.is_fifo else "",
    "ContentBasedDeduplication": lambda queue, _: (
        _flag(queue.settings.content_based_deduplication) if queue.is_fifo else ""
    ),
    "DeduplicationScope": lambda queue, _: queue.settings.deduplication_scope if queue.is_fifo else "",
    "FifoThroughputLimit": lambda queue, _: queue.settings.throughput_limit if queue.is_fifo else "",
}
_ALL: Final = "All"
_FIGURES: Final = frozenset(name for name in _TEXTS if name.startswith("ApproximateNumber"))


def asked_attributes(names: list[str]) -> list[str]:
    """Returns which attributes a request asks for.

    Raises:
        InvalidAttributeName: the API has no such attribute.
    """
    for name in names:
        if name != _ALL and name not in _TEXTS:
            raise unknown_attribute(name)
    return list(_TEXTS) if _ALL in names else names


def needs_figures(names: list[str]) -> bool:
    """Whether attributes say how many messages there are."""
    return not _FIGURES.isdisjoint(names)


def attribute_texts(queue: Queue, figures: Figures, names: list[str]) -> dict[str, str]:
    """Returns attributes of a queue as texts, without those that it does not have.

    Args:
        queue: the queue.
        figures: how many messages it has.
        names: as `asked_attributes` returned them.
    """
    texts = {name: _TEXTS[name](queue, figures) for name in names}
    return {name: text for name, text in texts.items() if text}
