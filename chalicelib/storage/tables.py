"""The names of tables, indexes and attributes.

What a table is made of beside its names is in the CloudFormation template of `infra/`.
"""

from typing import NamedTuple

BY_LAST_MODIFIED = "by_last_modified"
"""Index of `objects` over live objects: range key `live`; projects `body` and `version`."""

BY_DELETION = "by_deletion"
"""Index of `objects` over tombstones: range key `dead`; projects `version`."""

RANGE_KEYS = {BY_LAST_MODIFIED: "live", BY_DELETION: "dead"}
"""The range key of each index; an item has one of them."""


class Tables(NamedTuple):
    """The names of the two tables of a stage."""

    objects: str
    access: str

    @classmethod
    def of_stage(cls, stage: str) -> "Tables":
        """The names that the template gives them."""
        return cls(f"kinto-{stage}-objects", f"kinto-{stage}-access")
