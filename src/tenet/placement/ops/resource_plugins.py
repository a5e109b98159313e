"""Finds the resource classes that there are: Tenet's own, and those that other packages bring."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from tenet.placement.errors import BadRequest
from tenet.placement.ops.plugins import installed
from tenet.placement.rules.resources.builtin import RESOURCE_CLASSES
from tenet.placement.rules.resources.contract import INTERFACE, NAME_PATTERN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tenet.placement.rules.resources.contract import ResourceClass

GROUP: Final = "tenet.placement.resource_classes"


class ResourceClasses:
    """Resource classes by name. One that cannot be used harms no other: it is refused by its name, and listed with why.

    Args:
        makers: return a class; called when it is first needed.
    """

    def __init__(self, makers: Mapping[str, Callable[[], Any]]) -> None:
        self._makers = makers
        self._made: dict[str, ResourceClass] = {}
        #: By name, why a class cannot be used.
        self._problems: dict[str, str] = {}

    def named(self, name: str) -> ResourceClass:
        """Returns a class.

        Raises:
            BadRequest: there is none of that name, or it cannot be used.
        """
        if name not in self._makers:
            raise BadRequest(f"There is no resource class {name!r}; there are: {', '.join(sorted(self._makers))}.")
        self._make(name)
        if name in self._problems:
            raise BadRequest(f"The resource class {name!r} cannot be used: {self._problems[name]}.")
        return self._made[name]

    def every(self) -> Mapping[str, ResourceClass]:
        """Returns all that can be used, by name."""
        for name in self._makers:
            self._make(name)
        return self._made

    def problems(self) -> Mapping[str, str]:
        """Returns why the others cannot be used, by name."""
        self.every()
        return self._problems

    def _make(self, name: str) -> None:
        if name in self._made or name in self._problems:
            return
        try:
            made = self._makers[name]()
            interface = made.interface
        except Exception as error:  # noqa: BLE001 (whatever a plugin does when it is loaded, clients are told of it)
            self._problems[name] = f"{type(error).__name__}: {error}"
            return
        if not re.fullmatch(NAME_PATTERN, name):
            self._problems[name] = f"its name is not of the pattern {NAME_PATTERN}"
        elif interface != INTERFACE:
            self._problems[name] = f"it is written for version {interface} of the interface; this is {INTERFACE}"
        else:
            self._made[name] = made


def installed_classes() -> ResourceClasses:
    """Returns Tenet's own classes and those of all installed packages, which cannot take the name of one of Tenet's."""
    return ResourceClasses({**installed(GROUP), **RESOURCE_CLASSES})
