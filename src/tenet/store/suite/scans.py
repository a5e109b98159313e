"""Scans of a space: in slices that are disjoint and complete, from any position, also while others write."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tenet.base.dice import Dice
from tenet.store.contract import Delete, Key, Limits, Put, Range, Record
from tenet.store.errors import InvalidRequest, LimitExceeded, OutsideSlice
from tenet.store.suite.model import length_of_page
from tenet.store.suite.stage import SEED, Stage, all_of, rounds

PARTITIONS = 60


async def filled(stage: Stage) -> tuple[str, set[tuple[bytes, bytes]]]:
    """Makes a space of partitions with one to many records, and returns where they lie."""
    space = await stage.own_space()
    places = {(b"part-%d" % part, b"%03d" % at) for part in range(PARTITIONS) for at in range(1 + part % 9 * 5)}
    places |= {(b"", b""), (b"\xff" * 40, b"\xff"), (b"\x00", b""), (b"large", b"only")}
    in_order = sorted(places)
    await stage.client.fill([Put(Key(space, *place), b"v" * (len(place[0]) * 7)) for place in in_order])
    return space, places


def place_of(record: Record) -> tuple[bytes, bytes]:
    return record.partition, record.sort


class TestScans:
    """Scans of a space at rest."""

    async def test_a_scan_returns_everything_once_and_in_the_same_order(self, stage: Stage) -> None:
        space, places = await filled(stage)
        first = [place_of(record) for record in await stage.client.scan_all(space)]
        assert len(first) == len(set(first))
        assert set(first) == places
        for page in (1, 2, 17, 10_000):
            if page > 1 or rounds(0, 1):
                assert [place_of(record) for record in await stage.client.scan_all(space, page=page)] == first

    async def test_an_empty_space_has_nothing(self, stage: Stage) -> None:
        space = await stage.own_space()
        page = await stage.client.patiently(lambda: stage.store.scan(space, limit=5))
        assert (list(page.records), page.more) == ([], False)

    @pytest.mark.parametrize("slice_count", [1, 2, 3, 7, 64, Limits.slices_max])
    async def test_slices_are_disjoint_and_complete(self, stage: Stage, slice_count: int) -> None:
        space, places = await filled(stage)
        slices = range(slice_count) if slice_count <= 64 else ()
        found = [await stage.client.scan_all(space, page=50, slice_index=at, slice_count=slice_count) for at in slices]
        for at in () if slices else (0, 1, slice_count // 2, slice_count - 1):
            part = await stage.client.scan_all(space, slice_index=at, slice_count=slice_count)
            assert {place_of(record) for record in part} <= places
        if slices:
            counted = Counter(place_of(record) for part in found for record in part)
            assert counted == Counter(places)
            partitions = Counter(name for part in found for name in {record.partition for record in part})
            assert set(partitions.values()) == {1}, "a partition lies in one slice"

    async def test_slices_of_many_partitions_are_of_like_size(self, stage: Stage) -> None:
        space = await stage.own_space()
        await stage.client.fill([Put(Key(space, b"user#%d" % number), b"") for number in range(2_000)])
        sizes = [len(await stage.client.scan_all(space, slice_index=at, slice_count=4)) for at in range(4)]
        assert sum(sizes) == 2_000
        assert min(sizes) > 250

    async def test_only_the_sort_keys_asked_for(self, stage: Stage) -> None:
        space, places = await filled(stage)
        for within in (Range(b"", b"\x00"), Range(b"003", b"007"), Range(b"030"), Range(b"x"), Range(b"9", b"1")):
            found = [place_of(record) for record in await stage.client.scan_all(space, within, page=7)]
            wanted = {p for p in places if within.lower <= p[1] and (within.upper is None or p[1] < within.upper)}
            assert len(found) == len(set(found))
            assert set(found) == wanted

    async def test_it_goes_on_behind_any_record_also_one_that_is_gone(self, stage: Stage) -> None:
        space, _ = await filled(stage)
        order = [place_of(record) for record in await stage.client.scan_all(space)]
        for at in range(0, len(order), rounds(40, 5)):
            rest = await stage.client.scan_all(space, after=order[at])
            assert [place_of(record) for record in rest] == order[at + 1 :]
        gone = order[len(order) // 2]
        await stage.client.write(Delete(Key(space, *gone)))
        rest = await stage.client.scan_all(space, after=gone, page=9)
        assert [place_of(record) for record in rest] == order[len(order) // 2 + 1 :]
        # A place that never was lies between two that are.
        rest = await stage.client.scan_all(space, after=(order[10][0], order[10][1] + b"\x00"))
        assert [place_of(record) for record in rest] == [place for place in order[11:] if place != gone]

    async def test_a_position_in_another_slice_is_refused(self, stage: Stage) -> None:
        space, _ = await filled(stage)
        slices = [await stage.client.scan_all(space, slice_index=at, slice_count=5) for at in range(5)]
        for at, part in enumerate(slices):
            for other, start in enumerate(slices):
                scan = stage.client.scan_all(space, slice_index=at, slice_count=5, after=place_of(start[0]))
                if other == at:
                    assert await scan == part[1:]
                else:
                    with pytest.raises(OutsideSlice):
                        await scan
        # A place that never was belongs to a slice all the same.
        scans = [
            stage.client.scan_all(space, slice_index=at, slice_count=5, after=(b"nobody", b"at all")) for at in range(5)
        ]
        ends = await asyncio.gather(*scans, return_exceptions=True)
        assert sum(isinstance(end, OutsideSlice) for end in ends) == 4

    async def test_few_sort_keys_of_many_are_found_wherever_they_lie(self, stage: Stage) -> None:
        space = await stage.own_space()
        count = rounds(300, 3_000)
        wanted = {(b"p%d" % number, b"y") for number in range(0, count, count // 3)}
        places = {(b"p%d" % (number % 700), b"x%d" % number) for number in range(count)}
        await stage.client.fill([Put(Key(space, *place), b"v") for place in sorted(places | wanted)])
        for page in (1, 2, 1_000):
            found = await stage.client.scan_all(space, Range(b"y", b"z"), page=page)
            assert {place_of(record) for record in found} == wanted
            assert len(found) == len(wanted)
        assert await stage.client.scan_all(space, Range(b"z"), page=1) == []

    async def test_pages_end_with_the_record_that_reaches_their_bytes(self, stage: Stage) -> None:
        space, _ = await filled(stage)
        everything = await stage.client.scan_all(space)
        found: list[Record] = []
        while True:
            after = place_of(found[-1]) if found else None
            page = await stage.client.patiently(
                lambda after=after: stage.store.scan(space, limit=1_000, limit_bytes=500, after=after)  # type: ignore[misc]  # - a default binds the loop's value
            )
            assert 1 <= len(page.records) <= length_of_page(everything[len(found) :], 1_000, 500)
            found += page.records
            if not page.more:
                break
        assert found == everything

    @pytest.mark.parametrize(("index", "count"), [(-1, 1), (1, 1), (5, 5), (0, 0), (0, -1)])
    async def test_a_slice_that_is_none_is_refused(self, stage: Stage, index: int, count: int) -> None:
        space = await stage.space()
        with pytest.raises(InvalidRequest):
            await stage.client.patiently(lambda: stage.store.scan(space, limit=1, slice_index=index, slice_count=count))

    async def test_too_many_slices_or_records_are_refused(self, stage: Stage) -> None:
        space = await stage.space()
        with pytest.raises(LimitExceeded):
            await stage.client.patiently(lambda: stage.store.scan(space, limit=1, slice_count=Limits.slices_max + 1))
        with pytest.raises(LimitExceeded):
            await stage.client.patiently(lambda: stage.store.scan(space, limit=Limits.page_records_max + 1))


class TestScansWhileWriting:
    """Scans of a space that changes meanwhile."""

    async def test_what_stays_is_returned_exactly_once(self, stage: Stage) -> None:
        space, places = await filled(stage)
        stop = asyncio.Event()

        async def churn(writer: int) -> None:
            dice = Dice(SEED + writer)
            while not stop.is_set():
                at = Key(space, b"part-%d" % dice.below(PARTITIONS * 2), b"churn-%d" % dice.below(60))
                await stage.client.write(Put(at, b"x") if dice.chance(0.6) else Delete(at))

        async def scan(count: int, page: int) -> None:
            parts = await all_of(
                *(stage.client.scan_all(space, page=page, slice_index=at, slice_count=count) for at in range(count))
            )
            counted = Counter(place_of(record) for part in parts for record in part)
            assert max(counted.values()) == 1, "a record was repeated"
            assert places <= set(counted), "a record was skipped"

        async def read() -> None:
            for count, page in ((1, 40), (4, 5), (3, 1_000), (8, 17))[: rounds(3, 4)]:
                await scan(count, page)
            stop.set()

        await all_of(read(), *(churn(writer) for writer in range(3)))

    async def test_a_page_holds_every_commit_that_was_answered_before(self, stage: Stage) -> None:
        space = await stage.own_space()
        written: set[bytes] = set()
        count = rounds(40, 300)

        async def write_on(writer: int) -> None:
            for number in range(count):
                partition = b"%d.%d" % (writer, number)
                await stage.client.write(Put(Key(space, partition), b""))
                written.add(partition)

        async def read() -> None:
            while len(written) < 3 * count:
                answered = set(written)
                page = await stage.client.patiently(lambda: stage.store.scan(space, limit=10_000))
                assert page.more or answered <= {record.partition for record in page.records}
                await asyncio.sleep(0)

        await all_of(*(write_on(writer) for writer in range(3)), read())
