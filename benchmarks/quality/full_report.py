"""The whole report on real listening and real recordings, with its time and peak memory.

    python -m benchmarks.quality.full_report ../shared/data /tmp/report --cache /tmp/cold-start
    ... --splits warm,cold,semi-cold:2,time

The listening is Last.fm's (real-mini), the recordings are log-mel images (gtzan-logmel) of 103 of
its artists; those are the items that are held out. A network is trained for every training side,
without the artists that are held out there. --cache keeps what each network heard.
"""

import resource
import time
from pathlib import Path

from benchmarks.common import (
    ImageEmbeddings,
    RecordedListening,
    add_network_arguments,
    argument_parser,
    network_config,
)
from datasets.music import MusicDataset
from recsys.experiments.models import OURS
from recsys.experiments.offline_evaluation import EvaluationConfig, evaluate


def main() -> None:
    """Write the report, and print its summary and what it took."""
    parser = argument_parser(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--models", default=",".join(OURS))
    parser.add_argument("--splits", default="warm,cold")
    parser.add_argument("--folds", type=int, default=1)
    parser.add_argument("--learning-curve", action="store_true")
    add_network_arguments(parser)
    arguments = parser.parse_args()

    data, config = RecordedListening(arguments.data), network_config(arguments)
    recorded = set(data.recorded)
    embeddings: dict[str, ImageEmbeddings] = {}

    def encoders(training: MusicDataset) -> ImageEmbeddings:
        side = training.digest()
        if side not in embeddings:
            frame = data.embeddings(training, config, arguments.cache)
            embeddings[side] = ImageEmbeddings(data.clips, frame)
        return embeddings[side]

    started = time.perf_counter()
    measured = EvaluationConfig(
        models=arguments.models.split(","),
        splits=arguments.splits.split(","),
        folds=arguments.folds,
        learning_curve=arguments.learning_curve,
        genre_folds=0,
        among=recorded,
        noun="artists",
    )
    evaluation = evaluate(
        data.dataset,
        arguments.out,
        config,
        measured,
        encoders=encoders,
        command=f"python -m benchmarks.quality.full_report DATA OUT --seed {arguments.seed}",
        progress=True,
    )
    for sentence in evaluation.summary:
        print(sentence)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{time.perf_counter() - started:.0f} s, peak memory {peak:,.0f} MiB")


if __name__ == "__main__":
    main()
