"""The values of a statement: constants, parameters, and lists, maps and sets made of them.

Every value that a statement uses gets a placeholder, as if it had come in ExpressionAttributeValues, so that conditions
and updates are the same trees as those of expressions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tenet.tables.errors import ValidationException
from tenet.tables.rules.attributes import check_value
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


def check_parameters(parameters: SequenceOf[Any], count: int) -> None:
    """Checks the parameters of a statement and makes them canonical in place.

    Args:
        parameters: as parsed.
        count: how many the statement has.

    Raises:
        SerializationException: a value is not of the JSON type that its member asks for.
        ValidationException: there are too few, or a value breaks a rule of its type.
    """
    if len(parameters) < count:
        raise ValidationException("Number of parameters in request and statement don't match.")
    for parameter in parameters:
        check_value(parameter)


def is_value(tree: Expression) -> bool:
    """Whether an expression is a value that does not depend on an item."""
    return isinstance(tree, Constant | Parameter | Tuple) or (isinstance(tree, Sequence) and tree.kind != "values")


def build(
    tree: Expression, parameters: SequenceOf[AttributeValue] | None, under: str = "root", *, is_within: bool = False
) -> AttributeValue:
    """Returns the value of an expression; what is new of it is not checked yet.

    Args:
        tree: the expression.
        parameters: of the request, canonical; None where none may stand.
        under: where in the value it stands, for errors.
        is_within: whether that is in a list or a map.

    Raises:
        ValidationException: it is none.
    """
    match tree:
        case Constant():
            return tree.value
        case Parameter() if parameters is not None:
            return parameters[tree.index]
        case Sequence(kind="bag"):
            return _set(tree, parameters)
        case Sequence():
            elements = enumerate(tree.elements)
            return {"L": [build(part, parameters, f"{under}.{at}", is_within=True) for at, part in elements]}
        case Tuple():
            return {"M": members(tree, parameters, under, is_within=True)}
    name = _NAMES_WITHIN[type(tree)] if is_within else _own_name(tree)
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


def members(
    tree: Tuple, parameters: SequenceOf[AttributeValue] | None, under: str = "root", *, is_within: bool = False
) -> dict[str, AttributeValue]:
    """Returns the members of a map, by itself those of an item; arguments and errors as for `build`."""
    found: dict[str, AttributeValue] = {}
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
        found[name] = build(value, parameters, f"{under}.{name}" if is_within else under, is_within=is_within)
    return found


def _set(tree: Sequence, parameters: SequenceOf[AttributeValue] | None) -> AttributeValue:
    elements: list[AttributeValue] = []
    for part in tree.elements:
        if not (isinstance(part, Constant) or (isinstance(part, Parameter) and parameters is not None)):
            raise ValidationException(f"{_BAG} at {part.at}")
        elements.append(build(part, parameters))
    if not elements:
        raise ValidationException(f"Empty bags are not supported at {tree.at}")
    kinds = {kind for element in elements for kind in element}
    kind = _SET_KINDS.get(next(iter(kinds))) if len(kinds) == 1 else None
    if kind is None:
        raise ValidationException(_BAG)
    return {kind: [content for element in elements for content in element.values()]}


def _has_parameter(tree: Expression) -> bool:
    if isinstance(tree, Sequence):
        return any(map(_has_parameter, tree.elements))
    if isinstance(tree, Tuple):
        return any(_has_parameter(value) for _, value in tree.members)
    return isinstance(tree, Parameter)


class Values:
    """Gives the values and the unusual names of a statement their placeholders."""

    __slots__ = ("_built", "_names", "_trees")

    def __init__(self) -> None:
        #: Those that are the same for every request.
        self._built: dict[str, AttributeValue] = {}
        self._trees: dict[str, Expression] = {}
        self._names: dict[str, str] = {}

    def name(self, tree: Expression) -> ValueName:
        """Returns the placeholder of a value.

        Raises:
            ValidationException: it is none.
        """
        placeholder = f":{len(self._built) + len(self._trees)}"
        if _has_parameter(tree):
            self._trees[placeholder] = tree
        else:
            self._built[placeholder] = _checked(tree, ())
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
        """Returns names and values for a request with these parameters, which are checked.

        Raises:
            ValidationException: a value breaks a rule of its type.
        """
        bindings = self.named()
        if self._trees:
            made = {name: _made(tree, parameters) for name, tree in self._trees.items()}
            bindings.values = {**self._built, **made}
        else:
            bindings.values = self._built
        return bindings


def _made(tree: Expression, parameters: SequenceOf[AttributeValue]) -> AttributeValue:
    return parameters[tree.index] if isinstance(tree, Parameter) else _checked(tree, parameters)


def _checked(tree: Expression, parameters: SequenceOf[AttributeValue]) -> AttributeValue:
    value = build(tree, parameters)
    check_value(value)
    return value
