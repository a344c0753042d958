"""Settings of the audio side: which snippet, which hyper-image, which network and training."""

from pydantic import Field, field_validator

from datasets.errors import InvalidArgumentError
from datasets.settings import Settings
from embedding.architecture import parse
from embedding.hyperimage_config import HyperImageConfig
from embedding.snippet_config import SnippetConfig

__all__ = ["EncoderConfig", "HyperImageConfig", "SnippetConfig"]


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
