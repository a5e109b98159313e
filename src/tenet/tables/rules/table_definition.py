"""What a table may look like: the checks of CreateTable beyond the shapes, in the service's order and words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tenet.tables.errors import ValidationException
from tenet.tables.model import Index, KeyAttribute, KeySchema, MoreKeyAttributes, Table, Throughput
from tenet.tables.rules.multi_attribute_keys import ATTRIBUTES_MAX, check_global_schema
from tenet.tables.rules.stream_settings import check_created, created
from tenet.tables.rules.table_settings import (
    check_table_class,
    kept,
    on_demand_throughput,
    sse_description,
    warm_throughput,
)
from tenet.tables.rules.tags import with_tags

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tenet.tables.model import BillingMode, KeyType

GLOBAL_INDEXES_MAX: Final = 20
LOCAL_INDEXES_MAX: Final = 5
#: Attributes that all INCLUDE projections of a table may name together.
INCLUDED_MAX: Final = 100
KEY_ATTRIBUTES_MAX: Final = 2
CAPACITY_UNITS_MAX: Final = 1_000_000_000_000

_INVALID: Final = "One or more parameter values were invalid: "


def check_create(request: Mapping[str, Any]) -> None:
    """Checks a CreateTable request whose shape is right.

    Raises:
        ValidationException: with the service's text for the first rule that it breaks.
    """
    check_table_class(request.get("TableClass"))
    _check_schema_lengths(request)
    _check_billing(request)
    definitions = definitions_of(request)
    schema: list[dict[str, str]] = request["KeySchema"]
    _check_schema(schema, definitions)
    local = request.get("LocalSecondaryIndexes")
    if local is None and "GlobalSecondaryIndexes" not in request and len(schema) != len(definitions):
        raise ValidationException(
            _INVALID + "Number of attributes in KeySchema does not exactly match number of attributes defined in "
            "AttributeDefinitions"
        )
    _check_definitions_are_used(request, definitions)
    names: set[str] = set()
    if local is not None:
        _check_local_indexes(local, schema, definitions, names)
    if "GlobalSecondaryIndexes" in request:
        _check_global_indexes(request, definitions, names)
    _check_included(request)
    check_created(request.get("StreamSpecification"))


def table_from(
    request: Mapping[str, Any], *, account: str, name: str, region: str, table_id: str, now_ms: int
) -> Table:
    """Returns the table that a checked CreateTable request describes, in status CREATING.

    Args:
        request: passed by `check_create`.
        account: the tenant.
        name: its name; the request may give an ARN.
        region: for its ARN.
        table_id: a new UUID.
        now_ms: the time, milliseconds since 1970.

    Raises:
        ValidationException: a setting or a tag is not possible.
    """
    types = definitions_of(request)
    billing: BillingMode = request.get("BillingMode") or "PROVISIONED"
    indexes: list[Index] = []
    for is_global, member in ((False, "LocalSecondaryIndexes"), (True, "GlobalSecondaryIndexes")):
        for given in request.get(member) or ():
            index = index_from(given, types, billing, number=len(indexes) + 1, is_global=is_global)
            indexes.append(index)
    settings = kept(
        OnDemandThroughput=on_demand_throughput(request.get("OnDemandThroughput"), None, billing),
        WarmThroughput=warm_throughput(
            request.get("WarmThroughput"), None, _provisioned(request.get("ProvisionedThroughput"))
        ),
        SSEDescription=sse_description(request.get("SSESpecification"), None, account, region),
    )
    return Table(
        account=account,
        name=name,
        id=table_id,
        region=region,
        created_ms=now_ms,
        keys=_keys(request["KeySchema"], types),
        indexes=tuple(indexes),
        attribute_types=types,
        billing=billing,
        throughput=_throughput(request.get("ProvisionedThroughput")),
        next_index_number=len(indexes) + 1,
        deletion_protection=bool(request.get("DeletionProtectionEnabled")),
        table_class=request.get("TableClass") or "STANDARD",
        tags=with_tags({}, request.get("Tags") or ()),
        settings=settings,
        on_demand_ms=(now_ms,) if billing == "PAY_PER_REQUEST" else (),
        streams=created(request.get("StreamSpecification"), now_ms=now_ms),
    )


def definitions_of(request: Mapping[str, Any]) -> dict[str, KeyType]:
    """Returns the types that a request gives to attributes.

    Raises:
        ValidationException: one is defined twice.
    """
    definitions: dict[str, KeyType] = {}
    for given in request.get("AttributeDefinitions") or ():
        name = given["AttributeName"]
        if name in definitions:
            raise ValidationException(f"Attribute Name is duplicated: {name}")
        definitions[name] = given["AttributeType"]
    return definitions


def _keys(schema: Sequence[Mapping[str, str]], types: Mapping[str, KeyType]) -> KeySchema:
    kinds: dict[str, list[KeyAttribute]] = {"HASH": [], "RANGE": []}
    for element in schema:
        name = element["AttributeName"]
        kinds[element["KeyType"]].append(KeyAttribute(name, types[name]))
    partition, sort = kinds["HASH"], kinds["RANGE"]
    more = MoreKeyAttributes(tuple(partition[1:]), tuple(sort[1:])) if len(partition) > 1 or len(sort) > 1 else None
    return KeySchema(partition[0], sort[0] if sort else None, more)


def _throughput(given: Mapping[str, int] | None) -> Throughput:
    return Throughput() if given is None else Throughput(given["ReadCapacityUnits"], given["WriteCapacityUnits"])


def _provisioned(given: Mapping[str, int] | None) -> Throughput | None:
    """Returns provisioned capacity; None on demand."""
    return None if given is None else _throughput(given)


def index_from(
    given: Mapping[str, Any], types: Mapping[str, KeyType], billing: BillingMode, *, number: int, is_global: bool
) -> Index:
    """Returns the index that a checked definition describes, in status CREATING.

    Args:
        given: as in a request.
        types: of all key attributes.
        billing: of the table.
        number: unique in the table for its life.
        is_global: whether it is a global one.
    """
    name, projection = given["IndexName"], given["Projection"]
    return Index(
        name=name,
        number=number,
        is_global=is_global,
        keys=_keys(given["KeySchema"], types),
        projection=projection["ProjectionType"],
        included=tuple(dict.fromkeys(projection.get("NonKeyAttributes") or ())),
        status="CREATING",
        throughput=_throughput(given.get("ProvisionedThroughput")),
        settings=kept(
            OnDemandThroughput=on_demand_throughput(given.get("OnDemandThroughput"), None, billing, index=name),
            WarmThroughput=warm_throughput(
                given.get("WarmThroughput"), None, _provisioned(given.get("ProvisionedThroughput")), index=name
            ),
        ),
    )


# ---- the checks ------------------------------------------------------------------------------------------------------


def _check_billing(request: Mapping[str, Any]) -> None:
    throughput = request.get("ProvisionedThroughput")
    if request.get("BillingMode") == "PAY_PER_REQUEST":
        if throughput is not None:
            raise ValidationException(
                _INVALID + "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is "
                "PAY_PER_REQUEST"
            )
        return
    if throughput is None:
        raise ValidationException(
            _INVALID + "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED"
        )
    check_capacity(throughput)


def check_capacity(throughput: Mapping[str, int]) -> None:
    """Checks the size of provisioned capacity.

    Raises:
        ValidationException: a figure is larger than the service takes.
    """
    for member in ("ReadCapacityUnits", "WriteCapacityUnits"):
        if throughput[member] > CAPACITY_UNITS_MAX:
            raise ValidationException(f"Given value {throughput[member]} for {member} is out of bounds")


def _check_schema_lengths(request: Mapping[str, Any]) -> None:
    """Checks how many attributes each key has; us-east-1 does so before it looks at the capacity."""
    _check_schema_length(request["KeySchema"], KEY_ATTRIBUTES_MAX)
    for member, most in (("LocalSecondaryIndexes", KEY_ATTRIBUTES_MAX), ("GlobalSecondaryIndexes", 2 * ATTRIBUTES_MAX)):
        for index in request.get(member) or ():
            _check_schema_length(index["KeySchema"], most)


def _check_schema_length(schema: Sequence[Mapping[str, str]], most: int) -> None:
    """Checks one key; the service names the member as if it were the table's, whichever it is."""
    if len(schema) > most:
        shown = ", ".join(
            f"KeySchemaElement(attributeName={element['AttributeName']}, keyType={element['KeyType']})"
            for element in schema
        )
        raise ValidationException(
            f"1 validation error detected: Value '[{shown}]' at 'keySchema' failed to satisfy constraint: "
            f"Member must have length less than or equal to {most}"
        )


def _check_schema(schema: Sequence[Mapping[str, str]], definitions: Mapping[str, KeyType]) -> None:
    names = [element["AttributeName"] for element in schema]
    if len(names) > len(definitions):
        raise ValidationException("Invalid KeySchema: Some index key attribute have no definition")
    _check_key_schema(schema, definitions)


def _check_key_schema(schema: Sequence[Mapping[str, str]], definitions: Mapping[str, KeyType]) -> None:
    _check_defined(schema, definitions)
    names = [element["AttributeName"] for element in schema]
    if len(names) > 1 and names[0] == names[1]:
        raise ValidationException("Both the Hash Key and the Range Key element in the KeySchema have the same name")
    if schema[0]["KeyType"] != "HASH":
        raise ValidationException("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
    if len(schema) > 1 and schema[1]["KeyType"] != "RANGE":
        raise ValidationException("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type")


def _check_defined(schema: Sequence[Mapping[str, str]], definitions: Mapping[str, KeyType]) -> None:
    names = list(dict.fromkeys(element["AttributeName"] for element in schema))
    if any(name not in definitions for name in names):
        if len(names) > len(definitions):
            raise ValidationException("Invalid KeySchema: Some index key attribute have no definition")
        raise ValidationException(
            _INVALID + "Some index key attributes are not defined in AttributeDefinitions. "
            f"Keys: [{', '.join(names)}], AttributeDefinitions: [{', '.join(definitions)}]"
        )


def _check_definitions_are_used(request: Mapping[str, Any], definitions: Mapping[str, KeyType]) -> None:
    """Checks that no attribute is defined that no key uses, where the keys of indexes use none that is not defined.

    It comes before all that is checked of indexes, and hides it, but for lists of them that are empty.
    """
    indexes = _indexes(request)
    schemas = [request["KeySchema"], *(index["KeySchema"] for index in indexes)]
    used = dict.fromkeys(element["AttributeName"] for schema in schemas for element in schema)
    if indexes and used.keys() < definitions.keys():
        raise ValidationException(
            _INVALID + f"Some AttributeDefinitions are not used. AttributeDefinitions: [{', '.join(definitions)}], "
            f"keys used: [{', '.join(used)}]"
        )


def _indexes(request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*request.get("LocalSecondaryIndexes", ()), *request.get("GlobalSecondaryIndexes", ())]


def _check_included(request: Mapping[str, Any]) -> None:
    """Checks how many attributes all INCLUDE projections name together; one that stands in two counts twice."""
    if sum(len(index["Projection"].get("NonKeyAttributes", ())) for index in _indexes(request)) > INCLUDED_MAX:
        raise ValidationException(
            _INVALID + f"Number of NonKeyAttributes over all indexes exceeds the per-table limit of {INCLUDED_MAX}"
        )


def _check_local_indexes(
    local: Sequence[Mapping[str, Any]],
    schema: Sequence[Mapping[str, str]],
    definitions: Mapping[str, KeyType],
    names: set[str],
) -> None:
    if not local:
        raise ValidationException(_INVALID + "List of LocalSecondaryIndexes is empty")
    if len(schema) == 1:
        raise ValidationException(
            _INVALID + "Table KeySchema does not have a range key, which is required when specifying a "
            "LocalSecondaryIndex"
        )
    for index in local:
        _check_key_schema(index["KeySchema"], definitions)
        _check_local_keys(index, schema[0]["AttributeName"])
        _check_projection(index)
        _check_name(index["IndexName"], names)
    if len(local) > LOCAL_INDEXES_MAX:
        raise ValidationException(
            _INVALID + f"Number of LocalSecondaryIndexes exceeds per-table limit of {LOCAL_INDEXES_MAX}"
        )


def _check_local_keys(index: Mapping[str, Any], table_hash: str) -> None:
    if len(index["KeySchema"]) == 1:
        raise ValidationException(
            _INVALID + f"Index KeySchema does not have a range key for index: {index['IndexName']}"
        )
    index_hash = index["KeySchema"][0]["AttributeName"]
    if index_hash != table_hash:
        raise ValidationException(
            _INVALID + "Index KeySchema does not have the same leading hash key as table KeySchema for index: "
            f"{index['IndexName']}. index hash key: {index_hash}, table hash key: {table_hash}"
        )


def _check_global_indexes(request: Mapping[str, Any], definitions: Mapping[str, KeyType], names: set[str]) -> None:
    indexes: Sequence[Mapping[str, Any]] = request["GlobalSecondaryIndexes"]
    if not indexes:
        raise ValidationException(_INVALID + "List of GlobalSecondaryIndexes is empty")
    on_demand = request.get("BillingMode") == "PAY_PER_REQUEST"
    for index in indexes:
        _check_defined(index["KeySchema"], definitions)
        check_global_schema(index["KeySchema"])
        _check_projection(index)
        _check_index_billing(index, on_demand=on_demand)
        _check_name(index["IndexName"], names)
    if len(indexes) > GLOBAL_INDEXES_MAX:
        raise ValidationException(
            _INVALID + f"GlobalSecondaryIndex count exceeds the per-table limit of {GLOBAL_INDEXES_MAX}"
        )


def check_index_definition(
    index: Mapping[str, Any], definitions: Mapping[str, KeyType], *, billing: BillingMode | None = None
) -> None:
    """Checks the definition of a global index that is added to a table.

    Args:
        index: as in a request.
        definitions: the types of key attributes that are known.
        billing: of the table; None where it is not known yet.

    Raises:
        ValidationException: with the service's text for the first rule that it breaks.
    """
    _check_defined(index["KeySchema"], definitions)
    check_global_schema(index["KeySchema"])
    _check_projection(index)
    if billing is not None:
        _check_added_billing(index, on_demand=billing == "PAY_PER_REQUEST")
    elif "ProvisionedThroughput" in index:
        check_capacity(index["ProvisionedThroughput"])


def _check_index_billing(index: Mapping[str, Any], *, on_demand: bool) -> None:
    throughput = index.get("ProvisionedThroughput")
    name = index["IndexName"]
    if on_demand and throughput is not None:
        raise ValidationException(
            _INVALID + f"ProvisionedThroughput should not be specified for index: {name} when BillingMode is "
            "PAY_PER_REQUEST"
        )
    if not on_demand and throughput is None:
        raise ValidationException(_INVALID + f"ProvisionedThroughput is not specified for index: {name}")
    if throughput is not None:
        check_capacity(throughput)


def _check_added_billing(index: Mapping[str, Any], *, on_demand: bool) -> None:
    """Checks the capacity of an index that is added to a table; of those of a new one the words are others."""
    throughput = index.get("ProvisionedThroughput")
    name = index["IndexName"]
    if on_demand and throughput is not None:
        raise ValidationException(
            _INVALID + f"Neither ReadCapacityUnits nor WriteCapacityUnits can be specified for index: {name} when "
            "BillingMode is PAY_PER_REQUEST"
        )
    if not on_demand and throughput is None:
        raise ValidationException(
            _INVALID + f"Both ReadCapacityUnits and WriteCapacityUnits must be specified for index: {name}"
        )


def _check_projection(index: Mapping[str, Any]) -> None:
    projection = index["Projection"]
    kind = projection.get("ProjectionType")
    if kind is None:
        raise ValidationException(_INVALID + "Unknown ProjectionType: null")
    if projection.get("NonKeyAttributes") is not None and kind != "INCLUDE":
        raise ValidationException(_INVALID + f"ProjectionType is {kind}, but NonKeyAttributes is specified")
    if projection.get("NonKeyAttributes") is None and kind == "INCLUDE":
        raise ValidationException(_INVALID + "ProjectionType is INCLUDE, but NonKeyAttributes is not specified")
    names: set[str] = set()
    for name in projection.get("NonKeyAttributes") or ():
        if name in names:
            raise ValidationException(_INVALID + f"Duplicate element in NonKeyAttributes: {name}")
        names.add(name)


def _check_name(name: str, names: set[str]) -> None:
    if name in names:
        raise ValidationException(_INVALID + f"Duplicate index name: {name}")
    names.add(name)
