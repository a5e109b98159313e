"""What is wrong in a ledger of a stream's readers is found, so that the test with real readers means something."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from tests.conformance.ledger import Ledger, WrongLedger, check_whole, read
from tests.conformance.packages import FetchFailed, check_jars


def lines(*events: str) -> list[str]:
    return ["\t".join(event.split()) + "\n" for event in events]


BEGUN = ("begin A s1 TRIM_HORIZON", "record A s1 11 INSERT k 1 -", "record A s1 12 MODIFY k 2 1")


def test_a_worker_that_is_killed_is_followed_behind_its_checkpoint() -> None:
    found = read(
        lines(
            *BEGUN,
            "checkpoint A s1 11",
            "record A s1 13 MODIFY k 3 2",
            "begin B s1 11",
            "record B s1 12 MODIFY k 2 1",
            "record B s1 13 MODIFY k 3 2",
            "record B s1 14 REMOVE k 4 3",
            "ended B s1",
        )
    )
    assert (found.counts, found.again, found.ended) == ({"k": 4}, 2, {"s1"})
    assert (found.records, found.saved, found.begun("B")) == ({"A": 3, "B": 3}, {"s1": 11}, {"s1"})
    assert found.unsaved == {("A", "s1"): 1, ("B", "s1"): 3}
    check_whole(found, {"k": 4})


def test_a_shard_that_follows_another_one_goes_on_with_its_keys() -> None:
    found = read(lines(*BEGUN, "ended A s1", "begin A s2 TRIM_HORIZON", "record A s2 1 MODIFY k 3 2"))
    assert found.counts == {"k": 3}


def test_a_line_that_was_cut_off_is_left_out() -> None:
    whole = lines(*BEGUN)
    assert read([*whole, "record\tA\ts1\t1"]) == read(whole)
    assert read([]) == Ledger()


@pytest.mark.parametrize(
    ("event", "complaint"),
    [
        ("record A s1 13 MODIFY k 4 3", "nothing between 2 and that was seen"),
        ("record A s1 13 MODIFY other 2 1", "nothing between 0 and that was seen"),
        ("record A s1 12 MODIFY k 3 2", "not behind 12"),
        ("record A s1 11 MODIFY k 3 2", "not behind 12"),
        ("record A s1 13 MODIFY k 3 1", "no change of such an item"),
        ("record A s1 13 INSERT k 3 2", "no change of such an item"),
        ("record A s1 13 MODIFY other 1 -", "no change of such an item"),
        ("record A s1 13 INSERT other 1 0", "no change of such an item"),
    ],
)
def test_what_is_wrong_is_told(event: str, complaint: str) -> None:
    with pytest.raises(WrongLedger, match=complaint):
        read(lines(*BEGUN, event))


def test_nobody_begins_before_a_checkpoint() -> None:
    for start in ("11", "TRIM_HORIZON"):
        with pytest.raises(WrongLedger, match=r"B begins s1 at .*, before the checkpoint 12"):
            read(lines(*BEGUN, "checkpoint A s1 12", f"begin B s1 {start}"))


def test_what_was_never_seen_is_told() -> None:
    found = read(lines(*BEGUN))
    for wanted in ({"k": 3}, {"k": 2, "other": 1}, {}):
        with pytest.raises(WrongLedger, match="seen and written"):
            check_whole(found, wanted)


# ---- jars ------------------------------------------------------------------------------------------------------------


def test_jars_are_those_that_were_chosen(tmp_path: Path) -> None:
    lib, lock = tmp_path / "lib", tmp_path / "some.lock"
    lib.mkdir()
    (lib / "one.jar").write_bytes(b"one")
    (lib / "read.me").write_bytes(b"not a jar")
    lock.write_text(f"{sha256(b'one').hexdigest()}  one.jar\n", encoding="utf-8")
    check_jars(lib, lock)
    (lib / "two.jar").write_bytes(b"two")
    with pytest.raises(FetchFailed, match=r"lib is not what some.lock lists: two.jar$"):
        check_jars(lib, lock)
    (lib / "two.jar").unlink()
    (lib / "one.jar").write_bytes(b"another one")
    with pytest.raises(FetchFailed, match=r"lists: one.jar$"):
        check_jars(lib, lock)
    (lib / "one.jar").unlink()
    with pytest.raises(FetchFailed, match=r"lists: one.jar$"):
        check_jars(lib, lock)
