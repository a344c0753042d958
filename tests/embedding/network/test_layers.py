import numpy as np
import pytest
import torch

from embedding.network.architecture import parse
from embedding.network.layers import (
    GlobalPool,
    L2Pool,
    LocalResponseNorm,
    SongNetwork,
    Standardise,
    extend_outputs,
    initialise_weights,
)

PATENT = "IC(5,15,64)LPC(1,5,64)LPF(384)F(192)O"


def test_local_response_normalisation_and_its_derivative_equal_torchs() -> None:
    x = 30 * torch.randn(2, 20, 5, 7, generator=torch.Generator().manual_seed(0))
    weight = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    results = []
    for layer in (LocalResponseNorm(20), torch.nn.LocalResponseNorm(9, alpha=0.001, k=1.0)):
        leaf = x.clone().requires_grad_(True)
        y = layer(leaf)
        (y * weight).sum().backward()
        results.append((y, leaf.grad))
    torch.testing.assert_close(results[0][0], results[1][0])
    torch.testing.assert_close(results[0][1], results[1][1])


@pytest.mark.parametrize("shape", [(1, 128, 128), (1, 128, 65), (3, 64, 96)])
def test_layers_have_the_sizes_that_the_notation_states(shape: tuple[int, int, int]) -> None:
    architecture = parse(PATENT)
    network = SongNetwork(architecture, shape, [10])
    x = torch.zeros(2, *shape)
    sizes = []
    for module in network.trunk:
        x = module(x)
        if not isinstance(module, torch.nn.ReLU | torch.nn.Flatten):
            sizes.append(tuple(x.shape[1:]))
    assert sizes == architecture.shapes(*shape)
    assert network(torch.zeros(2, *shape)).shape == (2, 10)
    assert network.embed(torch.zeros(2, *shape)).shape == (2, 192)


def test_the_number_of_weights() -> None:
    network = SongNetwork(parse(PATENT), (1, 128, 128), [9])
    # 15²·64 + 64, 5²·64·64 + 64, 7·7·64·384 + 384, 384·192 + 192, 192·9 + 9
    wanted = 14_464 + 102_464 + 1_204_608 + 73_920 + 1_737
    assert sum(p.numel() for p in network.parameters()) == wanted


def test_initial_weights_come_from_the_seed_and_leave_torchs_generator_alone() -> None:
    def weights(seed: int) -> np.ndarray:
        network = SongNetwork(parse("IC(1,3,4)PF(8)O"), (1, 16, 16), [3])
        initialise_weights(network, seed)
        return torch.cat([p.detach().flatten() for p in network.parameters()]).numpy()

    np.testing.assert_array_equal(weights(1), weights(1))
    assert (weights(1) != weights(2)).any()


def test_l2_norm_pooling_by_hand() -> None:
    x = torch.tensor([[3.0, 4.0], [0.0, 12.0]])[None, None]
    # The root of 9 + 16 + 0 + 144; with a padding of 1 and steps of 2 each corner stands alone.
    assert L2Pool((2, 2), (2, 2), (0, 0))(x).item() == pytest.approx(13)
    assert L2Pool((2, 2), (2, 2), (1, 1))(x)[0, 0].tolist() == [
        pytest.approx([3, 4]),
        pytest.approx([0, 12], abs=1e-5),
    ]
    zero = torch.zeros(1, 1, 4, 4, requires_grad=True)
    L2Pool((2, 2), (2, 2), (0, 0))(zero).sum().backward()
    assert torch.isfinite(zero.grad).all()


def test_average_pooling_does_not_count_its_padding() -> None:
    network = SongNetwork(parse("IAF(1)O"), (1, 4, 4), [2])
    pooled = network.trunk[0](torch.ones(1, 1, 4, 4))
    torch.testing.assert_close(pooled, torch.ones(1, 1, 2, 2))


def test_global_pooling_by_hand() -> None:
    # Means over rows: 2 and 6 in the two columns; their mean is 4, their maximum 6.
    x = torch.tensor([[1.0, 4.0], [3.0, 8.0]])[None, None]
    assert GlobalPool()(x).tolist() == [[4.0, 6.0]]


def kinds(notation: str) -> str:
    network = SongNetwork(parse(notation), (1, 16, 16), [2])
    return " ".join(type(module).__name__ for module in network.trunk)


def test_a_batch_normalisation_stands_before_the_relu_of_its_layer() -> None:
    assert kinds("IC(1,3,4)BPF(3)O") == "Conv2d BatchNorm2d ReLU MaxPool2d Flatten Linear ReLU"
    assert kinds("IC(1,3,4)PBF(3)BD(5)O") == (
        "Conv2d ReLU MaxPool2d BatchNorm2d Flatten Linear BatchNorm1d ReLU Dropout"
    )


def test_more_outputs_leave_the_old_ones_alone() -> None:
    small = SongNetwork(parse("IF(4)O"), (1, 8, 8), [2, 3])
    large = SongNetwork(parse("IF(4)O"), (1, 8, 8), [4, 3])
    large.load_state_dict(extend_outputs(small.state_dict(), [4, 3]))
    x = torch.rand(5, 1, 8, 8)
    torch.testing.assert_close(large.scores(x)[0][:, :2], small.scores(x)[0])
    torch.testing.assert_close(large.scores(x)[1], small.scores(x)[1])
    assert (large.scores(x)[0][:, 2:] == 0).all()


def test_an_image_is_standardised_by_itself_or_by_what_trained() -> None:
    x = torch.tensor([[1.0, 3.0], [1.0, 3.0]])[None, None]
    assert Standardise("image")(x).flatten().tolist() == [-1, 1, -1, 1]
    by_training = Standardise("training")
    by_training.learn(mean=2.0, deviation=0.5)
    assert by_training(x).flatten().tolist() == [-2, 2, -2, 2]


def test_rows_are_standardised_one_by_one() -> None:
    x = torch.tensor([[1.0, 3.0], [10.0, 30.0]])[None, None]
    rows = Standardise("rows", 1, 2)
    rows.learn(np.array([[2.0, 20.0]]), np.array([[0.5, 0.0]]))  # a silent row is not divided by 0
    assert rows(x)[0, 0, 0].tolist() == [-2, 2]
    assert rows(x)[0, 0, 1].tolist() == pytest.approx([-1e7, 1e7])


def test_names_of_the_weights_of_saved_networks() -> None:
    network = SongNetwork(parse("IC(1,3,4)PF(8)O"), (1, 16, 16), [3])
    assert sorted(network.state_dict()) == [
        "heads.0.bias", "heads.0.weight", "trunk.0.bias", "trunk.0.weight",
        "trunk.4.bias", "trunk.4.weight",
    ]  # fmt: skip
