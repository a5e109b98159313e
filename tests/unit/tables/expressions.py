"""Expressions with names and values at hand, for tables of cases."""

from __future__ import annotations

import copy
import re
from typing import Any, Final

from tenet.tables.rules.bindings import Bindings

NAMES: Final = {"#a": "a", "#b": "b", "#n": "name"}
VALUES: Final[dict[str, Any]] = {
    ":s": {"S": "x"},
    ":s2": {"S": "b"},
    ":n": {"N": "1"},
    ":n2": {"N": "2"},
    ":b": {"B": "YQ=="},
    ":t": {"BOOL": True},
    ":z": {"NULL": True},
    ":l": {"L": []},
    ":m": {"M": {}},
    ":ss": {"SS": ["a"]},
    ":ns": {"NS": ["1"]},
    ":bs": {"BS": ["YQ=="]},
    ":e": {"S": ""},
}


def bindings_for(text: str, values: dict[str, Any] | None = None) -> Bindings:
    """Returns bindings with those of ``NAMES`` and ``VALUES`` (or `values`) that a text uses."""
    used = set(re.findall(r"[#:][A-Za-z0-9_]+", text))
    names = {name: NAMES[name] for name in NAMES if name in used}
    chosen = {name: copy.deepcopy(value) for name, value in (values or VALUES).items() if name in used}
    return Bindings(names or None, chosen or None)
