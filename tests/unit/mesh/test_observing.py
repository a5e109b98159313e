"""Who is silent, who vouches, when a node is over, and how long one can be sure of itself: the rules one by one."""

from __future__ import annotations

from typing import Final

import pytest

from tenet.mesh.channel import NodeId
from tenet.mesh.observing import OBSERVERS_MAX, Observations, StoreSeen, Timings, Vote, observers_of

A, B, C, D = (NodeId(name) for name in "abcd")
TIMINGS: Final = Timings()
START_S: Final = 100.0
#: A little longer than that: sums of such numbers are not exact.
SILENT_S: Final = TIMINGS.silent_s + 0.01


def observing(*others: NodeId, now_s: float = START_S) -> Observations:
    """Observations of node a, which looks all the time and knows others."""
    found = Observations(A, TIMINGS, now_s=now_s)
    found.expect(dict.fromkeys(others, "1.1"), now_s)
    return found


def look_until(observations: Observations, until_s: float, since_s: float = START_S) -> float:
    now_s = since_s
    while now_s < until_s:
        now_s = min(until_s, now_s + TIMINGS.tick_s)
        assert not observations.look(now_s)
    return now_s


class TestObservers:
    def test_all_others_watch_where_they_are_few(self) -> None:
        assert set(observers_of(A, {A, B, C})) == {B, C}
        assert observers_of(A, {A}) == ()

    def test_a_few_of_many_watch_and_everybody_agrees_which(self) -> None:
        up = [NodeId(f"node-{at}") for at in range(50)]
        watching = observers_of(up[0], up)
        assert len(set(watching)) == OBSERVERS_MAX
        assert up[0] not in watching
        assert observers_of(up[0], list(reversed(up))) == watching

    def test_the_watching_is_shared(self) -> None:
        up = [NodeId(f"node-{at}") for at in range(50)]
        watched = [sum(node in observers_of(subject, up) for subject in up) for node in up]
        assert sum(watched) == 50 * OBSERVERS_MAX
        assert max(watched) <= 3 * OBSERVERS_MAX


class TestSilence:
    def test_one_is_silent_when_nothing_came_for_long_enough(self) -> None:
        observations = observing(B, C)
        now_s = look_until(observations, START_S + 0.5)
        observations.hear(B, now_s)
        now_s = look_until(observations, START_S + SILENT_S, now_s)
        assert observations.silent(now_s) == [C]
        assert observations.in_touch(B, now_s)
        assert not observations.in_touch(C, now_s)

    def test_whoever_was_away_blames_nobody(self) -> None:
        observations = observing(B)
        assert observations.look(START_S + 60)
        assert observations.silent(START_S + 60) == []
        assert observations.silent(START_S + 60 + SILENT_S) == [B]

    def test_another_incarnation_is_another_node(self) -> None:
        observations = observing(B)
        observations.hear(B, START_S + 1)
        observations.expect({B: "1.2"}, START_S + 2)
        assert not observations.in_touch(B, START_S + 2)
        observations.hear(B, START_S + 1.5)
        assert not observations.in_touch(B, START_S + 2)
        observations.expect({}, START_S + 3)
        assert observations.silent(START_S + 60) == []


class TestVotes:
    def test_whoever_has_heard_vouches_and_whoever_has_not_denies(self) -> None:
        observations = observing(B, C)
        now_s = look_until(observations, START_S + 5)
        observations.hear(B, now_s)
        assert observations.vote(B, now_s) is Vote.VOUCHES
        assert observations.vote(B, now_s + observations.sure_s + 0.01) is Vote.DENIES
        assert observations.vote(C, now_s) is Vote.DENIES

    def test_who_has_just_come_or_come_back_abstains(self) -> None:
        observations = observing(B)
        assert observations.vote(B, START_S + 0.1) is Vote.ABSTAINS
        look_until(observations, START_S + 5)
        assert observations.look(START_S + 60)
        assert observations.vote(B, START_S + 60.1) is Vote.ABSTAINS
        assert observations.vote(D, START_S + 60.1) is Vote.ABSTAINS


class TestVerdicts:
    @staticmethod
    def verdict(
        votes: list[Vote], observers: int, *, heard: bool = True, waited_s: float = 0.0, is_senior: bool = False
    ) -> bool:
        observations = observing(B)
        if heard:
            observations.hear(B, START_S)
        silent_s = look_until(observations, START_S + SILENT_S)
        assert observations.silent(silent_s) == [B]
        now_s = look_until(observations, silent_s + waited_s, silent_s)
        return observations.is_over(B, votes, observers=observers, is_senior=is_senior, now_s=now_s)

    @pytest.mark.parametrize(
        ("votes", "observers", "is_over"),
        [
            ([], 1, True),
            ([Vote.DENIES], 2, True),
            ([], 2, False),
            ([Vote.ABSTAINS], 2, False),
            ([Vote.VOUCHES], 2, False),
            ([Vote.DENIES, Vote.VOUCHES], 3, False),
            ([Vote.DENIES], 3, True),
            ([Vote.DENIES], 4, False),
            ([Vote.DENIES] * 3, 7, True),
            ([Vote.DENIES] * 2, 7, False),
        ],
    )
    def test_more_than_half_have_to_deny_and_nobody_may_vouch(
        self, votes: list[Vote], observers: int, is_over: bool
    ) -> None:
        assert self.verdict(votes, observers) is is_over

    def test_without_a_majority_it_takes_the_grace_and_twice_that_for_a_senior(self) -> None:
        grace_s = TIMINGS.grace_s
        assert not self.verdict([], 2, waited_s=grace_s - 0.1)
        assert self.verdict([], 2, waited_s=grace_s + 0.1)
        assert not self.verdict([], 2, waited_s=2 * grace_s - 0.1, is_senior=True)
        assert self.verdict([], 2, waited_s=2 * grace_s + 0.1, is_senior=True)

    def test_who_has_never_heard_of_it_waits_as_well(self) -> None:
        assert not self.verdict([], 1, heard=False)
        assert self.verdict([], 1, heard=False, waited_s=TIMINGS.grace_s + 0.1)

    def test_a_voucher_begins_the_grace_anew(self) -> None:
        observations = observing(B)
        now_s = look_until(observations, START_S + SILENT_S)
        assert observations.silent(now_s) == [B]
        now_s = look_until(observations, now_s + 2, now_s)
        assert not observations.is_over(B, [Vote.VOUCHES], observers=2, is_senior=False, now_s=now_s)
        now_s = look_until(observations, now_s + TIMINGS.grace_s - 0.1, now_s)
        assert not observations.is_over(B, [], observers=2, is_senior=False, now_s=now_s)

    def test_one_that_speaks_again_is_not_over(self) -> None:
        observations = observing(B)
        now_s = look_until(observations, START_S + SILENT_S)
        assert observations.silent(now_s) == [B]
        observations.hear(B, now_s)
        assert not observations.is_over(B, [], observers=1, is_senior=False, now_s=now_s)
        assert observations.silent(now_s) == []


class TestStores:
    """A node that the store does not answer, while it answers others."""

    @staticmethod
    def listened(observations: Observations, until_s: float, since_s: float = START_S, *, has_store: bool) -> float:
        """Hears node b say so with every heartbeat, while the store answers here."""
        now_s = since_s
        while now_s < until_s:
            now_s = look_until(observations, now_s + TIMINGS.heartbeat_s, now_s)
            observations.read(now_s)
            observations.hear_of_store(B, has_store=has_store, now_s=now_s)
        return now_s

    def test_it_is_over_when_it_has_said_so_for_long_enough(self) -> None:
        observations = observing(B, C)
        now_s = self.listened(observations, START_S + TIMINGS.storeless_s, has_store=False)
        assert observations.storeless(now_s) == []
        now_s = self.listened(observations, now_s + 2 * TIMINGS.heartbeat_s, now_s, has_store=False)
        assert observations.storeless(now_s) == [B]

    def test_it_begins_anew_where_it_has_said_otherwise_once(self) -> None:
        observations = observing(B)
        now_s = self.listened(observations, START_S + TIMINGS.storeless_s - 1, has_store=False)
        now_s = self.listened(observations, now_s + 0.1, now_s, has_store=True)
        now_s = self.listened(observations, now_s + TIMINGS.storeless_s - 1, now_s, has_store=False)
        assert observations.storeless(now_s) == []

    def test_one_that_is_not_heard_any_more_is_left_to_the_other_rules(self) -> None:
        observations = observing(B)
        now_s = self.listened(observations, START_S + 2 * TIMINGS.storeless_s, has_store=False)
        assert observations.storeless(now_s) == [B]
        now_s = look_until(observations, now_s + SILENT_S, now_s)
        assert observations.storeless(now_s) == []

    def test_whoever_has_no_store_itself_or_has_it_only_again_evicts_nobody(self) -> None:
        observations = observing(B)
        now_s = START_S
        while now_s < START_S + 60:
            now_s = look_until(observations, now_s + TIMINGS.heartbeat_s, now_s)
            observations.hear_of_store(B, has_store=False, now_s=now_s)
            assert observations.storeless(now_s) == []
        assert not observations.has_store(now_s)
        now_s = self.listened(observations, now_s + TIMINGS.storeless_s, now_s, has_store=False)
        assert observations.storeless(now_s) == []
        now_s = self.listened(observations, now_s + 2 * TIMINGS.heartbeat_s, now_s, has_store=False)
        assert observations.storeless(now_s) == [B]

    def test_whoever_was_away_blames_nobody(self) -> None:
        observations = observing(B)
        now_s = self.listened(observations, START_S + 2 * TIMINGS.storeless_s, has_store=False)
        assert observations.look(now_s + 2)
        observations.hear_of_store(B, has_store=False, now_s=now_s + 2)
        assert observations.storeless(now_s + 2) == []

    def test_a_store_that_is_late_is_not_lost_for_half_a_minute(self) -> None:
        observations, now_s = observing(B), START_S
        seen = set()
        while now_s < START_S + TIMINGS.slow_s - 0.3:
            now_s = look_until(observations, now_s + TIMINGS.heartbeat_s, now_s)
            observations.late(now_s)
            seen.add(observations.store_seen(now_s))
            assert observations.has_store(now_s)
        assert seen == {StoreSeen.ANSWERS, StoreSeen.LATE}
        assert observations.sure_until_s({A}) == START_S + TIMINGS.storeless_s, "what is late says nothing"
        assert observations.storeless(now_s) == []
        observations.late(START_S + TIMINGS.slow_s)
        assert observations.store_seen(START_S + TIMINGS.slow_s) is StoreSeen.LOST

    def test_a_store_that_refuses_is_lost_though_it_was_late_before(self) -> None:
        observations = observing(B)
        observations.late(START_S + 1)
        assert observations.has_store(START_S + TIMINGS.storeless_s + 0.9)
        assert not observations.has_store(START_S + TIMINGS.storeless_s + 1.1)

    def test_another_incarnation_has_said_nothing(self) -> None:
        observations = observing(B)
        now_s = self.listened(observations, START_S + 2 * TIMINGS.storeless_s, has_store=False)
        observations.expect({B: "2.1"}, now_s)
        assert observations.storeless(now_s) == []

    def test_of_one_that_is_unknown_nothing_is_noted(self) -> None:
        observations = observing()
        now_s = self.listened(observations, START_S + 2 * TIMINGS.storeless_s, has_store=False)
        observations.expect({B: "1.1"}, now_s)
        assert observations.storeless(now_s) == []


class TestSureness:
    def test_without_others_it_is_as_long_as_the_store_answers(self) -> None:
        observations = observing()
        assert observations.sure_until_s({A}) == START_S + TIMINGS.storeless_s
        observations.read(START_S + 60)
        assert observations.sure_until_s({A}) == START_S + 60 + TIMINGS.storeless_s
        # What was asked before and is answered later takes nothing back.
        observations.read(START_S + 59)
        assert observations.sure_until_s({A}) == START_S + 60 + TIMINGS.storeless_s

    def test_it_ends_before_others_may_evict_a_node_that_has_no_store(self) -> None:
        """Whoever hears the first heartbeat that says so waits for as long again, by a clock that is as fast."""
        mine = observing(B)
        last_s = mine.sure_until_s({A})
        assert mine.has_store(last_s - 0.01)
        assert not mine.has_store(last_s + 0.01)

    def test_it_lasts_from_the_answers_that_leave_the_others_no_majority(self) -> None:
        observations = observing(B, C, D)
        observations.answered(B, START_S + 1, START_S + 1.1)
        observations.answered(C, START_S + 2, START_S + 2.1)
        observations.answered(D, START_S + 3, START_S + 3.1)
        assert observations.sure_until_s({A, B}) == START_S + 1 + observations.sure_s
        assert observations.sure_until_s({A, B, C}) == START_S + 2 + observations.sure_s
        # Of three observers two would be a majority, so that two have to have answered.
        assert observations.sure_until_s({A, B, C, D}) == START_S + 2 + observations.sure_s

    def test_one_that_has_just_joined_does_not_end_it(self) -> None:
        observations = observing(B)
        assert observations.sure_until_s({A, B}) == START_S + TIMINGS.grace_s
        assert observations.sure_until_s({A, B, D}) == START_S + TIMINGS.grace_s

    def test_it_ends_before_a_majority_can_deny(self) -> None:
        """Whoever answered at a time vouches until this node's own certainty has ended."""
        mine, theirs = observing(B), Observations(B, TIMINGS, now_s=START_S)
        theirs.expect({A: "1.1"}, START_S)
        sent_s = look_until(theirs, START_S + 5)
        theirs.hear(A, sent_s + 0.001)
        mine.answered(B, sent_s, sent_s + 0.002)
        last_s = mine.sure_until_s({A, B})
        assert theirs.vote(A, last_s) is Vote.VOUCHES


def test_joining_anew_forgets_whom_it_does_not_hear() -> None:
    observations = observing(B, C)
    now_s = look_until(observations, START_S + 5)
    observations.hear(B, now_s)
    observations.hear(C, START_S + 1)
    observations.begin_again(now_s)
    assert observations.in_touch(B, now_s)
    now_s = look_until(observations, now_s + SILENT_S, now_s)
    assert set(observations.silent(now_s)) == {B, C}
    assert observations.is_over(B, [], observers=1, is_senior=False, now_s=now_s)
    assert not observations.is_over(C, [], observers=1, is_senior=False, now_s=now_s)
