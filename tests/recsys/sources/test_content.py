"""The content source: centred unit embeddings, and their mean over a history, by hand."""

import numpy as np
import pytest
import scipy.sparse as sp

from recsys.data import TrainingData
from recsys.sources.content import ContentSource
from recsys.sources.fold_in import Gram
from tests.helpers.recommenders import item_content


def data_of(plays, embeddings, has_embedding=None):
    plays = sp.csr_matrix(np.asarray(plays, np.float32))
    content = item_content(embeddings, has_embedding)
    return TrainingData(plays, content, np.arange(len(content)), seed=0, threads=1)


def test_items_are_centred_and_of_length_one():
    # The mean of the two warm items is (2, 0), the deviation (3, 4); the cold one moves neither.
    data = data_of([[1, 1, 0]], [[5, 4], [-1, -4], [8, 0]])
    vectors = ContentSource().fit(data)
    assert vectors.items == pytest.approx(
        np.sqrt(0.5) * np.array([[1, 1], [-1, -1], [np.sqrt(2), 0]])
    )
    assert vectors.items.dtype == np.float32


def test_a_user_is_the_mean_of_what_they_played_by_log_plays():
    # log(1 + 1) and log(1 + 3) are 1 : 2.
    data = data_of([[1, 3, 0], [0, 1, 0]], [[5, 0], [-1, 0], [5, 4]])
    users = ContentSource().fit(data).users
    assert users == pytest.approx(np.array([[-1 / 3, 0], [-1, 0]]))


def test_items_without_embedding_say_nothing_and_weigh_nothing():
    data = data_of([[1, 3, 9], [0, 0, 9]], [[5, 0], [-1, 0], [0, 0]], [True, True, False])
    vectors = ContentSource().fit(data)
    assert not vectors.items[2].any()
    assert vectors.users == pytest.approx(np.array([[-1 / 3, 0], [0, 0]]))


def test_fold_in_is_the_vector_the_user_would_have_had():
    data = data_of([[1, 3, 0, 5], [0, 1, 2, 0]], [[5, 0], [-1, 0], [5, 4], [0, 0]], [1, 1, 1, 0])
    source = ContentSource()
    vectors = source.fit(data)
    for user in range(2):
        row = data.plays[user]
        found = source.fold_in(vectors.items[row.indices], row.data, Gram(np.eye(2)))
        assert found == pytest.approx(vectors.users[user], abs=1e-6)
        assert found.dtype == np.float32


def test_no_embeddings_and_embeddings_all_alike_say_nothing():
    for embeddings in (np.zeros((3, 0)), np.full((3, 4), 0.1)):
        known = [embeddings.shape[1] > 0] * 3
        vectors = ContentSource().fit(data_of([[1, 2, 0]], embeddings, known))
        assert not vectors.items.any()
        assert not vectors.users.any()


def test_new_items_are_centred_as_the_fitted_ones():
    source = ContentSource()
    source.fit(data_of([[1, 1]], [[5, 2], [-1, -2]]))  # mean (2, 0), deviation (3, 2)
    again = ContentSource().restore(source.arrays())
    new = item_content([[2 + 3 * 0.6, 2 * 0.8], [9, 9]], [True, False])
    for one in (source, again):
        assert one.item_vectors(new) == pytest.approx(np.array([[0.6, 0.8], [0, 0]]))
