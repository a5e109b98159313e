"""How long after its answer a write is in a global index, as a client sees it, while others write.

A marker with a value of its own is put into the table, and the index is asked for it until it is there. What is
measured contains the last question and its answer; a marker that is there at the first look counts as the time of that
look.
"""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import boto3
from botocore.config import Config

from benchmarks import generator
from benchmarks.generator import Dataset, Row, Target

INDEX: Final = "by-holder"
#: Between two looks.
_PAUSE_S: Final = 0.003
#: Between two markers.
_REST_S: Final = 0.05
_MARKER_S_MAX: Final = 30.0
#: With so many connections it is found out how much there is to take half of.
_CONNECTIONS: Final = 32


@dataclass(frozen=True)
class Lag:
    """What was found.

    Args:
        offered_per_s: puts beside the markers, as they were asked for.
        row: what became of them.
        markers: how many.
        p50_ms: from a marker's answer to the first look that found it.
        p99_ms: the same.
        max_ms: the same.
    """

    offered_per_s: float
    row: Row
    markers: int
    p50_ms: float
    p99_ms: float
    max_ms: float


def measure(target: Target, *, share: float, seconds: float, items: int) -> Lag:
    """Measures at a share of the puts that the table with its index takes.

    Args:
        target: the nodes.
        share: of the most, 0 to 1.
        seconds: how long.
        items: in the table, each in a partition of its own.

    Raises:
        GeneratorError: a marker did not come.
    """
    data = Dataset("bench-lag", items, slots=1)
    generator.prepare(target, table=data.table, items=data.items, slots=data.slots, indexes=1)
    (most,) = generator.measure(target, ["put"], connections=[_CONNECTIONS], seconds=seconds / 2, data=data)
    rate_per_s = most.operations_per_s * share
    client = _client(target)
    # Behind all that was written before: the index has that when it has this one.
    _lag_ms(client, data.table, "marker-of-the-beginning")
    with ThreadPoolExecutor(1) as beside:
        load = beside.submit(
            generator.measure,
            target,
            ["put"],
            connections=[_CONNECTIONS],
            seconds=seconds,
            warm_up_s=1,
            rate_per_s=rate_per_s,
            data=data,
        )
        found = _markers(client, data.table, time.monotonic() + seconds)
        (row,) = load.result()
    cuts = statistics.quantiles(found, n=100, method="inclusive")
    return Lag(rate_per_s, row, len(found), cuts[49], cuts[98], max(found))


def _markers(client: Any, table: str, until: float) -> list[float]:
    found: list[float] = []
    while time.monotonic() < until:
        found.append(_lag_ms(client, table, f"marker-{len(found):06d}"))
        time.sleep(_REST_S)
    return found


def _lag_ms(client: Any, table: str, marker: str) -> float:
    """Puts a marker that was never there, and returns how long after its answer the index has it, milliseconds."""
    client.put_item(TableName=table, Item={name: {"S": marker} for name in ("rack", "slot", "holder")})
    answered = time.monotonic()
    while not _is_there(client, table, marker):
        if time.monotonic() - answered > _MARKER_S_MAX:
            raise generator.GeneratorError(f"{marker} is not in the index after {_MARKER_S_MAX:.0f} s")
        time.sleep(_PAUSE_S)
    return (time.monotonic() - answered) * 1000


def _is_there(client: Any, table: str, marker: str) -> bool:
    answer = client.query(
        TableName=table,
        IndexName=INDEX,
        KeyConditionExpression="holder = :marker",
        ExpressionAttributeValues={":marker": {"S": marker}},
    )
    return bool(answer["Count"])


def _client(target: Target) -> Any:
    return boto3.client(
        "dynamodb",
        endpoint_url=target.endpoint.split(",")[0],
        region_name="us-east-1",
        aws_access_key_id=target.access_key_id,
        aws_secret_access_key=target.secret_access_key,
        config=Config(retries={"mode": "standard"}),
    )
