"""Known differences that moto has alone."""

from __future__ import annotations

from tests.conformance.differential.compare import CONTENTS_AFTER_REFUSAL, Difference
from tests.conformance.differential.known_conditions import (
    CONSUMED,
    CONTENTS,
    ITEMS,
    NONE,
    STATEMENTS,
    TRANSACTIONS,
    same_by_value,
)
from tests.conformance.differential.known_differences import (
    CAPTURED,
    DOCUMENTED,
    MOTO,
    KnownDifference,
)

#: How many tags moto puts on a page.
_MOTO_PAGE = 10


def _is_first_page(difference: Difference) -> bool:
    """Whether the witness lists as many of Tenet's tags as a page of its own takes, or says that there are more."""
    if difference.member == "NextToken":
        return difference.ours is None
    return len(difference.theirs) == _MOTO_PAGE and all(tag in difference.ours for tag in difference.theirs)


def _has_former_tags(difference: Difference) -> bool:
    """Whether the witness has Tenet's tags, and some of their keys with another value as well."""
    ours, theirs = difference.ours or [], difference.theirs or []
    keys = {tag["Key"] for tag in ours}
    return all(tag in theirs for tag in ours) and all(tag["Key"] in keys for tag in theirs)


OF_MOTO = (
    KnownDifference(
        name="moto-former-tags",
        witnesses=(MOTO,),
        member="Tags",
        reason="A tag whose key is there takes its place; moto keeps both.",
        source=DOCUMENTED,
        operations=("ListTagsOfResource",),
        when=_has_former_tags,
    ),
    KnownDifference(
        name="moto-settings",
        witnesses=(MOTO,),
        member=r"Table(Description)?\.(TableClass|(indexes\.)?OnDemandThroughput)",
        reason="moto keeps neither the class nor the maximums of a table.",
        source=DOCUMENTED,
        theirs=NONE,
    ),
    KnownDifference(
        name="moto-warm-throughput",
        witnesses=(MOTO,),
        member=r"Table(Description)?\.(indexes\.)?WarmThroughput",
        reason="What of warm throughput was not asked for is described as what everything has; moto leaves it out.",
        source=CAPTURED,
        theirs="None",
    ),
    KnownDifference(
        name="moto-quotas",
        witnesses=(MOTO,),
        member="(Account|Table)Max(Read|Write)CapacityUnits",
        reason="DescribeLimits answers the default quotas, of which moto has older ones.",
        source=DOCUMENTED,
        operations=("DescribeLimits",),
    ),
    KnownDifference(
        name="moto-pages-of-tags",
        witnesses=(MOTO,),
        member="Tags|NextToken",
        reason="All tags of a table come on one page; moto's pages have ten.",
        source=DOCUMENTED,
        operations=("ListTagsOfResource",),
        when=_is_first_page,
    ),
    KnownDifference(
        name="moto-refusals",
        witnesses=(MOTO,),
        member="outcome|message",
        reason="moto checks far less than the service and words what it refuses in its own way.",
        source=DOCUMENTED,
        when=lambda difference: difference.operation not in STATEMENTS,
    ),
    KnownDifference(
        name="moto-spelling-of-numbers",
        witnesses=(MOTO,),
        member=ITEMS,
        reason="moto gives numbers back as they were sent, those of keys too.",
        source=CAPTURED,
        when=same_by_value,
    ),
    KnownDifference(
        name="moto-refused-writes",
        witnesses=(MOTO,),
        member=CONTENTS_AFTER_REFUSAL,
        reason="moto carries out what stands before the part of a batch or a transaction for which it refuses it.",
        source=DOCUMENTED,
        operations=("BatchWriteItem", "TransactWriteItems"),
    ),
    KnownDifference(
        name="moto-items-of-refusals",
        witnesses=(MOTO,),
        member="Item",
        reason="Who asks for the item that refused a write is given it, with Expected too; moto leaves it out.",
        source=DOCUMENTED,
        when=lambda difference: "Expected" in difference.request,
    ),
    KnownDifference(
        name="moto-evaluation",
        witnesses=(MOTO,),
        member="Count|Items|LastEvaluatedKey",
        reason="moto takes two absent attributes for equal, and no value for one that begins with an empty one.",
        source=DOCUMENTED,
        operations=("Query", "Scan"),
        when=lambda difference: "FilterExpression" in difference.request,
    ),
    KnownDifference(
        name="moto-refused-updates",
        witnesses=(MOTO,),
        member=f"{CONTENTS}|Attributes",
        reason="moto makes an item for an update that it then refuses, and computes with 28 digits.",
        source=DOCUMENTED,
        operations=("UpdateItem", "TransactWriteItems", "Scan"),
    ),
    KnownDifference(
        name="moto-answers-of-transactions",
        witnesses=(MOTO,),
        member="Responses|CancellationReasons",
        reason="moto does not project in transactions, and fails inside on conditions of absent attributes.",
        source=DOCUMENTED,
        operations=TRANSACTIONS,
    ),
    KnownDifference(
        name="moto-capacity",
        witnesses=(MOTO,),
        member=f"{CONSUMED}|LastEvaluatedKey",
        reason="moto answers capacity and metrics that are not those of the service.",
        source=DOCUMENTED,
    ),
)
