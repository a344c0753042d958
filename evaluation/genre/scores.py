"""Ranks, loss, precision and confusion matrices from class probabilities.

The measures are those of US 2018/0276540 A1, Fig. 9A (tables by fold) and 9B (predictions).
"""

from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datasets.arrays import BoolArray, Float64Array, IntArray
from datasets.errors import EvaluationError
from embedding.network.calibration import (
    expected_calibration_error,
    sharpened,
    temperature_of,
)

MEASURES: Final = ("loss", "precision@1", "precision@3")
"""Columns of measures in the table of folds."""


def average_windows(
    probability: Float64Array, owner: NDArray[Any], n: int, n_classes: int
) -> Float64Array:
    """Average the class probabilities of each recording's windows.

    Args:
        probability: [n_windows, n_classes].
        owner: recording of each window, 0 … n - 1, [n_windows].
        n: number of recordings.
        n_classes: number of classes.

    Returns:
        Mean probabilities, [n, n_classes].

    Raises:
        EvaluationError: wrong shape, or rows that are not probabilities.
    """
    if probability.shape != (len(owner), n_classes) or not np.isfinite(probability).all():
        raise EvaluationError(
            f"predict_proba must give finite numbers of shape {(len(owner), n_classes)},"
            f" not {probability.shape}"
        )
    if (probability < 0).any() or not np.allclose(probability.sum(axis=1), 1.0, atol=1e-3):
        raise EvaluationError("predict_proba must give probabilities that add up to 1")
    total = np.zeros((n, n_classes))
    np.add.at(total, owner, probability)
    means: Float64Array = total / np.bincount(owner, minlength=n)[:, None]
    return means


def true_ranks(
    probability: Float64Array, classes: list[str], labels: NDArray[Any]
) -> tuple[IntArray, Float64Array]:
    """Compute the rank and probability of each row's true label.

    Ties count against the classifier: among equal probabilities the true label is ranked last.

    Args:
        probability: [n, n_classes].
        classes: name of each column.
        labels: true label of each row, [n].

    Returns:
        Ranks from 1 [n], and probabilities [n]. A label that is not among the classes has rank
        n_classes + 1 and probability NaN.
    """
    truth = pd.Index(classes).get_indexer(pd.Index(labels.astype(str)))
    own = np.where(truth >= 0, probability[np.arange(len(labels)), truth], np.nan)
    rank = np.where(truth >= 0, (probability >= own[:, None]).sum(axis=1), len(classes) + 1)
    return rank.astype(np.int64), own


def prediction_table(
    probability: Float64Array, classes: list[str], labels: NDArray[Any]
) -> pd.DataFrame:
    """Tabulate label, predicted label, and rank and probability of the true label, row by row."""
    rank, own = true_ranks(probability, classes, labels)
    return pd.DataFrame(
        {
            "label": labels.astype(str).astype(object),
            "predicted": np.array(classes, dtype=object)[probability.argmax(axis=1)],
            "rank": rank,
            "probability": own,
        }
    )


def fold_measures(number: int, predicted: pd.DataFrame, *, with_loss: bool) -> dict[str, float]:
    """Compute the measures of one fold from its ``prediction_table``.

    Args:
        number: fold, from 1.
        predicted: a row a recording.
        with_loss: whether ``probability`` holds probabilities; otherwise the loss is NaN.

    Returns:
        fold, n (recordings), loss (mean cross-entropy in nats), precision@1 and precision@3.
    """
    known = predicted["probability"].dropna().to_numpy() if with_loss else np.empty(0)
    # A float32 softmax can give exactly 0; its smallest step bounds the loss of such a miss.
    loss = -np.log(np.maximum(known, np.finfo(np.float32).eps))
    return {
        "fold": number,
        "n": len(predicted),
        "loss": float(loss.mean()) if len(loss) else float("nan"),
        "precision@1": float((predicted["rank"] <= 1).mean()),
        "precision@3": float((predicted["rank"] <= 3).mean()),
    }


def calibration_over_folds(
    probability: Float64Array, right: BoolArray, fold: IntArray
) -> dict[str, float]:
    """Measure how far probabilities are from shares, before and after a temperature.

    The temperature of each fold is learned on the predictions of the other folds, whose networks
    were trained alike and whose recordings were held out as well.

    Args:
        probability: [n, n_classes]; 0 for classes that the training folds lack.
        right: which class is right, [n, n_classes].
        fold: fold of each row, [n].

    Returns:
        ``temperature``, the mean over the folds; ``error_before`` and ``error``, the expected
        calibration errors (`embedding.network.calibration`) over all rows. {} for a single fold,
        and where a fold has nothing to learn from.

    Examples:
        >>> right = np.array([[1, 0], [0, 1]] * 20, bool)
        >>> sure = np.where(right, 0.99, 0.01)
        >>> sure[::5] = sure[::5, ::-1]  # a fifth is wrong
        >>> found = calibration_over_folds(sure, right, np.arange(40) // 20)
        >>> round(found["error_before"], 2), round(found["error"], 2)
        (0.19, 0.0)
    """
    after = np.empty_like(probability)
    temperatures = []
    for one in np.unique(fold):
        others = (fold != one) & right.any(axis=1)
        if not others.any():
            return {}
        temperature = temperature_of(probability[others], right[others])
        after[fold == one] = sharpened(probability[fold == one], temperature)
        temperatures.append(temperature)
    return {
        "temperature": float(np.mean(temperatures)),
        "error_before": expected_calibration_error(probability, right),
        "error": expected_calibration_error(after, right),
    }


def confusion_matrix(predicted: pd.DataFrame) -> pd.DataFrame:
    """Count recordings by true label (rows) and predicted label (columns)."""
    names = sorted({*predicted["label"], *predicted["predicted"]})
    return pd.crosstab(predicted["label"], predicted["predicted"]).reindex(
        index=names, columns=names, fill_value=0
    )


def label_measures(confusion: pd.DataFrame) -> pd.DataFrame:
    """Compute n, precision, recall and F1 of each label from a confusion matrix.

    Precision is NaN for labels that are never predicted. F1 = 2 · hits / (predicted + n), and so 0
    for labels with recordings of which none is recognised.
    """
    counts = confusion.to_numpy()
    hits, n, predicted = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return pd.DataFrame(
            {
                "label": list(confusion.index),
                "n": n,
                "precision": hits / predicted,
                "recall": hits / n,
                "F1": 2 * hits / (predicted + n),
            }
        )
