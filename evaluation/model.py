"""The protocol of a model that can be evaluated: ``fit`` and ``recommend_many``."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import pandas as pd

from datasets.music import MusicDataset


class Model(Protocol):
    """A recommender that learns from a data set and recommends to many users at once.

    A model that can recommend items without interactions also has ``onboard_many(dataset:
    MusicDataset)``: it is called after ``fit`` and before ``recommend_many`` of a cold split, with
    the items held out and their recordings, and no interactions. A model without it is expected
    not to recommend those items.

    A model that takes in interactions of users who came after ``fit`` has ``update(interactions:
    DataFrame)`` (user_id, item_id, weight and, where known, timestamp): it is called after ``fit``
    with the fold-in interactions of a split of cold users. A user for whom ``recommend_many``
    raises UnknownUserError or KeyError there counts 0.

    A model whose ``recommend_many`` has a keyword ``discovery`` can be told how much it may pay for
    new items: the share of nDCG that lists of all items may lose, 0 to 1. It is then asked for
    lists at several such budgets on a mixed split (``evaluation.metrics.whole_lists``).

    All methods are looked up by name, so no base class is needed.

    Examples:
        >>> class Constant:
        ...     def fit(self, dataset):
        ...         self.items = dataset.items["item_id"].to_list()
        ...     def recommend_many(self, user_ids, k, *, exclude_seen=True, only=None):
        ...         rows = [(user, 1, self.items[0], 1.0) for user in user_ids]
        ...         return pd.DataFrame(rows, columns=["user_id", "rank", "item_id", "score"])
        >>> model = Constant()
        >>> model.fit(dataset)
        >>> len(model.recommend_many(["u0", "u1"], 5))
        2
    """

    def fit(self, dataset: MusicDataset) -> Any:
        """Learn from ``dataset``, the training side of a split."""

    def recommend_many(
        self,
        user_ids: Sequence[str],
        k: int,
        *,
        exclude_seen: bool = True,
        only: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Recommend ``k`` items to each user.

        Args:
            user_ids: ids of the users.
            k: length of the lists.
            exclude_seen: leave out the items that the user has in training.
            only: ids of the items to choose from; None for all.

        Returns:
            A row a recommendation: ``user_id``, ``rank`` (1, 2, … without gaps for each user),
            ``item_id`` and ``score`` (finite, larger is better). A user for whom the model has
            nothing may be missing.
        """


ModelFactory = Callable[[], Model]
"""Makes a new, unfitted model; called once for every split."""
