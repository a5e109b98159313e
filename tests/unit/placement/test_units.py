"""Amounts with units: exact or refused, never rounded."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.placement.model import AMOUNT_MAX
from tenet.placement.rules.resources.units import BITS_PER_S, BYTES, Units

MEMORY = Units("MiB", BYTES)
DISK = Units("GiB", BYTES)
KILOBITS = Units("kbit/s", BITS_PER_S)
CPUS = Units("cpu", {"cpu": 1})


@pytest.mark.parametrize(
    ("units", "amount", "is_amount"),
    [
        (MEMORY, 512, 512),
        (MEMORY, "512", 512),
        (MEMORY, "16GiB", 16384),
        (MEMORY, "16 GiB", 16384),
        (MEMORY, "0.5GiB", 512),
        (MEMORY, "1TiB", 1 << 20),
        (MEMORY, "1024KiB", 1),
        (MEMORY, "131072kB", 125),
        (MEMORY, 0, 0),
        (DISK, "2TiB", 2048),
        (DISK, "2048MiB", 2),
        (KILOBITS, "1.5Gbit/s", 1_500_000),
        (KILOBITS, "64kbit/s", 64),
        (KILOBITS, "3000bit/s", 3),
        (CPUS, 4, 4),
        (CPUS, "4cpu", 4),
        (MEMORY, AMOUNT_MAX, AMOUNT_MAX),
    ],
)
def test_amounts_are_exact(units: Units, amount: Any, is_amount: int) -> None:
    assert units.read(amount) == is_amount


@pytest.mark.parametrize(
    ("units", "amount", "text"),
    [
        (MEMORY, "1B", "'1B' is no whole number of MiB"),
        (MEMORY, "16GB", "'16GB' is no whole number of MiB"),
        (MEMORY, "0.3GiB", "'0.3GiB' is no whole number of MiB"),
        (KILOBITS, "1500bit/s", "'1500bit/s' is no whole number of kbit/s"),
        (MEMORY, "16XB", "'16XB' has none of the units B, kB, MB, GB, TB, KiB, MiB, GiB, TiB"),
        (MEMORY, "16gib", "'16gib' has none of the units B, "),
        (CPUS, "4GiB", "'4GiB' has none of the units cpu"),
        (MEMORY, "", "'' is no number with a unit, such as '2MiB'"),
        (MEMORY, "-1MiB", "'-1MiB' is no number with a unit"),
        (MEMORY, "1e3MiB", "'1e3MiB' is no number with a unit"),
        (MEMORY, "٣MiB", "'٣MiB' is no number with a unit"),
        (MEMORY, "1MiB\n", "is no number with a unit"),
        (MEMORY, "9" * 19, "is no number with a unit"),
        (MEMORY, -1, f"-1 is not from 0 to {AMOUNT_MAX} MiB"),
        (MEMORY, AMOUNT_MAX + 1, f"is not from 0 to {AMOUNT_MAX} MiB"),
        (MEMORY, "4096TiB", f"is not from 0 to {AMOUNT_MAX} MiB"),
        (MEMORY, 1.5, "1.5 has to be a whole number of MiB, or a text such as '2MiB'"),
        (MEMORY, True, "True has to be a whole number of MiB"),
        (MEMORY, None, "None has to be a whole number of MiB"),
        (MEMORY, ["1MiB"], "has to be a whole number of MiB"),
    ],
)
def test_what_is_no_amount_is_refused_with_the_reason(units: Units, amount: Any, text: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - its text is looked at below
        units.read(amount)
    assert text in str(refused.value)
    assert len(str(refused.value)) < 300


@given(st.sampled_from((MEMORY, DISK, KILOBITS, CPUS)), st.integers(0, AMOUNT_MAX))
def test_what_is_shown_is_read_again(units: Units, amount: int) -> None:
    assert units.read(units.show(amount)) == amount


@pytest.mark.parametrize(
    ("units", "amount", "told"),
    [
        (MEMORY, 16384, "16GiB"),
        (MEMORY, 16385, "16385MiB"),
        (MEMORY, 1 << 20, "1TiB"),
        (MEMORY, 15625 * 64, "1000000MiB"),
        (KILOBITS, 1_500_000, "1500Mbit/s"),
        (KILOBITS, 10_000_000, "10Gbit/s"),
        (DISK, 3, "3GiB"),
        (DISK, 0, "0GiB"),
        (CPUS, 7, 7),
    ],
)
def test_the_largest_unit_that_fits_is_shown(units: Units, amount: int, told: Any) -> None:
    assert units.show(amount) == told
