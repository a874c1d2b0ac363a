"""The keywords of draft 4 over a schema's graph, with bounded work.

`jsonschema` evaluates; what it doesn't do as the spec wants is done here. Rule: spec, "Schema",
sections 3 and 5, and "Better than Kinto" 8 and 9.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final

from chalicelib.protocol.messages import JsonObject
from chalicelib.protocol.schema_graphs import Choices, Node, canonical

MAX_STEPS: Final = 500_000
"""Of one evaluation: a keyword applied takes two, and a search one."""

MAX_SECONDS: Final = 2.0
"""The time that one evaluation may take."""

MAX_SEARCH_SECONDS: Final = 0.25
"""The time that one search may take; a pattern that recurs takes 100 MB in it."""

SERVER_FIELDS: Final = ("id", "last_modified", "schema")
"""What the server sets in a record: the schema sees of them no more than section 3 says."""


class ExhaustedError(Exception):
    """An evaluation went beyond its bounds."""


@dataclass(slots=True)
class Evaluation:
    """One evaluation of a schema, on its way.

    Attributes:
        clock: seconds that only grow.
        ends_at: what the clock may show.
        record: the record without the server's fields; None where no record is evaluated.
        named: the record as `properties` see it: with its id, if that is known.
        steps: what is left.
    """

    clock: Callable[[], float]
    ends_at: float
    record: JsonObject | None = None
    named: JsonObject | None = None
    steps: int = MAX_STEPS

    def charge(self, steps: int) -> None:
        """Take note of some work.

        Raises:
            ExhaustedError: it was too much, or took too long.
        """
        self.steps -= steps
        if self.steps < 0 or self.clock() > self.ends_at:
            raise ExhaustedError

    def finds(self, pattern: Any, text: str) -> bool:
        """Whether a pattern occurs in a text.

        Raises:
            ExhaustedError: finding out takes too long.
        """
        self.charge(1)
        try:
            return pattern.search(text, timeout=MAX_SEARCH_SECONDS) is not None
        except (TimeoutError, MemoryError) as error:
            raise ExhaustedError from error


_EVALUATION: ContextVar[Evaluation] = ContextVar("_EVALUATION")


@contextmanager
def evaluating(evaluation: Evaluation) -> Iterator[None]:
    """Let the keywords take part in this evaluation; `jsonschema` has no place to hand it on."""
    token = _EVALUATION.set(evaluation)
    try:
        yield
    finally:
        _EVALUATION.reset(token)


def first_error(graph: Node, instance: Any) -> Any:
    """The first ValidationError, in the order of the keywords; None where there is none.

    Raises:
        ExhaustedError: it took too much.
        RecursionError: it is nested too deep.
    """
    return next(_validator_class()(graph).iter_errors(instance), None)


@lru_cache(maxsize=1)
def _validator_class() -> Any:
    """Draft4Validator with the keywords below."""
    # Not before it is needed: the service starts without.
    from jsonschema import Draft4Validator, validators

    keywords = {name: rule for name, rule in Draft4Validator.VALIDATORS.items() if name != "format"}
    return validators.create(
        meta_schema={},
        validators=keywords | _KEYWORDS,
        type_checker=Draft4Validator.TYPE_CHECKER,
        id_of=lambda _schema: "",  # references are resolved already
        applicable_validators=_charged,
    )


def _charged(node: Any) -> Any:
    """The keywords of a node; each time that one is applied comes by here."""
    _EVALUATION.get().charge(1 + len(node))
    return node.items()


class FieldError(Exception):
    """The cause of an error that is about a field of the object that failed; holds its name."""


def _error(message: str, name: str | None = None) -> Any:
    """An error, and the field that it is about where no path leads to one."""
    from jsonschema import ValidationError  # imported long ago, by what calls this

    return ValidationError(message, cause=None if name is None else FieldError(name))


def _ref(validator: Any, target: Node, instance: Any, _node: Node) -> Iterator[Any]:
    yield from validator.descend(instance, target)


def _properties(
    validator: Any, properties: dict[str, Node], instance: Any, _node: Node
) -> Iterator[Any]:
    if not isinstance(instance, dict):
        return
    evaluation = _EVALUATION.get()
    if instance is evaluation.record and evaluation.named is not None:
        instance = evaluation.named
    for name, node in properties.items():
        if name in instance:
            yield from validator.descend(instance[name], node, path=name)


def _pattern_properties(
    validator: Any, patterns: list[tuple[Any, Node]], instance: Any, _node: Node
) -> Iterator[Any]:
    if not isinstance(instance, dict):
        return
    evaluation = _EVALUATION.get()
    for pattern, node in patterns:
        for name, value in instance.items():
            if evaluation.finds(pattern, name):
                yield from validator.descend(value, node, path=name)


def _additional_properties(
    validator: Any, additional: Node | bool, instance: Any, node: Node
) -> Iterator[Any]:
    if not isinstance(instance, dict) or additional is True:
        return
    evaluation = _EVALUATION.get()
    known = node.get("properties", {})
    patterns = [pattern for pattern, _part in node.get("patternProperties", ())]
    for name, value in instance.items():
        if name in known or any(evaluation.finds(pattern, name) for pattern in patterns):
            continue
        if additional is False:
            yield _error(f"Additional properties are not allowed ({name!r} was unexpected)", name)
        else:
            yield from validator.descend(value, additional, path=name)


def _has(instance: JsonObject, name: str) -> bool:
    """Whether an object has a property, or will have it from the server."""
    return name in instance or (name in SERVER_FIELDS and instance is _EVALUATION.get().record)


def _required(_validator: Any, required: list[str], instance: Any, _node: Node) -> Iterator[Any]:
    if isinstance(instance, dict):
        for name in required:
            if not _has(instance, name):
                yield _error(f"{name!r} is a required property", name)


def _dependencies(
    validator: Any, dependencies: dict[str, Node | list[str]], instance: Any, _node: Node
) -> Iterator[Any]:
    if not isinstance(instance, dict):
        return
    for name, dependency in dependencies.items():
        if name not in instance:
            continue
        if isinstance(dependency, dict):
            yield from validator.descend(instance, dependency)
            continue
        for other in dependency:
            if not _has(instance, other):
                yield _error(f"{other!r} is a dependency of {name!r}", other)


def _is_valid(validator: Any, node: Node, instance: Any) -> bool:
    return next(validator.descend(instance, node), None) is None


def _any_of(validator: Any, nodes: list[Node], instance: Any, _node: Node) -> Iterator[Any]:
    if not any(_is_valid(validator, node, instance) for node in nodes):
        yield _error(f"{instance!r} is not valid under any of the given schemas")


def _one_of(validator: Any, nodes: list[Node], instance: Any, _node: Node) -> Iterator[Any]:
    count = sum(_is_valid(validator, node, instance) for node in nodes)
    if count == 0:
        yield _error(f"{instance!r} is not valid under any of the given schemas")
    elif count > 1:
        yield _error(f"{instance!r} is valid under {count} of the given schemas, not under one")


def _not(validator: Any, node: Node, instance: Any, _node: Node) -> Iterator[Any]:
    if _is_valid(validator, node, instance):
        yield _error(f"{instance!r} is valid under the schema that is not allowed")


def _enum(_validator: Any, choices: Choices, instance: Any, _node: Node) -> Iterator[Any]:
    if instance not in choices:
        yield _error(f"{instance!r} is not one of {choices.values!r}")


def _unique_items(_validator: Any, unique: bool, instance: Any, _node: Node) -> Iterator[Any]:
    if not unique or not isinstance(instance, list):
        return
    if len(set(map(canonical, instance))) < len(instance):
        yield _error(f"{instance!r} has non-unique elements")


def _multiple_of(validator: Any, divisor: float, instance: Any, _node: Node) -> Iterator[Any]:
    # By their decimal texts: as doubles, 0.07 is no multiple of 0.01.
    if validator.is_type(instance, "number") and Fraction(str(instance)) % Fraction(str(divisor)):
        yield _error(f"{instance!r} is not a multiple of {divisor!r}")


def _pattern(_validator: Any, pattern: Any, instance: Any, _node: Node) -> Iterator[Any]:
    if isinstance(instance, str) and not _EVALUATION.get().finds(pattern, instance):
        yield _error(f"{instance!r} does not match {pattern.pattern!r}")


_KEYWORDS: Final[dict[str, Any]] = {
    "$ref": _ref,
    "additionalProperties": _additional_properties,
    "anyOf": _any_of,
    "dependencies": _dependencies,
    "enum": _enum,
    "multipleOf": _multiple_of,
    "not": _not,
    "oneOf": _one_of,
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "properties": _properties,
    "required": _required,
    "uniqueItems": _unique_items,
}
