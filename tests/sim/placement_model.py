"""The rules of placement, as plainly as they can be said: one state, one operation at a time.

An operation is a request that a client sends; applied to a state it gives the status that answers it, and changes the
state or leaves it alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.unit.placement.world import OWNER, uuid_of

#: Amounts by provider number and resource class.
Amounts = dict[int, dict[str, int]]

OK, NO_CONTENT, BAD, NOT_FOUND, CONFLICT = 200, 204, 400, 404, 409


@dataclass(frozen=True)
class Stock:
    """An inventory."""

    total: int
    reserved: int = 0
    allocation_ratio: float = 1.0
    min_unit: int = 1
    max_unit: int = 100
    step_size: int = 1

    @property
    def capacity(self) -> int:
        return int((self.total - self.reserved) * self.allocation_ratio)

    @property
    def document(self) -> dict[str, Any]:
        return dict(vars(self))

    def takes(self, amount: int) -> bool:
        return self.min_unit <= amount <= self.max_unit and amount % self.step_size == 0


@dataclass
class Host:
    """A provider."""

    stocks: dict[str, Stock] = field(default_factory=dict)
    generation: int = 0


@dataclass
class Holder:
    """A consumer that has something."""

    amounts: Amounts
    generation: int = 1


@dataclass
class State:
    """Everything."""

    hosts: dict[int, Host] = field(default_factory=dict)
    holders: dict[int, Holder] = field(default_factory=dict)

    def used(self, host: int, name: str) -> int:
        return sum(holder.amounts.get(host, {}).get(name, 0) for holder in self.holders.values())

    def shown(self) -> dict[str, Any]:
        """Everything that a client can see of it."""
        uses = {number: {name: self.used(number, name) for name in host.stocks} for number, host in self.hosts.items()}
        return {
            "generations": {number: host.generation for number, host in self.hosts.items()},
            "stocks": {number: host.stocks for number, host in self.hosts.items()},
            "used": uses,
            "holders": {number: (holder.generation, holder.amounts) for number, holder in self.holders.items()},
        }

    def fitting(self, name: str, amount: int) -> set[int]:
        """The hosts that have so much of a class free."""
        return {
            number
            for number, host in self.hosts.items()
            if (stock := host.stocks.get(name)) is not None
            and stock.takes(amount)
            and self.used(number, name) + amount <= stock.capacity
        }


class Operation(Protocol):
    """A request."""

    def request(self) -> tuple[str, str, Any]:
        """Method, path and body."""
        ...

    def apply(self, state: State) -> int:
        """Changes the state, or leaves it alone; returns the status of the answer."""
        ...


@dataclass(frozen=True)
class Make:
    """Makes a provider."""

    host: int

    def request(self) -> tuple[str, str, Any]:
        return "POST", "/resource_providers", {"name": f"host-{self.host}", "uuid": uuid_of(self.host)}

    def apply(self, state: State) -> int:
        if self.host in state.hosts:
            return CONFLICT
        state.hosts[self.host] = Host()
        return OK


@dataclass(frozen=True)
class Remove:
    """Deletes a provider."""

    host: int

    def request(self) -> tuple[str, str, Any]:
        return "DELETE", f"/resource_providers/{uuid_of(self.host)}", None

    def apply(self, state: State) -> int:
        if self.host not in state.hosts:
            return NOT_FOUND
        if any(self.host in holder.amounts for holder in state.holders.values()):
            return CONFLICT
        del state.hosts[self.host]
        return NO_CONTENT


@dataclass(frozen=True)
class Furnish:
    """Replaces the inventories of a provider whose generation the client knows."""

    host: int
    stocks: dict[str, Stock]
    generation: int

    def request(self) -> tuple[str, str, Any]:
        listed = {name: stock.document for name, stock in self.stocks.items()}
        body = {"resource_provider_generation": self.generation, "inventories": listed}
        return "PUT", f"/resource_providers/{uuid_of(self.host)}/inventories", body

    def apply(self, state: State) -> int:
        host = state.hosts.get(self.host)
        if host is None:
            return NOT_FOUND
        gone = [name for name in host.stocks if name not in self.stocks]
        if host.generation != self.generation or any(state.used(self.host, name) for name in gone):
            return CONFLICT
        host.stocks, host.generation = self.stocks, host.generation + 1
        return OK


@dataclass(frozen=True)
class Free:
    """Takes everything from a consumer."""

    holder: int

    def request(self) -> tuple[str, str, Any]:
        return "DELETE", f"/allocations/{uuid_of(self.holder)}", None

    def apply(self, state: State) -> int:
        return NOT_FOUND if state.holders.pop(self.holder, None) is None else NO_CONTENT


@dataclass(frozen=True)
class Claim:
    """Gives one consumer what it is to have."""

    holder: int
    amounts: Amounts
    generation: int | None

    @property
    def body(self) -> dict[str, Any]:
        listed = {uuid_of(host): {"resources": resources} for host, resources in self.amounts.items()}
        return {"allocations": listed, "consumer_generation": self.generation, **OWNER}

    def request(self) -> tuple[str, str, Any]:
        return "PUT", f"/allocations/{uuid_of(self.holder)}", self.body

    def apply(self, state: State) -> int:
        return give(state, [self])


@dataclass(frozen=True)
class Exchange:
    """Gives several consumers what they are to have, all or nothing."""

    claims: tuple[Claim, ...]

    def request(self) -> tuple[str, str, Any]:
        return "POST", "/allocations", {uuid_of(claim.holder): claim.body for claim in self.claims}

    def apply(self, state: State) -> int:
        return give(state, self.claims)


@dataclass(frozen=True)
class Reshape:
    """Replaces inventories of providers, and what consumers have, all or nothing."""

    furnished: tuple[Furnish, ...]
    claims: tuple[Claim, ...]

    def request(self) -> tuple[str, str, Any]:
        inventories = {uuid_of(one.host): one.request()[2] for one in self.furnished}
        allocations = {uuid_of(claim.holder): claim.body for claim in self.claims}
        return "POST", "/reshaper", {"inventories": inventories, "allocations": allocations}

    def apply(self, state: State) -> int:
        for one in self.furnished:
            if one.host not in state.hosts:
                return BAD
            if state.hosts[one.host].generation != one.generation:
                return CONFLICT
        return give(state, self.claims, {one.host: one.stocks for one in self.furnished})


def give(
    state: State, claims: tuple[Claim, ...] | list[Claim], furnished: dict[int, dict[str, Stock]] | None = None
) -> int:
    """Gives consumers what they are to have, while inventories are replaced.

    What is above the capacity may stay; nothing above it is given out.
    """
    new = furnished or {}
    refusal = _refusal(state, claims, new)
    if refusal:
        return refusal
    holders = dict(state.holders)
    visited: set[int] = set()
    for claim in claims:
        before = holders.pop(claim.holder, None)
        if claim.amounts:
            holders[claim.holder] = Holder(claim.amounts, before.generation + 1 if before else 1)
            visited |= claim.amounts.keys()
        elif before:
            visited |= before.amounts.keys()
    after = State(state.hosts, holders)
    for number, host in state.hosts.items():
        for name in {*host.stocks, *new.get(number, {})}:
            stock = new.get(number, host.stocks).get(name)
            used = after.used(number, name)
            if used > (stock.capacity if stock else 0) and (stock is None or used > state.used(number, name)):
                return CONFLICT
    state.holders = holders
    for number, host in state.hosts.items():
        host.generation += number in visited
        if number in new:
            host.stocks = new[number]
            host.generation += 2 if host.stocks else 1
    return NO_CONTENT


def _refusal(state: State, claims: tuple[Claim, ...] | list[Claim], new: dict[int, dict[str, Stock]]) -> int:
    """The status of what is refused whatever is in use; 0 where nothing is."""
    for claim in claims:
        before = state.holders.get(claim.holder)
        if (before.generation if before else None) != claim.generation:
            return CONFLICT
    if any(host not in state.hosts for claim in claims for host in claim.amounts):
        return BAD
    for claim in claims:
        for host, resources in claim.amounts.items():
            stocks = state.hosts[host].stocks | new.get(host, {})
            if not all(name in stocks and stocks[name].takes(amount) for name, amount in resources.items()):
                return CONFLICT
    return 0
