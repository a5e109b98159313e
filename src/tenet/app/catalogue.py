"""The settings as a list that can be searched, checked against and printed; made from their declaration."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final, TypeAlias, get_type_hints

import msgspec
from msgspec import Struct, inspect

from tenet.app.settings import STORE_URL_PARTS, Settings

ENVIRONMENT_PREFIX: Final = "TENET_"

#: Units that a mistaken value may have been given in another of, as they are called in words.
_QUANTITIES: Final[Mapping[str, str]] = {"ms": "milliseconds", "s": "seconds", "bytes": "bytes"}

#: Stands where a secret may have stood.
HIDDEN: Final = "***"

#: A URL of a place on a network, taken apart as far as it matters for what is hidden.
_URL: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+._-]*://)(?P<place>[^?#]*)(?P<more>([?#].*)?)", re.DOTALL)

Value: TypeAlias = str | int | float | bool | tuple[str, ...] | dict[str, float]


class Setting(Struct, frozen=True):
    """One setting.

    Args:
        name: its dotted name; the part before the dot is its table in the file.
        annotation: the type that a value is checked against, with its bounds.
        kind: that type, as an operator calls it.
        default: what holds where nobody says anything.
        bounds: what a value has to keep, in words; empty where anything of its type goes.
        unit: of its value; empty where it has none.
        running: whether a running server takes a change over.
        description: what it does.
    """

    name: str
    annotation: Any
    kind: str
    default: Value
    bounds: str
    unit: str
    running: bool
    description: str

    @property
    def environment(self) -> str:
        """The environment variable that sets it."""
        return ENVIRONMENT_PREFIX + self.name.upper().replace(".", "_")

    @property
    def expectation(self) -> str:
        """What a value has to be, in words, with its unit where that is a quantity."""
        kind = f"{self.kind} of {_QUANTITIES[self.unit]}" if self.unit in _QUANTITIES else self.kind
        return f"{kind}, {self.bounds}" if self.bounds else kind


@cache
def settings() -> Mapping[str, Setting]:
    """Returns every setting by its dotted name, in the order of the declaration."""
    return {setting.name: setting for setting in _walk(Settings, "")}


def sections() -> Mapping[str, str]:
    """Returns what each table of the file is about, by its name."""
    found = {}
    for field in msgspec.structs.fields(Settings):
        if isinstance(field.type, type) and issubclass(field.type, Struct):
            found[field.name] = (field.type.__doc__ or "").strip()
    return found


def shown(name: str, value: object) -> object:
    """Returns a setting's value as it may be shown to others: of a URL, without what may be a secret.

    Args:
        name: the dotted name of the setting.
        value: its value, which may be a wrong one.

    Returns:
        The same, with ``***`` for a user and password, and for what stands behind a ``?`` or ``#`` and is not known to
        be none.
    """
    url = _URL.fullmatch(value) if isinstance(value, str) else None
    if url is None:
        return value
    if "@" in url["more"]:
        return url["scheme"] + HIDDEN  # a password with a ? or a # in it, or whatever it is
    # Up to the last @, for a password that is not encoded as a URL asks may hold a slash.
    place = re.sub(r"^.*@", f"{HIDDEN}@", url["place"], flags=re.DOTALL)
    if not url["more"]:
        return url["scheme"] + place
    parts = url["more"][1:].split("&") if name == "store.url" else [""]
    known = [part if part.partition("=")[0] in STORE_URL_PARTS else HIDDEN for part in parts]
    return url["scheme"] + place + url["more"][0] + "&".join(known)


def _walk(struct: type[Struct], prefix: str) -> Iterator[Setting]:
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    annotations = get_type_hints(struct, include_extras=True)
    for field in info.fields:
        if isinstance(field.type, inspect.StructType):
            yield from _walk(field.type.cls, f"{prefix}{field.name}.")
        else:
            yield _setting(prefix + field.name, annotations[field.name], field)


def _setting(name: str, annotation: object, field: inspect.Field) -> Setting:
    assert isinstance(field.type, inspect.Metadata), f"{name} is declared without a description"
    schema = field.type.extra_json_schema or {}
    extra = field.type.extra or {}
    return Setting(
        name=name,
        annotation=annotation,
        kind=_kind(field.type.type),
        default=field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory(),
        bounds=extra.get("bounds") or _bounds(field.type.type),
        unit=extra.get("unit", ""),
        running=extra.get("running", False),
        description=schema["description"],
    )


def _kind(info: inspect.Type) -> str:
    match info:
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return "whole number"
        case inspect.FloatType():
            return "number"
        case inspect.VarTupleType():
            return "list of texts"
        case inspect.DictType():
            return "numbers by account"
        case _:
            return "text"


def _bounds(info: inspect.Type) -> str:
    match info:
        case inspect.IntType(ge=least, le=most) | inspect.FloatType(ge=least, le=most) if least is not None:
            return f"{least:,} to {most:,}"
        case inspect.LiteralType(values=values):
            return "one of " + ", ".join(f"`{value}`" for value in values)
        case inspect.VarTupleType(max_length=most) | inspect.DictType(max_length=most):
            return f"at most {most} entries"
        case _:
            return ""
