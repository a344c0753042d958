"""Heads: losses by hand, a linear one against logistic regression, layers that can be thawed."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from embedding import EncoderConfig, HeadConfig, SongEncoder
from embedding.encoders.fine_tuning.heads import (
    HeadNetwork,
    HeadTask,
    _Descent,
    layers_used,
    train_heads,
)
from embedding.network.targets import make_targets

NOTHING_HELD_OUT = np.empty(0, dtype=np.int64)


def test_the_loss_by_hand() -> None:
    config = HeadConfig(
        dimension=2, activation="none", dropout=0, input_dropout=0, label_smoothing=0,
        taste_weight=3, threads=1,
    )  # fmt: skip
    network = HeadNetwork(2, [2], 2, config)
    with torch.no_grad():
        for layer in (network.body[1], network.tags[0], network.taste):
            layer.weight.copy_(torch.eye(2))
            layer.bias.zero_()
    vectors = torch.tensor([[np.log(3.0), 0.0], [0.0, 0.0], [0.0, 2.0]], dtype=torch.float32)
    (target,) = make_targets(["a", "b", ""], 3, ("genre",))
    # The first song's taste is opposite to its vector, the third's as its vector.
    taste = np.array([[-1, 0], [0, 0], [0, 1]], dtype=np.float32)
    task = HeadTask([target], taste, config, NOTHING_HELD_OUT)
    group = {"params": list(network.parameters()), "lr": 1.0}
    run = _Descent(network, task, [group], lambda rows, _: vectors[rows])
    loss, right = run._loss(np.arange(3), 0)
    # Probabilities of the known classes: 3/4 and 1/2; cosines -1 and 1, the second is unknown.
    by_hand = (np.log(4 / 3) + np.log(2)) / 2 + 3 * (2 + 0) / 2
    assert loss.item() == pytest.approx(by_hand, rel=1e-6)
    assert right == 1


def test_a_linear_head_is_logistic_regression() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 2)).astype(np.float32)
    noisy = vectors @ [1.5, -1.0] + 1.5 * rng.logistic(size=60)
    labels = np.where(noisy > 0, "rock", "jazz")
    config = HeadConfig(
        dimension=2, activation="none", dropout=0, input_dropout=0, label_smoothing=0,
        weight_decay=0, learning_rate=0.1, epochs=150, batch_size=60, threads=1,
    )  # fmt: skip
    targets = make_targets(labels, 60, ("genre",))
    network, history = train_heads(vectors, HeadTask(targets, None, config, NOTHING_HELD_OUT))
    oracle = LogisticRegression(C=np.inf).fit(vectors, labels)
    _, (scores,), _ = network.outputs(torch.from_numpy(vectors))
    found = scores.softmax(dim=1).detach().numpy()
    np.testing.assert_allclose(found, oracle.predict_proba(vectors), atol=2e-3)
    assert history[-1]["accuracy"] == pytest.approx(oracle.score(vectors, labels), abs=0.02)


def test_standardisation_is_that_of_the_training_vectors() -> None:
    vectors = np.array([[1, 5, 0], [3, 5, 1], [100, 5, 9]], dtype=np.float32)
    targets = make_targets(["a", "b", "a"], 3, ("genre",))
    config = HeadConfig(dimension=2, epochs=1, threads=1)
    task = HeadTask(targets, None, config, np.array([2]))
    network, _ = train_heads(vectors, task)
    np.testing.assert_allclose(network.mean, [2, 5, 0.5])
    np.testing.assert_allclose(network.scale, [1, 0, 2])  # the second never differs


def test_vectors_of_sounds_unlike_all_are_shortened() -> None:
    network = HeadNetwork(3, [2], 0, HeadConfig(dimension=2))
    network.learn_standardisation(torch.tensor([[0.0, 5, 0.01], [2, 5, 0.03]]))
    near = torch.tensor([[0.0, 5, 0.01], [3, 9, 0.04]])
    own = network.standardised(near)
    torch.testing.assert_close(own, torch.tensor([[-1.0, 0, -1], [2, 0, 2]]))
    far = network.standardised(torch.tensor([[1e4, 5, 1e4], [float("nan"), 5, 0]]))
    assert float(far[0].norm()) == pytest.approx(4 * 2**0.5)  # two dimensions differ
    assert 0 < float(far[0, 0]) < float(far[0, 2])
    assert far[1].isnan().any()


def test_layers_in_order_without_those_that_embeddings_do_not_use() -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(8, 1, 24, 24)).astype(np.float32)
    config = EncoderConfig(architecture="IC(2,5,4)BPF(8)O", epochs=1, threads=1, accelerator="cpu")
    encoder = SongEncoder(config).fit(images, ["a", "b"] * 4)
    layers = layers_used(encoder, torch.from_numpy(images[:1]))
    assert [sorted(layer) for layer in layers] == [
        ["trunk.0.bias", "trunk.0.weight"],
        ["trunk.1.bias", "trunk.1.weight"],
        ["trunk.5.bias", "trunk.5.weight"],
    ]
