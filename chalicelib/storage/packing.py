"""Values in parts, each of which one call takes."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def packed(
    values: Iterable[T], *, size: Callable[[T], int], most: int, count: int | None = None
) -> Iterator[list[T]]:
    """The values in their order, in parts as large as may be.

    Args:
        values: each alone no larger than a part may be.
        size: of a value.
        most: the sizes of a part come to no more.
        count: the most values of a part; None for any number.
    """
    part: list[T] = []
    total = 0
    for value in values:
        value_size = size(value)
        if part and (total + value_size > most or len(part) == count):
            yield part
            part, total = [], 0
        part.append(value)
        total += value_size
    if part:
        yield part
