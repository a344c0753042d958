"""Front end of hyper-images: each snippet of a recording as one image."""

from typing import Literal

from datasets.arrays import Float32Array
from datasets.settings import Settings
from embedding.audio.config import SnippetConfig
from embedding.hyperimage.config import HyperImageConfig
from embedding.hyperimage.image import hyperimage

CODE_VERSION = 3
"""Increased whenever the same settings give other values, to invalidate old cache entries."""


class HyperImageFrontEnd(Settings):
    """Hyper-images of the snippets of a recording: the front end of a `SongEncoder`.

    An `embedding.audio.FrontEnd`; its inputs are kept in the store of hyper-images.

    Examples:
        >>> from embedding.hyperimage import HyperImageFrontEnd
        >>> front_end = HyperImageFrontEnd()
        >>> front_end.sample_rate, front_end.input_shape
        (22050, (1, 128, 128))
        >>> front_end.inputs(np.sin(np.arange(22050, dtype=np.float32))).shape
        (1, 1, 128, 128)
    """

    snippet: SnippetConfig = SnippetConfig()
    """Which parts of the recording."""

    hyperimage: HyperImageConfig = HyperImageConfig()
    """Size and bands of the images."""

    @property
    def sample_rate(self) -> int:
        """Sample rate in Hz that recordings are resampled to."""
        return self.hyperimage.sample_rate

    @property
    def channels(self) -> Literal[1, 2]:
        """Channels of the samples: 2 if a band draws a waveform, else 1."""
        return self.hyperimage.sound_channels

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(channels, height, width) of an image."""
        image = self.hyperimage
        return image.channels, image.height, image.width

    @property
    def stored_as(self) -> str:
        """Version of the code and settings, on which the values of the images depend."""
        return f"{CODE_VERSION} {self.snippet.digest()} {self.hyperimage.digest()}"

    def inputs(self, samples: Float32Array) -> Float32Array:
        """Compute the hyper-image of one snippet: [1, channels, height, width].

        Raises:
            AudioError: NaN or infinite samples, or silence.
        """
        return hyperimage(samples, self.hyperimage)[None]
