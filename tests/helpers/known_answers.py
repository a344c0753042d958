"""Data sets built so that it is known what their audio says, and a quick model that hears it."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from datasets.music import MusicDataset

Kind = Literal["informative", "noise", "popularity"]


def world(
    kind: Kind, seed: int, *, n_users: int = 100, n_items: int = 120, n_played: int = 12
) -> tuple[MusicDataset, pd.DataFrame]:
    """Listening by popularity and, but for "popularity", by taste; and embeddings of the items.

    "informative": the embedding is the items' side of the taste with a little noise. "noise": it
    is noise. "popularity": nobody has a taste, and the embedding knows how popular an item is.
    """
    random = np.random.default_rng([seed, len(kind)])
    users, items = random.standard_normal((n_users, 3)), random.standard_normal((n_items, 3))
    popularity = -0.7 * np.log(random.permutation(n_items) + 1)
    taste = 0.0 if kind == "popularity" else 1.2
    # Gumbel noise makes the best n a draw without replacement, by softmax of the rest.
    liking = popularity + taste * users @ items.T + random.gumbel(size=(n_users, n_items))
    played = np.argsort(-liking, axis=1)[:, :n_played]
    names = np.array([f"item-{n}" for n in range(n_items)], dtype=object)
    plays = pd.DataFrame(
        {
            "user_id": np.repeat([f"user-{n}" for n in range(n_users)], n_played),
            "item_id": names[played.ravel()],
            "weight": 1.0,
        }
    )
    vectors = {
        "informative": items + 0.3 * random.standard_normal(items.shape),
        "noise": random.standard_normal((n_items, 8)),
        "popularity": np.column_stack(
            [popularity - popularity.mean(), 0.1 * random.standard_normal((n_items, 2))]
        ),
    }[kind]
    table = pd.DataFrame({"item_id": names, "title": names, "artist": names})
    table[["album", "genre"]] = ""
    embeddings = pd.DataFrame(vectors.astype(np.float32), index=names)
    return MusicDataset(items=table, interactions=plays), embeddings


class Content:
    """Mean embedding of what a user played, times each item's embedding."""

    def __init__(self, embeddings: pd.DataFrame) -> None:
        self.embeddings = embeddings

    def fit(self, dataset: MusicDataset) -> None:
        self.items = list(dataset.items["item_id"])
        plays = dataset.interactions
        self.seen = plays.groupby("user_id")["item_id"].agg(set)
        vectors = self.embeddings.loc[plays["item_id"]].to_numpy()
        self.users = pd.DataFrame(vectors).groupby(plays["user_id"].to_numpy()).mean()

    def onboard_many(self, dataset: MusicDataset) -> None:
        self.items += list(dataset.items["item_id"])

    def recommend_many(
        self,
        user_ids: Sequence[str],
        k: int,
        *,
        exclude_seen: bool = True,
        only: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        users = np.array(list(user_ids), dtype=object)
        items = pd.Index(self.items if only is None else list(only), dtype=object)
        scores = self.users.loc[users].to_numpy() @ self.embeddings.loc[items].to_numpy().T
        if exclude_seen:
            for row, user in enumerate(users):
                seen = items.get_indexer(pd.Index(list(self.seen[user]), dtype=object))
                scores[row, seen[seen >= 0]] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        found = np.take_along_axis(scores, order, axis=1)
        user, place = np.nonzero(np.isfinite(found))
        return pd.DataFrame(
            {
                "user_id": users[user],
                "rank": place + 1,
                "item_id": items.to_numpy()[order[user, place]],
                "score": found[user, place],
            }
        )


class Budgeted(Content):
    """Content whose new items get the larger a bonus the more may be paid for them.

    At a budget of 0.1, the default, scores stay as they are.
    """

    def __init__(self, embeddings: pd.DataFrame, budget: float = 0.1) -> None:
        super().__init__(embeddings)
        self.budget = budget

    def fit(self, dataset: MusicDataset) -> None:
        super().fit(dataset)
        self.known = set(self.items)

    def recommend_many(
        self,
        user_ids: Sequence[str],
        k: int,
        *,
        exclude_seen: bool = True,
        only: Sequence[str] | None = None,
        discovery: float | None = None,
    ) -> pd.DataFrame:
        users = list(user_ids)
        among = self.items if only is None else list(only)
        lists = super().recommend_many(users, len(among), exclude_seen=exclude_seen, only=among)
        bonus = 20.0 * ((self.budget if discovery is None else discovery) - 0.1)
        score = lists["score"] + np.where(lists["item_id"].isin(self.known), 0.0, bonus)
        lists = lists.assign(score=score)
        lists["place"] = lists["user_id"].map({user: n for n, user in enumerate(users)})
        lists = lists.sort_values(["place", "score"], ascending=[True, False], kind="stable")
        lists["rank"] = lists.groupby("user_id", sort=False).cumcount() + 1
        return lists[lists["rank"] <= k].drop(columns="place").reset_index(drop=True)
