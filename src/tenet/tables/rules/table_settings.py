"""Settings of tables and global indexes that are kept as they are given: throughput maximums, warm throughput, SSE.

What they do here: the maximums of on-demand tables throttle as in the service; warm throughput and server-side
encryption are recorded and described, since capacity is the machine's and encryption at rest the operator's disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tenet.tables.errors import ValidationException

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenet.tables.model import BillingMode

_INVALID: Final = "One or more parameter values were invalid: "
#: What every table can instantly carry (developer guide, "Warm throughput"), in units per second.
WARM_READ_UNITS: Final = 12_000
WARM_WRITE_UNITS: Final = 4_000


def on_demand_throughput(given: Mapping[str, int] | None, before: Mapping[str, Any], billing: BillingMode) -> Any:
    """Returns the maximums of an on-demand table or index after a request; None where it has none.

    Args:
        given: OnDemandThroughput of the request, or None. -1 removes a maximum.
        before: the settings that it has.
        billing: how it is billed from then on.

    Raises:
        ValidationException: a maximum is not possible.
    """
    if given is None:
        return before.get("OnDemandThroughput") if billing == "PAY_PER_REQUEST" else None
    if billing != "PAY_PER_REQUEST":
        raise ValidationException(
            _INVALID + "Neither MaxReadRequestUnits nor MaxWriteRequestUnits can be specified when BillingMode is "
            "PROVISIONED"
        )
    maximums = {**before.get("OnDemandThroughput", {}), **given}
    for name, units in maximums.items():
        if units < 1 and units != -1:
            raise ValidationException(f"Given value {units} for {name} is out of bounds")
    return maximums if any(units > 0 for units in maximums.values()) else None


def warm_throughput(given: Mapping[str, int] | None, before: Mapping[str, Any]) -> Any:
    """Returns the warm throughput after a request; None where none was ever asked for.

    Args:
        given: WarmThroughput of the request, or None.
        before: the settings that the table or index has.

    Raises:
        ValidationException: it would become less.
    """
    now: dict[str, int] = before.get("WarmThroughput") or {}
    if given is None:
        return now or None
    least = {"ReadUnitsPerSecond": WARM_READ_UNITS, "WriteUnitsPerSecond": WARM_WRITE_UNITS, **now}
    for name, units in given.items():
        if units < least[name]:
            raise ValidationException(
                _INVALID + f"Requested {name} for WarmThroughput for table is lower than current WarmThroughput, "
                "decreasing WarmThroughput is not supported"
            )
    return {**now, **given}


def sse_description(given: Mapping[str, Any] | None, before: Mapping[str, Any], account: str, region: str) -> Any:
    """Returns the SSEDescription after a request; None where the service's own key is in use.

    Args:
        given: SSESpecification of the request, or None.
        before: the settings that the table has.
        account: the tenant.
        region: of the table.

    Raises:
        ValidationException: the specification contradicts itself.
    """
    if given is None:
        return before.get("SSEDescription")
    key = given.get("KMSMasterKeyId")
    if not given.get("Enabled"):
        if key is not None or given.get("SSEType") is not None:
            raise ValidationException(
                _INVALID + "SSESpecification must be enabled when SSEType or KMSMasterKeyId is specified"
            )
        return None
    if given.get("SSEType", "KMS") != "KMS":
        raise ValidationException(_INVALID + f"SSEType {given['SSEType']} is not supported")
    prefix = f"arn:aws:kms:{region}:{account}:"
    if key is None:
        arn = prefix + "alias/aws/dynamodb"
    elif key.startswith("arn:"):
        arn = key
    else:
        arn = prefix + (key if key.startswith("alias/") else f"key/{key}")
    return {"Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": arn}


def kept(**settings: Any) -> dict[str, Any]:
    """Returns the settings that are there, by member name."""
    return {name: value for name, value in settings.items() if value is not None}
