"""The fleet: every provider as this node last heard of it, laid out so that a request is decided for all at once.

Each provider has a place, a small number that it keeps while it is there. What requests filter by lies in columns
(NumPy arrays) over the places: of each resource class the most that one claim may get, the number of the set of traits
and of the set of aggregates (``sets``), and the place of the root of the tree. The rest is read from the providers
themselves, for the few that are told about.

It does no I/O, and is a cache: it may be behind, and it decides nothing. What is granted, commits decide.

Providers may come in any order, a child before its root: until the root is here, its tree is not found.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from tenet.placement.fleet.capabilities import Capabilities
from tenet.placement.fleet.sets import Mask, Sets
from tenet.placement.model import AMOUNT_MAX, SHARES, Inventory, Provider
from tenet.placement.rules.capabilities import Comparison
from tenet.placement.rules.provider_filters import ProviderFilter

_PLACES_MIN: Final = 64
#: In a column of a resource class: the provider has none of it.
_NOTHING: Final = -1
#: Of so many requests it is kept what was decided for them: some bytes for each provider and request.
DECISIONS_MAX: Final = 32


class _Column:
    """One resource class over all places: what the largest claim is that fits, and which sizes may be claimed."""

    __slots__ = ("asked", "least", "most", "odd", "over", "step")

    def __init__(self, places: int) -> None:
        self.most = np.full(places, _NOTHING, dtype=np.int32)
        self.least = np.ones(places, dtype=np.int32)
        self.step = np.ones(places, dtype=np.int32)
        #: How many places have another least or another step than 1. Where none does, these are not looked at.
        self.odd = 0
        #: Places where more is in use than there is.
        self.over: set[int] = set()
        #: Amounts that what is decided of the fleet hangs on, in ascending order.
        self.asked: list[int] = []

    def grow(self, places: int) -> None:
        more = places - len(self.most)
        self.most = np.concatenate([self.most, np.full(more, _NOTHING, dtype=np.int32)])
        self.least = np.concatenate([self.least, np.ones(more, dtype=np.int32)])
        self.step = np.concatenate([self.step, np.ones(more, dtype=np.int32)])

    def put(self, place: int, inventory: Inventory, used: int) -> None:
        self.clear(place)
        self.least[place], self.step[place] = inventory.min_unit, inventory.step_size
        self.odd += inventory.min_unit != 1 or inventory.step_size != 1
        _ = self.set_used(place, inventory, used)

    def set_used(self, place: int, inventory: Inventory, used: int) -> bool:
        """Returns whether one of the amounts that are asked for fits now and did not before, or the other way round."""
        free = inventory.capacity - used
        before, after = int(self.most[place]), max(0, min(free, inventory.max_unit))
        self.most[place] = after
        if free < 0:
            self.over.add(place)
        elif self.over:
            self.over.discard(place)
        return bisect_right(self.asked, before) != bisect_right(self.asked, after)

    def clear(self, place: int) -> None:
        self.odd -= bool(self.least[place] != 1 or self.step[place] != 1)
        self.most[place], self.least[place], self.step[place] = _NOTHING, 1, 1
        self.over.discard(place)

    def fits(self, amount: int, places: int) -> Mask:
        if amount > AMOUNT_MAX:
            return np.zeros(places, dtype=np.bool_)
        fits: Mask = self.most[:places] >= amount
        if self.odd:
            fits &= self.least[:places] <= amount
            fits &= amount % self.step[:places] == 0
        return fits


class Fleet:
    """All providers, for one node. Not for several threads."""

    def __init__(self) -> None:
        self._providers: list[Provider | None] = []
        self._used: list[dict[str, int]] = []
        self._generations: list[int] = []
        self._places: dict[str, int] = {}
        self._names: dict[str, int] = {}
        self._free: list[int] = []
        #: Of each root, the places of the providers of its tree, its own included as soon as it is here.
        self._trees: dict[int, dict[int, None]] = {}
        self._columns: dict[str, _Column] = {}
        self._traits: Sets[str] = Sets()
        self._aggregates: Sets[str] = Sets()
        self._capabilities = Capabilities(_PLACES_MIN)
        self._traits_at = np.zeros(_PLACES_MIN, dtype=np.int32)
        self._aggregates_at = np.zeros(_PLACES_MIN, dtype=np.int32)
        self._roots_at = np.zeros(_PLACES_MIN, dtype=np.int32)
        self._here = np.zeros(_PLACES_MIN, dtype=np.bool_)
        self._sharing: dict[str, set[int]] = {}
        self._sharing_places: set[int] = set()
        self._children = 0
        self._tops: Mask = np.zeros(0, dtype=np.bool_)
        self._tops_of = 0
        #: Raised by every change but those of what is in use; who searches in steps begins anew when it was.
        self.shape = 0
        self._decisions: dict[int, tuple[object, object]] = {}

    # ---- changes -----------------------------------------------------------------------------------------------------

    def put(self, provider: Provider) -> None:
        """Takes a provider in, or in place of what was known of it.

        Args:
            provider: the whole of it. Where its tree changed, its descendants are put as well.
        """
        self.shape += 1
        self._forget_decisions()
        place = self._place_of(provider.uuid)
        if self._providers[place] is not None:
            self._withdraw(place)
        traits, aggregates = self._traits.take(provider.traits), self._aggregates.take(provider.aggregates)
        provider = replace(
            provider,
            traits=self._traits[traits],
            aggregates=self._aggregates[aggregates],
            capabilities=self._capabilities.put(place, provider.capabilities),
        )
        root = self._place_of(provider.root)
        self._providers[place] = provider
        self._used[place] = dict(provider.used)
        self._generations[place] = provider.generation
        self._names[provider.name] = place
        self._trees.setdefault(root, {})[place] = None
        self._traits_at[place], self._aggregates_at[place] = traits, aggregates
        self._roots_at[place], self._here[place] = root, True
        self._children += provider.parent is not None
        for name, inventory in provider.inventories.items():
            self._column(name).put(place, inventory, provider.used.get(name, 0))
        if SHARES in provider.traits:
            self._sharing_places.add(place)
            for aggregate in provider.aggregates:
                self._sharing.setdefault(aggregate, set()).add(place)

    def remove(self, uuid: str) -> None:
        """Forgets a provider; one that is not known is none to forget."""
        place = self._places.get(uuid)
        if place is None or self._providers[place] is None:
            return
        self.shape += 1
        self._forget_decisions()
        self._withdraw(place)
        if place not in self._trees:
            self._let_go(uuid, place)

    def set_used(self, uuid: str, resource_class: str, used: int, generation: int) -> None:
        """Takes note of what is in use of a class in a provider; of one that is not known, nothing.

        Args:
            uuid: of the provider.
            resource_class: one that it has an inventory of, or had.
            used: in use altogether, 0 and more.
            generation: of the provider since.
        """
        place = self._places.get(uuid)
        provider = None if place is None else self._providers[place]
        if place is None or provider is None:
            return
        self._used[place][resource_class] = used
        self._generations[place] = generation
        inventory = provider.inventories.get(resource_class)
        if inventory is not None:
            column = self._columns[resource_class]
            if column.set_used(place, inventory, used):
                self._forget_decisions()

    def take_uses(self, uuid: str, used: Mapping[str, int], *, generation: int, raised: int, revision: int) -> bool:
        """Takes note of what a commit left in use in a provider, where it is the one right behind what is known.

        Of one revision generations only rise, and whatever is known was read or taken with all that came before it.

        Args:
            uuid: of the provider.
            used: what is in use since, of each class that the commit added to.
            generation: of the provider since.
            raised: by how much the commit raised it.
            revision: of the inventories that the commit relied on.

        Returns:
            Whether the commit is in what is known now; False where anything else may have happened in between.
        """
        place = self._places.get(uuid)
        provider = None if place is None else self._providers[place]
        if place is None or provider is None:
            return False
        if revision != provider.revision:
            return False
        if generation <= self._generations[place]:
            return True
        if generation - raised != self._generations[place]:
            return False
        self._generations[place] = generation
        for name, amount in used.items():
            self.set_used(uuid, name, amount, generation)
        return True

    def _withdraw(self, place: int) -> None:
        """Takes a provider out of all columns and indexes; its place stays its own."""
        provider, root = self.at(place), int(self._roots_at[place])
        self._traits.give_back(int(self._traits_at[place]))
        self._aggregates.give_back(int(self._aggregates_at[place]))
        self._traits_at[place] = self._aggregates_at[place] = 0
        self._capabilities.clear(place)
        self._here[place] = False
        self._providers[place] = None
        self._children -= provider.parent is not None
        if self._names.get(provider.name) == place:
            del self._names[provider.name]
        for name in provider.inventories:
            self._columns[name].clear(place)
        if place in self._sharing_places:
            self._sharing_places.discard(place)
            for aggregate in provider.aggregates:
                self._sharing[aggregate].discard(place)
                if not self._sharing[aggregate]:
                    del self._sharing[aggregate]
        tree = self._trees[root]
        del tree[place]
        if not tree:
            del self._trees[root]
            if self._providers[root] is None and root != place:
                self._let_go(provider.root, root)

    def _let_go(self, uuid: str, place: int) -> None:
        del self._places[uuid]
        self._free.append(place)

    def _place_of(self, uuid: str) -> int:
        place = self._places.get(uuid)
        if place is None:
            if self._free:
                place = self._free.pop()
            else:
                place = len(self._providers)
                self._providers.append(None)
                self._used.append({})
                self._generations.append(0)
                if place == len(self._here):
                    self._grow(2 * place)
            self._places[uuid] = place
            self._roots_at[place] = place
        return place

    def _grow(self, places: int) -> None:
        more = np.zeros(places - len(self._here), dtype=np.int32)
        self._traits_at = np.concatenate([self._traits_at, more])
        self._aggregates_at = np.concatenate([self._aggregates_at, more])
        self._roots_at = np.concatenate([self._roots_at, more])
        self._here = np.concatenate([self._here, more.astype(np.bool_)])
        self._capabilities.grow(places)
        for column in self._columns.values():
            column.grow(places)

    def _column(self, resource_class: str) -> _Column:
        column = self._columns.get(resource_class)
        if column is None:
            column = self._columns[resource_class] = _Column(len(self._here))
        return column

    # ---- providers ---------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return sum(len(tree) for tree in self._trees.values())

    def get(self, uuid: str) -> Provider | None:
        """Returns a provider as it is known; None where none is."""
        place = self._places.get(uuid)
        return None if place is None or self._providers[place] is None else self._told(place)

    def seen(self, uuid: str) -> Provider | None:
        """Returns a provider as ``get`` does, at less cost, with what was in use of it when it was put."""
        place = self._places.get(uuid)
        return None if place is None else self._providers[place]

    def named(self, name: str) -> Provider | None:
        """Returns the provider of a name; None where there is none."""
        place = self._names.get(name)
        return None if place is None else self._told(place)

    def tree(self, root: str) -> list[Provider]:
        """Returns all providers of the tree with a root, in no certain order; none where there is no such tree."""
        place = self._places.get(root)
        return [] if place is None else [self._told(member) for member in self.members(place)]

    def matching(self, wanted: ProviderFilter) -> Iterator[Provider]:
        """Returns the providers that pass a filter, in the order of their places.

        Args:
            wanted: all of it has to hold. The provider itself has to have traits, aggregates and room; its root's
                aggregates do not count here (``GET /resource_providers`` of the vendor's reference).
        """
        if wanted.uuid is not None or wanted.name is not None:
            known = self.get(wanted.uuid) if wanted.uuid is not None else self.named(wanted.name or "")
            if known is None or (wanted.name is not None and known.name != wanted.name):
                return iter(())
            places: list[int] = [self._places[known.uuid]]
        else:
            places = []
        passing = self.passing(
            required=wanted.required,
            forbidden=wanted.forbidden,
            member_of=wanted.member_of,
            forbidden_aggregates=wanted.forbidden_aggregates,
        )
        for name, amount in wanted.resources.items():
            passing &= self.fitting(name, amount)
        if wanted.in_tree is not None:
            passing &= self.in_tree(wanted.in_tree)
        found = [place for place in places if passing[place]] if places else np.flatnonzero(passing).tolist()
        return (self._told(place) for place in found if self._providers[place] is not None)

    def over_capacity(self) -> dict[str, list[str]]:
        """Returns the providers that more is in use of than there is, with the resource classes, by uuid."""
        found: dict[str, list[str]] = {}
        for name, column in self._columns.items():
            for place in column.over:
                found.setdefault(self.at(place).uuid, []).append(name)
        return found

    def traits_held(self) -> set[str]:
        """Returns the traits that providers have."""
        return self._traits.names()

    def _told(self, place: int) -> Provider:
        return replace(self.at(place), used=dict(self._used[place]), generation=self._generations[place])

    # ---- columns, for searches ---------------------------------------------------------------------------------------

    @property
    def has_trees(self) -> bool:
        """Whether any provider is part of another."""
        return self._children > 0

    @property
    def sharing(self) -> Collection[int]:
        """The places of providers that share what they have with trees of the same aggregates."""
        return self._sharing_places

    @property
    def roots(self) -> NDArray[np.int32]:
        """Of each place, that of the root of its tree."""
        return self._roots_at[: len(self._providers)]

    @property
    def here(self) -> Mask:
        """Of each place, whether there is a provider."""
        return self._here[: len(self._providers)]

    @property
    def tops(self) -> Mask:
        """Of each place, whether a root is there; to be copied before it is changed."""
        if self._tops_of != self.shape:
            self._tops = self.here & (self.roots == np.arange(len(self._providers), dtype=np.int32))
            self._tops_of = self.shape
        return self._tops

    def fitting(self, resource_class: str, amount: int) -> Mask:
        """Returns of each place whether a claim of an amount of a class fits there now."""
        column, places = self._columns.get(resource_class), len(self._providers)
        return np.zeros(places, dtype=np.bool_) if column is None else column.fits(amount, places)

    def most(self, resource_class: str) -> NDArray[np.int32]:
        """Returns of each place the largest amount of a class that can be claimed there; 0 and less where none can."""
        column, places = self._columns.get(resource_class), len(self._providers)
        return np.zeros(places, dtype=np.int32) if column is None else column.most[:places]

    def largest(self, resource_class: str) -> int:
        """Returns the most of a class that one claim may get from one provider now; 0 where nobody has any."""
        column = self._columns.get(resource_class)
        return 0 if column is None else int(column.most[: len(self._providers)].max(initial=0))

    def passing(
        self,
        *,
        required: Iterable[Collection[str]] = (),
        forbidden: Collection[str] = (),
        member_of: Iterable[Collection[str]] = (),
        forbidden_aggregates: Collection[str] = (),
    ) -> Mask:
        """Returns of each place whether the provider there has traits and aggregates as they are wanted.

        Args:
            required: of each of these choices one trait at least.
            forbidden: traits of which it must not have any.
            member_of: of each of these choices one aggregate at least.
            forbidden_aggregates: aggregates that it must not be in.
        """
        passing: Mask = self.here.copy()
        for sets, at, wanted, unwanted in (
            (self._traits, self._traits_at, required, forbidden),
            (self._aggregates, self._aggregates_at, member_of, forbidden_aggregates),
        ):
            numbers = sets.with_all(wanted)
            if numbers is not None:
                passing &= sets.table(numbers)[at[: len(passing)]]
            if unwanted:
                passing &= ~sets.table(sets.with_any(unwanted))[at[: len(passing)]]
        return passing

    def meeting(self, comparison: Comparison) -> Mask:
        """Returns of each place whether a capability of the provider there is as it is wanted."""
        return self._capabilities.meeting(comparison, len(self._providers))

    def decided(self, request: object) -> object | None:
        """Returns what was decided for a request of all providers as they are now; None where nothing is kept.

        Args:
            request: the very object that it was kept for.
        """
        kept = self._decisions.get(id(request))
        return None if kept is None else kept[1]

    def keep_decision(self, request: object, decision: object, amounts: Iterable[tuple[str, int]]) -> None:
        """Keeps what was decided for a request until it may be something else; of ``DECISIONS_MAX`` requests.

        Args:
            request: is not changed any more.
            decision: hangs on what is in use only by whether amounts fit, at each place.
            amounts: those, each with its class.
        """
        if len(self._decisions) >= DECISIONS_MAX:
            self._forget_decisions()
        # The request is kept as well, so that no other one gets its identity.
        self._decisions[id(request)] = request, decision
        for resource_class, amount in amounts:
            column = self._columns.get(resource_class)
            # A class that nobody has an inventory of fits nowhere until a provider is put.
            if column is not None and amount not in column.asked:
                insort(column.asked, amount)

    def _forget_decisions(self) -> None:
        if self._decisions:
            self._decisions.clear()
            for column in self._columns.values():
                column.asked.clear()

    def in_tree(self, uuid: str) -> Mask:
        """Returns of each place whether it is in the same tree as a provider; nowhere where there is none."""
        mask = np.zeros(len(self._providers), dtype=np.bool_)
        place = self._places.get(uuid)
        if place is not None and self._providers[place] is not None:
            mask[list(self._trees[int(self._roots_at[place])])] = True
        return mask

    def roots_of(self, places: Mask) -> Mask:
        """Returns of each place whether it is the root of a tree with a provider at one of some places."""
        if not self.has_trees:
            return places.copy()
        mask = np.zeros(len(places), dtype=np.bool_)
        mask[self.roots[places]] = True
        return mask

    def reached_by(self, places: Iterable[int]) -> Mask:
        """Returns of each place whether it is a root of a tree that is in an aggregate of one of some providers."""
        aggregates: set[str] = set()
        for place in places:
            aggregates |= self.at(place).aggregates
        return self.roots_of(self.passing(member_of=[aggregates]))

    # ---- one place, for searches -------------------------------------------------------------------------------------

    def at(self, place: int) -> Provider:
        """Returns the provider at a place; ``used`` and ``generation`` are not kept up in it.

        Raises:
            LookupError: there is none.
        """
        provider = self._providers[place]
        if provider is None:
            raise LookupError(place)
        return provider

    def has(self, place: int) -> bool:
        """Whether there is a provider at a place."""
        return self._providers[place] is not None

    def place(self, uuid: str) -> int | None:
        """Returns the place of a provider; None where there is none."""
        place = self._places.get(uuid)
        return None if place is None or self._providers[place] is None else place

    def members(self, root: int) -> Collection[int]:
        """Returns the places of a tree, in no certain order."""
        return self._trees.get(root, ())

    def used(self, place: int) -> Mapping[str, int]:
        """Returns what is in use at a place, by resource class; a class that is not in it has 0 in use."""
        return self._used[place]

    def shared_with(self, root: int) -> set[int]:
        """Returns the places of the sharing providers that are in an aggregate with a provider of a tree."""
        found: set[int] = set()
        for member in self.members(root):
            for aggregate in self.at(member).aggregates:
                found |= self._sharing.get(aggregate, set())
        return found

    def differing(self, roots: Mask) -> list[int]:
        """Returns of some trees one for each different choice of sharing providers that they are in an aggregate with.

        Args:
            roots: by place, whether it is the root of such a tree.
        """
        near = self.passing(member_of=[self._sharing])
        near &= roots[self.roots]
        places = np.flatnonzero(near)
        # A number for each pair of a tree and a set of aggregates in it, those of a tree beside each other.
        pairs = np.unique(self.roots[places].astype(np.int64) << 32 | self._aggregates_at[places])
        trees, numbers = pairs >> 32, pairs & 0xFFFFFFFF
        first = np.flatnonzero(np.diff(trees, prepend=-1))
        is_alone = np.diff(first, append=len(trees)) == 1
        # Nearly all trees have one such set; of those, one tree of each set is looked at.
        alone, at = np.unique(numbers[first[is_alone]], return_index=True)
        found = {
            self._shared_by(self._aggregates[number]): root
            for number, root in zip(alone.tolist(), trees[first[is_alone]][at].tolist(), strict=True)
        }
        for root in trees[first[~is_alone]].tolist():
            found.setdefault(frozenset(self.shared_with(root)), root)
        return list(found.values())

    def _shared_by(self, aggregates: Iterable[str]) -> frozenset[int]:
        return frozenset(place for name in aggregates for place in self._sharing.get(name, ()))
