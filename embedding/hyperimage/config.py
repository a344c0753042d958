"""Settings of how a snippet becomes a picture."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from datasets.settings import Settings

TransformName = Literal[
    "waveform_left",
    "waveform_right",
    "linear",
    "log",
    "constant_q_note",
    "constant_q_hz",
    "chroma",
    "tempogram",
    "cyclic_tempogram",
    "mel",
    "mfcc",
    "contrast",
    "tonnetz",
    "centroid",
    "onset_strength",
    "cepstral_pitch",
    "melodic_range",
    "melodic_range_linear",
    "notes",
]
"""The names of :data:`embedding.transforms.table.TRANSFORMS`."""

WAVEFORMS = frozenset({"waveform_left", "waveform_right"})

POWERS = frozenset(
    {
        "linear",
        "log",
        "constant_q_note",
        "constant_q_hz",
        "mel",
        "melodic_range",
        "melodic_range_linear",
    }
)
"""Transforms whose values are power, which can be looked at in dB."""


class Band(Settings):
    """A horizontal band of the hyper-image: one transform and its share of the rows."""

    transform: TransformName
    """Which picture of the sound fills the band."""

    rows: int = Field(ge=1)
    """Rows of the band; when all bands do not add up to the height, its share of it."""

    normalise: Literal["scale", "db", "peak", "unit", "none"] = "scale"
    """How values become brightness.

    - ``scale``: 0 .. 1 on the transform's own scale, the same for every song, see
      :mod:`embedding.hyperimage.bands`.
    - ``db``: power in dB, the loudest point 1, 80 dB below it 0; only of power spectra, and there
      the same as ``scale``.
    - ``peak``: divided by the largest absolute value, so -1 .. 1, or 0 .. 1 without negative ones.
    - ``unit``: the lowest value of the snippet 0, the highest 1.
    - ``none``: as they are, in the transform's unit.

    Frames without a pitch count as 0 Hz.
    """

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.normalise == "db" and self.transform not in POWERS:
            raise ValueError(f"normalise: {self.transform!r} is no power, it has no 'db'")
        if self.normalise != "scale" and self.transform in WAVEFORMS:
            raise ValueError("normalise: a waveform is drawn to 'scale'")
        return self


STACKED = (
    Band(transform="chroma", rows=12),
    Band(transform="tempogram", rows=19),
    Band(transform="mel", rows=64),
    Band(transform="mfcc", rows=20),
    Band(transform="contrast", rows=7),
    Band(transform="tonnetz", rows=6),
)
"""The patent's stacked hyper-image (US 2018/0276540 A1, paragraphs 52 and 56, Fig. 5A)."""

WAVEFORM = (
    Band(transform="waveform_left", rows=16),
    Band(transform="waveform_right", rows=16),
    Band(transform="linear", rows=48),
    Band(transform="melodic_range", rows=48),
)
"""Two-channel waveform, linear spectrum and melodic range (paragraph 56, Fig. 5B)."""

PRESETS: dict[str, tuple[Band, ...]] = {"stacked": STACKED, "waveform": WAVEFORM}


class HyperImageConfig(Settings):
    """How a snippet becomes a picture.

    >>> HyperImageConfig()                                          # the stacked one, 128 x 128
    >>> HyperImageConfig(preset="waveform", width=256)
    >>> HyperImageConfig(layout=(Band(transform="mel", rows=1),), fit="pad", width=216)
    >>> HyperImageConfig(colour_map="magma")                        # three channels
    """

    preset: Literal["stacked", "waveform"] = "stacked"
    """Which ``layout`` is used where none of one's own is given: ``stacked`` (Fig. 5A) or
    ``waveform`` (Fig. 5B)."""

    sample_rate: int = Field(default=22050, ge=4000, le=192_000)
    """Samples a second that the sound is brought to first."""

    height: int = Field(default=128, ge=8, le=2048)
    """Rows of the picture."""

    width: int = Field(default=128, ge=8, le=8192)
    """Columns of the picture."""

    fit: Literal["stretch", "pad"] = "stretch"
    """``stretch``: the whole snippet over the whole width. ``pad``: one column a frame, so that
    time has the same scale in every picture; columns that are left over at the end are 0, and
    frames beyond the width are left out."""

    colour_map: str | None = None
    """Name of a matplotlib colour map that turns brightness into red, green and blue, 0 .. 1; None
    gives one channel."""

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

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:
        # The layout of another preset is no layout of one's own: `replace(preset=...)` works.
        if isinstance(values, dict) and values.get("preset") in PRESETS:
            layout = values.get("layout")
            if layout is None or any(_same(layout, known) for known in PRESETS.values()):
                return {**values, "layout": PRESETS[values["preset"]]}
        return values

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.height < len(self.layout):
            raise ValueError(f"height {self.height} is less than the {len(self.layout)} bands")
        if self.hop_length > self.n_fft:
            raise ValueError(f"hop_length {self.hop_length} exceeds n_fft {self.n_fft}")
        # Half the window is kept, and the slowest tempo of the fastest octave must be in it.
        needed = 60 * self.sample_rate / (240 * self.hop_length) + 1
        if self.uses("cyclic_tempogram") and self.tempogram_frames // 2 < needed:
            raise ValueError(
                f"tempogram_frames must be {2 * int(needed + 1)} for a cyclic tempogram"
            )
        if self.colour_map is not None:
            from embedding.hyperimage.colours import colour_table

            colour_table(self.colour_map)
        return self

    @property
    def channels(self) -> int:
        """Channels of the picture: 1, or 3 with a colour map."""
        return 1 if self.colour_map is None else 3

    @property
    def sound_channels(self) -> Literal[1, 2]:
        """Channels of the sound that it wants: 2 where both sides of the waveform are drawn."""
        return 2 if any(band.transform in WAVEFORMS for band in self.layout) else 1

    def uses(self, transform: TransformName) -> bool:
        """Whether a band shows this transform."""
        return any(band.transform == transform for band in self.layout)

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


def _same(layout: Any, known: tuple[Band, ...]) -> bool:
    """Whether a layout, of bands or of their JSON, is this one."""
    if not isinstance(layout, list | tuple):
        return False
    bands = [band.model_dump() if isinstance(band, Band) else band for band in layout]
    return bands == [band.model_dump() for band in known]
