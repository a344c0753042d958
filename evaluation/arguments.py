"""Checks of the arguments of an evaluation, before anything is read or fitted."""

import numbers
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from datasets.arguments import check_whole, is_whole
from datasets.columns import ITEM_ID
from datasets.errors import DataError, InvalidArgumentError
from datasets.music import MusicDataset
from datasets.tables.frames import embedding_frame
from datasets.tables.ids import is_table


def generator(seed: Any) -> np.random.Generator:
    """Make a random generator; InvalidArgumentError unless the seed is a whole number >= 0."""
    check_whole("seed", seed, 0)
    return np.random.default_rng(int(seed))


def check_fraction(fraction: Any) -> None:
    """Raise InvalidArgumentError unless ``fraction`` is a number between 0 and 1, exclusive."""
    if not isinstance(fraction, numbers.Real) or not 0 < float(fraction) < 1:
        raise InvalidArgumentError(f"fraction must lie between 0 and 1, not {fraction!r}")


def list_lengths(ks: Iterable[Any]) -> tuple[int, ...]:
    """Sort list lengths and drop repeated ones.

    Raises:
        InvalidArgumentError: there is none, or one is not a whole number of at least 1.
    """
    given = tuple(ks) if isinstance(ks, Iterable) else (ks,)
    if not given or not all(is_whole(k, 1) for k in given):
        raise InvalidArgumentError(
            f"ks must be list lengths, whole numbers of at least 1, not {given}"
        )
    return tuple(sorted({int(k) for k in given}))


def check_sampled(sampled: Any) -> None:
    """Raise InvalidArgumentError unless ``sampled`` is None or a whole number of at least 1."""
    if sampled is not None:
        check_whole("sampled", sampled, 1)


def check_confidence(confidence: Any) -> None:
    """Raise InvalidArgumentError unless ``confidence`` is a number between 0 and 1, exclusive."""
    if not isinstance(confidence, numbers.Real) or not 0 < float(confidence) < 1:
        raise InvalidArgumentError(f"confidence must lie between 0 and 1, not {confidence!r}")


def check_models(models: Mapping[str, Any], controls: Iterable[str], baseline: str) -> None:
    """Check that models are factories, and that controls and baseline are among them.

    Raises:
        InvalidArgumentError: one of that is not so, or every model is a control.
    """
    for name, factory in models.items():
        if not callable(factory):
            raise InvalidArgumentError(
                f"model {name!r} must be something that makes a fresh model when it is called, such"
                f" as a class or a lambda, and not {_a(factory)} itself"
            )
    for what, name in [*(("control", control) for control in controls), ("baseline", baseline)]:
        if name not in models:
            raise InvalidArgumentError(f"the {what} {name!r} is not among the models")
    if set(models) <= set(controls):
        raise InvalidArgumentError("every model is a control; there is nothing to compare")


def checked_embeddings(embeddings: Any, dataset: MusicDataset) -> pd.DataFrame | None:
    """Return embeddings with the item ids as index; None for None.

    Raises:
        InvalidArgumentError: no table, no numbers, or no item of the data set among the ids.
    """
    if embeddings is None:
        return None
    if not is_table(embeddings):
        raise InvalidArgumentError(
            f"embeddings must be a DataFrame with the index item_id, not {_a(embeddings)}"
        )
    try:
        frame = embedding_frame(embeddings)
    except DataError as error:
        raise InvalidArgumentError(str(error)) from None
    words = [
        name for name, dtype in frame.dtypes.items() if not pd.api.types.is_numeric_dtype(dtype)
    ]
    if words:
        raise InvalidArgumentError(f"embeddings: column {words[0]!r} is not of numbers")
    if not frame.index.isin(dataset.items[ITEM_ID]).any():
        raise InvalidArgumentError(
            "embeddings: no item of the data set is in the index, which must be item_id"
        )
    return frame


def _a(value: Any) -> str:
    """The type of a value with its article, such as ``a list``."""
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"
