"""`_fields`: the parts of an object that an answer shows. Rule: spec, "Lists", section 7."""

from typing import Any

from chalicelib.protocol.errors import Problem, invalid
from chalicelib.protocol.kinds import Kind
from chalicelib.protocol.messages import JsonObject


class FieldTree(dict[str, "FieldTree | None"]):
    """What is wanted of an object: by name, the wanted part of its value; None for the whole."""


_ALWAYS = ("id", "last_modified")


def parse_fields(text: str, kind: Kind) -> FieldTree | None:
    """The wanted fields; None where the parameter is empty.

    Raises:
        ProtocolError: INVALID_PARAMETERS for a field that objects of this kind can't have.
    """
    paths = [[part for part in path.split(".") if part] for path in text.split(",")]
    paths = [path for path in paths if path]
    if not paths:
        return None
    if kind.properties is not None:
        unknown = {path[0] for path in paths if not kind.lists_field(path[0])}
        if unknown:
            description = f"Fields {','.join(sorted(unknown))} do not exist"
            raise invalid([Problem("body", "Invalid _fields parameter", description)])
    tree = FieldTree(dict.fromkeys(_ALWAYS))
    for path in paths:
        _add(tree, path)
    return tree


def _add(tree: FieldTree, path: list[str]) -> None:
    *objects, last = path
    for name in objects:
        below = tree.setdefault(name, FieldTree())
        if below is None:  # the whole of it is wanted already
            return
        tree = below
    tree[last] = None


def select(data: JsonObject, tree: FieldTree) -> JsonObject:
    """The wanted part of an object; what is no object is taken whole.

    Without recursion, as a client chooses how deep both are.
    """
    selected: JsonObject = {}
    waiting = [(data, tree, selected)]
    while waiting:
        whole, wanted, part = waiting.pop()
        for name, below in wanted.items():
            if name not in whole:
                continue
            value: Any = whole[name]
            if below is not None and isinstance(value, dict):
                part[name] = {}
                waiting.append((value, below, part[name]))
            else:
                part[name] = value
    return selected
