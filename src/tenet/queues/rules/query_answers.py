"""The Query protocol: answers and errors as XML.

Source: Amazon SQS API Reference (2012-11-05), the sample responses of its actions.
"""

from __future__ import annotations

import re
from typing import Any, Final

from tenet.queues.rules.message_attributes import has_bad_characters
from tenet.queues.rules.shapes import ANSWERS, Shape

NAMESPACE: Final = "http://queue.amazonaws.com/doc/2012-11-05/"
_DECLARATION: Final = '<?xml version="1.0"?>'

#: What a document of XML 1.0 cannot have (section 2.2). No message has it, but an error may repeat what was asked.
_NO_CHARACTERS: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def answer_document(operation: str, answer: dict[str, Any] | None, request_id: str) -> bytes:
    """Returns the XML of an answer.

    Args:
        operation: its name.
        answer: members by name, as in the JSON protocol; None: the operation answers nothing.
        request_id: of the request.
    """
    result = ""
    shape = ANSWERS.get(operation)
    if shape is not None:
        parts: list[str] = []
        _members(shape, answer or {}, parts)
        result = f"<{operation}Result>{''.join(parts)}</{operation}Result>"
    return (
        f'{_DECLARATION}<{operation}Response xmlns="{NAMESPACE}">{result}'
        f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{operation}Response>"
    ).encode()


def error_document(code: str, message: str, request_id: str, *, is_senders_fault: bool) -> bytes:
    """Returns the XML of an error.

    Args:
        code: of the Query protocol.
        message: what is wrong.
        request_id: of the request.
        is_senders_fault: whether the request is to blame.
    """
    kind = "Sender" if is_senders_fault else "Receiver"
    return (
        f'{_DECLARATION}<ErrorResponse xmlns="{NAMESPACE}"><Error><Type>{kind}</Type><Code>{code}</Code>'
        f"<Message>{_escaped(message)}</Message><Detail/></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    ).encode()


def _escaped(text: str) -> str:
    """Returns a text as the content of an element; carriage returns too, of which a parser would make line feeds."""
    if has_bad_characters(text.encode()):
        text = _NO_CHARACTERS.sub("?", text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace('"', "&quot;").replace("\r", "&#xD;")


def _members(shape: Shape, value: dict[str, Any], parts: list[str]) -> None:
    for name, of in shape.members.items():
        member = value.get(name)
        if member is None:
            continue
        if of.kind == "list":
            assert of.of is not None
            for element in member:
                _element(of.place, of.of, element, parts)
        elif of.kind == "map":
            assert of.of is not None
            for key, element in member.items():
                parts.append(f"<{of.place}><{of.key}>{_escaped(key)}</{of.key}>")
                _element(of.value, of.of, element, parts)
                parts.append(f"</{of.place}>")
        else:
            _element(name, of, member, parts)


def _element(name: str, shape: Shape, value: Any, parts: list[str]) -> None:
    if shape.kind == "structure":
        parts.append(f"<{name}>")
        _members(shape, value, parts)
        parts.append(f"</{name}>")
    elif shape.kind == "boolean":
        parts.append(f"<{name}>{'true' if value else 'false'}</{name}>")
    else:
        parts.append(f"<{name}>{_escaped(str(value))}</{name}>")
