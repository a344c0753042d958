"""What MLflow runs to load a model of ours: a script that it keeps beside the model (models from
code), so that nothing is pickled.

Input: a frame with a column ``user_id``. Output: ``user_id``, ``rank``, ``item_id``, ``score`` and
``fallback``: whether nothing is known of the user, so that the list is of the popular items.
"""

from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from datasets.columns import USER_ID
from recsys import Recommender
from recsys.batches import FALLBACK_USERS
from recsys.tracking_model import ARTIFACT, FALLBACK


class Recommendations(PythonModel):
    """Lists for users, by a saved recommender."""

    def load_context(self, context: Any) -> None:
        """Open the saved model; arrays are mapped from disk."""
        self._recommender = Recommender.load(context.artifacts[ARTIFACT])

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """The best ``k`` items for each user; unknown users get the popular items, marked so.

        Raises InvalidArgumentError for a user id that is missing.
        """
        wishes = params or {}
        lists = self._recommender.recommend_many(
            model_input[USER_ID].tolist(),
            int(wishes.get("k", 10)),
            exclude_seen=bool(wishes.get("exclude_seen", True)),
        )
        lists[FALLBACK] = lists[USER_ID].isin(lists.attrs.get(FALLBACK_USERS, ()))
        return lists


set_model(Recommendations())
