"""Devices and threads: CPU or GPU, distributed training by Lightning Fabric, thread limits."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasets.errors import InvalidArgumentError
from datasets.system.forking import gpu_is_lost, openmp_threads
from embedding.network.config import EncoderConfig
from embedding.parallel import available_cores

if TYPE_CHECKING:
    from lightning_fabric import Fabric

logger = logging.getLogger("coldtune")


def make_fabric(config: EncoderConfig) -> "Fabric":
    """Create a Lightning Fabric for the accelerator, devices, nodes and precision of the settings.

    Raises:
        InvalidArgumentError: no such device is available, or no longer after a fork.
    """
    from lightning_fabric import Fabric

    # Its messages about processes that connect to each other are of no interest to users.
    for name in ("lightning_fabric", "lightning_fabric.utilities.distributed"):
        logging.getLogger(name).setLevel(logging.WARNING)
    accelerator = config.accelerator
    if gpu_is_lost():
        if accelerator in ("gpu", "cuda"):
            raise InvalidArgumentError(
                f"accelerator {accelerator!r}: the GPU was in use when this process was forked, and"
                " CUDA cannot be used here any more; start the process afresh (spawn), or train"
                " with accelerator='cpu'"
            )
        logger.warning("the GPU cannot be used after a fork: the network is trained on the CPU")
        accelerator = "cpu"
    alone = config.devices == config.nodes == 1
    # A launcher such as torchrun has already started one process a device; else Fabric does.
    launched = "LOCAL_RANK" in os.environ
    strategy = "auto" if alone else "ddp" if launched or config.nodes > 1 else "ddp_spawn"
    try:
        fabric = Fabric(
            accelerator=accelerator,
            devices=config.devices,
            num_nodes=config.nodes,
            precision=config.precision,
            strategy=strategy,
        )
    except Exception as error:  # Fabric has no specific class for a missing device
        raise InvalidArgumentError(
            f"accelerator {config.accelerator!r} with {config.devices} devices cannot be used "
            f"here: {str(error).splitlines()[0]}"
        ) from None
    return fabric


class _WithAccelerator(Protocol):
    @property
    def accelerator(self) -> str: ...


def inference_device(config: _WithAccelerator) -> torch.device:
    """Return the one device to compute on: a GPU if allowed and available, else the CPU.

    A process that was forked from one that used CUDA computes on the CPU.
    """
    if gpu_is_lost():
        return torch.device("cpu")
    if config.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return torch.device("cuda")
    if config.accelerator in ("auto", "gpu", "mps") and torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def to_tensor(images: NDArray[Any]) -> Tensor:
    """Convert a batch to float32 in channels-last layout, the fastest for convolutions."""
    batch = np.ascontiguousarray(images, dtype=np.float32)
    if not batch.flags.writeable:
        batch = batch.copy()
    return torch.from_numpy(batch).contiguous(memory_format=torch.channels_last)


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Limit PyTorch to ``threads`` threads inside the block.

    0 keeps the current number, but at most the available cores: PyTorch ignores the CPU quota of a
    container.
    """
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(openmp_threads(threads or min(before, available_cores())))
        yield
    finally:
        torch.set_num_threads(before)
