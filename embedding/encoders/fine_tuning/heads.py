"""Heads on top of an encoder, as PyTorch modules, and their training on vectors or on inputs."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import AdamW

from datasets.arrays import Float32Array, IntArray
from datasets.errors import InvalidArgumentError
from datasets.progress import progress_bar
from embedding.encoders.fine_tuning.config import HeadConfig
from embedding.network.checkpoints import Epoch, State
from embedding.network.devices import inference_device, limited_threads
from embedding.network.inference import in_blocks
from embedding.network.optimisation import losses
from embedding.network.targets import Target

if TYPE_CHECKING:
    from embedding.encoders.protocol import ThawableEncoder

_LEAST_DEVIATION = 1e-6
"""Of the largest deviation: what deviates less is the same in all vectors, and is left out."""

_FARTHEST = 4.0
"""A standardised vector is at most so many times as long as those learned from, in the mean of
squares. A recording unlike all of them has values in dimensions that hardly differed among them,
hundreds of their deviations away, and a model refuses an embedding of another scale."""

_MAX_NORM = 5.0
"""Norm to which gradients are clipped."""


@dataclass(frozen=True, eq=False)
class HeadTask:
    """What the heads of n inputs are trained to predict, and how."""

    targets: Sequence[Target]
    """One for each tag."""

    taste: Float32Array | None
    """float32 [n, r], rows of length 1, or 0 where unknown; None for no taste."""

    config: HeadConfig

    validation: IntArray
    """Positions of the inputs held out to choose the best epoch; if empty, the last is kept."""


class HeadNetwork(nn.Module):
    """Maps an encoder's vectors to the new embedding, to logits of tags and to a taste vector.

    Args:
        n_inputs: length of the encoder's vectors.
        n_classes: classes of each tag.
        n_taste: length of the collaborative vectors; 0 for none.
        config: the settings.
    """

    mean: Tensor
    scale: Tensor
    length: Tensor

    def __init__(
        self, n_inputs: int, n_classes: Sequence[int], n_taste: int, config: HeadConfig
    ) -> None:
        super().__init__()
        self.skip = config.skip
        self.register_buffer("mean", torch.zeros(n_inputs))
        self.register_buffer("scale", torch.ones(n_inputs))
        # What the learned layer is multiplied by beside the encoder's own vector.
        self.register_buffer("length", torch.ones(()))
        sizes = [n_inputs, *([config.hidden] if config.hidden else []), config.dimension]
        body: list[nn.Module] = [nn.Dropout(config.input_dropout)]
        for number, (before, after) in enumerate(itertools.pairwise(sizes)):
            if number:
                body.append(nn.Dropout(config.dropout))
            body.append(nn.Linear(before, after))
            if config.activation == "relu":
                body.append(nn.ReLU())
        self.body = nn.Sequential(*body)
        self.dropout = nn.Dropout(config.dropout)
        self.tags = nn.ModuleList(nn.Linear(config.dimension, n) for n in n_classes)
        self.taste = nn.Linear(config.dimension, n_taste) if n_taste else None

    def learn_standardisation(self, vectors: Tensor) -> None:
        """Set the mean and scale of each dimension; one that never differs becomes zero."""
        mean = vectors.double().mean(dim=0)
        deviation = (vectors.double() - mean).square().mean(dim=0).sqrt()
        constant = deviation <= _LEAST_DEVIATION * deviation.max().clamp_min(1e-12)
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(constant, 0, 1 / deviation))

    def standardised(self, vectors: Tensor) -> Tensor:
        """Standardise the encoder's vectors [n, n_inputs]; shorten those of sounds unlike all."""
        own = (vectors - self.mean) * self.scale
        longest = _FARTHEST * (self.scale > 0).sum().clamp_min(1).sqrt()
        lengths = torch.linalg.vector_norm(own, dim=1, keepdim=True)
        return own * (longest / lengths.clamp_min(longest))

    @torch.inference_mode()
    def learn_length(self, vectors: Float32Array) -> None:
        """Give the learned layer the mean square length of the encoder's standardised vector."""
        own = self.standardised(torch.from_numpy(vectors))
        learned = self.body(own).square().sum(dim=1).mean()
        ratio = (own.square().sum(dim=1).mean() / learned.clamp_min(1e-12)).sqrt()
        self.length.copy_(ratio if learned > 0 else torch.ones(()))

    def outputs(self, vectors: Tensor) -> tuple[Tensor, list[Tensor], Tensor | None]:
        """Map vectors [n, n_inputs] to embeddings, logits of each tag, and taste vectors."""
        own = self.standardised(vectors)
        learned = self.body(own)
        hidden = self.dropout(learned)
        embedding = torch.cat([own, self.length * learned], dim=1) if self.skip else learned
        taste = None if self.taste is None else self.taste(hidden)
        return embedding, [head(hidden) for head in self.tags], taste


def initialise_heads(network: HeadNetwork, seed: int) -> None:
    """Initialise at random (He et al. 2015), output heads close to zero."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.body:
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(module.bias)
    heads = [*network.tags, *([] if network.taste is None else [network.taste])]
    for head in heads:
        assert isinstance(head, nn.Linear)
        nn.init.normal_(head.weight, std=0.01, generator=generator)
        nn.init.zeros_(head.bias)


def train_heads(
    vectors: Float32Array, task: HeadTask, *, progress: bool = False
) -> tuple[HeadNetwork, list[Epoch]]:
    """Train heads on the vectors of an encoder that stays as it is.

    Args:
        vectors: float32 [n, d], finite.
        task: what is predicted, and the settings.
        progress: show a progress bar.

    Returns:
        The heads with the weights of the best epoch, and one dict for each epoch.

    Raises:
        InvalidArgumentError: the loss is not finite.
    """
    config = task.config
    network = HeadNetwork(
        vectors.shape[1],
        [len(target.classes) for target in task.targets],
        0 if task.taste is None else task.taste.shape[1],
        config,
    )
    initialise_heads(network, config.seed)
    held = torch.from_numpy(np.ascontiguousarray(vectors, dtype=np.float32))
    training = torch.from_numpy(np.setdiff1d(np.arange(len(vectors)), task.validation))
    network.learn_standardisation(held[training])
    groups = [
        _group(network.parameters(), config.learning_rate, config.weight_decay, matrices=True),
        _group(network.parameters(), config.learning_rate, 0.0, matrices=False),
    ]

    def vectors_of(rows: IntArray, _epoch: int) -> Tensor:
        return held[torch.from_numpy(rows)]

    run = _Descent(network, task, groups, vectors_of)
    history = run.descend(config.epochs, "training the heads", progress)
    return network.eval(), history


def thaw(
    network: HeadNetwork,
    encoder: ThawableEncoder,
    inputs: Float32Array,
    task: HeadTask,
    *,
    progress: bool = False,
) -> tuple[State, list[Epoch]]:
    """Train heads and the last layers of their encoder together, after `train_heads`.

    The heads have learned first, so that their random start does not spoil the encoder (Kumar et
    al. 2022, "Fine-tuning can distort pretrained features and underperform out-of-distribution").
    The encoder stays in evaluation mode: statistics of batch normalisation do not change.

    Args:
        network: heads, changed.
        encoder: the encoder, changed.
        inputs: float32 [n, ...].
        task: what is predicted, and the settings.
        progress: show a progress bar.

    Returns:
        The encoder's weights that were trained, by name, and one dict for each epoch.

    Raises:
        InvalidArgumentError: the loss is not finite.
    """
    config = task.config
    module = encoder.torch_module()
    both = nn.ModuleDict({"heads": network, "encoder": module})
    wanted = {name: p.requires_grad for name, p in module.named_parameters()}
    # Columns of a network that sees windows of wider images.
    shape = getattr(encoder, "image_shape_", None)
    width = None if shape is None else int(shape[-1])
    layers = layers_used(encoder, _batch(inputs[:1], width, None))[::-1][: config.thawed_layers]
    rate = config.thawed_learning_rate
    groups = [
        _group(network.parameters(), rate, config.weight_decay, matrices=True),
        _group(network.parameters(), rate, 0.0, matrices=False),
    ]
    trained = {name: p for layer in layers for name, p in layer.items()}
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name in trained)
    for layer in layers:
        # No weight decay: it would pull the encoder away from what it knows.
        groups.append({"params": list(layer.values()), "lr": rate, "weight_decay": 0.0})
        rate *= config.layer_decay

    device = inference_device(config)

    def vectors_of(rows: IntArray, epoch: int) -> Tensor:
        generator = None if epoch < 0 else np.random.default_rng([config.seed, 3, epoch, rows[0]])
        return encoder.embed_tensor(_batch(inputs[rows], width, generator).to(device))

    both.to(device)
    try:
        history = _Descent(both, task, groups, vectors_of).descend(
            config.thawed_epochs, "training the encoder", progress
        )
    finally:
        both.to("cpu")
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(wanted[name])
            parameter.grad = None
    both.eval()
    return {name: p.detach().clone() for name, p in trained.items()}, history


def layers_used(encoder: ThawableEncoder, inputs: Tensor) -> list[dict[str, nn.Parameter]]:
    """Return the weights that embeddings depend on, by name, of each module, first to last.

    Modules are in the order of their definition.

    Args:
        encoder: the encoder.
        inputs: some inputs, which it is run on.
    """
    module = encoder.torch_module()
    parameters = dict(module.named_parameters())
    gradients = torch.autograd.grad(
        encoder.embed_tensor(inputs).sum(), list(parameters.values()), allow_unused=True
    )
    layers: dict[str, dict[str, nn.Parameter]] = {}
    for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
        if gradient is not None:
            layers.setdefault(name.rpartition(".")[0], {})[name] = parameter
    return list(layers.values())


class _Descent:
    """Gradient descent on heads, and on an encoder below them."""

    def __init__(
        self,
        modules: nn.Module,
        task: HeadTask,
        groups: list[dict[str, Any]],
        vectors_of: Callable[[IntArray, int], Tensor],
    ) -> None:
        self.modules = modules
        self.heads = modules if isinstance(modules, HeadNetwork) else modules["heads"]  # type: ignore[index]
        self.task = task
        self.config = task.config
        self.vectors_of = vectors_of
        self.rates = [float(group["lr"]) for group in groups]
        self.optimiser = AdamW(groups)
        n = len(task.targets[0].values) if task.targets else len(task.taste)  # type: ignore[arg-type]
        self.rows = np.setdiff1d(np.arange(n), task.validation)

    def descend(self, epochs: int, title: str, progress: bool) -> list[Epoch]:
        """Train; leaves the weights of the best epoch, or of the last one without validation."""
        history: list[Epoch] = []
        best: State = {}
        best_epoch = 0
        validated = len(self.task.validation) > 0
        with (
            limited_threads(self.config.threads),
            progress_bar(title, epochs, shown=progress) as advance,
        ):
            for epoch in range(epochs):
                started = time.perf_counter()
                record = {"epoch": epoch + 1.0, **self._epoch(epoch, epochs)}
                if validated:
                    record |= self._validate()
                record["seconds"] = time.perf_counter() - started
                history.append(record)
                advance(1)
                if not validated:
                    continue
                if record["validation_loss"] <= min(r["validation_loss"] for r in history):
                    best_epoch = epoch
                    best = {k: t.detach().clone() for k, t in self.modules.state_dict().items()}
                elif epoch - best_epoch >= self.config.patience:
                    break
        if best:
            self.modules.load_state_dict(best)
        return history

    def _epoch(self, epoch: int, epochs: int) -> Epoch:
        self.heads.train()  # the encoder stays in evaluation mode
        order = np.random.default_rng([self.config.seed, 2, epoch]).permutation(self.rows)
        starts = range(0, len(order), self.config.batch_size)
        total = correct = 0.0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_mixed(self.config.seed, epoch))
            for number, first in enumerate(starts):
                share = (epoch + number / len(starts)) / epochs
                for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
                    group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * share))
                rows = order[first : first + self.config.batch_size]
                loss, right = self._loss(rows, epoch)
                self.optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(self.modules.parameters(), _MAX_NORM)
                self.optimiser.step()
                total += loss.item() * len(rows)
                correct += right
        if not math.isfinite(total):
            raise InvalidArgumentError(
                f"training the heads diverged in epoch {epoch + 1}: the loss is {total}; lower the "
                "learning rate"
            )
        return self._record(total, correct, len(order), "")

    def _validate(self) -> Epoch:
        self.heads.eval()
        total = correct = 0.0
        rows = self.task.validation
        with torch.inference_mode():
            for first in range(0, len(rows), self.config.batch_size):
                batch = rows[first : first + self.config.batch_size]
                loss, right = self._loss(batch, -1)
                total += loss.item() * len(batch)
                correct += right
        return self._record(total, correct, len(rows), "validation_")

    def _record(self, total: float, correct: float, n: int, prefix: str) -> Epoch:
        record = {f"{prefix}loss": total / n}
        if self.task.targets:
            record[f"{prefix}accuracy"] = correct / n
        return record

    def _loss(self, rows: IntArray, epoch: int) -> tuple[Tensor, float]:
        """Loss of some inputs, and how many have the right class of the first tag."""
        _, scores, taste = self.heads.outputs(self.vectors_of(rows, epoch))
        device = next(self.heads.parameters()).device
        loss = torch.zeros((), device=device)
        smoothing = self.config.label_smoothing if epoch >= 0 else 0.0
        for target, score in zip(self.task.targets, scores, strict=True):
            wanted = torch.from_numpy(target.values[rows]).to(device)
            known = torch.from_numpy(target.known[rows]).to(device)
            each = losses(self.config.loss, score, wanted, smoothing)
            loss = loss + (each * known).sum() / max(1, int(known.sum()))
        if taste is not None:
            assert self.task.taste is not None
            liked = torch.from_numpy(self.task.taste[rows]).to(device)
            heard = liked.square().sum(dim=1) > 0
            each = 1 - (nn.functional.normalize(taste, dim=1) * liked).sum(dim=1)
            share = (each * heard).sum() / max(1, int(heard.sum()))
            loss = loss + self.config.taste_weight * share
        right = 0.0
        if scores:
            first = scores[0].detach().argmax(dim=1).cpu().numpy()
            right = float(self.task.targets[0].values[rows, first].sum())
        return loss, right


def _group(
    parameters: Iterable[nn.Parameter], rate: float, decay: float, *, matrices: bool
) -> dict[str, Any]:
    """Parameters for the optimiser: those that are matrices, or those that are vectors."""
    chosen = [p for p in parameters if (p.ndim > 1) == matrices]
    return {"params": chosen, "lr": rate, "weight_decay": decay}


def _batch(
    inputs: Float32Array, width: int | None, generator: np.random.Generator | None
) -> Tensor:
    """Convert inputs to a tensor; of wider ones a random window each, or the middle one."""
    room = inputs.shape[-1] - width if width is not None else 0
    if room > 0:
        starts = np.full(len(inputs), room // 2)
        if generator is not None:
            starts = generator.integers(0, room + 1, len(inputs))
        inputs = np.stack(
            [one[..., at : at + width] for one, at in zip(inputs, starts, strict=True)]
        )
    return torch.from_numpy(np.array(inputs, dtype=np.float32))


def _mixed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def run_heads(
    network: HeadNetwork, vectors: Float32Array, threads: int
) -> tuple[Float32Array, list[Float32Array], Float32Array | None]:
    """Compute embeddings, logits of each tag and taste vectors of an encoder's vectors [n, d]."""
    widths: list[int] = []

    def side_by_side(rows: Tensor) -> Tensor:
        embedding, scores, taste = network.outputs(rows)
        parts = [embedding, *scores, *([] if taste is None else [taste])]
        widths[:] = [part.shape[1] for part in parts]
        return torch.cat(parts, dim=1)

    with torch.inference_mode(), limited_threads(threads):
        rows = torch.from_numpy(np.array(vectors, dtype=np.float32))
        found = in_blocks(side_by_side, rows, 1)
    embedding, *others = (part.contiguous().numpy() for part in torch.split(found, widths, dim=1))
    return embedding, others[: len(network.tags)], None if network.taste is None else others[-1]
