"""The audio side of a fit: recordings to one embedding and one score vector an item.

Hearing new recordings: decoded in another process, embedded in this one.

A decoder may crash natively, so it never runs in the process that serves; the one it runs in is
kept, since starting one takes far longer than decoding a snippet.
"""

import os
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datasets.arrays import Float32Array, IntArray
from datasets.columns import ITEM_ID, PATH
from datasets.errors import AudioError
from datasets.files import cache_folder, file_digest
from datasets.music import MusicDataset
from embedding.audio.config import SnippetConfig
from embedding.hyperimage.config import HyperImageConfig
from embedding.network.config import EncoderConfig
from embedding.parallel import Crashed, PersistentWorker
from recsys.database.song import Scores, SongRecording

if TYPE_CHECKING:
    from embedding import SongEncoder
    from embedding.audio.source import AudioSource, RecordingFile
    from embedding.hyperimage.extraction import DecodingJob, Extraction


@dataclass(frozen=True)
class DatasetEmbeddings:
    """What was heard of a data set's recordings.

    embeddings: float32, index item_id, one column a dimension; items with a usable recording.
    scores: the same index, one column a tag and value: the network's probabilities.
    failures: one line for each recording that could not be used.
    used: positions of the others in the data set's ``audio``.
    """

    embeddings: pd.DataFrame
    scores: pd.DataFrame
    failures: tuple[str, ...]
    used: IntArray

    @classmethod
    def empty(cls) -> "DatasetEmbeddings":
        """What is heard where there are no recordings."""
        return cls(pd.DataFrame(), pd.DataFrame(), (), np.empty(0, np.int64))


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
    """Go on learning from a data set's labelled recordings, see ``SongEncoder.fine_tune``."""
    images, labels, artists = _material(dataset, encoder.config, workers, progress)
    return encoder.fine_tune(
        images,
        labels,
        groups=artists,
        epochs=epochs,
        learning_rate=learning_rate,
        keep=keep,
        checkpoint=cache_folder() / "training",
        progress=progress,
    )


def train_encoder(
    dataset: MusicDataset, config: EncoderConfig, *, workers: int, progress: bool
) -> "SongEncoder":
    """A network trained on the data set's labelled recordings.

    Hyper-images and the state of the training are kept in the cache folder, so that what was
    interrupted goes on where it was. Raises InvalidArgumentError where fewer than two values of
    the tag are known.
    """
    from embedding import SongEncoder

    images, labels, artists = _material(dataset, config, workers, progress)
    return SongEncoder(config).fit(
        images,
        labels,
        groups=artists,
        checkpoint=cache_folder() / "training",
        progress=progress,
    )


def embed_dataset(
    dataset: MusicDataset, encoder: "SongEncoder", *, workers: int, progress: bool
) -> DatasetEmbeddings:
    """Embeddings and scores of the items: means over the snippets of a recording, then over the
    recordings of an item."""
    from embedding.encoder import mean_by_recording

    extraction = _extract(dataset, encoder.config, workers=workers, progress=progress)
    n = len(dataset.audio)

    def by_item(values: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]") -> pd.DataFrame:
        frame = pd.DataFrame(mean_by_recording(values, extraction.recording, n))
        return frame.groupby(dataset.audio[ITEM_ID].to_numpy(), sort=False).mean().dropna()

    embeddings, predicted = embed_and_score(encoder, extraction.images)
    parts = {tag: by_item(values) for tag, (_, values) in predicted.items()}
    for tag, (names, _) in predicted.items():
        parts[tag].columns = pd.Index(names)
    return DatasetEmbeddings(
        by_item(embeddings),
        pd.concat(parts, axis=1),
        tuple(failure.message for failure in extraction.failures),
        np.unique(extraction.recording),
    )


def embed_and_score(
    encoder: "SongEncoder", images: Float32Array
) -> tuple[Float32Array, dict[str, tuple[list[str], Float32Array]]]:
    """Embeddings [n, e] and, for each tag that a network tells, its values and their probabilities
    [n, values]; the network sees the images once."""
    embeddings, scores = encoder.embed_and_predict(images)
    names = {tag: [str(name) for name in values] for tag, values in encoder.heads_.items()}
    return embeddings, {tag: (names[tag], own) for tag, own in scores.items()}


def recordings_by_item(
    dataset: MusicDataset, used: IntArray, config: EncoderConfig
) -> dict[str, tuple[SongRecording, ...]]:
    """For each item its recordings, as the song database keeps them.

    used: positions in the data set's ``audio``. A recording that is gone since it was heard is
    left out.
    """
    paths = dataset.recording_paths()
    found: dict[str, tuple[SongRecording, ...]] = {}
    for position in used:
        item = str(dataset.audio[ITEM_ID].iat[position])
        recording = recording_of(
            paths[position], config, name=str(dataset.audio[PATH].iat[position])
        )
        found[item] = (*found.get(item, ()), *recording)
    return found


def recording_of(
    path: Path, config: EncoderConfig, *, name: str | None = None
) -> tuple[SongRecording, ...]:
    """A recording as the song database keeps it, under its path or another name; none if gone."""
    try:
        digest = file_digest(path)
    except OSError:
        return ()
    return (song_recording(digest, str(path.absolute()) if name is None else name, config),)


def song_recording(digest: str, name: str, config: EncoderConfig) -> SongRecording:
    """A recording whose content has this digest, as the song database keeps it."""
    return SongRecording(
        path=os.fsencode(name).decode(errors="backslashreplace"),
        digest=digest,
        snippet=config.snippet.digest(),
        hyperimage=config.hyperimage.digest(),
        image_key=image_key(digest, config.snippet, config.hyperimage),
    )


def image_key(digest: str, snippet: SnippetConfig, hyperimage: HyperImageConfig) -> str:
    """Where an :class:`embedding.hyperimage.store.ImageStore` keeps the hyper-images of a recording with this
    digest: ``folder of the kind/digest``, which the store's index leads to its rows."""
    from embedding.hyperimage.extraction import image_kind
    from embedding.hyperimage.store import store_folder_name

    return f"{store_folder_name(image_kind(snippet, hyperimage))}/{digest}"


def _material(
    dataset: MusicDataset, config: EncoderConfig, workers: int, progress: bool
) -> "tuple[NDArray[np.float32], dict[str, NDArray[np.object_]], NDArray[np.object_]]":
    """Images, the values of each tag, and the artists of the images."""
    extraction = _extract(dataset, config, workers=workers, progress=progress)
    of_recording = extraction.recording
    labels = {tag: dataset.recording_labels(tag).to_numpy()[of_recording] for tag in config.tags}
    return extraction.images, labels, dataset.recording_artists().to_numpy()[of_recording]


def _extract(
    dataset: MusicDataset, config: EncoderConfig, *, workers: int, progress: bool
) -> "Extraction":
    from embedding.hyperimage.extraction import extract

    return extract(
        dataset.recording_paths(),
        config.snippet,
        config.hyperimage,
        workers=workers,
        cache=cache_folder() / "hyperimages",
        progress=progress,
    )


@dataclass(frozen=True, eq=False)
class EmbeddedRecording:
    """What a network said of one recording."""

    embedding: Float32Array
    """float32 [e], the mean over its snippets."""

    scores: Scores
    """For each tag that the network tells, the probability of each of its values."""


class RecordingEmbedder:
    """The ears of a model: an encoder, and a process that decodes for it.

    The process is started by the first recording and ends with :meth:`close`, or with this object.
    Threads may hear at the same time.
    """

    def __init__(self, encoder: "SongEncoder") -> None:
        self.encoder = encoder
        self._decoder = PersistentWorker()
        self._network = threading.Lock()  # it is moved to a GPU and back, and its threads are set

    def embed(
        self, source: "AudioSource"
    ) -> tuple[Float32Array, Scores, tuple[SongRecording, ...]]:
        """Embedding and tag probabilities of a recording, and how the song database names it.

        source: a path, the recording's bytes, or a binary file object such as an upload.

        Raises AudioError for one that cannot be used, InvalidArgumentError for what is no source.
        """
        from embedding.audio.source import on_disk
        from embedding.hyperimage.extraction import crash_message, decode_recording

        with on_disk([source]) as (file,):
            heard = self._decoder.run(decode_recording, self.decoding_job(file))
        if isinstance(heard, Crashed):
            raise AudioError(crash_message(file))
        if isinstance(heard, str):
            raise AudioError(heard)
        assert heard.images is not None  # nothing was known of it
        (sound,) = self.embed_images([heard.images])
        return sound.embedding, sound.scores, (self.recording(file, heard.digest),)

    def decoding_job(self, file: "RecordingFile", known: Collection[str] = ()) -> "DecodingJob":
        """What a decoding process is asked for; known: digests of contents not to be decoded."""
        from embedding.hyperimage.extraction import DecodingJob

        return DecodingJob(
            file, self.encoder.config.snippet, self.encoder.config.hyperimage, frozenset(known)
        )

    def embed_images(self, images: Sequence[Float32Array]) -> list[EmbeddedRecording]:
        """What the network says of recordings, all at once.

        images: of each recording the hyper-images, float32 [n, channels, height, width].
        """
        if not images:
            return []
        together = images[0] if len(images) == 1 else np.concatenate(images)
        with self._network:
            embeddings, predicted = embed_and_score(self.encoder, together)
        ends = np.cumsum([len(own) for own in images])
        return [
            EmbeddedRecording(
                embeddings[end - len(own) : end].mean(axis=0),
                {
                    tag: dict(
                        zip(
                            names,
                            values[end - len(own) : end].mean(axis=0).tolist(),
                            strict=True,
                        )
                    )
                    for tag, (names, values) in predicted.items()
                },
            )
            for own, end in zip(images, ends, strict=True)
        ]

    def recording(self, file: "RecordingFile", digest: str) -> SongRecording:
        """How the song database names a recording with this content."""
        name = file.name if file.temporary else str(file.path.absolute())
        return song_recording(digest, name, self.encoder.config)

    def close(self) -> None:
        """End the decoding process; hearing another recording starts one again."""
        self._decoder.close()
