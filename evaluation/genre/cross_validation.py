"""Cross-validation of genre classifiers, by default with no artist in both training and test.

The same classifier on the same clips gains twenty points where an artist is in training and in
the test, by recognising the artist; hence the groups (Pampalk, Flexer and Widmer, ISMIR 2005).
The table is that of US 2018/0276540 A1, Fig. 9A: loss and precision at rank 1 and 3, fold by fold;
the predictions are those of Fig. 9B.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from datasets.arrays import IntArray, StrArray
from datasets.errors import ArtifactError, InvalidArgumentError
from datasets.progress import progress_bar
from datasets.system.files import write_array
from datasets.system.temporary import temporary_folder
from evaluation.genre.folds import FoldJob, FoldScores, GenreClassifier, data_digest, run_folds
from evaluation.genre.scores import (
    MEASURES,
    average_windows,
    calibration_over_folds,
    confusion_matrix,
    fold_measures,
    label_measures,
    prediction_table,
    true_ranks,
)
from evaluation.genre.splits import assign_folds, genre_split
from evaluation.serialization import json_safe


@dataclass(frozen=True, eq=False, repr=False)
class GenreResult:
    """Result of ``genre_cross_validation``.

    Examples:
        >>> measures = {"loss": [0.6, 0.4], "precision@1": [0.5, 1.0], "precision@3": [1.0, 1.0]}
        >>> folds = pd.DataFrame({"fold": [1, 2], "n": [2, 2], **measures})
        >>> genres = ["jazz", "rock"]
        >>> confusion = pd.DataFrame([[2, 0], [1, 1]], index=genres, columns=genres)
        >>> result = GenreResult(folds, confusion, pd.DataFrame(), pd.DataFrame(), {})
        >>> result.mean["precision@1"], result.per_label["recall"].tolist()
        (0.75, [1.0, 0.5])
    """

    table: pd.DataFrame
    """A row a fold: fold (from 1), n recordings tested, loss, precision@1, precision@3, the same of
    single windows (window@1, window@3; NaN where recordings have one each), neighbours@10 (see
    ``genre_cross_validation``; NaN for a classifier without embeddings), seconds."""
    confusion: pd.DataFrame
    """Recordings by true label (rows) and predicted label (columns), all folds together."""
    predictions: pd.DataFrame
    """A row a recording (under the snippet split, a window): recording (position), fold, label,
    predicted, rank and probability of the true label."""
    scores: pd.DataFrame
    """Probability of every label (columns), row by row of ``predictions``; NaN where the training
    folds lack the label."""
    facts: Mapping[str, Any]
    """Numbers of recordings, groups and labels; folds, seed, split; what was left out."""

    def __repr__(self) -> str:
        return f"<GenreResult: {len(self.table)} folds, precision@1 {self.mean['precision@1']:.3f}>"

    @property
    def mean(self) -> dict[str, float]:
        """Mean over folds of loss, precision@1 and precision@3."""
        return {name: float(self.table[name].mean()) for name in MEASURES}

    @property
    def sd(self) -> dict[str, float]:
        """Standard deviation between folds (n - 1)."""
        return {name: float(self.table[name].std(ddof=1)) for name in MEASURES}

    @property
    def calibration(self) -> dict[str, float]:
        """Expected calibration error before and after a temperature, and that temperature.

        See ``calibration_over_folds``; {} where the classifier gives no probabilities.
        """
        if not len(self.scores) or not np.isfinite(self.mean["loss"]):
            return {}
        right = self.predictions["label"].to_numpy()[:, None] == np.array(self.scores.columns, str)
        probability = np.nan_to_num(self.scores.to_numpy(np.float64))
        return calibration_over_folds(probability, right, self.predictions["fold"].to_numpy())

    @property
    def per_label(self) -> pd.DataFrame:
        """A row a label: label, n, precision, recall, F1."""
        return label_measures(self.confusion)

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON types, without the single predictions."""
        safe: dict[str, Any] = json_safe(
            {
                "folds": self.table.to_dict("records"),
                "mean": self.mean,
                "sd": self.sd,
                "calibration": self.calibration,
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
    images: NDArray[Any],
    labels: ArrayLike,
    groups: ArrayLike,
    encoder_factory: Callable[[], GenreClassifier],
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
    """Cross-validate a genre classifier: train on all folds but one, test on that one, in turn.

    Folds are stratified by label as far as whole groups allow. The probabilities of a recording's
    windows are averaged. The loss is the mean cross-entropy, in nats, of the averaged
    probabilities. A recording whose label is missing from its training folds counts as wrong and
    is left out of the loss; recordings with a blank label are left out altogether.

    Besides, of a classifier with embeddings, such as a network: of each tested recording the ten
    nearest, out of all recordings by other artists, by the cosine of the embeddings less their
    mean; neighbours@10 is the share of them with its label.

    Args:
        images: [n_images, channels, height, width], or whatever else the classifier takes, a row
            an image.
        labels: label of each recording, [n_recordings].
        groups: artist of each recording, [n_recordings].
        encoder_factory: makes an untrained classifier.
        folds: number of folds.
        seed: seed of the division into folds.
        image_recording: position of the recording that each image is a window of, [n_images]; by
            default each image is a recording.
        split: what is kept on one side: ``"artist"`` the groups; ``"song"`` the songs;
            ``"snippet"`` only the window, and each window is then tested for itself. See
            ``SPLITS`` for what leaks.
        songs: song of each recording, [n_recordings]; by default each recording is a song.
        store: folder that keeps the result of each finished fold: the same call continues after the
            last finished fold, and within a fold if the classifier's ``fit`` takes ``checkpoint``.
        key: complete description of what ``encoder_factory`` makes, needed with ``store``: kept
            results are used again only under the same key, data, split, folds and seed.
        jobs: folds run at once, each in its own process.
        progress: show progress bars.
        on_fold: called with each row of the table when it is ready, with one more entry, ``kept``:
            whether the result was read from the store.

    Returns:
        Tables by fold, by label and by recording.

    Raises:
        InvalidArgumentError: lengths that do not match, an unknown split, or ``jobs`` < 1.
        EvaluationError: fewer than two labels, fewer groups than folds, or predictions that are
            not probabilities.
        ArtifactError: the store cannot be written.

    Examples:
        >>> from functools import partial
        >>> from embedding import EncoderConfig, SongEncoder
        >>> from evaluation import genre_cross_validation
        >>> artists = [f"artist {n // 2}" for n in range(24)]
        >>> network = partial(SongEncoder, EncoderConfig(architecture="IC(2,5,4)PF(8)O", epochs=1))
        >>> result = genre_cross_validation(images, labels, artists, network, folds=2)
        >>> list(result.table["n"]), sorted(result.mean)
        ([12, 12], ['loss', 'precision@1', 'precision@3'])
    """
    genre_split(split)
    if jobs < 1:
        raise InvalidArgumentError(f"jobs must be at least 1, not {jobs}")
    if store is not None and not key:
        raise InvalidArgumentError("folds are kept under a key that says what the encoder is")
    label = np.asarray(labels, dtype=object)
    n = len(label)
    recordings = _Recordings(
        label,
        np.asarray(groups, dtype=object),
        np.arange(n).astype(object) if songs is None else np.asarray(songs, dtype=object),
        np.arange(len(images)) if image_recording is None else np.asarray(image_recording),
    )
    recordings.check(len(images))
    owner = recordings.of_image
    fold = recordings.folds_of_images(split, folds, seed)
    # Under the snippet split each window is tested like a recording.
    tested = np.arange(len(images)) if split == "snippet" else owner

    files: list[Path | None] = [None] * folds
    if store is not None:
        data = data_digest(images, label, recordings.groups, owner, fold)
        files = [_file(store, data, key, number) for number in range(folds)]
    work = [
        FoldJob(
            number=number + 1,
            images=images,
            labels=label[owner],
            groups=recordings.groups[owner],
            training=np.flatnonzero((fold >= 0) & (fold != number)),
            test=np.flatnonzero(fold == number),
            recording=tested,
            factory=encoder_factory,
            file=files[number],
            progress=progress and jobs == 1,
        )
        for number in range(folds)
    ]
    scored: dict[int, _ScoredFold] = {}
    with (
        _images_writer(images, store) as images_file,
        progress_bar("genre cross-validation", folds, shown=progress and jobs > 1) as advance,
    ):
        for job, result in run_folds(work, jobs, images_file):
            scored[job.number] = _score(job, result, recordings, tested)
            if on_fold is not None:
                on_fold(scored[job.number].row | {"kept": result.kept})
            advance(1)
    in_order = [scored[number] for number in range(1, folds + 1)]
    predictions = pd.concat([part.predictions for part in in_order], ignore_index=True)
    scores = pd.concat([part.scores for part in in_order], ignore_index=True)
    used = np.unique(owner[fold >= 0])
    facts = {
        "recordings": len(used),
        "images": int((fold >= 0).sum()),
        "groups": len(set(recordings.groups[used])),
        "labels": len(set(label[used])),
        "folds": folds,
        "seed": seed,
        "split": split,
        "left_out": n - len(used),
        "label_not_in_training": int((predictions["probability"].isna()).sum()),
        "most_common_share": float(pd.Series(label[used]).value_counts(normalize=True).iloc[0]),
    }
    return GenreResult(
        table=pd.DataFrame([part.row for part in in_order]),
        confusion=confusion_matrix(predictions),
        predictions=predictions,
        scores=scores[sorted(scores.columns)],
        facts=facts,
    )


@dataclass(frozen=True, eq=False)
class _Recordings:
    """Labels, artists and songs of recordings, and which recording each image is a window of."""

    labels: StrArray
    groups: StrArray
    songs: StrArray
    of_image: IntArray

    def check(self, n_images: int) -> None:
        """Raise InvalidArgumentError where lengths do not match or positions do not exist."""
        n = len(self.labels)
        for name, values in (("groups", self.groups), ("songs", self.songs)):
            if n != len(values):
                raise InvalidArgumentError(f"{n} labels and {len(values)} {name} must be as many")
        owner = self.of_image
        if len(owner) != n_images:
            raise InvalidArgumentError(
                f"{n_images} images need as many entries of image_recording, not {len(owner)}"
            )
        if owner.dtype.kind not in "iu" or (len(owner) and owner.min() < 0):
            raise InvalidArgumentError("image_recording must hold positions of recordings, from 0")
        if len(owner) and owner.max() >= n:
            raise InvalidArgumentError(
                f"an image belongs to recording {owner.max()}, and there are {n} labels"
            )

    def folds_of_images(self, split: str, folds: int, seed: int) -> IntArray:
        """Fold of each image; -1 where its recording has no label."""
        labels, owner = self.labels, self.of_image
        if split == "snippet":
            rows = np.flatnonzero(labels[owner] != "")
            of_image = np.full(len(owner), -1, dtype=np.int64)
            of_image[rows] = assign_folds(labels[owner][rows], rows, folds, seed, noun="windows")
            return of_image
        has_images = np.bincount(owner, minlength=len(labels)) > 0
        used = np.flatnonzero((labels != "") & has_images)
        apart, noun = (self.groups, "artists") if split == "artist" else (self.songs, "songs")
        of_recording = np.full(len(labels), -1, dtype=np.int64)
        of_recording[used] = assign_folds(labels[used], apart[used], folds, seed, noun=noun)
        return of_recording[owner]


@dataclass(frozen=True, eq=False)
class _ScoredFold:
    """A fold's row of the table, its predictions, and the probabilities behind them."""

    row: dict[str, float]
    predictions: pd.DataFrame
    scores: pd.DataFrame


def _score(
    job: FoldJob, result: FoldScores, recordings: _Recordings, tested: IntArray
) -> _ScoredFold:
    """Average the windows of each tested recording and compute the measures of the fold.

    ``tested``: what each image is averaged into, [n_images]: its recording, or only itself.
    """
    of_window = recordings.of_image[job.test]
    _, first, position = np.unique(tested[job.test], return_index=True, return_inverse=True)
    recording = of_window[first]
    probability = average_windows(result.probability, position, len(first), len(result.classes))
    predicted = prediction_table(probability, result.classes, recordings.labels[recording])
    predicted.insert(0, "recording", recording)
    predicted.insert(1, "fold", job.number)
    window_labels = recordings.labels[of_window]
    window_rank, _ = true_ranks(result.probability, result.classes, window_labels)
    row = fold_measures(job.number, predicted, with_loss=result.calibrated)
    several = len(np.unique(of_window)) < len(of_window)
    row |= {f"window@{k}": float((window_rank <= k).mean()) if several else np.nan for k in (1, 3)}
    row["neighbours@10"] = result.neighbours
    row["seconds"] = result.seconds
    return _ScoredFold(row, predicted, pd.DataFrame(probability, columns=result.classes))


def _file(store: Path, data: str, key: str, number: int) -> Path:
    """File of a fold's result; ``data`` is a digest that includes the fold of every image."""
    digest = hashlib.sha256(json.dumps([data, key, number]).encode()).hexdigest()
    return store / f"fold-{digest[:24]}.npz"


@contextmanager
def _images_writer(images: NDArray[Any], store: Path | None) -> Iterator[Callable[[], Path]]:
    """Yield a function that writes the images to a file, which is removed at the end."""
    try:
        if store is not None:
            store.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArtifactError(f"{store}: folds cannot be kept there: {error.strerror}") from None
    with ExitStack() as stack:

        def write() -> Path:
            try:
                path = stack.enter_context(temporary_folder(store)) / "images.npy"
                write_array(path, images)
            except OSError as error:
                raise ArtifactError(f"images for the processes: {error}") from None
            return path

        yield write
