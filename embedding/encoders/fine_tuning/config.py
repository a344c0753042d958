"""Settings of heads that are trained on top of an encoder."""

from typing import Literal, Self

from pydantic import Field, model_validator

from datasets.settings import Settings

Backbone = Literal["frozen", "thawed"]
"""How an encoder takes part in fine-tuning: as it is, or trained as well."""


class HeadConfig(Settings):
    """Small network on top of an encoder, its training, and how much of the encoder is trained.

    Examples:
        >>> from embedding import HeadConfig
        >>> HeadConfig(tags=("genre", "mood"), dimension=64).backbone
        'frozen'
    """

    backbone: Backbone = "frozen"
    """``frozen``: only the heads are trained, on the vectors of the encoder as it is; any encoder
    will do. ``thawed``: then its last layers as well; for encoders that are PyTorch networks."""

    tags: tuple[str, ...] = ()
    """Tags to predict, in order; empty for all tags of the labels."""

    dimension: int = Field(default=128, ge=1, le=65_536)
    """Units of the last hidden layer, whose activation is the embedding."""

    hidden: int = Field(default=0, ge=0, le=65_536)
    """Units of a hidden layer before it; 0 for none."""

    activation: Literal["relu", "none"] = "relu"
    """After each hidden layer; ``none`` makes a linear map of the encoder's vectors."""

    skip: bool = True
    """The embedding is the encoder's own vector, standardised, followed by the learned layer, both
    of the same mean square length; otherwise the learned layer alone."""

    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Share of the units of each hidden layer that are left out at random in training."""

    input_dropout: float = Field(default=0.2, ge=0, lt=1)
    """The same of the encoder's vector."""

    loss: Literal["cross_entropy", "half_squared", "binary_cross_entropy"] = "cross_entropy"
    """Loss of the tags, as in `EncoderConfig`; ``binary_cross_entropy`` for labels of several
    values, separated by ``;``."""

    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    """Share of each label that is spread evenly over all classes."""

    taste_weight: float = Field(default=1.0, ge=0, le=1000)
    """Weight of the loss of taste, 1 less the cosine between the predicted and the collaborative
    vector, beside that of each tag, which is 1."""

    epochs: int = Field(default=60, ge=1)
    """Passes over the vectors."""

    batch_size: int = Field(default=64, ge=1)
    """Inputs of a step."""

    learning_rate: float = Field(default=1e-3, gt=0)
    """Maximum learning rate of AdamW; it falls to zero along half a cosine."""

    weight_decay: float = Field(default=0.05, ge=0)
    """Decoupled weight decay, not applied to biases."""

    thawed_layers: int | None = Field(default=None, ge=1)
    """For ``thawed``: how many of the encoder's last layers are trained; None for all."""

    thawed_epochs: int = Field(default=10, ge=1)
    """For ``thawed``: passes over the inputs, after those with the frozen encoder."""

    thawed_learning_rate: float = Field(default=1e-4, gt=0)
    """For ``thawed``: maximum learning rate of the heads and of the last layer; it falls to zero
    along half a cosine."""

    layer_decay: float = Field(default=0.8, gt=0, le=1)
    """For ``thawed``: the learning rate of a layer over that of the layer after it."""

    validation_fraction: float = Field(default=0.0, ge=0, lt=1)
    """Share of the inputs (whole groups) held out to choose the best epoch by its loss. 0: all
    are trained on, and the last epoch is kept."""

    patience: int = Field(default=15, ge=1)
    """Epochs without a lower validation loss after which training stops."""

    seed: int = Field(default=0, ge=0, lt=2**62)
    """Seed of initial weights, dropout, order and validation split."""

    threads: int = Field(default=0, ge=0, le=4096)
    """CPU threads; 0: PyTorch's default."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto"
    """For ``thawed``: ``auto`` uses a GPU if there is one. Heads alone are trained on the CPU."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.tags)) < len(self.tags) or not all(self.tags):
            raise ValueError(f"tags must be different names, not {list(self.tags)}")
        return self
