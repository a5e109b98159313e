"""GetRecords (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetRecords.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import orjson

from tenet.store.contract import commit_id_ms
from tenet.store.errors import LogTrimmed
from tenet.tables.errors import TrimmedDataAccessException, ValidationException
from tenet.tables.ops.get_shard_iterator import TRIMMED
from tenet.tables.ops.stream_reading import changed, find_shard
from tenet.tables.rules.index_log import FILLING
from tenet.tables.rules.stream_records import record_json
from tenet.tables.rules.stream_shards import decode_iterator, encode_iterator

if TYPE_CHECKING:
    from tenet.store.contract import LogPage, Store
    from tenet.tables.context import Caller, Context
    from tenet.tables.ops.stream_reading import Found
    from tenet.tables.rules.stream_shards import Iterator

RECORDS_MAX: Final = 1_000
#: An answer ends with the record that makes it reach so many bytes.
BYTES_MAX: Final = 1024 * 1024
#: So many parts of the log are read for an answer; where a time is looked for, there may be nothing in them.
PAGES_MAX: Final = 20


async def get_records(context: Context, caller: Caller, request: dict[str, Any]) -> bytes:
    """Returns records of a shard from an iterator on; a round trip for each 500 records or 512 KB.

    An iterator behind the last record of a shard that has ended is answered without a next one.

    Raises:
        ValidationException: the iterator is none, or too many records are asked for.
        ExpiredIteratorException: it is older than 15 minutes.
        TrimmedDataAccessException: records behind it are older than 24 hours, and gone.
        ResourceNotFoundException: the stream is gone.
        AccessDeniedException: it is another tenant's.
    """
    now_ms = context.clock.wall_ms()
    iterator = decode_iterator(request["ShardIterator"], now_ms=now_ms)
    limit = request.get("Limit", RECORDS_MAX)
    if limit > RECORDS_MAX:
        raise ValidationException(
            f"One or more parameter values were invalid: Limit should be less than or equal to {RECORDS_MAX}"
        )
    found = await find_shard(context, caller, iterator.arn, iterator.shard)
    while True:
        reading = _Reading(found, iterator, limit)
        await reading.run(context.store, caller.deadline)
        now = await changed(context, caller, iterator.arn, found)
        if now is None:
            break
        found = now
    members = [b'"Records":[' + b",".join(reading.records) + b"]"]
    if not reading.is_at_end:
        following = msgspec.structs.replace(iterator, after=reading.after, made_ms=now_ms)
        members.append(b'"NextShardIterator":' + orjson.dumps(encode_iterator(following)))
    return b"{" + b",".join(members) + b"}"


class _Reading:
    """A read of a shard.

    Args:
        found: the shard, with its stream.
        iterator: where it begins.
        limit: the most records.

    Attributes:
        records: that were found, as JSON.
        after: the last position that was read.
        is_at_end: whether nothing more will ever come.
    """

    def __init__(self, found: Found, iterator: Iterator, limit: int) -> None:
        self._table, self._stream, shard = found
        self._log = shard.log
        # The records of its log shard that are not its own are left out.
        self._part = shard if shard.depth else None
        self._since_ms = iterator.since_ms
        self._limit = limit
        self._has_ended = shard.end is not None
        self._end = shard.held if shard.end is None else shard.end
        self._bytes = 0
        self.records: list[bytes] = []
        self.after = iterator.after
        self.is_at_end = False

    async def run(self, store: Store, deadline: float) -> None:
        """Reads as much as an answer holds.

        Raises:
            TrimmedDataAccessException: what comes first is gone.
        """
        for _ in range(PAGES_MAX):
            if self._end is not None and self.after >= self._end:
                self.is_at_end = self._has_ended
                return
            if self._is_full:
                return
            page = await self._page(store, deadline)
            if page is None:
                return
            self._take(page)
            if not page.entries:
                self.after = max(self.after, page.closed if self._end is None else min(page.closed, self._end))
            if self._end is None and (not page.entries or page.entries[-1].position >= page.closed):
                return

    @property
    def _is_full(self) -> bool:
        return len(self.records) >= self._limit or self._bytes >= BYTES_MAX

    async def _page(self, store: Store, deadline: float) -> LogPage | None:
        """Returns the next entries of the log; None where they went after those before had been read."""
        limit = self._limit - len(self.records) if self._part is None else RECORDS_MAX
        try:
            return await store.read_log(self._table.space, self._log, after=self.after, limit=limit, deadline=deadline)
        except LogTrimmed:
            if self.records:
                return None
            raise TrimmedDataAccessException(TRIMMED) from None

    def _take(self, page: LogPage) -> None:
        """Makes records of the entries of a page, as far as there is room and the stream goes."""
        for entry in page.entries:
            if self._end is not None and entry.position > self._end:
                self.after = self._end
                return
            if self._is_full:
                return
            self.after = entry.position
            # What fills an index is no change of an item.
            if entry.origin == FILLING or commit_id_ms(entry.commit_id) < self._since_ms:
                continue
            if self._part is None or self._part.holds(entry.partition):
                record = record_json(self._table, self._stream, self._log, entry)
                self.records.append(record)
                self._bytes += len(record)
