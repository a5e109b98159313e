"""Walks through the states that the real engine can get into on the cluster in memory.

Several processes act on a few partitions. At every moment when none of them can go on by itself, a choice is made:
whose statement takes effect next, and what becomes of it (``Fate``); whether its process is held up before it for a
minute; whether a statement that lingers lands now; or whether time passes. By default the statement that waits longest
takes effect and is answered; every other choice is a *deviation*. ``explore`` tries all runs with up to so many
deviations, depth first, each replayed from its start; a state that was reached before with at least as many deviations
left is not gone through again. Two runs are in the same state where the tables hold the same, the same lingers, and
each process has been answered the same at the same times: what a process does next follows from that alone. (Bounding
deviations: Emmi, Qadeer and Rakamaric, "Delay-bounded scheduling", POPL 2011.) ``wander`` takes choices at random
instead, with many more deviations.

At the end of a run what lingers lands, everything is looked at by a process that was not there before, and ``_End``
says what must hold.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeAlias

from tenet.base.clock import ManualClock
from tenet.base.dice import Dice
from tenet.base.ids import SeededIds
from tenet.store.cassandra.engine import CassandraEngine
from tenet.store.cassandra.location import Location
from tenet.store.cassandra.sending import Bound
from tenet.store.contract import (
    Commit,
    CommitId,
    Committed,
    Conflict,
    Key,
    LogEntry,
    NeverCommitted,
    Put,
    Range,
    Record,
    Settled,
    SpaceOptions,
    StampOf,
    Unknown,
    Version,
    new_commit_id,
)
from tenet.store.errors import DeadlineExceeded, InvalidRequest, StoreUnavailable
from tenet.store.suite.linearizability import Call, find_order
from tenet.store.suite.model import (
    Observation,
    SawCommitted,
    SawPage,
    SawTogether,
    State,
    conflict_observations,
    place_of,
    place_of_key,
)
from tests.cassandra_model.cluster import Cluster, Dead, Fate, ModelDriver, Skewed, Turns

LOCATION = Location(("127.0.0.1",), "walk")
#: How long a statement is held up where that is chosen, seconds: as by a process that is stopped.
HELD_S = 60.0
#: More steps than this, and a run goes round in circles.
STEPS_MAX = 3_000
#: A partition's record of the last version in it, in the state that an order is looked for in.
_LAST = "the last version"

Rewrite = Callable[[Sequence[Bound]], Sequence[Bound]]


class Broken(AssertionError):
    """Something does not hold that must."""


@dataclass(frozen=True)
class Scene:
    """What happens in a run.

    Args:
        spaces: those that there are.
        keys: all keys that anybody writes.
        prepare: what stands in them at first.
        actors: a coroutine for each process; by its name.
        fates: what may become of a statement that changes something.
        immortal: names of the processes that do not die.
        jump_ms: how far time jumps where that is chosen: by default longer than anybody's patience with a lock.
        skew_ms: by how much the clocks of processes are wrong, by their names.
        nodes_ms: by how much those of the cluster's nodes are.
    """

    spaces: Mapping[str, SpaceOptions]
    keys: Sequence[Key]
    prepare: Callable[[Process], Awaitable[None]]
    actors: Mapping[str, Callable[[Process], Coroutine[Any, Any, None]]]
    fates: tuple[Fate, ...] = (Fate.DIED, Fate.LOST, Fate.LATE)
    immortal: frozenset[str] = frozenset()
    jump_ms: int = 600
    skew_ms: Mapping[str, int] = field(default_factory=dict)
    nodes_ms: int = 0


#: A statement that waits for its turn: whose, of which kind, what, and what is told when it goes on.
_Statement: TypeAlias = tuple[ModelDriver, str, Sequence[Bound], "asyncio.Future[Fate]"]


class Process:
    """A process of a run: an engine of its own, whose calls are kept with their answers."""

    def __init__(self, run: Run, name: str, rewrite: Rewrite | None = None) -> None:
        self._run = run
        self.name = name
        self.ids = SeededIds(sum(name.encode()) * 7_919)
        self.clock = Skewed(run.clock, run.scene.skew_ms.get(name, 0))
        self.driver = ModelDriver(LOCATION, self.clock, cluster=run.cluster, turns=run, name=name, rewrite=rewrite)
        self.engine = CassandraEngine(LOCATION, clock=self.clock, ids=self.ids, driver=self.driver)

    def commit_of(self, *writes: Any, checks: Sequence[Any] = (), appends: Sequence[Any] = ()) -> Commit:
        """Makes a commit with a new id."""
        return Commit(new_commit_id(self.clock, self.ids), writes, checks, appends)

    async def commit(self, commit: Commit, *, deadline_s: float = 30.0) -> Settled | Conflict | None:
        """Commits as a careful caller does: settles what it is not told; None where nothing was written."""
        begun = next(self._run.time)
        self._run.begun.setdefault(commit.id, (begun, commit))
        self._run.senders[commit.id] = self._run.senders.get(commit.id, 0) + 1
        try:
            outcome = await self.engine.commit(commit, deadline=self._run.clock.monotonic_s() + deadline_s)
            if isinstance(outcome, Unknown):
                settled = await self._settled(commit)
                self._run.settle(settled, commit, begun)
                return settled
        except InvalidRequest as error:
            if "settled" not in str(error):
                raise
            self._run.settle(NeverCommitted(commit.id), commit, begun)
            return None
        except (DeadlineExceeded, StoreUnavailable):
            self._run.refused.append((commit, None))
            return None
        if isinstance(outcome, Committed):
            self._run.settle(outcome, commit, begun)
        else:
            self._run.refused.append((commit, outcome))
            self._run.keep(begun, *conflict_observations(commit, outcome))
        return outcome

    async def settle(self, commit: Commit) -> None:
        """Settles somebody's commit."""
        begun = next(self._run.time)
        first, _ = self._run.begun.setdefault(commit.id, (begun, commit))
        self._run.settle(await self._settled(commit), commit, first)

    async def _settled(self, commit: Commit) -> Settled:
        while True:
            try:
                return await self.engine.settle(commit)
            except StoreUnavailable:
                continue

    async def together(self, *reads: Key | StampOf) -> Sequence[Record | int | None]:
        """Reads records and stamps of one moment."""
        begun = next(self._run.time)
        answers = await self.engine.read_together(reads)
        self._run.keep(begun, SawTogether(reads, answers))
        return answers

    async def get(self, key: Key) -> Record | None:
        """Reads one record."""
        begun = next(self._run.time)
        (record,) = await self.engine.get([key])
        self._run.keep(begun, SawTogether([key], [record]))
        return record

    async def query(self, space: str, partition: bytes, within: Range, *, stamp: StampOf | None = None) -> None:
        """Reads a range."""
        begun = next(self._run.time)
        page = await self.engine.query(space, partition, within, limit=10, stamp=stamp)
        self._run.keep(begun, SawPage((space, partition), within, 10, 1_000_000, False, stamp, page))

    async def sequence(self, space: str, times: int, *, pause_s: float = 0.0) -> None:
        """Brings the log of a space up to date, and reads it: everything whose commit was answered before."""
        after = 0
        seen: set[tuple[CommitId, Key, bytes | None]] = set()
        for _ in range(times):
            answered = self._run.logged(space)
            with suppress(StoreUnavailable):
                page = await self.engine.read_log(space, 0, after=after, limit=100)
                self._run.tailed += page.entries
                after = page.closed
                seen.update((e.commit_id, Key(space, e.partition, e.sort), e.new) for e in page.entries)
                if left_out := answered - seen:
                    raise Broken(f"{left_out} were answered, and {self.name} was not shown them")
            if pause_s:
                await asyncio.sleep(pause_s)


class Run(Turns):
    """One run of a scene.

    Args:
        scene: what happens.
        cluster: as it is at its beginning; the run has it for itself.
        clock: of everybody.
        choose: is given what may be chosen, the default first, and returns its index.
        rewrite: makes the engines wrong.
    """

    def __init__(
        self,
        scene: Scene,
        cluster: Cluster,
        clock: ManualClock,
        choose: Callable[[Run, Sequence[str]], int],
        rewrite: Rewrite | None = None,
    ) -> None:
        self.scene = scene
        self.cluster = cluster
        self.clock = clock
        self.time = count(1)
        self.calls: list[Call] = []
        self.begun: dict[bytes, tuple[int, Commit]] = {}
        self.outcomes: dict[bytes, Settled] = {}
        self.refused: list[tuple[Commit, Conflict | None]] = []
        self.senders: dict[bytes, int] = {}
        self.tailed: list[LogEntry] = []
        self.trace: list[str] = []
        self._choose = choose
        self._rewrite = rewrite
        self._is_free = True
        self._waiting: list[_Statement] = []
        self._held: list[tuple[float, _Statement]] = []
        self._lingering: list[tuple[Callable[[], object], Sequence[Bound]]] = []
        self._history: dict[str, int] = {}
        self._steps = 0

    # ---- what was seen -----------------------------------------------------------------------------------------------

    def keep(self, begun: int, *saw: Observation) -> None:
        """Keeps what a caller saw."""
        ended = next(self.time)
        self.calls += [Call(begun, ended, one) for one in saw]

    def settle(self, settled: Settled, commit: Commit, begun: int) -> None:
        """Keeps what became of a commit; everybody must be told the same."""
        known = self.outcomes.setdefault(commit.id, settled)
        ended = next(self.time)
        if type(known) is not type(settled):
            raise Broken(f"{commit.id.hex()} is {known} and {settled}")
        if isinstance(settled, Committed) and isinstance(known, Committed):
            if known.version != settled.version:
                raise Broken(f"{commit.id.hex()} took effect twice: {known.version.hex()}, {settled.version.hex()}")
            if known is settled:
                self.calls.append(Call(begun, ended, Rising(commit, settled)))

    def logged(self, space: str) -> set[tuple[CommitId, Key, bytes | None]]:
        """Returns the entries for the log of a space whose commits somebody was told have taken effect."""
        return {
            (commit.id, append.key, append.new)
            for _, commit in self.begun.values()
            if isinstance(self.outcomes.get(commit.id), Committed)
            for append in commit.appends
            if append.key.space == space
        }

    # ---- turns -------------------------------------------------------------------------------------------------------

    async def take(self, driver: ModelDriver, kind: str, bound: Sequence[Bound]) -> Fate:
        """Waits until the statement is chosen."""
        if self._is_free or kind in {"registry", "beat", "define"}:
            return Fate.DONE
        self._steps += 1
        if self._steps > STEPS_MAX:
            raise Broken("this goes round in circles")
        future: asyncio.Future[Fate] = asyncio.get_running_loop().create_future()
        self._waiting.append((driver, kind, bound, future))
        return await future

    def answered(self, driver: ModelDriver, bound: Sequence[Bound], answer: object) -> None:
        """Keeps what a process knows, as a number."""
        if not self._is_free:
            known = self._history.get(driver.name, 0)
            self._history[driver.name] = hash((known, repr(bound), repr(answer), self.clock.monotonic_s()))

    def linger(self, land: Callable[[], object], what: Sequence[Bound]) -> None:
        """Keeps what may land later."""
        self._lingering.append((land, what))

    def fingerprint(self) -> int:
        """Returns a number that is the same for the same states."""
        tables = [(name, table.content(self.clock.wall_ms())) for name, table in sorted(self.cluster.tables.items())]
        waiting = [(driver.name, repr(bound)) for driver, _, bound, _ in self._waiting]
        lingering = [repr(what) for _, what in self._lingering]
        lingering += [repr((until, one[0].name, one[2])) for until, one in self._held]
        known = sorted(self._history.items()), self.clock.monotonic_s()
        answers = [(repr(call.saw), call.begun) for call in self.calls]
        return hash((repr(tables), repr(waiting), repr(lingering), repr(known), repr(answers)))

    def idle(self, timeout: float | None) -> None:
        """Is called when nobody can go on: chooses what happens next."""
        self._waiting = [one for one in self._waiting if not one[3].done()]
        self._let_go(has_timers=timeout is not None)
        options = self._options(has_timers=timeout is not None)
        if not options:
            if timeout is None:
                raise Broken("everybody waits for what never happens")
            self.clock.advance_ms(max(1, math.ceil(timeout * 1000 - 1e-6)))
            return
        names = [name for name, _ in options]
        at = 0 if self._is_free else self._choose(self, names)
        self.trace.append(names[at])
        options[at][1]()

    def _options(self, *, has_timers: bool) -> list[tuple[str, Callable[[], None]]]:
        options = [(f"{one[0].name}: {_short(one[2])}", self._going_on(one[3], Fate.DONE)) for one in self._waiting]
        for one in self._waiting:
            if one[1] == "read":
                continue
            fates = [
                fate for fate in self.scene.fates if fate is not Fate.DIED or one[0].name not in self.scene.immortal
            ]
            what = f"{one[0].name}: {_short(one[2])}"
            options += [(f"{what} {fate.value}", self._going_on(one[3], fate)) for fate in fates]
            options.append((f"{what} is held up", self._holding_up(one)))
        if self._waiting:
            options += [(f"lands: {_short(one[1])}", self._landing(one)) for one in self._lingering]
            if has_timers:
                options.append(("time passes", lambda: self.clock.advance_ms(self.scene.jump_ms)))
        return options

    def _let_go(self, *, has_timers: bool) -> None:
        """Puts those back that were held up for as long as they were to be, or for whom everybody waits."""
        now = self.clock.monotonic_s()
        is_over = not self._waiting and (not has_timers or self._is_free)
        back = [one for one in self._held if one[0] <= now or is_over]
        self._held = [one for one in self._held if one not in back]
        self._waiting += [one for _, one in back if not one[3].done()]

    def _holding_up(self, one: _Statement) -> Callable[[], None]:
        def hold_up() -> None:
            self._waiting.remove(one)
            self._held.append((self.clock.monotonic_s() + HELD_S, one))

        return hold_up

    def _going_on(self, future: asyncio.Future[Fate], fate: Fate) -> Callable[[], None]:
        return lambda: future.set_result(fate)

    def _landing(self, one: tuple[Callable[[], object], Sequence[Bound]]) -> Callable[[], None]:
        def land() -> None:
            self._lingering.remove(one)
            one[0]()

        return land

    # ---- the run -----------------------------------------------------------------------------------------------------

    async def play(self) -> None:
        """Plays the scene to its end."""
        processes = {name: Process(self, name, self._rewrite) for name in self.scene.actors}
        for process in processes.values():
            await process.driver.open()  # And nothing more: nobody supervises the nodes here.
            await process.engine._find(self.scene.spaces, math.inf)
        self._is_free = False

        async def act(name: str) -> None:
            try:
                await self.scene.actors[name](processes[name])
                await processes[name].engine.is_quiet()
            except Dead:
                self.trace.append(f"{name} is dead")

        async with asyncio.TaskGroup() as group:
            for name in self.scene.actors:
                group.create_task(act(name))
        self._is_free = True
        for process in processes.values():
            process.driver.is_dead = True
        for *_, future in [*self._waiting, *(one for _, one in self._held)]:
            if not future.done():
                future.set_result(Fate.NEVER)
        await _End(self, self._rewrite).check()
        for process in processes.values():
            await process.engine.close()

    def land_all(self) -> None:
        """Lets everything land that lingers, the oldest last."""
        while self._lingering:
            land, what = self._lingering.pop()
            self.trace.append(f"lands at the end: {_short(what)}")
            land()


class _End:
    """What must hold at the end of a run, whatever happened in it."""

    def __init__(self, run: Run, rewrite: Rewrite | None) -> None:
        self._run = run
        self._other = Process(run, "at the end", rewrite)

    async def check(self) -> None:
        run, other = self._run, self._other
        await other.driver.open()
        for commit_id, (begun, commit) in run.begun.items():
            is_refused = commit in [one for one, _ in run.refused] and run.senders[commit_id] == 1
            if commit_id not in run.outcomes and not is_refused:
                run.settle(await other.engine.settle(commit), commit, begun)
        await other.together(*run.scene.keys)
        run.land_all()
        await other.together(*run.scene.keys)
        for place in sorted({place_of_key(key) for key in run.scene.keys}):
            outcome = await other.commit(other.commit_of(Put(Key(*place, b"~"), b"at the end")))
            if not isinstance(outcome, Committed):
                raise Broken(f"nobody can write to {place} any more: {outcome}")
        await other.together(*run.scene.keys)
        await self._settle_again()
        await self._check_logs()
        await other.engine.is_quiet()
        self._check_traces()
        self._check_order()
        await other.engine.close()

    async def _settle_again(self) -> None:
        """What was answered stands, and what was refused has not taken effect."""
        for commit_id, outcome in list(self._run.outcomes.items()):
            commit = self._run.begun[commit_id][1]
            self._run.settle(await self._other.engine.settle(commit), commit, 0)
            assert self._run.outcomes[commit_id] is outcome
        for commit, conflict in self._run.refused:
            settled = await self._other.engine.settle(commit)
            if isinstance(settled, Committed) and commit.id not in self._run.outcomes:
                raise Broken(f"{commit.id.hex()} was refused ({conflict}), and took effect")

    async def _check_logs(self) -> None:
        for space, options in self._run.scene.spaces.items():
            if options.log is None:
                continue
            page = await self._other.engine.read_log(space, 0, after=0, limit=1_000)
            wanted = {
                (commit_id, append.key, outcome.version, append.new)
                for commit_id, outcome in self._run.outcomes.items()
                if isinstance(outcome, Committed)
                for append in self._run.begun[commit_id][1].appends
                if append.key.space == space
            }
            found = [(e.commit_id, Key(space, e.partition, e.sort), e.version, e.new) for e in page.entries]
            if len(found) != len(set(found)) or set(found) != wanted:
                raise Broken(f"the log has {found}, and was to have {wanted}")
            by_partition: dict[bytes, list[Version]] = {}
            for entry in page.entries:
                by_partition.setdefault(entry.partition, []).append(entry.version)
            if any(versions != sorted(versions) for versions in by_partition.values()):
                raise Broken(f"the log is not in the order of commits: {found}")
            if not set(self._run.tailed) <= set(page.entries):
                raise Broken(f"a reader was shown {self._run.tailed}, and the log has {page.entries}")

    def _check_traces(self) -> None:
        """Nothing is left of commits but their fates, and no fate for ever."""
        self._run.clock.advance_ms(1_000_000)
        for name, table in self._run.cluster.tables.items():
            if ".s_" not in name:
                continue
            for key, (static, rows) in table.content(self._run.clock.wall_ms()).items():
                if "lk" in static:
                    raise Broken(f"{name} {key} is locked for ever")
                left = [(at, row) for at, row in rows.items() if at[0] == 5 or "i" in row]
                if left:
                    raise Broken(f"{name} {key} keeps {left}")

    def _check_order(self) -> None:
        spaces = {**self._run.scene.spaces, _LAST: SpaceOptions()}
        if find_order(self._run.calls, State(spaces)) is None:
            calls = sorted(self._run.calls, key=lambda call: call.begun)
            raise Broken("no order explains\n" + "\n".join(f"{c.begun}-{c.ended} {c.saw}" for c in calls))


class Rising(SawCommitted, frozen=True):
    """A commit that took effect, and whose version is above all in its partitions."""

    def explain(self, state: State) -> State | None:
        """See ``Observation``."""
        after = super().explain(state)
        if after is None:
            return None
        records = dict(after.records)
        for space, partition in {place_of(write) for write in self.commit.writes}:
            key = Key(_LAST, space.encode() + b"/" + partition)
            last = records.get(key)
            if last is not None and last.version >= self.committed.version:
                return None
            records[key] = Record(key.partition, b"", b"", self.committed.version)
        return State(after.spaces, records, after.stamps)


class _Selector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.idle: Callable[[float | None], None] = lambda _timeout: None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 0:
            self.idle(timeout)
        return []


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, clock: ManualClock) -> None:
        self._walk_clock = clock
        self.walk_selector = _Selector()
        super().__init__(self.walk_selector)

    def time(self) -> float:
        return self._walk_clock.monotonic_s()


def _in_loop(clock: ManualClock, idle: Callable[[float | None], None], work: Coroutine[Any, Any, None]) -> None:
    loop = _Loop(clock)
    loop.walk_selector.idle = idle
    loop.set_exception_handler(lambda _loop, _context: None)
    try:
        loop.run_until_complete(work)
    finally:
        left = asyncio.all_tasks(loop)
        loop.walk_selector.idle = lambda timeout: clock.advance_ms(1000)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left))
        loop.close()


def _short(bound: Sequence[Bound]) -> str:
    text, values = bound[0]
    return f"{text.split(' IF ')[0][:60]} +{len(bound) - 1} {values[0]!r:.40}"


@dataclass
class Explorer:
    """Plays a scene again and again.

    Args:
        scene: what happens.
        rewrite: makes the engines wrong.
        prepare: is called before each run; for what else makes them wrong.
    """

    scene: Scene
    rewrite: Rewrite | None = None
    runs: int = 0
    states: int = 0
    _cluster: Cluster = field(init=False)
    _clock: ManualClock = field(init=False)

    def __post_init__(self) -> None:
        self._clock = ManualClock()
        self._cluster = Cluster(self._clock, ahead_ms=self.scene.nodes_ms)
        run = Run(self.scene, self._cluster, self._clock, lambda _run, _names: 0)

        async def prepare() -> None:
            process = Process(run, "prepare")
            await process.engine.start()
            for name, options in self.scene.spaces.items():
                await process.engine.ensure_space(name, options)
            await self.scene.prepare(process)
            await process.engine.close()

        _in_loop(self._clock, run.idle, prepare())
        self._run = run

    def _new_run(self, choose: Callable[[Run, Sequence[str]], int]) -> Run:
        cluster, clock = deepcopy((self._cluster, self._clock))
        run = Run(self.scene, cluster, clock, choose, self.rewrite)
        run.calls = list(self._run.calls)
        run.begun = dict(self._run.begun)
        run.outcomes = dict(self._run.outcomes)
        run.time = count(next(deepcopy(self._run.time)))
        self.runs += 1
        return run

    def _play(self, run: Run, how: str) -> None:
        try:
            _in_loop(run.clock, run.idle, run.play())
        except _SeenBefore:
            return
        except BaseException as error:
            error.add_note(f"run {self.runs}, {how}:\n" + "\n".join(run.trace))
            raise

    def explore(self, deviations: int, runs_max: int = 1_000_000) -> None:
        """Tries all runs with at most so many deviations from the default."""
        seen: dict[int, int] = {}
        todo: list[tuple[tuple[int, ...], int]] = [((), deviations)]
        while todo and self.runs < runs_max:
            prefix, left = todo.pop()
            made: list[int] = []

            def choose(
                run: Run,
                names: Sequence[str],
                prefix: tuple[int, ...] = prefix,
                left: int = left,
                made: list[int] = made,
            ) -> int:
                if len(made) < len(prefix):
                    made.append(prefix[len(made)])
                    return made[-1]
                state = run.fingerprint()
                if seen.get(state, -1) >= left:
                    raise _SeenBefore
                seen[state] = left
                if left:
                    todo.extend(((*made, other), left - 1) for other in range(1, len(names)))
                made.append(0)
                return 0

            self._play(self._new_run(choose), f"choices {prefix}")
        self.states = len(seen)

    def wander(self, seed: int, chance: float) -> None:
        """Plays one run in which every choice is at random that often."""
        dice = Dice(seed)

        def choose(_run: Run, names: Sequence[str]) -> int:
            return dice.below(len(names)) if dice.chance(chance) else 0

        self._play(self._new_run(choose), f"seed {seed}")


class _SeenBefore(BaseException):
    """The state was reached before: what follows is known."""
