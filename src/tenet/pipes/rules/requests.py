"""What a request may ask of a pipe: shapes, bounds, and what of the API is not there.

Source: the API's model in botocore 1.40 (service ``pipes``, 2015-10-07). What a pipe cannot do here is refused by name,
and nothing is taken and then ignored, but for the role, which is kept and told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from tenet.pipes.errors import ValidationException
from tenet.pipes.model import BATCH_SIZE
from tenet.pipes.rules.paths import read_path
from tenet.pipes.rules.patterns import compile_pattern

_NAME: Final = re.compile(r"[.\-_A-Za-z0-9]{1,64}")
_ROLE: Final = re.compile(r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z0-9+=,.@\-_/]+")
_TABLE: Final = re.compile(r"arn:aws[a-z-]*:dynamodb:([a-z0-9-]+):([0-9]{12}):table/([A-Za-z0-9_.-]{3,255})")
_QUEUE: Final = re.compile(r"arn:aws[a-z-]*:sqs:([a-z0-9-]+):([0-9]{12}):([A-Za-z0-9_.-]{1,80})")
_ARN_CHARS_MAX: Final = 1600
_DESCRIPTION_CHARS_MAX: Final = 512
_PARAMETER_CHARS_MAX: Final = 100
_PATTERN_CHARS_MAX: Final = 4096
_FILTERS_MAX: Final = 5
_BATCH_MAX: Final = 10_000
_RETRIES_MAX: Final = 10_000
_AGE_S_MIN: Final = 60
_AGE_S_MAX: Final = 604_800
_TAGS_MAX: Final = 50
_TAG_KEY_CHARS_MAX: Final = 128
_TAG_VALUE_CHARS_MAX: Final = 256
_STATES: Final = ("RUNNING", "STOPPED")
_POSITIONS: Final = ("LATEST", "TRIM_HORIZON")

_NOT_HERE: Final = "is not available: a pipe takes changes of a table to a queue as they are."
_STREAM: Final = "DynamoDBStreamParameters"
_QUEUE_TARGET: Final = "SqsQueueParameters"
_SOURCE: Final = "SourceParameters"
_TARGET: Final = "TargetParameters"
_SOURCE_WORDS: Final = (
    "a source is the ARN of a table, arn:aws:dynamodb:REGION:ACCOUNT:table/NAME, without /stream/ behind it"
)

_OF_CREATE: Final = frozenset({"Description", "DesiredState", "RoleArn", "Source", _SOURCE, "Tags", "Target", _TARGET})
_OF_UPDATE: Final = _OF_CREATE - {"Source", "Tags"}
_OF_STREAM: Final = frozenset({"BatchSize", "MaximumRecordAgeInSeconds", "MaximumRetryAttempts", "StartingPosition"})


class SourceWanted(Struct, frozen=True):
    """What a request says about the source of a pipe; members as ``model.Pipe`` has them."""

    starting: str
    batch_size: int
    retries_max: int
    age_s_max: int
    filters: tuple[str, ...]
    given: dict[str, Any]


class TargetWanted(Struct, frozen=True):
    """What a request says about the target of a pipe; members as ``model.Pipe`` has them."""

    group: str
    deduplication: str
    given: dict[str, Any]


def check_name(name: str) -> str:
    """Returns a pipe's name.

    Raises:
        ValidationException: no pipe can have it.
    """
    if not _NAME.fullmatch(name):
        raise ValidationException.of("Name", "has 1 to 64 letters, digits, full stops, hyphens and underscores")
    return name


def check_members(request: Mapping[str, Any], *, is_new: bool) -> None:
    """Refuses a request that asks for what pipes do not do, or gives no role.

    Args:
        request: the parsed body of CreatePipe or UpdatePipe.
        is_new: whether a pipe is made.

    Raises:
        ValidationException: it does.
    """
    _only(request, _OF_CREATE if is_new else _OF_UPDATE, "")
    role = text_of(request, "RoleArn", chars_max=_ARN_CHARS_MAX)
    if not _ROLE.fullmatch(role):
        raise ValidationException.of("RoleArn", "is the ARN of a role, such as arn:aws:iam::000000000000:role/pipes")


def table_named(arn: str, account: str) -> str:
    """Returns the name of the table that an ARN names.

    Raises:
        ValidationException: it names none, or one of another account.
    """
    found = _TABLE.fullmatch(arn)
    if found is None:
        raise ValidationException.of("Source", f"'{arn[:200]}' is no source: {_SOURCE_WORDS}")
    if found[2] != account:
        raise ValidationException.of("Source", "the table belongs to another account")
    return found[3]


def queue_named(arn: str) -> tuple[str, str]:
    """Returns account and name of the queue that an ARN names.

    Raises:
        ValidationException: it names none.
    """
    found = _QUEUE.fullmatch(arn)
    if found is None:
        raise ValidationException.of(
            "Target", f"'{arn[:200]}' is no target: it is the ARN of a queue, arn:aws:sqs:REGION:ACCOUNT:NAME"
        )
    return found[2], found[3]


def source_wanted(request: Mapping[str, Any], *, starting: str | None) -> SourceWanted:
    """Returns what a request says about the source.

    Args:
        request: the parsed body.
        starting: where the pipe has started; None where it is made by this request.

    Raises:
        ValidationException: that cannot be.
    """
    given = structure_of(request, _SOURCE)
    _only(given, {"FilterCriteria", _STREAM}, _SOURCE + ".")
    stream, field = structure_of(given, _STREAM, _SOURCE + "."), f"{_SOURCE}.{_STREAM}."
    _only(stream, _OF_STREAM if starting is None else _OF_STREAM - {"StartingPosition"}, field)
    if starting is None:
        starting = text_of(stream, "StartingPosition", field)
        if starting not in _POSITIONS:
            raise ValidationException.of(f"{field}StartingPosition", "is LATEST or TRIM_HORIZON")
    age_s_max = _number(stream, "MaximumRecordAgeInSeconds", -1, (-1, _AGE_S_MAX), field)
    if 0 <= age_s_max < _AGE_S_MIN:
        raise ValidationException.of(f"{field}MaximumRecordAgeInSeconds", f"is -1, or {_AGE_S_MIN} at least")
    return SourceWanted(
        starting,
        _number(stream, "BatchSize", BATCH_SIZE, (1, _BATCH_MAX), field),
        _number(stream, "MaximumRetryAttempts", -1, (-1, _RETRIES_MAX), field),
        age_s_max,
        _filters(given),
        {**given, _STREAM: {**stream, "StartingPosition": starting}},
    )


def _filters(given: Mapping[str, Any]) -> tuple[str, ...]:
    field = f"{_SOURCE}.FilterCriteria"
    criteria = structure_of(given, "FilterCriteria", _SOURCE + ".")
    _only(criteria, {"Filters"}, field + ".")
    filters = criteria.get("Filters") or []
    if not isinstance(filters, list) or len(filters) > _FILTERS_MAX:
        raise ValidationException.of(f"{field}.Filters", f"is a list of at most {_FILTERS_MAX} filters")
    found = []
    for one in filters:
        if not isinstance(one, dict):
            raise ValidationException.of(f"{field}.Filters", "has objects with a Pattern")
        _only(one, {"Pattern"}, f"{field}.Filters.")
        pattern = text_of(one, "Pattern", f"{field}.Filters.", chars_max=_PATTERN_CHARS_MAX)
        compile_pattern(pattern)
        found.append(pattern)
    return tuple(found)


def target_wanted(request: Mapping[str, Any], *, is_fifo: bool) -> TargetWanted:
    """Returns what a request says about the target.

    Args:
        request: the parsed body.
        is_fifo: whether the target is a FIFO queue.

    Raises:
        ValidationException: that cannot be.
    """
    given = structure_of(request, _TARGET)
    _only(given, {_QUEUE_TARGET}, _TARGET + ".")
    queue, field = structure_of(given, _QUEUE_TARGET, _TARGET + "."), f"{_TARGET}.{_QUEUE_TARGET}."
    _only(queue, {"MessageGroupId", "MessageDeduplicationId"}, field)
    values = []
    for name in ("MessageGroupId", "MessageDeduplicationId"):
        value = text_of(queue, name, field, default="", chars_max=_PARAMETER_CHARS_MAX)
        read_path(value, field + name)
        values.append(value)
    if values[1] and not is_fifo:
        raise ValidationException.of(f"{field}MessageDeduplicationId", "is for FIFO queues, and the target is none")
    return TargetWanted(values[0], values[1], dict(given))


def state_wanted(request: Mapping[str, Any], default: str) -> str:
    """Returns the state that a request wants a pipe to be in.

    Raises:
        ValidationException: there is no such state.
    """
    state = text_of(request, "DesiredState", default=default)
    if state not in _STATES:
        raise ValidationException.of("DesiredState", "is RUNNING or STOPPED")
    return state


def description_wanted(request: Mapping[str, Any], default: str) -> str:
    """Returns the description that a request gives a pipe.

    Raises:
        ValidationException: it is too long.
    """
    return text_of(request, "Description", default=default, chars_max=_DESCRIPTION_CHARS_MAX)


def tags_wanted(given: object, kept: Mapping[str, str]) -> dict[str, str]:
    """Returns the tags that a pipe has when some were added.

    Args:
        given: those that are added, by key.
        kept: those that it has.

    Raises:
        ValidationException: they are no tags, or too many.
    """
    if not isinstance(given, dict):
        raise ValidationException.of("tags", "is an object of texts")
    for key, value in given.items():
        if not isinstance(value, str) or len(value) > _TAG_VALUE_CHARS_MAX or not 1 <= len(key) <= _TAG_KEY_CHARS_MAX:
            raise ValidationException.of(
                "tags", f"have keys of 1 to {_TAG_KEY_CHARS_MAX} characters and texts of up to {_TAG_VALUE_CHARS_MAX}"
            )
    tags = {**kept, **given}
    if len(tags) > _TAGS_MAX:
        raise ValidationException.of("tags", f"a pipe has at most {_TAGS_MAX}")
    return tags


# ---- members ---------------------------------------------------------------------------------------------------------


def text_of(
    given: Mapping[str, Any], name: str, where: str = "", *, default: str | None = None, chars_max: int = _ARN_CHARS_MAX
) -> str:
    """Returns a member that is a text.

    Args:
        given: the structure.
        name: of the member.
        where: the structure stands, with a dot behind it.
        default: what it is where it is missing; None: it must not be.
        chars_max: how long it may be.

    Raises:
        ValidationException: it is none, is missing or too long.
    """
    value = given.get(name)
    if value is None:
        if default is None:
            raise ValidationException.of(where + name, "is missing")
        return default
    if not isinstance(value, str) or len(value) > chars_max:
        raise ValidationException.of(where + name, f"is a text of at most {chars_max} characters")
    return value


def structure_of(given: Mapping[str, Any], name: str, where: str = "") -> dict[str, Any]:
    """Returns a member that is a structure; an empty one where it is missing.

    Raises:
        ValidationException: it is none.
    """
    value = given.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValidationException.of(where + name, "is an object")
    return value


def _number(given: Mapping[str, Any], name: str, default: int, within: tuple[int, int], where: str) -> int:
    value = given.get(name, default)
    least, most = within
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValidationException.of(where + name, f"is a number from {least} to {most}")
    return value


def _only(given: Mapping[str, Any], known: set[str] | frozenset[str], where: str) -> None:
    """Refuses members that mean nothing here; those that say nothing are let pass."""
    for name, value in given.items():
        if name not in known and value not in (None, "", {}, []):
            raise ValidationException.of(where + name, f"{where}{name} {_NOT_HERE}")
