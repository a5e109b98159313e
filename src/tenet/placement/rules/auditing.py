"""What has to be true of everything that is stored, and what is not: the books are added up a second time.

* What is in use of an inventory is the sum of what consumers have of it.
* It is not above the capacity. Only where an inventory was made smaller than what was in use it may be, and never above
  what was in use then.
* A consumer and the providers that it has something of say the same of it.
* A project's sums are those of its consumers, and so are the totals that its quota limits. One that has more than its
  quota lets it have is remarked on, which is no mistake: limits may be lowered.
* A name belongs to one provider, and a provider has one name.
* A provider's parent exists, no provider stands above itself, and the children counted are those that there are.
* A custom class or trait that a provider uses exists, and as many use it as are counted.

Records are handed in one after the other, in any order. What is kept grows with providers, projects and names, not with
consumers: what a consumer has is compared with what its providers say of it by whoever reads both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from tenet.placement import keys
from tenet.placement.model import Consumer, Inventory
from tenet.placement.rules.auditing_quotas import QuotaBooks
from tenet.placement.rules.capabilities import decode_capabilities
from tenet.placement.rules.standard_names import is_standard_class, is_standard_trait
from tenet.placement.rules.stored import (
    Held,
    decode_consumer,
    decode_description,
    decode_held,
    decode_inventory,
    decode_used_then,
)
from tenet.store.contract import Record
from tenet.store.errors import StoreCorrupt

#: How many findings are told; all are counted.
FINDINGS_MAX: Final = 1_000


class Finding(Struct, frozen=True, order=True):
    """Something that is not as it has to be.

    Args:
        kind: which rule it breaks; the same word for ever.
        subject: which provider, consumer, project or name.
        text: what is found, and what has to be.
    """

    kind: str
    subject: str
    text: str


class Audited(Struct, frozen=True):
    """What an audit found.

    Args:
        figures: how much was looked at, by what it is.
        findings: what is wrong, by kind; ``FINDINGS_MAX`` at most.
        count: how many there are.
        remarks: what is as it may be, and is to be known: projects above their quotas; ``FINDINGS_MAX`` at most.
    """

    figures: dict[str, int]
    findings: list[Finding]
    count: int
    remarks: list[Finding] = []


@dataclass(slots=True)
class _Account:
    """What is known of a provider.

    Args:
        name: None while no description was found.
        parent: uuid; empty at the top of a tree.
        inventories: by class, with the most that was in use when each was written.
        used: the count of what is in use, by class.
        held: the sum of what consumers have, by class.
        children: how many are counted.
        capabilities: how many it has.
    """

    name: str | None = None
    parent: str = ""
    inventories: dict[str, tuple[Inventory, int]] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)
    held: Counter[str] = field(default_factory=Counter)
    children: int = 0
    capabilities: int = 0


class Books:
    """Everything that is stored, added up."""

    def __init__(self) -> None:
        self._providers: dict[str, _Account] = {}
        self._projects: dict[tuple[str, str, str, str], int] = {}
        self._quotas = QuotaBooks()
        self._summed: Counter[tuple[str, str, str, str]] = Counter()
        self._names: dict[str, str] = {}
        self._users: dict[tuple[bytes, str], int] = {}
        self._using: Counter[tuple[bytes, str]] = Counter()
        self._figures = dict.fromkeys(("providers", "allocations", "consumers", "projects", "names"), 0)
        self._findings: list[Finding] = []
        self._count = 0

    def note(self, kind: str, subject: str, text: str) -> None:
        """Takes in something that is wrong.

        Args:
            kind: which rule it breaks.
            subject: of what.
            text: what is found.
        """
        self._count += 1
        if len(self._findings) < FINDINGS_MAX:
            self._findings.append(Finding(kind, subject, text))

    # ---- records -----------------------------------------------------------------------------------------------------

    def take_provider_record(self, record: Record) -> tuple[str, Held] | None:
        """Takes in a record of a provider's partition.

        Returns:
            Where it is what a consumer has there: the consumer's uuid, and what it has.
        """
        uuid = keys.uuid_text(record.partition)
        try:
            return self._take_provider_record(uuid, record)
        except StoreCorrupt as error:
            self.note("unreadable", f"provider {uuid}", f"the record {record.sort!r} cannot be read: {error.message}")
            return None

    def _take_provider_record(self, uuid: str, record: Record) -> tuple[str, Held] | None:
        account, sort = self._account(uuid), record.sort
        if sort == keys.DESCRIPTION:
            described = decode_description(record.value)
            account.name, account.parent = described.name, described.parent
            self._figures["providers"] += 1
            self._using.update((keys.TRAITS, name) for name in described.traits if not is_standard_trait(name))
        elif sort == keys.COUNTS:
            account.children = record.cells.get(keys.CHILDREN, 0)
        elif sort == keys.CAPABILITIES:
            account.capabilities = len(decode_capabilities(record.value))
        elif keys.is_inventory(sort):
            name = keys.class_of(sort)
            account.inventories[name] = decode_inventory(record.value)[0], decode_used_then(record.value)
            if not is_standard_class(name):
                self._using[keys.CLASSES, name] += 1
        elif keys.is_used(sort):
            account.used[keys.class_of(sort)] = record.cells.get(keys.USED, 0)
        else:
            held = decode_held(record.value)
            account.held.update(held.resources)
            self._figures["allocations"] += 1
            return keys.uuid_text(sort[1:]), held
        return None

    def _account(self, uuid: str) -> _Account:
        account = self._providers.get(uuid)
        if account is None:
            account = self._providers[uuid] = _Account()
        return account

    def take_consumer(self, record: Record) -> Consumer | None:
        """Takes in a consumer; returns it, or None where it cannot be read."""
        uuid = keys.uuid_text(record.partition)
        try:
            consumer = decode_consumer(uuid, record.value)
        except StoreCorrupt as error:
            self.note("unreadable", f"consumer {uuid}", error.message)
            return None
        self._figures["consumers"] += 1
        owner = (consumer.project, consumer.user, consumer.type)
        self._summed[*owner, ""] += 1
        for resources in consumer.allocations.values():
            for name, amount in resources.items():
                self._summed[*owner, name] += amount
        return consumer

    def take_project_record(self, record: Record) -> None:
        """Takes in a count of a project."""
        project = record.partition.decode()
        try:
            if self._quotas.takes(project, record):
                return
        except StoreCorrupt as error:
            self.note("unreadable", f"project {project}", error.message)
            return
        user, consumer_type, resource_class = keys.split_project_key(record.sort)
        cell = keys.USED if resource_class else keys.CONSUMERS
        self._projects[project, user, consumer_type, resource_class] = record.cells.get(cell, 0)

    def take_name(self, record: Record) -> None:
        """Takes in a record of the catalog: whose a provider's name is, or how many use a class or a trait."""
        if record.partition in {keys.CLASSES, keys.TRAITS}:
            users = record.cells.get(keys.USERS, 0)
            if users:
                self._users[record.partition, record.sort.decode()] = users - 1
        else:
            self._names[record.partition[1:].decode()] = keys.uuid_text(record.value)
            self._figures["names"] += 1

    def compare_holding(self, consumer: Consumer, provider: str, held: Held | None) -> None:
        """Compares what a consumer has of a provider with what the provider says of it.

        Args:
            consumer: as its own record has it.
            provider: uuid.
            held: as the provider has it; None where it has nothing of it.
        """
        subject, resources = f"consumer {consumer.uuid}", consumer.allocations[provider]
        if held is None:
            self.note("allocation-missing", subject, f"it has {resources} of {provider}, which knows nothing of it")
        elif held.resources != resources:
            self.note("allocation-differs", subject, f"it has {resources} of {provider}, which says {held.resources}")
        elif held.generation != consumer.generation:
            generations = f"generation {consumer.generation}, and {held.generation} by what {provider} says"
            self.note("allocation-differs", subject, f"it is of {generations}")

    def compare_holder(self, provider: str, holder: str, consumer: Consumer | None) -> None:
        """Finds what a provider says of a consumer that the consumer does not know of; the rest is compared elsewhere.

        Args:
            provider: uuid.
            holder: uuid of the consumer.
            consumer: as its own record has it; None where there is none.
        """
        if consumer is None:
            self.note("consumer-missing", f"provider {provider}", f"consumer {holder}, which does not exist, has of it")
        elif provider not in consumer.allocations:
            self.note("allocation-unknown", f"provider {provider}", f"consumer {holder} has of it and does not know it")

    # ---- what does not add up ----------------------------------------------------------------------------------------

    def close(self) -> Audited:
        """Adds everything up; called once, when every record was taken in."""
        for uuid, account in self._providers.items():
            for kind, text in (*_of_uses(account), *self._of_description(uuid, account)):
                self.note(kind, f"provider {uuid}", text)
        self._compare_children()
        self._find_loops()
        self._compare_names()
        self._compare_projects()
        self._compare_users()
        for kind, project, text in self._quotas.compare(self._summed):
            self.note(kind, f"project {project}", text)
        remarks = [Finding("above-quota", f"project {project}", text) for project, text in self._quotas.above()]
        return Audited(self._figures, sorted(self._findings), self._count, sorted(remarks)[:FINDINGS_MAX])

    def _of_description(self, uuid: str, account: _Account) -> Iterator[tuple[str, str]]:
        if account.name is None:
            if account.inventories or account.held or account.children or account.capabilities:
                text = "it has inventories, allocations, children or capabilities, and does not exist"
                yield "provider-missing", text
            return
        if account.parent and self._name_of(account.parent) is None:
            yield "parent-missing", f"its parent {account.parent} does not exist"
        owner = self._names.get(account.name)
        if owner != uuid:
            whose = "nobody's" if owner is None else f"that of {owner}"
            yield "name-differs", f"its name is {account.name!r}, which the catalog says is {whose}"

    def _name_of(self, uuid: str) -> str | None:
        account = self._providers.get(uuid)
        return None if account is None else account.name

    def _compare_children(self) -> None:
        found = Counter(account.parent for account in self._providers.values() if account.name and account.parent)
        for uuid, account in self._providers.items():
            if account.children != found[uuid]:
                text = f"{account.children} children are counted, {found[uuid]} have it as their parent"
                self.note("children-differ", f"provider {uuid}", text)

    def _find_loops(self) -> None:
        """Finds providers that stand above themselves; each way up is gone once."""
        good: set[str] = set()
        for start in self._providers:
            way: dict[str, None] = {}
            at = start
            while at and at not in good and at not in way:
                way[at] = None
                account = self._providers.get(at)
                at = account.parent if account else ""
            if at in way:
                self.note("loop", f"provider {at}", "it stands above itself")
            good.update(way)

    def _compare_names(self) -> None:
        for name, uuid in self._names.items():
            if self._name_of(uuid) != name:
                self.note("name-unused", f"name {name!r}", f"the catalog says it is that of {uuid}, which has it not")

    def _compare_projects(self) -> None:
        self._figures["projects"] = len({project for project, _, _, _ in self._projects.keys() | self._summed.keys()})
        for owner in self._projects.keys() | self._summed.keys():
            counted, summed = self._projects.get(owner, 0), self._summed[owner]
            if counted != summed:
                project, user, consumer_type, name = owner
                text = f"user {user}, type {consumer_type}: {counted} {name or 'consumers'} counted, {summed} found"
                self.note("project-differs", f"project {project}", text)

    def _compare_users(self) -> None:
        for key in self._users.keys() | self._using.keys():
            kind, name = key
            subject = f"{'resource class' if kind == keys.CLASSES else 'trait'} {name}"
            counted, found = self._users.get(key), self._using[key]
            if counted is None:
                self.note("name-missing", subject, f"{found} providers use it, and it does not exist")
            elif counted != found:
                self.note("users-differ", subject, f"{counted} providers are counted that use it, {found} found")


def _of_uses(account: _Account) -> Iterator[tuple[str, str]]:
    """Returns what is wrong with what is in use of a provider."""
    for name in sorted(account.used.keys() | account.held.keys()):
        used, held = account.used.get(name, 0), account.held[name]
        if used != held:
            yield "use-differs", f"{name}: {used} in use by the count, {held} by the sum of allocations"
        known = account.inventories.get(name)
        if known is None:
            if max(used, held) > 0:
                yield "inventory-missing", f"{name}: {max(used, held)} in use of an inventory that does not exist"
            continue
        inventory, used_then = known
        bound = max(inventory.capacity, used_then)
        if max(used, held) > bound:
            then = f", and {used_then} were in use when the inventory was last changed" if used_then else ""
            yield "over-committed", f"{name}: {max(used, held)} in use; the capacity is {inventory.capacity}{then}"
