"""What ``tenet tables follow`` does: reads a table's stream as any client may, and prints a line for each change.

Changes of one item are printed in their order, each once while the command runs: a shard that another one was split
into is read when that one has come to its end. Where it keeps a file, it goes on behind what the file says was printed:
what was printed when it was killed, and not noted yet, is printed again.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tenet.app.access import NotStartedYet
from tenet.app.data_directory import DataDirectory
from tenet.app.reach import remote_of
from tenet.base.clock import SystemClock
from tenet.base.errors import TenetError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tenet.app.configuration import Configuration

#: How often a stream is asked whether there is anything new.
POLL_S: Final = 0.5
#: Where to begin: with the oldest change that is kept, or with what comes from now on.
START, NOW = "start", "now"
_STREAMS: Final = "DynamoDBStreams_20120810"
_TABLES: Final = "DynamoDB_20120810"

if TYPE_CHECKING:
    #: Carries out an operation: its target and the request; returns the answer.
    Ask = Callable[[str, dict[str, Any]], dict[str, Any]]


class NotFollowed(TenetError):
    """The table cannot be followed from there, or the server refused."""

    code = "NotFollowed"
    http_status = 409


class Place(msgspec.Struct):
    """How far a stream was printed.

    Args:
        stream: its ARN.
        since_ms: from when on changes are wanted, milliseconds since 1970; 0 for all that are kept.
        shards: the sequence number of the last record that was printed, by shard.
    """

    stream: str
    since_ms: int = 0
    shards: dict[str, str] = {}


def asking(configuration: Configuration) -> Ask:
    """Returns what asks the server of a data directory as its root.

    Raises:
        NotStartedYet: no server runs there.
    """
    directory = DataDirectory(configuration.settings)
    remote = remote_of(directory)
    if remote is None:
        raise NotStartedYet.in_directory(directory)
    region = configuration.settings.server.region

    def ask(target: str, request: dict[str, Any]) -> dict[str, Any]:
        status, content = remote.ask(target, json.dumps(request).encode(), service="dynamodb", region=region)
        try:
            answer: dict[str, Any] = json.loads(content)
        except ValueError:
            answer = {}
        if status != 200:  # noqa: PLR2004 (HTTP's own)
            code = str(answer.get("__type", f"status {status}")).rpartition("#")[2]
            raise NotFollowed(f"{code}: {answer.get('message') or answer.get('Message') or ''}")
        return answer

    return ask


class Follower:
    """Follows the stream of a table.

    Args:
        ask: carries out operations.
        say: is given each line.
        file: where it is kept how far was printed; None: nowhere.
    """

    def __init__(self, ask: Ask, say: Callable[[str], None], file: Path | None = None) -> None:
        self._ask = ask
        self._say = say
        self._file = file
        self._place = Place("")
        self._table = ""
        self._iterators: dict[str, str] = {}
        #: Shards that were read to their end.
        self._ended: set[str] = set()
        #: Whether the stream is being switched on, and has no shards yet.
        self._is_coming = False

    def begin(self, table: str, since: str) -> None:
        """Finds the table's stream, and where to begin in each of its shards.

        Args:
            table: its name.
            since: ``start``, ``now``, or a time in the form of ISO 8601; of no meaning where the file says how far.

        Raises:
            NotFollowed: the table has no stream, or is another one than that of the file; or `since` is no time.
        """
        self._table = table
        arn = self._latest()
        kept = None if self._file is None or not self._file.exists() else _read(self._file)
        if not arn:
            raise NotFollowed(
                f"the table {table} has no stream. Switch one on: aws dynamodb update-table --table-name {table} "
                "--stream-specification StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES"
            )
        if kept is not None and kept.stream.partition("/stream/")[0] != arn.partition("/stream/")[0]:
            raise NotFollowed(f"{self._file} is about another table: {kept.stream}")
        self._open(kept or Place(arn, _since_ms(since)))

    def _latest(self) -> str:
        """Returns the ARN of the table's last stream; empty where it never had one."""
        described = self._ask(f"{_TABLES}.DescribeTable", {"TableName": self._table})["Table"]
        return str(described.get("LatestStreamArn", ""))

    def _open(self, place: Place) -> None:
        self._place = place
        self._ended = set()
        self._open_shards()
        self._keep()

    def _open_shards(self) -> list[str]:
        """Begins to read the shards whose turn has come: those whose parent was read to its end; returns them."""
        stream = self._ask(f"{_STREAMS}.DescribeStream", {"StreamArn": self._place.stream})["StreamDescription"]
        self._is_coming = stream["StreamStatus"] == "ENABLING"
        parents = {shard["ShardId"]: shard.get("ParentShardId") for shard in stream["Shards"]}
        opened = [
            shard
            for shard, parent in parents.items()
            # A parent that is not kept any more has nothing to tell.
            if shard not in self._iterators
            and shard not in self._ended
            and (parent not in parents or parent in self._ended)
        ]
        for shard in opened:
            self._iterators[shard] = self._iterator(shard)
        self._place.shards = {shard: number for shard, number in self._place.shards.items() if shard in parents}
        return opened

    def step(self) -> int:
        """Prints what each shard has; returns how many lines. A shard that has come to its end is left out later."""
        count = 0
        shards = list(self._iterators)
        while shards:
            ended_before = len(self._ended)
            count += sum(self._print(shard) for shard in shards)
            shards = self._open_shards() if len(self._ended) > ended_before else []
        if self._is_coming:
            self._open_shards()
        elif not self._iterators:
            # It was switched off and on again, or its table was made anew, perhaps more than once.
            behind = {"TableName": self._table, "ExclusiveStartStreamArn": self._place.stream, "Limit": 1}
            for stream in self._ask(f"{_STREAMS}.ListStreams", behind)["Streams"]:
                self._open(Place(stream["StreamArn"]))
                count += self.step()
        return count

    def _print(self, shard: str) -> int:
        """Prints what a shard has; returns how many lines."""
        try:
            answer = self._ask(f"{_STREAMS}.GetRecords", {"ShardIterator": self._iterators[shard]})
        except NotFollowed as error:
            if not error.message.startswith("ExpiredIteratorException"):
                raise
            self._iterators[shard] = self._iterator(shard)
            return 0
        for record in answer["Records"]:
            self._say(json.dumps(record, ensure_ascii=False, separators=(",", ":")))
            self._place.shards[shard] = record["dynamodb"]["SequenceNumber"]
        if answer["Records"]:
            self._keep()
        following = answer.get("NextShardIterator")
        if following is None:
            del self._iterators[shard]
            self._ended.add(shard)
        else:
            self._iterators[shard] = following
        return len(answer["Records"])

    @property
    def is_over(self) -> bool:
        """Whether the table's last stream has ended, because it was switched off, and all of it was printed."""
        return not self._iterators and not self._is_coming

    def _iterator(self, shard: str) -> str:
        request: dict[str, Any] = {"StreamArn": self._place.stream, "ShardId": shard}
        printed = self._place.shards.get(shard)
        if printed is not None:
            request |= {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": printed}
        elif self._place.since_ms:
            request |= {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": self._place.since_ms / 1_000}
        else:
            request["ShardIteratorType"] = "TRIM_HORIZON"
        answer = self._ask(f"{_STREAMS}.GetShardIterator", request)
        return str(answer["ShardIterator"])

    def _keep(self) -> None:
        """Writes down how far was printed; whoever is killed meanwhile leaves the former file."""
        if self._file is not None:
            fresh = self._file.with_name(self._file.name + ".new")
            fresh.write_bytes(msgspec.json.encode(self._place))
            fresh.replace(self._file)


def follow(follower: Follower, *, once: bool) -> None:
    """Prints changes as they come, until the stream ends or somebody interrupts; with `once` those that are there."""
    while not follower.is_over:
        count = follower.step()
        if not count:
            if once:
                return
            time.sleep(POLL_S)


def _since_ms(since: str) -> int:
    if since == START:
        return 0
    if since == NOW:
        return SystemClock().wall_ms()
    try:
        at = datetime.fromisoformat(since)
    except ValueError:
        raise NotFollowed(f"--from takes {START}, {NOW} or a time such as 2026-03-01T12:00:00Z, not {since}") from None
    return int((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() * 1_000)


def _read(file: Path) -> Place:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Place)
    except msgspec.DecodeError as error:
        raise NotFollowed(f"{file} does not say how far a stream was printed: {error}") from error
