"""The way of an item from new to known: what its first plays change is little.

An item that nobody has played has other weights than a known one, and a level of its own in lists
(`recsys.new_songs`). If all that ended with the first play, the item would leave the lists of those
who will like it just then. So what is predicted for an item that was new at the fit keeps the scale
and the level of new items at first, and loses them as its users become enough to tell: a share of
1/40 with each of them. With 40 it is as an item of the fit with the same users, whose learned
vector is not shrunk any more either (`recsys.content.shrinkage`). The level goes sooner, as what
was learned takes the place of what was predicted.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from datasets.arrays import Float32Array, Float64Array
from recsys.content.shrinkage import ENOUGH, learned_share
from recsys.model.state import FittedState

_LEARNED = ("als", "fm")
"""Sources whose vectors may carry a level, where popularity is not among the sources."""

_LEAST_FIT = 0.5
"""How well a vector must give everybody the same score to carry a level, from 0 to 1."""


class FirstPlays:
    """What is expected of items that were new at the fit, once they have been played.

    Examples:
        >>> recommender.save(folder / "model")
        >>> from recsys.model import load_model
        >>> state = load_model(folder / "model").state
        >>> FirstPlays(state).concern(None)
        True
    """

    def __init__(self, state: FittedState) -> None:
        self._state = state

    def concern(self, row: int | None) -> bool:
        """Return whether an item was new at the fit: by its row there, None for one since then."""
        state = self._state
        return row is None or state.user_counts[row] == 0 or row in state.young

    def share(self, n_users: int) -> float:
        """Return how much of the way to a known item one with so many users has gone, 0 to 1."""
        return min(n_users / ENOUGH, 1.0)

    def expected(
        self, predicted: Mapping[str, Float32Array], n_users: int
    ) -> Mapping[str, Float32Array]:
        """Return what each source expects of an item with so many users, at warm weights.

        Args:
            predicted: vectors [d] predicted from its content.
            n_users: how many users have played it.
        """
        if not self._levels or n_users >= ENOUGH:
            return predicted
        share = self.share(n_users)
        return {
            block.name: block.as_known(predicted[block.name], share) for block in self._state.blocks
        }

    def on_the_way(self, name: str, vector: Float32Array, n_users: int) -> Float32Array:
        """Return a source's vector [d] of an item with so many users at the level it has by then.

        Its popularity, which nothing predicts, counts as far as it has gone.
        """
        if not self._levels or not 0 < n_users < ENOUGH:
            return vector
        share = self.share(n_users)
        known = share * vector if name == "popularity" else vector
        evidence = self._state.config.content_map.evidence
        learned = float(learned_share(np.array([n_users]), evidence)[0])
        level = (1 - share) * (1 - learned) * self._levels.get(name, 0.0)
        return np.asarray(known + level, np.float32)

    @cached_property
    def _levels(self) -> dict[str, Float64Array]:
        """The vectors [d] that raise everybody's score by the level of new items, by source.

        Empty where it was not measured, or no vector does.
        """
        state = self._state
        if state.calibration is None:
            return {}
        level = state.calibration.level
        for block in state.blocks:
            if block.name == "popularity" and block.warm and block.covariance.any():
                return {block.name: np.array([level / block.warm])}  # everybody's vector is 1
        blocks = [block for block in state.blocks if block.name in _LEARNED and block.warm]
        if not blocks:
            return {}
        columns = np.concatenate([np.arange(one.columns.start, one.columns.stop) for one in blocks])
        mean, covariance = state.user_moments
        mean = mean[columns]
        moments = covariance[np.ix_(columns, columns)] + np.outer(mean, mean)
        moments.flat[:: len(mean) + 1] += 1e-6 * max(float(moments.trace()), 1e-30)
        direction = np.linalg.solve(moments, mean)  # everybody's score is 1, by least squares
        fit = float(mean @ direction)
        if fit < _LEAST_FIT:
            return {}
        vector = np.zeros(state.item_vectors.shape[1])
        vector[columns] = level / fit * direction
        return {block.name: vector[block.columns] / block.warm for block in blocks}


def young_rows(
    state: FittedState, fitted: Sequence[int | None], user_counts: Sequence[int]
) -> list[int]:
    """Return which items of a rebuilt state were new at the fit and have few users yet.

    Args:
        state: the state before.
        fitted: the row there of each item, None for one that came since.
        user_counts: how many users have played each item.
    """
    first_plays = FirstPlays(state)
    return [
        number
        for number, (row, count) in enumerate(zip(fitted, user_counts, strict=True))
        if 0 < count < ENOUGH and first_plays.concern(row)
    ]
