"""Whatever is asked is answered, or refused as the sender's fault: never is it ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from tenet.base.clock import ManualClock
from tenet.base.ids import SeededIds
from tenet.queues.api import Queues
from tenet.queues.rules.shapes import REQUESTS, Shape
from tenet.store.memory import MemoryEngine
from tenet.store.memory_state import MemoryState
from tenet.wire.door import Principal, Request, Response
from tests.rounds import examples

ACCOUNT = "111111111111"
QUEUES = ("a", "a.fifo", "b")
#: What is somewhere near to what an operation takes.
WORDS = (
    *(f"https://host/{ACCOUNT}/{name}" for name in QUEUES),
    *(f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}" for name in QUEUES),
    *QUEUES,
    "All",
    ".*",
    "String",
    "Number.x",
    "Binary",
    "AQI=",
    "AAAA",
    "Policy",
    "RedrivePolicy",
    "RedriveAllowPolicy",
    "DelaySeconds",
    "FifoQueue",
    "true",
    "perMessageGroupId",
    "SendMessage",
    ACCOUNT,
    "AWSTraceHeader",
    '{"Statement":[{"Effect":"Deny","Principal":{"AWS":[]},"Action":"sqs:*","Condition":{"Bool":{"x":[]}}}]}',
    '{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:111111111111:b","maxReceiveCount":"2"}',
    '{"redrivePermission":"byQueue","sourceQueueArns":[]}',
    "eyJ0YXNrSWQiOjEsInNvdXJjZUFybiI6Mn0=",
    "W10=",
    "-1",
    "1e400",
)

texts = st.one_of(st.sampled_from(WORDS), st.text(max_size=20), st.binary(max_size=6).map(str))
numbers = st.one_of(st.integers(-2, 50), st.integers(), st.floats(allow_nan=False, allow_infinity=False))
anything = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def of_shape(shape: Shape) -> st.SearchStrategy[Any]:
    """What has a shape, most of the time."""
    if shape.kind == "structure":
        members = {name: of_shape(member) for name, member in shape.members.items()}
        right: st.SearchStrategy[Any] = st.fixed_dictionaries({}, optional=members)
    elif shape.of is not None and shape.kind == "list":
        right = st.lists(of_shape(shape.of), max_size=4)
    elif shape.of is not None:
        right = st.dictionaries(texts, of_shape(shape.of), max_size=3)
    else:
        right = numbers if shape.kind == "integer" else texts
    return st.one_of(right, right, right, right, right, right, right, anything)


calls = st.sampled_from(sorted(REQUESTS)).flatmap(
    lambda operation: st.tuples(st.just(operation), of_shape(REQUESTS[operation]))
)


def answers(requests: Sequence[Request]) -> list[Response]:
    async def main() -> list[Response]:
        clock = ManualClock()
        store = MemoryEngine(MemoryState(), clock=clock, ids=SeededIds(1))
        queues = await Queues.open(store, clock=clock, ids=SeededIds(2))
        service = queues.service("https")
        for name in QUEUES:
            attributes = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
            body = orjson.dumps({"QueueName": name, "Attributes": attributes})
            assert (await service.answer(request("CreateQueue", body))).status == 200
        # Whoever asks for a wait gets none: a clock that stands still would never end it.
        queues.end_waits()
        answered = [await service.answer(one) for one in requests]
        await queues.close()
        return answered

    return asyncio.run(main())


def request(operation: str, body: bytes, *, form: bool = False) -> Request:
    headers = {"host": "host"} if form else {"host": "host", "x-amz-target": f"AmazonSQS.{operation}"}
    principal = Principal("AK", ACCOUNT)
    return Request(
        "POST",
        "/",
        "",
        headers,
        body,
        operation=operation,
        request_id="RID",
        principal=principal,
        deadline=1e9,
        region="us-east-1",
    )


@settings(max_examples=examples(50), deadline=None)
@given(st.lists(calls, min_size=1, max_size=12))
def test_json_of_any_kind(asked: list[tuple[str, Any]]) -> None:
    told = answers([request(operation, json.dumps(body).encode()) for operation, body in asked])
    for (operation, _), answer in zip(asked, told, strict=True):
        assert answer.status < 500, (operation, answer)
        if answer.status == 200:
            assert not answer.body or isinstance(orjson.loads(answer.body), dict)


def flattened(name: str, value: Any) -> list[tuple[str, str]]:
    """Parameters of a form that mean, more or less, what a value of JSON does."""
    if isinstance(value, dict):
        return [
            part
            for number, (key, inner) in enumerate(value.items(), 1)
            for part in (
                (f"{name}.{number}.Name", key),
                *flattened(f"{name}.{number}.Value", inner),
                *flattened(f"{name}.{key}", inner),
            )
        ]
    if isinstance(value, list):
        return [part for number, inner in enumerate(value, 1) for part in flattened(f"{name}.{number}", inner)]
    return [(name, str(value))]


@settings(max_examples=examples(50), deadline=None)
@given(st.lists(calls, min_size=1, max_size=12))
def test_forms_of_any_kind(asked: list[tuple[str, Any]]) -> None:
    requests = []
    for operation, body in asked:
        members = REQUESTS[operation].members
        parameters = [
            part
            for name, value in (body.items() if isinstance(body, dict) else [("x", body)])
            for part in flattened(members[name].place or name if name in members else str(name), value)
        ]
        form = urlencode([("Action", operation), *parameters], errors="replace", quote_via=quote)
        requests.append(request(operation, form.encode(), form=True))
    for (operation, _), answer in zip(asked, answers(requests), strict=True):
        assert answer.status < 500, (operation, answer)
