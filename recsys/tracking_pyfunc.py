"""What MLflow runs to load a model of ours: a script that it keeps beside the model (models from
code), so that nothing is pickled.

Input: a frame with a column ``user_id``. Output: ``user_id``, ``rank``, ``item_id``, ``score``.
"""

from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from recsys import Recommender
from recsys.tracking_model import ARTIFACT


class Recommendations(PythonModel):
    """Lists for users, by a saved recommender."""

    def load_context(self, context: Any) -> None:
        """Open the saved model; arrays are mapped from disk."""
        self._recommender = Recommender.load(context.artifacts[ARTIFACT])

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """The best ``k`` items for each user; unknown users get the popular items."""
        wishes = params or {}
        return self._recommender.recommend_many(
            model_input["user_id"].tolist(),
            int(wishes.get("k", 10)),
            exclude_seen=bool(wishes.get("exclude_seen", True)),
        )


set_model(Recommendations())
