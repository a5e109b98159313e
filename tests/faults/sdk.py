"""An AWS SDK, unchanged but for being watched: what became of every request that it sent, its own retries included.

Botocore tells of each request before it is sent and of each answer before it decides about another try
(https://boto3.amazonaws.com/v1/documentation/api/latest/guide/events.html); both are noted and nothing is altered.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ProxyConnectionError,
)

from tests.faults.history import Attempt, Fate, Outcome

#: Nothing was sent: there was nobody to send it to.
_NEVER_SENT = (EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError)
#: Answers that a request gets instead of its effect. Every other error may come after the effect.
REFUSALS = frozenset(
    {
        "ConditionalCheckFailedException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ResourceNotFoundException",
        "ThrottlingException",
        "TransactionCanceledException",
        "TransactionConflictException",
        "TransactionInProgressException",
        "ValidationException",
    }
)
#: What Tenet says with an error after which a client may rely on it that there was, and will be, no effect.
_NOTHING_WRITTEN = "Nothing was written"
#: What a client is told as a part of its work, with nothing broken.
EXPECTED = frozenset(
    {"ConditionalCheckFailedException", "TransactionCanceledException", "TransactionConflictException"}
)


@dataclass(frozen=True)
class Answer:
    """What a call of the SDK led to.

    Args:
        attempts: its requests, oldest first; at least one.
        value: the parsed answer, or None.
        error: code of the last attempt's error; empty where there was none.
        response: the parsed error, where there was an answer.
    """

    attempts: tuple[Attempt, ...]
    value: dict[str, Any] | None
    error: str = ""
    response: Mapping[str, Any] | None = None

    @property
    def outcome(self) -> Outcome:
        """What is known where each attempt stands for itself."""
        if self.value is not None:
            return "ok"
        return "info" if self.attempts[-1].fate == "unknown" else "fail"

    @property
    def outcome_with_token(self) -> Outcome:
        """What is known where a token makes all attempts one request."""
        if self.value is not None:
            return "ok"
        return "info" if any(attempt.fate == "unknown" for attempt in self.attempts) else "fail"


class Sdk:
    """A client of the DynamoDB API that any number of threads may use.

    Args:
        endpoint: URL of what is spoken to.
        credentials: ``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY``.
        region: the region that is signed for.
        ca_file: certificates to trust, as PEM; None where the endpoint speaks http.
        connections: how many requests may be under way.
        settings: further settings of ``botocore.config.Config``; its standard retries unless they say otherwise.
    """

    def __init__(
        self,
        endpoint: str,
        credentials: Mapping[str, str],
        *,
        region: str = "us-east-1",
        ca_file: str | None = None,
        connections: int = 10,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        options: dict[str, Any] = {"retries": {"mode": "standard"}, "max_pool_connections": connections}
        session = boto3.Session(
            aws_access_key_id=credentials["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=credentials["AWS_SECRET_ACCESS_KEY"],
            region_name=region,
        )
        self.client = session.client(
            "dynamodb",
            endpoint_url=endpoint,
            verify=ca_file or False,
            config=Config(**(options | dict(settings or {}))),
        )
        self._of_thread = threading.local()
        self.client.meta.events.register_first("before-send.dynamodb", self._sends)
        self.client.meta.events.register_first("needs-retry.dynamodb", self._answered)

    def call(self, method: str, **arguments: Any) -> Answer:
        """Calls a method of the client and returns what it led to; raises nothing that a store can cause."""
        attempts: list[Attempt] = []
        self._of_thread.attempts = attempts
        try:
            value = getattr(self.client, method)(**arguments)
        except ClientError as error:
            return Answer(tuple(attempts), None, error.response["Error"]["Code"], error.response)
        except BotoCoreError as error:
            if not attempts:
                raise  # the request was never made: a mistake of the caller
            return Answer(tuple(attempts), None, type(error).__name__)
        return Answer(tuple(attempts), value)

    def must(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Calls a method until it is answered, for a minute at the most; for what is safe to repeat."""
        until = time.monotonic() + 60
        while True:
            answer = self.call(method, **arguments)
            if answer.value is not None:
                return answer.value
            if time.monotonic() >= until:
                raise TimeoutError(f"{method} got no answer within a minute, at last {answer.error}")
            time.sleep(0.1)

    def _sends(self, **_event: Any) -> None:
        self._of_thread.begin_ns = time.monotonic_ns()

    def _answered(self, response: Any, caught_exception: Exception | None, **_event: Any) -> None:
        fate, error = judge(response, caught_exception)
        self._of_thread.attempts.append(Attempt(self._of_thread.begin_ns, time.monotonic_ns(), fate, error))


def judge(response: tuple[Any, Mapping[str, Any]] | None, exception: Exception | None) -> tuple[Fate, str]:
    """Returns what became of a request, and the error's name."""
    if exception is not None:
        return ("refused" if isinstance(exception, _NEVER_SENT) else "unknown"), type(exception).__name__
    assert response is not None
    http, parsed = response
    if http.status_code < 300:
        return "ok", ""
    error = parsed.get("Error", {})
    code = str(error.get("Code", http.status_code))
    is_refusal = code in REFUSALS or _NOTHING_WRITTEN in error.get("Message", "")
    return ("refused" if is_refusal else "unknown"), code
