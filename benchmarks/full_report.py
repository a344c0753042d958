"""The whole report on real listening and real recordings, with its time and peak memory.

    python benchmarks/full_report.py ../shared/data /tmp/report --cache /tmp/cold-start
    python benchmarks/full_report.py ../shared/data /tmp/report --splits warm,cold,semi-cold:2,time

The listening is Last.fm's (real-mini), the recordings are log-mel images (gtzan-logmel) of 103 of
its artists; those are the items that are held out. A network is trained for every training side,
without the artists that are held out there. --cache keeps what each network heard.
"""

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import pandas as pd
from cold_start import ImageHearing, _heard

from datasets.folder import load_folder
from datasets.music import MusicDataset, no_audio
from embedding.network.config import EncoderConfig
from recsys.config import RecommenderConfig
from recsys.experiments.evaluate import evaluate_dataset
from recsys.experiments.models import OURS


def main() -> None:
    """Write the report, and print its summary and what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--models", default=",".join(OURS))
    parser.add_argument("--splits", default="warm,cold")
    parser.add_argument("--folds", type=int, default=1)
    parser.add_argument("--learning-curve", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--recipe", choices=("patent", "modern"), default="patent")
    parser.add_argument("--epochs", type=int, default=None, help="of the network")
    parser.add_argument("--cache", type=Path, default=None)
    arguments = parser.parse_args()

    dataset = load_folder(arguments.data / "real-mini")
    # The recordings are the images, so the data set's own are left out.
    dataset = MusicDataset.from_checked(dataset.items, no_audio(), dataset.interactions, None)
    clips = pd.read_csv(arguments.data / "gtzan-logmel" / "clips.csv").fillna({"item_id": ""})
    images = np.load(arguments.data / "gtzan-logmel" / "logmel.npz")["logmel"]
    changes = {} if arguments.epochs is None else {"epochs": arguments.epochs}
    config = RecommenderConfig(
        seed=arguments.seed,
        threads=arguments.threads,
        tracking=False,
        encoder=EncoderConfig.recipe(arguments.recipe, **changes),
    )
    recorded = set(clips.item_id) - {""}
    heard: dict[frozenset[str], ImageHearing] = {}

    def ears(training: MusicDataset) -> ImageHearing:
        held_out = frozenset(recorded - set(training.items["item_id"]))
        if held_out not in heard:
            frame = _heard(clips, images, set(held_out), config.network, arguments.cache)
            heard[held_out] = ImageHearing(clips, frame)
        return heard[held_out]

    started = time.perf_counter()
    evaluation = evaluate_dataset(
        dataset,
        arguments.out,
        config,
        models=arguments.models.split(","),
        splits=arguments.splits.split(","),
        folds=arguments.folds,
        curve=arguments.learning_curve,
        genre_folds=0,
        ears=ears,
        among=recorded,
        noun="artists",
        command=f"python benchmarks/full_report.py DATA OUT --seed {arguments.seed}",
        progress=True,
    )
    for sentence in evaluation.summary:
        print(sentence)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{time.perf_counter() - started:.0f} s, peak memory {peak:,.0f} MiB")


if __name__ == "__main__":
    main()
