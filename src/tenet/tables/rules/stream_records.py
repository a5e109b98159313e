"""Records of streams: what an entry of a table's log tells those who read its stream.

Source: Record and StreamRecord of the API reference of DynamoDB Streams.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import orjson

from tenet.store.contract import commit_id_ms
from tenet.tables.rules.followed import EXPIRY
from tenet.tables.rules.images import Image
from tenet.tables.rules.index_log import is_by_keys
from tenet.tables.rules.sizes import item_bytes
from tenet.tables.rules.stream_shards import sequence_number

if TYPE_CHECKING:
    from tenet.store.contract import LogEntry
    from tenet.tables.model import Stream, Table

#: Who deletes what has expired.
_EXPIRY_IDENTITY: Final = b',"userIdentity":{"PrincipalId":"dynamodb.amazonaws.com","Type":"Service"}'
_SHOWS_NEW: Final = frozenset({"NEW_IMAGE", "NEW_AND_OLD_IMAGES"})
_SHOWS_OLD: Final = frozenset({"OLD_IMAGE", "NEW_AND_OLD_IMAGES"})


def record_json(table: Table, stream: Stream, shard: int, entry: LogEntry) -> bytes:
    """Returns the record of a change as JSON.

    Args:
        table: whose change it is.
        stream: whose record it is.
        shard: of the log.
        entry: of the log.
    """
    old, new = Image(entry.old), Image(entry.new)
    event = "INSERT" if not old.exists else "MODIFY" if new.exists else "REMOVE"
    item: dict[str, Any] = (new if new.exists else old).item or {}
    keys = {name: item[name] for name in table.keys.names}
    size_bytes = item_bytes(keys)
    images = b""
    for name, image, views in ((b"NewImage", new, _SHOWS_NEW), (b"OldImage", old, _SHOWS_OLD)):
        if stream.view in views and image.exists and not is_by_keys(image):
            images += b',"' + name + b'":' + image.json
            size_bytes += image.size
    place = f"{table.id}/{stream.label}/{shard}/{entry.position}"
    about = orjson.dumps(
        {
            "eventID": hashlib.blake2b(place.encode(), digest_size=16).hexdigest(),
            "eventName": event,
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": table.region,
        }
    )
    told = orjson.dumps(
        {
            "ApproximateCreationDateTime": commit_id_ms(entry.commit_id) // 1_000,
            "Keys": keys,
            "SequenceNumber": sequence_number(shard, entry.position),
            "SizeBytes": size_bytes,
            "StreamViewType": stream.view,
        }
    )
    identity = _EXPIRY_IDENTITY if entry.origin == EXPIRY else b""
    return about[:-1] + b',"dynamodb":' + told[:-1] + images + b"}" + identity + b"}"
