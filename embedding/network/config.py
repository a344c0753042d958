"""Settings of the network and its training, with the snippets and hyper-images it is fed."""

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from datasets.errors import InvalidArgumentError
from datasets.settings import Settings
from embedding.audio.config import SnippetConfig
from embedding.hyperimage.config import HyperImageConfig
from embedding.network.architecture import parse

RecipeName = Literal["patent", "modern"]
Standardisation = Literal["image", "training", "rows"]

SequenceName = Literal["mean", "attention", "recurrent"]

PATENT_ARCHITECTURE = "IC(5,15,64)LPC(1,5,64)LPF(384)F(192)O"
"""Best network of US 2018/0276540 A1 (paragraph 67, Fig. 9A)."""

MODERN_ARCHITECTURE = (
    "IA(2x1,2x1)C(1,3,24)BP(2,2)C(1,3,48)BP(2,2)C(1,3,96)BP(2,2)C(1,3,192)BP(2,2)GD(20)F(192)D(20)O"
)
"""Four 3 x 3 convolutions with batch normalisation and global pooling; small, so that many epochs
are affordable."""


class AugmentationConfig(Settings):
    """Random changes of training images, drawn again in every epoch; none by default.

    Examples:
        >>> from embedding import AugmentationConfig, EncoderConfig
        >>> augmentation = AugmentationConfig(time_mask=0.2, row_mask=0.2, mixup=0.2)
        >>> EncoderConfig(augmentation=augmentation).augmentation.masks
        1
    """

    stretch: float = Field(default=0.0, ge=0, le=0.5)
    """Maximum change of tempo: 0.1 makes an image up to 10 % longer or shorter. Needs images wider
    than the window."""

    row_shift: float = Field(default=0.0, ge=0, lt=0.5)
    """Maximum vertical shift of the image (in a spectrogram, a change of pitch), as a share of its
    height; rows at the edge are repeated."""

    equaliser: float = Field(default=0.0, ge=0, le=1)
    """Maximum change of the level of a row, along a smooth random curve over the rows (in a
    spectrogram, a gain for each frequency), as a share of the value range 0 .. 1."""

    level: float = Field(default=0.0, ge=0, le=1)
    """Maximum change of the level of the whole image, up or down, as a share of the value range
    0 .. 1 (in an image of decibels over 80 dB, 0.1 is 8 dB): recordings differ in loudness."""

    contrast: float = Field(default=0.0, ge=0, le=1)
    """Maximum change of the contrast: 0.2 multiplies the differences from the image's mean by
    exp(-0.2) to exp(0.2)."""

    noise: float = Field(default=0.0, ge=0, le=1)
    """Standard deviation of random noise on each pixel, as a share of the value range 0 .. 1."""

    time_mask: float = Field(default=0.0, ge=0, lt=1)
    """Maximum width of a masked block of columns, as a share of the width (SpecAugment, Park et al.
    2019)."""

    row_mask: float = Field(default=0.0, ge=0, lt=1)
    """Maximum height of a masked block of rows, as a share of the height (SpecAugment)."""

    masks: int = Field(default=1, ge=1, le=16)
    """Number of masked blocks of columns, and of rows, in an image."""

    mixup: float = Field(default=0.0, ge=0, le=10)
    """Images and labels are mixed with those of another image in proportions drawn from
    Beta(mixup, mixup) (Zhang et al. 2018); 0 turns it off."""


class EncoderConfig(Settings):
    """Network that maps hyper-images to embeddings, its training and its input.

    The defaults are the recipe of US 2018/0276540 A1; `recipe` has a modern one.

    Examples:
        >>> from embedding import EncoderConfig
        >>> config = EncoderConfig(tags=("genre", "mood"), epochs=5)
        >>> config.architecture
        'IC(5,15,64)LPC(1,5,64)LPF(384)F(192)O'
        >>> EncoderConfig.recipe("modern", seed=3).optimiser
        'adamw'
    """

    architecture: str = PATENT_ARCHITECTURE
    """Network in the notation of `embedding.network.architecture`."""

    tags: tuple[str, ...] = Field(default=("genre",), min_length=1)
    """Tags to predict: columns of the items table, with one output head each on a shared trunk."""

    loss: Literal["cross_entropy", "half_squared", "binary_cross_entropy"] = "cross_entropy"
    """``cross_entropy`` of the softmax; ``half_squared``: half the squared error of the softmax
    probabilities (US 2018/0276540 A1, paragraph 74); ``binary_cross_entropy``: several values may
    hold at once, written with ``;`` between them."""

    taste_weight: float = Field(default=1.0, ge=0, le=1000)
    """Weight of the loss of taste, 1 less the cosine between the collaborative vector of a song and
    the one predicted, beside the loss of each tag (van den Oord et al. 2013). 0 learns tags alone,
    whatever plays there are."""

    taste_songs: int = Field(default=80, ge=20)
    """Fewest songs with a recording and listeners from which a recommender's network learns taste;
    with fewer, it learns tags alone."""

    epochs: int = Field(default=20, ge=1)
    """Passes over the training images."""

    batch_size: int = Field(default=32, ge=1)
    """Images in a training step, over all devices."""

    optimiser: Literal["sgd", "adamw"] = "sgd"
    """``sgd``: stochastic gradient descent with momentum; ``adamw``: Loshchilov and Hutter 2019."""

    learning_rate: float = Field(default=0.01, gt=0)
    """Maximum learning rate; it falls to zero along half a cosine."""

    warmup: float = Field(default=0.0, ge=0, lt=1)
    """Share of the steps in which the learning rate first rises from zero."""

    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Momentum of ``sgd``; beta 1 of ``adamw``."""

    weight_decay: float = Field(default=2e-2, ge=0)
    """Weight decay, not applied to biases: L2 for ``sgd``, decoupled for ``adamw``."""

    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of each label that is spread evenly over all classes (Szegedy et al. 2016)."""

    averaging: float = Field(default=0.99, ge=0, lt=1)
    """Decay of the exponential moving average of the weights, which is the network that is kept:
    0.995 averages over about 200 steps. 0 keeps the last weights."""

    augmentation: AugmentationConfig = AugmentationConfig()
    """Random changes of training images."""

    standardise: Standardisation = "image"
    """Standardisation of images: by the mean and standard deviation of each ``image``, which
    ignores loudness and contrast; of all ``training`` images; or of each of their ``rows`` over all
    training images."""

    window: int | None = Field(default=None, ge=8)
    """Columns of the input of the network. Training takes a random window of wider images in every
    epoch; embeddings are made of evenly spaced, half overlapping windows, see ``sequence``. None:
    the whole image."""

    sequence: SequenceName = "mean"
    """How the windows of a song become one embedding and its tags (US 2018/0276540 A1, paragraph
    63): their ``mean``; a mean weighted by ``attention``, in which order makes no difference; or by
    a ``recurrent`` network that reads them in order of time. Needs songs of several windows: images
    wider than ``window``, or several snippets of each recording."""

    validation_fraction: float = Field(default=0.0, ge=0, lt=1)
    """Share of the images (whole groups, if groups are given) held out to choose the best epoch.
    0: all images are trained on, and the last epoch is kept."""

    patience: int = Field(default=15, ge=1)
    """Epochs without improvement of the validation accuracy after which training stops."""

    seed: int = Field(default=0, ge=0, lt=2**62)
    """Seed of initial weights, order and validation split. On one machine, the same seed gives the
    same result."""

    threads: int = Field(default=0, ge=0, le=4096)
    """CPU threads for the network; 0: PyTorch's default."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto"
    """Accelerator, as named by Lightning Fabric; ``auto`` uses a GPU if there is one."""

    devices: int = Field(default=1, ge=1)
    """Devices (on the CPU: processes) that share each batch in training."""

    nodes: int = Field(default=1, ge=1)
    """Machines with this many devices each; start the same command on all, e.g. by torchrun."""

    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Numerical precision of training; weights are kept in 32 bits."""

    snippet: SnippetConfig = SnippetConfig()
    """Which parts of a recording are embedded."""

    hyperimage: HyperImageConfig = HyperImageConfig()
    """Hyper-images of these parts."""

    @property
    def dimension(self) -> int:
        """Length of the embedding: units of the last fully connected layer."""
        return parse(self.architecture).dimension

    def identity(self) -> dict[str, Any]:
        """Return the settings as JSON for the digest of an encoder.

        With a setting that there was once, so that the digests of saved encoders stay the same.
        """
        return {**self.model_dump(mode="json"), "members": 1}

    @classmethod
    def recipe(cls, name: RecipeName, **settings: Any) -> Self:
        """Return the settings of a recipe, with some of them replaced.

        Args:
            name: ``patent``: network, stochastic gradient descent and loss of US 2018/0276540 A1.
                ``modern``: a deeper network with batch normalisation on random 5 s windows of 15 s
                snippets, with changes of tempo, pitch and level, SpecAugment, label smoothing and
                AdamW; more accurate (docs/results.md), and several times slower to train.
            **settings: fields to replace.

        Raises:
            InvalidArgumentError: unknown recipe, or an invalid setting.
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
            # An InvalidArgumentError would be taken for one of nested settings.
            raise ValueError(str(error)) from None
        return text

    @model_validator(mode="before")
    @classmethod
    def _without_members(cls, values: Any) -> Any:
        """Take settings from when several networks could be trained side by side."""
        if not isinstance(values, dict) or "members" not in values:
            return values
        if values["members"] != 1:
            raise ValueError(
                f"members: {values['members']!r} networks side by side are no longer supported "
                "(they gained nothing); train one network"
            )
        return {name: value for name, value in values.items() if name != "members"}

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
            stretch=0.1, row_shift=0.025, level=0.15, time_mask=0.18, row_mask=0.16, masks=1
        ),
        "standardise": "training",
        "window": 64,
        "snippet": SnippetConfig(seconds=15.0),
        "hyperimage": HyperImageConfig(width=192),
    },
}
