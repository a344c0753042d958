"""The hyper-image in PyTorch: the values of the one in NumPy, and gradients that are right."""

from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.errors import AudioError, InvalidArgumentError
from embedding.audio.config import SnippetConfig
from embedding.audio.snippets import load_snippets
from embedding.hyperimage.config import Band, HyperImageConfig
from embedding.hyperimage.differentiable import hyperimages
from embedding.hyperimage.image import hyperimage

TINY = HyperImageConfig(
    sample_rate=4000, height=40, width=10, n_fft=256, hop_length=128, n_mels=16, tempogram_frames=16
)
CONFIGS = {
    "default": HyperImageConfig(),
    "small": HyperImageConfig(
        sample_rate=8000, height=64, width=50, n_fft=512, hop_length=160, n_mels=40,
        tempogram_frames=65,
    ),
    "44 kHz": HyperImageConfig(
        sample_rate=44100, height=200, width=301, n_fft=4096, hop_length=1024
    ),
    "another order": TINY.replace(
        layout=(
            Band(transform="contrast", rows=7),
            Band(transform="mel", rows=9),
            Band(transform="tempogram", rows=9),
            Band(transform="mel", rows=5),
        )
    ),
}  # fmt: skip


def sounds(rate: int, seconds: float = 3.0) -> dict[str, np.ndarray]:
    """Easy and difficult ones: float32 [samples] each."""
    rng = np.random.default_rng(0)
    time = np.arange(round(seconds * rate)) / rate
    noise = rng.normal(size=len(time))
    tone = np.sin(2 * np.pi * 330 * time)
    beat = np.modf(2 * time)[0] < 0.3
    kinds = {
        "noise": noise,
        "tone": tone,
        "beat": tone * beat,
        "beat and noise": 0.3 * tone * beat + 0.02 * noise,
        "click": (np.arange(len(time)) == len(time) // 3).astype(float),
        "quiet": 1e-5 * noise,
        "offset": 1 + 1e-3 * noise,
        "sweep": np.sin(2 * np.pi * (100 + rate / 12 * time) * time),
        "clipped and dying away": np.sign(tone) * np.exp(-3 * time),
    }
    return {name: y.astype(np.float32) for name, y in kinds.items()}


@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_values_are_those_of_numpy(config: HyperImageConfig) -> None:
    kinds = sounds(config.sample_rate)
    batch = hyperimages(torch.from_numpy(np.stack(list(kinds.values()))), config)
    assert batch.dtype == torch.float32
    assert batch.shape == (len(kinds), 1, config.height, config.width)
    for row, (name, y) in enumerate(kinds.items()):
        difference = np.abs(batch[row].numpy() - hyperimage(y, config)).max()
        assert difference < 1e-4, name


def test_values_are_those_of_numpy_on_real_music(real_recordings: list[Path]) -> None:
    config = HyperImageConfig()
    snippets = [load_snippets(path, SnippetConfig(), 22050)[0] for path in real_recordings[:4]]
    batch = hyperimages(torch.from_numpy(np.stack(snippets)), config).numpy()
    for ours, y in zip(batch, snippets, strict=True):
        np.testing.assert_allclose(ours, hyperimage(y, config), atol=1e-5)


def test_a_batch_is_its_snippets() -> None:
    y = torch.from_numpy(np.stack(list(sounds(4000).values())))
    together = hyperimages(y, TINY)
    for row in range(len(y)):
        torch.testing.assert_close(together[row : row + 1], hyperimages(y[row : row + 1], TINY))


def test_a_snippet_shorter_than_a_window() -> None:
    y = sounds(4000, seconds=0.05)["noise"]
    ours = hyperimages(torch.from_numpy(y)[None], TINY)[0].numpy()
    np.testing.assert_allclose(ours, hyperimage(y, TINY), atol=1e-5)


@pytest.mark.parametrize("transform", ["chroma", "tempogram", "mel", "mfcc", "contrast", "tonnetz"])
def test_gradients_are_finite_differences(transform: str) -> None:
    config = TINY.replace(layout=(Band(transform=transform, rows=8),), height=8, width=8)
    y = torch.from_numpy(sounds(4000, seconds=0.15)["noise"])[None].double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda y: hyperimages(y, config), y, eps=1e-7, atol=1e-4, rtol=1e-3, fast_mode=True
    )


@pytest.mark.parametrize("name", sounds(4000))
def test_gradients_are_finite_everywhere(name: str) -> None:
    y = torch.from_numpy(sounds(4000)[name])[None].requires_grad_()
    picture = hyperimages(y, TINY)
    (gradient,) = torch.autograd.grad((picture * torch.randn_like(picture)).sum(), y)
    assert gradient.isfinite().all()
    assert gradient.abs().max() > 0


def test_banks_made_without_gradients_serve_those_with() -> None:
    config = TINY.replace(height=41)  # whose banks no other test has made
    y = torch.from_numpy(sounds(4000)["noise"])[None]
    with torch.inference_mode():
        hyperimages(y, config)
    hyperimages(y.clone().requires_grad_(), config).sum().backward()


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (torch.zeros(2, 4000), "snippet 0 is silent"),
        (
            torch.stack([torch.randn(4000), torch.full((4000,), torch.nan)]),
            "snippet 1 contains NaN",
        ),
        (
            torch.stack([torch.randn(4000), torch.full((4000,), torch.inf)]),
            "snippet 1 contains NaN",
        ),
    ],
)
def test_sound_that_cannot_be_used(y: torch.Tensor, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        hyperimages(y, TINY)


@pytest.mark.parametrize(
    "y", [torch.zeros(4000), torch.zeros(1, 0), torch.zeros(1, 400, dtype=torch.int16), np.zeros(9)]
)
def test_what_is_no_batch_of_snippets(y: torch.Tensor) -> None:
    with pytest.raises(InvalidArgumentError):
        hyperimages(y, TINY)


@pytest.mark.parametrize("columns", [20, 30, 40])
def test_padded_pictures(columns: int) -> None:
    config = TINY.replace(fit="pad", width=columns)  # 32 frames
    y = sounds(4000, seconds=1)["beat and noise"]
    ours = hyperimages(torch.from_numpy(y)[None], config)[0].numpy()
    np.testing.assert_allclose(ours, hyperimage(y, config), atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preset": "waveform"}, "'waveform_left' has no PyTorch version"),
        ({"layout": (Band(transform="mel", rows=8, normalise="unit"),)}, "'unit' of 'mel'"),
        ({"colour_map": "magma"}, "colours"),
    ],
)
def test_settings_without_a_pytorch_version(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        hyperimages(torch.randn(1, 4000), TINY.replace(**changes))
