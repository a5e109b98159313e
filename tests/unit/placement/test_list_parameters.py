"""What lists of claims may be asked for, and the order in which claims and refusals of several projects are merged."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.base.clock import ManualClock
from tenet.placement import errors, keys
from tenet.placement.errors import BadRequest
from tenet.placement.ops.journal import Journal
from tenet.placement.rules.claim_lists import LIMIT_MAX, LIMIT_USUAL, encode_entry, marker_of, read_list, shown_entry
from tenet.store.contract import Commit, Committed, Put, new_commit_id
from tests.unit.placement.test_claiming import ONE_CPU
from tests.unit.placement.world import IDS, World, in_loop, memory, uuid_of

TIMES_MS = st.integers(0, 2**53)


# ---- parameters ------------------------------------------------------------------------------------------------------


def test_without_parameters_it_is_all_of_everybody_from_the_beginning() -> None:
    wanted = read_list({})
    assert (wanted.project, wanted.provider, wanted.result, wanted.limit) == (None, None, None, LIMIT_USUAL)
    assert wanted.lower == keys.entry_sort(0)


@given(TIMES_MS, st.uuids().map(str), TIMES_MS)
def test_a_marker_goes_on_right_behind_its_entry_and_never_back_before_since(
    time_ms: int, claim: str, since_ms: int
) -> None:
    sort = keys.entry_sort(time_ms, claim)
    marker = marker_of(sort)
    lower = read_list({"marker": marker}).lower
    assert sort < lower <= sort + b"\x00"
    assert read_list({"marker": marker.upper()}).lower == lower
    both = read_list({"marker": marker, "since": str(since_ms)}).lower
    assert both == max(lower, keys.entry_sort(since_ms))
    assert keys.claim_of_entry(sort) == claim


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)), st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001 (zone is drawn)
def test_a_time_means_the_same_in_every_zone(moment: datetime, minutes: int) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    zoned = f"{moment.isoformat()}{sign}{hours:02}:{rest:02}"
    time_ms = round(moment.replace(tzinfo=UTC).timestamp() * 1000)
    found = {text: read_list({"since": text}).lower for text in (moment.isoformat(), f"{moment.isoformat()}Z")}
    # What lies between two milliseconds is the earlier one, within what a fraction of binary digits can say.
    assert set(found.values()) <= {keys.entry_sort(max(0, time_ms - lost)) for lost in (0, 1)}
    later = keys.entry_sort(max(0, time_ms - minutes * 60_000))
    assert read_list({"since": zoned}).lower in {later, keys.entry_sort(max(0, time_ms - minutes * 60_000 - 1))}


@pytest.mark.parametrize("text", ["1", "100", str(LIMIT_MAX), "007"])
def test_a_page_has_as_many_as_is_asked_for(text: str) -> None:
    assert read_list({"limit": text}).limit == int(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("limit", text) for text in ("0", "1001", "-1", "", "1.0", "1e2", " 1", "٣", "0x10", "9" * 5000)),
        *(("marker", text) for text in ("", "0", "zz", "6a", "6a" * 24, "6a" * 26, "6b" * 25, "٣" * 50)),
        *(("provider", text) for text in ("", "x", uuid_of(1) + "0", "host-1")),
        *(("result", text) for text in ("", "Claimed", "all", "claimed,refused")),
        *(("since", text) for text in ("", "-1", "1.5", "now", "2026-13-01", "2026-02-30T00:00:00", "٣")),
        *((name, "1") for name in ("Limit", "projects", "before", "")),
    ],
)
def test_what_is_malformed_is_named(name: str, value: str) -> None:
    with pytest.raises(BadRequest, match=f"Invalid query string parameters: .*'{name}'"):
        read_list({name: value})


def test_a_provider_is_found_in_every_form_of_its_uuid() -> None:
    for form in (uuid_of(0xABC), uuid_of(0xABC).upper(), uuid_of(0xABC).replace("-", ""), "{" + uuid_of(0xABC) + "}"):
        assert read_list({"provider": form}).provider == uuid_of(0xABC)


# ---- what a project sees ---------------------------------------------------------------------------------------------


def entry_of(*projects: str, refused: bool = False) -> dict[str, Any]:
    """Returns what is stored of a claim for one consumer of each project."""
    consumers = [{"uuid": uuid_of(number), "project_id": project} for number, project in enumerate(projects, 1)]
    document: dict[str, Any] = {"claim": uuid_of(99), "request": {"consumers": consumers, "request": ONE_CPU}}
    if refused:
        document["error"] = {"code": "placement.claim.no_place", "detail": "why", "why_not": {"conditions": []}}
    else:
        document["consumers"] = {uuid_of(number): {"allocations": {}} for number in range(1, len(projects) + 1)}
    return document


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=5), st.sampled_from("abc"), st.booleans())
def test_a_project_sees_its_own_consumers_and_nothing_of_others(
    projects: list[str], viewer: str, refused: bool
) -> None:  # fmt: skip
    document = entry_of(*projects, refused=refused)
    result: Any = "refused" if refused else "claimed"
    assert shown_entry(document, result, viewer=None) == {"result": result, **document}
    shown = shown_entry(document, result, viewer=viewer)
    own = [uuid_of(number) for number, project in enumerate(projects, 1) if project == viewer]
    assert [one["uuid"] for one in shown["request"]["consumers"]] == own
    if refused:
        assert ("why_not" in shown["error"]) == (len(own) == len(projects))
    else:
        assert list(shown["consumers"]) == own
    assert document == entry_of(*projects, refused=refused), "what is stored is not changed by who looks at it"


# ---- the order -------------------------------------------------------------------------------------------------------


async def filled(world: World, clock: ManualClock, random: Random) -> tuple[Journal, list[tuple[bytes, str, bool]]]:
    """Writes entries and refusals of three projects, some of them of two; returns what there is, in order."""
    journal = Journal(world.store, clock=clock, ids=IDS, refused_max=1000)
    every: list[tuple[bytes, str, bool]] = []
    for number in range(60):
        clock.advance_ms(random.choice((0, 1, 5)))
        projects = random.sample("abc", random.choice((1, 1, 2)))
        claim, is_refused = uuid_of(random.getrandbits(100) + number), random.random() < 0.4
        if is_refused:
            request = {"consumers": [{"project_id": project} for project in projects]}
            await journal.note_refusal(claim, request, errors.NoRoom("none"))
        else:
            writes = [Put(keys.entry_key(one, clock.wall_ms(), claim), encode_entry([])) for one in projects]
            commit = Commit(new_commit_id(world.clock, IDS), writes)
            assert isinstance(await world.store.commit(commit), Committed)
        every += [(keys.entry_sort(clock.wall_ms(), claim), project, is_refused) for project in projects]
    return journal, sorted(every)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("limit", [1, 2, 7, 100])
@in_loop
async def test_pages_of_any_size_have_everything_once_and_in_order(limit: int, seed: int) -> None:
    clock = ManualClock()
    async with World(memory(clock), clock=clock) as world:
        journal, every = await filled(world, clock, Random(seed))
        for project in (None, "a", "b", "nobody"):
            for refused in (None, False, True):
                expected = dict.fromkeys(
                    sort for sort, of, is_refused in every if project in {None, of} and refused in {None, is_refused}
                )
                lower, more, found = keys.entry_sort(0), True, list[bytes]()
                while more:
                    entries, more = await journal.page(project, lower, limit, refused=refused)
                    assert len(entries) <= limit
                    assert entries or not more, "a page with nothing on it has no other behind it"
                    found += [entry.record.sort for entry in entries]
                    lower = found[-1] + b"\x00" if found else lower
                assert found == list(expected)


@pytest.mark.parametrize("kept", [1, 10])
@in_loop
async def test_of_each_project_the_newest_refusals_are_kept_and_its_claims_stay(kept: int) -> None:
    clock = ManualClock()
    async with World(memory(clock), clock=clock) as world:
        journal = Journal(world.store, clock=clock, ids=IDS, refused_max=kept)
        for number in range(50):
            clock.advance_ms(1)
            project = "often" if number % 10 else "seldom"
            await journal.note_refusal(uuid_of(number), {"consumers": [{"project_id": project}]}, errors.NoRoom("none"))
        for project, newest in (("often", 49), ("seldom", 40)):
            entries, _ = await journal.page(project, keys.entry_sort(0), 100, refused=True)
            numbers = [int(keys.claim_of_entry(one.record.sort).replace("-", ""), 16) for one in entries]
            assert numbers == sorted(numbers)
            assert numbers[-1] == newest
            assert min(kept, 5) <= len(numbers) <= kept + max(1, kept // 10) + 1
