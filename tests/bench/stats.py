"""Figures from repeated measurements on a noisy machine: medians, ratios and differences, each with an interval."""

import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
RESAMPLES = 2000
# Of fewer values no interval is told.
FEWEST = 5


@dataclass(frozen=True)
class Estimate:
    """A value and the ends of its 95 % confidence interval."""

    value: float
    low: float
    high: float

    @property
    def ends(self) -> tuple[float, float]:
        """The interval for a figure; the value twice if there is none."""
        return (self.low, self.high) if math.isfinite(self.low) else (self.value, self.value)

    def told(self, form: Callable[[float], str], unit: str = "") -> str:
        """For a table: the value with its unit, and its interval if there is one."""
        if not math.isfinite(self.low):
            return f"{form(self.value)}{unit}"
        return f"{form(self.value)}{unit} ({form(self.low)} … {form(self.high)})"


def t_quantile(freedom: int) -> float:
    """How many standard errors a mean's 95 % interval reaches to either side: the t distribution's 97.5 % quantile.

    Hill's expansion around the normal distribution; off by less than 1 % from 4 degrees of freedom on.
    """
    z = statistics.NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    terms = (z,
             (z**3 + z) / 4,
             (5 * z**5 + 16 * z**3 + 3 * z) / 96,
             (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
             (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160)
    return sum(term / freedom**power for power, term in enumerate(terms))


def mean(values: Sequence[float]) -> Estimate:
    """The mean with its t interval."""
    middle = statistics.fmean(values)
    if len(values) < FEWEST:
        return Estimate(middle, -math.inf, math.inf)
    reach = t_quantile(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return Estimate(middle, middle - reach, middle + reach)


def bootstrap(rounds: int, figure: Callable[[Sequence[int]], float]) -> Estimate:
    """A figure of all rounds, and between what it lies when they are drawn anew with repetition.

    figure: computes it from the numbers of the rounds to take. The draws are the same in each run.
    """
    draw = random.Random(1)
    return _between(figure(range(rounds)), rounds, lambda: figure(draw.choices(range(rounds), k=rounds)))


def median(values: Sequence[float]) -> Estimate:
    """The median with its bootstrap interval."""
    return bootstrap(len(values), lambda chosen: statistics.median(values[i] for i in chosen))


def ratio(values: Sequence[float], base: Sequence[float]) -> Estimate:
    """The ratio of two medians, of values measured in the same rounds."""
    return bootstrap(len(values), lambda chosen: statistics.median(values[i] for i in chosen)
                     / statistics.median(base[i] for i in chosen))


def ratio_of_unpaired(values: Sequence[float], base: Sequence[float]) -> Estimate:
    """The ratio of two medians that were measured independently of each other."""
    draw = random.Random(1)
    return _between(statistics.median(values) / statistics.median(base), min(len(values), len(base)),
                    lambda: statistics.median(draw.choices(values, k=len(values)))
                    / statistics.median(draw.choices(base, k=len(base))))


def _between(value: float, count: int, drawn: Callable[[], float]) -> Estimate:
    """A value and its interval, from drawing it anew again and again."""
    if count < FEWEST:
        return Estimate(value, -math.inf, math.inf)
    seen = sorted(drawn() for _ in range(RESAMPLES))
    cut = round(RESAMPLES * (1 - CONFIDENCE) / 2)
    return Estimate(value, seen[cut], seen[-1 - cut])
