import numpy as np
import pytest
import torch

from embedding.encoders.musicnn.network import MusiCNNNetwork, as_arrays
from embedding.encoders.musicnn.weights import load_weights


def waves(n: int = 2) -> np.ndarray:
    """Patches that anybody can make: float32 [n, 187, 96]."""
    n_, t, f = np.meshgrid(np.arange(n), np.arange(187), np.arange(96), indexing="ij")
    wave = np.sin(t / (7.0 + n_)) + np.cos(f / (5.0 + n_)) * np.sin(t * f / 900.0)
    return (2 + wave).astype(np.float32)


def test_every_layer_is_that_of_the_original(musicnn_fetched):
    """The original's own code and checkpoint gave these numbers, on TensorFlow 2.21."""
    network = MusiCNNNetwork(load_weights())
    with torch.inference_mode():
        found = as_arrays(network(torch.from_numpy(waves())))
    expected = {
        "penultimate": [[0.31298, 1.69633, -0.28483, -0.27512, -0.35315, 2.06466],
                        [0.39958, 2.13103, -0.28483, -0.27512, -0.35315, 2.28958]],
        "tags": [[0.00026, 0.00023, 0.0011, 0.00239, 0.3956, 0.00167],
                 [0.00019, 0.00017, 0.00065, 0.00105, 0.36286, 0.00108]],
    }  # fmt: skip
    for layer, values in expected.items():
        np.testing.assert_allclose(found[layer][:, :6], values, atol=2e-5)
    np.testing.assert_allclose(
        found["mean_pool"][:, -3:],
        [[7.93619, -3.05235, -0.36903], [7.78711, -2.8213, -1.21638]],
        atol=1e-4,
    )
    np.testing.assert_allclose(
        found["max_pool"][:, -3:],
        [[34.15282, 18.86359, 11.89644], [35.83068, 12.51927, 7.1799]],
        atol=1e-3,
    )
    # All values, by their sums and their sums of squares.
    sums = {
        "penultimate": ([135.38962, 139.06024], [598.79956, 636.23926]),
        "mean_pool": ([-40.73971, -51.56637], [1188.6538, 1286.7189]),
        "max_pool": ([1146.5671, 958.40546], [27452.625, 24809.941]),
        "tags": ([0.97187, 0.97058], [0.20868, 0.2002]),
    }
    for layer, (total, squares) in sums.items():
        np.testing.assert_allclose(found[layer].sum(axis=1), total, rtol=1e-4)
        np.testing.assert_allclose((found[layer] ** 2).sum(axis=1), squares, rtol=1e-4)


def test_training_computes_the_same_by_convolution():
    torch.manual_seed(0)
    network = MusiCNNNetwork()
    for block in (*network.timbre, *network.tempo):  # some scales are negative
        torch.nn.init.normal_(block.norm.scale)
        torch.nn.init.normal_(block.bias)
    patches = torch.from_numpy(waves(1)[:, :60])
    slow = network(patches)
    with torch.inference_mode():
        quick = network(patches)
    for one, other in zip(slow, quick, strict=True):
        torch.testing.assert_close(one.detach(), other, atol=1e-4, rtol=1e-4)
    slow.logits.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_it_has_the_parameters_of_the_paper():
    assert sum(p.numel() for p in MusiCNNNetwork().parameters()) == pytest.approx(787_000, rel=1e-3)
