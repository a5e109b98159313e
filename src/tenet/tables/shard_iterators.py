"""How far a shard iterator is, for the command line, which compares them; to clients it is a mere text."""

from __future__ import annotations

from tenet.tables.rules.stream_shards import decode_iterator


def position_in(iterator: str) -> int:
    """Returns the last position in the log that an iterator does not want, however old the iterator is; 0 or more.

    Positions of iterators of one shard can be compared: the higher one has read more.

    Args:
        iterator: as the service handed it out.

    Raises:
        ValidationException: it did not.
    """
    return decode_iterator(iterator, now_ms=0).after
