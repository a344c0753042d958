"""The command `coldtune demo`: everything the library does, on a generated catalogue."""

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from datasets.columns import ITEM_ID, USER_ID
from recsys.commands.options import Seed, Threads, Tracking, recommender_config
from recsys.commands.printing import echo, print_frame, print_info

if TYPE_CHECKING:
    from datasets.music import MusicDataset
    from recsys.config import RecommenderConfig
    from recsys.experiments.offline_evaluation import EvaluationConfig
    from recsys.recommender import Recommender

NEW_SONG = "new-song"

_EPOCHS = 20
"""Passes of LightFM over the plays where time is short; the hybrid of the
demo has nDCG@10 .549 of known songs and .430 of new ones by them."""

_NETWORK_EPOCHS = 12
"""Passes of the network over the recordings where time is short."""

_TAGS = ("genre", "emotion", "instrument")
"""What the network learns to tell beside taste: all that the demo's catalogue says of its songs."""

_AUDIENCE = 100
"""Listeners among whom one is looked for whose list has the new song."""

SIMULATED = (
    "The listeners of this data set are simulated and its songs are composed by rule: the figures "
    "show that the models find what the simulation put in, not how well they do with real people."
)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for catalogue, model and report.")] = Path(
        "demo"
    ),
    full: Annotated[
        bool,
        typer.Option("--full", help="Learn and measure at full length: all models, all controls."),
    ] = False,
    seed: Seed = None,
    threads: Threads = None,
    tracking: Tracking = None,
) -> None:
    """Make a demo catalogue and do everything with it, from audio to a verdict; two minutes."""
    demonstrate(out, recommender_config(None, seed, threads, tracking), full=full)


def demonstrate(out: Path, config: "RecommenderConfig", *, full: bool = False) -> None:
    """Generate the demo catalogue, fit, recommend, evaluate, onboard a new song; print each step.

    An interrupted demonstration goes on where it was when it is called again.

    Args:
        out: folder for `catalogue/`, `model/` and `report/`.
        config: settings of the recommender.
        full: learn with these settings, and measure all models on all splits beside all controls;
            else LightFM passes over the plays fewer times, and what is measured is what the verdict
            needs.
    """
    from datasets.demo.make import make_demo
    from evaluation import judge
    from recsys.experiments.offline_evaluation import evaluate
    from recsys.recommender import Recommender

    command = f"coldtune demo --out {shlex.quote(str(out))}"
    command += f" --seed {config.seed}" if config.seed else ""
    config, measured = plan(config, command, full=full)
    with _chapter("1. A catalogue of songs composed by rule, and listeners who are SIMULATED"):
        dataset = make_demo(out / "catalogue", seed=config.seed, workers=config.n_threads)
        echo(repr(dataset))
    with _chapter("2. Learning: audio, hyper-images, network, ALS, factorization machine, fusion"):
        recommender = Recommender(config).fit(dataset, progress=True)
        recommender.save(out / "model", replace=True)  # of an earlier demonstration
        print_info(recommender.info, as_json=False)
    with _chapter("3. Recommendations"):
        user = _typical_listener(dataset)
        echo(f"for {user}; new songs are those that nobody has played")
        print_frame(recommender.recommend(user, k=5))
    with _chapter("4. Is it any good? Measured on plays and on songs that were held out"):
        evaluation = evaluate(
            dataset,
            out / "report",
            config,
            measured,
            command=command + (" --full" if full else ""),
            progress=True,
        )
        for sentence in evaluation.summary:
            echo(sentence)
    with _chapter("5. A new song, which nobody has played"):
        _onboard(recommender, out / "catalogue")
    typer.secho("\n6. The verdict", bold=True)
    verdict = judge(evaluation.comparison, "songs")
    for tile in verdict.tiles:
        echo(f"  {tile.title}: {tile.value} {tile.unit}. {tile.answer}")
    typer.secho(f"{verdict.outcome.upper()}: {verdict.reason}", bold=True)
    echo(SIMULATED)
    echo(f"\nOpen {evaluation.path} in a browser. The model is in {out / 'model'}:")
    echo(f"  coldtune recommend {out / 'model'} {user}")
    echo(f"  coldtune audience {out / 'model'} {NEW_SONG}")
    echo(f"  coldtune map {out / 'model'} --out {out / 'map.html'}")
    if not full:
        echo("Five minutes, for a report on all models, splits and controls:")
        echo(f"  {command} --full")
    echo("Hear it in a browser, and drop a recording of your own on the page:")
    echo(f"  coldtune serve {shlex.quote(str(out / 'model'))}")


def plan(
    config: "RecommenderConfig", command: str, *, full: bool
) -> "tuple[RecommenderConfig, EvaluationConfig]":
    """Choose what a demonstration learns with and what it measures.

    Args:
        config: settings of the recommender.
        command: the command of the demonstration, to be shown.
        full: see `demonstrate`.

    Examples:
        >>> from recsys import RecommenderConfig
        >>> config, measured = plan(RecommenderConfig(), "coldtune demo", full=False)
        >>> config.fm.epochs, config.encoder.tags, measured.splits
        (20, ('genre', 'emotion', 'instrument'), ('mixed',))
    """
    from evaluation.models.controls import SHUFFLED_AUDIO
    from recsys.experiments.offline_evaluation import EvaluationConfig

    config = config.replace(encoder=config.encoder.replace(tags=_TAGS))
    if full:
        return config, EvaluationConfig(notes=(SIMULATED,), noun="songs")
    config = config.replace(
        fm=config.fm.replace(epochs=_EPOCHS), encoder=config.encoder.replace(epochs=_NETWORK_EPOCHS)
    )
    return config, EvaluationConfig(
        models=("hybrid", "content", "popularity", "random"),
        splits=("mixed",),
        controls=(SHUFFLED_AUDIO,),
        ks=(10,),
        genre_folds=0,
        noun="songs",
        notes=(SIMULATED, f"Few models, so that it takes two minutes; all: {command} --full"),
    )


def _onboard(recommender: "Recommender", catalogue: Path) -> None:
    """Take in a new song; show what it is like, who should hear it, and a list that has it."""
    from datasets.demo.make import write_new_song
    from datasets.demo.rendering import read_tags

    path = write_new_song(catalogue, new_artist=True)
    tags = read_tags(path)
    added = recommender.onboard(
        path.absolute(), item_id=NEW_SONG, title=tags.title, artist=tags.artist, album=tags.album
    )
    echo(
        f"{tags.title} by {tags.artist}, a new artist; composed as {tags.genre}, "
        f"sounds to the network like {added.predicted} ({added.probability:.0%})"
    )
    echo("nearest by sound:")
    print_frame(recommender.similar(NEW_SONG, k=3, by="sound"))
    listeners = recommender.audience(NEW_SONG, k=_AUDIENCE)
    echo("its audience, the listeners who will like it best:")
    print_frame(listeners.head(5))
    _show_list_with(recommender, listeners[USER_ID].astype(str).tolist())


def _show_list_with(recommender: "Recommender", users: list[str]) -> None:
    """Show a list that has the new song: by its score, or with places kept for new songs."""
    for new, how in (
        (None, ""),
        (1, " with a place for a new song"),
        (2, " with two for new songs"),
    ):
        lists = recommender.recommend_many(users, k=10, new=new)
        having = lists[USER_ID][lists[ITEM_ID] == NEW_SONG]
        if len(having):
            user = str(having.iloc[0])
            echo(f"the list of {user}{how}, where it is one of them:")
            print_frame(recommender.recommend(user, k=10, new=new))
            return
    echo(f"the new songs for {users[0]}:")
    print_frame(recommender.recommend(users[0], k=10, new="only"))


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
