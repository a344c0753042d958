"""The hybrid against tuned peers on real listening: five folds over interactions.

    python -m benchmarks.quality.warm ../shared/data/real-mini --folds 5 --threads 2

Recordings are left out (29 of 17,632 items have one). Every model sees the same training side; the
settings of peers, and ours that are left to the data, are chosen inside it. nDCG@10 and recall@20
are means over all users of all folds with bootstrap intervals over users, and the differences from
the best peer are paired by user.
"""

import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmarks.common import argument_parser
from datasets.folder import load_folder
from datasets.music import MusicDataset, empty_audio
from evaluation.comparison.bootstrap import mean_interval, paired_difference
from evaluation.comparison.comparison import compare
from evaluation.models.baselines import Popularity
from evaluation.models.external import PEERS
from evaluation.splitting.warm import warm_folds
from recsys import Recommender
from recsys.config import RecommenderConfig

CANDIDATES = "catalogue"
METRICS = (("ndcg", 10), ("recall", 20))


class Ours:
    """A recommender of some sources, as an evaluation wants it; says what it chose."""

    def __init__(self, config: RecommenderConfig) -> None:
        self.config = config

    def fit(self, dataset: MusicDataset) -> "Ours":
        self._recommender = Recommender(self.config).fit(dataset)
        info = self._recommender.info
        print(f"  {info['blend']['warm']} {info['settings']}", flush=True)
        return self

    def recommend_many(self, users, k, **filters):
        return self._recommender.recommend_many(users, k, **filters)


def main() -> None:
    """Print a line a model, best first."""
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--skip", type=int, default=0, help="leave out so many folds, the first")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--models", default="", help="names to keep, separated by commas")
    arguments = parser.parse_args()

    dataset = load_folder(arguments.folder)
    dataset = MusicDataset.from_checked(dataset.items, empty_audio(), dataset.interactions, None)
    base = RecommenderConfig(seed=arguments.seed, threads=arguments.threads, tracking=False)
    makers = {"popularity": lambda: Popularity(arguments.seed)}
    for name, peer in PEERS.items():
        makers[name] = lambda peer=peer: peer(arguments.seed, arguments.threads)
    makers["hybrid"] = lambda: Ours(base)
    for source in base.sources:
        if source not in ("content", "popularity"):  # without recordings; the same as popularity
            makers[f"our {source}"] = lambda source=source: Ours(base.replace(sources=(source,)))
    if arguments.models:
        makers = {name: makers[name] for name in arguments.models.split(",")}

    values = defaultdict(list)
    seconds = defaultdict(float)
    folds = warm_folds(dataset, arguments.folds, arguments.seed)[arguments.skip :]
    for fold in folds:
        started = time.perf_counter()
        found = compare(makers, dataset, [fold], ks=(10, 20), baseline=next(iter(makers)))
        for name in makers:
            for metric, k in METRICS:
                key = (fold.group, CANDIDATES, name, metric, k)
                users = found.units[fold.group, "users"]
                values[name, metric].append(dict(zip(users, found.values[key], strict=True)))
        for row in found.runs.to_dict("records"):
            seconds[row["model"]] += row["fit_seconds"] / len(folds)
        print(f"{fold.name}: {time.perf_counter() - started:.0f} s", flush=True)

    # A user's value is the mean over the folds that test them: folds of one user are no evidence
    # of their own.
    means = {}
    for key, parts in values.items():
        users = sorted(set().union(*parts))
        means[key] = np.array(
            [np.mean([part[user] for part in parts if user in part]) for user in users]
        )
    peers = [name for name in makers if name in PEERS]
    best = max(peers, key=lambda name: means[name, "ndcg"].mean(), default=None)
    order = sorted(makers, key=lambda name: -means[name, "ndcg"].mean())
    print(f"{'':16}  nDCG@10                recall@20              fit, s   nDCG@10 - {best}")
    for name in order:
        cells = []
        for metric, _ in METRICS:
            at = mean_interval(means[name, metric], seed=arguments.seed)
            cells.append(f"{at.mean:.4f} ({at.low:.4f}, {at.high:.4f})")
        gap = ""
        if best is not None and name != best:
            pair = means[name, "ndcg"], means[best, "ndcg"]
            d = paired_difference(*pair, seed=arguments.seed)
            share = 100 * d.mean / means[best, "ndcg"].mean()
            gap = f"{d.mean:+.4f} ({d.low:+.4f}, {d.high:+.4f}) {share:+.1f} %"
        print(f"{name:16}  {'  '.join(cells)}  {seconds[name]:6.1f}   {gap}")


if __name__ == "__main__":
    main()
