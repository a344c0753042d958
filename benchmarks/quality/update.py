"""New plays taken in by an update, against learning everything again.

    python -m benchmarks.quality.update ../shared/data/real-mini

The last tenth of the plays is new (a random one where there are no times); another tenth before it
is held out of everything, as the test. Compared are the model as it was, the model updated with
the new plays, and one learned again with them: nDCG@10 on the held-out plays of users who have
some, how many of ten items their lists share with those of the last, and seconds. A fit with
another seed shows how much two fits of the same plays share.
"""

import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.common import argument_parser
from datasets.folder import load_folder
from recsys import Recommender, RecommenderConfig

K = 10


def main() -> None:
    """Print one line for each of the three models."""
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--users", type=int, default=2000, help="users compared at most")
    arguments = parser.parse_args()

    dataset = load_folder(arguments.folder)
    dataset = type(dataset)(items=dataset.items, interactions=dataset.interactions)
    plays = dataset.interactions
    rng = np.random.default_rng(arguments.seed)
    order = rng.permutation(len(plays))
    if "timestamp" in plays:
        order = np.argsort(plays["timestamp"].to_numpy(), kind="stable")
    tenth = len(plays) // 10
    old, new = order[: -2 * tenth], order[-tenth:]
    test = plays.iloc[order[-2 * tenth : -tenth]]
    config = RecommenderConfig(
        seed=arguments.seed,
        threads=arguments.threads,
        tracking=False,
        als={"factors": arguments.factors},
        fm={"components": arguments.factors, "epochs": arguments.epochs},
    )

    model = Recommender(config).fit(dataset.take_interactions(old))
    known = pd.unique(plays.iloc[np.concatenate([old, new])]["user_id"])
    relevant = test.groupby("user_id")["item_id"].agg(set)
    relevant = relevant[relevant.index.isin(known)]
    users = sorted(rng.permutation(relevant.index.to_numpy())[: arguments.users])
    print(f"{len(old):,} plays, {len(new):,} new, {len(users):,} users compared")

    before = _lists(model, users)
    started = time.perf_counter()
    counts = model.update(plays.iloc[new])
    updating = time.perf_counter() - started
    started = time.perf_counter()
    updated = _lists(model, users)
    first = time.perf_counter() - started
    started = time.perf_counter()
    again = Recommender(config).fit(dataset.take_interactions(np.concatenate([old, new])))
    learning = time.perf_counter() - started
    refit = _lists(again, users)
    other = config.replace(seed=arguments.seed + 1)
    twin = Recommender(other).fit(dataset.take_interactions(np.concatenate([old, new])))
    by_luck = _lists(twin, users)

    overlap, stale, luck = (
        np.mean([len(lists[user].keys() & refit[user].keys()) / K for user in users])
        for lists in (updated, before, by_luck)
    )
    print(counts)
    print(f"as it was    nDCG@{K} {_ndcg(before, relevant):.4f}  overlap with refit {stale:.3f}")
    print(
        f"updated      nDCG@{K} {_ndcg(updated, relevant):.4f}  overlap with refit {overlap:.3f}"
        f"  {updating:.2f} s, and {first:.2f} s for the first lists"
    )
    print(f"fitted again nDCG@{K} {_ndcg(refit, relevant):.4f}  {learning:.2f} s")
    print(f"another seed nDCG@{K} {_ndcg(by_luck, relevant):.4f}  overlap with refit {luck:.3f}")


def _lists(model: Recommender, users: list[str]) -> dict[str, dict[str, int]]:
    """Rank from 0 of each item in each user's list."""
    frame = model.recommend_many(users, k=K)
    return {
        str(user): {item: rank for rank, item in enumerate(items)}
        for user, items in frame.groupby("user_id")["item_id"]
    }


def _ndcg(lists: dict[str, dict[str, int]], relevant: "pd.Series[set[str]]") -> float:
    discount = 1 / np.log2(np.arange(2, K + 2))
    found = [
        sum(discount[rank] for item, rank in own.items() if item in relevant[user])
        / discount[: len(relevant[user])].sum()
        for user, own in lists.items()
    ]
    return float(np.mean(found))


if __name__ == "__main__":
    main()
