"""Settings of hyper-images: size, bands, presets."""

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
"""Keys of `embedding.transforms.table.TRANSFORMS`."""

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
"""Transforms whose values are power, which can be converted to dB."""


class Band(Settings):
    """Horizontal band of a hyper-image: one transform, its rows and its scale.

    Examples:
        >>> from embedding.hyperimage import Band, HyperImageConfig
        >>> mel, chroma = Band(transform="mel", rows=3), Band(transform="chroma", rows=1)
        >>> HyperImageConfig(layout=(mel, chroma)).band_rows()
        (96, 32)
    """

    transform: TransformName
    """Transform that fills the band."""

    rows: int = Field(ge=1)
    """Rows of the band. If the rows of all bands do not add up to the height of the image, the
    height is divided in proportion."""

    normalise: Literal["scale", "db", "peak", "unit", "none"] = "scale"
    """How values are scaled to brightness.

    - ``scale``: 0 .. 1 on the transform's own scale, the same for every song, see
      `embedding.hyperimage.bands`.
    - ``db``: power in dB, the loudest point 1, 80 dB below it 0; for power spectra only, where it
      equals ``scale``.
    - ``peak``: divided by the largest absolute value: -1 .. 1, or 0 .. 1 without negative values.
    - ``unit``: the lowest value of the snippet 0, the highest 1.
    - ``none``: unchanged, in the unit of the transform.

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
    """Size and content of hyper-images; by default the stacked preset, 128 x 128.

    Examples:
        >>> from embedding.hyperimage import Band, HyperImageConfig
        >>> wide = HyperImageConfig(preset="waveform", width=256)
        >>> [band.transform for band in wide.layout]
        ['waveform_left', 'waveform_right', 'linear', 'melodic_range']
        >>> mel = HyperImageConfig(layout=(Band(transform="mel", rows=1),), fit="pad", width=216)
        >>> HyperImageConfig(colour_map="magma").channels
        3
    """

    preset: Literal["stacked", "waveform"] = "stacked"
    """``layout`` if none is given: ``stacked`` (Fig. 5A) or ``waveform`` (Fig. 5B)."""

    sample_rate: int = Field(default=22050, ge=4000, le=192_000)
    """Sample rate in Hz to which recordings are resampled."""

    height: int = Field(default=128, ge=8, le=2048)
    """Rows of the image."""

    width: int = Field(default=128, ge=8, le=8192)
    """Columns of the image."""

    fit: Literal["stretch", "pad"] = "stretch"
    """``stretch``: the whole snippet over the whole width. ``pad``: one column a frame, so that
    time has the same scale in every image; missing columns at the end are 0, frames beyond the
    width are left out."""

    colour_map: str | None = None
    """Name of a matplotlib colour map that maps brightness to red, green and blue, 0 .. 1; None:
    one channel."""

    n_fft: int = Field(default=2048, ge=256, le=16384)
    """Window length in samples of the short-time Fourier transform that all transforms share."""

    hop_length: int = Field(default=512, ge=64, le=8192)
    """Samples between frames."""

    n_mels: int = Field(default=128, ge=16, le=512)
    """Mel bands of the mel spectrogram, the MFCC and the onset strength."""

    tempogram_frames: int = Field(default=192, ge=16, le=1024)
    """Window length of the tempogram in frames: 192 of 512 samples are 4.5 s at 22,050 Hz."""

    layout: tuple[Band, ...] = Field(default=STACKED, min_length=1)
    """The bands, the first at row 0."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:
        # The layout of another preset is replaced, so that `replace(preset=...)` works.
        preset = values.get("preset") if isinstance(values, dict) else None
        if isinstance(preset, str) and preset in PRESETS:
            layout = values.get("layout")
            if layout is None or any(_same(layout, known) for known in PRESETS.values()):
                return {**values, "layout": PRESETS[preset]}
        return values

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.height < len(self.layout):
            raise ValueError(f"height {self.height} is less than the {len(self.layout)} bands")
        if self.hop_length > self.n_fft:
            raise ValueError(f"hop_length {self.hop_length} exceeds n_fft {self.n_fft}")
        # Half the window is kept, and must hold the slowest tempo of the fastest octave.
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
        """Channels of the image: 1, or 3 with a colour map."""
        return 1 if self.colour_map is None else 3

    @property
    def sound_channels(self) -> Literal[1, 2]:
        """Channels of the waveform that are needed: 2 if a band draws a waveform, else 1."""
        return 2 if any(band.transform in WAVEFORMS for band in self.layout) else 1

    def uses(self, transform: TransformName) -> bool:
        """Return whether a band shows this transform."""
        return any(band.transform == transform for band in self.layout)

    def band_rows(self) -> tuple[int, ...]:
        """Return the rows of each band of ``layout``; at least 1 each, ``height`` in total."""
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
    """Return whether a layout, of bands or of their JSON, equals a known one."""
    if not isinstance(layout, list | tuple):
        return False
    bands = [band.model_dump() if isinstance(band, Band) else band for band in layout]
    return bands == [band.model_dump() for band in known]
