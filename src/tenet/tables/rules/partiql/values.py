"""The values of a statement: constants, parameters, and lists, maps and sets made of them.

Every value that a statement uses gets a placeholder, as if it had come in ExpressionAttributeValues, so that conditions
and updates are the same trees as those of expressions.

Texts, and that a parameter is no part of a literal, as captured from the service on 2026-09-17 (in the tests of the
emulator floci, floci-io/floci#3798).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tenet.tables.errors import ValidationException
from tenet.tables.rules.attributes import LEVELS_MAX, check_value, invalid_parameter
from tenet.tables.rules.bindings import Bindings
from tenet.tables.rules.partiql.tree import Apply, Call, Constant, Is, Missing, Name, Parameter, Sequence, Tuple
from tenet.tables.rules.syntax_tree import Path, ValueName

if TYPE_CHECKING:
    from collections.abc import Sequence as SequenceOf

    from tenet.tables.model import AttributeValue
    from tenet.tables.rules.partiql.tree import Expression

#: What is no value, as errors call it: by itself, and within a list or a map.
_TYPE_NAMES: Final[dict[type, str]] = {
    Name: "VariableReference",
    Missing: "MISSING",
    Apply: "NAry",
    Call: "NAry",
    Is: "Typed",
    Parameter: "Parameter",
}
_NAMES_WITHIN: Final = {**_TYPE_NAMES, Missing: "LiteralMissing"}
_PATH: Final = "PATH"
_BAG: Final = "Unsupported data type in Bag. DynamoDB only supports either numbers or strings in bags"
_SET_KINDS: Final = {"S": "SS", "N": "NS", "B": "BS"}


def check_parameters(parameters: SequenceOf[Any]) -> None:
    """Checks the parameters of a statement and makes them canonical in place.

    Args:
        parameters: as parsed.

    Raises:
        SerializationException: a value is not of the JSON type that its member asks for.
        ValidationException: a value breaks a rule of its type.
    """
    for parameter in parameters:
        check_value(parameter)


def check_count(parameters: SequenceOf[Any], count: int) -> None:
    """Checks that a statement with so many parameters is given as many.

    Raises:
        ValidationException: there are too few.
    """
    if len(parameters) < count:
        raise ValidationException("Number of parameters in request and statement don't match.")


def build(tree: Expression, under: str = "root", *, level: int = 0) -> AttributeValue:
    """Returns the value of an expression that has no parameter; what is new of it is not checked yet.

    Args:
        tree: the expression.
        under: where in the value it stands, for errors.
        level: in how many lists and maps that is.

    Raises:
        ValidationException: it is none, or lies too deep.
    """
    if level >= LEVELS_MAX:
        raise ValidationException(f"Nesting Levels have exceeded supported limits under {under}")
    match tree:
        case Constant():
            return tree.value
        case Sequence(kind="bag"):
            return _set(tree, under)
        case Sequence():
            parts = enumerate(tree.elements)
            return {"L": [build(part, f"{under}[{at}]", level=level + 1) for at, part in parts]}
        case Tuple():
            return {"M": _members(tree, under, level + 1)}
    name = _NAMES_WITHIN[type(tree)] if level else _own_name(tree)
    at = "" if name == _PATH else f" at {tree.at}"
    raise ValidationException(f"Unsupported data type: {name} under key {under}{at}")


def _own_name(tree: Expression) -> str:
    """Returns how errors call what stands for a value by itself and is none."""
    match tree:
        case Name():
            return str(tree.path[0]) if len(tree.path) == 1 else _PATH
        case Apply():
            return tree.operator
        case Call():
            return tree.function
        case Is():
            return "is"
    return _TYPE_NAMES[type(tree)]


def attributes_of(tree: Tuple, parameters: SequenceOf[AttributeValue]) -> dict[str, AttributeValue]:
    """Returns the attributes of an item, each of which may be a parameter.

    Args:
        tree: the item.
        parameters: of the request, canonical.

    Raises:
        ValidationException: an attribute has no value, or lies too deep.
    """
    parts = _parts(tree, "root", is_within=False)
    return {
        name: parameters[value.index] if isinstance(value, Parameter) else build(value) for name, value in parts.items()
    }


def _members(tree: Tuple, under: str, level: int) -> dict[str, AttributeValue]:
    parts = _parts(tree, under, is_within=True)
    return {name: build(value, f"{under}.{name}", level=level) for name, value in parts.items()}


def _parts(tree: Tuple, under: str, *, is_within: bool) -> dict[str, Expression]:
    """Returns the values of a map, or of an item, by their names."""
    found: dict[str, Expression] = {}
    for key, value in tree.members:
        if not isinstance(key, Constant) or "S" not in key.value:
            actual = "Literal" if isinstance(key, Constant) else _TYPE_NAMES.get(type(key), "Call")
            raise ValidationException(
                f"Tuple keys must be of type String. Actual type: {actual} under {under} at {key.at}"
            )
        name = key.value["S"]
        if name in found:
            at = tree.at if is_within else key.at
            raise ValidationException(f"Duplicate keys in tuple. Key: {name} under {under} at {at}")
        found[name] = value
    return found


def _set(tree: Sequence, under: str) -> AttributeValue:
    elements: list[Constant] = []
    for part in tree.elements:
        if not isinstance(part, Constant):
            raise ValidationException(f"{_BAG} at {part.at}")
        elements.append(part)
    if not elements:
        raise ValidationException(f"Empty bags are not supported at {tree.at}")
    kinds = {kind for element in elements for kind in element.value}
    kind = _SET_KINDS.get(next(iter(kinds))) if len(kinds) == 1 else None
    if kind is None:
        raise ValidationException(_BAG)
    contents = [content for element in elements for content in element.value.values()]
    if kind == "NS" and len(set(contents)) < len(contents):
        texts = ", ".join(element.text for element in elements)
        invalid_parameter(f"Input collection [{texts}] contains duplicates! under {under}")
    return {kind: contents}


class Values:
    """Gives the values and the unusual names of a statement their placeholders."""

    __slots__ = ("_built", "_indexes", "_names")

    def __init__(self) -> None:
        #: Those that are the same for every request.
        self._built: dict[str, AttributeValue] = {}
        #: Which parameter of the request the others are.
        self._indexes: dict[str, int] = {}
        self._names: dict[str, str] = {}

    def name(self, tree: Expression) -> ValueName:
        """Returns the placeholder of a value.

        Raises:
            ValidationException: it is none.
        """
        placeholder = f":{len(self._built) + len(self._indexes)}"
        if isinstance(tree, Parameter):
            self._indexes[placeholder] = tree.index
        else:
            value = build(tree)
            check_value(value)
            self._built[placeholder] = value
        return ValueName(placeholder)

    def path(self, tree: Name) -> Path:
        """Returns a path as expressions have it: there, what begins with ``#`` is a placeholder."""
        return Path(tuple(self._element(element) for element in tree.path))

    def _element(self, element: str | int) -> str | int:
        if isinstance(element, int) or element[0] != "#":
            return element
        placeholder = f"#{len(self._names)}"
        self._names[placeholder] = element
        return placeholder

    def is_attribute(self, tree: object, name: str) -> bool:
        """Whether part of a condition is the attribute of that name itself, and not a path into it."""
        return isinstance(tree, Path) and len(tree.elements) == 1 and self._real(tree.elements[0]) == name

    def attribute(self, path: Path) -> str:
        """Returns the attribute that part of a condition is, or leads into."""
        return str(self._real(path.elements[0]))

    def _real(self, element: str | int) -> str | int:
        return self._names.get(element, element) if isinstance(element, str) else element

    def named(self) -> Bindings:
        """Returns the names alone."""
        bindings = Bindings()
        bindings.names = self._names
        return bindings

    def bind(self, parameters: SequenceOf[AttributeValue]) -> Bindings:
        """Returns names and values for a request with these parameters, which are checked."""
        bindings = self.named()
        if self._indexes:
            bindings.values = {**self._built, **{name: parameters[at] for name, at in self._indexes.items()}}
        else:
            bindings.values = self._built
        return bindings
