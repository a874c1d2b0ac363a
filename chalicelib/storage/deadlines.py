"""Until when a request must be answered, and the pauses before its further attempts."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from chalicelib.metrics import Tally
from chalicelib.storage.failures import ConflictError, ThrottledError, UnavailableError

CONNECT_TIMEOUT_S: Final = 1.0
READ_TIMEOUT_S: Final = 3.0
ANSWER_S: Final = 0.3
"""What it takes to answer, once everything is read and decided."""

ATTEMPT_S: Final = CONNECT_TIMEOUT_S + READ_TIMEOUT_S + ANSWER_S
"""What a call may take, and the answer after it: with less left, none is begun."""

_FIRST_PAUSE_S: Final = 0.03
"""About what a transaction takes: whoever collides with one comes back when that is done."""

_EARLY_PAUSE_S: Final = 2.0
_LATE_PAUSE_S: Final = 0.2
_SHORTENED: Final = 0.8


def _longest_pause_s(attempts: int) -> float:
    """The seconds that a pause may take, where so many were made before it.

    They double at first, as nobody knows how many others there are. After some 0.6 s they get
    shorter again, so that those who have waited longest come next: were pauses to grow on, each
    newcomer would be faster than the ones before it.
    """
    growing = _FIRST_PAUSE_S * 2.0 ** min(attempts, 10)
    return min(growing, max(_LATE_PAUSE_S, _EARLY_PAUSE_S * _SHORTENED**attempts))


@dataclass(slots=True)
class Deadline:
    """Until when a request must be answered, and the pauses before its further attempts.

    Attributes:
        remaining_s: the seconds left.
        pause: waits so many seconds.
        jitter: a number from 0 to 1, another one each time.
        because: what the last pause was for.
        tally: what there is to tell of the request, beside its answer.
    """

    remaining_s: Callable[[], float]
    pause: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random
    attempts: int = field(default=0, init=False)
    because: Exception | None = field(default=None, init=False)
    tally: Tally = field(default_factory=Tally, init=False)

    def check(self, *, needed_s: float = ATTEMPT_S, may_repeat: bool = True) -> None:
        """Go on only if a call, and the answer after it, still fit in.

        Args:
            needed_s: the seconds for what comes next, where that is no call.
            may_repeat: whether the client may repeat its request, where it comes to that.

        Raises:
            UnavailableError: they don't.
        """
        if self.remaining_s() < needed_s:
            raise UnavailableError(may_repeat=may_repeat) from self.because

    def wait(self, because: Exception | None = None, *, may_repeat: bool = True) -> None:
        """Pause before another attempt, nobody as long as the other.

        Args:
            because: what makes another attempt necessary.
            may_repeat: whether the client may repeat its request, where it comes to that.

        Raises:
            UnavailableError: there is no time for another attempt.
        """
        longest = _longest_pause_s(self.attempts)
        self.attempts += 1
        self.because = because
        self.tally.conflict_retries += isinstance(because, ConflictError)
        self.tally.throttled_calls += isinstance(because, ThrottledError)
        self.pause(longest * self.jitter())
        self.check(may_repeat=may_repeat)
