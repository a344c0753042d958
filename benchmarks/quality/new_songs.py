"""Do new songs reach their listeners? Given embeddings and real listening, over several splits.

    python -m benchmarks.quality.new_songs ../shared/data/lastfm-audio --embeddings embeddings.npz
    ... --embeddings embeddings-spotify.npz --seeds 0 1 2 --models hybrid content als+audio

Every split holds out a fifth of the items with an embedding, whole artists, and a fifth of the
plays of all items (`evaluation.splitting.mixed`). New items reach the models by their embeddings
alone. Printed are, as means over the splits with the standard error over them: the ranking of new
items among themselves (nDCG@10, item-wise AUC, over all their plays); known items among themselves;
both together; and for the hybrid the frontier: what a budget for new items costs in nDCG@10 of both
kinds together, against the places of new items, how many of them are shown, and their nDCG@10 in
whole lists, which single sources have at the places they give by themselves. --keep FOLDER keeps
results, so that a run can be resumed.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.common import argument_parser
from datasets.embedding_files import read_embedding_file
from datasets.folder import load_folder
from evaluation.comparison.comparison import Comparison, compare
from evaluation.metrics.ranking import AUDIENCE_RECALL, ITEM_AUC
from evaluation.models.baselines import PopularityOracle
from evaluation.models.controls import POPULARITY_ORACLE
from evaluation.splitting.mixed import mixed_split
from recsys import RecommenderConfig
from recsys.experiments.embeddings import GivenEmbeddings
from recsys.experiments.models import control_meanings, model_factories

BUDGETS = (0.01, 0.02, 0.05, 0.1)
MODELS = ("hybrid", "content", "als+audio", "lightfm+audio", "popularity", "random")
FIGURES = {
    "new: nDCG@10": ("cold", "ndcg"),
    "new: item AUC": ("cold", ITEM_AUC),
    "new: audience recall@100": ("cold", AUDIENCE_RECALL),
    "known: nDCG@10": ("played", "ndcg"),
    "both: nDCG@10": ("catalogue", "ndcg"),
}


def main() -> None:
    """Print the two tables."""
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--embeddings", default="embeddings.npz", help="a file in the folder")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--no-controls", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=None)
    arguments = parser.parse_args()
    dataset = load_folder(arguments.folder)
    embeddings = read_embedding_file(arguments.folder / arguments.embeddings)
    heard = set(embeddings.index)
    config = RecommenderConfig(threads=arguments.threads, tracking=False)
    rows, frontiers = [], []
    for seed in arguments.seeds:
        split = mixed_split(dataset, seed=seed, among=heard, name=f"seed {seed}")
        makers = model_factories(
            arguments.models,
            config.replace(seed=seed),
            encoders=GivenEmbeddings(embeddings),
            controls=not arguments.no_controls,
        )
        makers[POPULARITY_ORACLE] = lambda seed=seed: PopularityOracle(dataset, seed)
        keep = None if arguments.keep is None else arguments.keep / f"seed {seed}"
        found = []
        for own in (True, False):
            part = {name: maker for name, maker in makers.items() if (name == "hybrid") == own}
            if not part:
                continue
            found.append(
                compare(
                    part,
                    dataset,
                    [split],
                    ks=(10,),
                    metrics=("ndcg", ITEM_AUC, AUDIENCE_RECALL),
                    controls=control_meanings(part),
                    budgets=BUDGETS if own else (),
                    resume=keep,
                )
            )
        rows.append(pd.concat([figures(one) for one in found]))
        frontiers.append(pd.concat([frontier(one) for one in found]))
        print(f"seed {seed}: {len(split.cold_items)} new items", flush=True)
        print(rows[-1].round(4).to_string(), flush=True)
        print(frontiers[-1].round(4).to_string(), flush=True)
    print(f"\n{arguments.embeddings}: mean ± standard error over seeds {arguments.seeds}")
    print(over_splits(rows).to_string())
    print(over_splits(frontiers).to_string())


def figures(comparison: Comparison) -> pd.DataFrame:
    """The mean of each figure of each model of one split."""
    table: dict[str, dict[str, float]] = {}
    for (_, candidates, model, metric, _), values in comparison.values.items():
        for title, place in FIGURES.items():
            if (candidates, metric) == place:
                table.setdefault(model, {})[title] = float(np.nanmean(values))
    return pd.DataFrame(table).T.reindex(columns=list(FIGURES))


def frontier(comparison: Comparison) -> pd.DataFrame:
    """Cost, places, new items shown and their nDCG@10, of each model and budget of one split."""
    found = comparison.frontier
    found = found[~found["at_random"] & ~found["control"]]
    names = [
        f"{model} at {budget:g}" if budget == budget else f"{model}, own lists"
        for model, budget in zip(found["model"], found["discovery"], strict=True)
    ]
    columns = {
        "cost": "cost", "share": "places", "shown": "shown", "shown_to_ten": "shown to ten",
        "largest_share": "largest share", "ndcg_new": "nDCG@10 of new", "ndcg": "nDCG@10 of both",
    }  # fmt: skip
    return found.rename(columns=columns)[list(columns.values())].set_axis(names)


def over_splits(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Mean ± standard error over the tables of the splits."""
    both = pd.concat(tables).groupby(level=0, sort=False)
    mean = both.mean().round(4).astype(str)
    if len(tables) < 2:
        return mean
    return mean + " ± " + (both.std(ddof=1) / np.sqrt(len(tables))).round(4).astype(str)


if __name__ == "__main__":
    main()
