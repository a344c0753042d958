"""Settings of the audio side: which snippet, which hyper-image, which network and training."""

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from datasets.errors import InvalidArgumentError
from datasets.settings import Settings
from embedding.audio.config import SnippetConfig
from embedding.hyperimage.config import HyperImageConfig
from embedding.network.architecture import parse

Recipe = Literal["patent", "modern"]

PATENT_ARCHITECTURE = "IC(5,15,64)LPC(1,5,64)LPF(384)F(192)O"
"""The patent's best network (US 2018/0276540 A1, paragraph 67, Fig. 9A)."""

MODERN_ARCHITECTURE = (
    "IA(2x1,2x1)C(1,3,32)BP(2,2)C(1,3,64)BP(2,2)C(1,3,128)BP(2,2)C(1,3,256)BP(2,2)"
    "GD(20)F(192)D(20)O"
)
"""Four 3 x 3 convolutions with batch normalisation, pooled over the whole picture: small, so that
it can see the images many times."""


class AugmentationConfig(Settings):
    """How training images are changed at random, anew in every epoch; nothing by itself."""

    stretch: float = Field(default=0.0, ge=0, le=0.5)
    """Largest change of tempo: 0.1 makes an image up to 10 % longer or shorter. It needs images
    wider than the window."""

    row_shift: float = Field(default=0.0, ge=0, lt=0.5)
    """Farthest that the whole image moves up or down (in a spectrogram, a change of pitch), as a
    share of its height; rows at the edge are repeated."""

    equaliser: float = Field(default=0.0, ge=0, le=1)
    """Largest rise or fall of a row's level, along a smooth random curve over the rows (in a
    spectrogram, the gain of each frequency), as a share of the range of values 0 .. 1."""

    time_mask: float = Field(default=0.0, ge=0, lt=1)
    """Widest block of columns that is blanked, as a share of the width (SpecAugment, Park et al.
    2019)."""

    row_mask: float = Field(default=0.0, ge=0, lt=1)
    """Widest block of rows that is blanked, as a share of the height (SpecAugment)."""

    masks: int = Field(default=1, ge=1, le=16)
    """Blocks of columns, and blocks of rows, blanked in an image."""

    mixup: float = Field(default=0.0, ge=0, le=10)
    """Images and labels are mixed with those of another image by shares from Beta(mixup, mixup)
    (Zhang et al. 2018); 0 mixes none."""


class EncoderConfig(Settings):
    """The network that turns hyper-images into embeddings, and how it is trained.

    The defaults are the patent's recipe; :meth:`recipe` has another of today's making.
    """

    architecture: str = PATENT_ARCHITECTURE
    """The network, in the notation of :mod:`embedding.network.architecture`."""

    tags: tuple[str, ...] = Field(default=("genre",), min_length=1)
    """The tags that the network learns to tell: columns of the items table, one head each on one
    shared trunk."""

    loss: Literal["cross_entropy", "half_squared", "binary_cross_entropy"] = "cross_entropy"
    """``cross_entropy`` of the softmax; ``half_squared``: half the squared error of the softmax's
    probabilities (US 2018/0276540 A1, paragraph 74); ``binary_cross_entropy``: any number of values
    at once, written with ``;`` between them."""

    epochs: int = Field(default=20, ge=1)
    """Passes over the training images."""

    batch_size: int = Field(default=32, ge=1)
    """Images in a step of the descent, over all devices."""

    optimiser: Literal["sgd", "adamw"] = "sgd"
    """``sgd``: stochastic gradient descent with momentum; ``adamw``: Loshchilov and Hutter 2019."""

    learning_rate: float = Field(default=0.01, gt=0)
    """Largest step size; it falls to zero along half a cosine."""

    warmup: float = Field(default=0.0, ge=0, lt=1)
    """Share of the steps in which the step size rises from zero first."""

    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Momentum of the descent; for ``adamw`` that of the mean gradient."""

    weight_decay: float = Field(default=2e-2, ge=0)
    """Penalty on weights (not on biases): L2 for ``sgd``, decoupled for ``adamw``."""

    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of each label that is spread over all classes (Szegedy et al. 2016)."""

    averaging: float = Field(default=0.99, ge=0, lt=1)
    """The network kept is the running mean of the weights, of which each step replaces this much
    less than all: 0.995 averages over about 200 steps. 0 keeps the last weights."""

    augmentation: AugmentationConfig = AugmentationConfig()
    """How training images are changed at random."""

    standardise: Literal["image", "training"] = "image"
    """What is taken off each image first, and divided by: its own mean and deviation, so that
    loudness and contrast say nothing, or those of all training images."""

    window: int | None = Field(default=None, ge=8)
    """Columns that the network sees at a time. Wider images give a random window in every epoch of
    the training, and the mean over evenly spaced, half overlapping windows afterwards. None: the
    whole image."""

    validation_fraction: float = Field(default=0.0, ge=0, lt=1)
    """Share of the images (whole groups, where groups are given) held out to choose the epoch.
    With 0 all of them train and the last epoch counts."""

    patience: int = Field(default=15, ge=1)
    """Epochs without a better validation accuracy after which training stops."""

    seed: int = Field(default=0, ge=0)
    """Seed of initial weights, order and split; same seed, same machine: same result."""

    threads: int = Field(default=0, ge=0)
    """Processor threads for the network; 0 leaves PyTorch's own choice."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto"
    """What computes, as Lightning Fabric names it; ``auto`` takes a GPU where there is one."""

    devices: int = Field(default=1, ge=1)
    """Devices (or processes, on the CPU) that share each batch in training."""

    nodes: int = Field(default=1, ge=1)
    """Machines with that many devices each; start the same command on all, as by torchrun."""

    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Numbers that training computes with; weights are kept in 32 bits."""

    snippet: SnippetConfig = SnippetConfig()
    """Which parts of a recording are listened to."""

    hyperimage: HyperImageConfig = HyperImageConfig()
    """How they become pictures."""

    @classmethod
    def recipe(cls, name: Recipe, **settings: Any) -> Self:
        """The settings of a recipe, some of them replaced.

        ``patent``: the network, stochastic gradient descent and loss of US 2018/0276540 A1.
        ``modern``: a deeper network with batch normalisation on random 5 s windows of 15 s
        snippets, with other tempi and pitches, SpecAugment, mixup, label smoothing and AdamW; it
        tells more (docs/results.md) and takes several times as long.

        Raises:
            InvalidArgumentError: there is no such recipe, or a setting is wrong.
        """
        if name not in _RECIPES:
            raise InvalidArgumentError(f"recipe must be one of {', '.join(_RECIPES)}, not {name!r}")
        return cls().replace(**{**_RECIPES[name], **settings})

    @field_validator("architecture")
    @classmethod
    def _check_architecture(cls, text: str) -> str:
        try:
            parse(text)
        except InvalidArgumentError as error:
            # An error of ours would be taken for one of settings within these.
            raise ValueError(str(error)) from None
        return text

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.tags)) < len(self.tags) or not all(self.tags):
            raise ValueError(f"tags must be different names, not {list(self.tags)}")
        return self


_RECIPES: dict[str, dict[str, Any]] = {
    "patent": {},
    "modern": {
        "architecture": MODERN_ARCHITECTURE,
        "epochs": 240,
        "batch_size": 16,
        "optimiser": "adamw",
        "learning_rate": 3e-3,
        "warmup": 0.15,
        "weight_decay": 0.05,
        "label_smoothing": 0.1,
        "averaging": 0.995,
        "augmentation": AugmentationConfig(
            stretch=0.1, row_shift=0.025, time_mask=0.18, row_mask=0.16, masks=2, mixup=0.2
        ),
        "standardise": "training",
        "window": 64,
        "snippet": SnippetConfig(seconds=15.0),
        "hyperimage": HyperImageConfig(width=192),
    },
}
