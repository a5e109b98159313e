"""What the API has and Tenet does not have yet: operations, and parameters of operations.

A call that needs any of it is refused in clear words; nothing is silently ignored. The compatibility page lists the
same. Whoever adds one of them takes it out here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tenet.tables.errors import NotImplementedHere

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Where they are listed, in the source of Tenet: whoever has installed a package alone looks there.
PAGE: Final = "docs/compat/tables.md"
_SEE: Final = f"is not available in this version of Tenet; see {PAGE} in its source"

#: Operations of the API that Tenet does not have.
OPERATIONS: Final = frozenset(
    {
        "CreateBackup",
        "CreateGlobalTable",
        "DeleteBackup",
        "DeleteResourcePolicy",
        "DescribeBackup",
        "DescribeContinuousBackups",
        "DescribeContributorInsights",
        "DescribeExport",
        "DescribeGlobalTable",
        "DescribeGlobalTableSettings",
        "DescribeImport",
        "DescribeKinesisStreamingDestination",
        "DescribeTableReplicaAutoScaling",
        "DisableKinesisStreamingDestination",
        "EnableKinesisStreamingDestination",
        "ExportTableToPointInTime",
        "GetResourcePolicy",
        "ImportTable",
        "ListBackups",
        "ListContributorInsights",
        "ListExports",
        "ListGlobalTables",
        "ListImports",
        "PutResourcePolicy",
        "RestoreTableFromBackup",
        "RestoreTableToPointInTime",
        "SearchVectors",
        "UpdateContinuousBackups",
        "UpdateContributorInsights",
        "UpdateGlobalTable",
        "UpdateGlobalTableSettings",
        "UpdateKinesisStreamingDestination",
        "UpdateTableReplicaAutoScaling",
    }
)

#: Parameters that Tenet does not have, by operation.
PARAMETERS: Final[Mapping[str, frozenset[str]]] = {
    "CreateTable": frozenset(
        {
            "GlobalTableSettingsReplicationMode",
            "GlobalTableSourceArn",
            "ResourcePolicy",
            "VectorIndexes",
        }
    ),
    "UpdateTable": frozenset(
        {
            "DisassociationProtectionEnabled",
            "GlobalTableSettingsReplicationMode",
            "GlobalTableWitnessUpdates",
            "MultiRegionConsistency",
            "ReplicaUpdates",
            "VectorIndexUpdates",
        }
    ),
}

#: Parameters that are checked, kept and described, and have no effect on a machine of one's own; and why.
WITHOUT_EFFECT: Final[Mapping[str, str]] = {
    "SSESpecification": "encryption at rest is the operator's: of the disk, or of the file system",
    "TableClass": "it chooses a price",
    "WarmThroughput": "what a table can instantly carry is what the machine can",
}

_NOTHING: Final[frozenset[str]] = frozenset()


def operation_error(operation: str) -> NotImplementedHere:
    """Returns the error for an operation that Tenet does not have."""
    return NotImplementedHere(f"{operation} {_SEE}")


def refuse_unavailable(operation: str, request: Mapping[str, Any]) -> None:
    """Refuses a request that uses a parameter that Tenet does not have.

    Args:
        operation: its name.
        request: its shape already checked.

    Raises:
        NotImplementedHere: it does; the message names the parameter.
    """
    unavailable = PARAMETERS.get(operation, _NOTHING)
    if not unavailable.isdisjoint(request):
        for name in sorted(unavailable.intersection(request)):
            if not _is_idle(name, request[name]):
                raise _parameter_error(operation, name)


def _is_idle(name: str, value: Any) -> bool:
    """Whether a parameter asks for nothing, and may stand there."""
    return value in ([], {}, False) and name.endswith(("Updates", "Indexes", "Enabled"))


def _parameter_error(operation: str, name: str) -> NotImplementedHere:
    return NotImplementedHere(f"The parameter {name} of {operation} {_SEE}")
