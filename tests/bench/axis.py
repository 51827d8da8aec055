"""An axis of numbers: where a value lies on the sheet, and at which values there is a mark."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """Values from low to high lie between the places start and end; logarithmic ones need low > 0."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def place(self, value: float) -> float:
        value = min(max(value, self.low), self.high)
        low, high = self.low, self.high
        if self.logarithmic:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def marks(self) -> list[float]:
        """Round values, about five of them."""
        if self.logarithmic:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = (1, 2, 5) if len(powers) < 5 else (1,)
            found = [step * 10.0**power for power in powers for step in steps]
        else:
            step = _round_up((self.high - self.low) / 6)
            found = [step * count for count in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        return [value for value in found if self.low <= value <= self.high * 1.0001]


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50, …"""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)
