"""Names, URLs and ARNs of queues."""

from __future__ import annotations

import re
from typing import Final

from tenet.queues.errors import InvalidParameterValue, QueueDoesNotExist
from tenet.queues.model import FIFO_SUFFIX

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")
_FIFO_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,75}\.fifo")
_URL: Final = re.compile(r"(?:(?:[a-z]+://[^/?#]+)?/?([0-9]{12})/)?([A-Za-z0-9_.-]{1,80})/?")
_ARN: Final = re.compile(r"arn:aws[a-z-]*:sqs:([a-z0-9-]+):([0-9]{12}):([A-Za-z0-9_.-]{1,80})")

_NAME_PROBLEM: Final = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
_FIFO_NAME_PROBLEM: Final = (
    "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, "
    "must end with .fifo suffix and be 1 to 80 in length."
)


def check_name(name: str, *, is_fifo: bool) -> None:
    """Refuses what cannot be the name of a new queue.

    Args:
        name: as in the request.
        is_fifo: whether the attribute FifoQueue asks for a FIFO queue.

    Raises:
        InvalidParameterValue: it cannot be.
    """
    if is_fifo:
        if not _FIFO_NAME.fullmatch(name):
            raise InvalidParameterValue(_FIFO_NAME_PROBLEM)
    elif not _NAME.fullmatch(name):
        raise InvalidParameterValue(_NAME_PROBLEM)


def may_exist(name: str) -> bool:
    """Whether a queue may have this name at all."""
    return (_FIFO_NAME if name.endswith(FIFO_SUFFIX) else _NAME).fullmatch(name) is not None


def read_url(url: str) -> tuple[str, str]:
    """Returns account and name of the queue that a URL names; the account is empty where there is just a name.

    Scheme and host do not matter, and may be missing.

    Raises:
        QueueDoesNotExist: it names none.
    """
    found = _URL.fullmatch(url)
    if found is None:
        raise QueueDoesNotExist
    return found[1] or "", found[2]


def read_arn(arn: str) -> tuple[str, str, str] | None:
    """Returns region, account and name of the queue that an ARN names; None where it names none."""
    found = _ARN.fullmatch(arn)
    return None if found is None else (found[1], found[2], found[3])


def queue_url(base: str, account: str, name: str) -> str:
    """Returns the URL of a queue.

    Args:
        base: scheme and host, for instance ``https://127.0.0.1:8000``.
        account: that the queue belongs to.
        name: of the queue.
    """
    return f"{base}/{account}/{name}"
