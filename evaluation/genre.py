"""Genre accuracy by cross-validation in which no artist is on both sides.

The same classifier on the same clips gains twenty points where an artist is in training and in
the test, by recognising the artist; hence the groups (Pampalk, Flexer and Widmer, ISMIR 2005).
The table is that of US 2018/0276540 A1, Fig. 9A: loss and precision at rank 1 and 3, fold by fold.
"""

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from datasets.errors import EvaluationError, InvalidArgumentError
from embedding.progress import progress_bar
from evaluation.tables import json_safe

Images = NDArray[np.float32]

MEASURES: Final = ("loss", "precision@1", "precision@3")


class Encoder(Protocol):
    """What is cross-validated: anything that learns labels of images, such as a SongEncoder."""

    @property
    def classes_(self) -> Iterable[str]:
        """Labels in the order of the columns of ``predict_proba``."""

    def fit(self, images: Images, labels: Any, groups: Any = None) -> Any:
        """Learn from images [n, channels, height, width], a label and a group each."""

    def predict_proba(self, images: Images) -> NDArray[np.floating[Any]]:
        """Probability of every class, [n, classes]."""


@dataclass(frozen=True, eq=False)
class GenreResult:
    """The result of :func:`genre_cross_validation`."""

    table: pd.DataFrame
    """A row a fold: fold (from 1), n recordings tested, loss, precision@1, precision@3."""
    confusion: pd.DataFrame
    """Recordings by true label (rows) and label ranked first (columns), all folds together."""
    predictions: pd.DataFrame
    """A row a recording: recording (position), fold, label, predicted, rank of the true label."""
    facts: Mapping[str, Any]
    """Recordings, groups, labels, folds, seed, and recordings left out for want of a label."""

    @property
    def mean(self) -> dict[str, float]:
        """Mean over folds of loss, precision@1 and precision@3."""
        return {name: float(self.table[name].mean()) for name in MEASURES}

    @property
    def sd(self) -> dict[str, float]:
        """Standard deviation between folds (n - 1)."""
        return {name: float(self.table[name].std(ddof=1)) for name in MEASURES}

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
    progress: bool = False,
) -> GenreResult:
    """Train on all folds but one, test on that one, for each fold in turn.

    ``images`` [n_images, channels, height, width]. ``labels`` and ``groups`` (artists) are one a
    recording, [n_recordings]; ``image_recording`` [n_images] is the position of the recording an
    image is a window of, by default each image is a recording. The probabilities of one
    recording's windows are averaged. Recordings with a blank label are left out. Folds are
    stratified by label as far as whole groups allow.

    Loss is the mean cross-entropy, in nats, of the averaged probabilities. A recording whose label
    the training folds lack cannot be right: it counts as wrong, and is left out of the loss.

    Raises :class:`~datasets.errors.InvalidArgumentError` for lengths that do not fit, and
    :class:`~datasets.errors.EvaluationError` for fewer than two labels, fewer groups than folds, or
    probabilities that are none.
    """
    label = np.asarray(labels, dtype=object)
    group = np.asarray(groups, dtype=object)
    owner = np.arange(len(images)) if image_recording is None else np.asarray(image_recording)
    _check_lengths(images, label, group, owner)
    counts = np.bincount(owner, minlength=len(label))
    used = np.flatnonzero((label != "") & (counts > 0))
    fold_of = _assign_folds(label[used], group[used], folds, seed)
    fold = np.full(len(label), -1)
    fold[used] = fold_of

    rows, tables = [], []
    with progress_bar("genre cross-validation", folds, shown=progress) as advance:
        for number in range(folds):
            test = np.flatnonzero(fold == number)
            of_test = np.flatnonzero(fold[owner] == number)
            of_training = np.flatnonzero((fold[owner] >= 0) & (fold[owner] != number))
            predictions = _run_fold(
                images, label, group, owner, of_training, of_test, encoder_factory()
            )
            predictions.insert(0, "recording", test)
            predictions.insert(1, "fold", number + 1)
            tables.append(predictions)
            rows.append(_fold_row(number + 1, predictions))
            advance(1)
    everything = pd.concat(tables, ignore_index=True)
    names = sorted({*everything["label"], *everything["predicted"]})
    confusion = pd.crosstab(everything["label"], everything["predicted"]).reindex(
        index=names, columns=names, fill_value=0
    )
    facts = {
        "recordings": len(used),
        "images": int(counts[used].sum()),
        "groups": len(set(group[used])),
        "labels": len(set(label[used])),
        "folds": folds,
        "seed": seed,
        "left_out": len(label) - len(used),
        "label_not_in_training": int(everything["probability"].isna().sum()),
        "most_common_share": float(pd.Series(label[used]).value_counts(normalize=True).iloc[0]),
    }
    return GenreResult(pd.DataFrame(rows), confusion, everything, facts)


def _check_lengths(
    images: Images, label: NDArray[Any], group: NDArray[Any], owner: NDArray[Any]
) -> None:
    if len(label) != len(group):
        raise InvalidArgumentError(f"{len(label)} labels and {len(group)} groups must be as many")
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


def _assign_folds(
    label: NDArray[Any], group: NDArray[Any], folds: int, seed: int
) -> NDArray[np.int64]:
    """Fold of each recording, 0 … folds - 1; all of a group in one, labels spread evenly."""
    n_groups = len(set(group))
    if folds < 2 or n_groups < folds:
        raise EvaluationError(
            f"{folds} folds need at least 2 folds and as many artists; there are {n_groups}"
        )
    if len(set(label)) < 2:
        raise EvaluationError("genre accuracy needs recordings of at least two genres")
    most = int(pd.Series(label).value_counts().iloc[0])
    if most < folds:
        raise EvaluationError(
            f"{folds} folds need {folds} recordings of some genre; the most there are is {most}"
        )
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    fold = np.full(len(label), -1, dtype=np.int64)
    text = label.astype(str)
    with warnings.catch_warnings():
        # A label of fewer recordings than folds is no reason to stop, and the result says so.
        warnings.simplefilter("ignore", UserWarning)
        for number, (_, test) in enumerate(splitter.split(text, text, group.astype(str))):
            fold[test] = number
    if len(np.unique(fold)) < folds:
        raise EvaluationError(f"the {n_groups} artists do not fill {folds} folds; use fewer folds")
    return fold


def _run_fold(
    images: Images,
    label: NDArray[Any],
    group: NDArray[Any],
    owner: NDArray[Any],
    of_training: NDArray[np.int64],
    of_test: NDArray[np.int64],
    encoder: Encoder,
) -> pd.DataFrame:
    """Train on some images and predict the recordings of others, in order of the recordings."""
    trained_on = owner[of_training]
    encoder.fit(images[of_training], label[trained_on], groups=group[trained_on])
    classes = [str(name) for name in encoder.classes_]
    test, position = np.unique(owner[of_test], return_inverse=True)
    probability = np.asarray(encoder.predict_proba(images[of_test]), dtype=np.float64)
    return _predict(_averaged(probability, position, len(test), len(classes)), classes, label[test])


def _averaged(
    probability: NDArray[np.float64], owner: NDArray[Any], n: int, n_classes: int
) -> NDArray[np.float64]:
    """Mean over the windows of each recording, [n, classes]."""
    if probability.shape != (len(owner), n_classes) or not np.isfinite(probability).all():
        raise EvaluationError(
            f"predict_proba must give finite numbers of shape {(len(owner), n_classes)},"
            f" not {probability.shape}"
        )
    if (probability < 0).any() or not np.allclose(probability.sum(axis=1), 1.0, atol=1e-3):
        raise EvaluationError("predict_proba must give probabilities that add up to 1")
    total = np.zeros((n, n_classes))
    np.add.at(total, owner, probability)
    averaged: NDArray[np.float64] = total / np.bincount(owner, minlength=n)[:, None]
    return averaged


def _predict(
    probability: NDArray[np.float64], classes: list[str], label: NDArray[Any]
) -> pd.DataFrame:
    """Label ranked first, rank and probability of the true label; missing where it is no class."""
    truth = pd.Index(classes).get_indexer(pd.Index(label.astype(str)))
    own = np.where(truth >= 0, probability[np.arange(len(label)), truth], np.nan)
    # Ties count against the model: equal probabilities rank the true label last among them.
    rank = np.where(truth >= 0, (probability >= own[:, None]).sum(axis=1), len(classes) + 1)
    return pd.DataFrame(
        {
            "label": label.astype(str).astype(object),
            "predicted": np.array(classes, dtype=object)[probability.argmax(axis=1)],
            "rank": rank,
            "probability": own,
        }
    )


def _fold_row(number: int, predictions: pd.DataFrame) -> dict[str, float]:
    known = predictions["probability"].dropna().to_numpy()
    # float32 softmax can give exactly 0; its smallest step bounds the loss of such a miss.
    loss = -np.log(np.maximum(known, np.finfo(np.float32).eps))
    return {
        "fold": number,
        "n": len(predictions),
        "loss": float(loss.mean()) if len(loss) else float("nan"),
        "precision@1": float((predictions["rank"] <= 1).mean()),
        "precision@3": float((predictions["rank"] <= 3).mean()),
    }
