"""What the pipes service knows about a pipe: its description as it is stored, and how far it has come."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct

from tenet.tables.api import Source

Desired: TypeAlias = Literal["RUNNING", "STOPPED"]
#: Where a pipe is in its life. What clients see as its state follows from it, and from what is desired.
Phase: TypeAlias = Literal["CREATING", "ACTIVE", "DELETING", "FAILED"]

#: How many changes a runner takes from the log at a time where nothing else is said (CreatePipe, BatchSize).
BATCH_SIZE: Final = 100


class Pipe(Struct, frozen=True, dict=True):
    """A pipe, as it is stored. Fields are added with defaults, so that older and newer versions read each other's.

    Args:
        id: 32 hexadecimal digits; never used again.
        account: the tenant, 12 digits.
        name: unique within the tenant.
        region: of the request that made it; stands in its ARN.
        source: the table whose changes it takes.
        target: ARN of the queue that they go to.
        role: ARN as it was given; kept and told, and of no effect.
        created_ms: when it was made, milliseconds since 1970.
        modified_ms: when it was last changed by a request.
        phase: where it is in its life.
        desired: what its owner wants it to do.
        description: the owner's words.
        starting: ``LATEST`` or ``TRIM_HORIZON``.
        batch_size: the most changes that are taken from the log at a time, 1 to 10,000.
        retries_max: how often a record is tried again before it is discarded; -1: it is not discarded for that.
        age_s_max: how old a record gets before it is discarded, seconds; -1: no less than anybody's (``RECORD_S_MAX``).
        filters: event patterns, of which one has to match; all records pass where there are none.
        group: MessageGroupId, as it is or as a path into the record; empty for the item's key.
        deduplication: MessageDeduplicationId, the same; empty for the record's sequence number.
        source_parameters: as they were given, for descriptions.
        target_parameters: the same.
        tags: by key.
        reason: why it failed, where it did.
        revision: counts the changes of this description.
    """

    id: str
    account: str
    name: str
    region: str
    source: Source
    target: str
    role: str
    created_ms: int
    modified_ms: int
    phase: Phase = "CREATING"
    desired: Desired = "RUNNING"
    description: str = ""
    starting: str = "LATEST"
    batch_size: int = BATCH_SIZE
    retries_max: int = -1
    age_s_max: int = -1
    filters: tuple[str, ...] = ()
    group: str = ""
    deduplication: str = ""
    source_parameters: dict[str, Any] = {}
    target_parameters: dict[str, Any] = {}
    tags: dict[str, str] = {}
    reason: str = ""
    revision: int = 1

    @cached_property
    def arn(self) -> str:
        """Its Amazon Resource Name."""
        return f"arn:aws:pipes:{self.region}:{self.account}:pipe/{self.name}"

    @cached_property
    def reader(self) -> str:
        """By which name the log of the table knows it."""
        return f"pipe-{self.id}"

    @cached_property
    def has_fifo_target(self) -> bool:
        """Whether the queue keeps the order of its groups."""
        return self.target.endswith(".fifo")

    @property
    def is_wanted(self) -> bool:
        """Whether it is to deliver."""
        return self.phase == "ACTIVE" and self.desired == "RUNNING"


class Cursor(Struct, frozen=True):
    """How far a pipe has come in a shard of its table's log.

    Args:
        position: everything up to here was acknowledged by the queue, filtered out or discarded.
        reason: why it does not get on; empty while it does.
        since_ms: since when it does not, milliseconds since 1970.
    """

    position: int = 0
    reason: str = ""
    since_ms: int = 0
