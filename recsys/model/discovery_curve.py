"""What it costs to show new songs: the scale of their scores against the nDCG that lists lose.

A new song's score is an expectation. The larger the factor by which the scores of all new songs are
multiplied, the more of them are in lists, and the more known songs that would have been played they
displace. The fit measures this on its validation split, where new songs are held out and get the
same share of their plays as known ones (`recsys.training.blending`); how much to pay may be said
anew whenever a list is made.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from datasets.arguments import check_share
from datasets.arrays import Float64Array


@dataclass(frozen=True)
class DiscoveryCurve:
    """Scales of new songs' scores, and the share of nDCG that lists lose at each.

    Raises:
        ValueError: not as many costs as scales, no scale, scales that do not rise, or a number
            out of its range.

    Examples:
        >>> curve = DiscoveryCurve.from_ndcg({0.5: 0.20, 1.0: 0.19, 2.0: 0.16}, budget=0.05)
        >>> curve.scale(0.05)  # relative to the scale of the fit, which was 1.0
        1.0
        >>> tuple(round(curve.scale(budget), 6) for budget in (0, 0.125, 1))
        (0.5, 1.5, 2.0)
    """

    scales: tuple[float, ...]
    """Factors of new songs' scores relative to the fitted one, which is 1; ascending."""

    costs: tuple[float, ...]
    """The share of the best nDCG@10 that lists lose at each of the scales, 0 to 1."""

    budget: float
    """What the fit was ready to pay, `FusionConfig.discovery`: lists are made so by default."""

    fitted: float = 1.0
    """The scale of the fit itself: how much a new song counts beside a known one."""

    def __post_init__(self) -> None:
        """Check all numbers: they may come from a file."""
        if not self.scales or len(self.scales) != len(self.costs):
            raise ValueError("a discovery curve needs a cost for each of its scales")
        if not all(np.isfinite(scale) and scale > 0 for scale in (*self.scales, self.fitted)):
            raise ValueError("a discovery curve has a scale that is not a positive number")
        if (np.diff(self.scales) <= 0).any():
            raise ValueError("the scales of a discovery curve do not rise")
        if not all(0 <= share <= 1 for share in (*self.costs, self.budget)):
            raise ValueError("a discovery curve has a share that is not from 0 to 1")

    @classmethod
    def from_ndcg(
        cls, found: Mapping[float, float], budget: float, fitted: float | None = None
    ) -> Self:
        """Make the curve of scales at which nDCG was measured.

        The fitted scale is the largest that the budget allows, unless it is given. Scales at the
        upper end at which nothing changes any more are left out: new songs stand before all
        others there.

        Args:
            found: nDCG by scale.
            budget: share of the best nDCG that lists may lose.
            fitted: the scale that lists have by default, in the units of `found`.
        """
        scales = sorted(found)
        if len(set(found.values())) > 1:
            while found[scales[-1]] == found[scales[-2]]:
                scales.pop()
        best = max(found.values())
        costs = tuple(max(1 - found[scale] / best, 0.0) if best > 0 else 0.0 for scale in scales)
        absolute = cls(tuple(scales), costs, budget)
        unit = absolute.scale(budget) if fitted is None else fitted
        return cls(tuple(scale / unit for scale in scales), costs, budget, unit)

    def scale(self, budget: float) -> float:
        """Return the factor of new songs' scores that costs no more than this share of nDCG.

        It is the largest one, read off the straight line between the last measured scale that costs
        no more and the next one, so that a larger budget never gives a smaller factor. Where
        everything measured costs more, it is the scale that costs least.

        Args:
            budget: 0 for lists as good as they can be, up to 1 for as many new songs as were
                measured.

        Raises:
            InvalidArgumentError: a budget that is not from 0 to 1.
        """
        check_share("discovery", budget)
        costs: Float64Array = np.asarray(self.costs, np.float64)
        within = np.flatnonzero(costs <= max(budget, costs.min()))
        last = int(within[-1])
        if last == len(costs) - 1:
            return self.scales[last]
        share = max(budget - costs[last], 0.0) / (costs[last + 1] - costs[last])
        return float(self.scales[last] + share * (self.scales[last + 1] - self.scales[last]))

    def to_json(self) -> dict[str, Any]:
        """Return the curve as JSON values."""
        return {
            "scales": list(self.scales),
            "costs": list(self.costs),
            "budget": self.budget,
            "fitted": self.fitted,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_json` returned.

        Raises:
            KeyError, TypeError, ValueError: it did not.
        """
        scales, costs = (tuple(float(one) for one in values[name]) for name in ("scales", "costs"))
        return cls(scales, costs, float(values["budget"]), float(values["fitted"]))
