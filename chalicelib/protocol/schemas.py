"""A collection's JSON schema: whether it is one, and whether a record fits it.

Draft 4, whatever a schema says of itself. Rule: spec, "Schema", sections 2, 3 and 5.
"""

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from chalicelib.protocol.errors import Problem, invalid
from chalicelib.protocol.messages import JsonObject
from chalicelib.protocol.schema_graphs import Node, SchemaError, graph_of, metaschema
from chalicelib.protocol.schema_keywords import (
    MAX_SECONDS,
    SERVER_FIELDS,
    Evaluation,
    ExhaustedError,
    FieldError,
    evaluating,
    first_error,
)

MAX_SCHEMA_CHARACTERS: Final = 200_000
"""The JSON text of a schema."""

MAX_DESCRIPTION: Final = 1_000
"""Characters of a description: they quote what the client sent."""

_CACHED: Final = 8


def schema_fault(schema: JsonObject) -> str | None:
    """What is wrong with the `schema` of a collection; None where it is a valid one.

    Rule: spec, "Schema", section 2, and "Better than Kinto" 5 and 9.
    """
    try:
        _graph(schema)
    except SchemaError as error:
        return str(error)
    return None


def require_fit(
    schema: Any, data: JsonObject, *, id: str | None, clock: Callable[[], float]
) -> None:
    """Go on only with a record that fits the schema of its collection.

    Args:
        schema: as it is stored.
        data: the record as it is about to be stored; what it says of the server's fields is
            passed over.
        id: of the record; None where that isn't known yet.
        clock: seconds that only grow.

    Raises:
        ProtocolError: INVALID_PARAMETERS with the first thing that is wrong, in the order of the
            keywords. Rule: spec, "Schema", section 5.
    """
    record = {name: value for name, value in data.items() if name not in SERVER_FIELDS}
    named = record if id is None else {**record, "id": id}
    evaluation = Evaluation(clock, clock() + MAX_SECONDS, record, named)
    try:
        with evaluating(evaluation):
            error = first_error(_graph(schema), record)
    except SchemaError as fault:  # of a schema that was stored before schemas were checked
        description = f"The schema of the collection is invalid: {fault}"
        raise invalid([Problem("body", "schema", description)]) from fault
    except (ExhaustedError, RecursionError) as exhausted:
        description = "Validation by the schema of the collection takes too much time or depth"
        raise invalid([Problem("body", "data", description)]) from exhausted
    if error is not None:
        raise invalid([Problem("body", _name_of(error), error.message[:MAX_DESCRIPTION])])


def _name_of(error: Any) -> str:
    """The innermost field on the way to what failed; if that is the record, a part of it."""
    fields = [part for part in error.absolute_path if isinstance(part, str)]
    if fields:
        return fields[-1]
    return str(error.cause if isinstance(error.cause, FieldError) else error.validator)


def _graph(schema: Any) -> Node:
    """The graph of a schema, made once for each text.

    Raises:
        SchemaError: it is no schema, or a too large one.
    """
    try:
        text = json.dumps(schema, ensure_ascii=False)
        if len(text) > MAX_SCHEMA_CHARACTERS:
            raise SchemaError(f"longer than {MAX_SCHEMA_CHARACTERS} characters of JSON")
        return _graph_of_text(text)
    except (ExhaustedError, RecursionError) as error:
        raise SchemaError("too large or nested too deep") from error


@lru_cache(maxsize=_CACHED)
def _graph_of_text(text: str) -> Node:
    """From the text, so that nobody else holds the schema that the graph is made of.

    The order of the names counts: it decides which of several errors is told.
    """
    schema = json.loads(text)
    # Without a clock: nothing in the metaschema takes long, so counting is enough.
    with evaluating(Evaluation(lambda: 0.0, 0.0)):
        _require_schema(schema)
        return graph_of(schema, _require_schema)


def _require_schema(schema: Any) -> None:
    """Refuse what is not valid by the metaschema.

    Raises:
        SchemaError: with what is wrong first, and where.
    """
    error = first_error(_metaschema_graph(), schema)
    if error is not None:
        where = "".join(f"{part}: " for part in list(error.absolute_path)[-1:])
        raise SchemaError(f"{where[:200]}{error.message}"[:MAX_DESCRIPTION])


@lru_cache(maxsize=1)
def _metaschema_graph() -> Node:
    return graph_of(metaschema(), lambda _target: None)
