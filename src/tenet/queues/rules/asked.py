"""What nodes ask each other about queues, as bytes: MessagePack, whose structs are maps.

Fields may be added with a default; a node of another version passes over what it does not know.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeVar, cast

import msgspec
from msgspec import Struct, field

from tenet.base.errors import TenetError
from tenet.queues import errors
from tenet.queues.errors import InternalFailure, QueuesError
from tenet.queues.model import Queue, Received
from tenet.queues.rules.stored import Message, message_weight
from tenet.store import errors as store_errors
from tenet.store.errors import StoreError, StoreUnavailable

T = TypeVar("T")

#: What can be asked.
SEND: Final = "send"
RECEIVE: Final = "receive"
DELETE: Final = "delete"
CHANGE_VISIBILITY: Final = "change_visibility"
PURGE: Final = "purge"
FIGURES: Final = "figures"
TRANSFER: Final = "transfer"
FORGET: Final = "forget"
BEGIN_MOVE: Final = "begin_move"
CANCEL_MOVE: Final = "cancel_move"
LIST_MOVES: Final = "list_moves"

#: How it went: it was done; the queue is not this node's; it failed.
DONE: Final = "done"
ELSEWHERE: Final = "elsewhere"
FAILED: Final = "failed"

#: How many bytes of messages an answer carries at the most, if it has more than one, and a question of one transfer.
#: Both stay below what nodes send each other at once, 8 MiB.
ANSWER_BYTES_MAX: Final = 6 * 1024 * 1024
TRANSFER_WEIGHT_MAX: Final = 1_250_000
#: What a received message counts beside its body and its attributes.
_OVERHEAD: Final = 2_000

_NOTHING: Final = msgspec.Raw(msgspec.msgpack.encode(None))


class Question(Struct, gc=False):
    """What one node asks the one that has a queue.

    Args:
        operation: what.
        queue: as the one that asks knows it.
        within_s: how long it waits.
        argument: of the operation, encoded.
    """

    operation: str
    queue: Queue
    within_s: float
    argument: msgspec.Raw = _NOTHING


class Answer(Struct, gc=False):
    """What the other one answers.

    Args:
        status: ``DONE``, ``ELSEWHERE`` or ``FAILED``.
        result: of what was done, encoded.
        code: of the error.
        text: of the error.
    """

    status: str
    result: msgspec.Raw = _NOTHING
    code: str = ""
    text: str = ""


class ReceiveArgument(Struct, gc=False):
    """What a receive asks for; see ``Owner.receive``.

    Args:
        most: 1 to 10.
        visibility_s: seconds; None: as the queue has it.
        attempt_id: empty for none.
        waits: whether the one that asks wants to be told of messages that come later, where there are none.
    """

    most: int
    visibility_s: int | None = None
    attempt_id: str = ""
    waits: bool = False


class TransferArgument(Struct, gc=False):
    """Messages of another queue; see ``Owner.transfer``."""

    messages: list[Message]
    tokens: list[str]


class Failure(Struct, gc=False):
    """An error as it is told.

    Args:
        code: of the error.
        text: its words.
    """

    code: str
    text: str


class Outcomes(Struct, gc=False):
    """What came of several things that were asked for together: for each None, or why it was not done."""

    failures: list[Failure | None] = field(default_factory=list)


_encoder: Final = msgspec.msgpack.Encoder()
_decode_question: Final = msgspec.msgpack.Decoder(Question).decode
_decode_answer: Final = msgspec.msgpack.Decoder(Answer).decode
_decoders: dict[object, msgspec.msgpack.Decoder[object]] = {}


def _classes(module: object, base: type[TenetError]) -> dict[str, type[TenetError]]:
    found = (one for one in vars(module).values() if isinstance(one, type) and issubclass(one, base))
    return {one.code: one for one in found}


_ERRORS: Final = _classes(store_errors, StoreError) | _classes(errors, QueuesError)


def encode(value: object) -> bytes:
    """Returns anything of this module, or of the model, as bytes."""
    return _encoder.encode(value)


def decode(value: bytes | msgspec.Raw, of: type[T]) -> T:
    """Returns what was encoded.

    Args:
        value: its bytes.
        of: its type.

    Raises:
        msgspec.MsgspecError: it is none.
    """
    decoder = _decoders.get(of)
    if decoder is None:
        decoder = _decoders[of] = msgspec.msgpack.Decoder(of)
    return cast("T", decoder.decode(value))


def decode_question(body: bytes) -> Question:
    """Returns a question; raises as `decode` does."""
    return _decode_question(body)


def decode_answer(body: bytes) -> Answer:
    """Returns an answer; raises as `decode` does."""
    return _decode_answer(body)


def done(result: object = None) -> bytes:
    """Returns the answer of something that was done."""
    return _encoder.encode(Answer(DONE, msgspec.Raw(_encoder.encode(result))))


def elsewhere() -> bytes:
    """Returns the answer of a node that does not have the queue."""
    return _encoder.encode(Answer(ELSEWHERE))


def failed(error: TenetError) -> bytes:
    """Returns the answer where something failed."""
    return _encoder.encode(Answer(FAILED, code=error.code, text=error.message))


def error_of(code: str, text: str) -> TenetError:
    """Returns an error as it was raised at another node; one that this version does not know is an internal failure."""
    found = _ERRORS.get(code)
    if found is None:
        return InternalFailure(f"{code}: {text}")
    try:
        return found(text)
    except TypeError:  # one with more arguments
        return StoreUnavailable(f"{code}: {text}")


def outcomes_of(results: Iterable[QueuesError | None]) -> Outcomes:
    """Returns what is told of several results."""
    return Outcomes([None if error is None else Failure(error.code, error.message) for error in results])


def results_of(outcomes: Outcomes) -> list[QueuesError | None]:
    """Returns the results that were told."""
    results: list[QueuesError | None] = []
    for failure in outcomes.failures:
        error = None if failure is None else error_of(failure.code, failure.text)
        results.append(error if error is None or isinstance(error, QueuesError) else InternalFailure(error.message))
    return results


def fitting(messages: Sequence[Received]) -> int:
    """Returns how many received messages go into one answer, 1 at the least where there are any."""
    size = 0
    for count, message in enumerate(messages):
        size += len(message.body.encode()) + len(message.attributes) + _OVERHEAD
        if size > ANSWER_BYTES_MAX and count:
            return count
    return len(messages)


def parts(messages: Sequence[Message], tokens: Sequence[str]) -> list[TransferArgument]:
    """Returns messages of a transfer, in order, in parts that each go into one question."""
    found: list[TransferArgument] = []
    weight = TRANSFER_WEIGHT_MAX + 1
    for message, token in zip(messages, tokens, strict=True):
        its_weight = message_weight(message)
        if weight + its_weight > TRANSFER_WEIGHT_MAX:
            found.append(TransferArgument([], []))
            weight = 0
        found[-1].messages.append(message)
        found[-1].tokens.append(token)
        weight += its_weight
    return found
