"""Rank the relevant items among a few random ones instead of the whole catalogue.

Metrics over sampled candidates differ from those over the catalogue and may even order models
differently, the more so the smaller the sample (Krichene and Rendle, KDD 2020). They are only for
comparison with published figures that were computed this way.
"""

import zlib
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from datasets.arrays import IntArray
from datasets.columns import ITEM_ID, RANK, USER_ID
from evaluation.metrics.hits import HitEncoder, IdEncoder

_USERS_AT_ONCE = 16
"""Users per call of the model, which ranks the candidates of all of them: with more users there are
fewer calls and longer lists."""


class SampledCandidates:
    """For each user of an encoder, the relevant items and ``n`` random items of the rest.

    The rest are the candidates that the user has neither in training nor in the test. They are
    drawn uniformly, and depend on ``seed`` and the user's id only.

    Args:
        encoder: users, candidates, relevant and seen items.
        n: number of random items of each user; fewer where the rest is smaller.
        seed: seed of the random items.

    Examples:
        >>> relevant = pd.DataFrame({"user_id": ["u", "v"], "item_id": ["a", "c"]})
        >>> truth = HitEncoder(["u", "v"], list("abcdefgh"), relevant)
        >>> SampledCandidates(truth, n=4, seed=0).sizes  # the relevant item and 4 others
        array([5, 5])
    """

    def __init__(self, encoder: HitEncoder, n: int, seed: int) -> None:
        self._encoder = encoder
        n_users = len(encoder.users)
        wanted, owned = (_by_user(pairs, n_users) for pairs in (encoder.relevant, encoder.seen))
        self._candidates = []
        for user, has, had in zip(encoder.users, wanted, owned, strict=True):
            free = np.ones(len(encoder.items), dtype=bool)
            free[has] = free[had] = False
            rest = np.flatnonzero(free)
            random = np.random.default_rng([seed, zlib.crc32(user.encode())])
            drawn = random.choice(rest, size=min(n, len(rest)), replace=False)
            self._candidates.append(np.union1d(has, drawn))

    @property
    def sizes(self) -> IntArray:
        """Number of candidates of each user, [n_users]."""
        return np.array([len(items) for items in self._candidates])

    def answer(
        self, ask: Callable[[Sequence[str], int, Sequence[str]], pd.DataFrame], k: int
    ) -> pd.DataFrame:
        """Return each user's first ``k`` among their own candidates.

        Args:
            ask: function (users, k, only) that returns a model's lists of ``k`` of the items
                ``only``: user_id, rank, item_id, score.
            k: length of the lists.

        Returns:
            The rows of ``ask`` that are kept, with ranks from 1 again.
        """
        users, items = self._encoder.users, self._encoder.items
        blocks = []
        for start in range(0, len(users), _USERS_AT_ONCE):
            block = slice(start, start + _USERS_AT_ONCE)
            own = self._candidates[block]
            together = np.unique(np.concatenate(own))
            asked, only = list(users[block]), list(items[together])
            frame = ask(asked, len(together), only)
            places = [np.searchsorted(together, of_user) for of_user in own]
            blocks.append(self._own(frame, asked, only, places, k))
        return pd.concat(blocks, ignore_index=True)

    def _own(
        self,
        frame: pd.DataFrame,
        users: list[str],
        items: list[str],
        candidates: Sequence[IntArray],
        k: int,
    ) -> pd.DataFrame:
        """Keep what is among each user's ``candidates``, positions in ``items``."""
        user = np.repeat(*IdEncoder(users, "user").encode_runs(frame[USER_ID]))
        item = IdEncoder(items, "item").encode(frame[ITEM_ID])
        # Unknown users and items (-1) are kept, so that the encoder refuses them; only items that
        # the encoder knows and that were not asked for here are dropped.
        kept = np.zeros((len(users) + 1, len(items) + 1), dtype=bool)
        kept[-1] = True
        for row, own in enumerate(candidates):
            kept[row, own] = True
        chosen = kept[user, item]
        stray = np.flatnonzero((item < 0) & (user >= 0))
        if len(stray):
            chosen[stray] = ~frame[ITEM_ID].iloc[stray].isin(self._encoder.items)
        rows = np.flatnonzero(chosen)
        order = rows[np.lexsort((frame[RANK].to_numpy()[rows], user[rows]))]
        first = np.searchsorted(user[order], user[order])
        rank = np.arange(len(order)) - first + 1
        return frame.iloc[order[rank <= k]].assign(**{RANK: rank[rank <= k]})


def _by_user(pairs: tuple[IntArray, IntArray], n_users: int) -> Sequence[IntArray]:
    """Split pairs, which are by user, into the items of each user."""
    user, item = pairs
    return np.split(item, np.searchsorted(user, np.arange(1, n_users)))
