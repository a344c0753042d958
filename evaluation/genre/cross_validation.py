"""Genre accuracy by cross-validation in which, by default, no artist is on both sides.

The same classifier on the same clips gains twenty points where an artist is in training and in
the test, by recognising the artist; hence the groups (Pampalk, Flexer and Widmer, ISMIR 2005).
The table is that of US 2018/0276540 A1, Fig. 9A: loss and precision at rank 1 and 3, fold by fold;
the predictions are those of Fig. 9B.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from datasets.arrays import IntArray
from datasets.errors import ArtifactError, InvalidArgumentError
from datasets.progress import progress_bar
from evaluation.genre.folds import Encoder, FoldJob, FoldScores, Images, data_digest, run_folds
from evaluation.genre.scores import (
    MEASURES,
    averaged,
    confusion_matrix,
    fold_row,
    per_label,
    predictions,
    true_ranks,
)
from evaluation.genre.splits import assign_folds, check_split
from evaluation.serialization import json_safe

__all__ = ["Encoder", "GenreResult", "genre_cross_validation"]


@dataclass(frozen=True, eq=False)
class GenreResult:
    """The result of :func:`genre_cross_validation`."""

    table: pd.DataFrame
    """A row a fold: fold (from 1), n recordings tested, loss, precision@1, precision@3, those of
    single windows (window@1, window@3; NaN where recordings have one each), seconds."""
    confusion: pd.DataFrame
    """Recordings by true label (rows) and label ranked first (columns), all folds together."""
    predictions: pd.DataFrame
    """A row a recording (under the snippet split, a window): recording (position), fold, label,
    predicted, rank and probability of the true label."""
    scores: pd.DataFrame
    """The probability of every label (columns), row by row of ``predictions``; NaN where the
    training folds lack the label."""
    facts: Mapping[str, Any]
    """Recordings, groups, labels, folds, seed, split, and what was left out for want of a label."""

    @property
    def mean(self) -> dict[str, float]:
        """Mean over folds of loss, precision@1 and precision@3."""
        return {name: float(self.table[name].mean()) for name in MEASURES}

    @property
    def sd(self) -> dict[str, float]:
        """Standard deviation between folds (n - 1)."""
        return {name: float(self.table[name].std(ddof=1)) for name in MEASURES}

    @property
    def per_label(self) -> pd.DataFrame:
        """A row a label: label, n, precision, recall, F1."""
        return per_label(self.confusion)

    def to_dict(self) -> dict[str, Any]:
        """The result fit for JSON, without the single predictions."""
        safe: dict[str, Any] = json_safe(
            {
                "folds": self.table.to_dict("records"),
                "mean": self.mean,
                "sd": self.sd,
                "confusion": {
                    "labels": list(self.confusion.index),
                    "counts": self.confusion.to_numpy(),
                },
                "labels": self.per_label.to_dict("records"),
                "facts": dict(self.facts),
            }
        )
        return safe


def genre_cross_validation(
    images: Images,
    labels: ArrayLike,
    groups: ArrayLike,
    encoder_factory: Callable[[], Encoder],
    folds: int = 5,
    seed: int = 0,
    *,
    image_recording: ArrayLike | None = None,
    split: str = "artist",
    songs: ArrayLike | None = None,
    store: Path | None = None,
    key: str = "",
    jobs: int = 1,
    progress: bool = False,
    on_fold: Callable[[dict[str, float]], None] | None = None,
) -> GenreResult:
    """Train on all folds but one, test on that one, for each fold in turn.

    ``images`` [n_images, channels, height, width] (or whatever else the encoder takes, a row an
    image). ``labels`` and ``groups`` (artists) are one a recording, [n_recordings];
    ``image_recording`` [n_images] is the position of the recording an image is a window of, by
    default each image is a recording. The probabilities of one recording's windows are averaged.
    Recordings with a blank label are left out. Folds are stratified by label as far as whole
    groups allow.

    ``split`` is what stays on one side: ``"artist"`` the groups; ``"song"`` the ``songs``
    [n_recordings], by default every recording; ``"snippet"`` nothing but the window, each of
    which is then tested for itself. See :data:`~evaluation.genre.splits.SPLITS` for the leaks.

    With ``store``, a folder, each finished fold is kept there, and the same call goes on after the
    last that was finished; an encoder whose ``fit`` takes ``checkpoint`` goes on within a fold.
    ``key`` must then say in full what ``encoder_factory`` makes, as a change of settings is told
    by it alone; data, split, folds and seed are looked at. ``jobs`` folds run at once, each in a
    process of its own. ``on_fold`` is told every row of the table as it is
    ready, and with it whether it was ``kept`` from before.

    Loss is the mean cross-entropy, in nats, of the averaged probabilities. A recording whose label
    the training folds lack cannot be right: it counts as wrong, and is left out of the loss.

    Raises :class:`~datasets.errors.InvalidArgumentError` for lengths that do not fit, and
    :class:`~datasets.errors.EvaluationError` for fewer than two labels, fewer groups than folds, or
    probabilities that are none.
    """
    label = np.asarray(labels, dtype=object)
    group = np.asarray(groups, dtype=object)
    song = np.arange(len(label)) if songs is None else np.asarray(songs, dtype=object)
    owner = np.arange(len(images)) if image_recording is None else np.asarray(image_recording)
    check_split(split)
    if jobs < 1:
        raise InvalidArgumentError(f"jobs must be at least 1, not {jobs}")
    if store is not None and not key:
        raise InvalidArgumentError("folds are kept under a key that says what the encoder is")
    _check_lengths(images, label, group, song, owner)
    fold = _folds_of_images(label, group, song, owner, split, folds, seed)
    # A window that is tested for itself is a recording of its own.
    unit = np.arange(len(images)) if split == "snippet" else owner

    entries: list[Path | None] = [None] * folds
    if store is not None:
        data = data_digest(images, label, group, owner, fold)
        entries = [_entry(store, data, key, number) for number in range(folds)]
    work = [
        FoldJob(
            number + 1,
            images,
            label[owner],
            group[owner],
            np.flatnonzero((fold >= 0) & (fold != number)),
            np.flatnonzero(fold == number),
            encoder_factory,
            entries[number],
            progress and jobs == 1,
        )
        for number in range(folds)
    ]
    rows: dict[int, dict[str, float]] = {}
    parts: dict[int, list[pd.DataFrame]] = {}
    with (
        _shared(images, store) as images_file,
        progress_bar("genre cross-validation", folds, shown=progress and jobs > 1) as advance,
    ):
        for job, result in run_folds(work, jobs, images_file):
            rows[job.number], *tables = _judge(job, result, owner, unit, label)
            parts[job.number] = tables
            if on_fold is not None:
                on_fold(rows[job.number] | {"kept": result.kept})
            advance(1)
    numbers = range(1, folds + 1)
    everything = pd.concat([parts[n][0] for n in numbers], ignore_index=True)
    scores = pd.concat([parts[n][1] for n in numbers], ignore_index=True)
    used = np.unique(owner[fold >= 0])
    facts = {
        "recordings": len(used),
        "images": int((fold >= 0).sum()),
        "groups": len(set(group[used])),
        "labels": len(set(label[used])),
        "folds": folds,
        "seed": seed,
        "split": split,
        "left_out": len(label) - len(used),
        "label_not_in_training": int((everything["probability"].isna()).sum()),
        "most_common_share": float(pd.Series(label[used]).value_counts(normalize=True).iloc[0]),
    }
    return GenreResult(
        pd.DataFrame([rows[n] for n in numbers]),
        confusion_matrix(everything),
        everything,
        scores[sorted(scores.columns)],
        facts,
    )


def _check_lengths(
    images: Images,
    label: NDArray[Any],
    group: NDArray[Any],
    song: NDArray[Any],
    owner: NDArray[Any],
) -> None:
    for name, values in (("groups", group), ("songs", song)):
        if len(label) != len(values):
            raise InvalidArgumentError(
                f"{len(label)} labels and {len(values)} {name} must be as many"
            )
    if len(owner) != len(images):
        raise InvalidArgumentError(
            f"{len(images)} images need as many entries of image_recording, not {len(owner)}"
        )
    if owner.dtype.kind not in "iu" or (len(owner) and owner.min() < 0):
        raise InvalidArgumentError("image_recording must hold positions of recordings, from 0")
    if len(owner) and owner.max() >= len(label):
        raise InvalidArgumentError(
            f"an image belongs to recording {owner.max()}, and there are {len(label)} labels"
        )


def _folds_of_images(
    label: NDArray[Any],
    group: NDArray[Any],
    song: NDArray[Any],
    owner: NDArray[Any],
    split: str,
    folds: int,
    seed: int,
) -> IntArray:
    """Fold of each image, -1 where its recording has no label."""
    if split == "snippet":
        rows = np.flatnonzero(label[owner] != "")
        fold = np.full(len(owner), -1, dtype=np.int64)
        fold[rows] = assign_folds(label[owner][rows], rows, folds, seed, noun="windows")
        return fold
    used = np.flatnonzero((label != "") & (np.bincount(owner, minlength=len(label)) > 0))
    apart, noun = (group, "artists") if split == "artist" else (song, "songs")
    of_recording = np.full(len(label), -1, dtype=np.int64)
    of_recording[used] = assign_folds(label[used], apart[used], folds, seed, noun=noun)
    return of_recording[owner]


def _entry(store: Path, data: str, key: str, number: int) -> Path:
    """Where a fold is kept; its data includes which fold every image is in."""
    digest = hashlib.sha256(json.dumps([data, key, number]).encode()).hexdigest()
    return store / f"fold-{digest[:24]}.npz"


@contextmanager
def _shared(images: Images, store: Path | None) -> Iterator[Callable[[], Path]]:
    """What writes the images to a file for other processes; it is gone afterwards."""
    try:
        if store is not None:
            store.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArtifactError(f"{store}: folds cannot be kept there: {error.strerror}") from None
    with ExitStack() as stack:

        def write() -> Path:
            try:
                folder = tempfile.TemporaryDirectory(prefix="images-", dir=store)
                path = Path(stack.enter_context(folder)) / "images.npy"
                np.save(path, images, allow_pickle=False)
            except OSError as error:
                raise ArtifactError(f"images for the processes: {error}") from None
            return path

        yield write


def _judge(
    job: FoldJob,
    result: FoldScores,
    owner: NDArray[Any],
    unit: NDArray[Any],
    label: NDArray[Any],
) -> tuple[dict[str, float], pd.DataFrame, pd.DataFrame]:
    """A fold's row of the table, its predictions, and the scores behind them."""
    of_window = owner[job.test]
    _, first, position = np.unique(unit[job.test], return_index=True, return_inverse=True)
    recording = of_window[first]
    probability = averaged(result.probability, position, len(first), len(result.classes))
    predicted = predictions(probability, result.classes, label[recording])
    predicted.insert(0, "recording", recording)
    predicted.insert(1, "fold", job.number)
    window_rank, _ = true_ranks(result.probability, result.classes, label[of_window])
    row = fold_row(job.number, predicted, with_loss=result.calibrated)
    several = len(np.unique(of_window)) < len(of_window)
    row |= {f"window@{k}": float((window_rank <= k).mean()) if several else np.nan for k in (1, 3)}
    row["seconds"] = result.seconds
    return row, predicted, pd.DataFrame(probability, columns=result.classes)
