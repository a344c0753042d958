"""Settings of how a snippet becomes a picture."""

from typing import Literal, Self

from pydantic import Field, model_validator

from datasets.settings import Settings

Transform = Literal["chroma", "tempogram", "mel", "mfcc", "contrast", "tonnetz"]


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
