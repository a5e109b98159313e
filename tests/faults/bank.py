"""Checks a bank: money is neither made nor lost, no transfer is lost, halved or done twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from tests.faults.history import Operation
from tests.faults.transactions import ACCOUNTS, BALANCE


def check(history: Iterable[Operation]) -> list[str]:
    """Returns what is wrong with a bank, in words; other workloads are left out.

    Args:
        history: operations of a whole run, the last look at everything included, by their begin.
    """
    operations = [operation for operation in history if operation.workload == "bank"]
    if not operations:
        return []
    snapshots = [operation for operation in operations if operation.kind == "snapshot" and operation.outcome == "ok"]
    receipts = [operation for operation in operations if operation.kind == "receipts" and operation.outcome == "ok"]
    if not receipts or not snapshots or snapshots[-1].begin_ns < receipts[-1].begin_ns - 60 * 10**9:
        return ["the bank was not looked at when everything had ended"]
    found = [problem for snapshot in snapshots for problem in _problems_of(snapshot)]
    transfers = [operation for operation in operations if operation.kind == "transfer"]
    return [*found, *_compare(transfers, receipts[-1].got, snapshots[-1])]


def _problems_of(snapshot: Operation) -> Iterator[str]:
    balances: dict[str, int] = snapshot.got
    total = sum(balances.values())
    if len(balances) != ACCOUNTS:
        yield f"snapshot {snapshot.name} shows {len(balances)} accounts of {ACCOUNTS}"
    elif total != ACCOUNTS * BALANCE:
        yield f"snapshot {snapshot.name} sums to {total} instead of {ACCOUNTS * BALANCE}: {balances}"
    if any(balance < 0 for balance in balances.values()):
        yield f"snapshot {snapshot.name} shows a balance below 0, which each transfer's condition rules out: {balances}"


def _compare(transfers: list[Operation], receipts: list[str], last: Operation) -> Iterator[str]:
    """Compares what clients were told with the receipts, and the receipts with the balances."""
    done = set(receipts)
    by_receipt = {transfer.key: transfer for transfer in transfers}
    for transfer in transfers:
        if transfer.outcome == "ok" and transfer.key not in done:
            yield f"transfer {transfer.name} was acknowledged, and left no receipt"
        if transfer.outcome == "fail" and transfer.key in done:
            yield f"transfer {transfer.name} was refused ({transfer.error}), and left a receipt"
    for receipt in done - set(by_receipt):
        yield f"there is a receipt {receipt} of a transfer that nobody made"
    expected = Counter({f"account-{account}": BALANCE for account in range(ACCOUNTS)})
    for receipt in done & set(by_receipt):
        source, target, amount = by_receipt[receipt].asked
        expected[source] -= amount
        expected[target] += amount
    if dict(expected) != last.got:
        made, held = (dict(sorted(balances.items())) for balances in (expected, last.got))
        yield f"the receipts make {made}, and the accounts hold {held}"
