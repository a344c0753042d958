"""What can be evaluated: the two methods every model has, ours or another library's."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import pandas as pd

from datasets.music import MusicDataset


class Model(Protocol):
    """Anything that learns from a data set and answers many users at once.

    A model that can recommend items without listeners also has
    ``onboard_many(dataset: MusicDataset)``: it is called after ``fit`` and before
    ``recommend_many`` of a cold split, with the items held out and their recordings, and with no
    interactions. A model without it is expected to leave those items out.

    A model that takes in plays of users who came after ``fit`` has ``update(interactions:
    DataFrame)`` (user_id, item_id, weight and, where known, timestamp): it is called after ``fit``
    with what the users of a split of cold users give. A user for whom ``recommend_many`` raises
    UnknownUserError or KeyError there counts 0.

    All methods are looked up by name, so no base class is needed.
    """

    def fit(self, dataset: MusicDataset) -> Any:
        """Learn from ``dataset``, which holds nothing of the test side."""

    def recommend_many(
        self,
        user_ids: Sequence[str],
        k: int,
        *,
        exclude_seen: bool = True,
        only: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """The best ``k`` items for each user.

        Returns a row a recommendation: ``user_id``, ``rank`` (1, 2, … without gaps within a
        user), ``item_id`` and ``score`` (finite, larger is better). Items the user has in
        training are left out unless ``exclude_seen`` is false; ``only`` restricts the items. A
        user for whom the model has nothing may be missing.
        """


ModelFactory = Callable[[], Model]
"""Makes a fresh, unfitted model; called once for every split."""
