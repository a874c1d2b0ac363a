"""A schema as a graph: references resolved, patterns compiled, what has no effect left out.

Rule: spec, "Schema", sections 2 and 3, and "Better than Kinto" 5.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final
from urllib.parse import unquote

from chalicelib.protocol.messages import JsonObject

METASCHEMA: Final = "http://json-schema.org/draft-04/schema"
"""The one address that is known without being fetched."""

MAX_PATTERN_NODES: Final = 10_000
"""What the patterns of a schema may come to: 10 MB, and a tenth of a second to compile."""

Node = dict[str, Any]
"""A schema of which only the keywords that mean something are left. In the place of schemas it
has nodes, under `$ref` its target as well: a graph may have circles."""

_SCHEMAS: Final = frozenset(
    ("additionalItems", "additionalProperties", "allOf", "anyOf", "items", "not", "oneOf")
)
_MAPS_OF_SCHEMAS: Final = frozenset(
    ("definitions", "dependencies", "patternProperties", "properties")
)
_PLAIN: Final = frozenset(
    (
        "exclusiveMaximum",
        "exclusiveMinimum",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "multipleOf",
        "required",
        "type",
        "uniqueItems",
    )
)
_COUNT = re.compile(r"(\))?\{(\d{1,10})")
_VERBOSE = re.compile(r"(?<!\\)(?:\\\\)*\(\?[A-Za-z0-9-]*x")
_INDEX = re.compile("0|[1-9][0-9]{0,9}")


class SchemaError(Exception):
    """What is wrong with a schema, in one line."""


class Choices:
    """The values of an `enum`, found by their texts."""

    def __init__(self, values: list[Any]) -> None:
        """Take the values as the schema has them."""
        self.values = values
        self._texts = frozenset(map(canonical, values))

    def __contains__(self, value: object) -> bool:
        """Whether it is one of them, where `true` is not 1 but 1.0 is."""
        return canonical(value) in self._texts


def canonical(value: Any) -> str:
    """A text that equal JSON values have in common, and no others.

    Strings because their hashes can't be foreseen: integers can be made to collide.
    """
    if isinstance(value, dict):
        names = sorted(value)
        texts = map(canonical, map(value.__getitem__, names))
        return "{" + ",".join(map("{!r}:{}".format, names, texts)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, float) and value.is_integer():
        return repr(int(value))
    return repr(value)


def graph_of(schema: JsonObject, require_valid: Callable[[JsonObject], None]) -> Node:
    """The graph of a schema that is valid by the metaschema.

    Args:
        schema: stays as it is, and must.
        require_valid: raises SchemaError for a target of a reference that is no valid schema: one
            that is no part of the schema as such is checked here for the first time.

    Raises:
        SchemaError: a pattern doesn't compile or is too large; a reference leads nowhere, to
            another document or in a circle.
    """
    return _Graph(require_valid).of(schema)


class _Graph:
    """The nodes of a schema, as they are made."""

    def __init__(self, require_valid: Callable[[JsonObject], None]) -> None:
        self._require_valid = require_valid
        self._nodes: dict[int, Node] = {}
        self._waiting: list[tuple[JsonObject, JsonObject]] = []
        self._references: list[tuple[Node, Any, JsonObject]] = []
        self._pattern_nodes = 0

    def of(self, document: JsonObject) -> Node:
        root: Node = self._part(document, document)
        while self._waiting or self._references:
            while self._waiting:
                self._fill(*self._waiting.pop())
            # Only now is known which targets are parts of the schema anyway.
            if self._references:
                self._follow(*self._references.pop())
        _require_no_circle(self._nodes)
        return root

    def _part(self, value: Any, document: JsonObject) -> Any:
        """The node of a schema, to be filled; nodes for a list of them; anything else as it is."""
        if isinstance(value, list):
            return [self._part(each, document) for each in value]
        if not isinstance(value, dict):
            return value
        if id(value) not in self._nodes:
            self._nodes[id(value)] = {}
            self._waiting.append((value, document))
        return self._nodes[id(value)]

    def _fill(self, schema: JsonObject, document: JsonObject) -> None:
        node = self._nodes[id(schema)]
        keywords = dict(self._keywords(schema, document))
        if "$ref" in schema:
            self._references.append((node, schema["$ref"], document))
        else:
            node.update(keywords)

    def _keywords(self, schema: JsonObject, document: JsonObject) -> Iterator[tuple[str, Any]]:
        for keyword, value in schema.items():
            if keyword in _SCHEMAS:
                yield keyword, self._part(value, document)
            elif keyword in _MAPS_OF_SCHEMAS:
                parts = {name: self._part(part, document) for name, part in value.items()}
                if keyword == "patternProperties":
                    yield keyword, [(self._pattern(name), part) for name, part in parts.items()]
                elif keyword != "definitions":
                    yield keyword, parts
            elif keyword == "pattern":
                yield keyword, self._pattern(value)
            elif keyword == "enum":
                yield keyword, Choices(value)
            elif keyword in _PLAIN:
                yield keyword, value

    def _pattern(self, text: str) -> Any:
        self._pattern_nodes += nodes_of_pattern(text)
        if self._pattern_nodes > MAX_PATTERN_NODES:
            raise SchemaError(f"the pattern {text[:100]!r} is too large")
        return _compiled(text)

    def _follow(self, node: Node, reference: Any, document: JsonObject) -> None:
        found = _target(reference, document)
        if found is None or not isinstance(found[0], dict):
            raise SchemaError(f"the reference {reference!r:.200} leads to no schema in here")
        target, its_document = found
        if id(target) not in self._nodes:
            self._require_valid(target)
        node["$ref"] = self._part(target, its_document)


def nodes_of_pattern(pattern: str) -> int:
    """At least as many nodes as the regex library makes of a pattern.

    It copies what has to occur several times, so that nested groups multiply: a few characters
    could take all memory. This looks at no more than which counts follow a group.

    Raises:
        SchemaError: the pattern would have blanks and comments ignored, also within counts.
    """
    if _VERBOSE.search(pattern):
        raise SchemaError(f"the pattern {pattern[:100]!r} has the flag x")
    nodes, factor = len(pattern), 1
    for group_end, count in _COUNT.findall(pattern):
        if group_end:
            factor = min(factor * max(int(count), 1), MAX_PATTERN_NODES + 1)
        else:
            nodes += int(count)
    return nodes * factor


def _compiled(pattern: str) -> Any:
    import regex  # not before it is needed: the service starts without

    try:
        return regex.compile(pattern, regex.VERSION0, cache_pattern=False)
    except Exception as error:  # its own, and many that its parser runs into
        raise SchemaError(f"the pattern {pattern[:100]!r} is invalid: {error}"[:300]) from error


@lru_cache(maxsize=1)
def metaschema() -> JsonObject:
    """The schema of draft 4 that schemas must fit."""
    from jsonschema import Draft4Validator  # not before it is needed: the service starts without

    return dict(Draft4Validator.META_SCHEMA)


def _target(reference: Any, document: JsonObject) -> tuple[Any, JsonObject] | None:
    """What a reference leads to, and the document that this is in; None where it leads nowhere.

    An `id` below the root changes nothing: what a reference leads to doesn't depend on where it
    stands.
    """
    if not isinstance(reference, str):
        return None
    base, _, fragment = reference.partition("#")
    if base not in ("", str(document.get("id", "")).partition("#")[0]):
        if base != METASCHEMA:
            return None
        document = metaschema()
    try:
        pointer = unquote(fragment, errors="strict")
    except UnicodeDecodeError:
        return None
    value: Any = document
    root, *segments = pointer.split("/")
    if root:
        return None
    for segment in segments:
        try:
            value = _entry(value, segment.replace("~1", "/").replace("~0", "~"))
        except LookupError:
            return None
    return value, document


def _entry(value: Any, name: str) -> Any:
    """The entry of an object or a list that a pointer names.

    Raises:
        LookupError: there is none.
    """
    if isinstance(value, dict):
        return value[name]
    if isinstance(value, list) and _INDEX.fullmatch(name):
        return value[int(name)]
    raise LookupError(name)


def _require_no_circle(nodes: Mapping[int, Node]) -> None:
    """Refuse schemas that would ask about the same value without end."""
    applied = {id(node): [id(other) for other in _applied(node)] for node in nodes.values()}
    try:
        TopologicalSorter(applied).prepare()
    except CycleError as error:
        raise SchemaError("a reference leads back to itself in a circle") from error


def _applied(node: Node) -> Iterator[Node]:
    """The nodes that are asked about the same value as this one."""
    for keyword in ("$ref", "not"):
        if keyword in node:
            yield node[keyword]
    for keyword in ("allOf", "anyOf", "oneOf"):
        yield from node.get(keyword, ())
    for dependency in node.get("dependencies", {}).values():
        if isinstance(dependency, dict):
            yield dependency
