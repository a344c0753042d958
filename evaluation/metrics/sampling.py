"""Ranking a few sampled items in place of the whole catalogue, only where that is asked for.

Figures over sampled candidates are not those over the catalogue, and may even put models in another
order, the more so the smaller the sample (Krichene and Rendle, KDD 2020). They are here to be held
against published ones that were made so.
"""

import zlib
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from datasets.arrays import IntArray
from datasets.columns import ITEM_ID, RANK, USER_ID
from evaluation.metrics.hits import HitEncoder, IdEncoder

Ask = Callable[[Sequence[str], int, Sequence[str]], pd.DataFrame]
"""(users, k, only) → their lists, of these items alone."""

_USERS_AT_ONCE = 16
"""Models are asked for the candidates of all of them: more users, fewer questions, longer lists."""


class SampledCandidates:
    """For each user of a judge, all that is relevant and ``n`` items drawn from the rest.

    The rest is what the user neither has in training nor in the test. Draws are uniform and depend
    on ``seed`` and the user's id alone.
    """

    def __init__(self, judge: HitEncoder, n: int, seed: int) -> None:
        self._judge = judge
        n_users = len(judge.users)
        wanted, owned = (_by_user(pairs, n_users) for pairs in (judge.relevant, judge.seen))
        self._candidates = []
        for user, has, had in zip(judge.users, wanted, owned, strict=True):
            free = np.ones(len(judge.items), dtype=bool)
            free[has] = free[had] = False
            rest = np.flatnonzero(free)
            random = np.random.default_rng([seed, zlib.crc32(user.encode())])
            drawn = random.choice(rest, size=min(n, len(rest)), replace=False)
            self._candidates.append(np.union1d(has, drawn))

    @property
    def sizes(self) -> IntArray:
        """[n_users]: number of candidates of each user."""
        return np.array([len(items) for items in self._candidates])

    def answer(self, ask: Ask, k: int) -> pd.DataFrame:
        """Each user's first ``k`` among their own candidates, ranked from 1 again."""
        users, items = self._judge.users, self._judge.items
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
        """Of lists for some users, what is among each user's candidates, positions in ``items``."""
        user = np.repeat(*IdEncoder(users, "user").of_runs(frame[USER_ID]))
        item = IdEncoder(items, "item").of(frame[ITEM_ID])
        # What should not be there at all, -1, is for the judge to refuse, but for items that the
        # judge knows and that were not asked for here.
        kept = np.zeros((len(users) + 1, len(items) + 1), dtype=bool)
        kept[-1] = True
        for row, own in enumerate(candidates):
            kept[row, own] = True
        chosen = kept[user, item]
        stray = np.flatnonzero((item < 0) & (user >= 0))
        if len(stray):
            chosen[stray] = ~frame[ITEM_ID].iloc[stray].isin(self._judge.items)
        rows = np.flatnonzero(chosen)
        order = rows[np.lexsort((frame[RANK].to_numpy()[rows], user[rows]))]
        first = np.searchsorted(user[order], user[order])
        rank = np.arange(len(order)) - first + 1
        return frame.iloc[order[rank <= k]].assign(**{RANK: rank[rank <= k]})


def _by_user(pairs: tuple[IntArray, IntArray], n_users: int) -> Sequence[IntArray]:
    """The items of each user, from pairs by user."""
    user, item = pairs
    return np.split(item, np.searchsorted(user, np.arange(1, n_users)))
