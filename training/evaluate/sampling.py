"""Settings of temperature and top-p, and the choice of the best."""

from collections.abc import Mapping
from dataclasses import dataclass

CLOSE_RATE = 0.005
"""Word error rates this close are equal: 600 utterances of ten words give 0.003 of chance."""


@dataclass(frozen=True, slots=True, order=True)
class Sampling:
    """One setting."""

    temperature: float
    top_p: float

    @property
    def name(self) -> str:
        """A name for folders: "0.6-0.9"."""
        return f"{self.temperature:g}-{self.top_p:g}"


SETTINGS = (Sampling(0.4, 0.9), Sampling(0.6, 0.9), Sampling(0.8, 0.95))


def choose(rates: Mapping[Sampling, float]) -> Sampling:
    """Returns the setting with the lowest word error rate.

    Among those that are equally good it is the warmest, whose speech varies most.
    """
    best = min(rates.values())
    return max(setting for setting, rate in rates.items() if rate <= best + CLOSE_RATE)
