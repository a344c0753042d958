"""The fit of a recommender: from a data set to the fitted state of the whole model."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from datasets.arrays import Float32Array, IntArray
from datasets.columns import ITEM_ID, USER_ID, WEIGHT
from datasets.errors import AudioError, ColdtuneError, DataError, InvalidArgumentError
from datasets.music import MusicDataset
from datasets.progress import stage_bar
from datasets.tables.frames import FrameLike
from datasets.tables.values import format_value
from datasets.texts.file_names import name_as_text
from embedding.encoders.learned_plays import LearnedPlays
from recsys.audio.embeddings import (
    FROM_RECORDINGS,
    DatasetEmbeddings,
    embed_dataset,
    learned_plays_of,
)
from recsys.audio.training import TooFewLabelsError, summarise_sound, train_encoder
from recsys.config import RecommenderConfig
from recsys.content.embedding_range import EmbeddingRange, check_learned_embeddings
from recsys.content.familiarity import (
    DOUBTED,
    UNKNOWN_FAMILIARITY,
    Description,
    Familiarity,
    learn_familiarity,
    trust_of,
)
from recsys.content.features import MetadataVocabulary, align_embeddings, artist_codes
from recsys.content.kernel import standardisation
from recsys.data import (
    ItemContent,
    TrainingData,
    Vectors,
    has_many_plays,
    play_matrix,
    warn_of_wild_plays,
)
from recsys.fusion import fuse_items, fuse_users, make_blocks, user_scales
from recsys.model.artifact import library_versions
from recsys.model.state import (
    EMBEDDING_LENGTHS,
    NEW_SONGS,
    SOURCES_LEFT_OUT,
    FittedState,
    predict_vectors,
)
from recsys.sources.als import ALSSource
from recsys.sources.base import Source
from recsys.sources.given_factors import (
    AlignedFactors,
    GivenALSSource,
    GivenFactors,
    read_factors,
)
from recsys.sources.registry import make_source
from recsys.training.blending import Blend, choose_blend
from recsys.training.fine_tuning import fine_tune_on_catalogue
from recsys.training.taste import choose_taste
from recsys.training.usable_sources import choose_sources
from recsys.training.validation import (
    FURTHER,
    choose_regularization,
    hold_out,
    leaves_regularization_open,
)

if TYPE_CHECKING:
    from embedding.encoders.protocol import Encoder

logger = logging.getLogger("coldtune")

SEVERAL_THREADS_FROM = 1_000_000
"""Number of (user, item) pairs from which more than one thread is used unless asked for: below, a
second thread saves little, and where something else runs on the machine, all wait for it."""

TARGET = "target"
"""What `Recommender.info` calls what the encoder was trained to predict in this fit."""


@dataclass
class StageTimer:
    """Time the stages of a fit; with `progress`, show which one is running.

    Examples:
        >>> timer = StageTimer(progress=False)
        >>> with timer.stage("fusion"):
        ...     pass
        >>> list(timer.seconds)
        ['fusion']
    """

    progress: bool

    threads: int | None = None
    """Threads of BLAS in stages that begin from now on; None leaves them as they are."""

    seconds: dict[str, float] = field(default_factory=dict)
    """Seconds of each stage, in order."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the body under this name."""
        started = time.perf_counter()
        with (
            stage_bar(name, shown=self.progress),
            threadpool_limits(self.threads, user_api="blas"),
        ):
            yield
        self.seconds[name] = round(time.perf_counter() - started, 3)


def fit_state(
    dataset: MusicDataset,
    config: RecommenderConfig,
    *,
    embeddings: FrameLike | None,
    encoder: "Encoder | None",
    progress: bool,
    factors: "GivenFactors | str | Path | None" = None,
) -> tuple[FittedState, DatasetEmbeddings]:
    """Fit the whole model.

    Args:
        dataset: what to learn from.
        config: all settings; what they leave open is chosen on a validation split.
        embeddings: embeddings to use instead of the network's: index item_id, one column per
            dimension. None computes them from the recordings.
        encoder: a trained network to use instead of training one.
        progress: show progress on stderr.
        factors: factors of ALS to use instead of learning them, or the folder where they are.

    Returns:
        The fitted state, and the embeddings computed from the recordings.

    Raises:
        DataError: there is nothing to learn from, neither plays nor any item's sound, or the
            embeddings do not fit the data set.
        AudioError: a network is to be trained, and none of the recordings can be used.

    Examples:
        >>> from recsys import RecommenderConfig
        >>> config = RecommenderConfig(threads=1, sources=("als", "content"))
        >>> state, _ = fit_state(
        ...     dataset, config, embeddings=embeddings, encoder=None, progress=False
        ... )
        >>> state.user_vectors.shape, state.item_vectors.shape  # ALS 128-d + content 4-d
        ((60, 132), (30, 132))
    """
    timer = StageTimer(progress)
    played = dataset.interactions[dataset.interactions[WEIGHT] > 0]
    if played.empty and embeddings is None and dataset.audio.empty:
        raise DataError(
            "interactions: nobody has played anything, and no item has a recording or an "
            "embedding, so there is nothing to learn"
        )

    audio, no_network, taste_reason = DatasetEmbeddings.empty(), "", ""
    if embeddings is None and len(dataset.audio):
        encoder, audio, no_network, taste_reason = _embed_recordings(
            dataset, config, encoder, timer
        )
        embeddings = audio.embeddings
        for failure in audio.failures:
            logger.warning("recording left out: %s", failure)
    item_ids = pd.Index(dataset.items[ITEM_ID], dtype=object)
    with timer.stage("interactions"):
        data, user_ids, vocabulary = _training_data(dataset, played, embeddings, config)
    timer.threads = data.threads

    given: AlignedFactors | None = None
    if factors is not None:
        with timer.stage("factors"):
            factors, given = _given_factors(factors, item_ids, user_ids, config)
        # Validation fits have the same size, and learn their own: these know what is held out.
        config = config.replace(als={**dict(config.als), "factors": factors.rank})

    heard = bool(data.content.has_embedding.any())
    with timer.stage("familiarity"):
        familiarity, item_familiarity = _learn_familiarity(data, item_ids, audio.statistics)
    choice = choose_sources(data.plays, config.sources, heard=heard)
    if choice.left_out:
        logger.warning("%s", choice.sentence)
        data = replace(data, counts_all=True)
    chosen = used = choice.configured(config)
    needs_blend = len(used.sources) > 1 and None in (used.fusion.warm, used.fusion.cold)
    needs_regularization = leaves_regularization_open(used)
    split = hold_out(data, used) if needs_blend or needs_regularization else None
    validation_factors: Vectors | None = None
    if needs_regularization:
        with timer.stage("settings"):
            chosen, validation_factors = choose_regularization(data, split, used)
    with timer.stage("blend weights"):
        blend = choose_blend(split, chosen, validation_factors)
    split = None  # its plays are copies
    for name, why in blend.dropped.items():
        logger.info("source %s takes no part: %s", name, why)
    if blend.lightfm_epochs is not None:
        chosen = chosen.replace(fm=chosen.fm.replace(epochs=blend.lightfm_epochs))

    sources: dict[str, Source] = {}
    vectors: dict[str, Vectors] = {}
    for name in used.sources:
        if name in blend.dropped:
            continue
        with timer.stage(f"source {name}"):
            sources[name] = (
                make_source(name, chosen)
                if name != "als" or given is None
                else GivenALSSource(chosen.als, chosen.content_map, given)
            )
            vectors[name] = _learn(sources[name], data, validation_factors)
            learned = (vectors[name].users, vectors[name].items)
            if not all(np.isfinite(part).all() for part in learned):
                raise ColdtuneError(
                    f"source {name}: learned a vector that is not finite; its settings, or the "
                    "scale of embeddings or plays, do not suit it"
                )

    validation_factors = None
    with timer.stage("fusion"):
        is_cold = data.user_counts == 0
        source_users = {name: pair.users for name, pair in vectors.items()}
        source_items = {name: pair.items for name, pair in vectors.items()}
        blocks = make_blocks(source_items, ~data.is_counted, blend.warm, blend.cold)
        user_vectors = fuse_users(blocks, source_users)
        trust = trust_of(item_familiarity)
        doubted = np.flatnonzero(is_cold & (trust < 1))
        if len(doubted):
            content = replace(data.content.take(doubted), trust=trust[doubted])
            for source, shrunk in predict_vectors(sources, blocks, content).items():
                source_items[source] = source_items[source].copy()
                source_items[source][doubted] = shrunk
        item_vectors = fuse_items(blocks, source_items, is_cold)

    fitted = {name: source.arrays() for name, source in sources.items()}
    info: dict[str, Any] = {
        "dataset": {**dataset.summary(), "digest": dataset.digest(), **_folder(dataset)},
        "items": {
            "warm": int((~is_cold).sum()),
            "cold": int(is_cold.sum()),
            "with_embedding": int(data.content.has_embedding.sum()),
        },
        EMBEDDING_LENGTHS: EmbeddingRange.learn(
            data.content.embeddings[data.content.has_embedding]
        ).to_json(),
        "blend": blend.to_json(),
        NEW_SONGS: None if blend.calibration is None else blend.calibration.to_json(),
        SOURCES_LEFT_OUT: choice.sentence,
        "sources": _source_facts(used.sources, blend, timer.seconds),
        "familiarity": _familiarity_info(familiarity, heard=heard),
        "settings": (
            {"als.factors": f"taken from {factors.origin}"}
            if isinstance(factors, GivenFactors)
            else {"als.regularization": chosen.als.regularization}
            if "als" in used.sources
            else {}
        ),
        "ridge_strengths": _finite_values(fitted, "strength"),
        "shrinkage": _finite_values(fitted, "shrinkage"),
        "encoder": None if encoder is None else encoder.summary(),
        "network": no_network or _tags_left_out(encoder, config),
        TARGET: _target(encoder, taste_reason),
        "recordings_left_out": list(audio.failures),
        "seconds": timer.seconds,
        "libraries": library_versions(),
    }
    state = FittedState(
        config=config,
        items=dataset.items,
        user_ids=user_ids,
        plays=data.plays,
        user_vectors=user_vectors,
        user_scales=user_scales(blocks, source_users),
        item_vectors=item_vectors,
        embeddings=data.content.embeddings,
        has_embedding=data.content.has_embedding,
        blocks=blocks,
        sources=sources,
        vocabulary=vocabulary,
        encoder=encoder,
        info=info,
        familiarity=familiarity,
        item_familiarity=item_familiarity,
    )
    return state, audio


def _source_facts(
    names: Sequence[str], blend: Blend, seconds: Mapping[str, float]
) -> dict[str, dict[str, Any]]:
    """What `Recommender.info` says of each source: what it costs, and what it brings."""
    facts: dict[str, dict[str, Any]] = {}
    for name in names:
        gain = blend.gains.get(name)
        facts[name] = {
            "used": name not in blend.dropped,
            "why_not": blend.dropped.get(name, ""),
            "seconds": seconds.get(f"source {name}", 0.0),
            "gain": None if gain is None else gain._asdict(),
        }
    return facts


def _learn(source: Source, data: TrainingData, validation_factors: Vectors | None) -> Vectors:
    """Fit a source.

    Where plays are very many, ALS goes on from `validation_factors`, learned from most of them.
    """
    learns = isinstance(source, ALSSource) and not isinstance(source, GivenALSSource)
    if not learns or validation_factors is None or not has_many_plays(data.plays):
        return source.fit(data)
    assert isinstance(source, ALSSource)
    steps = min(FURTHER, source.config.iterations)
    factors = source.factors(data, start=validation_factors, iterations=steps)
    return source.fit_content(data, factors)


def _given_factors(
    factors: "GivenFactors | str | Path",
    item_ids: pd.Index,
    user_ids: pd.Index,
    config: RecommenderConfig,
) -> tuple[GivenFactors, AlignedFactors]:
    """Read given factors, and put them into the rows of the training data."""
    if "als" not in config.sources:
        raise InvalidArgumentError(
            f"factors are for the source als, and the sources are {', '.join(config.sources)}"
        )
    found = (
        factors if isinstance(factors, GivenFactors) else read_factors(factors, item_ids, user_ids)
    )
    return found, AlignedFactors.of(found, item_ids, user_ids)


def _learn_familiarity(
    data: TrainingData, item_ids: pd.Index, statistics: pd.DataFrame
) -> tuple[dict[Description, Familiarity], Float32Array]:
    """Learn how familiar sounds are; return that of each item too, NaN where it is not known.

    Args:
        data: what the model learns from.
        item_ids: ids of the items, in order.
        statistics: of hyper-images, index item_id; empty where there are none.
    """
    heard = np.flatnonzero(data.content.has_embedding)
    described: dict[Description, tuple[IntArray, Float32Array]] = {}
    if len(heard):
        described["embedding"] = heard, data.content.embeddings[heard]
    if len(statistics):
        rows, known = align_embeddings(statistics, item_ids)
        both = np.flatnonzero(known & data.content.has_embedding)
        described["sound"] = both, rows[both]
    found: dict[Description, Familiarity] = {}
    of_items = np.full(len(data.content), np.nan, np.float32)
    for kind, (places, values) in described.items():  # sound last: it counts where it is known
        one, own = learn_familiarity(values, data.artists[places], kind, data.seed)
        if one is not None:
            found[kind], of_items[places] = one, own
    if len(heard) and not found:
        logger.warning("%s", UNKNOWN_FAMILIARITY)
    return found, of_items


def _target(encoder: "Encoder | None", reason: str) -> dict[str, Any] | None:
    """What an encoder was trained to predict, and why; None where none was trained in this fit."""
    if encoder is None or not reason:
        return None
    songs = len(LearnedPlays.of(encoder))
    return {
        "tags": list(encoder.heads_),
        "taste": bool(songs),
        "songs_with_taste": songs,
        "reason": reason,
    }


def _folder(dataset: MusicDataset) -> dict[str, str]:
    """The folder that paths of recordings start from, where they can be found to be played."""
    if dataset.root is None or not len(dataset.audio):
        return {}
    return {"folder": name_as_text(str(dataset.root.absolute()))}


def _familiarity_info(found: Mapping[Description, Familiarity], *, heard: bool) -> dict[str, Any]:
    """What `Recommender.info` says of familiarity."""
    if not found:
        return {"unknown": UNKNOWN_FAMILIARITY if heard else "no item has an embedding"}
    kind, told = list(found.items())[-1]
    return {
        "by": kind,
        "songs": len(told.references),
        "artists": told.n_artists,
        "careful_below": DOUBTED,
    }


def check_encoder(encoder: object) -> None:
    """Raise InvalidArgumentError for what cannot embed recordings, such as a path.

    Examples:
        >>> check_encoder("encoder")
        Traceback (most recent call last):
        datasets.errors.InvalidArgumentError: encoder must be a trained SongEncoder, ...
    """
    if encoder is not None and (
        not hasattr(encoder, "embed_and_predict") or isinstance(encoder, type)
    ):
        raise InvalidArgumentError(
            f"encoder must be a trained SongEncoder, not {format_value(encoder)}: "
            "SongEncoder.load(folder) opens a saved one, CallableEncoder takes a function, and "
            "OnnxEncoder an ONNX file"
        )


def _embed_recordings(
    dataset: MusicDataset,
    config: RecommenderConfig,
    encoder: "Encoder | None",
    timer: StageTimer,
) -> tuple["Encoder", DatasetEmbeddings, str, str]:
    """Train an encoder or heads unless there are, and embed all recordings of the data set.

    The first text says why no network could be trained; "" where one was, or was given. The second
    says why taste was learned or not; "" where nothing was trained.
    """
    from embedding import SongEncoder
    from embedding.encoders.fine_tuning.encoder import FineTunedEncoder
    from embedding.hyperimage.extraction import none_usable

    # Both functions show progress bars of their own.
    audio_timer = StageTimer(progress=False, seconds=timer.seconds)
    no_network = taste_reason = ""
    if encoder is None:
        workers, progress = config.n_threads, timer.progress
        with audio_timer.stage("hyper-images and network"):
            taste, taste_reason = choose_taste(dataset, config)
            try:
                encoder = train_encoder(
                    dataset, config.network, taste=taste, workers=workers, progress=progress
                )
            except TooFewLabelsError as error:
                no_network = (
                    f"no network was trained: {error}; songs are compared by statistics of their "
                    "sound"
                )
                logger.warning("%s", no_network)
                taste_reason = ""
                encoder = summarise_sound(
                    dataset, config.network, workers=workers, progress=progress
                )
    elif isinstance(encoder, FineTunedEncoder) and not encoder.is_fitted:
        with audio_timer.stage("heads"):
            taste, taste_reason = choose_taste(dataset, config)
            if not encoder.config.taste_weight:
                taste, taste_reason = None, "its weight, HeadConfig.taste_weight, is 0"
            encoder = fine_tune_on_catalogue(
                encoder, dataset, config, taste=taste, calibrated=True, progress=timer.progress
            )
    with audio_timer.stage("embeddings"):
        audio = embed_dataset(dataset, encoder, workers=config.n_threads, progress=timer.progress)
    if audio.embeddings.empty and audio.failures and not isinstance(encoder, SongEncoder):
        raise AudioError(none_usable(audio.failures))
    return encoder, audio, no_network, taste_reason


def _training_data(
    dataset: MusicDataset,
    played: pd.DataFrame,
    embeddings: FrameLike | None,
    config: RecommenderConfig,
) -> tuple[TrainingData, pd.Index, MetadataVocabulary]:
    """Return training data, the user ids in row order, and the metadata values known."""
    item_ids = pd.Index(dataset.items[ITEM_ID], dtype=object)
    warn_of_wild_plays(
        played[USER_ID].to_numpy(), played[ITEM_ID].to_numpy(), played[WEIGHT].to_numpy(np.float64)
    )
    plays, user_ids = play_matrix(played, item_ids)
    vectors, known = align_embeddings(
        pd.DataFrame() if embeddings is None else embeddings, item_ids
    )
    rows = np.flatnonzero(known)
    empty = rows[check_learned_embeddings(vectors[rows], item_ids[rows])]
    if len(empty):
        known[empty] = False
        logger.warning(
            "embeddings: that of item %r is zero in every dimension and is left out%s",
            item_ids[empty[0]],
            f", and {len(empty) - 1} more" if len(empty) > 1 else "",
        )
    constant = _constant_dimensions(vectors[known], embeddings)
    if constant and len(constant) == vectors.shape[1]:
        logger.warning(
            "embeddings: all %d items with one have the same, so sound tells nothing", known.sum()
        )
    elif constant and not getattr(embeddings, "attrs", {}).get(FROM_RECORDINGS):
        logger.warning(
            "embeddings: column %r has the same value for every item and says nothing%s",
            constant[0],
            f"; so have {len(constant) - 1} more of {vectors.shape[1]}" if constant[1:] else "",
        )
    warm = np.bincount(plays.indices, minlength=len(item_ids)) > 0
    learned = learned_plays_of(embeddings)
    seen = recorded = None
    if len(learned):
        seen = learned.contains(item_ids)
        # Single plays that are held out are the same only where the same songs are drawn from.
        recorded = known | item_ids.isin(dataset.audio[ITEM_ID])
    vocabulary = MetadataVocabulary.learn(dataset.items, warm)
    data = TrainingData(
        plays=plays,
        content=ItemContent(vectors, known, vocabulary.encode(dataset.items)),
        artists=artist_codes(dataset.items),
        seed=config.seed,
        threads=_learning_threads(config, plays.nnz),
        seen_by_encoder=seen,
        recorded=recorded,
    )
    return data, user_ids, vocabulary


def _learning_threads(config: RecommenderConfig, n_plays: int) -> int:
    """Return the threads that sources learn with."""
    if config.threads is None and n_plays < SEVERAL_THREADS_FROM:
        return 1
    return config.n_threads


def _constant_dimensions(vectors: Float32Array, given: FrameLike | None) -> list[str]:
    """Return the names of the columns that are the same for all items with an embedding."""
    if len(vectors) < 2:
        return []
    constant = np.flatnonzero(standardisation(vectors)[1] == 0)
    columns = [str(name) for name in getattr(given, "columns", []) if name != ITEM_ID]
    if len(columns) != vectors.shape[1]:
        columns = [str(number) for number in range(vectors.shape[1])]
    return [columns[number] for number in constant]


def _finite_values(
    arrays: Mapping[str, Mapping[str, "np.ndarray[Any, Any]"]], key: str
) -> dict[str, float]:
    """Return the sources' scalars of this name, those that are finite."""
    found = {name: float(of_source[key]) for name, of_source in arrays.items() if key in of_source}
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _tags_left_out(encoder: "Encoder | None", config: RecommenderConfig) -> str:
    """Say which tags of the configuration a trained network does not tell; "" for none."""
    from embedding import SongEncoder

    if not isinstance(encoder, SongEncoder):
        return ""
    tags = [tag for tag in config.network.tags if tag not in encoder.heads_]
    if not tags:
        return ""
    return f"the network was not trained on {', '.join(tags)}: not two values are known"
