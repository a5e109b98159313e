"""Receipt handles: they lead to what they were given out for, and nobody makes one up."""

from __future__ import annotations

import binascii
import struct

import pytest

from tenet.base.clock import NEVER
from tenet.queues.errors import ReceiptHandleIsInvalid
from tenet.queues.rules.receipts import decode_handle, encode_handle, message_id
from tests.unit.queues.owning import Stand, bodies, receive, run, send

QUEUE = bytes(range(16))


@pytest.mark.parametrize("sequence", [1, 2**32, 2**64 - 1])
def test_a_handle_says_what_was_put_into_it(sequence: int) -> None:
    assert decode_handle(QUEUE, encode_handle(QUEUE, sequence, 7)) == (sequence, 7)


def test_a_handle_that_was_changed_anywhere_is_none() -> None:
    handle = binascii.a2b_base64(encode_handle(QUEUE, 1, 1))
    for bit in range(8 * len(handle)):
        changed = bytearray(handle)
        changed[bit // 8] ^= 1 << bit % 8
        assert decode_handle(QUEUE, binascii.b2a_base64(changed, newline=False).decode()) is None
    for other in (handle[:-1], handle + b"\0", b""):
        assert decode_handle(QUEUE, binascii.b2a_base64(other, newline=False).decode()) is None


def test_the_half_of_a_queues_id_that_clients_are_told_makes_no_handle() -> None:
    other = QUEUE[:8] + bytes(8)
    assert message_id(other, 1) == message_id(QUEUE, 1)
    assert decode_handle(QUEUE, encode_handle(other, 1, 1)) is None


def test_nobody_deletes_or_hides_by_a_handle_that_was_not_given_out() -> None:
    async def scene(stand: Stand) -> None:
        for name in ("orders", "orders.fifo"):
            owner = stand.queue(name)
            await send(owner, "a", group="a")
            await send(owner, "b", group="b")
            (received,) = await receive(owner, 1)
            said = binascii.a2b_base64(received.receipt_handle)
            # As handles were once; and one that was given out, for the next message.
            for made_up in (struct.pack(">B8sQI", 1, owner.queue.id[:8], 2, 1), said[:8] + b"\2" + said[9:]):
                handle = binascii.b2a_base64(made_up, newline=False).decode()
                (deleted,) = await owner.delete([handle], deadline=NEVER)
                (hidden,) = await owner.change_visibility([(handle, 5)], deadline=NEVER)
                assert isinstance(deleted, ReceiptHandleIsInvalid)
                assert isinstance(hidden, ReceiptHandleIsInvalid)
            assert bodies(await receive(owner)) == ["b"]

    run(scene)
