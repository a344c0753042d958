"""Ranking a few sampled items in place of the whole catalogue, only where that is asked for.

Figures over sampled candidates are not those over the catalogue, and may even put models in another
order, the more so the smaller the sample (Krichene and Rendle, KDD 2020). They are here to be held
against published ones that were made so.
"""

import zlib
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datasets.columns import ITEM_ID, RANK, USER_ID
from evaluation.judging import Codes, Judge

Ask = Callable[[Sequence[str], int, Sequence[str]], pd.DataFrame]
"""(users, k, only) → their lists, of these items alone."""

_USERS_AT_ONCE = 16
"""Models are asked for the candidates of all of them: more users, fewer questions, longer lists."""


class SampledCandidates:
    """For each user of a judge, all that is relevant and ``n`` items drawn from the rest.

    The rest is what the user neither has in training nor in the test. Draws are uniform and depend
    on ``seed`` and the user's id alone.
    """

    def __init__(self, judge: Judge, n: int, seed: int) -> None:
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
    def sizes(self) -> NDArray[np.int64]:
        """[n_users]: number of candidates of each user."""
        return np.array([len(items) for items in self._candidates])

    def answer(self, ask: Ask, k: int) -> pd.DataFrame:
        """Each user's first ``k`` among their own candidates, ranked from 1 again."""
        users, items = self._judge.users, self._judge.items
        blocks = []
        for start in range(0, len(users), _USERS_AT_ONCE):
            block = slice(start, start + _USERS_AT_ONCE)
            together = np.unique(np.concatenate(self._candidates[block]))
            frame = ask(list(users[block]), len(together), list(items[together]))
            blocks.append(self._own(frame, block.start, k))
        return pd.concat(blocks, ignore_index=True)

    def _own(self, frame: pd.DataFrame, start: int, k: int) -> pd.DataFrame:
        """Of lists for a block of users, what is among each user's candidates."""
        user = self._judge.users.get_indexer(pd.Index(frame[USER_ID], dtype=object))
        item = self._judge.items.get_indexer(pd.Index(frame[ITEM_ID], dtype=object))
        candidate = np.zeros((_USERS_AT_ONCE, len(self._judge.items)), dtype=bool)
        for row, items in enumerate(self._candidates[start : start + _USERS_AT_ONCE]):
            candidate[row, items] = True
        place = user - start
        inside = (place >= 0) & (place < _USERS_AT_ONCE) & (item >= 0)
        kept = ~inside  # what should not be there at all is for the judge to refuse
        kept[inside] = candidate[place[inside], item[inside]]
        own = frame[kept].sort_values([USER_ID, RANK], kind="stable")
        own[RANK] = own.groupby(USER_ID).cumcount() + 1
        return own[own[RANK] <= k]


def _by_user(pairs: tuple[Codes, Codes], n_users: int) -> list[Codes]:
    """The items of each user, from pairs by user."""
    user, item = pairs
    return np.split(item, np.searchsorted(user, np.arange(1, n_users)))
