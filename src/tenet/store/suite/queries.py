"""Queries of one partition: order, ranges, pages, and what they show while others write."""

from __future__ import annotations

import asyncio
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenet.base.dice import Dice
from tenet.store.contract import EVERYTHING, Delete, Key, Page, Put, Range, Record
from tenet.store.errors import InvalidRequest
from tenet.store.suite.model import is_within, length_of_page
from tenet.store.suite.records import AWKWARD
from tenet.store.suite.stage import SEED, Client, Stage, all_of, rounds


async def filled(stage: Stage, sorts: list[bytes], value: bytes = b"") -> Key:
    """Puts records under these sort keys into a new partition, and returns a key of it."""
    key = await stage.key()
    for start in range(0, len(sorts), 2_000):
        some = sorts[start : start + 2_000]
        await stage.client.write(*(Put(Key(key.space, key.partition, sort), value or sort) for sort in some))
    return key


async def page_of(
    client: Client, key: Key, within: Range = EVERYTHING, *, limit: int, limit_bytes: int = 2**20, reverse: bool = False
) -> Page:
    return await client.patiently(
        lambda: client.store.query(
            key.space, key.partition, within, limit=limit, limit_bytes=limit_bytes, reverse=reverse
        )
    )


def sorts_of(records: list[Record]) -> list[bytes]:
    return [record.sort for record in records]


class TestOrder:
    """Sort keys are ordered as unsigned bytes."""

    async def test_order_forward_and_backward(self, stage: Stage) -> None:
        key = await filled(stage, AWKWARD)
        for page in (1, 2, 7, 1_000):
            forward = await stage.client.query_all(key.space, key.partition, page=page)
            assert sorts_of(forward) == sorted(AWKWARD)
            backward = await stage.client.query_all(key.space, key.partition, page=page, reverse=True)
            assert sorts_of(backward) == sorted(AWKWARD, reverse=True)

    async def test_ranges_are_half_open_between_any_two_keys(self, stage: Stage) -> None:
        sorts = AWKWARD[::2]
        key = await filled(stage, sorts)
        ends: list[bytes | None] = [*AWKWARD, None]
        pairs = list(product(AWKWARD, ends))
        for lower, upper in Dice(SEED).sample(pairs, rounds(120, len(pairs))):
            within = Range(lower, upper)
            wanted = sorted(sort for sort in sorts if is_within(sort, within))
            assert sorts_of(await stage.client.query_all(key.space, key.partition, within)) == wanted
            backward = await stage.client.query_all(key.space, key.partition, within, page=3, reverse=True)
            assert sorts_of(backward) == wanted[::-1]

    async def test_a_range_that_is_empty_or_upside_down_holds_nothing(self, stage: Stage) -> None:
        key = await filled(stage, [b"a", b"b", b"c"])
        for within in (Range(b"b", b"b"), Range(b"c", b"a"), Range(b"d"), Range(b"", b""), Range(b"a\x00", b"b")):
            page = await page_of(stage.client, key, within, limit=10)
            assert (list(page.records), page.more) == ([], False)

    async def test_an_unknown_partition_is_empty(self, stage: Stage) -> None:
        page = await page_of(stage.client, await stage.key(), limit=1)
        assert (list(page.records), page.more, page.stamp) == ([], False, None)

    def test_any_records_are_in_order_in_any_range(self, stage: Stage) -> None:
        byte_strings = st.binary(max_size=6) | st.sampled_from(AWKWARD)

        @settings(max_examples=rounds(25, 500), deadline=None)
        @given(
            st.lists(byte_strings, unique=True, max_size=30),
            st.tuples(byte_strings, st.none() | byte_strings),
            st.integers(1, 12),
            st.booleans(),
        )
        def in_order(sorts: list[bytes], ends: tuple[bytes, bytes | None], page: int, reverse: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
            within = Range(*ends)
            key = stage.run(filled(stage, sorts))
            found = stage.run(stage.client.query_all(key.space, key.partition, within, page=page, reverse=reverse))
            assert sorts_of(found) == sorted((s for s in sorts if is_within(s, within)), reverse=reverse)

        in_order()


class TestPages:
    """Pages end where they are asked to, or earlier, and say so."""

    async def test_a_page_is_never_longer_than_its_limit(self, stage: Stage) -> None:
        sorts = [b"%03d" % number for number in range(100)]
        key = await filled(stage, sorts)
        for limit in (1, 2, 33, 99, 100, 101, 10_000):
            page = await page_of(stage.client, key, limit=limit)
            got = sorts_of(list(page.records))
            assert got == sorts[: len(got)]
            assert 1 <= len(got) <= limit
            assert page.more or len(got) == 100

    async def test_a_page_ends_with_the_record_that_reaches_its_bytes(self, stage: Stage) -> None:
        key = await stage.key()
        sizes = [0, 10, 0, 990, 5_000, 1, 1, 0, 2_000_000, 3, 0, 700_000, 400_000, 5]
        records = [Put(Key(key.space, key.partition, b"%02d" % at), bytes(size)) for at, size in enumerate(sizes)]
        await stage.client.write(*records)
        for reverse in (False, True):
            everything = await stage.client.query_all(key.space, key.partition, reverse=reverse)
            for limit_bytes in (1, 10, 11, 1_000, 1_001, 6_000, 2**20, 2**22):
                found: list[Record] = []
                while True:
                    rest = everything[len(found) :]
                    within = _behind(found, reverse=reverse)
                    page = await page_of(
                        stage.client, key, within, limit=1_000, limit_bytes=limit_bytes, reverse=reverse
                    )
                    assert 1 <= len(page.records) <= length_of_page(rest, 1_000, limit_bytes)
                    found += page.records
                    if not page.more:
                        break
                assert found == everything

    async def test_a_limit_of_none_is_refused(self, stage: Stage) -> None:
        key = await stage.key()
        for limit, limit_bytes in ((0, 2**20), (-1, 2**20), (1, 0), (1, -5)):
            with pytest.raises(InvalidRequest):
                await page_of(stage.client, key, limit=limit, limit_bytes=limit_bytes)

    async def test_a_long_partition_is_read_to_its_end(self, stage: Stage) -> None:
        count = rounds(12_000, 100_000)
        sorts = [b"%08d" % number for number in range(count)]
        key = await filled(stage, sorts, b"v")
        assert sorts_of(await stage.client.query_all(key.space, key.partition, page=10_000)) == sorts
        backward = await stage.client.query_all(key.space, key.partition, page=9_999, reverse=True)
        assert sorts_of(backward) == sorts[::-1]
        middle = Range(b"%08d" % (count // 2), b"%08d" % (count // 2 + 5))
        assert sorts_of(await stage.client.query_all(key.space, key.partition, middle)) == sorts[count // 2 :][:5]


def _behind(found: list[Record], *, reverse: bool) -> Range:
    if not found:
        return EVERYTHING
    return Range(b"", found[-1].sort) if reverse else Range(found[-1].sort + b"\x00")


class TestQueriesWhileWriting:
    """Queries of partitions that change meanwhile."""

    @pytest.mark.parametrize("reverse", [False, True])
    async def test_paging_neither_skips_nor_repeats(self, stage: Stage, reverse: bool) -> None:  # noqa: FBT001 - a parameter of the test
        stable = [b"%04d" % number for number in range(0, 400, 2)]
        key = await filled(stage, stable)
        churning = [b"%04d" % number for number in range(1, 400, 2)] + [b"%04d\x00" % number for number in range(400)]
        stop = asyncio.Event()

        async def churn(writer: int) -> None:
            dice = Dice(SEED + writer)
            while not stop.is_set():
                at = Key(key.space, key.partition, dice.pick(churning))
                await stage.client.write(Put(at, b"x") if dice.chance(0.6) else Delete(at))

        async def read() -> None:
            for page in (1, 3, 10, 64)[: rounds(3, 4)]:
                found = await stage.client.query_all(key.space, key.partition, page=page, reverse=reverse)
                sorts = sorts_of(found)
                assert sorts == sorted(set(sorts), reverse=reverse), "a record was repeated or out of order"
                assert [s for s in sorts if s in stable_set] == sorted(stable, reverse=reverse), "a record was skipped"
            stop.set()

        stable_set = set(stable)
        await all_of(read(), *(churn(writer) for writer in range(4)))

    async def test_a_page_is_of_one_moment(self, stage: Stage) -> None:
        # Every commit gives all records the same value: a page of two values is of two moments.
        sorts = [b"%02d" % number for number in range(40)]
        key = await filled(stage, sorts, b"start")
        stop = asyncio.Event()

        async def write_on(writer: int) -> None:
            number = 0
            while not stop.is_set():
                value = b"%d.%d" % (writer, number)
                await stage.client.write(*(Put(Key(key.space, key.partition, sort), value) for sort in sorts))
                number += 1

        async def read() -> None:
            for number in range(rounds(60, 1_000)):
                page = await page_of(stage.client, key, limit=100, reverse=number % 2 == 1)
                assert len({record.value for record in page.records}) == 1
                assert len({record.version for record in page.records}) == 1
                assert page.more or len(page.records) == 40
            stop.set()

        await all_of(read(), write_on(0), write_on(1))

    async def test_a_query_sees_every_commit_that_was_answered_before(self, stage: Stage) -> None:
        key = await stage.key()
        written: list[bytes] = []

        async def write_on(writer: int) -> None:
            for number in range(rounds(25, 200)):
                sort = b"%d.%d" % (writer, number)
                await stage.client.write(Put(Key(key.space, key.partition, sort), b""))
                written.append(sort)

        async def read() -> None:
            while len(written) < 4 * rounds(25, 200):
                answered = set(written)
                found = set(sorts_of(await stage.client.query_all(key.space, key.partition)))
                assert answered <= found
                await asyncio.sleep(0)

        await all_of(*(write_on(writer) for writer in range(4)), read(), read())
