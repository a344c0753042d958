"""The program that MLflow runs to load a logged recommender.

MLflow keeps a copy of this file beside each model ("models from code"), so that nothing is pickled.
The copy has to run with later versions of the library: it imports `recsys.Recommender` and nothing
else of it, and spells its constants itself.

Input: a frame with a column `user_id`, texts or whole numbers. Output: `user_id`, `rank`,
`item_id`, `score`, `new` (true for songs that nobody has played) and `fallback` (true where the
model knows nothing about the user, so that the list has the most popular items).
"""

from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from recsys import Recommender


class Recommendations(PythonModel):
    """Top-k lists of users, by a saved recommender."""

    def load_context(self, context: Any) -> None:
        """Open the saved model; its arrays are memory-mapped."""
        self._recommender = Recommender.load(context.artifacts["recommender"])

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Recommend the best items for each user.

        Args:
            context: MLflow's context, not used.
            model_input: users, in the column `user_id`.
            params: `k` (default 10), `exclude_seen` (default true), `discovery` (a share; as fitted
                by default), and `new`, which is a text: `only`, a number of places such as `2`, or
                a share of them such as `0.2` or `1.0`.

        Returns:
            One row per recommended item: user_id, rank, item_id, score, new, fallback.

        Raises:
            InvalidArgumentError: a user id is missing, or no text and no whole number.
        """
        options = params or {}
        users = model_input["user_id"].tolist()
        if len(users) == 1 and isinstance(users[0], list | tuple | np.ndarray):
            users = list(users[0])  # MLflow makes one row of {"user_id": ["a", "b"]}
        wished = {
            name: options[name] for name in ("discovery", "new") if options.get(name) is not None
        }
        if "new" in wished:
            wished["new"] = _places(wished["new"])
        lists = self._recommender.recommend_many(
            users,
            int(options.get("k", 10)),
            exclude_seen=bool(options.get("exclude_seen", True)),
            **wished,
        )
        lists["fallback"] = lists["user_id"].isin(lists.attrs.get("fallback_users", ()))
        return lists


def _places(given: str) -> str | int | float:
    """Read a number of places or a share, which has a point; another text is left as it is."""
    try:
        return float(given) if "." in given else int(given)
    except ValueError:
        return given


set_model(Recommendations())
