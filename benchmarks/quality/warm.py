"""The hybrid against tuned peers on real listening: five folds over interactions.

    python -m benchmarks.quality.warm ../shared/data/real-mini --folds 5 --threads 2
    ... ../shared/data/lastfm-audio --binary --embeddings embeddings.npz
    ... ../shared/data/real-mini --peers --models implicit-als,gf-cf,edlae,slim,recvae,hybrid

Recordings are left out (29 of 17,632 items have one). Every model sees the same training side; the
settings of peers, and ours that are left to the data, are chosen inside it. nDCG@10, nDCG@20 and
recall@20 are means over all users of all folds with bootstrap intervals over users, and the
differences from the best peer are paired by user; fits are in seconds of the processor. With
`--embeddings` the items that have none are left out, as in published comparisons of multimodal
recommenders, and the hybrid is fitted without and with them ("hybrid with sound"). `--peers` adds
graph filters, SLIM and autoencoders (`benchmarks.quality.peers`), and differences are from the
hybrid.
"""

import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.common import argument_parser
from benchmarks.quality.peers import GRAPH_AND_AUTOENCODERS
from datasets.embedding_files import read_embedding_file
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
METRICS = (("ndcg", 10), ("ndcg", 20), ("recall", 20))


class Ours:
    """A recommender of some sources, as an evaluation wants it; says what it chose."""

    def __init__(self, config: RecommenderConfig, embeddings: pd.DataFrame | None = None) -> None:
        self.config, self.embeddings = config, embeddings

    def fit(self, dataset: MusicDataset) -> "Ours":
        embeddings = self.embeddings
        if embeddings is not None:
            embeddings = embeddings[embeddings.index.isin(dataset.items["item_id"])]
        self._recommender = Recommender(self.config).fit(dataset, embeddings=embeddings)
        info = self._recommender.info
        print(f"  {info['blend']['warm']} {info['settings']}", flush=True)
        return self

    def recommend_many(self, users, k, **filters):
        return self._recommender.recommend_many(users, k, **filters)


class Timed:
    """A model whose fit is counted in seconds of the processor, the choice of settings included."""

    def __init__(self, model, seconds: list[float]) -> None:
        self.model, self.seconds = model, seconds

    def fit(self, dataset: MusicDataset) -> "Timed":
        started = time.process_time()
        self.model.fit(dataset)
        self.seconds.append(time.process_time() - started)
        if chosen := getattr(self.model, "chosen", None):
            print(f"  {type(self.model).__name__} {chosen}", flush=True)
        return self

    def recommend_many(self, users, k, **filters):
        return self.model.recommend_many(users, k, **filters)


def main() -> None:
    """Print a line a model, best first."""
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--embeddings", default=None, help="a file in the folder")
    parser.add_argument("--binary", action="store_true", help="every play has weight 1")
    parser.add_argument("--peers", action="store_true", help="graph filters, SLIM, autoencoders")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--skip", type=int, default=0, help="leave out so many folds, the first")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--models", default="", help="names to keep, separated by commas")
    arguments = parser.parse_args()

    dataset = load_folder(arguments.folder)
    items, plays, embeddings = dataset.items, dataset.interactions, None
    if arguments.binary:
        plays = plays.assign(weight=1.0)
    if arguments.embeddings is not None:
        embeddings = read_embedding_file(arguments.folder / arguments.embeddings)
        items = items[items["item_id"].isin(embeddings.index)].reset_index(drop=True)
        plays = plays[plays["item_id"].isin(embeddings.index)].reset_index(drop=True)
    dataset = MusicDataset.from_checked(items, empty_audio(), plays, None)
    base = RecommenderConfig(seed=arguments.seed, threads=arguments.threads, tracking=False)
    makers = {"popularity": lambda: Popularity(arguments.seed)}
    tuned = {**PEERS, **GRAPH_AND_AUTOENCODERS} if arguments.peers else PEERS
    for name, peer in tuned.items():
        makers[name] = lambda peer=peer: peer(arguments.seed, arguments.threads)
    makers["hybrid"] = lambda: Ours(base)
    if embeddings is not None:
        makers["hybrid with sound"] = lambda: Ours(base, embeddings)
    for source in base.sources:
        if source not in ("content", "popularity"):  # without recordings; the same as popularity
            makers[f"our {source}"] = lambda source=source: Ours(base.replace(sources=(source,)))
    if arguments.models:
        makers = {name: makers[name] for name in arguments.models.split(",")}

    values = defaultdict(list)
    seconds: dict[str, list[float]] = defaultdict(list)
    timed = {
        name: lambda name=name, maker=maker: Timed(maker(), seconds[name])
        for name, maker in makers.items()
    }
    folds = warm_folds(dataset, arguments.folds, arguments.seed)[arguments.skip :]
    for fold in folds:
        started = time.perf_counter()
        found = compare(timed, dataset, [fold], ks=(10, 20), baseline=next(iter(makers)))
        for name in makers:
            for metric, k in METRICS:
                key = (fold.group, CANDIDATES, name, metric, k)
                users = found.units[fold.group, "users"]
                values[name, metric, k].append(dict(zip(users, found.values[key], strict=True)))
        print(f"{fold.name}: {time.perf_counter() - started:.0f} s", flush=True)

    # A user's value is the mean over the folds that test them: folds of one user are no evidence
    # of their own.
    means = {}
    for key, parts in values.items():
        users = sorted(set().union(*parts))
        means[key] = np.array(
            [np.mean([part[user] for part in parts if user in part]) for user in users]
        )
    peers = [name for name in makers if name in tuned]
    best = max(peers, key=lambda name: means[name, "ndcg", 10].mean(), default=None)
    # With --peers, differences are from the hybrid, otherwise from the best peer.
    against = "hybrid" if arguments.peers and "hybrid" in makers else best
    order = sorted(makers, key=lambda name: -means[name, "ndcg", 10].mean())
    names = "".join(f"{metric}@{k}".ljust(25) for metric, k in METRICS)
    print(f"{'':16}  {names}fit, s   nDCG@10 and nDCG@20 - {against}")
    for name in order:
        cells = []
        for metric, k in METRICS:
            at = mean_interval(means[name, metric, k], seed=arguments.seed)
            cells.append(f"{at.mean:.4f} ({at.low:.4f}, {at.high:.4f})")
        gaps = []
        for k in (10, 20) if against is not None and name != against else ():
            pair = means[name, "ndcg", k], means[against, "ndcg", k]
            d = paired_difference(*pair, seed=arguments.seed)
            share = 100 * d.mean / pair[1].mean()
            gaps.append(f"{d.mean:+.4f} ({d.low:+.4f}, {d.high:+.4f}) {share:+.1f} %")
        print(f"{name:16}  {'  '.join(cells)}  {np.mean(seconds[name]):6.1f}   {'; '.join(gaps)}")


if __name__ == "__main__":
    main()
