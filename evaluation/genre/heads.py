"""Heads on top of an encoder in a genre cross-validation: what they hear and how they learn."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import Float32Array, IntArray, StrArray
from datasets.errors import DataError, DataWarning
from datasets.music import MusicDataset
from datasets.progress import progress_bar
from evaluation.genre.baseline import mfcc_statistics
from evaluation.genre.data import GenreMaterial, described_recordings

if TYPE_CHECKING:
    from embedding.encoders.fine_tuning.encoder import FineTunedEncoder


class HeadClassifier:
    """Untrained heads on an encoder as an `evaluation.genre.GenreClassifier`.

    Args:
        encoder: says the encoder below and the settings; it is not changed.

    Examples:
        >>> from embedding import FineTunedEncoder, HeadConfig
        >>> untrained = FineTunedEncoder(encoder, HeadConfig(epochs=5, dimension=8))
        >>> classifier = HeadClassifier(untrained).fit(encoder.embed(images), labels)
        >>> classifier.predict_proba(encoder.embed(images)).shape
        (24, 2)
    """

    def __init__(self, encoder: "FineTunedEncoder") -> None:
        self._encoder = encoder.untrained()

    @property
    def classes_(self) -> NDArray[np.str_]:
        """Labels in the order of the columns of ``predict_proba``."""
        return self._encoder.classes_

    def fit(self, inputs: Float32Array, labels: StrArray, groups: StrArray | None = None) -> Self:
        """Train on vectors of the encoder below or, to thaw it, on its inputs [n, ...]."""
        encoder = self._encoder
        fit = encoder.fit if encoder.is_thawed else encoder.fit_vectors
        with warnings.catch_warnings():
            # What only one artist has is said of the whole study.
            warnings.simplefilter("ignore", DataWarning)
            fit(np.asarray(inputs), labels, groups=groups)
        return self

    def predict_proba(self, inputs: Float32Array) -> Float32Array:
        """Predict the probability of every class, [n, n_classes]."""
        return self._run(inputs)[1]

    def embed_recordings(
        self, inputs: Float32Array, recording: IntArray
    ) -> tuple[Float32Array, dict[str, Float32Array]]:
        """Compute embeddings and probabilities of recordings, means over their inputs."""
        from embedding.encoders.songs import mean_by_recording

        n = int(recording.max(initial=-1)) + 1
        vectors, probability = self._run(inputs)
        means = mean_by_recording(probability, recording, n)
        return mean_by_recording(vectors, recording, n), {next(iter(self._encoder.heads_)): means}

    def _run(self, inputs: Float32Array) -> tuple[Float32Array, Float32Array]:
        encoder = self._encoder
        run = encoder.embed_and_predict if encoder.is_thawed else encoder.embed_and_predict_vectors
        vectors, probabilities = run(np.asarray(inputs))
        return vectors, next(iter(probabilities.values()))


def from_encoder(
    dataset: MusicDataset,
    encoder: "FineTunedEncoder",
    *,
    tag: str = "genre",
    workers: int | None = None,
    cache: Path | None = None,
    baseline: bool = True,
    progress: bool = False,
) -> GenreMaterial:
    """Prepare recordings for heads on an encoder: its vectors or, to thaw it, its inputs.

    Args:
        dataset: a data set with recordings.
        encoder: untrained heads on the encoder.
        tag: column of the items that holds the labels.
        workers: processes that decode; None for one per core.
        cache: folder that keeps vectors or inputs.
        baseline: compute the features of the baseline.
        progress: show progress bars.

    Returns:
        Vectors or inputs as ``images``, with labels, artists and features. Recordings that cannot
        be used are left out, and ``notes`` names them.

    Raises:
        DataError: the data set has no recordings, or none of them can be used.
        EncoderUnavailableError, EncoderError: the encoder below cannot work.

    Examples:
        >>> from embedding import FineTunedEncoder
        >>> from_encoder(dataset, FineTunedEncoder(encoder))
        Traceback (most recent call last):
        datasets.errors.DataError: ...: the data set has no recordings
    """
    from embedding.encoders.input_vectors import embed_each_input
    from embedding.hyperimage.extraction import extract_inputs, none_usable

    if dataset.audio.empty:
        raise DataError(f"{dataset.root}: the data set has no recordings")
    paths, below = dataset.recording_paths(), encoder.backbone
    if encoder.is_thawed:
        extraction = extract_inputs(
            paths, below.front_end, workers=workers, cache=cache, progress=progress
        )
        values, recording = extraction.images, extraction.recording
        failures = extraction.failures
    else:
        found = embed_each_input(paths, below, workers=workers, cache=cache, progress=progress)
        values, recording, failures = found.vectors, found.recording, found.failures
    if not len(values):
        raise DataError(none_usable([failure.message for failure in failures]))
    of_recordings = None
    if baseline:
        of_recordings = _mfccs_of_recordings(
            paths, np.unique(recording), below.front_end, progress=progress
        )
    method = below.summary().get("method", "a network trained before")
    what = "inputs" if encoder.is_thawed else "vectors"
    return described_recordings(
        dataset,
        tag,
        images=values,
        recording=recording,
        statistics=of_recordings,
        window_statistics=None,
        images_are=f"{what} of {len(paths)} recordings, for heads on {method}",
        failures=failures,
    )


def _mfccs_of_recordings(
    paths: list[Path], used: IntArray, front_end: Any, *, progress: bool
) -> Float32Array:
    """MFCC statistics of what the encoder hears of each recording, [n, 60]; NaN of unused ones."""
    from embedding.audio.snippets import load_snippets

    rows = np.full((len(paths), 60), np.nan, np.float32)
    rate = front_end.sample_rate
    with progress_bar("baseline's features", len(used), shown=progress) as advance:
        for number in used:
            snippets = load_snippets(paths[number], front_end.snippet, rate)
            rows[number] = np.mean(
                [mfcc_statistics(np.atleast_2d(y).mean(axis=0), rate) for y in snippets], axis=0
            )
            advance(1)
    return rows
