"""A baseline beside the network: an SVM on simple statistics of the sound.

What a classifier that learns no features gets on the same folds; it tells how hard the data is,
which a figure by itself does not.
"""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import Float32Array, Float64Array

N_CEPSTRUM = 20
"""Cepstral coefficients, the first of which is the level."""

DESCRIPTION = "SVM (RBF, C = 10, standardised) on means and deviations"


class StatisticsSVM:
    """A support vector machine with a radial kernel on standardised features.

    Settings are fixed (C = 10, gamma = 1 / (features · variance)) and not tuned on any data. It
    ranks labels by its one-against-rest decision values; they are no probabilities.
    """

    gives_probabilities = False

    def fit(self, features: Float32Array, labels: NDArray[Any], groups: Any = None) -> Self:
        """Learn from features [n, d] and a label each; ``groups`` are not looked at."""
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC

        self._model = make_pipeline(StandardScaler(), SVC(C=10.0, gamma="scale"))
        self._model.fit(features, labels.astype(str))
        self.classes_ = [str(name) for name in self._model.classes_]
        return self

    def predict_proba(self, features: Float32Array) -> Float64Array:
        """Softmax of the decision values: [n, classes], larger for what fits better."""
        decision = np.asarray(self._model.decision_function(features), dtype=np.float64)
        if decision.ndim == 1:  # two classes have one decision
            decision = np.stack([-decision, decision], axis=1)
        shifted = np.exp(decision - decision.max(axis=1, keepdims=True))
        return shifted / shifted.sum(axis=1, keepdims=True)


def image_statistics(images: NDArray[Any]) -> Float32Array:
    """Statistics over time of pictures whose columns are times and rows frequencies.

    ``images`` [n, channels, height, width]; returns float32 [n, d]: of every row mean and standard
    deviation, and of the first 20 cepstral coefficients (discrete cosine transform along the rows)
    mean, standard deviation, and that of their change from column to column.
    """
    from scipy.fft import dct

    rows = []
    for image in images:
        picture = image.astype(np.float32)
        cepstrum = dct(picture, axis=1, norm="ortho")[:, :N_CEPSTRUM]
        parts = (picture.mean(axis=2), picture.std(axis=2), *_spread(cepstrum))
        rows.append(np.concatenate([part.ravel() for part in parts]))
    return np.stack(rows).astype(np.float32)


def mfcc_statistics(waveform: Float32Array, sample_rate: int) -> Float32Array:
    """Mean and deviation over time of 20 MFCCs, and deviation of their change: float32 [60].

    ``waveform`` [samples]. After Tzanetakis and Cook (IEEE TSAP 2002), who describe a clip by
    means and deviations of its spectrum's shape.
    """
    import librosa

    cepstrum = librosa.feature.mfcc(y=waveform, sr=sample_rate, n_mfcc=N_CEPSTRUM)
    return np.concatenate(_spread(cepstrum)).astype(np.float32)


def _spread(values: NDArray[np.floating[Any]]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Mean, deviation and deviation of the change along the last axis."""
    # A picture of one column does not change.
    change = np.diff(values, axis=-1) if values.shape[-1] > 1 else np.zeros_like(values)
    return values.mean(axis=-1), values.std(axis=-1), change.std(axis=-1)
