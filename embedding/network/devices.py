"""What computes: processors, one or several devices, one or several machines (Lightning Fabric)."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasets.errors import InvalidArgumentError
from embedding.network.config import EncoderConfig
from embedding.parallel import available_cores

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def make_fabric(config: EncoderConfig) -> "Fabric":
    """Lightning Fabric for the settings' accelerator, devices, nodes and precision.

    Raises:
        InvalidArgumentError: there is no such device here.
    """
    from lightning_fabric import Fabric

    # The news of processes that find each other is nobody's concern.
    for name in ("lightning_fabric", "lightning_fabric.utilities.distributed"):
        logging.getLogger(name).setLevel(logging.WARNING)
    alone = config.devices == config.nodes == 1
    # A launcher such as torchrun has started one process a device; without one, we start them.
    launched = "LOCAL_RANK" in os.environ
    strategy = "auto" if alone else "ddp" if launched or config.nodes > 1 else "ddp_spawn"
    try:
        fabric = Fabric(
            accelerator=config.accelerator,
            devices=config.devices,
            num_nodes=config.nodes,
            precision=config.precision,
            strategy=strategy,
        )
    except Exception as error:  # Fabric has no class of its own for a device that is not there
        raise InvalidArgumentError(
            f"accelerator {config.accelerator!r} with {config.devices} devices cannot be used "
            f"here: {str(error).splitlines()[0]}"
        ) from None
    return fabric


def inference_device(config: EncoderConfig) -> torch.device:
    """Where a trained network computes: the GPU, where the settings allow one and one is there."""
    if config.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return torch.device("cuda")
    if config.accelerator in ("auto", "gpu", "mps") and torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def to_tensor(images: NDArray[Any]) -> Tensor:
    """A batch as float32, in the memory layout that convolutions are fastest in."""
    batch = np.ascontiguousarray(images, dtype=np.float32)
    if not batch.flags.writeable:
        batch = batch.copy()
    return torch.from_numpy(batch).contiguous(memory_format=torch.channels_last)


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Let PyTorch use ``threads`` threads inside the block.

    0: as many as it does already, and no more than there are cores: PyTorch does not know of a
    container's quota.
    """
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads or min(before, available_cores()))
        yield
    finally:
        torch.set_num_threads(before)
