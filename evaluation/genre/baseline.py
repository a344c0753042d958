"""Baseline classifier: an SVM on simple statistics of the sound.

It learns no features, so its accuracy on the same folds tells how hard the data is.
"""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import Float32Array, Float64Array
from embedding.hyperimage.statistics import N_CEPSTRUM, statistics_over_time

DESCRIPTION = "SVM (RBF, C = 10, standardised) on means and deviations"


class StatisticsSVM:
    """Support vector machine with a radial kernel on standardised features.

    The settings are fixed (C = 10, gamma = 1 / (n_features · variance)) and not tuned on any data.
    Labels are ranked by one-against-rest decision values, which are not probabilities.

    Examples:
        >>> features = np.array([[0.0], [0.1], [0.9], [1.0]], dtype=np.float32)
        >>> svm = StatisticsSVM().fit(features, np.array(["jazz", "jazz", "rock", "rock"]))
        >>> svm.predict_proba(features).argmax(axis=1).tolist()
        [0, 0, 1, 1]
    """

    gives_probabilities = False

    def fit(self, features: Float32Array, labels: NDArray[Any], groups: Any = None) -> Self:
        """Train on features [n, d] with a label each; ``groups`` is ignored."""
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC

        self._model = make_pipeline(StandardScaler(), SVC(C=10.0, gamma="scale"))
        self._model.fit(features, labels.astype(str))
        self.classes_ = [str(name) for name in self._model.classes_]
        return self

    def predict_proba(self, features: Float32Array) -> Float64Array:
        """Return the softmax of the decision values, [n, n_classes]: larger is a better fit."""
        decision = np.asarray(self._model.decision_function(features), dtype=np.float64)
        if decision.ndim == 1:  # for two classes scikit-learn returns a single decision value
            decision = np.stack([-decision, decision], axis=1)
        shifted = np.exp(decision - decision.max(axis=1, keepdims=True))
        return shifted / shifted.sum(axis=1, keepdims=True)


def mfcc_statistics(waveform: Float32Array, sample_rate: int) -> Float32Array:
    """Summarise 20 MFCCs over time, after Tzanetakis and Cook (IEEE TSAP 2002).

    Args:
        waveform: [n_samples].
        sample_rate: in Hz.

    Returns:
        float32 [60]: mean, standard deviation, and standard deviation of the change of each MFCC.
    """
    import librosa

    cepstrum = librosa.feature.mfcc(y=waveform, sr=sample_rate, n_mfcc=N_CEPSTRUM)
    return np.concatenate(statistics_over_time(cepstrum)).astype(np.float32)
