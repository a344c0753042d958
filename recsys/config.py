"""Configuration of the recommender. Every field says what it does."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from datasets.settings import Settings
from embedding.network.config import EncoderConfig

SourceName = Literal["als", "fm", "content", "ease", "popularity"]
SOURCES: tuple[SourceName, ...] = ("als", "fm", "ease", "content", "popularity")
"""The sources that are fused unless others are named."""

PlayWeighting = Literal["binary", "log", "linear"]


class ALSConfig(Settings):
    """Implicit-feedback matrix factorization by alternating least squares (Hu et al., 2008)."""

    factors: int = Field(64, ge=1)
    """Length of a user's and an item's vector."""

    regularization: float | None = Field(None, ge=0)
    """L2 penalty on both factors; None chooses on a validation split."""

    alpha: float = Field(20.0, gt=0)
    """Confidence of one unit of play weight."""

    iterations: int = Field(15, ge=1)
    """Alternations of the two solves."""

    weighting: PlayWeighting = "binary"
    """Plays count as 1 (``binary``), as log(1 + plays) or as they are (``linear``)."""


class EASEConfig(Settings):
    """Item-item ridge regression in low rank (Steck, 2019)."""

    rank: int = Field(256, ge=1)
    """Singular values that are kept: the length of the vectors."""

    regularization: float = Field(200.0, gt=0)
    """λ, in units of listeners: the L2 penalty on the item-item weights."""


class FMConfig(Settings):
    """Factorization machine over identity and metadata, trained by LightFM (Kula, 2015)."""

    components: int = Field(128, ge=1)
    """Length of the latent vectors."""

    epochs: int | None = Field(None, ge=1)
    """Passes over the interactions. None: 100, or fewer above 300,000 interactions, so that there
    are 30 million steps, but never under 10."""

    learning_rate: float = Field(0.02, gt=0, lt=1)
    """Adagrad's first step."""

    loss: Literal["warp", "bpr", "logistic"] = "warp"
    """Ranking loss of LightFM."""

    item_penalty: float = Field(0.0, ge=0)
    """L2 penalty on item features."""

    user_penalty: float = Field(0.0, ge=0)
    """L2 penalty on user features."""

    embedding_features: Literal["closed-form", "closed-form+tuning", "dense", "pca"] = "closed-form"
    """How embeddings take part: by a regression after training on identity and metadata; that and
    a few epochs of SGD from there; as dense features of SGD; as their principal components."""

    pca_components: int = Field(16, ge=1)
    """``pca``: principal components, at most as many as the embeddings have columns."""

    tuning_epochs: int = Field(3, ge=1)
    """``closed-form+tuning``: further passes over the interactions."""


class ContentMapConfig(Settings):
    """From content (embedding, metadata) to the vectors of a source."""

    kind: Literal["auto", "ridge", "low-rank", "cosine", "mlp"] = "ridge"
    """How the map is learned; ``auto`` takes the kind that cross-validation prefers."""

    strengths: tuple[float, ...] = Field(
        (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0), min_length=1
    )
    """Ridge penalties that cross-validation chooses from; 1 is the mean eigenvalue of the
    embeddings' weighted scatter."""

    folds: int = Field(5, ge=2)
    """Folds of that cross-validation."""

    evidence: float = Field(10.0, gt=0)
    """An item with n listeners weighs n / (n + evidence)."""

    group_prior: float = Field(3.0, gt=0)
    """Items' worth of doubt in what a metadata value adds."""

    shrinkage: float | None = Field(None, ge=0)
    """How many listeners a prediction from content is worth beside an item's own few
    (:mod:`recsys.content.shrinkage`). 0 leaves learned vectors alone; None chooses on data."""

    @field_validator("strengths")
    @classmethod
    def _positive(cls, strengths: tuple[float, ...]) -> tuple[float, ...]:
        if min(strengths) <= 0:
            raise ValueError("every strength must be positive")
        return strengths


class FusionConfig(Settings):
    """How much each source says, for items with listeners (warm) and without (cold)."""

    warm: dict[SourceName, float] | None = None
    """Weights for warm items; None chooses them on a validation split."""

    cold: dict[SourceName, float] | None = None
    """Weights for cold items; None chooses them on a validation split."""

    validation_fraction: float = Field(0.1, gt=0, le=0.5)
    """Share of the interactions, and of the items with an embedding, held out to choose."""

    discovery: float = Field(0.01, ge=0, lt=1)
    """Share of nDCG@10, on the validation split, that lists may lose so that new items are seen:
    as much as that allows, a cold item's score counts beside a warm one's."""

    validation_users: int = Field(2000, ge=1)
    """At most this many users are scored to choose."""

    @field_validator("warm", "cold")
    @classmethod
    def _usable(cls, weights: dict[SourceName, float] | None) -> dict[SourceName, float] | None:
        # Others may like popular items too much already, so that of popularity may be negative.
        signs = [weight > 0 for name, weight in (weights or {}).items() if name != "popularity"]
        if weights is not None and not (signs and all(signs)):
            raise ValueError("a weight must be positive; leave a source out of `sources` instead")
        return weights


class RetrievalConfig(Settings):
    """How the best items are found."""

    method: Literal["auto", "exact", "pruned", "annoy"] = "auto"
    """``auto`` compares with every item up to ``exact_up_to`` items. Above, ``pruned`` looks only
    at items long enough to be found; where that is most of them, ``auto`` takes ``annoy``."""

    exact_up_to: int = Field(100_000, ge=0)
    """Largest catalogue that ``auto`` searches exactly."""

    target_recall: float = Field(0.99, gt=0, le=1)
    """Share of a user's 10 best items that ``pruned`` and ``annoy`` have to find on average;
    measured on users of the model when the index is built, and kept with it."""

    n_trees: int | None = Field(None, ge=1)
    """Annoy: trees in the index; None is as many as the target recall needs, up to 100."""

    search_k: int | None = Field(None, ge=1)
    """Annoy: nodes looked at in a search; None is as many as the target recall needs."""


class RecommenderConfig(Settings):
    """Everything that decides what a recommender learns."""

    seed: int = Field(0, ge=0, lt=2**31)
    """Seed of all random choices; the network's own seed is added to it."""

    threads: int | None = Field(None, ge=1)
    """Threads for training, the network's too where it says none; None is all cores. LightFM gives
    the same model twice only with one."""

    sources: tuple[SourceName, ...] = Field(SOURCES, min_length=1)
    """Which sources are fused."""

    als: ALSConfig = ALSConfig()
    fm: FMConfig = FMConfig()
    ease: EASEConfig = EASEConfig()
    content_map: ContentMapConfig = ContentMapConfig()
    fusion: FusionConfig = FusionConfig()
    retrieval: RetrievalConfig = RetrievalConfig()
    encoder: EncoderConfig = EncoderConfig()

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
        """Threads to use: as configured, or the cores this process may run on."""
        from embedding.parallel import available_cores

        return self.threads or available_cores()

    @property
    def network(self) -> EncoderConfig:
        """The network's settings with the seed and the threads of all."""
        return self.encoder.replace(
            seed=self.seed + self.encoder.seed, threads=self.encoder.threads or self.threads or 0
        )
