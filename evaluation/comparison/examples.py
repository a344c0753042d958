"""Example users in full: their training items, held-out items, and each model's list."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from datasets.columns import ARTIST, GENRE, ITEM_ID, TITLE, USER_ID, WEIGHT
from evaluation.comparison.folds import group_name
from evaluation.comparison.run import RunResult
from evaluation.comparison.trial import Trial

_Item = dict[str, Any]
"""item_id, title, artist, genre, and in lists ``hit``."""

_PLAYED = 8
_HELD_OUT = 20


@dataclass(frozen=True)
class Example:
    """One test user in full.

    Examples:
        >>> example = comparison.examples[0]
        >>> example.split, example.candidates, list(example.lists)
        ('warm', 'catalogue', ['popularity', 'random'])
        >>> sorted(example.lists["popularity"][0])
        ['artist', 'genre', 'hit', 'item_id', 'title']
    """

    split: str
    """Name of the split, or of its group of folds."""
    candidates: str
    """Name of the candidate set that the lists are made of."""
    user_id: str
    """Id of the user."""
    ndcg: float
    """Mean nDCG over the models at the shortest list length; users are chosen by it."""
    played: list[_Item]
    """The most played of the items that models know of the user, at most 8."""
    held_out: list[_Item]
    """Relevant items among the candidates, the most played first, at most 20."""
    lists: dict[str, list[_Item]]
    """{model: the first 5 places of its list, each with ``hit``}."""

    def to_dict(self) -> dict[str, Any]:
        """Return the example as a dictionary."""
        return asdict(self)


def choose_examples(trial: Trial, results: Mapping[str, RunResult], n: int) -> list[Example]:
    """Choose users at even steps from the worst served to the best, and describe them.

    They are ordered by their mean nDCG over the models, so that users whom models fail are shown
    in proportion.

    Args:
        trial: the split made ready.
        results: {model: its result on the trial}, without controls.
        n: number of users; fewer if the split has fewer.

    Examples:
        >>> from evaluation import Popularity
        >>> from evaluation.comparison.run import run_model
        >>> from evaluation.comparison.trial import TrialOptions
        >>> trial = Trial(dataset, split, TrialOptions(ks=(5,)))
        >>> results = {"popularity": run_model(trial, "popularity", Popularity)}
        >>> len(choose_examples(trial, results, 3))
        3
    """
    candidates = trial.example_candidates
    encoder = candidates.hit_encoder
    k = min(trial.options.ks)
    ndcg = np.mean(
        [result.values[candidates.name, "ndcg", k] for result in results.values()], axis=0
    )[candidates.rows]
    order = np.argsort(ndcg, kind="stable")
    steps = np.linspace(0, len(order) - 1, min(n, len(order))).round().astype(int)
    users = set(encoder.users[order[steps]])
    known = pd.concat([_of_users(f, users) for f in (trial.train.interactions, trial.fold_in)])
    tested = _of_users(trial.test_interactions, users)
    texts = trial.dataset.items.set_index(ITEM_ID)
    examples = []
    for row in order[steps]:
        user = str(encoder.users[row])
        held_out = [item for item in _most_played(tested, user) if item in encoder.items]
        lists = {}
        for model, result in results.items():
            if (hits := result.example_hits) is not None:
                listed = hits.items[row] >= 0
                items = _describe(encoder.items[hits.items[row][listed]], texts)
                hit = hits.matrix[row][listed]
                lists[model] = [item | {"hit": bool(h)} for item, h in zip(items, hit, strict=True)]
        examples.append(
            Example(
                group_name(trial.split),
                candidates.name,
                user,
                float(ndcg[row]),
                _describe(_most_played(known, user)[:_PLAYED], texts),
                _describe(held_out[:_HELD_OUT], texts),
                lists,
            )
        )
    return examples


def _describe(items: Sequence[str], texts: pd.DataFrame) -> list[_Item]:
    found = texts.loc[list(items)]
    return [
        {ITEM_ID: item, TITLE: title, ARTIST: artist, GENRE: genre}
        for item, title, artist, genre in zip(
            items, found[TITLE], found[ARTIST], found[GENRE], strict=True
        )
    ]


def _of_users(interactions: pd.DataFrame, users: Collection[str]) -> pd.DataFrame:
    return interactions[interactions[USER_ID].isin(users)]


def _most_played(interactions: pd.DataFrame, user: str) -> list[str]:
    own = interactions[(interactions[USER_ID] == user) & (interactions[WEIGHT] > 0)]
    total = own.groupby(ITEM_ID)[WEIGHT].sum()
    return list(total.sort_values(ascending=False, kind="stable").index)
