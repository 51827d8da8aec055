"""Waiting for conditions, never for time to pass."""

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

PAUSE = 0.05


class LabError(Exception):
    """Something in the lab did not work; the message says what and shows the evidence."""


class TimedOut(LabError):
    """A condition did not come true in time."""


class GuestDied(LabError):
    """The guest's kernel crashed: a fault of the emulation, not of the context. Says nothing about what was tested."""


def wait_for(condition: Callable[[], Result], seconds: float, what: str,
             evidence: Callable[[], str] = lambda: "") -> Result:
    """Returns the first true value of the condition; raises TimedOut with the evidence after so many seconds.

    What the condition raises passes through, so it can end the waiting early.
    """
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise TimedOut(f"waited {seconds:g} s in vain for {what}\n{evidence()}".rstrip())
        time.sleep(PAUSE)
