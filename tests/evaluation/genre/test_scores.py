import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import precision_recall_fscore_support, top_k_accuracy_score

from evaluation.genre.scores import confusion_matrix, label_measures, prediction_table


def test_figures_per_label_by_hand():
    # a: 3 recordings, 2 right; b: 2, 1 right and one called c; c: never a recording.
    predicted = pd.DataFrame({"label": list("aaabb"), "predicted": list("aabbc")})
    table = label_measures(confusion_matrix(predicted)).set_index("label")
    assert table["n"].tolist() == [3, 2, 0]
    np.testing.assert_allclose(table["precision"], [1.0, 0.5, 0.0])
    np.testing.assert_allclose(table["recall"], [2 / 3, 0.5, np.nan])
    np.testing.assert_allclose(table["F1"], [0.8, 0.5, 0.0])


def test_figures_equal_those_of_scikit_learn():
    rng = np.random.default_rng(1)
    classes = list("abcde")
    probability = rng.dirichlet(np.ones(5), 300)
    label = rng.choice(classes, 300)
    table = prediction_table(probability, classes, label)
    for k in (1, 3):
        expected = top_k_accuracy_score(label, probability, k=k, labels=classes)
        assert (table["rank"] <= k).mean() == pytest.approx(expected)
    expected = precision_recall_fscore_support(label, table["predicted"], labels=classes)
    ours = label_measures(confusion_matrix(table))
    for name, values in zip(("precision", "recall", "F1", "n"), expected, strict=True):
        np.testing.assert_allclose(ours[name], values)
