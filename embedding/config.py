"""Settings of the audio side: which snippet, which hyper-image, which network and training."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from datasets.errors import InvalidArgumentError
from datasets.settings import Settings
from embedding.architecture import parse

Transform = Literal["chroma", "tempogram", "mel", "mfcc", "contrast", "tonnetz"]


class SnippetConfig(Settings):
    """Which part of a recording is listened to."""

    seconds: float = Field(default=5.0, ge=0.25, le=600.0)
    """Length of a snippet. A shorter recording is repeated until it fills the snippet."""

    position: Literal["start", "middle", "end"] = "middle"
    """Where the snippet is taken when there is one; several are spread evenly instead."""

    count: int = Field(default=1, ge=1, le=1000)
    """Number of snippets, evenly spaced; a recording shorter than a snippet gives one."""


class Band(Settings):
    """A horizontal band of the hyper-image: one transform and its share of the rows."""

    transform: Transform
    """Which picture of the sound fills the band."""

    rows: int = Field(ge=1)
    """Rows of the band; when all bands do not add up to the height, its share of it."""


STACKED = (
    Band(transform="chroma", rows=12),
    Band(transform="tempogram", rows=19),
    Band(transform="mel", rows=64),
    Band(transform="mfcc", rows=20),
    Band(transform="contrast", rows=7),
    Band(transform="tonnetz", rows=6),
)
"""The patent's stacked hyper-image (US 2018/0276540 A1, paragraphs 52 and 56, Fig. 5A)."""


class HyperImageConfig(Settings):
    """How a snippet becomes a picture."""

    preset: Literal["stacked"] = "stacked"
    """Kind of picture; ``stacked`` puts the bands of ``layout`` under one another."""

    sample_rate: int = Field(default=22050, ge=4000, le=192_000)
    """Samples a second that the sound is brought to first."""

    height: int = Field(default=128, ge=8, le=2048)
    """Rows of the picture."""

    width: int = Field(default=128, ge=8, le=8192)
    """Columns of the picture, spread over the whole snippet."""

    n_fft: int = Field(default=2048, ge=256, le=16384)
    """Samples in a window of the short-time Fourier transform that all transforms share."""

    hop_length: int = Field(default=512, ge=64, le=8192)
    """Samples between two windows."""

    n_mels: int = Field(default=128, ge=16, le=512)
    """Mel bands computed for the mel spectrogram, the MFCC and the onsets."""

    tempogram_frames: int = Field(default=192, ge=16, le=1024)
    """Frames in a window of the tempogram: 192 of 512 samples are 4.5 s at 22,050 Hz."""

    layout: tuple[Band, ...] = Field(default=STACKED, min_length=1)
    """The bands, first at row 0."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.height < len(self.layout):
            raise ValueError(f"height {self.height} is less than the {len(self.layout)} bands")
        if self.hop_length > self.n_fft:
            raise ValueError(f"hop_length {self.hop_length} exceeds n_fft {self.n_fft}")
        return self

    @property
    def channels(self) -> int:
        """Channels of the picture."""
        return 1

    def band_rows(self) -> tuple[int, ...]:
        """Rows of each band of ``layout``; they add up to ``height``, each at least 1."""
        wanted = [band.rows for band in self.layout]
        spare = self.height - len(wanted)
        exact = [spare * rows / sum(wanted) for rows in wanted]
        if sum(wanted) == self.height:
            return tuple(wanted)
        rows = [1 + int(share) for share in exact]
        by_remainder = sorted(range(len(rows)), key=lambda band: int(exact[band]) - exact[band])
        for band in by_remainder[: self.height - sum(rows)]:
            rows[band] += 1
        return tuple(rows)


class EncoderConfig(Settings):
    """The network that turns hyper-images into embeddings, and how it is trained."""

    architecture: str = "IC(5,15,64)LPC(1,5,64)LPF(384)F(192)O"
    """The network in the patent's notation, see :mod:`embedding.architecture`."""

    tag: str = Field(default="genre", min_length=1)
    """The tag that the network learns to tell: a column of the items table."""

    epochs: int = Field(default=20, ge=1)
    """Passes over the training images."""

    batch_size: int = Field(default=32, ge=1)
    """Images in a step of stochastic gradient descent."""

    learning_rate: float = Field(default=0.01, gt=0)
    """Step size at the start; it falls to zero along half a cosine."""

    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Momentum of the descent."""

    weight_decay: float = Field(default=2e-2, ge=0)
    """L2 penalty on weights (not on biases)."""

    validation_fraction: float = Field(default=0.0, ge=0, lt=1)
    """Share of the images (whole groups, where groups are given) held out to choose the epoch.
    With 0 all of them train and the last epoch counts."""

    patience: int = Field(default=15, ge=1)
    """Epochs without a better validation accuracy after which training stops."""

    seed: int = Field(default=0, ge=0)
    """Seed of initial weights, order and split; same seed, same machine: same result."""

    threads: int = Field(default=0, ge=0)
    """Processor threads for the network; 0 leaves PyTorch's own choice."""

    snippet: SnippetConfig = SnippetConfig()
    """Which parts of a recording are listened to."""

    hyperimage: HyperImageConfig = HyperImageConfig()
    """How they become pictures."""

    @field_validator("architecture")
    @classmethod
    def _check_architecture(cls, text: str) -> str:
        try:
            parse(text)
        except InvalidArgumentError as error:
            # An error of ours would be taken for one of settings within these.
            raise ValueError(str(error)) from None
        return text
