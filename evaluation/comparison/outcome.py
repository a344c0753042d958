"""What one model did on one split."""

from dataclasses import dataclass, field
from typing import Any

from datasets.arrays import Float64Array, IntArray
from evaluation.metrics.hits import Hits

Figure = tuple[str, str, int | None]
"""(candidates, metric, k); k is None for the AUCs."""
SliceFigure = tuple[str, str, str, str, int]
"""(candidates, what it is a slice by, slice, metric, k)."""


@dataclass(frozen=True, eq=False)
class Units:
    """Whom the values of the outcomes of one split belong to."""

    users: tuple[str, ...]
    """The users asked for."""
    auc_items: tuple[str, ...]
    """The items that have an item-wise AUC."""
    slice_rows: dict[tuple[str, str, str], IntArray]
    """{(candidates, by, slice): positions in ``users`` of those who take part}."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one model did on one split."""

    values: dict[Figure, Float64Array]
    """One value a user, NaN for one who takes no part; an item for the item-wise AUC."""
    facts: dict[str, Any]
    """Seconds, peak memory, users without a list, and the model's own settings."""
    catalogue: dict[Figure, tuple[float, int]] = field(default_factory=dict)
    """Coverage and Gini, each with the number of items."""
    slices: dict[SliceFigure, Float64Array] = field(default_factory=dict)
    """A value for each user who takes part in the slice."""
    shown: Hits | None = None
    """The first places of every user's list, for examples; of the trial's ``shown`` candidates."""
