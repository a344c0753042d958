"""Settings of the recommender: sources, content map, fusion, retrieval and the audio encoder."""

from typing import Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from datasets.settings import Settings
from embedding.encoders.fine_tuning.config import HeadConfig
from embedding.network.config import EncoderConfig

SourceName = Literal["als", "fm", "content", "ease", "popularity"]
"""Names of the sources of evidence."""

SOURCES: tuple[SourceName, ...] = ("als", "fm", "ease", "content", "popularity")
"""The sources fused by default."""

PlayWeighting = Literal["relative", "binary", "log", "linear"]
"""Plays count as log(1 + plays) squared, relative to the user's mean (``relative``), as 1
(``binary``), as log(1 + plays) or as they are (``linear``)."""


class ALSConfig(Settings):
    """Implicit-feedback matrix factorization by alternating least squares (Hu et al., 2008)."""

    factors: int = Field(128, ge=1)
    """Length of the user and item vectors."""

    regularization: float | None = Field(None, ge=0)
    """L2 penalty on the vectors of users and items with a mean total of weights; None chooses it
    on a validation split."""

    penalty_by_plays: float = Field(0.2, ge=0, le=1)
    """Share of the L2 penalty that grows with the total weight of a user's or an item's plays."""

    alpha: float = Field(10.0, gt=0)
    """Confidence of one unit of play weight."""

    iterations: int = Field(10, ge=1)
    """Number of alternations of the two solves."""

    weighting: PlayWeighting = "relative"
    """How plays are weighed: ``relative`` (the square of log(1 + plays) over its mean for the
    user), ``binary`` (1), ``log`` (log(1 + plays)) or ``linear`` (plays)."""


class EASEConfig(Settings):
    """Low-rank EASE: item-item ridge regression without a self-weight (Steck, 2019)."""

    rank: int = Field(256, ge=1)
    """Number of singular values kept: the length of the vectors."""

    regularization: float = Field(200.0, gt=0)
    """λ, the L2 penalty on the item-item weights, in units of users per item."""

    weighting: PlayWeighting = "relative"
    """How plays are weighed; see `ALSConfig.weighting`."""


class FMConfig(Settings):
    """LightFM factorization machine over identity, metadata and embeddings (Kula, 2015)."""

    components: int = Field(128, ge=1)
    """Length of the latent vectors."""

    epochs: int | None = Field(None, ge=1)
    """Passes over the interactions. None: 100, and above 300,000 interactions as many as make 30
    million steps, but at least 10."""

    learning_rate: float = Field(0.02, gt=0, lt=1)
    """Initial learning rate of Adagrad."""

    loss: Literal["warp", "bpr", "logistic"] = "warp"
    """Loss of LightFM."""

    item_penalty: float = Field(0.0, ge=0)
    """L2 penalty on item features."""

    user_penalty: float = Field(0.0, ge=0)
    """L2 penalty on user features."""

    embedding_features: Literal["closed-form", "closed-form+tuning", "dense", "pca"] = "closed-form"
    """How embeddings take part: ``closed-form``, a regression after training on identity and
    metadata; ``closed-form+tuning``, that and a few epochs of SGD; ``dense``, as features of SGD;
    ``pca``, their principal components as features of SGD."""

    pca_components: int = Field(16, ge=1)
    """For ``pca``: number of components, at most the dimension of the embeddings."""

    tuning_epochs: int = Field(3, ge=1)
    """For ``closed-form+tuning``: further passes over the interactions."""


class ContentMapConfig(Settings):
    """The map that predicts a source's item vectors from content (embedding, metadata)."""

    kind: Literal["kernel", "auto", "ridge", "low-rank", "cosine", "mlp"] = "kernel"
    """Kind of regression: ``kernel``, a smooth mean of what is known of similar songs
    (`recsys.content.kernel`); ``ridge``, ``low-rank`` and ``cosine``, linear ones; ``mlp``, a
    network; ``auto`` chooses among the last four by cross-validation."""

    widths: tuple[float, ...] = Field((0.1, 0.25, 0.5, 1.0), min_length=1)
    """For ``kernel``: squared widths to choose from, as shares of the median squared distance."""

    strengths: tuple[float, ...] = Field(
        (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0), min_length=1
    )
    """Ridge penalties to choose from by cross-validation; 1 is the mean eigenvalue of the
    embeddings' weighted scatter or, for ``kernel``, noise as large as what the sound explains."""

    folds: int = Field(5, ge=2)
    """Number of folds of that cross-validation."""

    evidence: float = Field(10.0, gt=0)
    """In the regression, an item with n users weighs n / (n + evidence)."""

    group_prior: float = Field(3.0, gt=0)
    """Shrinkage of the effect of a metadata value, in units of items."""

    shrinkage: float | None = Field(None, ge=0)
    """How many users a prediction from content is worth beside the item's own users
    (`recsys.content.shrinkage`). 0 keeps learned vectors; None chooses on the training data."""

    @field_validator("strengths", "widths")
    @classmethod
    def _positive(cls, values: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
        if min(values) <= 0:
            what = "width" if info.field_name == "widths" else "strength"
            raise ValueError(f"every {what} must be positive")
        return values


WEIGHT_BOUNDS = (1e-6, 1e6)
"""Bounds of a source's weight. Weights are scaled to the sum 1: further apart, the scores of one
source would be rounding errors beside those of another, or too large for single precision."""


class FusionConfig(Settings):
    """Weights of the sources, for items with users (warm) and without (cold)."""

    warm: dict[SourceName, float] | None = None
    """Weights for warm items, from 1e-6 to 1e6, that of popularity also 0 or negative; None chooses
    them on a validation split."""

    cold: dict[SourceName, float] | None = None
    """Weights for cold items, as those for warm ones; None chooses them on a validation split."""

    validation_fraction: float = Field(0.1, gt=0, le=0.5)
    """Share of the interactions, and of the items with an embedding, held out for validation."""

    discovery: float = Field(0.01, ge=0, lt=1)
    """Share of nDCG@10, on the validation split, that lists may lose so that new items appear in
    them: cold items' scores are scaled up as far as this allows."""

    drop_sources: bool = True
    """Leave out sources that are not shown to add anything on the validation split
    (`recsys.training.source_gains`), where weights are chosen."""

    validation_users: int = Field(2000, ge=1)
    """Maximum number of validation users."""

    @field_validator("warm", "cold")
    @classmethod
    def _usable(cls, weights: dict[SourceName, float] | None) -> dict[SourceName, float] | None:
        least, most = WEIGHT_BOUNDS
        for name, weight in (weights or {}).items():
            if abs(weight) > most or (name != "popularity" and 0 < weight < least):
                raise ValueError(
                    f"the weight of {name} must lie between {least:g} and {most:g}, not {weight:g}"
                )
        # The other sources may favour popular items too much: that of popularity may be negative.
        signs = [weight > 0 for name, weight in (weights or {}).items() if name != "popularity"]
        if weights is not None and not (signs and all(signs)):
            raise ValueError("a weight must be positive; leave a source out of `sources` instead")
        return weights


class RetrievalConfig(Settings):
    """How the index finds the best items."""

    method: Literal["auto", "exact", "screened", "pruned", "annoy"] = "auto"
    """``exact`` finds the very best items; ``screened`` tells most items from them by a few leading
    coordinates; ``pruned`` compares only items whose vectors are long enough; ``annoy`` searches
    approximately by trees. ``auto`` is exact up to ``exact_up_to`` items; above, screened, or annoy
    if few items can be told from the best ones so."""

    exact_up_to: int = Field(100_000, ge=0)
    """Largest number of items that ``auto`` searches exactly."""

    target_recall: float = Field(0.99, gt=0, le=1)
    """Mean share of a user's 10 best items that all but ``exact`` have to find; measured on
    users of the model when the index is built, and stored with it."""

    n_trees: int | None = Field(None, ge=1, le=10_000)
    """For ``annoy``: number of trees; None tries 20, 50 and 100 until the target recall is met."""

    search_k: int | None = Field(None, ge=1)
    """For ``annoy``: nodes to inspect per search; None is as many as the target recall needs."""


MOST_THREADS = 4096
"""Bound of the number of threads: more than any machine has cores."""


class RecommenderConfig(Settings):
    """All settings of a recommender.

    Examples:
        >>> config = RecommenderConfig(threads=1, als={"factors": 32})
        >>> config.replace(sources=("als", "content")).als.factors
        32
    """

    seed: int = Field(0, ge=0, lt=2**31)
    """Seed of all random choices; the network's own seed is added to it."""

    threads: int | None = Field(None, ge=1, le=MOST_THREADS)
    """Threads for training, also of the network unless it has its own setting; None uses all cores,
    and one where there are less than a million plays to learn from. LightFM is reproducible only
    with one thread."""

    sources: tuple[SourceName, ...] = Field(SOURCES, min_length=1)
    """The sources to fuse."""

    als: ALSConfig = ALSConfig()
    """Settings of the source ``als``."""

    fm: FMConfig = FMConfig()
    """Settings of the source ``fm``."""

    ease: EASEConfig = EASEConfig()
    """Settings of the source ``ease``."""

    content_map: ContentMapConfig = ContentMapConfig()
    """How item vectors are predicted from content."""

    fusion: FusionConfig = FusionConfig()
    """Weights of the sources."""

    retrieval: RetrievalConfig = RetrievalConfig()
    """How the best items are found."""

    encoder: EncoderConfig = EncoderConfig()
    """Settings of the audio encoder."""

    heads: HeadConfig = HeadConfig()
    """Settings of the heads that ``--fine-tune`` trains, which itself says frozen or thawed; in
    Python, a `FineTunedEncoder` has its own."""

    tracking: bool = True
    """Log every fit to MLflow."""

    @field_validator("sources")
    @classmethod
    def _distinct(cls, sources: tuple[SourceName, ...]) -> tuple[SourceName, ...]:
        if len(set(sources)) < len(sources):
            raise ValueError("a source is named twice")
        return sources

    @model_validator(mode="after")
    def _weights_of_all_sources(self) -> Self:
        for kind, weights in (("warm", self.fusion.warm), ("cold", self.fusion.cold)):
            if weights is not None and set(weights) != set(self.sources):
                named, wanted = sorted(weights), sorted(self.sources)
                raise ValueError(f"fusion.{kind} weighs {named}, the sources are {wanted}")
        return self

    @property
    def n_threads(self) -> int:
        """The number of threads: as configured, or the cores available to this process."""
        from embedding.parallel import available_cores

        return self.threads or available_cores()

    @property
    def network(self) -> EncoderConfig:
        """The encoder's settings, with the seed and the threads of the whole."""
        return self.encoder.replace(
            seed=(self.seed + self.encoder.seed) % 2**62,
            threads=self.encoder.threads or self.threads or 0,
        )
