"""Known differences in what a table is given beside its keys: tags, class, encryption, throughput, protection."""

from __future__ import annotations

from typing import Any

from tests.conformance.differential.compare import Difference
from tests.conformance.differential.known_conditions import NONE, SUCCESS
from tests.conformance.differential.known_differences import (
    CAPTURED,
    DOCUMENTED,
    DYNALITE,
    DYNOXIDE,
    LOCAL,
    KnownDifference,
)
from tests.conformance.differential.table_requests import ARNS

#: DynamoDB Local has no operations on tags; what CreateTable takes as tags it does not look at.
WITHOUT_TAGS = (LOCAL,)
#: dynalite takes no notice of settings, and refuses updates that change nothing else.
WITHOUT_SETTINGS = (DYNALITE,)

_ON_TAGS = ("TagResource", "UntagResource", "ListTagsOfResource")
_ON_TABLES = ("CreateTable", "UpdateTable")
_FAULTS_OF_TAGS = (
    "The Tag (Key|Value) provided is invalid|Tag Key cannot be prefixed|Duplicate Tag Keys|Number of Tags exceed"
)
#: Settings that a request may have at any depth.
_SETTINGS = ("SSESpecification", "TableClass", "WarmThroughput", "OnDemandThroughput", "StreamSpecification")


def _lacks_tags(difference: Difference) -> bool:
    """Whether the witness lists some of the tags that Tenet lists, and no others."""
    return all(tag in difference.ours for tag in difference.theirs)


def _names_an_arn(difference: Difference) -> bool:
    return str(difference.request.get("TableName")).startswith(ARNS)


def _has_settings(difference: Difference) -> bool:
    return any(f"'{name}'" in str(difference.request) for name in _SETTINGS)


def _keeps_what_is_lifted(difference: Difference) -> bool:
    """Whether the witness has maximums of indexes that Tenet has not, and those that it has."""
    theirs = _without_lifted(difference.theirs)
    return all(units.items() <= theirs.get(index, {}).items() for index, units in (difference.ours or {}).items())


def _without_lifted(maximums: Any) -> Any:
    """The maximums of indexes without those that are none."""
    limited = {
        index: {name: units for name, units in of_index.items() if units != -1}
        for index, of_index in (maximums or {}).items()
    }
    return {index: of_index for index, of_index in limited.items() if of_index}


OF_SETTINGS = (
    KnownDifference(
        name="dynalite-tags-of-new-tables",
        witnesses=(DYNALITE,),
        member="Tags",
        reason="dynalite takes no notice of the tags of a new table.",
        source=DOCUMENTED,
        operations=("ListTagsOfResource",),
        when=_lacks_tags,
    ),
    KnownDifference(
        name="dynalite-shapes-of-tags-of-new-tables",
        witnesses=(DYNALITE, DYNOXIDE),
        member="outcome",
        reason="dynalite does not look at the JSON types of the tags of a new table, nor dynoxide at those of tags.",
        source=DOCUMENTED,
        operations=("CreateTable", *_ON_TAGS),
        ours="^SerializationException",
        when=lambda difference: "Tag" in str(difference.request),
    ),
    KnownDifference(
        name="tags-in-themselves",
        witnesses=(DYNALITE, DYNOXIDE),
        member="outcome",
        reason="Tags are checked before the table is looked up; the peers take wrong ones, and dynalite dies of some.",
        source=CAPTURED,
        operations=("CreateTable", *_ON_TAGS),
        ours=_FAULTS_OF_TAGS,
        theirs="^success|^ResourceNotFoundException|^no answer",
    ),
    KnownDifference(
        name="dynoxide-words-of-tags",
        witnesses=(DYNOXIDE,),
        member="message",
        reason="dynoxide words what is wrong with a tag in its own way, and takes no tags for an empty list of them.",
        source=CAPTURED,
        operations=("CreateTable", "TagResource", "UntagResource"),
        ours=f"{_FAULTS_OF_TAGS}|^tag(s|Keys): Member must not be null",
        theirs="Too many tags|Tag (key|value) must be|Atleast one Tag",
    ),
    KnownDifference(
        name="forms-of-arns",
        witnesses=(DYNALITE, DYNOXIDE),
        member="outcome|message",
        reason="What is no ARN, and what is one of something else than a table, is told apart; older releases did not.",
        source=CAPTURED,
        operations=_ON_TAGS,
        ours=(
            "ARNs must start with|Provided Arn is not|Invalid resource arn provided"
            "|Invalid TableArn: Invalid ResourceArn|resourceArn(: |' failed to satisfy constraint: )Member must have"
        ),
    ),
    KnownDifference(
        name="dynoxide-tags-of-absent-tables",
        witnesses=(DYNOXIDE,),
        member="outcome",
        reason="The tags of a table that does not exist are not found; dynoxide denies access to them.",
        source=CAPTURED,
        operations=("ListTagsOfResource",),
        ours="^ResourceNotFoundException",
        theirs="^AccessDeniedException",
    ),
    KnownDifference(
        name="arns-of-no-table",
        witnesses=(DYNALITE, DYNOXIDE),
        member="message",
        reason="The ARN of no table is named by all operations on tags, and spelled as newer captures have it.",
        source=CAPTURED,
        operations=_ON_TAGS,
        ours="^Requested resource not found: ResourceArn: ",
        theirs="^Requested resource not found",
    ),
    KnownDifference(
        name="dynoxide-tables-with-too-many-tags",
        witnesses=(DYNOXIDE,),
        member="outcome",
        reason="A table whose tags are refused is not made; dynoxide makes it before it counts them.",
        source=CAPTURED,
        operations=(*_ON_TAGS, "DeleteTable"),
        ours="^ResourceNotFoundException",
        theirs=SUCCESS,
    ),
    KnownDifference(
        name="tokens-of-tags",
        witnesses=(DYNALITE, DYNOXIDE),
        member="outcome",
        reason="All tags come on one page, so that nobody gave a token; the peers do not look at its JSON type.",
        source=DOCUMENTED,
        operations=("ListTagsOfResource",),
        ours="^SerializationException: NUMBER_VALUE cannot be converted to String$",
        when=lambda difference: "NextToken" in difference.request,
    ),
    KnownDifference(
        name="dynoxide-arns-as-names",
        witnesses=(DYNOXIDE,),
        member="outcome|message",
        reason="The ARN of a table stands for its name; dynoxide takes names alone.",
        source=DOCUMENTED,
        theirs="ableName(: |' failed to satisfy constraint: )Member must satisfy regular expression",
        when=_names_an_arn,
    ),
    KnownDifference(
        name="local-settings",
        witnesses=(LOCAL,),
        member=r"Table(Description)?\.(TableClass|SSEDescription|(indexes\.)?WarmThroughput)",
        reason="DynamoDB Local keeps no class, no encryption and no warm throughput of a table.",
        source=DOCUMENTED,
        theirs=NONE,
    ),
    KnownDifference(
        name="dynoxide-settings",
        witnesses=(DYNOXIDE,),
        member=r"Table(Description)?\.((indexes\.)?WarmThroughput|indexes\.OnDemandThroughput)",
        reason="dynoxide keeps no warm throughput, and no maximums of an index.",
        source=DOCUMENTED,
        theirs=NONE,
    ),
    KnownDifference(
        name="dynoxide-encryption-that-is-off",
        witnesses=(DYNOXIDE,),
        member=r"Table(Description)?\.SSEDescription",
        reason="Where the service's own key is in use the encryption is not described.",
        source=DOCUMENTED,
        ours=NONE,
        theirs="'Status': 'DISABLED'",
    ),
    KnownDifference(
        name="local-maximums-that-are-none",
        witnesses=(LOCAL,),
        member=r"Table(Description)?\.indexes\.OnDemandThroughput",
        reason="A maximum that there is none of, or that was lifted, is not described.",
        source=CAPTURED,
        theirs="-1",
        when=lambda difference: (difference.ours or {}) == _without_lifted(difference.theirs),
    ),
    KnownDifference(
        name="local-forgets-maximums",
        witnesses=(LOCAL,),
        member=r"Table\.OnDemandThroughput",
        reason="The maximums of a table stay what they are when something else changes; DynamoDB Local forgets them.",
        source=DOCUMENTED,
        operations=("DescribeTable",),
        theirs=NONE,
    ),
    KnownDifference(
        name="local-forgets-maximums-of-indexes",
        witnesses=(LOCAL,),
        member=r"Table\.indexes\.OnDemandThroughput",
        reason="The maximums of an index stay what they are when something else changes; DynamoDB Local forgets them.",
        source=DOCUMENTED,
        operations=("DescribeTable",),
        when=lambda difference: all(
            of in (difference.ours or {}).items() for of in _without_lifted(difference.theirs).items()
        ),
    ),
    KnownDifference(
        name="local-keeps-maximums-of-indexes",
        witnesses=(LOCAL,),
        member=r"Table\.indexes\.OnDemandThroughput",
        reason="A maximum of an index that is lifted by -1 is gone; DynamoDB Local keeps it.",
        source=DOCUMENTED,
        operations=("DescribeTable",),
        when=_keeps_what_is_lifted,
    ),
    KnownDifference(
        name="dynalite-warm-throughput",
        witnesses=(DYNALITE,),
        member=r"Table\.(indexes\.)?WarmThroughput",
        reason="What was warm by a higher capacity stays so; dynalite has no warm throughput.",
        source=CAPTURED,
        operations=("DescribeTable",),
        theirs=NONE,
    ),
    KnownDifference(
        name="dynoxide-encryption-by-type",
        witnesses=(DYNOXIDE,),
        member=r"Table(Description)?\.SSEDescription",
        reason="A type of encryption without Enabled enables it; to dynoxide it does not.",
        source=CAPTURED,
        ours="'Status': 'ENABLED'",
        theirs="'Status': 'DISABLED'",
    ),
    KnownDifference(
        name="local-updates-of-settings",
        witnesses=(LOCAL,),
        member="outcome",
        reason="DynamoDB Local does not know that class and warm throughput can be changed.",
        source=DOCUMENTED,
        operations=("UpdateTable",),
        ours=SUCCESS,
        theirs="Nothing to update$",
        when=_has_settings,
    ),
    KnownDifference(
        name="local-throughput-in-part",
        witnesses=(LOCAL,),
        member="outcome",
        reason="Maximums and warm throughput may be given in part, and to an index alone; DynamoDB Local fails.",
        source=CAPTURED,
        operations=_ON_TABLES,
        ours=SUCCESS,
        theirs="read and write throughput must be at least 1|No provisioned throughput specified|^InternalFailure",
        when=_has_settings,
    ),
    KnownDifference(
        name="one-change-at-a-time",
        witnesses=(LOCAL, DYNOXIDE),
        member="outcome|message",
        reason="Encryption, class, protection and warm throughput are changed alone, streams without capacity.",
        source=CAPTURED,
        operations=("UpdateTable",),
        ours=(
            "must be the only operation in the request$|can only be combined with BillingMode|^(ValidationException: )?"
            "One or more parameter values were invalid: (You cannot (create|modify)|Create global secondary index)"
        ),
    ),
    KnownDifference(
        name="checks-of-settings",
        witnesses=(LOCAL, DYNOXIDE),
        member="outcome|message",
        reason="Classes, encryption and throughput are checked in words that the peers do not have, or not everywhere.",
        source=CAPTURED,
        operations=_ON_TABLES,
        ours=(
            "Invalid table-class|[sS]SEType|KMSMasterKeyId can not|WarmThroughput must have at least|already encrypted"
            "|(Requested )?(Max(Read|Write)RequestUnits for OnDemand|(Read|Write)UnitsPerSecond for Warm)Throughput"
        ),
    ),
    KnownDifference(
        name="limits-and-endpoints",
        witnesses=(LOCAL, DYNOXIDE),
        member="outcome",
        reason="DescribeEndpoints is answered, and DescribeLimits; dynoxide has neither, DynamoDB Local no endpoints.",
        source=DOCUMENTED,
        operations=("DescribeEndpoints", "DescribeLimits"),
        ours=SUCCESS,
        theirs="^UnknownOperationException",
    ),
    KnownDifference(
        name="dynoxide-capacity-in-updates",
        witnesses=(DYNOXIDE,),
        member="outcome|message",
        reason="The update of an index may change its other settings; dynoxide wants its capacity.",
        source=DOCUMENTED,
        operations=("UpdateTable",),
        theirs=r"member\.update\.provisionedThroughput(: |' failed to satisfy constraint: )Member must not be null",
        when=_has_settings,
    ),
    KnownDifference(
        name="dynoxide-changes",
        witnesses=(DYNOXIDE,),
        member="outcome|message",
        reason="An update of encryption or of warm throughput changes something; to dynoxide it does not.",
        source=DOCUMENTED,
        operations=("UpdateTable",),
        theirs="At least one of ProvisionedThroughput",
        when=_has_settings,
    ),
    KnownDifference(
        name="dynoxide-types-of-settings",
        witnesses=(DYNOXIDE,),
        member="outcome",
        reason="dynoxide looks at the JSON types of settings late, or not at all.",
        source=CAPTURED,
        operations=_ON_TABLES,
        ours="^SerializationException",
        when=_has_settings,
    ),
)
