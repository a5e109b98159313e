"""What ``tenet tables follow`` prints, where it goes on, and what it says where it cannot; against tables in memory."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tenet.app.table_changes import ChangesLost, Follower, NotFollowed, follow
from tenet.base.clock import ManualClock, SystemClock
from tenet.base.ids import SystemIds
from tenet.store.contract import Engine, LogPage, log_shard
from tenet.store.memory import MemoryEngine
from tenet.store.memory_state import MemoryState
from tenet.tables.api import TablesError
from tenet.tables.ops.get_records import PAGES_MAX
from tenet.tables.rules.stream_splits import begun
from tests.unit.pipes.world import ACCOUNT, memory
from tests.unit.tables.streaming import OFF, Streamed, on
from tests.unit.tables.test_stream_switching import with_status

KEYS = [f"k-{number}" for number in range(12)]


class Service:
    """Tables in memory, asked from outside of their loop as a server is.

    Args:
        clock: time.
        store: by default one in memory.
    """

    def __init__(self, clock: ManualClock, store: Engine | None = None) -> None:
        self.clock = clock
        self._runner = asyncio.Runner()
        self.world = Streamed(store or memory(clock), clock)
        self.asked: list[str] = []

    def run(self, call: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(call)

    def ask(self, target: str, request: dict[str, Any]) -> dict[str, Any]:
        api, operation = target.split(".")
        self.asked.append(operation)
        call = self.world.ask if api.startswith("DynamoDBStreams") else self.world.call
        try:
            answer: dict[str, Any] = self.run(call(operation, **request))
        except TablesError as error:
            raise NotFollowed(f"{error.code}: {error.message}", error.code) from None
        return answer

    @contextmanager
    def serving(self) -> Iterator[Service]:
        with self._runner:
            self.run(self.world.__aenter__())
            yield self
            self.run(self.world.__aexit__())

    def put(self, at: str, value: str) -> None:
        self.run(self.world.put(at, v=value))

    def split(self, arn: str, number: int) -> None:
        """Splits the shard that stands so far in the list."""
        shards = self.run(self.world.shards(arn))
        self.run(self.world.split(arn, shards[number]["ShardId"]))


@pytest.fixture
def service() -> Iterator[Service]:
    with Service(ManualClock(wall_ms=SystemClock().wall_ms())).serving() as serving:
        yield serving


class Screen:
    """What was printed.

    Args:
        service: that is followed.
        file: that says how far.
        skips: whether it goes on where changes are gone.

    Attributes:
        lines: for each change.
        told: of changes that are gone.
    """

    def __init__(self, service: Service, file: Path | None = None, *, skips: bool = False) -> None:
        self.lines: list[str] = []
        self.told: list[str] = []
        warn = self.told.append if skips else None
        self.follower = Follower(service.ask, self.lines.append, file, warn=warn, clock=service.clock)

    def show(self, since: str = "start") -> list[str]:
        """Follows the table once; returns what every line says of its item."""
        self.follower.begin("orders", since)
        follow(self.follower, once=True)
        return [json.loads(line)["dynamodb"]["NewImage"]["v"]["S"] for line in self.lines]


def test_each_line_is_a_record(service: Service) -> None:
    arn = service.run(service.world.make())
    service.put("a", "1")
    service.put("a", "é")
    screen = Screen(service)
    assert screen.show() == ["1", "é"]
    assert [json.loads(line) for line in screen.lines] == service.run(service.world.records(arn))
    assert all("\n" not in line for line in screen.lines)
    assert "é" in screen.lines[1]


def test_it_goes_on_behind_what_was_printed(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "place"
    service.run(service.world.make())
    service.put("a", "1")
    assert Screen(service, file).show() == ["1"]
    service.put("a", "2")
    service.put("b", "3")
    assert sorted(Screen(service, file).show("now")) == ["2", "3"]
    assert Screen(service, file).show() == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["place"]


def test_it_leaves_nothing_out_between_two_runs_though_nothing_was_printed(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "place"
    service.run(service.world.make())
    service.put("a", "before")
    service.clock.advance_ms(60_000)
    at = SystemClock().wall_ms() + 30_000
    Follower(service.ask, print, file).begin("orders", "now")
    kept = json.loads(file.read_text(encoding="utf-8"))
    kept["since_ms"] = at
    file.write_text(json.dumps(kept), encoding="utf-8")
    service.put("a", "between")
    assert Screen(service, file).show() == ["between"]


def test_it_takes_a_new_iterator_where_the_old_one_has_expired(service: Service) -> None:
    service.run(service.world.make())
    service.put("a", "1")
    screen = Screen(service)
    assert screen.show() == ["1"]
    service.clock.advance_ms(16 * 60_000)
    service.put("a", "2")
    assert screen.follower.step() == 0
    assert screen.follower.step() == 1
    assert json.loads(screen.lines[-1])["dynamodb"]["NewImage"]["v"]["S"] == "2"


DAY_MS = 24 * 3_600_000


def clock_text(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1_000, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def shows_what_is_kept(service: Service, file: Path) -> None:
    """Goes on without what is gone, which is told of once."""
    screen = Screen(service, file, skips=True)
    assert screen.show() == ["kept"]
    assert len(screen.told) == 1


def refused(service: Service, file: Path) -> str:
    """What it says where it does not go on; the file stays as it is."""
    before = file.read_bytes()
    screen = Screen(service, file)
    with pytest.raises(ChangesLost) as raised:
        screen.show()
    assert screen.lines == []
    assert file.read_bytes() == before
    return raised.value.message


def test_it_says_what_is_gone_and_goes_on_where_that_is_wanted(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "the place"
    service.run(service.world.make())
    service.put("a", "1")
    Screen(service, file).show()
    printed_ms = service.clock.wall_ms()
    service.put("a", "2")
    service.clock.advance_ms(25 * 3_600_000)
    service.put("a", "3")
    gone = f"changes of orders made from {clock_text(printed_ms)} to {clock_text(printed_ms + 3_600_000)} are gone"
    for _ in range(2):
        message = refused(service, file)
        assert message.startswith(gone)
        assert "they are older than 24 hours, in shardId-" in message
        assert message.endswith(f"tenet tables follow orders --skip-lost --resume '{file}'")
    screen = Screen(service, file, skips=True)
    assert screen.show() == ["3"]
    (told,) = screen.told
    assert told.startswith(f"missing: {gone}")
    assert "--skip-lost" not in told
    service.put("a", "4")
    assert Screen(service, file).show() == ["4"]


def test_nothing_is_said_where_nothing_is_gone(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "place"
    service.run(service.world.make())
    for at in KEYS[:6]:
        service.put(at, "1")
    assert len(Screen(service, file).show()) == 6
    # All of that was printed, however long ago; of shards that nothing was printed of, nothing was ever there.
    service.clock.advance_ms(30 * 3_600_000)
    assert Screen(service, file).show() == []
    service.put(KEYS[0], "2")
    assert Screen(service, file).show() == ["2"]


def test_changes_of_a_shard_that_nothing_was_printed_of_are_missed_too(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "place"
    service.run(service.world.make())
    begun_ms = service.clock.wall_ms()
    assert Screen(service, file).show("now") == []
    service.put("a", "gone")
    service.clock.advance_ms(DAY_MS + 3_600_000)
    service.put("a", "kept")
    assert f"from {clock_text(begun_ms)} to {clock_text(begun_ms + 3_600_000)}" in refused(service, file)
    shows_what_is_kept(service, file)


def test_who_looks_every_day_misses_nothing(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "place"
    service.run(service.world.make())
    expected: list[str] = []
    for value in ("1", "2", "3", "4"):
        assert Screen(service, file).show() == expected
        service.clock.advance_ms(23 * 3_600_000)
        service.put("a", value)
        expected = [value]


def test_what_another_shard_of_the_same_log_has_lost_is_not_missed(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "place"
    arn = service.run(service.world.make())
    for number in range(4):
        service.split(arn, number)
    for at in KEYS:
        service.put(at, "1")
    assert len(Screen(service, file).show()) == len(KEYS)
    # In one of two shards that lie in one log everything goes that comes behind what was printed of the other.
    for turn in range(3):
        for at in KEYS[:6]:
            service.put(at, f"turn {turn}")
        assert Screen(service, file).show() == [f"turn {turn}"] * 6
        service.clock.advance_ms(23 * 3_600_000)
    for at in KEYS:
        service.put(at, "last")
    assert Screen(service, file).show() == ["last"] * len(KEYS)


def test_where_it_last_looked_is_noted_though_nothing_comes(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "place"
    service.run(service.world.make())
    service.put("a", "1")
    screen = Screen(service, file)
    screen.show()
    service.clock.advance_ms(DAY_MS - 60_000)
    # Nothing is read by a step whose iterators have expired.
    for _ in range(2):
        screen.follower.step()
    looked_ms = json.loads(file.read_bytes())["read_ms"]
    assert service.clock.wall_ms() - looked_ms == 60_000
    service.put("b", "2")
    service.clock.advance_ms(DAY_MS - 60_000)
    assert Screen(service, file).show() == ["2"]


def test_a_file_of_before_does_not_know_when(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "place"
    service.run(service.world.make())
    service.put("a", "1")
    Screen(service, file).show()
    kept = json.loads(file.read_bytes())
    file.write_text(json.dumps({"stream": kept["stream"]}), encoding="utf-8")
    service.put("a", "2")
    service.clock.advance_ms(DAY_MS + 1)
    service.put("a", "3")
    assert "made from an unknown time to" in refused(service, file)
    file.write_text(json.dumps({"stream": kept["stream"], "shards": kept["shards"]}), encoding="utf-8")
    screen = Screen(service, file, skips=True)
    assert screen.show() == ["3"]
    assert len(screen.told) == 1


@pytest.mark.parametrize("is_anew", [True, False])
def test_its_stream_is_gone_and_there_is_another(service: Service, tmp_path: Path, *, is_anew: bool) -> None:
    file = tmp_path / "place"
    world = service.world
    first = service.run(world.make())
    service.put("a", "1")
    Screen(service, file).show()
    read_ms = service.clock.wall_ms()
    service.put("a", "gone")
    if is_anew:
        service.run(world.call("DeleteTable", TableName="orders"))
        service.clock.advance_ms(DAY_MS + 1_000)
        service.run(world.make())
    else:
        service.run(world.switch(OFF))
        service.clock.advance_ms(DAY_MS + 1_000)
        service.run(world.switch(on("NEW_IMAGE")))
    until_ms = service.clock.wall_ms()
    service.clock.advance_ms(5_000)
    service.put("a", "2")
    message = refused(service, file)
    assert f"their stream is gone, {first}" in message
    # An answer without records says that nothing is there of a minute ago.
    assert f"made from {clock_text(read_ms - 60_000)} to {clock_text(until_ms)} are gone" in message
    screen = Screen(service, file, skips=True)
    assert screen.show() == ["2"]
    assert len(screen.told) == 1
    assert Screen(service, file).show() == []


def test_what_the_next_stream_has_lost_is_told_with_it(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "place"
    service.run(service.world.make())
    Screen(service, file).show()
    service.run(service.world.switch(OFF))
    service.clock.advance_ms(1_000)
    service.run(service.world.switch(on("NEW_IMAGE")))
    service.put("a", "gone")
    service.clock.advance_ms(3 * DAY_MS)
    service.put("a", "kept")
    horizon_ms = service.clock.wall_ms() - DAY_MS
    assert f" to {clock_text(horizon_ms)} are gone" in refused(service, file)
    shows_what_is_kept(service, file)


def test_that_a_stream_has_ended_is_noted_at_once(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "place"
    service.run(service.world.make())
    Screen(service, file).show()
    service.run(service.world.switch(OFF))
    assert not json.loads(file.read_bytes())["is_ended"]
    Screen(service, file).show()
    assert json.loads(file.read_bytes())["is_ended"]


def test_a_stream_that_was_printed_to_its_end_is_missed_by_nobody(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "place"
    service.run(service.world.make())
    service.put("a", "1")
    service.run(service.world.switch(OFF))
    assert Screen(service, file).show() == ["1"]
    for _ in range(3):
        service.clock.advance_ms(20 * 3_600_000)
        screen = Screen(service, file)
        with contextlib.suppress(NotFollowed):
            assert screen.show() == []
    with pytest.raises(NotFollowed, match="has no stream"):
        Screen(service, file).show()
    service.run(service.world.switch(on("NEW_IMAGE")))
    service.put("a", "2")
    assert Screen(service, file).show() == ["2"]


def test_what_is_gone_is_told_once_also_where_there_is_no_stream(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "place"
    service.run(service.world.make())
    Screen(service, file).show()
    service.put("a", "1")
    service.run(service.world.switch(OFF))
    service.clock.advance_ms(DAY_MS)
    assert "their stream is gone" in refused(service, file)
    for count in (1, 0):
        screen = Screen(service, file, skips=True)
        with pytest.raises(NotFollowed, match="has no stream"):
            screen.show()
        assert len(screen.told) == count


def test_what_a_deleted_table_has_left_is_printed(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "place"
    service.run(service.world.make())
    assert Screen(service, file).show() == []
    service.put("a", "1")
    service.run(service.world.call("DeleteTable", TableName="orders"))
    assert Screen(service, file).show() == ["1"]
    service.run(service.world.make(None))
    assert Screen(service, file).show() == []
    service.run(service.world.make(None, name="other"))
    with pytest.raises(NotFollowed, match="the table other has no stream"):
        Follower(service.ask, print, file, clock=service.clock).begin("other", "start")
    service.run(service.world.call("DeleteTable", TableName="orders"))
    with pytest.raises(NotFollowed, match="ResourceNotFoundException"):
        Follower(service.ask, print, file, clock=service.clock).begin("another", "start")
    service.clock.advance_ms(DAY_MS)
    with pytest.raises(NotFollowed, match="ResourceNotFoundException"):
        Screen(service, file).show()


@pytest.mark.parametrize("skips", [True, False])
def test_who_stands_still_for_a_day_is_told(service: Service, *, skips: bool) -> None:
    service.run(service.world.make())
    service.put("a", "1")
    screen = Screen(service, skips=skips)
    assert screen.show() == ["1"]
    service.put("a", "2")
    service.run(service.world.switch(OFF))
    service.clock.advance_ms(DAY_MS + 60_000)
    service.run(service.world.switch(on("NEW_IMAGE")))
    service.put("a", "3")
    if not skips:
        with pytest.raises(ChangesLost, match=r"tenet tables follow orders --skip-lost$"):
            screen.follower.step()
        return
    while len(screen.lines) < 2:
        screen.follower.step()
    assert json.loads(screen.lines[-1])["dynamodb"]["NewImage"]["v"]["S"] == "3"
    assert len(screen.told) == 1


def test_it_ends_with_its_stream(service: Service) -> None:
    service.run(service.world.make())
    service.put("a", "1")
    service.run(service.world.switch(OFF))
    screen = Screen(service)
    screen.follower.begin("orders", "start")
    follow(screen.follower, once=False)
    assert screen.follower.is_over
    assert len(screen.lines) == 1


def test_it_goes_on_in_the_next_stream(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "place"
    first = service.run(service.world.make())
    service.put("a", "1")
    assert Screen(service, file).show() == ["1"]
    service.put("a", "2")
    service.run(service.world.switch(OFF))
    service.put("a", "unseen")
    service.run(service.world.switch(on("NEW_IMAGE")))
    service.put("a", "3")
    screen = Screen(service, file)
    screen.follower.begin("orders", "now")
    while len(screen.lines) < 2:
        screen.follower.step()
    assert [json.loads(line)["dynamodb"]["NewImage"]["v"]["S"] for line in screen.lines] == ["2", "3"]
    assert not screen.follower.is_over
    assert json.loads(file.read_text(encoding="utf-8"))["stream"] != first


def test_it_waits_for_a_stream_that_is_being_switched_on(service: Service) -> None:
    service.run(service.world.make())
    service.run(with_status(service.world, status="ENABLING"))
    screen = Screen(service)
    assert screen.show() == []
    assert not screen.follower.is_over
    service.run(with_status(service.world, status="ENABLED"))
    service.put("a", "1")
    while not screen.lines:
        screen.follower.step()
    assert not screen.follower.is_over


@pytest.mark.parametrize("since", ["2026-13-01", "yesterday", ""])
def test_a_point_that_is_none_is_refused(service: Service, since: str) -> None:
    service.run(service.world.make())
    with pytest.raises(NotFollowed, match="--from takes start, now or a time"):
        Screen(service).show(since)


def test_what_cannot_be_followed_is_said(service: Service, tmp_path: Path) -> None:
    with pytest.raises(NotFollowed, match="ResourceNotFoundException"):
        Screen(service).show()
    service.run(service.world.make(None))
    with pytest.raises(NotFollowed, match=r"the table orders has no stream\. Switch one on: aws dynamodb update-table"):
        Screen(service).show()
    service.run(service.world.switch(on("NEW_IMAGE")))
    file = tmp_path / "place"
    file.write_text("[", encoding="utf-8")
    with pytest.raises(NotFollowed, match="does not say how far a stream was printed"):
        Screen(service, file).show()
    file.write_text('{"stream": "arn:aws:dynamodb:us-east-1:1:table/other/stream/x"}', encoding="utf-8")
    with pytest.raises(NotFollowed, match="is about another table"):
        Screen(service, file).show()


def values(lines: list[str]) -> dict[str, list[str]]:
    """What was printed of each item, in its order."""
    found: dict[str, list[str]] = {}
    for line in lines:
        told = json.loads(line)["dynamodb"]
        found.setdefault(told["Keys"]["Id"]["S"], []).append(told["NewImage"]["v"]["S"])
    return found


def test_it_goes_on_through_shards_that_split(service: Service) -> None:
    arn = service.run(service.world.make())
    screen = Screen(service)
    assert screen.show() == []
    for turn in range(4):
        for at in KEYS:
            service.put(at, str(turn))
        # What stands before and behind the split is printed by one step.
        service.split(arn, turn)
        for at in KEYS:
            service.put(at, f"{turn} and on")
        follow(screen.follower, once=True)
    expected = [text for turn in range(4) for text in (str(turn), f"{turn} and on")]
    assert values(screen.lines) == dict.fromkeys(KEYS, expected)


def test_it_goes_on_in_children_of_what_was_printed(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "place"
    arn = service.run(service.world.make())
    lines: list[str] = []
    for turn in range(5):
        for at in KEYS:
            service.put(at, str(turn))
        screen = Screen(service, file)
        screen.show()
        lines += screen.lines
        # Parents and children that nothing was printed of, or of which all was, and children of children.
        for number in (0, 1, 4)[: turn + 1]:
            service.split(arn, number)
    assert values(lines) == {at: [str(turn) for turn in range(5)] for at in KEYS}


@pytest.mark.parametrize("is_read", [True, False])
def test_it_forgets_shards_that_are_gone(service: Service, tmp_path: Path, *, is_read: bool) -> None:
    file = tmp_path / "place"
    arn = service.run(service.world.make())
    for at in KEYS:
        service.put(at, "old")
    assert len(Screen(service, file).show()) == len(KEYS)
    before = set(json.loads(file.read_bytes())["shards"])
    for number in range(4):
        service.split(arn, number)
    if is_read:
        service.clock.advance_ms(2 * 3_600_000)
        assert Screen(service, file).show() == []
    service.clock.advance_ms(23 * 3_600_000 if is_read else 25 * 3_600_000)
    for at in KEYS:
        service.put(at, "new")
    if not is_read:
        # Nobody knows what they had behind that.
        assert "are gone, if there were any" in refused(service, file)
    screen = Screen(service, file, skips=not is_read)
    assert screen.show() == ["new"] * len(KEYS)
    assert bool(screen.told) is not is_read
    after = set(json.loads(file.read_bytes())["shards"])
    assert after
    assert not after & before


@pytest.mark.parametrize("is_left", [True, False])
def test_it_goes_on_with_a_table_that_was_made_anew(service: Service, tmp_path: Path, *, is_left: bool) -> None:
    file = tmp_path / "place"
    world = service.world
    service.run(world.make())
    service.put("a", "1")
    assert Screen(service, file).show() == ["1"]
    if is_left:
        service.put("a", "2")
    for value in ("3", "4"):
        service.run(world.call("DeleteTable", TableName="orders"))
        service.clock.advance_ms(1)
        service.run(world.make())
        service.put("a", value)
    # What is left of those that were deleted comes first; where nothing is, the next one's comes at once.
    assert Screen(service, file).show() == [*(["2"] if is_left else []), "3", "4"]
    assert Screen(service, file).show() == []


class Stingy(MemoryEngine):
    """A store that gives one entry of a log at a time."""

    async def read_log(self, *arguments: Any, **named: Any) -> LogPage:
        return await super().read_log(*arguments, **{**named, "limit": 1})


@pytest.fixture
def stingy() -> Iterator[Service]:
    clock = ManualClock(wall_ms=SystemClock().wall_ms())
    with Service(clock, Stingy(MemoryState(), clock=clock, ids=SystemIds())).serving() as serving:
        yield serving


def fill(service: Service, at: str) -> None:
    """Writes more to an item than is looked through for two answers."""
    for number in range(2 * PAGES_MAX + 2):
        service.put(at, str(number))


def test_once_passes_by_more_older_changes_than_an_answer_is_looked_for_in(stingy: Service) -> None:
    stingy.run(stingy.world.make())
    fill(stingy, "a")
    stingy.clock.advance_ms(10_000)
    since = datetime.fromtimestamp(stingy.clock.wall_ms() / 1_000, tz=UTC).isoformat()
    stingy.clock.advance_ms(1)
    stingy.put("a", "wanted")
    assert Screen(stingy).show(since) == ["wanted"]


def test_once_passes_by_what_is_the_other_half_of_a_split(stingy: Service, tmp_path: Path) -> None:
    arn = stingy.run(stingy.world.make())
    # Both lie in one shard of the log, and in different halves of it.
    first, second = next(
        (one, other)
        for one in map(str, range(100))
        for other in map(str, range(100))
        if log_shard(one.encode(), 4) == log_shard(other.encode(), 4)
        and log_shard(one.encode(), 8) < log_shard(other.encode(), 8)
    )
    for number in range(4):
        stingy.split(arn, number)
    fill(stingy, second)
    file = tmp_path / "place"
    assert len(Screen(stingy, file).show()) == 2 * PAGES_MAX + 2
    stingy.put(first, "wanted")
    assert Screen(stingy, file).show() == ["wanted"]


def test_once_ends_though_somebody_writes_all_the_time(service: Service) -> None:
    service.run(service.world.make())
    service.put("a", "before")
    written = 0

    def ask(target: str, request: dict[str, Any]) -> dict[str, Any]:
        nonlocal written
        if target.endswith("GetRecords"):
            assert written < 50
            written += 1
            service.put("a", f"meanwhile {written}")
        return service.ask(target, request)

    lines: list[str] = []
    follower = Follower(ask, lines.append, clock=service.clock)
    follower.begin("orders", "start")
    follow(follower, once=True)
    assert values(lines)["a"][0] == "before"
    assert not follower.is_over


def test_once_waits_for_a_shard_that_is_being_split(service: Service) -> None:
    arn = service.run(service.world.make())
    service.put("a", "before")
    name = service.run(service.world.shard_with(arn, "a"))
    number, label = int(name[-8:], 16), arn.rpartition("/")[2]
    splitting = service.world.tables._splitting
    table = service.run(service.world.tables._context.catalog.describe(ACCOUNT, "orders"))
    held = service.run(splitting._end_of_log(table, number))
    service.run(splitting._change(table, label, lambda stream: begun(stream, number, held=held)))
    service.put("a", "held back")
    asked = 0

    def ask(target: str, request: dict[str, Any]) -> dict[str, Any]:
        nonlocal asked
        asked += target.endswith("GetRecords")
        if asked == 8:
            service.run(splitting.end(table, label, number))
        return service.ask(target, request)

    lines: list[str] = []
    follower = Follower(ask, lines.append, clock=service.clock)
    follower.begin("orders", "start")
    follow(follower, once=True)
    assert values(lines) == {"a": ["before", "held back"]}
