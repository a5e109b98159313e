"""What ``tenet tables follow`` prints, where it goes on, and what it says where it cannot; against tables in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tenet.app.table_changes import Follower, NotFollowed, follow
from tenet.base.clock import ManualClock, SystemClock
from tenet.tables.api import TablesError
from tests.unit.pipes.world import memory
from tests.unit.tables.streaming import OFF, Streamed, on
from tests.unit.tables.test_streams import with_status


class Service:
    """Tables in memory, asked from outside of their loop as a server is.

    Args:
        clock: time.
    """

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self._runner = asyncio.Runner()
        self.world = Streamed(memory(clock), clock)
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
            raise NotFollowed(f"{error.code}: {error.message}") from None
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
    """

    def __init__(self, service: Service, file: Path | None = None) -> None:
        self.lines: list[str] = []
        self.follower = Follower(service.ask, self.lines.append, file)

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


def test_it_says_that_changes_are_gone(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "place"
    service.run(service.world.make())
    service.put("a", "1")
    Screen(service, file).show()
    service.put("a", "2")
    service.clock.advance_ms(25 * 3_600_000)
    service.put("a", "3")
    with pytest.raises(NotFollowed, match="TrimmedDataAccessException: The data you are trying"):
        Screen(service, file).show()


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


KEYS = [f"k-{number}" for number in range(12)]


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


def test_it_forgets_shards_that_are_gone(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "place"
    arn = service.run(service.world.make())
    for at in KEYS:
        service.put(at, "old")
    assert len(Screen(service, file).show()) == len(KEYS)
    before = set(json.loads(file.read_bytes())["shards"])
    for number in range(4):
        service.split(arn, number)
    service.clock.advance_ms(25 * 3_600_000)
    for at in KEYS:
        service.put(at, "new")
    assert Screen(service, file).show() == ["new"] * len(KEYS)
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
