"""The tables of the engine, and the statements on them.

Each space has a table of its own. Within a partition the *kind* keeps apart what is read apart, so that neither the
rows nor the traces of deleted ones get into each other's way: 0 the header, 1 records, 2 stamps, 3 what
became of commits, 4 log entries on their way to the log, 5 what commits over several partitions are about to write.

What concerns the whole partition stands in static columns: ``h``, the hybrid time of the last commit; ``lk``, the
commit over several partitions that holds it; ``pe``, the epoch of its pointer (see ``logs``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tenet.store.contract import Limits

if TYPE_CHECKING:
    from tenet.base.clock import Clock

#: What became of a commit is remembered somewhat longer than anybody may ask. So is the time of a partition: a clock
#: may be wrong by less, and yet nothing gets an older version than what was there.
REMEMBERED_S: Final = Limits.settle_window_s + 300


def above_us(clock: Clock) -> int:
    """Returns a timestamp of Cassandra, in microseconds, that is above that of any node's and process's clock now."""
    return (clock.wall_ms() + 1000 * REMEMBERED_S) * 1000


#: A value that nobody writes: a condition that it is not this one holds always, and brings the value with a refusal.
NEVER_WRITTEN: Final = b"\x00tenet: a condition that always holds\x00"

#: The kinds of rows that are read back; see above for the others.
RECORD, BUCKET, FATE = 1, 2, 3

FORMAT: Final = 1
#: Which tables a keyspace has.
TABLES: Final = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?"
LOG_ID_BYTES: Final = 8
#: For how long the registry remembers that a table was taken, or condemned, seconds: ten days, longer than a process
#: stands still between two statements.
NAMES_KEPT_S: Final = 864_000
#: How long traces of pointers are kept, seconds: long enough for hints. One that comes back is taken away again.
_POINTERS_GRACE_S: Final = 600

_OPTIONS: Final = (
    "compaction = {{'class': 'UnifiedCompactionStrategy'}} AND gc_grace_seconds = {gc_grace_s}"
    " AND speculative_retry = '90p'"
)


def keyspace(name: str, replication: str) -> str:
    """Returns the definition of the keyspace."""
    return (
        f"CREATE KEYSPACE IF NOT EXISTS {name} WITH replication = {{'class': 'NetworkTopologyStrategy', {replication}}}"
        " AND durable_writes = true"
    )


def registry(name: str, gc_grace_s: int) -> dict[str, str]:
    """Returns the definitions of the tables that the engine has beside those of the spaces, by their names."""
    space = "part text, name text, id text, options text, log text, dropped_ms bigint"
    log = "log blob, shard int, seg bigint, pos bigint, e blob, nx bigint static, tk bigint static"
    pointer = "log blob, shard int, p blob, e bigint"
    head = "log blob, shard int, reader text, seg bigint static, tk bigint static, trimmed bigint static, up_to bigint"
    columns = {
        "registry": f"{space}, PRIMARY KEY (part, name)",
        "logs": f"{log}, PRIMARY KEY ((log, shard, seg), pos)",
        "pointers": f"{pointer}, PRIMARY KEY ((log, shard), p, e)",
        "heads": f"{head}, PRIMARY KEY ((log, shard), reader)",
        "commits": "slot bigint, lane int, id blob, w blob, PRIMARY KEY ((slot, lane), id)",
    }
    grace_s = {"pointers": min(gc_grace_s, _POINTERS_GRACE_S)}
    return {table: _table(f"{name}.{table}", some, grace_s.get(table, gc_grace_s)) for table, some in columns.items()}


def _table(name: str, columns: str, gc_grace_s: int) -> str:
    return f"CREATE TABLE IF NOT EXISTS {name} ({columns}) WITH {_OPTIONS.format(gc_grace_s=gc_grace_s)}"


def equal(column: str, value: object) -> tuple[str, list[object]]:
    """Returns the condition that a column has a value, None for none, as text and values of its markers."""
    return (f"{column} = null", []) if value is None else (f"{column} = ?", [value])


def space(name: str, space_id: str, gc_grace_s: int) -> str:
    """Returns the definition of the table of a space."""
    columns = (
        "p blob, kind tinyint, sort blob, v blob, ver blob, c blob, i tinyint, mk blob, st bigint,"
        " h bigint static, lk blob static, pe blob static, PRIMARY KEY (p, kind, sort)"
    )
    return _table(f"{name}.s_{space_id}", columns, gc_grace_s)


class Statements:
    """The statements on the table of one space.

    Args:
        keyspace: its keyspace.
        space_id: its id.
    """

    def __init__(self, keyspace: str, space_id: str) -> None:
        table = f"{keyspace}.s_{space_id}"
        ttl = f"USING TTL {REMEMBERED_S} "
        row = "WHERE p = ? AND kind = 1 AND sort = ?"
        self.table = table
        self.keyspace = keyspace
        self.space_id = space_id
        #: (h, p), then what the condition on the time asks for, then what else does.
        self.time = f"UPDATE {table} {ttl}SET h = ? WHERE p = ? IF lk = null AND "
        self.time_under_lock = f"UPDATE {table} {ttl}SET h = ?, lk = null WHERE p = ? IF lk = ?"
        self.header = f"UPDATE {table} {ttl}SET st = 0 WHERE p = ? AND kind = 0 AND sort = 0x"
        #: Under a lock, which stays as long as nobody comes: who comes has to see it.
        self.header_kept = f"UPDATE {table} SET st = 0 WHERE p = ? AND kind = 0 AND sort = 0x"
        self.lock = f"UPDATE {table} SET lk = ? WHERE p = ? IF lk = null AND "
        self.unlock = f"UPDATE {table} SET lk = null WHERE p = ? IF lk = ?"
        self.put = f"UPDATE {table} SET v = ?, ver = ? {row}"
        self.put_cells = f"UPDATE {table} SET v = ?, ver = ?, c = ? {row}"
        self.add = f"UPDATE {table} SET c = ? {row}"
        self.delete = f"DELETE FROM {table} {row}"
        self.check = f"UPDATE {table} SET i = null {row}"
        self.intend = f"UPDATE {table} SET i = 1 {row}"
        self.bucket = f"UPDATE {table} SET st = ? WHERE p = ? AND kind = 2 AND sort = ?"
        self.fate = (
            f"UPDATE {table} USING TTL {REMEMBERED_S} SET mk = ? WHERE p = ? AND kind = 3 AND sort = ? IF mk = null"
        )
        self.fate_kept = f"UPDATE {table} SET mk = ? WHERE p = ? AND kind = 3 AND sort = ? IF mk = null"
        #: At a timestamp that is above that of the nodes' clocks, else the fate that stands would stay for ever.
        self.fate_aged = (
            f"UPDATE {table} USING TTL {REMEMBERED_S} AND TIMESTAMP ? SET mk = ? WHERE p = ? AND kind = 3 AND sort = ?"
        )
        self.no_fate = f"UPDATE {table} SET st = null WHERE p = ? AND kind = 3 AND sort = ? IF mk = null"
        self.outbox = f"UPDATE {table} SET v = ? WHERE p = ? AND kind = 4 AND sort = ?"
        self.outbox_moved = f"DELETE FROM {table} USING TIMESTAMP ? WHERE p = ? AND kind = 4 AND sort >= ? AND sort < ?"
        self.outbox_gone = f"DELETE FROM {table} WHERE p = ? AND kind = 4 AND sort >= ? AND sort < ?"
        self.intent = f"UPDATE {table} SET v = ?, st = ? WHERE p = ? AND kind = 5 AND sort = ?"
        self.intent_done = f"DELETE FROM {table} WHERE p = ? AND kind = 5 AND sort = ?"
        self.discard_below = f"DELETE FROM {table} WHERE p = ? AND kind = 1 AND sort >= ? AND sort < ?"
        self.discard_all = f"DELETE FROM {table} WHERE p = ? AND kind = 1 AND sort >= ?"
        self.get = f"SELECT v, ver, c, lk, h FROM {table} {row}"
        self.get_in = f"SELECT v, ver, c, lk, h, sort FROM {table} WHERE p = ? AND kind = 1 AND sort IN ?"
        self.get_fates = f"SELECT sort, mk FROM {table} WHERE p = ? AND kind = 3 AND sort IN ?"
        self.get_intent = f"SELECT v FROM {table} WHERE p = ? AND kind = 5 AND sort = ?"
        self.get_age = f"SELECT st FROM {table} WHERE p = ? AND kind = 5 AND sort = ?"
        #: To a batch whose conditions are on static columns alone; the node looks for the partition's first row for it.
        self.look_at_header = f"UPDATE {table} SET i = null WHERE p = ? AND kind = 0 AND sort = 0x IF i = null"
        self.guard = f"UPDATE {table} SET lk = null WHERE p = ? IF lk = null"
        self.point = f"UPDATE {table} SET pe = ? WHERE p = ? IF "
        self.unpoint = f"UPDATE {table} SET pe = ? WHERE p = ? IF lk = null AND "
        self.check_bucket = f"UPDATE {table} SET i = null WHERE p = ? AND kind = 2 AND sort = ?"
        self.get_outbox = (
            f"SELECT sort, v, h, lk, pe, writetime(v) FROM {table} WHERE p = ? AND kind = 4 AND sort >= ? AND sort < ?"
            " LIMIT ?"
        )
        #: By its whole key: whoever looks for the first row reads over the traces of all deleted ones before it. With a
        #: column of the row, because a node refuses to read static ones alone by the key of a row.
        self.get_header = f"SELECT h, lk, pe, st FROM {table} WHERE p = ? AND kind = 0 AND sort = 0x"
        self._ranges = {
            (has_upper, reverse): self._range(has_upper=has_upper, reverse=reverse)
            for has_upper in (False, True)
            for reverse in (False, True)
        }

    def range(self, *, has_upper: bool, reverse: bool) -> str:
        """Returns the read of a range of a partition: p, lower, perhaps upper, limit."""
        return self._ranges[has_upper, reverse]

    def _range(self, *, has_upper: bool, reverse: bool) -> str:
        upper = " AND sort < ?" if has_upper else ""
        order = " ORDER BY kind DESC, sort DESC" if reverse else ""
        columns = "v, ver, c, lk, h, sort"
        where = "p = ? AND kind = 1 AND sort >= ?"
        return f"SELECT {columns} FROM {self.table} WHERE {where}{upper}{order} LIMIT ?"

    def scan(self, *, has_upper: bool) -> str:
        """Returns the read of a range of tokens: first and last token, lower, perhaps upper, limit."""
        upper = " AND sort < ?" if has_upper else ""
        return (
            f"SELECT v, ver, c, lk, h, sort, p FROM {self.table} WHERE token(p) >= ? AND token(p) <= ? AND kind = 1"
            f" AND sort >= ?{upper} LIMIT ? ALLOW FILTERING"
        )


class LogStatements:
    """The statements on logs, the pointers to what is on its way there, and the heads of shards."""

    def __init__(self, keyspace: str) -> None:
        log, pointers, heads = (f"{keyspace}.{name}" for name in ("logs", "pointers", "heads"))
        self.point = f"INSERT INTO {pointers} (log, shard, p, e) VALUES (?, ?, ?, ?)"
        self.unpoint = f"DELETE FROM {pointers} WHERE log = ? AND shard = ? AND p = ? AND e = ?"
        #: All of a shard's that were written then or before.
        self.unpoint_before = f"DELETE FROM {pointers} USING TIMESTAMP ? WHERE log = ? AND shard = ?"
        self.pointers = f"SELECT p, e FROM {pointers} WHERE log = ? AND shard = ? AND (p, e) > (?, ?) LIMIT ?"
        self.head = f"SELECT seg, tk, trimmed, reader, up_to FROM {heads} WHERE log = ? AND shard = ?"
        self.take = f"UPDATE {heads} SET tk = ? WHERE log = ? AND shard = ? "
        self.open_segment = f"UPDATE {heads} SET seg = ? WHERE log = ? AND shard = ? "
        self.trim = f"UPDATE {heads} SET trimmed = ? WHERE log = ? AND shard = ? "
        self.has_read = f"UPDATE {heads} SET up_to = ? WHERE log = ? AND shard = ? AND reader = ? "
        self.fence = f"UPDATE {log} SET tk = ? WHERE log = ? AND shard = ? AND seg = ? "
        self.next = f"UPDATE {log} SET nx = ? WHERE log = ? AND shard = ? AND seg = ? "
        self.entry = f"UPDATE {log} SET e = ? WHERE log = ? AND shard = ? AND seg = ? AND pos = ?"
        self.get_segment = f"SELECT nx, tk FROM {log} WHERE log = ? AND shard = ? AND seg = ? LIMIT 1"
        self.entries = f"SELECT pos, e, nx FROM {log} WHERE log = ? AND shard = ? AND seg = ? AND pos > ? LIMIT ?"
        #: At a timestamp above those of the nodes' clocks, as `fate_aged`: nobody writes there any more.
        self.drop_segment = f"DELETE FROM {log} USING TIMESTAMP ? WHERE log = ? AND shard = ? AND seg = ?"
        self.drop_pointers = f"DELETE FROM {pointers} WHERE log = ? AND shard = ?"
        self.drop_head = f"DELETE FROM {heads} WHERE log = ? AND shard = ?"


class JournalStatements:
    """The statements on the journal of commits over several partitions."""

    def __init__(self, keyspace: str) -> None:
        where = "WHERE slot = ? AND lane = ? AND id = ?"
        self.open = f"UPDATE {keyspace}.commits SET w = ? {where}"
        self.ended = f"UPDATE {keyspace}.commits USING TTL {REMEMBERED_S} AND TIMESTAMP ? SET w = 0x {where}"
        self.read = f"SELECT id, w FROM {keyspace}.commits WHERE slot = ? AND lane = ? AND id > ? LIMIT ?"
