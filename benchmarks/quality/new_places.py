"""Places for new songs: what they cost, what they show, and what the exposure rule does.

    python -m benchmarks.quality.new_places ../shared/data/lastfm-audio embeddings-spotify.npz
    ... embeddings.npz --seed 1

A fifth of the artists with an embedding is held out whole, as if nobody had played them, without
their genre; so is a fifth of the other plays, and of the plays of the held-out artists the same
share is tested, as in a later period of time. The hybrid is fitted once. Lists of ten of all users
are then made with numbers of places and with budgets, with the exposure rule and by plain scores:
nDCG@10 of both kinds together and its loss against lists without new artists, share of places, new
artists shown to at least one and to ten users, the largest share of lists that one artist is in,
and nDCG@10 of new artists in lists of new artists, for which all their plays are tested.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.common import argument_parser
from datasets.folder import load_folder
from datasets.music import MusicDataset
from recsys import Recommender, RecommenderConfig

K = 10
DISCOUNT = 1 / np.log2(np.arange(2, K + 2))
IDEAL = np.cumsum(DISCOUNT)
SETTINGS: tuple[dict[str, Any], ...] = (
    {"new": 0},
    *({"new": places} for places in (1, 2, 3, 5)),
    *({"discovery": budget} for budget in (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)),
)


def main() -> None:
    """Print a table of whole lists, and one of lists of new artists."""
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("embeddings", help="an .npz in the folder: item_id and embedding")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with np.load(arguments.folder / arguments.embeddings) as stored:
        embeddings = pd.DataFrame(stored["embedding"], index=stored["item_id"])
    training, known, new = _split(load_folder(arguments.folder), embeddings, arguments.seed)
    started = time.process_time()
    model = Recommender(RecommenderConfig(threads=1, tracking=False)).fit(training, embeddings)
    print(f"fit: {time.process_time() - started:.0f} s of one processor", flush=True)

    sampled = new[np.random.default_rng(arguments.seed).random(len(new)) < 0.2]
    played = pd.concat([known, sampled]).groupby("user_id")["item_id"].agg(set).to_dict()
    users = [user for user in training.interactions["user_id"].unique() if user in played]
    rows, best = [], 0.0
    for setting in SETTINGS:
        lists = model.recommend_many(users, K, **setting)
        value = _ndcg(lists, played)
        best = best or value
        rows.append(
            {**_name(setting), "ndcg": value, "loss": 1 - value / best} | _shown(lists, users)
        )
    print(pd.DataFrame(rows).round(4).to_string(index=False))

    fans = new.groupby("user_id")["item_id"].agg(set).to_dict()
    everybody = training.interactions["user_id"].unique().tolist()
    ids = model.recommend(everybody[0], 100_000, new="only", exclude_seen=False)["item_id"].tolist()
    rows = []
    for places in (10, 2):
        for name, options in (("rule", {"new": "only"}), ("plain scores", {"only": ids})):
            lists = model.recommend_many(everybody, places, **options)
            value = _ndcg(lists, {user: fans[user] for user in everybody if user in fans})
            rows.append({"places": places, "by": name, "ndcg": value} | _shown(lists, everybody))
    print(pd.DataFrame(rows).round(4).to_string(index=False))


def _split(
    dataset: MusicDataset, embeddings: pd.DataFrame, seed: int
) -> tuple[MusicDataset, pd.DataFrame, pd.DataFrame]:
    """The training data, and the held-out plays of known and of new artists."""
    rng = np.random.default_rng(seed)
    plays = dataset.interactions
    heard = np.intersect1d(embeddings.index.to_numpy(), plays["item_id"].unique())
    chosen = rng.choice(heard, len(heard) // 5, replace=False)
    is_new = plays["item_id"].isin(chosen)
    is_held = ~is_new & (rng.random(len(plays)) < 0.2)
    items = dataset.items.copy()
    items.loc[items["item_id"].isin(chosen), "genre"] = ""
    training = MusicDataset(items=items, interactions=plays[~is_new & ~is_held])
    return training, plays[is_held], plays[is_new]


def _name(setting: dict[str, Any]) -> dict[str, str]:
    return {"lists": ", ".join(f"{name}={value}" for name, value in setting.items())}


def _ndcg(lists: pd.DataFrame, played: dict[str, set[str]]) -> float:
    """Mean nDCG@10 over the users who have played something that is tested."""
    hit = [
        item in played.get(user, ())
        for user, item in zip(lists["user_id"], lists["item_id"], strict=True)
    ]
    gain = pd.Series(DISCOUNT[lists["rank"].to_numpy() - 1] * hit)
    gain = gain.groupby(lists["user_id"].to_numpy()).sum().reindex(list(played)).fillna(0)
    ideal = np.array([IDEAL[min(len(items), K) - 1] for items in played.values()])
    return float((gain.to_numpy() / ideal).mean())


def _shown(lists: pd.DataFrame, users: list[str]) -> dict[str, float]:
    counts = lists[lists["new"]]["item_id"].value_counts().to_numpy()
    return {
        "places_new": float(lists["new"].mean()),
        "shown": len(counts),
        "to_ten": int((counts >= 10).sum()),
        "largest_share": float(counts.max(initial=0) / len(users)),
    }


if __name__ == "__main__":
    main()
