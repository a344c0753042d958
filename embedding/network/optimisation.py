"""Losses, optimisers, learning-rate schedule and averaged weights."""

import math
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from embedding.network.checkpoints import State
from embedding.network.config import EncoderConfig

if TYPE_CHECKING:
    from embedding.network.targets import Target

Options = dict[str, "list[nn.Parameter] | float"]


def make_optimiser(network: nn.Module, config: EncoderConfig) -> Optimizer:
    """Create the optimiser of the settings; no weight decay on biases and normalisations."""
    weights = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim == 1]
    groups: list[Options] = [
        {"params": weights, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if config.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(config.momentum, 0.999))
    return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum)


def set_learning_rate(optimiser: Optimizer, config: EncoderConfig, done: float) -> None:
    """Set the learning rate: linear warm-up (Smith 2017), then cosine (Loshchilov, Hutter 2017).

    Args:
        optimiser: optimiser to change.
        config: maximum learning rate and warm-up.
        done: share of all training steps done so far, 0 .. 1.
    """
    if done < config.warmup:
        share = done / config.warmup
    else:
        share = 0.5 * (1 + math.cos(math.pi * (done - config.warmup) / (1 - config.warmup)))
    for group in optimiser.param_groups:
        group["lr"] = config.learning_rate * share


def optimiser_state(optimiser: Optimizer, network: nn.Module) -> State:
    """Return the state of the optimiser, as ``parameter/quantity``."""
    return {
        f"{name}/{quantity}": torch.as_tensor(value)
        for name, parameter in network.named_parameters()
        for quantity, value in optimiser.state[parameter].items()
        if value is not None
    }


def restore_optimiser(optimiser: Optimizer, network: nn.Module, state: State) -> None:
    """Restore the state returned by `optimiser_state`."""
    parameters = dict(network.named_parameters())
    for key, value in state.items():
        name, _, quantity = key.rpartition("/")
        parameter = parameters[name]
        # AdamW keeps its count of steps on the CPU.
        kept = value.clone() if quantity == "step" else value.clone().to(parameter.device)
        optimiser.state[parameter][quantity] = kept


class WeightAverage:
    """Exponential moving average of the weights of a network (Polyak and Juditsky 1992).

    The decay is smaller in the first steps, so that the random start is soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self._mean = {name: t.detach().clone() for name, t in network.state_dict().items()}

    @property
    def weights(self) -> State:
        """The current average."""
        return self._mean

    def update(self, network: nn.Module) -> None:
        """Add the weights after a training step."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            for name, tensor in network.state_dict().items():
                mean = self._mean[name]
                if mean.is_floating_point():
                    mean.lerp_(tensor, 1 - decay)
                else:
                    mean.copy_(tensor)

    def restore(self, weights: State, steps: int) -> None:
        """Continue from the average after some steps."""
        self.steps = steps
        for name, tensor in weights.items():
            self._mean[name].copy_(tensor)


Loss = Literal["cross_entropy", "half_squared", "binary_cross_entropy", "cosine"]


def losses(kind: Loss, scores: Tensor, wanted: Tensor, smoothing: float = 0.0) -> Tensor:
    """Compute the loss of each image: [n].

    Args:
        kind: ``cross_entropy`` of the softmax (US 2018/0276540 A1, paragraph 58); ``half_squared``:
            half the sum of squared errors of the softmax (paragraph 74); ``binary_cross_entropy``:
            sum over the classes; ``cosine``: 1 less the cosine, of vectors.
        scores: logits [n, classes], or vectors.
        wanted: targets 0 .. 1, [n, classes], or vectors.
        smoothing: label smoothing, the share of ``wanted`` that is spread evenly; not of vectors.
    """
    if kind == "cosine":
        return 1 - nn.functional.cosine_similarity(scores, wanted, dim=1)
    if kind == "binary_cross_entropy":
        soft = wanted * (1 - smoothing) + smoothing / 2
        each = nn.functional.binary_cross_entropy_with_logits(scores, soft, reduction="none")
        return each.sum(dim=1)
    soft = wanted * (1 - smoothing) + smoothing / wanted.shape[1]
    if kind == "half_squared":
        return 0.5 * (scores.softmax(dim=1) - soft).square().sum(dim=1)
    return -(soft * scores.log_softmax(dim=1)).sum(dim=1)


def loss_of(target: "Target", config: EncoderConfig) -> tuple[Loss, float]:
    """Return the loss of a target and its weight."""
    return ("cosine", config.taste_weight) if target.is_taste else (config.loss, 1.0)


def probabilities(kind: Loss, scores: Tensor) -> Tensor:
    """Convert logits [n, classes] to probabilities: sigmoid for binary losses, else softmax.

    Vectors, of which the loss is ``cosine``, stay as they are.
    """
    if kind == "cosine":
        return scores
    return torch.sigmoid(scores) if kind == "binary_cross_entropy" else scores.softmax(dim=1)
