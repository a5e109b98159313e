"""Where the service checks requests otherwise than its published model says.

Sources: answers of us-east-1 as two published test suites recorded them (dynalite's, and the captures of
nubo-db/dynamodb-conformance of June 2026), captures of October 2026 of tags and classes of tables, and the API
reference.
"""

from __future__ import annotations

import re
from typing import Final

#: The order in which the members of a request are checked, where it is known; others follow in the model's order.
MEMBER_ORDER: Final[dict[str, tuple[str, ...]]] = {
    "PutItemInput": (
        "ReturnValues",
        "ReturnConsumedCapacity",
        "TableName",
        "Item",
        "ConditionalOperator",
        "Expected",
        "ReturnItemCollectionMetrics",
    ),
    "DeleteItemInput": (
        "ReturnValues",
        "ReturnConsumedCapacity",
        "TableName",
        "ReturnItemCollectionMetrics",
        "Key",
        "ConditionalOperator",
        "Expected",
    ),
    "UpdateItemInput": (
        "ReturnConsumedCapacity",
        "TableName",
        "ReturnItemCollectionMetrics",
        "ReturnValues",
        "Key",
        "ConditionalOperator",
        "Expected",
        "AttributeUpdates",
    ),
    "GetItemInput": ("ReturnConsumedCapacity", "AttributesToGet", "TableName", "Key"),
    "QueryInput": (
        "Select",
        "IndexName",
        "ReturnConsumedCapacity",
        "QueryFilter",
        "TableName",
        "ConditionalOperator",
        "AttributesToGet",
        "Limit",
        "KeyConditions",
        "ExclusiveStartKey",
    ),
    "ScanInput": (
        "Select",
        "IndexName",
        "TotalSegments",
        "ReturnConsumedCapacity",
        "TableName",
        "ConditionalOperator",
        "ScanFilter",
        "Segment",
        "Limit",
        "AttributesToGet",
        "ExclusiveStartKey",
    ),
    "BatchGetItemInput": ("ReturnConsumedCapacity", "RequestItems"),
    "BatchWriteItemInput": ("ReturnConsumedCapacity", "ReturnItemCollectionMetrics", "RequestItems"),
    "WriteRequest": ("DeleteRequest", "PutRequest"),
    "CreateTableInput": ("AttributeDefinitions", "TableName", "BillingMode", "ProvisionedThroughput", "KeySchema"),
    "ProvisionedThroughput": ("WriteCapacityUnits", "ReadCapacityUnits"),
}

#: Members that the service requires although the model does not, in a constraint of their own.
REQUIRED: Final[dict[str, tuple[str, ...]]] = {"CreateTableInput": ("AttributeDefinitions", "KeySchema")}

#: Members that the model requires and whose absence the operation itself reports.
NOT_REQUIRED: Final[dict[str, frozenset[str]]] = {
    "TagResourceInput": frozenset({"ResourceArn", "Tags"}),
    "UntagResourceInput": frozenset({"ResourceArn", "TagKeys"}),
    "ListTagsOfResourceInput": frozenset({"ResourceArn"}),
    "Tag": frozenset({"Key", "Value"}),
}

#: Texts whose length the operation itself checks, and reports in words of its own.
ANY_LENGTH: Final = frozenset({"TagKeyString", "TagValueString"})
#: Texts whose enumeration the operation itself checks, and reports in words of its own.
ANY_VALUE: Final = frozenset({"TableClass"})

#: Operations that look at their TableName alone and before everything else, with texts of their own.
TABLE_NAME_FIRST: Final = frozenset(
    {"CreateTable", "DeleteTable", "DescribeTable", "DescribeTimeToLive", "UpdateTable", "UpdateTimeToLive"}
)

#: The shape of a table's name or ARN. The model says only how long an ARN may be.
TABLE_ARN_SHAPE: Final = "TableArn"
TABLE_NAME_CHARS_MIN: Final = 3
TABLE_NAME_CHARS_MAX: Final = 255
NAME_PATTERN: Final = "[a-zA-Z0-9_.-]+"
#: What is accepted where a table is named: a name, or the ARN of a table.
TABLE_NAME: Final = re.compile(
    r"[a-zA-Z0-9_.-]{3,255}|arn:aws[a-z-]*:dynamodb:[a-z0-9-]+:[0-9]{12}:table/[a-zA-Z0-9_.-]{3,255}"
)

#: How the service prints a structure whose own fields are not all in the model.
PRINTED_MEMBERS: Final[dict[str, tuple[str, ...]]] = {
    "AttributeValue": (
        "S", "N", "B", "INT", "DECIMAL", "DOUBLE", "SS", "NS", "BS", "INTSET", "DECIMALSET", "DOUBLESET", "M", "L",
        "NULL", "BOOL",
    ),
    "WriteRequest": ("PutRequest", "DeleteRequest"),
    "PutRequest": ("Item", "WorkloadProfileName"),
}  # fmt: skip
