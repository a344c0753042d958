"""Hyper-images one by one in NumPy against batches in PyTorch, on every device that is here.

    python -m benchmarks.speed.hyperimage_batches [--batch 64] [--threads 1] [RECORDING ...]

Without recordings it uses made-up sound. All make the same ``stacked`` pictures of 5 s snippets;
the largest difference from NumPy's is printed beside the time. The time of a GPU includes bringing
the sound there and the pictures back.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmarks.common import argument_parser
from datasets.arrays import Float32Array
from embedding import HyperImageConfig, SnippetConfig
from embedding.audio.snippets import load_snippets
from embedding.hyperimage.differentiable import hyperimages
from embedding.hyperimage.image import hyperimage

ROUNDS = 5
CONFIG = HyperImageConfig()


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("recordings", type=Path, nargs="*")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    arguments = parser.parse_args()
    rate = CONFIG.sample_rate
    paths = arguments.recordings
    known = [load_snippets(path, SnippetConfig(), rate)[0] for path in paths[: arguments.batch]]
    known = known or [made_up_sound(seed, rate) for seed in range(8)]
    sounds = np.stack([known[number % len(known)] for number in range(arguments.batch)])

    torch.set_num_threads(arguments.threads)
    devices = ["cpu"]
    devices += [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    devices += ["mps"] if torch.backends.mps.is_available() else []
    ways: dict[str, Callable[[], Float32Array]] = {
        "NumPy, one by one": lambda: np.stack([hyperimage(y, CONFIG) for y in sounds])
    }
    for device in devices:
        ways[f"PyTorch, {device}"] = lambda device=device: (
            hyperimages(torch.from_numpy(sounds).to(device), CONFIG).cpu().numpy()
        )

    print(f"{len(sounds)} snippets of 5 s, {arguments.threads} thread(s), best of {ROUNDS} rounds")
    if torch.cuda.is_available():
        print(torch.cuda.get_device_name())
    print(f"{'':22}{'ms a snippet':>14}{'snippets/s':>12}{'largest difference':>20}")
    with threadpool_limits(arguments.threads), torch.inference_mode():
        wanted = ways["NumPy, one by one"]()
        for name, way in ways.items():
            difference = float(np.abs(way() - wanted).max())  # and the first call is not timed
            times = []
            for _ in range(ROUNDS):
                start = time.perf_counter()
                way()
                times.append(time.perf_counter() - start)
            each = min(times) / len(sounds)
            print(f"{name:22}{1000 * each:14.2f}{1 / each:12.0f}{difference:20.1e}")


def made_up_sound(seed: int, rate: int) -> Float32Array:
    rng = np.random.default_rng(seed)
    seconds = np.arange(5 * rate) / rate
    tones = sum(np.sin(2 * np.pi * pitch * seconds) for pitch in rng.uniform(80, 2000, 8))
    beat = np.exp(-8 * np.modf(rng.uniform(1.5, 3) * seconds)[0])
    return (0.05 * tones * beat + 0.02 * rng.normal(size=len(seconds))).astype(np.float32)


if __name__ == "__main__":
    main()
