"""Dice: fair enough, and the same for the same seed."""

from __future__ import annotations

from collections import Counter

from tenet.base.dice import Dice


def test_a_seed_determines_every_choice() -> None:
    def play(seed: int) -> list[object]:
        dice = Dice(seed)
        return [dice.below(100), dice.chance(0.5), dice.pick("abc"), dice.sample(range(9), 4), dice.bytes(5)]

    assert play(1) == play(1)
    assert play(1) != play(2)


def test_chances_are_what_they_say() -> None:
    dice = Dice(0)
    assert not any(dice.chance(0.0) for _ in range(1_000))
    assert all(dice.chance(1.0) for _ in range(1_000))
    assert 200 < sum(dice.chance(0.25) for _ in range(1_000)) < 300


def test_every_choice_comes() -> None:
    dice = Dice(0)
    assert set(Counter(dice.below(6) for _ in range(600))) == set(range(6))
    assert sorted(dice.sample("abcdef", 6)) == list("abcdef")
