"""Some users shown in full: what they played, what was held out, and what each model recommends."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datasets.arrays import BoolArray
from datasets.columns import ARTIST, GENRE, ITEM_ID, TITLE, USER_ID, WEIGHT
from evaluation.comparison.run import Outcome
from evaluation.comparison.trial import Trial
from evaluation.metrics.hits import HitMatrix

Song = dict[str, Any]
"""item_id, title, artist, genre, and in lists ``hit``."""

_PLAYED = 8
_HELD_OUT = 20


@dataclass(frozen=True)
class Example:
    """One test user."""

    split: str
    candidates: str
    """What the lists were made of."""
    user_id: str
    ndcg: float
    """Mean over the models, at the shortest list: what the user was chosen by."""
    played: list[Song]
    """Of what models knew of the user, the most played, at most 8."""
    held_out: list[Song]
    """What they should have found among the candidates, the most played first, at most 20."""
    lists: dict[str, list[Song]]
    """{model: the first 5 places of its list, each with ``hit``}."""

    def to_dict(self) -> dict[str, Any]:
        """The same as a dictionary."""
        return asdict(self)


class ExampleMaker:
    """Makes the examples of one split from the lists that are there already."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._texts = trial.dataset.items.set_index(ITEM_ID)
        self._known = [trial.train.interactions, trial.given]

    def chosen(self, outcomes: Mapping[str, Outcome], n: int) -> list[Example]:
        """At most ``n`` users at even steps from the worst served to the best.

        They are ordered by their mean nDCG over the models, so that those whom models fail are
        shown in proportion. ``outcomes``: {model: its outcome}, controls left out by the caller.
        """
        candidates = self._trial.shown
        k = min(self._trial.ks)
        ndcg = np.mean(
            [outcome.values[candidates.name, "ndcg", k] for outcome in outcomes.values()], axis=0
        )[candidates.rows]
        order = np.argsort(ndcg, kind="stable")
        steps = np.linspace(0, len(order) - 1, min(n, len(order))).round().astype(int)
        lists = {name: outcome.shown for name, outcome in outcomes.items()}
        users = set(candidates.judge.users[order[steps]])
        known = pd.concat([_of_users(frame, users) for frame in self._known])
        tested = _of_users(self._trial.tested, users)
        return [
            self._example(int(row), float(ndcg[row]), lists, known, tested) for row in order[steps]
        ]

    def _example(
        self,
        row: int,
        ndcg: float,
        lists: Mapping[str, HitMatrix | None],
        known: pd.DataFrame,
        tested: pd.DataFrame,
    ) -> Example:
        trial = self._trial
        judge = trial.shown.judge
        user = str(judge.users[row])
        return Example(
            trial.split.group or trial.split.name,
            trial.shown.name,
            user,
            ndcg,
            self._songs(_most_played(known, user)[:_PLAYED]),
            self._songs(
                [item for item in _most_played(tested, user) if item in judge.items][:_HELD_OUT]
            ),
            {
                model: self._listed(hits.items[row], hits.matrix[row], judge.items)
                for model, hits in lists.items()
                if hits is not None
            },
        )

    def _listed(self, places: NDArray[Any], hit: BoolArray, items: "pd.Index[str]") -> list[Song]:
        there = places >= 0
        songs = self._songs(list(items[places[there]]))
        return [song | {"hit": bool(h)} for song, h in zip(songs, hit[there], strict=True)]

    def _songs(self, items: Sequence[str]) -> list[Song]:
        texts = self._texts.loc[list(items)]
        return [
            {ITEM_ID: item, TITLE: title, ARTIST: artist, GENRE: genre}
            for item, title, artist, genre in zip(
                items, texts[TITLE], texts[ARTIST], texts[GENRE], strict=True
            )
        ]


def _of_users(interactions: pd.DataFrame, users: Collection[str]) -> pd.DataFrame:
    return interactions[interactions[USER_ID].isin(users)]


def _most_played(interactions: pd.DataFrame, user: str) -> list[str]:
    own = interactions[(interactions[USER_ID] == user) & (interactions[WEIGHT] > 0)]
    total = own.groupby(ITEM_ID)[WEIGHT].sum()
    return list(total.sort_values(ascending=False, kind="stable").index)
