"""Renders docs/compat/queues.md: every operation and attribute of the SQS API with its state, and who was asked what.

What the API has comes from botocore's model, what Tenet has from the routes of the queues and from the shapes that they
read, the checks from the conformance tests, and what the peers answer from the results that these keep.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tenet.queues.api import ROUTES
from tenet.queues.rules.shapes import REQUESTS
from tests.conformance.queues import results
from tests.conformance.queues.catalog import CHECKS
from tests.conformance.queues.wire import JSON, QUERY
from tests.conformance.queues.world import DOCUMENTED, QUOTED, RECORDED
from tests.conformance.suites.libraries import QUEUE_LIBRARIES
from tools.compatibility import DIFFERS, DONE, NO_EFFECT, NOT_DONE, model, row_of_library, table

#: Where Tenet answers otherwise than the service on purpose: by operation and parameter ("" for all of it), and why.
DIFFERENCES = {
    ("SetQueueAttributes", ""): "holds at once, where the service takes up to a minute, and for retention longer",
    ("PurgeQueue", ""): "is done when it is answered, where the service takes up to a minute",
    ("GetQueueAttributes", ""): "the approximate numbers are exact, but for those of a process that is starting",
}
#: What is checked, kept and told, and changes nothing; by attribute of queues.
WITHOUT_EFFECT = {
    "KmsMasterKeyId": "messages are stored as the store is",
    "KmsDataKeyReusePeriodSeconds": "the same",
    "SqsManagedSseEnabled": "the same",
    "FifoThroughputLimit": "there are no quotas of throughput on a machine of one's own",
}
PROTOCOLS = {JSON: "JSON", QUERY: "Query"}


def state_of_operation(operation: str) -> tuple[str, str]:
    """Returns the state of an operation, and what differs."""
    if operation not in ROUTES:
        return NOT_DONE, ""
    lacking = [name for name in _parameters(operation) if name not in REQUESTS[operation].members]
    if lacking:
        return NOT_DONE, "not: " + ", ".join(f"`{name}`" for name in lacking)
    why = DIFFERENCES.get((operation, ""))
    return (DIFFERS, why) if why else (DONE, "")


def _parameters(operation: str) -> list[str]:
    shape = model("sqs").operation_model(operation).input_shape
    return [] if shape is None else sorted(shape.members)


def queue_operations_section() -> str:
    """Returns every operation with its state, and how many checks ask about it."""
    counts = Counter(check.operation for check in CHECKS)
    names = sorted(model("sqs").operation_names)
    rows = [[f"`{name}`", *state_of_operation(name), str(counts[name])] for name in names]
    return table(["operation", "state", "what differs", "checks"], rows)


def queue_attributes_section() -> str:
    """Returns every attribute of a queue with its state."""
    names = model("sqs").shape_for("QueueAttributeName").enum
    rows = [
        [f"`{name}`", NO_EFFECT if name in WITHOUT_EFFECT else DONE, WITHOUT_EFFECT.get(name, "")]
        for name in sorted(names)
        if name != "All"
    ]
    return table(["attribute", "state", "why"], rows)


def queue_checks_section() -> str:
    """Returns how many checks there are, by who says how the service answers."""
    counts = Counter(check.decided_by for check in CHECKS for _protocol in check.protocols)
    rows = [[who, str(counts[who])] for who in (RECORDED, DOCUMENTED, QUOTED)]
    return table(["what decides how the service answers", "checks, in both protocols"], rows)


def queue_peers_section() -> str:
    """Returns how the peers answer the same checks."""
    rows = list(_rows_of_peers())
    heads = ["peer", "protocol", "asked", "as the service", "but for the words", "otherwise"]
    return table(heads, rows)


def _rows_of_peers() -> Iterator[list[str]]:
    for peer, (version, protocols) in results.read().items():
        for protocol, found in sorted(protocols.items()):
            counts = Counter(found.values())
            told = [str(counts[what]) for what in (results.EQUAL, results.OTHER_WORDS, results.OTHERWISE)]
            yield [f"{peer} {version}", PROTOCOLS[protocol], str(len(found)), *told]


def queue_libraries_section() -> str:
    """Returns the libraries on SQS whose own tests are run, what of those fails, and what is not run."""
    rows = [[*row_of_library(one), "; ".join(dict.fromkeys(one.left_out.values()))] for one in QUEUE_LIBRARIES]
    return table(["library", "what it is", "tests", "of these fail", "left out"], rows)
