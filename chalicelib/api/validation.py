"""Records against the schema of their collection. Rule: spec, "Schema", sections 3 and 4."""

import time

from chalicelib.api.calls import Call
from chalicelib.protocol.kinds import RECORD
from chalicelib.protocol.messages import JsonObject
from chalicelib.protocol.stored import StoredObject
from chalicelib.protocol.uris import ListUri


def validated(call: Call, uri: ListUri, data: JsonObject, *, id: str | None) -> JsonObject:
    """An object as it is stored in this list: a record with the version of its schema.

    Args:
        call: has loaded the collection.
        uri: of the list.
        data: as it would be stored otherwise.
        id: of the object; None where it wasn't given.

    Raises:
        ProtocolError: INVALID_PARAMETERS with what doesn't fit.
    """
    if uri.kind is not RECORD or not call.settings.experimental_collection_schema_validation:
        return data
    collection = None if uri.parent is None else call.unit.find(uri.parent)
    if not isinstance(collection, StoredObject) or not collection.data.get("schema"):
        return data
    from chalicelib.protocol.schemas import require_fit  # few services have schemas

    require_fit(collection.data["schema"], data, id=id, clock=time.monotonic)
    return {**data, "schema": collection.last_modified}
