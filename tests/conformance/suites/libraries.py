"""Libraries on DynamoDB and SQS that are published with their own tests, and which of those fail against Tenet.

A failure may be here, with its reason, where the suite assumes what the service does not do. Everything else is a
defect of Tenet.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.conformance.packages import AIODYNAMO, GO_TABLES, NODE, TASKIQ_AIO_SQS


@dataclass(frozen=True)
class Library:
    """A library and its suite.

    Args:
        name: as its registry has it.
        version: the one that is tested.
        language: what it is written in.
        what: what it is.
        tests: how many tests its suite has, without those that are left out.
        known: those that fail, by name, with the reason.
        left_out: those that would say nothing of Tenet, as pytest's ``--deselect`` names them, with the reason.
    """

    name: str
    version: str
    language: str
    what: str
    tests: int
    known: Mapping[str, str]
    left_out: Mapping[str, str] = field(default_factory=dict)


def _of_go(module: str) -> str:
    """The version of a module, as go.mod has it."""
    text = (GO_TABLES / "go.mod").read_text(encoding="utf-8")
    found = re.search(rf"^\s*{re.escape(module)} v(\S+)$", text, re.MULTILINE)
    assert found is not None, module
    return found[1]


def _of_node(name: str) -> str:
    """The version of a package, as package.json has it."""
    version: str = json.loads((NODE / "package.json").read_text(encoding="utf-8"))["dependencies"][name]
    return version


_EMPTY_STRING = (
    "expects that `SET` to an empty string leaves the attribute out; the service stores empty strings that are no key "
    "since May 2020, and aiodynamo sends it"
)
_DECREASES = (
    "expects the throughput of an index without `NumberOfDecreasesToday`, as DynamoDB Local tells it; the service has "
    "it in its answer, as the examples of its reference show"
)

DYNAMO = Library(
    "github.com/guregu/dynamo/v2",
    _of_go("github.com/guregu/dynamo/v2"),
    "Go",
    "mapper of structs with builders of expressions",
    tests=189,
    known={},
)
AIODYNAMO_LIBRARY = Library(
    "aiodynamo",
    AIODYNAMO.version.partition("-")[0],
    "Python",
    "asynchronous client that signs and encodes by itself, over httpx and over aiohttp",
    tests=126,
    known={
        f"tests.integration.test_client test_empty_string[single-{transport}]": _EMPTY_STRING
        for transport in ("httpx", "aiohttp")
    },
)
CONNECT_DYNAMODB = Library(
    "connect-dynamodb",
    _of_node("connect-dynamodb"),
    "JavaScript",
    "store of sessions for Express, on the SDK 3",
    tests=14,
    known={},
)
_ORDER = (
    "expects attribute definitions in the order of the request, as DynamoDB Local has them; the service has them in "
    "that of their names, as the examples of its reference show"
)
DYNOGELS = Library(
    "dynogels",
    _of_node("dynogels"),
    "JavaScript",
    "mapper of models with schemas, on the SDK 2",
    tests=82,
    known={
        f"Create Tables Integration Tests should create table with {what}": _DECREASES
        for what in ("global index", "global index with optional settings", "global and local indexes")
    }
    | {
        f"Create Tables Integration Tests should create table with {what}": _ORDER
        for what in (
            "hash and range key",
            "local secondary index",
            "local secondary index with custom projection",
        )
    },
)
#: Those on DynamoDB.
LIBRARIES = (DYNAMO, AIODYNAMO_LIBRARY, CONNECT_DYNAMODB, DYNOGELS)

_FROM_THE_ANSWER = (
    "measures a delay from the answer to the send on, and fails where the message comes to the millisecond: the delay "
    "began some milliseconds before the answer"
)
TASKIQ = Library(
    "taskiq-aio-sqs",
    TASKIQ_AIO_SQS.version.partition("-")[0],
    "Python",
    "broker of taskiq, a queue of asynchronous tasks, on aiobotocore",
    tests=127,
    known={},
    left_out={
        f"tests/test_listen.py::test_listen_with_delay_seconds{end}": _FROM_THE_ANSWER for end in ("", "_as_label")
    }
    | {"tests/test_backend.py": "keeps results of tasks in S3, and asks no queue"},
)
#: Those on SQS.
QUEUE_LIBRARIES = (TASKIQ,)
