"""Numbers: canonical texts, limits, arithmetic against Python's decimals, sizes."""

from __future__ import annotations

from decimal import Context, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenet.tables.rules import numbers
from tests.unit.tables.outcomes import outcome_of, refusal_of

EXACT = Context(prec=400, Emax=10_000, Emin=-10_000)
NINES = "9" * 38


@st.composite
def written_numbers(draw: st.DrawFn) -> str:
    """A number in one of the many ways that it can be written, perhaps out of range."""
    sign = draw(st.sampled_from(["", "+", "-"]))
    whole = draw(st.text("0123456789", max_size=45))
    fraction = draw(st.text("0123456789", min_size=0 if whole else 1, max_size=45))
    point = "." if fraction else draw(st.sampled_from(["", "."]))
    exponent = draw(st.one_of(st.just(""), st.integers(-200, 200).map(lambda number: f"e{number}")))
    return sign + whole + point + fraction + exponent


@st.composite
def canonical_numbers(draw: st.DrawFn, magnitude_max: int = 125) -> str:
    digits = str(draw(st.integers(1, 10**38 - 1))).rstrip("0")
    exponent = draw(st.integers(-130 if magnitude_max == 125 else -magnitude_max, magnitude_max))
    sign = draw(st.sampled_from(["", "-"]))
    value = format(Decimal(f"{sign}{digits[0]}.{digits[1:]}E{exponent}"), "f")
    return draw(st.sampled_from([value, "0", "1", "-42"]))


def refusal(value: Decimal) -> str:
    """What the service says of a value, by its documented limits."""
    if value.is_zero():
        return ""
    if value.adjusted() > 125:
        return numbers.OVERFLOW
    if value.adjusted() < -130:
        return numbers.UNDERFLOW
    digits = "".join(map(str, value.as_tuple().digits)).strip("0")
    return numbers.TOO_PRECISE if len(digits) > 38 else ""


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("0.000", "0"),
        ("0e1000", "0"),
        ("7", "7"),
        ("+7", "7"),
        ("-7", "-7"),
        ("007", "7"),
        ("1.50", "1.5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("-.25", "-0.25"),
        ("1E3", "1000"),
        ("1e+3", "1000"),
        ("12.5e1", "125"),
        ("1e-5", "0.00001"),
        ("100e-2", "1"),
        ("1e125", "1" + "0" * 125),
        ("1e-130", "0." + "0" * 129 + "1"),
        (NINES, NINES),
        (NINES + "0", NINES + "0"),
        ("0." + NINES, "0." + NINES),
        ("9." + "9" * 37 + "E+125", NINES + "0" * 88),
    ],
)
def test_a_number_has_one_canonical_text(text: str, canonical: str) -> None:
    assert numbers.canonical(text) == canonical


@pytest.mark.parametrize(
    "text",
    [
        *("x", " ", " 1", "1 ", "1\n", "0x1", "1d", "NaN", "Infinity", "1_000", "1,5", "1e", "e5", ".", "-", "--1"),
        *("1.2.3", "1e5.0", "\u0661", "1e99999999999999999999", "0e99999999999999999999", "1e" + "9" * 5000),
    ],
)
def test_what_is_no_number_is_refused(text: str) -> None:
    assert refusal_of(lambda: numbers.canonical(text)) == (
        f"The parameter cannot be converted to a numeric value: {text}"
    )


def test_an_empty_text_is_no_number() -> None:
    assert refusal_of(lambda: numbers.canonical("")) == "The parameter cannot be converted to a numeric value"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1e126", numbers.OVERFLOW),
        ("-10e125", numbers.OVERFLOW),
        ("1e9223372036854775807", numbers.OVERFLOW),
        ("1e-131", numbers.UNDERFLOW),
        ("0.9e-130", numbers.UNDERFLOW),
        ("1e-9223372036854775808", numbers.UNDERFLOW),
        ("1" + NINES, numbers.TOO_PRECISE),
        ("1." + NINES, numbers.TOO_PRECISE),
    ],
)
def test_numbers_out_of_range_are_refused(text: str, message: str) -> None:
    assert refusal_of(lambda: numbers.canonical(text)) == message


@given(written_numbers())
def test_canonical_texts_keep_the_value_or_say_what_is_wrong(text: str) -> None:
    value = EXACT.create_decimal(text)
    canonical, said = outcome_of(lambda: numbers.canonical(text))
    assert said == refusal(value)
    if canonical is not None:
        assert EXACT.create_decimal(canonical) == value
        assert canonical == format(EXACT.create_decimal(canonical), "f")
        assert numbers.canonical(canonical) == canonical


@given(canonical_numbers(), canonical_numbers())
def test_numbers_compare_by_value(left: str, right: str) -> None:
    assert (numbers.value(left) < numbers.value(right)) == (Decimal(left) < Decimal(right))
    assert (numbers.value(left) == numbers.value(right)) == (left == right)


@given(st.one_of(canonical_numbers(), canonical_numbers(20)), st.one_of(canonical_numbers(), canonical_numbers(20)))
def test_sums_and_differences_are_exact_or_refused(left: str, right: str) -> None:
    for compute, expected in (
        (numbers.add, EXACT.add(Decimal(left), Decimal(right))),
        (numbers.subtract, EXACT.subtract(Decimal(left), Decimal(right))),
    ):
        result, said = outcome_of(lambda compute=compute: compute(left, right))  # type: ignore[misc]
        # Of too many digits in a result the service says that it overflows.
        assert said == refusal(expected).replace(numbers.TOO_PRECISE, numbers.OVERFLOW)
        assert said or result == numbers.canonical(format(expected, "f"))


@pytest.mark.parametrize(
    ("left", "right", "total"),
    [("1", "2", "3"), ("1", "-1", "0"), ("0.1", "0.2", "0.3"), (NINES, "1", "1" + "0" * 38), ("1e2", "0", "100")],
)
def test_sums(left: str, right: str, total: str) -> None:
    assert numbers.add(numbers.canonical(left), numbers.canonical(right)) == total


@pytest.mark.parametrize(("left", "right"), [("1e50", "1"), ("1", "1e-38"), ("9e125", "9e125")])
def test_sums_that_do_not_fit_overflow(left: str, right: str) -> None:
    assert refusal_of(lambda: numbers.add(numbers.canonical(left), numbers.canonical(right))) == numbers.OVERFLOW


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 1),
        ("1", 2),
        ("-1", 3),
        ("12", 2),
        ("123", 3),
        ("-42", 3),
        ("1000", 2),
        ("1234567", 5),
        ("0.5", 2),
        ("0.0012", 2),
        ("10.01", 3),
        ("100.5", 4),
        ("-3.14", 4),
        (NINES, 20),
        ("0." + NINES, 20),
    ],
)
def test_a_number_counts_a_byte_for_two_digits(text: str, size_bytes: int) -> None:
    assert numbers.size_bytes(text) == size_bytes
