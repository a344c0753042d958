"""From recordings to embeddings and predicted tags: whole data sets, and single new recordings."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from datasets.arrays import Float32Array, IntArray, StrArray
from datasets.columns import ITEM_ID, PATH
from datasets.errors import AudioError, EncoderError, InvalidArgumentError
from datasets.music import MusicDataset
from datasets.system.files import cache_folder, file_digest
from datasets.system.locks import Order, ThreadLock
from datasets.tables.frames import FrameLike
from datasets.texts.file_names import name_as_text
from embedding.encoders.learned_plays import LearnedPlays
from embedding.network.config import EncoderConfig
from embedding.network.targets import known_values
from embedding.parallel import Crashed, PersistentWorker
from recsys.data import TasteVectors
from recsys.database.song import Scores, SongRecording

if TYPE_CHECKING:
    from embedding import SongEncoder, SoundStatistics
    from embedding.audio.front_end import FrontEnd
    from embedding.audio.source import AudioSource, RecordingFile
    from embedding.encoders.protocol import Encoder
    from embedding.hyperimage.extraction import DecodingJob, Extraction
    from embedding.hyperimage.inputs import AnyInputs


logger = logging.getLogger("coldtune")

_IMAGES_AT_ONCE = 256

FROM_RECORDINGS = "from_recordings"
"""Attribute of tables of embeddings that an encoder made: some of its dimensions may be idle."""


LEARNED_PLAYS = "learned_plays"
"""Attribute of such tables: the items whose plays the encoder has learned from."""


def learned_plays_of(embeddings: FrameLike | None) -> LearnedPlays:
    """Return the items whose plays the encoder of a table of embeddings has learned from.

    Examples:
        >>> len(learned_plays_of(embeddings))  # of a table from elsewhere, nothing is known
        0
    """
    found = getattr(embeddings, "attrs", {}).get(LEARNED_PLAYS)
    return found if isinstance(found, LearnedPlays) else LearnedPlays()


@dataclass(frozen=True, repr=False)
class DatasetEmbeddings:
    """Embeddings and predicted tags of the items of a data set.

    Examples:
        >>> DatasetEmbeddings.empty().embeddings.shape  # of a data set without recordings
        (0, 0)
    """

    embeddings: pd.DataFrame
    """float32, index item_id, one column per dimension; items with a usable recording."""
    scores: pd.DataFrame
    """Predicted probabilities, index item_id, columns (tag, value)."""
    failures: tuple[str, ...]
    """One line for each recording that could not be used."""
    used: IntArray
    """Positions of the usable recordings in the data set's `audio`."""
    statistics: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Statistics of the hyper-images, float32, index item_id; empty where there are none."""

    def __repr__(self) -> str:
        n, dimension = self.embeddings.shape
        return (
            f"<DatasetEmbeddings: {n:,} items with {dimension} dimensions, of {len(self.used):,} "
            f"recordings; {len(self.failures):,} could not be used>"
        )

    @classmethod
    def empty(cls) -> "DatasetEmbeddings":
        """Return the embeddings of a data set without recordings."""
        return cls(pd.DataFrame(), pd.DataFrame(), (), np.empty(0, np.int64))


class TooFewLabelsError(InvalidArgumentError):
    """No tag has two values among the usable recordings, so that there is nothing to tell apart.

    A fit goes on without a network, with statistics of sound in its place.
    """

    def __init__(self, message: str, failures: Sequence[str]) -> None:
        super().__init__(message)
        self.failures = tuple(failures)
        """One line for each recording that could not be used."""


def train_encoder(
    dataset: MusicDataset,
    config: EncoderConfig,
    *,
    taste: TasteVectors | None = None,
    workers: int,
    progress: bool,
) -> "SongEncoder":
    """Train a network on the labelled recordings of a data set.

    Hyper-images and the training state are cached, so that an interrupted training continues. Of
    several tags, those with fewer than two values among the usable recordings are left out.

    Args:
        dataset: data set with recordings and labels.
        config: configuration of the network.
        taste: collaborative vectors to learn beside the tags.
        workers: processes that decode recordings.
        progress: show progress bars.

    Returns:
        The trained encoder; its configuration has the tags that it was trained on.

    Raises:
        AudioError: none of the recordings can be used.
        TooFewLabelsError: fewer than two values of every tag are known.
    """
    from embedding import SongEncoder

    extraction = _usable(dataset, config, workers=workers, progress=progress)
    images, labels, artists = _training_data(dataset, config, extraction)
    several = config.loss == "binary_cross_entropy"
    values = {tag: known_values(labels[tag], several=several) for tag in config.tags}
    tags = tuple(tag for tag in config.tags if len(values[tag]) > 1)
    if not tags:
        raise TooFewLabelsError(
            _too_few(values, len(np.unique(extraction.recording))),
            [failure.message for failure in extraction.failures],
        )
    if tags != config.tags:
        config = config.replace(tags=tags)
        labels = {tag: labels[tag] for tag in tags}
    return SongEncoder(config).fit(
        images,
        labels,
        groups=artists,
        recording=extraction.recording,
        taste=None if taste is None else taste.of(_image_items(dataset, extraction)),
        learned_plays=None if taste is None else taste.learned_plays(),
        calibrated=True,
        checkpoint=cache_folder() / "training",
        progress=progress,
    )


def summarise_sound(
    dataset: MusicDataset, config: EncoderConfig, *, workers: int, progress: bool
) -> "SoundStatistics":
    """Make an encoder of a data set's recordings that needs no labels.

    Args:
        dataset: data set with recordings.
        config: says what hyper-images are made of the recordings.
        workers: processes that decode recordings.
        progress: show progress bars.

    Raises:
        AudioError: none of the recordings can be used.
    """
    from embedding import SoundStatistics

    extraction = _usable(dataset, config, workers=workers, progress=progress)
    return SoundStatistics(config).fit(extraction.images)


def fine_tune_encoder(
    encoder: "SongEncoder",
    dataset: MusicDataset,
    *,
    epochs: int,
    learning_rate: float | None,
    keep: float,
    workers: int,
    progress: bool,
) -> "SongEncoder":
    """Train a network further on the labelled recordings of a data set.

    Args:
        encoder: the trained network, which is changed.
        dataset: data set with recordings and labels.
        epochs: passes over the recordings.
        learning_rate: step size; None for a tenth of the first training's.
        keep: weight of the penalty for changing earlier predictions.
        workers: processes that decode recordings.
        progress: show progress bars.

    Returns:
        The encoder.

    Raises:
        AudioError: none of the recordings can be used.
        InvalidArgumentError: what `SongEncoder.fine_tune` raises.
    """
    extraction = _usable(dataset, encoder.config, workers=workers, progress=progress)
    images, labels, artists = _training_data(dataset, encoder.config, extraction)
    return encoder.fine_tune(
        images,
        labels,
        groups=artists,
        recording=extraction.recording,
        epochs=epochs,
        learning_rate=learning_rate,
        keep=keep,
        checkpoint=cache_folder() / "training",
        progress=progress,
    )


def embed_dataset(
    dataset: MusicDataset, encoder: "Encoder", *, workers: int, progress: bool
) -> DatasetEmbeddings:
    """Compute embeddings and predicted tags of all items with usable recordings.

    The snippets of a recording make one embedding (`embedding.encoders.songs`); those of an item's
    recordings are averaged.

    Args:
        dataset: data set with recordings.
        encoder: a trained network, or any other encoder.
        workers: processes that decode recordings.
        progress: show progress bars.

    Returns:
        Embeddings and predicted tags by item, and which recordings failed.
    """
    from embedding.encoders.fine_tuned import FineTunedEncoder
    from embedding.encoders.recordings import embed_by_heads, embed_files
    from embedding.encoders.songs import mean_by_recording

    paths, cache = dataset.recording_paths(), cache_folder() / "hyperimages"
    if isinstance(encoder, FineTunedEncoder) and not encoder.is_thawed:
        # Its heads were trained on the same vectors, which are in the cache.
        found = embed_by_heads(paths, encoder, workers=workers, cache=cache, progress=progress)
    else:
        found = embed_files(paths, encoder, workers=workers, cache=cache, progress=progress)
    item_of_recording = dataset.audio[ITEM_ID].to_numpy()

    def mean_by_item(values: Float32Array) -> pd.DataFrame:
        return pd.DataFrame(values).groupby(item_of_recording, sort=False).mean().dropna()

    scores = {tag: mean_by_item(values) for tag, values in found.probabilities.items()}
    images = found.extraction
    statistics = None if images is None else statistics_of(images.images)
    for tag, frame in scores.items():
        frame.columns = pd.Index(_tag_values(encoder, tag))
    by_item = mean_by_item(found.embeddings)
    by_item.attrs[FROM_RECORDINGS] = True
    by_item.attrs[LEARNED_PLAYS] = LearnedPlays.of(encoder)
    return DatasetEmbeddings(
        by_item,
        pd.concat(scores, axis=1) if scores else pd.DataFrame(),
        tuple(failure.message for failure in found.failures),
        np.flatnonzero(~np.isnan(found.embeddings).any(axis=1)),
        pd.DataFrame()
        if images is None or statistics is None
        else mean_by_item(mean_by_recording(statistics, images.recording, len(item_of_recording))),
    )


def recordings_by_item(
    dataset: MusicDataset, used: IntArray, front_end: "FrontEnd"
) -> dict[str, tuple[SongRecording, ...]]:
    """Describe recordings of a data set for the song database.

    Args:
        dataset: data set with recordings.
        used: positions of the recordings in the data set's `audio`.
        front_end: that of the encoder that embedded them.

    Returns:
        The recordings of each item; files that no longer exist are left out.
    """
    from embedding.decoding.sound_digest import sound_digest

    paths = dataset.recording_paths()
    found: dict[str, tuple[SongRecording, ...]] = {}
    for position in used:
        try:
            digest, sound = file_digest(paths[position]), sound_digest(paths[position])
        except OSError:
            continue
        item = str(dataset.audio[ITEM_ID].iat[position])
        recording = song_recording(str(dataset.audio[PATH].iat[position]), digest, front_end, sound)
        found[item] = (*found.get(item, ()), recording)
    return found


def song_recording(name: str, digest: str, front_end: "FrontEnd", sound: str = "") -> SongRecording:
    """Describe a recording for the song database.

    Args:
        name: path or name of the file.
        digest: hex SHA-256 of its content.
        front_end: that of the encoder that embedded it.
        sound: digest of its audio without tags; "" where it is not known.
    """
    from embedding.hyperimage.front_end import HyperImageFrontEnd
    from embedding.hyperimage.store import store_folder_name

    kind = front_end.stored_as
    picture = front_end.hyperimage if isinstance(front_end, HyperImageFrontEnd) else front_end
    return SongRecording(
        path=name_as_text(name),
        digest=digest,
        snippet=front_end.snippet.digest(),
        hyperimage=picture.digest(),
        image_key="" if kind is None else f"{store_folder_name(kind)}/{digest}",
        sound=sound,
    )


@dataclass(frozen=True, eq=False)
class EmbeddedRecording:
    """Embedding and predicted tags of one recording."""

    embedding: Float32Array
    """float32 [e], of all its snippets."""
    scores: Scores | None
    """Predicted probabilities, {tag: {value: probability}}; None if none are predicted."""
    statistics: Float32Array | None = None
    """Statistics of its hyper-images, float32 [s], the mean over its snippets; None without."""


class RecordingEmbedder:
    """Embeds new recordings: decodes in a separate process, and runs the network in this one.

    A decoder may crash natively, so it never runs in the process that serves. Its process is
    started for the first recording and kept, as starting it takes far longer than decoding a
    snippet; it ends with ``close`` or with this object. Safe to use from several threads.

    Args:
        encoder: a trained network, or any other encoder.
    """

    def __init__(self, encoder: "Encoder") -> None:
        self.encoder = encoder
        self._decoder = PersistentWorker()
        self._is_there = False
        self._said_rate = False
        # Prediction moves the network and sets its threads.
        self._network_lock = ThreadLock("the network of the model", Order.PART)

    def check(self) -> None:
        """Check that the encoder is on this machine, before anything is decoded for it.

        Raises:
            EncoderUnavailableError: it is not; the message says how to get it.
        """
        from embedding.encoders.loading import check_available

        if not self._is_there:
            with self._network_lock.held("opening the encoder"):
                check_available(self.encoder)
            self._is_there = True

    def embed(self, source: "AudioSource") -> tuple[EmbeddedRecording, SongRecording]:
        """Embed one recording.

        Args:
            source: a path, the file's bytes, or a binary file object such as an upload.

        Returns:
            Embedding and predicted tags; and the recording as the song database describes it.

        Raises:
            AudioError: the recording cannot be used.
            InvalidArgumentError: `source` is of another type.
        """
        from embedding.audio.source import on_disk
        from embedding.hyperimage.extraction import crash_message, decode_recording
        from embedding.hyperimage.inputs import folder_for_inputs

        with on_disk([source]) as (file,), folder_for_inputs() as folder:
            decoded = self._decoder.run(decode_recording, self.decoding_job(file, folder=folder))
            if isinstance(decoded, Crashed):
                raise AudioError(crash_message(file))
            if isinstance(decoded, str):
                raise AudioError(decoded)
            assert decoded.inputs is not None  # only contents known before have none
            self._say_lower_rate(file.name, decoded.rate)
            try:
                (embedded,) = self.embed_inputs([decoded.inputs])
            except EncoderError as error:
                raise EncoderError(f"{file.name}: {error}") from error
        return embedded, self.song_recording(file, decoded.digest, decoded.sound)

    def _say_lower_rate(self, name: str, rate: int) -> None:
        """Warn, once, of a recording that holds less than the encoder was made for."""
        from embedding.audio.front_end import lower_rates
        from embedding.encoders.input_vectors import is_made_elsewhere

        # A network trained here has learned what there is in recordings of this catalogue.
        below = getattr(self.encoder, "backbone", self.encoder)
        said = ""
        if is_made_elsewhere(below):
            said = lower_rates({name: rate}, below.front_end.sample_rate)
        if said and not self._said_rate:
            self._said_rate = True
            logger.warning("%s", said)

    def decoding_job(
        self, file: "RecordingFile", known: Collection[str] = (), *, folder: Path | None = None
    ) -> "DecodingJob":
        """Describe the work of a decoding process.

        Args:
            file: the recording.
            known: digests of contents that need not be decoded.
            folder: where the inputs of a long recording are written; None keeps them in memory.
        """
        from embedding.hyperimage.extraction import DecodingJob

        return DecodingJob(file, self.encoder.front_end, frozenset(known), folder)

    def embed_inputs(self, inputs: Sequence["AnyInputs"]) -> list[EmbeddedRecording]:
        """Embed decoded recordings in one pass of the network.

        Args:
            inputs: inputs of the encoder for each recording, float32 [n, *input_shape]; files of
                long ones are read in parts.
        """
        from embedding.encoders.songs import embed_songs

        if not inputs:
            return []
        with self._network_lock.held("embedding recordings"):
            embeddings, probabilities = embed_songs(self.encoder, inputs)
        embedded = []
        for number, embedding in enumerate(embeddings):
            scores: Scores = {
                tag: dict(zip(_tag_values(self.encoder, tag), values[number].tolist(), strict=True))
                for tag, values in probabilities.items()
            }
            embedded.append(
                EmbeddedRecording(embedding, scores or None, _statistics_of_song(inputs[number]))
            )
        return embedded

    def song_recording(self, file: "RecordingFile", digest: str, sound: str = "") -> SongRecording:
        """Describe a file with these digests of content and sound for the song database."""
        name = file.name if file.temporary else str(file.path.absolute())
        return song_recording(name, digest, self.encoder.front_end, sound)

    def close(self) -> None:
        """End the decoding process; the next recording starts another."""
        self._decoder.close()


def statistics_of(inputs: Float32Array) -> Float32Array | None:
    """Return statistics of what a network hears, float32 [n, s]; None if that is no hyper-images.

    They tell how familiar a sound is (`recsys.content.familiarity`).

    Args:
        inputs: hyper-images, float32 [n, channels, height, width], or inputs of another kind.
    """
    from embedding.hyperimage.statistics import image_statistics

    return image_statistics(inputs) if inputs.ndim == 4 and len(inputs) else None


def _statistics_of_song(inputs: "AnyInputs") -> Float32Array | None:
    """Return the mean of `statistics_of` over the inputs of one recording."""
    from embedding.encoders.songs import mean_by_recording
    from embedding.hyperimage.inputs import InputsOnDisk

    if not isinstance(inputs, InputsOnDisk):
        found = statistics_of(inputs)
    elif inputs.ndim != 4:
        return None
    else:
        parts = [statistics_of(part) for part in inputs.parts(_IMAGES_AT_ONCE)]
        found = np.concatenate([part for part in parts if part is not None])
    if found is None:
        return None
    return mean_by_recording(found, np.zeros(len(found), np.int64), 1)[0]


def _tag_values(encoder: "Encoder", tag: str) -> list[str]:
    return [str(value) for value in encoder.heads_[tag]]


def _training_data(
    dataset: MusicDataset, config: EncoderConfig, extraction: "Extraction"
) -> tuple[Float32Array, dict[str, StrArray], StrArray]:
    """Return hyper-images, the values of each tag, and the artists of the images."""
    recording = extraction.recording
    labels = {tag: dataset.recording_labels(tag).to_numpy()[recording] for tag in config.tags}
    return extraction.images, labels, dataset.recording_artists().to_numpy()[recording]


def _image_items(dataset: MusicDataset, extraction: "Extraction") -> pd.Index:
    """Return the item of each hyper-image."""
    return pd.Index(dataset.audio[ITEM_ID].to_numpy()[extraction.recording], dtype=object)


def _usable(
    dataset: MusicDataset, config: EncoderConfig, *, workers: int, progress: bool
) -> "Extraction":
    """Extract the hyper-images of a data set's recordings; raise AudioError if there are none."""
    from embedding.hyperimage.front_end import HyperImageFrontEnd

    front_end = HyperImageFrontEnd(snippet=config.snippet, hyperimage=config.hyperimage)
    extraction = _extract(dataset, front_end, workers=workers, progress=progress)
    if not len(extraction.images) and extraction.failures:
        raise AudioError(extraction.none_usable())
    return extraction


def _too_few(values: Mapping[str, Collection[str]], n_usable: int) -> str:
    """Say why no network can be trained on recordings with these values of their tags."""
    tag, found = next(iter(values.items()))
    only = f"of {tag} {min(found)!r}" if found else f"without any {tag}"
    others = f" (nor has any other of the tags {', '.join(values)} two values)"
    one = "the only usable one is" if n_usable == 1 else f"the {n_usable:,} usable ones are all"
    return f"a network needs recordings of at least two values of {tag!r}, and {one} {only}" + (
        others if len(values) > 1 else ""
    )


def _extract(
    dataset: MusicDataset, front_end: "FrontEnd", *, workers: int, progress: bool
) -> "Extraction":
    from embedding.hyperimage.extraction import extract_inputs

    return extract_inputs(
        dataset.recording_paths(),
        front_end,
        workers=workers,
        cache=cache_folder() / "hyperimages",
        progress=progress,
    )
