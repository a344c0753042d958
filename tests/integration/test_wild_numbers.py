"""No public function takes NaN, infinity or a number out of its range."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from datasets.errors import InvalidArgumentError
from embedding import transforms
from embedding.projection import project
from evaluation import Popularity, Random, learning_curve, warm_split
from evaluation.models.controls import shuffled

SOUND = np.sin(np.arange(22050, dtype=np.float32) / 10)

TRANSFORMS: list[tuple[Callable[..., Any], str]] = [
    (transforms.contrast, "fmin"),
    (transforms.contrast, "quantile"),
    (transforms.contrast, "floor"),
    (transforms.constant_q, "fmin"),
    (transforms.cepstral_pitch, "fmin"),
    (transforms.cepstral_pitch, "fmax"),
    (transforms.cepstral_pitch, "threshold"),
    (transforms.linear_spectrum, "fmin"),
    (transforms.linear_spectrum, "fmax"),
    (transforms.log_spectrum, "fmin"),
    (transforms.log_spectrum, "fmax"),
    (transforms.tempogram, "floor"),
    (transforms.transcribe, "threshold"),
    (transforms.transcribe, "min_seconds"),
]


@pytest.mark.parametrize(("function", "name"), TRANSFORMS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_transforms(function: Callable[..., Any], name: str, value: float) -> None:
    with pytest.raises(InvalidArgumentError, match=name):
        function(y=SOUND, **{name: value})


@pytest.mark.parametrize("value", [math.nan, -1.0])
def test_decibels(value: float) -> None:
    with pytest.raises(InvalidArgumentError, match="top_db must be a number of at least 0"):
        transforms.decibels(np.ones(3, np.float32), top_db=value)


@pytest.mark.parametrize("seed", [-1, 0.5, math.nan, True, "1"])
def test_seeds(seed: Any, example_embeddings: Any) -> None:
    for call in (
        lambda: Popularity(seed=seed),
        lambda: Random(seed=seed),
        lambda: shuffled(example_embeddings, seed=seed),
        lambda: project(example_embeddings.to_numpy(), "tsne", seed=seed),
    ):
        with pytest.raises(InvalidArgumentError, match="seed must be a whole number"):
            call()


@pytest.mark.parametrize("value", [math.nan, math.inf, 0, 1.5])
def test_shares_of_an_evaluation(value: float, example_dataset: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="fraction must lie between 0 and 1"):
        warm_split(example_dataset, fraction=value)
    split = warm_split(example_dataset)
    with pytest.raises(InvalidArgumentError, match="fractions must lie above 0"):
        learning_curve({"p": Popularity}, example_dataset, split, fractions=(0.5, value, 1.0))
