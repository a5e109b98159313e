"""Every key that the placement service writes, and the names of its spaces.

======================== ================== ======================== ==================================================
space                    partition          sort                     value and cells
======================== ================== ======================== ==================================================
``placement.providers``  provider uuid      ``p``                    a description
``placement.providers``  provider uuid      ``i`` + class            an inventory
``placement.providers``  provider uuid      ``u`` + class            cell ``used``
``placement.providers``  provider uuid      ``c``                    cells ``generation``, ``inventories``, ``children``
``placement.providers``  provider uuid      ``k``                    its capabilities
``placement.providers``  provider uuid      ``a`` + consumer uuid    what a consumer has here
``placement.consumers``  consumer uuid                               a consumer with its allocations
``placement.consumers``  consumer uuid      ``c``                    the last claim that was made for a consumer
``placement.consumers``  consumer uuid      ``n``                    cell ``claims``
``placement.projects``   project            ``u`` + user, type,      cell ``used``
                                            class
``placement.projects``   project            ``n`` + user, type       cell ``consumers``
``placement.projects``   project            ``q``                    its quota
``placement.projects``   project            ``r``                    cell ``quotas``, the quota's revision
``placement.projects``   project            ``t`` + type, class      cell ``used`` or ``consumers``, where it is limited
``placement.projects``   project            ``j`` + time, uuid       a claim of its consumers, for lists
``placement.claims``     ``r`` + project    ``j`` + time, uuid       a request for its consumers that was refused
``placement.claims``     claim uuid         ``d``                    what ``/v1/claims`` was asked, and the result
``placement.expiry``     (of ``store.expiry``)                       when claims that are not confirmed become free
``placement.catalog``    ``n`` + name                                uuid of the provider of that name
``placement.catalog``    ``classes``        resource class           cell ``users``
``placement.catalog``    ``traits``         trait                    cell ``users``
``placement.catalog``    ``classes``                                 cell ``moves``
======================== ================== ======================== ==================================================

Descriptions are put and counts are added to, and no record has both: a commit may not put a record and add to it.
"""

from __future__ import annotations

from typing import Final

from tenet.base.ids import hyphened
from tenet.base.keycodec import delimit, split_delimited
from tenet.store.contract import Key, Range

PROVIDERS_SPACE: Final = "placement.providers"
CONSUMERS_SPACE: Final = "placement.consumers"
PROJECTS_SPACE: Final = "placement.projects"
CLAIMS_SPACE: Final = "placement.claims"
EXPIRY_SPACE: Final = "placement.expiry"
CATALOG_SPACE: Final = "placement.catalog"

#: Cells of ``c``: raised by what clients see as a change; by every change of an inventory; children of the provider.
GENERATION: Final = "generation"
INVENTORIES: Final = "inventories"
CHILDREN: Final = "children"
#: Cell of what is in use, of a provider and of a project.
USED: Final = "used"
#: Cell that counts the consumers of a project.
CONSUMERS: Final = "consumers"
#: Cell of a custom name: one more than the providers that use it; 0: the name was deleted.
USERS: Final = "users"

#: Cell that counts how often a provider got another parent that others stand below.
MOVES: Final = "moves"

#: Cell that counts the changes of a project's quota.
QUOTAS: Final = "quotas"
#: Cell that counts the claims that were made for a consumer.
CLAIMS: Final = "claims"

DESCRIPTION: Final = b"p"
COUNTS: Final = b"c"
CAPABILITIES: Final = b"k"
CLASSES: Final = b"classes"
TRAITS: Final = b"traits"
_INVENTORY: Final = b"i"
_USED: Final = b"u"
_ALLOCATION: Final = b"a"
_UUID_BYTES: Final = 16

#: Where moves are counted: beside the classes, as a name that is none and that nobody uses.
MOVES_KEY: Final = Key(CATALOG_SPACE, CLASSES)
#: Sort keys of all that a provider is, without its allocations.
SNAPSHOT: Final = Range(b"b", b"v")
#: Sort keys of a provider's allocations.
ALLOCATIONS: Final = Range(b"a", b"b")
#: Sort keys of the uses of a project, and of its counts of consumers.
PROJECT_USES: Final = Range(b"u", b"v")
PROJECT_CONSUMERS: Final = Range(b"n", b"o")
#: Sort keys of all that is counted of a project, with its quota.
PROJECT_COUNTS: Final = Range(b"n", b"v")
#: Sort keys of what is listed of claims and of refused requests: when (8 bytes, milliseconds since 1970), and a uuid.
ENTRIES: Final = Range(b"j", b"k")
ENTRY_BYTES: Final = 25
_ENTRY: Final = b"j"
_REFUSED: Final = b"r"
QUOTA: Final = b"q"
QUOTA_REVISION: Final = b"r"
_TOTAL: Final = b"t"


def uuid_bytes(uuid: str) -> bytes:
    """Returns the 16 bytes of a uuid in its usual form."""
    return bytes.fromhex(uuid.replace("-", ""))


def uuid_text(data: bytes) -> str:
    """Returns the usual form of a uuid, 36 characters in lower case.

    Raises:
        ValueError: it has not 16 bytes.
    """
    if len(data) != _UUID_BYTES:
        raise ValueError(f"a uuid has {_UUID_BYTES} bytes, not {len(data)}")
    return hyphened(data.hex())


def provider_key(uuid: str) -> Key:
    """Returns where a provider's description lies."""
    return Key(PROVIDERS_SPACE, uuid_bytes(uuid), DESCRIPTION)


def counts_key(uuid: str) -> Key:
    """Returns where a provider's generation and its other counts lie."""
    return Key(PROVIDERS_SPACE, uuid_bytes(uuid), COUNTS)


def inventory_key(uuid: str, resource_class: str) -> Key:
    """Returns where an inventory of a provider lies."""
    return Key(PROVIDERS_SPACE, uuid_bytes(uuid), _INVENTORY + resource_class.encode())


def capabilities_key(uuid: str) -> Key:
    """Returns where the capabilities of a provider lie; no record: there are none."""
    return Key(PROVIDERS_SPACE, uuid_bytes(uuid), CAPABILITIES)


def used_key(uuid: str, resource_class: str) -> Key:
    """Returns where it is counted what is in use of a provider's inventory."""
    return Key(PROVIDERS_SPACE, uuid_bytes(uuid), _USED + resource_class.encode())


def allocation_key(uuid: str, consumer: str) -> Key:
    """Returns where it lies in a provider's partition what a consumer has there."""
    return Key(PROVIDERS_SPACE, uuid_bytes(uuid), _ALLOCATION + uuid_bytes(consumer))


def class_of(sort: bytes) -> str:
    """Returns the resource class in the sort key of an inventory or a use."""
    return sort[1:].decode()


def is_inventory(sort: bytes) -> bool:
    """Tells whether a sort key is that of an inventory."""
    return sort[:1] == _INVENTORY


def is_used(sort: bytes) -> bool:
    """Tells whether a sort key is that of a count of what is in use."""
    return sort[:1] == _USED


def consumer_key(uuid: str) -> Key:
    """Returns where a consumer lies."""
    return Key(CONSUMERS_SPACE, uuid_bytes(uuid))


def claim_key(uuid: str) -> Key:
    """Returns where a claim lies, by the claim's own uuid."""
    return Key(CLAIMS_SPACE, uuid_bytes(uuid), b"d")


def last_claim_key(consumer: str) -> Key:
    """Returns where it lies which claim was the last for a consumer."""
    return Key(CONSUMERS_SPACE, uuid_bytes(consumer), b"c")


def claims_count_key(consumer: str) -> Key:
    """Returns where the claims for a consumer are counted."""
    return Key(CONSUMERS_SPACE, uuid_bytes(consumer), b"n")


def name_key(name: str) -> Key:
    """Returns where it lies whose name a name is."""
    return Key(CATALOG_SPACE, b"n" + name.encode())


def class_key(name: str) -> Key:
    """Returns where a custom resource class lies."""
    return Key(CATALOG_SPACE, CLASSES, name.encode())


def trait_key(name: str) -> Key:
    """Returns where a custom trait lies."""
    return Key(CATALOG_SPACE, TRAITS, name.encode())


def project_use_key(project: str, user: str, consumer_type: str, resource_class: str) -> Key:
    """Returns where it is counted what a user's consumers of a type have of a class, in a project."""
    sort = b"u" + delimit(user.encode()) + delimit(consumer_type.encode()) + resource_class.encode()
    return Key(PROJECTS_SPACE, project.encode(), sort)


def project_consumers_key(project: str, user: str, consumer_type: str) -> Key:
    """Returns where a user's consumers of a type are counted, in a project."""
    return Key(PROJECTS_SPACE, project.encode(), b"n" + delimit(user.encode()) + delimit(consumer_type.encode()))


def split_project_key(sort: bytes) -> tuple[str, str, str]:
    """Returns user, consumer type and resource class of a sort key in a project's partition.

    The class is empty where the key is that of a count of consumers.
    """
    user, at = split_delimited(sort, 1)
    consumer_type, at = split_delimited(sort, at)
    return user.decode(), consumer_type.decode(), sort[at:].decode()


def quota_key(project: str) -> Key:
    """Returns where the quota of a project lies."""
    return Key(PROJECTS_SPACE, project.encode(), QUOTA)


def quota_revision_key(project: str) -> Key:
    """Returns where it is counted how often a project's quota was changed."""
    return Key(PROJECTS_SPACE, project.encode(), QUOTA_REVISION)


def project_total_key(project: str, consumer_type: str, resource_class: str) -> Key:
    """Returns where a total of a project is counted.

    Args:
        project: id of the project.
        consumer_type: empty for all of them.
        resource_class: empty for the number of consumers.
    """
    return Key(PROJECTS_SPACE, project.encode(), _TOTAL + delimit(consumer_type.encode()) + resource_class.encode())


def is_total(sort: bytes) -> bool:
    """Tells whether a sort key in a project's partition is that of a total."""
    return sort[:1] == _TOTAL


def split_total_key(sort: bytes) -> tuple[str, str]:
    """Returns consumer type and resource class of the sort key of a total, each empty where it is about all."""
    consumer_type, at = split_delimited(sort, 1)
    return consumer_type.decode(), sort[at:].decode()


def entry_sort(time_ms: int, claim: str | None = None) -> bytes:
    """Returns the sort key of a claim in lists; without one, that of the first one of a time."""
    return _ENTRY + time_ms.to_bytes(8, "big") + (b"" if claim is None else uuid_bytes(claim))


def is_entry(sort: bytes) -> bool:
    """Tells whether a sort key is that of a claim in lists."""
    return sort[:1] == _ENTRY


def claim_of_entry(sort: bytes) -> str:
    """Returns the uuid of the claim of a sort key in lists."""
    return uuid_text(sort[9:])


def entry_key(project: str, time_ms: int, claim: str) -> Key:
    """Returns where a claim lies for lists, in the partition of a project."""
    return Key(PROJECTS_SPACE, project.encode(), entry_sort(time_ms, claim))


def refusals_partition(project: str) -> bytes:
    """Returns the partition of the requests for a project's consumers that were refused."""
    return _REFUSED + project.encode()
