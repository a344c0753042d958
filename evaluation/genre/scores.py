"""From probabilities of windows to ranks, losses and counts: the arithmetic of Fig. 9A and 9B."""

from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datasets.arrays import Float64Array, IntArray
from datasets.errors import EvaluationError

MEASURES: Final = ("loss", "precision@1", "precision@3")


def averaged(
    probability: Float64Array, owner: NDArray[Any], n: int, n_classes: int
) -> Float64Array:
    """Mean over the windows of each recording: [windows, classes] to [n, classes].

    Raises :class:`~datasets.errors.EvaluationError` for what are no probabilities.
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
    probability: Float64Array, classes: list[str], label: NDArray[Any]
) -> tuple[IntArray, Float64Array]:
    """Rank (from 1) and probability of the true label of each row.

    A label that is no class ranks behind all of them, and its probability is NaN. Ties count
    against the model: among equals the true label is last.
    """
    truth = pd.Index(classes).get_indexer(pd.Index(label.astype(str)))
    own = np.where(truth >= 0, probability[np.arange(len(label)), truth], np.nan)
    rank = np.where(truth >= 0, (probability >= own[:, None]).sum(axis=1), len(classes) + 1)
    return rank.astype(np.int64), own


def predictions(probability: Float64Array, classes: list[str], label: NDArray[Any]) -> pd.DataFrame:
    """A row a recording: label, predicted, rank and probability of the true label."""
    rank, own = true_ranks(probability, classes, label)
    return pd.DataFrame(
        {
            "label": label.astype(str).astype(object),
            "predicted": np.array(classes, dtype=object)[probability.argmax(axis=1)],
            "rank": rank,
            "probability": own,
        }
    )


def fold_row(number: int, predicted: pd.DataFrame, *, with_loss: bool) -> dict[str, float]:
    """Recordings, loss and precision at rank 1 and 3 of one fold's predictions."""
    known = predicted["probability"].dropna().to_numpy() if with_loss else np.empty(0)
    # float32 softmax can give exactly 0; its smallest step bounds the loss of such a miss.
    loss = -np.log(np.maximum(known, np.finfo(np.float32).eps))
    return {
        "fold": number,
        "n": len(predicted),
        "loss": float(loss.mean()) if len(loss) else float("nan"),
        "precision@1": float((predicted["rank"] <= 1).mean()),
        "precision@3": float((predicted["rank"] <= 3).mean()),
    }


def confusion_matrix(predicted: pd.DataFrame) -> pd.DataFrame:
    """Recordings by true label (rows) and label ranked first (columns)."""
    names = sorted({*predicted["label"], *predicted["predicted"]})
    return pd.crosstab(predicted["label"], predicted["predicted"]).reindex(
        index=names, columns=names, fill_value=0
    )


def per_label(confusion: pd.DataFrame) -> pd.DataFrame:
    """A row a label: label, n, precision, recall, F1; precision is NaN where it is never said.

    F1 = 2 · hits / (said + n), and so 0 where a label of recordings is never said rightly.
    """
    counts = confusion.to_numpy()
    hits, n, said = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return pd.DataFrame(
            {
                "label": list(confusion.index),
                "n": n,
                "precision": hits / said,
                "recall": hits / n,
                "F1": 2 * hits / (said + n),
            }
        )
