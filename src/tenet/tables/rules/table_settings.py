"""Settings of tables and global indexes that are kept as they are given: throughput maximums, warm throughput, SSE.

What they do here: the maximums of on-demand tables throttle as in the service; warm throughput and server-side
encryption are recorded and described, since capacity is the machine's and encryption at rest the operator's disk.

The words of what is refused are those of captures of October 2026.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from tenet.tables.errors import ValidationException

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tenet.tables.model import BillingMode, Throughput

_INVALID: Final = "One or more parameter values were invalid: "
#: What every table can instantly carry (developer guide, "Warm throughput"), in units per second.
WARM_READ_UNITS: Final = 12_000
WARM_WRITE_UNITS: Final = 4_000
TABLE_CLASSES: Final = ("STANDARD", "STANDARD_INFREQUENT_ACCESS")
_MAXIMUMS: Final = ("MaxReadRequestUnits", "MaxWriteRequestUnits")
#: Members of WarmThroughput, with the provisioned capacity that each is not less than.
_WARM: Final = {"ReadUnitsPerSecond": "ReadCapacityUnits", "WriteUnitsPerSecond": "WriteCapacityUnits"}
#: Of the ways to name a key the only one that is compared with what the table has.
_KEY_ARN: Final = re.compile(r"arn:[^:]+:kms:[^:]*:[^:]*:key/.+")
_DECREASED: Final = "current WarmThroughput, decreasing WarmThroughput is not supported"
_INITIAL: Final = (
    "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html"
    "#on-demand-capacity-mode-initial"
)


def on_demand_throughput(
    given: Mapping[str, int] | None, before: Mapping[str, Any] | None, billing: BillingMode, *, index: str = ""
) -> Any:
    """Returns the maximums of an on-demand table or index after a request; None where it has none.

    Args:
        given: OnDemandThroughput of the request, or None. -1 removes a maximum.
        before: the settings that it has; None while it is made, when there is nothing to remove.
        billing: how it is billed from then on.
        index: its name; empty for the table.

    Raises:
        ValidationException: a maximum is not possible.
    """
    kept_maximums: dict[str, int] = (before or {}).get("OnDemandThroughput") or {}
    if given is None:
        return (kept_maximums or None) if billing == "PAY_PER_REQUEST" else None
    for name in _in_order(given, _MAXIMUMS):
        of_index = f" for index : {index}" if index else ""
        if billing != "PAY_PER_REQUEST":
            # What is new is refused in other words, down to the blanks.
            when = " cannot be specified when the table BillingMode is PROVISIONED"
            if before is None:
                of_index = f" for index: {index}" if index else ""
                when = " cannot be specified when table BillingMode is PROVISIONED."
            raise ValidationException(f"{_INVALID}{name} for OnDemandThroughput{of_index}{when}")
        if given[name] < (1 if before is None or given[name] != -1 else -1):
            raise ValidationException(
                f"{_INVALID}Requested {name} for OnDemandThroughput{of_index or ' for table'} is outside of valid range"
            )
    maximums = {name: units for name, units in {**kept_maximums, **given}.items() if units > 0}
    return maximums or None


def warm_throughput(
    given: Mapping[str, int] | None,
    before: Mapping[str, Any] | None,
    provisioned: Throughput | None,
    *,
    index: str = "",
    had: Mapping[str, int] | None = None,
) -> Any:
    """Returns the warm throughput after a request that is more than follows from billing and capacity; None: it is not.

    It never falls: what was warm by a capacity that is lower from then on stays so.

    Args:
        given: WarmThroughput of the request, or None.
        before: the settings that the table or index has; None while it is made.
        provisioned: its capacity from then on; None on demand.
        index: its name; empty for the table.
        had: what it could carry until now; None while it is made.

    Raises:
        ValidationException: it would be less than it is, or than what everything has.
    """
    after: dict[str, int] = {**((before or {}).get("WarmThroughput") or {}), **(given or {})}
    anyhow = _least_warm(provisioned)
    of_what = f"index {index}" if index else "table"
    for name in _in_order(given or {}, _WARM):
        if after[name] < max(anyhow[name], (had or anyhow)[name]):
            raise ValidationException(
                f"{_INVALID}Requested {name} for WarmThroughput for {of_what} is lower than "
                + (_lower_than(name, provisioned) if before is None else _DECREASED)
            )
    for name, units in (had or {}).items():
        if units > max(after.get(name, 0), anyhow[name]):
            after[name] = units
    return after or None


def warmth(settings: Mapping[str, Any], provisioned: Throughput | None) -> dict[str, int]:
    """Returns what a table or an index can instantly carry.

    Args:
        settings: that it has.
        provisioned: its capacity; None on demand.
    """
    asked: Mapping[str, int] = settings.get("WarmThroughput") or {}
    return {name: max(units, asked.get(name, 0)) for name, units in _least_warm(provisioned).items()}


def _least_warm(provisioned: Throughput | None) -> dict[str, int]:
    """Returns what a table or an index can instantly carry without being asked to."""
    reads, writes = (
        (WARM_READ_UNITS, WARM_WRITE_UNITS) if provisioned is None else (provisioned.read, provisioned.write)
    )
    return {"ReadUnitsPerSecond": reads, "WriteUnitsPerSecond": writes}


def _lower_than(name: str, provisioned: Throughput | None) -> str:
    """Returns what the warm throughput of something new is compared with."""
    if provisioned is None:
        return f"initial throughput for OnDemand. See: {_INITIAL}"
    return f"{_WARM[name]} of ProvisionedThroughput"


def _in_order(given: Mapping[str, int], names: Iterable[str]) -> list[str]:
    """Returns those names that are given, reads before writes."""
    return [name for name in names if name in given]


def check_table_class(given: str | None) -> None:
    """Checks the class of a table.

    Raises:
        ValidationException: there is no such class.
    """
    if given is not None and given not in TABLE_CLASSES:
        raise ValidationException(
            "Invalid table-class parameter provided. Please try again with a valid table-class value: "
            f"[{', '.join(TABLE_CLASSES)}]."
        )


def sse_description(
    given: Mapping[str, Any] | None, before: Mapping[str, Any] | None, account: str, region: str
) -> Any:
    """Returns the SSEDescription after a request; None where the service's own key is in use.

    Args:
        given: SSESpecification of the request, or None. Without Enabled, a type alone enables it.
        before: the settings that the table has; None while it is made.
        account: the tenant.
        region: of the table.

    Raises:
        ValidationException: the specification contradicts itself, or says what is so already.
    """
    now: Mapping[str, Any] | None = (before or {}).get("SSEDescription")
    if given is None:
        return now
    key = given.get("KMSMasterKeyId")
    kind = given.get("SSEType")
    if not given.get("Enabled", kind is not None):
        for name in ("SSEType", "KMSMasterKeyId"):
            if given.get(name) is not None:
                raise ValidationException(f"{_INVALID}{name} can not be specified if Enabled is false")
        if before is not None and now is None:
            raise ValidationException(f"{_INVALID}Table is already encrypted by default")
        return None
    if kind not in (None, "KMS"):
        raise ValidationException(f"{_INVALID}SSEType {kind} is not supported")
    if key is not None and kind is None:
        raise ValidationException(f"{_INVALID}SSEType KMS is required if KMSMasterKeyId is specified")
    if now is not None and key == now["KMSMasterKeyArn"] and _KEY_ARN.fullmatch(key) is not None:
        raise ValidationException(
            f"{_INVALID}Table is already encrypted with given KMSMasterKeyId. Use KMSMasterKeyId parameter if you want "
            "to change Master Key"
        )
    return {"Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": _key_arn(key, f"arn:aws:kms:{region}:{account}:")}


def _key_arn(key: str | None, prefix: str) -> str:
    """Returns how the key is described that a specification names.

    Args:
        key: as in the request: an ARN, an alias or an id; None for the key that the service manages.
        prefix: what stands before alias and id in an ARN.
    """
    if key is None:
        return prefix + "alias/aws/dynamodb"
    if key.startswith("arn:"):
        return key
    return prefix + (key if key.startswith("alias/") else f"key/{key}")


def kept(**settings: Any) -> dict[str, Any]:
    """Returns the settings that are there, by member name."""
    return {name: value for name, value in settings.items() if value is not None}
