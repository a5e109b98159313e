"""What the check of a bank lets pass, and what it does not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.bank import check
from tests.faults.history import Operation
from tests.faults.made import History
from tests.faults.transactions import ACCOUNTS, BALANCE


def balances(**changed: int) -> dict[str, int]:
    full = {f"account-{account}": BALANCE for account in range(ACCOUNTS)}
    return full | {f"account-{name[1:]}": balance for name, balance in changed.items()}


def bank(*, last: dict[str, int], receipts: list[str], seen: dict[str, int] | None = None) -> list[Operation]:
    """Two transfers, one acknowledged and one unknown, and one refused; then the last look."""
    history = History("bank")
    history.add(0, 1, "transfer", key="r1", asked=["account-0", "account-1", 10])
    history.add(0, 2, "transfer", "info", key="r2", asked=["account-1", "account-2", 5])
    history.add(0, 2, "transfer", "fail", key="r3", asked=["account-0", "account-2", 7])
    history.add(2, 3, "snapshot", got=seen or balances(_0=BALANCE - 10, _1=BALANCE + 10))
    history.add(8, 9, "snapshot", got=last)
    history.add(9, 10, "receipts", got=receipts)
    return history.operations


WITHOUT_R2 = balances(_0=BALANCE - 10, _1=BALANCE + 10)
WITH_R2 = balances(_0=BALANCE - 10, _1=BALANCE + 5, _2=BALANCE + 5)


@pytest.mark.parametrize(("last", "receipts"), [(WITHOUT_R2, ["r1"]), (WITH_R2, ["r1", "r2"])])
def test_an_unknown_transfer_may_be_there_or_not_but_whole(last: dict[str, int], receipts: list[str]) -> None:
    assert check(bank(last=last, receipts=receipts)) == []


TWICE = balances(_0=BALANCE - 20, _1=BALANCE + 20)
LOOKS: dict[str, tuple[dict[str, Any], str]] = {
    "made money": ({"last": balances(_0=BALANCE + 1), "receipts": ["r1"]}, "sums to 6001"),
    "torn snapshot": ({"last": WITHOUT_R2, "receipts": ["r1"], "seen": balances(_0=BALANCE - 10)}, "sums to 5990"),
    "missing account": ({"last": WITHOUT_R2, "receipts": ["r1"], "seen": {"account-0": 6000}}, "shows 1 accounts"),
    "below zero": (
        {"last": WITHOUT_R2, "receipts": ["r1"], "seen": balances(_0=-1, _1=2 * BALANCE + 1)},
        "a balance below 0",
    ),
    "lost transfer": ({"last": balances(), "receipts": []}, "was acknowledged, and left no receipt"),
    "done twice": ({"last": TWICE, "receipts": ["r1"]}, "the receipts make"),
    "refused and done": ({"last": WITHOUT_R2, "receipts": ["r1", "r3"]}, "was refused"),
    "nobody's": ({"last": WITHOUT_R2, "receipts": ["r1", "r9"]}, "that nobody made"),
}


@pytest.mark.parametrize("name", LOOKS)
def test_what_is_wrong_is_said(name: str) -> None:
    look, said = LOOKS[name]
    assert any(said in problem for problem in check(bank(**look))), check(bank(**look))


def test_a_bank_that_nobody_looked_at_in_the_end_is_not_found_right() -> None:
    history = [one for one in bank(last=WITHOUT_R2, receipts=["r1"]) if one.kind != "receipts"]
    assert check(history) == ["the bank was not looked at when everything had ended"]
