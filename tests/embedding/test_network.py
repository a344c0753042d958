import numpy as np
import pytest
import torch

from embedding.network import LocalResponseNorm, SongNetwork, initialise
from embedding.notation import parse

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
        initialise(network, seed)
        return torch.cat([p.detach().flatten() for p in network.parameters()]).numpy()

    np.testing.assert_array_equal(weights(1), weights(1))
    assert (weights(1) != weights(2)).any()
