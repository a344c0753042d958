"""The command `coldtune demo`: everything the library does, on a generated catalogue."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from datasets.columns import ITEM_ID, RANK, USER_ID
from recsys.commands.options import Seed, Threads, Tracking, recommender_config
from recsys.commands.printing import echo, print_frame, print_info

if TYPE_CHECKING:
    from datasets.music import MusicDataset
    from recsys.config import RecommenderConfig
    from recsys.recommender import Recommender

NEW_SONG = "new-song"

SIMULATED = (
    "The listeners of this data set are simulated and its songs are composed by rule: the figures "
    "show that the models find what the simulation put in, not how well they do with real people."
)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for catalogue, model and report.")] = Path(
        "demo"
    ),
    seed: Seed = None,
    threads: Threads = None,
    tracking: Tracking = None,
) -> None:
    """Make a demo catalogue and do everything with it, from audio to the evaluation report."""
    demonstrate(out, recommender_config(None, seed, threads, tracking))


def demonstrate(out: Path, config: "RecommenderConfig") -> None:
    """Generate the demo catalogue, fit, recommend, onboard a new song, evaluate; print each step.

    An interrupted demonstration goes on where it was when it is called again.

    Args:
        out: folder for `catalogue/`, `model/` and `report/`.
        config: settings of the recommender.
    """
    from datasets.demo.make import make_demo
    from recsys.experiments.offline_evaluation import EvaluationConfig, evaluate
    from recsys.recommender import Recommender

    with _chapter("1. A catalogue of songs composed by rule, and listeners who are SIMULATED"):
        dataset = make_demo(out / "catalogue", seed=config.seed, workers=config.n_threads)
        echo(repr(dataset))
    with _chapter("2. Learning: audio, hyper-images, network, ALS, factorization machine, fusion"):
        recommender = Recommender(config).fit(dataset, progress=True)
        recommender.save(out / "model", replace=True)  # of an earlier demonstration
        print_info(recommender.info, as_json=False)
    with _chapter("3. Recommendations"):
        user = _typical_listener(dataset)
        echo(f"for {user}; cold songs are those that nobody has played")
        print_frame(recommender.recommend(user, k=5))
    with _chapter("4. Onboarding a song that nobody has played"):
        _onboard(recommender, dataset, out / "catalogue")
    with _chapter("5. Evaluation on held-out plays and held-out songs"):
        evaluation = evaluate(
            dataset,
            out / "report",
            config,
            EvaluationConfig(notes=(SIMULATED,), noun="songs"),
            command=f"coldtune demo --out {out} --seed {config.seed}",
            progress=True,
        )
        for sentence in evaluation.summary:
            echo(sentence)
        echo(SIMULATED)
    echo(f"\nOpen {evaluation.path} in a browser. The model is in {out / 'model'}:")
    echo(f"  coldtune recommend {out / 'model'} {user}")
    echo(f"  coldtune similar {out / 'model'} {NEW_SONG} --by sound")


def _onboard(recommender: "Recommender", dataset: "MusicDataset", catalogue: Path) -> None:
    from datasets.demo.make import write_new_song
    from datasets.demo.rendering import read_tags

    path = write_new_song(catalogue, new_artist=True)
    tags = read_tags(path)
    added = recommender.onboard(
        path, item_id=NEW_SONG, title=tags.title, artist=tags.artist, album=tags.album
    )
    echo(
        f"{tags.title} by {tags.artist}, a new artist; composed as {tags.genre}, "
        f"sounds to the network like {added.predicted} ({added.probability:.0%})"
    )
    echo("nearest by sound:")
    print_frame(recommender.similar(NEW_SONG, k=5, by="sound"))
    users = dataset.interactions[USER_ID].unique()
    lists = recommender.recommend_many(users, k=10)
    found = lists[lists[ITEM_ID] == NEW_SONG].sort_values(RANK)
    echo(f"it is at once among the ten recommended to {len(found)} of {len(users)} listeners")


def _typical_listener(dataset: "MusicDataset") -> str:
    """Return the user with the median number of songs."""
    songs = dataset.interactions.groupby(USER_ID)[ITEM_ID].nunique().sort_values(kind="stable")
    return str(songs.index[len(songs) // 2])


@contextmanager
def _chapter(title: str) -> Iterator[None]:
    started = time.perf_counter()
    typer.secho(f"\n{title}", bold=True)
    yield
    typer.secho(f"({time.perf_counter() - started:.1f} s)", dim=True)
