"""The standard resource classes and traits, from the packages that all of OpenStack shares, and the order of names."""

from __future__ import annotations

from typing import Final

import os_resource_classes
import os_traits

STANDARD_CLASSES: Final[tuple[str, ...]] = tuple(os_resource_classes.STANDARDS)
STANDARD_TRAITS: Final[tuple[str, ...]] = tuple(os_traits.get_traits())

_CLASSES: Final = {name: rank for rank, name in enumerate(STANDARD_CLASSES)}
_TRAITS: Final = {name: rank for rank, name in enumerate(STANDARD_TRAITS)}


def is_standard_class(name: str) -> bool:
    """Tells whether a resource class is one of the package."""
    return name in _CLASSES


def is_standard_trait(name: str) -> bool:
    """Tells whether a trait is one of the package."""
    return name in _TRAITS


def class_rank(name: str) -> tuple[int, str]:
    """Returns what resource classes are sorted by: the standard ones as their package has them, then the others."""
    return _CLASSES.get(name, len(_CLASSES)), name


def trait_rank(name: str) -> tuple[int, str]:
    """Returns what traits are sorted by: the standard ones as their package has them, then the others."""
    return _TRAITS.get(name, len(_TRAITS)), name
