"""What ``tenet tables follow`` does: reads a table's stream as any client may, and prints a line for each change.

Changes of one item are printed in their order, each once while the command runs: a shard that another one was split
into is read when that one has come to its end. Where it keeps a file, it goes on behind what the file says was printed:
what was printed when it was killed, and not noted yet, is printed again.

An answer without records is no end: of a log whose records are older than what is wanted, or another shard's, many of
them come in a row. So whoever wants what is there now notes where each shard ends, and looks how far iterators are.

Changes are kept for 24 hours. Whoever comes later is told which ones he has missed, or may have: of a shard that
something was printed of, the service knows; of others it is known only that the command has not looked for so long.
"""

from __future__ import annotations

import json
import shlex
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tenet.app.access import NotStartedYet
from tenet.app.data_directory import DataDirectory
from tenet.app.reach import remote_of
from tenet.base.clock import SystemClock
from tenet.base.errors import TenetError
from tenet.tables.api import position_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tenet.app.configuration import Configuration
    from tenet.base.clock import Clock

#: How often a stream is asked whether there is anything new.
POLL_S: Final = 0.5
#: Where to begin: with the oldest change that is kept, or with what comes from now on.
START, NOW = "start", "now"
_STREAMS: Final = "DynamoDBStreams_20120810"
_TABLES: Final = "DynamoDB_20120810"
#: How long changes are kept, milliseconds, and after how long those that are not kept are certainly gone.
_KEPT_MS: Final = 24 * 3_600_000
_GONE_MS: Final = 25 * 3_600_000
#: What was made so long before an answer without records is in none that comes later: logs may be behind their commits,
#: and a shard that is being split answers nothing. It is written down as often, milliseconds.
_SETTLED_MS: Final = 60_000

if TYPE_CHECKING:
    #: Carries out an operation: its target and the request; returns the answer.
    Ask = Callable[[str, dict[str, Any]], dict[str, Any]]


class NotFollowed(TenetError):
    """The table cannot be followed from there, or the server refused.

    Args:
        message: what is told.
        refusal: the code with which the server refused; empty where it did not.
    """

    code = "NotFollowed"
    http_status = 409

    def __init__(self, message: str, refusal: str = "") -> None:
        super().__init__(message)
        self.refusal = refusal


class ChangesLost(NotFollowed):
    """Changes that were not printed are gone, or may be."""

    code = "ChangesLost"


class Place(msgspec.Struct):
    """How far a stream was printed.

    Args:
        stream: its ARN.
        since_ms: from when on changes are wanted, milliseconds since 1970; 0 for all that are kept.
        shards: the sequence number of the last record that was printed, by shard.
        printed_ms: when that change was made, milliseconds since 1970.
        read_ms: what was made before that, milliseconds since 1970, was printed or is not wanted; 0: that is not known.
        is_ended: whether the stream has ended, and all of it was printed.
    """

    stream: str
    since_ms: int = 0
    shards: dict[str, str] = {}
    printed_ms: dict[str, int] = {}
    read_ms: int = 0
    is_ended: bool = False


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
            raise NotFollowed(f"{code}: {answer.get('message') or answer.get('Message') or ''}", code)
        return answer

    return ask


class Follower:
    """Follows the stream of a table.

    Args:
        ask: carries out operations.
        say: is given each line.
        file: where it is kept how far was printed; None: nowhere.
        warn: is told of changes that are gone, and what comes behind them is printed; None: they are an error.
        clock: time.
    """

    def __init__(
        self,
        ask: Ask,
        say: Callable[[str], None],
        file: Path | None = None,
        *,
        warn: Callable[[str], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._ask = ask
        self._say = say
        self._file = file
        self._warn = warn
        self._clock: Clock = SystemClock() if clock is None else clock
        self._place = Place("")
        self._table = ""
        self._iterators: dict[str, str] = {}
        #: Shards that were read to their end.
        self._ended: set[str] = set()
        #: Shards of which older changes are passed by, perhaps over many answers without records.
        self._passing: set[str] = set()
        #: Whether the stream is being switched on, and has no shards yet.
        self._is_coming = False
        #: As ``Place.read_ms``, by shard, since it was opened here.
        self._read_ms: dict[str, int] = {}
        #: ``Place.read_ms`` as it was written down.
        self._noted_ms = 0
        #: Where each shard ended when that was looked for; None: nobody wants to know.
        self._ends: dict[str, int] | None = None
        #: Shards that were asked for what comes behind that.
        self._caught_up: set[str] = set()
        #: Whether the last step came further in any shard.
        self._is_moving = False

    def begin(self, table: str, since: str) -> None:
        """Finds the table's stream, and where to begin in each of its shards.

        Args:
            table: its name.
            since: ``start``, ``now``, or a time in the form of ISO 8601; of no meaning where the file says how far.

        Raises:
            NotFollowed: the table has no stream, or is another one than that of the file; or `since` is no time.
            ChangesLost: changes that come behind what the file says are gone.
        """
        self._table = table
        kept = None if self._file is None or not self._file.exists() else _read(self._file)
        arn = self._latest(kept)
        if not arn:
            raise self._no_stream()
        if kept is not None and kept.stream.partition("/stream/")[0] != arn.partition("/stream/")[0]:
            raise NotFollowed(f"{self._file} is about another table: {kept.stream}")
        if kept is not None:
            self._resume(kept)
            return
        now_ms = self._clock.wall_ms()
        since_ms = _since_ms(since, now_ms)
        self._open(Place(arn, since_ms, read_ms=max(since_ms, now_ms - _KEPT_MS)), is_first=True)

    def _latest(self, kept: Place | None) -> str:
        """Returns the ARN of the table's last stream; empty where it never had one.

        Where the table is gone, or was made anew without one, that of the file may be there still.
        """
        former = ""
        if kept is not None and kept.stream.partition("/stream/")[0].endswith(f":table/{self._table}"):
            former = kept.stream
        try:
            described = self._ask(f"{_TABLES}.DescribeTable", {"TableName": self._table})["Table"]
        except NotFollowed as error:
            is_gone = error.refusal == "ResourceNotFoundException"
            if is_gone and former and (self._has(former) or self._behind(former)):
                return former
            raise
        return str(described.get("LatestStreamArn", former))

    def _no_stream(self) -> NotFollowed:
        return NotFollowed(
            f"the table {self._table} has no stream. Switch one on: aws dynamodb update-table --table-name "
            f"{self._table} --stream-specification StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES"
        )

    def _has(self, arn: str) -> bool:
        """Whether a stream can still be read."""
        try:
            self._ask(f"{_STREAMS}.DescribeStream", {"StreamArn": arn, "Limit": 1})
        except NotFollowed as error:
            if error.refusal != "ResourceNotFoundException":
                raise
            return False
        return True

    def _behind(self, arn: str) -> str:
        """Returns the ARN of the table's first stream behind one; empty where there is none."""
        behind = {"TableName": self._table, "ExclusiveStartStreamArn": arn, "Limit": 1}
        found = self._ask(f"{_STREAMS}.ListStreams", behind)["Streams"]
        return str(found[0]["StreamArn"]) if found else ""

    def _resume(self, place: Place) -> None:
        """Goes on at a place, or in the next stream where its stream is gone."""
        if self._has(place.stream):
            self._open(place)
            return
        following = self._behind(place.stream)
        # Where the command has not looked for long, there may have been other streams meanwhile.
        if not (place.is_ended and self._is_recent(place)):
            # It went a day after it had ended, or before: an account may have too many of deleted tables.
            until_ms = self._made_ms(following) if following else self._clock.wall_ms()
            from_ms = max(place.read_ms, place.since_ms)
            self._lost(f"their stream is gone, {place.stream}", from_ms, max(until_ms, self._horizon_ms))
        if following:
            # What the new one has lost as well was just told.
            self._open(Place(following, read_ms=place.read_ms), is_first=True)
            return
        self._place = Place(place.stream, read_ms=self._clock.wall_ms() - _SETTLED_MS, is_ended=True)
        self._keep()
        raise self._no_stream()

    @property
    def _horizon_ms(self) -> int:
        """What was made since then is kept, milliseconds since 1970."""
        return self._clock.wall_ms() - _KEPT_MS

    def _made_ms(self, arn: str) -> int:
        """Returns when a stream was asked for, milliseconds since 1970."""
        described = self._ask(f"{_STREAMS}.DescribeStream", {"StreamArn": arn, "Limit": 1})["StreamDescription"]
        return int(described["CreationRequestDateTime"] * 1_000)

    def _is_recent(self, place: Place) -> bool:
        """Whether all that was made since a place was read to is kept still."""
        read_ms = max(place.read_ms, place.since_ms - _SETTLED_MS)
        return read_ms > self._horizon_ms - _SETTLED_MS

    def _lost(self, reason: str, from_ms: int, until_ms: int) -> None:
        """Tells that changes are gone, or ends with that where nobody wants to go on without them."""
        since = _text(from_ms) if from_ms else "an unknown time"
        message = (
            f"changes of {self._table} made from {since} to {_text(until_ms)} are gone, if there were any: {reason}"
        )
        if self._warn is None:
            raise ChangesLost(f"{message}. To go on with the oldest change that is kept: {self._command()}")
        self._warn(f"missing: {message}")

    def _command(self) -> str:
        parts = ["tenet", "tables", "follow", self._table, "--skip-lost"]
        if self._file is not None:
            parts += ["--resume", str(self._file)]
        return shlex.join(parts)

    def _open(self, place: Place, *, is_first: bool = False) -> None:
        self._place = place
        self._ended = set()
        self._iterators = {}
        self._read_ms = {}
        self._open_shards(is_first=is_first)
        self._keep()

    def _open_shards(self, *, is_first: bool = False) -> list[str]:
        """Begins to read the shards whose turn has come: those whose parent was read to its end; returns them.

        Args:
            is_first: whether nothing that is gone by now is missed.
        """
        stream = self._ask(f"{_STREAMS}.DescribeStream", {"StreamArn": self._place.stream})["StreamDescription"]
        self._is_coming = stream["StreamStatus"] == "ENABLING"
        shards = {shard["ShardId"]: shard for shard in stream["Shards"]}
        opened = []
        for name, shard in shards.items():
            parent = shard.get("ParentShardId")
            is_read = name in self._iterators or name in self._ended
            # A parent that is not kept any more has nothing to tell.
            if not is_read and (parent not in shards or parent in self._ended):
                opened.append(name)
        lost = [] if is_first else [name for name in opened if self._has_lost(shards[name], shards)]
        if lost:
            self._skip(lost)
        for name in opened:
            self._iterators[name] = self._iterator(name)
            self._find_end(name)
        place = self._place
        place.shards = {name: number for name, number in place.shards.items() if name in shards}
        place.printed_ms = {name: at_ms for name, at_ms in place.printed_ms.items() if name in shards}
        return opened

    def _has_lost(self, shard: dict[str, Any], shards: dict[str, dict[str, Any]]) -> bool:
        """Whether changes of a shard that are wanted are gone, or may be."""
        if self._is_recent(self._place):
            return False
        name, parent = shard["ShardId"], shard.get("ParentShardId")
        number = self._place.shards.get(name)
        if number is not None:
            return self._if_kept(name, "AFTER_SEQUENCE_NUMBER", number) is None
        if parent is not None and parent not in shards and parent not in self._ended:
            return True
        first = shard["SequenceNumberRange"]["StartingSequenceNumber"]
        return self._if_kept(name, "AT_SEQUENCE_NUMBER", first) is None

    def _if_kept(self, shard: str, kind: str, number: str) -> str | None:
        """Returns an iterator at a sequence number; None where something is gone that comes from there on."""
        try:
            return self._ask_iterator(shard, ShardIteratorType=kind, SequenceNumber=number)
        except NotFollowed as error:
            if error.refusal != "TrimmedDataAccessException":
                raise
            return None

    def _skip(self, shards: list[str]) -> None:
        """Tells that changes of shards are gone; what was printed of them is of no use any more."""
        place = self._place
        from_ms = min(max(place.read_ms, place.since_ms, place.printed_ms.get(shard, 0)) for shard in shards)
        self._lost(f"they are older than 24 hours, in {', '.join(shards)}", from_ms, self._horizon_ms)
        for shard in shards:
            place.shards.pop(shard, None)
            place.printed_ms.pop(shard, None)

    def step(self) -> int:
        """Prints what each shard has; returns how many lines. A shard that has come to its end is left out later.

        Raises:
            ChangesLost: changes are gone that were not printed.
        """
        begun_ms = self._clock.wall_ms()
        self._is_moving = False
        count = 0
        shards = list(self._iterators)
        while shards:
            ended_before = len(self._ended)
            # One of them may find that the stream is gone, and go on in the next.
            count += sum(self._print(shard) for shard in shards if shard in self._iterators)
            shards = self._open_shards() if len(self._ended) > ended_before else []
        if self._is_coming:
            self._open_shards()
        elif not self._iterators:
            # It was switched off and on again, or its table was made anew, perhaps more than once.
            following = self._behind(self._place.stream)
            if following:
                self._open(Place(following, read_ms=self._place.read_ms))
                return count + self.step()
            if not self._place.is_ended:
                self._place.is_ended = True
                self._keep()
        self._note(begun_ms)
        return count

    def _note(self, begun_ms: int) -> None:
        """Notes when what was made by then was printed, of all shards, behind a step that began at a time."""
        read_ms = min((self._read_ms.get(shard, 0) for shard in self._iterators), default=begun_ms) - _SETTLED_MS
        self._place.read_ms = max(self._place.read_ms, read_ms)
        if self._place.read_ms - self._noted_ms >= _SETTLED_MS:
            self._keep()

    def _print(self, shard: str) -> int:
        """Prints what a shard has; returns how many lines."""
        begun_ms = self._clock.wall_ms()
        iterator = self._iterators[shard]
        try:
            answer = self._ask(f"{_STREAMS}.GetRecords", {"ShardIterator": iterator})
        except NotFollowed as error:
            if error.refusal not in {"ExpiredIteratorException", "TrimmedDataAccessException"}:
                raise
            del self._iterators[shard]
            if self._has(self._place.stream):
                self._open_shards()
            else:
                self._resume(self._place)
            return 0
        for record in answer["Records"]:
            self._say(json.dumps(record, ensure_ascii=False, separators=(",", ":")))
            begun_ms = int(record["dynamodb"]["ApproximateCreationDateTime"] * 1_000)
            self._place.shards[shard] = record["dynamodb"]["SequenceNumber"]
            self._place.printed_ms[shard] = begun_ms
        if answer["Records"]:
            self._passing.discard(shard)
            self._keep()
        if shard not in self._passing:
            self._read_ms[shard] = begun_ms
        if self._ends is not None and position_in(iterator) >= self._ends[shard]:
            self._caught_up.add(shard)
        following = answer.get("NextShardIterator")
        if shard not in self._caught_up:
            self._is_moving |= following is None or position_in(following) > position_in(iterator)
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

    def find_ends(self) -> None:
        """Notes where every shard ends now, and from now on where each one does that is opened.

        Those are few, however much is written: a shard of the log splits into four at the most.
        """
        self._ends = {}
        self._caught_up = set()
        for shard in self._iterators:
            self._find_end(shard)

    def _find_end(self, shard: str) -> None:
        # Who takes a shard up anew, since an iterator expired, goes no further for it.
        if self._ends is not None and shard not in self._ends:
            self._ends[shard] = position_in(self._ask_iterator(shard, ShardIteratorType="LATEST"))

    @property
    def has_caught_up(self) -> bool:
        """Whether each shard was read to where it ended when that was looked for, or to its very end."""
        return self._caught_up.issuperset(self._iterators)

    @property
    def has_more(self) -> bool:
        """Whether to ask again at once, as of shards whose end lies ahead and of which the last step read something."""
        return self._is_moving and not self.has_caught_up

    def _iterator(self, shard: str) -> str:
        self._passing.discard(shard)
        printed = self._place.shards.get(shard)
        if printed is not None:
            iterator = self._if_kept(shard, "AFTER_SEQUENCE_NUMBER", printed)
            if iterator is not None:
                return iterator
            # What is gone is not its own: shards that split lie in one log.
        since_ms = self._place.since_ms
        if self._clock.wall_ms() - since_ms < _GONE_MS:
            self._passing.add(shard)
            return self._ask_iterator(shard, ShardIteratorType="AT_TIMESTAMP", Timestamp=since_ms / 1_000)
        return self._ask_iterator(shard, ShardIteratorType="TRIM_HORIZON")

    def _ask_iterator(self, shard: str, **where: object) -> str:
        request = {"StreamArn": self._place.stream, "ShardId": shard, **where}
        return str(self._ask(f"{_STREAMS}.GetShardIterator", request)["ShardIterator"])

    def _keep(self) -> None:
        """Writes down how far was printed; whoever is killed meanwhile leaves the former file."""
        self._noted_ms = self._place.read_ms
        if self._file is not None:
            fresh = self._file.with_name(self._file.name + ".new")
            fresh.write_bytes(msgspec.json.encode(self._place))
            fresh.replace(self._file)


def follow(follower: Follower, *, once: bool) -> None:
    """Prints changes as they come, until the stream ends or somebody interrupts.

    Args:
        follower: has begun.
        once: whether to end when each shard was read to where it ended when this began. Whoever keeps writing does not
            keep it from that; what he writes may be printed too.
    """
    follower.find_ends()
    while not follower.is_over:
        count = follower.step()
        if once and follower.has_caught_up:
            return
        if not count and not follower.has_more:
            time.sleep(POLL_S)


def _text(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1_000, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _since_ms(since: str, now_ms: int) -> int:
    if since == START:
        return 0
    if since == NOW:
        return now_ms
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
