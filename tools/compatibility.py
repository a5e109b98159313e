"""Renders docs/compat/tables.md: every operation and parameter of the API with its state, and the known differences.

What the API has comes from botocore's model, what Tenet has from the routes of the tables and from what they list as
unavailable, the differences and the counts from the differential test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from botocore.model import OperationModel, ServiceModel
from botocore.session import get_session

from tenet.tables.api import ROUTES, STREAM_ROUTES
from tenet.tables.rules import unavailable
from tests.conformance.differential import results
from tests.conformance.differential.known_entries import KNOWN_DIFFERENCES
from tests.conformance.suites.libraries import LIBRARIES, Library

DONE, NOT_DONE, DIFFERS, NO_EFFECT, IN_PART = "done", "not done", "differs", "no effect", "in part"

_IMAGES = (
    "a transaction whose images a commit of 8 MB has no room for, compressed, is refused while a stream shows them"
)
#: Where Tenet answers otherwise than the service on purpose: by operation and parameter ("" for all of it), and why.
DIFFERENCES = {
    ("CreateTable", ""): (
        "a table is ready as soon as the store has made what it needs, unless the operator sets a time for transitions"
    ),
    ("UpdateTable", ""): (
        "a change takes as long as it has work to do, mostly none, unless the operator sets a time for transitions; a "
        "global index that is added is filled behind it, and over Cassandra an index or a stream first waits for all "
        "requests that may not know of it, half a minute with the settings as they come"
    ),
    ("DescribeEndpoints", ""): "answers the address that was called, since there is no other",
    ("DescribeLimits", ""): "answers the service's own default quotas; what holds here is set in `[limits]`",
    (
        "UpdateTimeToLive",
        "",
    ): "a change is done at once; items go within seconds to minutes, where the service says days",
    ("ExecuteStatement", "Statement"): "what is not well formed is told with its place; at most 100 levels of brackets",
    ("ExecuteStatement", "NextToken"): "does not expire; good for its statement and parameters alone",
    ("Query", "ConsistentRead"): "global indexes are never stale on the embedded engine; asking is refused anyway",
    ("Scan", "ConsistentRead"): "global indexes are never stale on the embedded engine; asking is refused anyway",
    ("BatchWriteItem", "ReturnItemCollectionMetrics"): "the estimate is always 0 to 1 GB",
    ("DeleteItem", "ReturnItemCollectionMetrics"): "the estimate is always 0 to 1 GB",
    ("PutItem", "ReturnItemCollectionMetrics"): "the estimate is always 0 to 1 GB",
    ("TransactWriteItems", "ReturnItemCollectionMetrics"): "the estimate is always 0 to 1 GB",
    ("UpdateItem", "ReturnItemCollectionMetrics"): "the estimate is always 0 to 1 GB",
    ("CreateTable", "StreamSpecification"): _IMAGES,
    ("UpdateTable", "StreamSpecification"): _IMAGES,
    ("ListStreams", ""): (
        "streams of deleted tables can be read for 24 hours, as the service's; an account has at most 500 such tables, "
        "and of more the one that ended first goes before its time"
    ),
    ("DescribeStream", ""): (
        "a stream begins with four shards; one that has 1,000 records a second for a minute is split, at most twice "
        "one within another; none is closed because of its age, as the service's are after about four hours"
    ),
}
#: Members of answers, wherever they stand, that are never there, with all below them; and why.
NOT_ANSWERED = {
    "ArchivalSummary": "no table is archived",
    "DisassociationProtectionEnabled": "there are no global tables",
    "GlobalTableSettingsReplicationMode": "there are no global tables",
    "GlobalTableVersion": "there are no global tables",
    "GlobalTableWitnesses": "there are no global tables",
    "InaccessibleEncryptionDateTime": "no key of somebody else's is asked for",
    "MultiRegionConsistency": "there are no global tables",
    "Replicas": "there are no global tables",
    "RestoreSummary": "there are no backups",
    "VectorIndexes": "there are no vector indexes",
}


@dataclass(frozen=True)
class AtTheEdge:
    """Where a request is answered otherwise before any operation sees it.

    Args:
        what: what the request has.
        status: of Tenet's answer.
        code: of Tenet's answer; "" where it is carried out.
        here: what else is to say of it.
        service: what the service does.
    """

    what: str
    status: int
    code: str
    here: str
    service: str


_REFUSES_TOO = "refuses it as well"
#: By a name for tests, which send each to an edge.
EDGE = {
    "region": AtTheEdge(
        "a signature for any region",
        200,
        "",
        "an account has the same tables in all of them; the ARN of a table names the region of who made it",
        "takes the region of its endpoint alone, and each has tables of its own",
    ),
    "session token": AtTheEdge(
        "a session token (`X-Amz-Security-Token`)",
        400,
        "UnrecognizedClientException",
        "nobody gives any out; it is looked at behind the signature",
        "takes those that STS gave out",
    ),
    "unsigned payload": AtTheEdge(
        "`UNSIGNED-PAYLOAD` or `STREAMING-…` in the place of the body's hash",
        400,
        "InvalidSignatureException",
        "the signature has to cover the body as it was sent",
        _REFUSES_TOO,
    ),
    "unsigned header": AtTheEdge(
        "an `x-amz-*` header that the signature leaves out",
        400,
        "InvalidSignatureException",
        "but for `x-amz-user-agent`, which some SDKs add after signing",
        "does not ask for all of them",
    ),
    "no JSON": AtTheEdge(
        "a wrong signature, and a body that is no JSON",
        400,
        "InvalidSignatureException",
        "the body is looked at behind the signature",
        "says SerializationException: it reads the body first",
    ),
    "encoding": AtTheEdge(
        "a `Content-Encoding` that is damaged or not known",
        400,
        "SerializationException",
        "gzip and identity are known",
        "says InternalServerError with 500, upon which SDKs try again",
    ),
    "expansion": AtTheEdge(
        "a compressed body that grows beyond 16 MiB, or to more than 200 times its size",
        413,
        "RequestEntityTooLarge",
        "the ratio is the setting `limits.decompressed_ratio_max`",
        "documents no such ratio",
    ),
    "nesting": AtTheEdge(
        "a body of more than 1,000 brackets within each other",
        400,
        "SerializationException",
        "the setting `limits.nesting_max`",
        "documents no such number; an item has at most 32 levels there and here",
    ),
}


@cache
def model(service: str) -> ServiceModel:
    """Returns botocore's model of a service."""
    return get_session().get_service_model(service)


def operation_model(operation: str) -> OperationModel:
    """Returns botocore's model of an operation of DynamoDB or of its streams."""
    return model("dynamodbstreams" if operation in STREAM_ROUTES else "dynamodb").operation_model(operation)


def state_of_operation(operation: str) -> tuple[str, str]:
    """Returns the state of an operation of DynamoDB or of its streams, and why."""
    if operation in unavailable.OPERATIONS or operation not in {*ROUTES, *STREAM_ROUTES}:
        return NOT_DONE, ""
    lacking = len(unavailable.PARAMETERS.get(operation, ()))
    why = DIFFERENCES.get((operation, ""), "")
    if lacking:
        return IN_PART, "; ".join(filter(None, (f"{lacking} of its parameters are not done", why)))
    return (DIFFERS, why) if why else (DONE, "")


def state_of_parameter(operation: str, parameter: str) -> tuple[str, str]:
    """Returns the state of a parameter of an operation that Tenet has, and why."""
    if parameter in unavailable.PARAMETERS.get(operation, ()):
        return NOT_DONE, ""
    if operation in {"CreateTable", "UpdateTable"} and parameter in unavailable.WITHOUT_EFFECT:
        return NO_EFFECT, unavailable.WITHOUT_EFFECT[parameter]
    why = DIFFERENCES.get((operation, parameter))
    return (DIFFERS, why) if why else (DONE, "")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def operations_section() -> str:
    """Returns every operation of DynamoDB and of its streams with its state."""
    rows = [[f"`{name}`", *state_of_operation(name)] for name in sorted(model("dynamodb").operation_names)]
    streams = [
        [f"`{name}` (streams)", *state_of_operation(name)] for name in sorted(model("dynamodbstreams").operation_names)
    ]
    return table(["operation", "state", "what differs or lacks"], [*rows, *streams])


def parameters_section() -> str:
    """Returns every parameter of the operations that Tenet has with its state."""
    return "\n\n".join(_parameters_of(operation) for operation in (*sorted(ROUTES), *sorted(STREAM_ROUTES)))


def _parameters_of(operation: str) -> str:
    shape = operation_model(operation).input_shape
    members = sorted(shape.members) if shape is not None else []
    if not members:
        return f"### {operation}\n\nIt has no parameters."
    rows = [[f"`{name}`", *state_of_parameter(operation, name)] for name in members]
    return f"### {operation}\n\n" + table(["parameter", "state", "what differs or lacks"], rows)


def edge_section() -> str:
    """Returns where requests are answered otherwise before any operation sees them."""
    rows = [
        [one.what, f"{one.status} {one.code}" if one.code else "carried out", one.here, one.service]
        for one in EDGE.values()
    ]
    return table(["a request with", "here", "and", "the service"], rows)


def answers_section() -> str:
    """Returns the members of answers that are never there, and why."""
    rows = [[f"`{name}`", why] for name, why in sorted(NOT_ANSWERED.items())]
    return table(["member of an answer", "why it is not there"], rows)


def differences_section() -> str:
    """Returns the list of known differences between Tenet and the peers."""
    rows = [
        [known.reason, ", ".join(known.witnesses), ", ".join(known.operations) or "any", known.source]
        for known in KNOWN_DIFFERENCES
    ]
    return table(["how the service answers, or the peer otherwise", "peers", "operations", "decided by"], rows)


def libraries_section() -> str:
    """Returns the libraries on DynamoDB whose own tests are run, and what of those fails."""
    return table(["library", "what it is", "tests", "of these fail"], [row_of_library(one) for one in LIBRARIES])


def row_of_library(library: Library) -> list[str]:
    """Returns a library with its version, what it is, how many tests are run, and how many of those fail by reason."""
    counted = Counter(library.known.values())
    failures = "; ".join(f"{count}: {reason}" for reason, count in counted.items()) or "none"
    what = f"{library.what} ({library.language})"
    return [f"{library.name} {library.version}", what, str(library.tests), failures]


def comparison_section() -> str:
    """Returns how many answers were compared with each peer, by operation, and how they compared."""
    return "\n\n".join(_comparisons())


def _comparisons() -> Iterator[str]:
    for peer, (version, found) in results.read().items():
        rows = [
            [
                f"`{one.operation}`",
                str(one.compared),
                str(one.equal),
                str(one.other_words),
                str(sum(one.known.values())),
            ]
            for one in found
        ]
        heads = ["operation", "compared", "equal", "equal but for words", "with a known difference"]
        yield f"### {peer} {version}\n\n" + table(heads, rows)
