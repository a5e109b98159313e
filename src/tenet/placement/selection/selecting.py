"""Selects: which option each consumer of a claim gets, and why; or why there is none.

It needs a fleet and nothing else, no server and no store: ``select`` is what a laboratory calls. One consumer after the
other gets the best of the options that it is asked to consider, which are those that pass all filters, beginning at a
tree that the seed decides. A consumer that finds no place has looked at every candidate there is. A gang is then begun
anew with this consumer first, or away from the domain that the gang was bound to, a bounded number of times: for one
consumer, "no" is certain; for a gang it means that none was found this way.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from tenet.placement.fleet.candidates import search
from tenet.placement.fleet.fleet import Fleet
from tenet.placement.model import Provider
from tenet.placement.rules.candidate_answers import Candidate
from tenet.placement.rules.claim_requests import Claimant, ClaimRequest
from tenet.placement.selection.constraints import Gang, Other
from tenet.placement.selection.contract import OUT, NamedFilter, NamedWeigher, Option, Question
from tenet.placement.selection.diagnosis import Condition, explain
from tenet.placement.selection.domains import HOST, domains_of, local_of
from tenet.placement.selection.drawing import Draws

#: How often a gang is begun anew.
RESTARTS_MAX: Final = 64
#: Candidates between which others have their turn.
BATCH: Final = 64
#: Sums of scores that differ by less are alike: they differ by rounding.
_ALIKE: Final = 1e-12
#: Options per consumer among which is chosen, unless the request says how many. Where nothing weighs them, the tree is
#: drawn and its first option as good as any; of a tree of several providers some are drawn from.
CONSIDERED: Final = 32
CONSIDERED_IN_TREES: Final = 4
#: Seeds of questions, and what keeps those of one attempt away from those of the next.
_SEEDS: Final = 2**53
_ATTEMPTS_APART: Final = 0xD1B54A32D192ED03
#: The filter that tells of room that earlier consumers of the same claim take.
ROOM: Final = "room beside the gang"
#: The filter that tells of domains in which the rest of the gang found no place.
TRIED: Final = "domains where the gang does not fit"


class Selection(Struct, frozen=True):
    """What there is to choose with.

    Args:
        request: for whom, and what for.
        filters: in the order in which they are asked.
        weighers: none: the choice is random.
        others: by uuid, where the other consumers are that the request names.
        seed: any number of 0 and more; the same one chooses the same from the same fleet.
    """

    request: ClaimRequest
    filters: Sequence[NamedFilter]
    weighers: Sequence[NamedWeigher]
    others: Mapping[str, Other]
    seed: int


class Chosen(Struct, frozen=True):
    """What a consumer gets.

    Args:
        claimant: who.
        option: what.
        reason: why, as documents have it.
    """

    claimant: Claimant
    option: Option
    reason: dict[str, Any]


class WhyNot(Struct, frozen=True):
    """Why a claim cannot be met.

    Args:
        consumer: uuid of the one that found no place.
        placed_before: how many others had one.
        candidates: how many it had, before filters.
        providers: how many there are.
        conditions: what each condition of its request removed, where it had no candidate.
        filters: what each filter removed.
        missing: what was missing, in words.
        is_exhaustive: whether it is certain that there is no way.
    """

    consumer: str
    placed_before: int
    candidates: int
    providers: int
    conditions: list[Condition]
    filters: list[dict[str, Any]]
    missing: list[str]
    is_exhaustive: bool

    @property
    def told(self) -> dict[str, Any]:
        """As a document has it."""
        document: dict[str, Any] = {name: getattr(self, name) for name in self.__struct_fields__}
        document["conditions"] = [one.told for one in self.conditions]
        return document


def select(fleet: Fleet, selection: Selection) -> list[Chosen] | WhyNot:
    """Returns what each consumer gets, in the order of the request, or why not.

    Args:
        fleet: is not changed.
        selection: for whom and with what.
    """
    steps = selecting(fleet, selection)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: list[Chosen] | WhyNot = end.value
            return result


def selecting(fleet: Fleet, selection: Selection) -> Generator[None, None, list[Chosen] | WhyNot]:
    """Does what ``select`` does in steps, between which the fleet may change; its last value is the result."""
    order = list(selection.request.claimants)
    barred: set[object] = set()
    best: WhyNot | None = None
    for attempt in range(RESTARTS_MAX):
        run = _Run(fleet, selection, barred, attempt)
        failed = yield from run.place(order)
        if failed is None:
            return [run.chosen[claimant.uuid] for claimant in selection.request.claimants]
        if best is None or failed.placed_before > best.placed_before:
            best = failed
        if not failed.placed_before:
            break
        if run.binding:
            barred.add(run.binding)
            continue
        stuck = next(one for one in order if one.uuid == failed.consumer)
        if attempt >= len(order):
            break
        order = [stuck, *(one for one in order if one is not stuck)]
    assert best is not None
    return best


class _Tally:
    """What filters remove: candidates, and the tops of their trees; told in the order in which they are asked."""

    def __init__(self, filters: Sequence[NamedFilter]) -> None:
        self._turns = {named.name: turn for turn, named in enumerate(filters)}
        self._candidates: dict[str, int] = {}
        self._providers: dict[str, set[str]] = {}

    def count(self, name: str, option: Option) -> None:
        self._candidates[name] = self._candidates.get(name, 0) + 1
        self._providers.setdefault(name, set()).update(option.roots)

    def told(self) -> list[dict[str, Any]]:
        return [
            {"filter": name, "removed_candidates": count, "removed_providers": len(self._providers[name])}
            for name, count in sorted(self._candidates.items(), key=lambda one: self._turns.get(one[0], -1))
        ]


class _Run:
    """One attempt to place all consumers."""

    def __init__(self, fleet: Fleet, selection: Selection, barred: set[object], attempt: int) -> None:
        request = selection.request
        self._fleet = fleet
        self._selection = selection
        self._barred = barred
        self._draws = Draws(selection.seed + attempt * _ATTEMPTS_APART)
        self._gang = Gang(request.spread, request.affinity, request.anti_affinity, selection.others)
        usual = CONSIDERED_IN_TREES if fleet.has_trees else 1
        self._considered = request.considered or (CONSIDERED if selection.weighers else usual)
        self.chosen: dict[str, Chosen] = {}
        #: The domains that the first consumer bound the others to; empty where nothing binds them.
        self.binding: frozenset[tuple[str, frozenset[str]]] = frozenset()

    def place(self, order: Sequence[Claimant]) -> Generator[None, None, WhyNot | None]:
        for claimant in order:
            tally = _Tally(self._selection.filters)
            question = Question(claimant.uuid, claimant.request, self._draws.below(_SEEDS))
            options, looked_at = yield from self._look(question, tally)
            if not options:
                return self._why_not(claimant, looked_at, tally)
            self._take(claimant, options[: self._considered], question, tally, looked_at)
        return None

    def _look(self, question: Question, tally: _Tally) -> Generator[None, None, tuple[list[Option], int]]:
        """Returns the options of a consumer, as many as are considered or all, and how many candidates it looked at."""
        options: list[Option] = []
        batch: list[Candidate] = []
        looked_at, size = 0, min(BATCH, self._considered)
        for candidate in search(self._fleet, question.request, turn=question.seed, is_again=True):
            if candidate is None:
                yield
                continue
            batch.append(candidate)
            if len(batch) < size:
                continue
            looked_at += len(batch)
            options += self._sift(batch, question, tally)
            if len(options) >= self._considered:
                return options, looked_at
            batch, size = [], min(BATCH, 2 * size)
            yield
        return options + self._sift(batch, question, tally), looked_at + len(batch)

    def _sift(self, batch: Sequence[Candidate], question: Question, tally: _Tally) -> list[Option]:
        """Returns the options among some candidates that pass everything."""
        left: list[Option] = []
        for option in self._options(batch):
            refusal = None if self._has_room(option) else ROOM
            if refusal is None and self._barred and self._gang.own_domains(option) in self._barred:
                refusal = TRIED
            refusal = refusal or self._gang.refusal(option)
            if refusal is None:
                left.append(option)
            else:
                tally.count(refusal, option)
        for named in self._selection.filters:
            if not left:
                break
            kept = named.filter.keep(left, question)
            for option, keeps in zip(left, kept, strict=True):
                if not keeps:
                    tally.count(named.name, option)
            left = [option for option, keeps in zip(left, kept, strict=True) if keeps]
        return left

    def _options(self, batch: Sequence[Candidate]) -> Iterator[Option]:
        for candidate in batch:
            providers: dict[str, Provider] = {}
            is_whole = all(self._collect(uuid, providers) for uuid in candidate.allocations)
            if is_whole:
                yield Option(candidate, providers, local_of(candidate.allocations, providers.get))

    def _collect(self, uuid: str, providers: dict[str, Provider]) -> bool:
        """Adds a provider and its ancestors; False where one is gone meanwhile."""
        above: str | None = uuid
        while above is not None and above not in providers:
            provider = self._fleet.get(above)
            if provider is None:
                return False
            taken = self._gang.taken.get(above)
            if taken:
                used = {name: provider.used.get(name, 0) + amount for name, amount in taken.items()}
                provider = replace(provider, used={**provider.used, **used})
            providers[above] = provider
            above = provider.parent
        return True

    @staticmethod
    def _has_room(option: Option) -> bool:
        for uuid, resources in option.candidate.allocations.items():
            provider = option.providers[uuid]
            for name, amount in resources.items():
                inventory = provider.inventories.get(name)
                if inventory is None or provider.used.get(name, 0) + amount > inventory.capacity:
                    return False
        return True

    def _take(
        self, claimant: Claimant, options: Sequence[Option], question: Question, tally: _Tally, looked_at: int
    ) -> None:
        score, weighed = 0.0, dict[str, float | None]()
        if self._selection.weighers:
            total, scored = _weigh(options, question, self._selection.weighers)
            best = np.flatnonzero(total >= total.max() - _ALIKE)
            number = int(best[self._draws.below(len(best))])
            score = 0.0 if total[number] == OUT else float(total[number])
            weighed = {name: scores[number] if scores[number] != OUT else None for name, scores in scored.items()}
        else:
            number = self._draws.below(len(options))
        option = options[number]
        reason: dict[str, Any] = {
            "candidates": looked_at,
            "options": len(options),
            "filters": tally.told(),
            "score": score,
            "weighers": weighed,
            "domains": {kind: sorted(domains_of(option, kind) or ()) for kind in self._kinds()},
            "seed": self._selection.seed,
        }
        if not self.chosen:
            self.binding = self._gang.own_domains(option)
        self._gang.add(option)
        self.chosen[claimant.uuid] = Chosen(claimant, option, reason)

    def _kinds(self) -> list[str]:
        request = self._selection.request
        named = [one.over for one in request.spread]
        named += [one.over for one in (*request.affinity, *request.anti_affinity)]
        return list(dict.fromkeys([HOST, *named]))

    def _why_not(self, claimant: Claimant, looked_at: int, tally: _Tally) -> WhyNot:
        conditions: list[Condition] = []
        filters = tally.told()
        missing = [f"a candidate that passes {one['filter']}" for one in filters]
        if not looked_at:
            conditions, missing = explain(self._fleet, claimant.request)
        return WhyNot(
            consumer=claimant.uuid,
            placed_before=len(self.chosen),
            candidates=looked_at,
            providers=len(self._fleet),
            conditions=conditions,
            filters=filters,
            missing=missing,
            is_exhaustive=len(self._selection.request.claimants) == 1 or not (self.chosen or self._barred),
        )


def _weigh(
    options: Sequence[Option], question: Question, weighers: Sequence[NamedWeigher]
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], dict[str, list[float]]]:
    """Returns the sum of the scores of each option, and by weigher what was added to it."""
    total = np.zeros(len(options))
    told: dict[str, list[float]] = {}
    for number, named in enumerate(weighers):
        scores = np.asarray(named.weigher.weigh(options, question), dtype=np.float64)
        if scores.shape != total.shape:
            raise ValueError(f"the weigher {named.name} gave {scores.shape} scores for {len(options)} options")
        scores = np.where(np.isfinite(scores), scores, OUT)
        is_in = scores > OUT
        low, high = (scores[is_in].min(), scores[is_in].max()) if is_in.any() else (0.0, 0.0)
        added = np.zeros(len(options)) if high <= low else (scores - low) / (high - low) * named.multiplier
        added = np.where(is_in, added, OUT)
        total = total + added
        told[named.name if named.name not in told else f"{named.name}#{number}"] = added.tolist()
    return total, told
