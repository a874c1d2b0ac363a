"""Addresses of the service: what answers there, and what that has to read for it."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Final, NamedTuple, TypeAlias

from chalicelib.api.calls import Answer, Call
from chalicelib.api.cors import PREFLIGHT
from chalicelib.api.serves import Serves
from chalicelib.protocol.kinds import Kind
from chalicelib.protocol.uris import ListUri, ObjectUri

Endpoint: TypeAlias = Callable[[Call, tuple[str, ...]], Answer]
"""Answers a call, given the ids in its path."""

ANY_METHOD: Final = "*"
"""Stands for all methods, where an endpoint leaves all checks to what it forwards to."""


class Needs(NamedTuple):
    """What an endpoint reads first, so that a batch reads it for all of its requests at once.

    Attributes:
        objects: their addresses.
        lists: of which it needs the clocks.
    """

    objects: Iterable[ObjectUri] = ()
    lists: Iterable[ListUri] = ()


NeedsOf: TypeAlias = Callable[[Call, tuple[str, ...]], Needs]
"""Tells what a call needs, given the ids in its path."""


def needs_nothing(_call: Call, _ids: tuple[str, ...]) -> Needs:
    """For endpoints that read nothing, or only what no other request of a batch does."""
    return Needs()


@dataclass(frozen=True, slots=True)
class Route:
    """An address, and what answers there.

    Attributes:
        pattern: the path, with `{name}` for a segment that is an id, and `{name+}` for any text.
        serves: what is there.
        endpoints: by method, or under ANY_METHOD.
        kind: of the object there, or of those in the list; None for the service itself.
        has_preflight: whether browsers may ask what scripts may send.
        needs: what a call there reads first.
        asks_who: whether it matters who asks; else no policy is asked, nor can one be missed.
    """

    pattern: str
    serves: Serves
    endpoints: Mapping[str, Endpoint]
    kind: Kind | None = None
    has_preflight: bool = True
    needs: NeedsOf = needs_nothing
    asks_who: bool = True

    @property
    def methods(self) -> tuple[str, ...]:
        """All that may be asked there."""
        return (*self.endpoints, *((PREFLIGHT,) if self.has_preflight else ()))

    @property
    def takes_all(self) -> bool:
        """Whether all checks are left to the endpoint, or to what it forwards to."""
        return ANY_METHOD in self.endpoints

    @property
    def expression(self) -> re.Pattern[str]:
        """Matches the paths of this route; its groups are the ids."""
        parts = re.split(r"(\{\w+\+?\})", self.pattern)
        texts = [re.escape(text) for text in parts[::2]]
        ids = ["(.*)" if name.endswith("+}") else "([^/]+)" for name in parts[1::2]]
        return re.compile("".join(chain(*zip(texts, [*ids, ""], strict=True))), re.DOTALL)


class Match(NamedTuple):
    """Where a request leads.

    Attributes:
        route: the address.
        ids: those in the path.
    """

    route: Route
    ids: tuple[str, ...]
