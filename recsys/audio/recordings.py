"""New recordings embedded by a model, and recordings as the song database describes them."""

import logging
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from datasets.arrays import Float32Array, IntArray
from datasets.columns import ITEM_ID, PATH
from datasets.errors import AudioError, EncoderError
from datasets.music import MusicDataset
from datasets.system.files import file_digest
from datasets.system.locks import Order, ThreadLock
from datasets.texts.file_names import name_as_text
from embedding.parallel import Crashed, PersistentWorker
from recsys.audio.embeddings import predicted_values, statistics_of
from recsys.database.song import Scores, SongRecording

if TYPE_CHECKING:
    from embedding.audio.front_end import FrontEnd
    from embedding.audio.source import AudioSource, RecordingFile
    from embedding.encoders.protocol import Encoder
    from embedding.hyperimage.extraction import DecodedRecording, DecodingJob
    from embedding.hyperimage.inputs import AnyInputs

logger = logging.getLogger("coldtune")

_IMAGES_AT_ONCE = 256


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

    Examples:
        >>> embedder = RecordingEmbedder(encoder)
        >>> embedded, described = embedder.embed(recording)
        >>> embedded.embedding.shape, sorted(embedded.scores["genre"]), len(described.digest)
        ((8,), ['jazz', 'rock'], 64)
        >>> embedder.close()
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
        from embedding.hyperimage.inputs import folder_for_inputs

        with on_disk([source]) as (file,), folder_for_inputs() as folder:
            decoded, inputs = self._decoded(file, folder)
            embedded = self._embedded(file, inputs)
        return embedded, self.song_recording(file, decoded.digest, decoded.sound)

    def embed_each(
        self, sources: Sequence["AudioSource"]
    ) -> list["EmbeddedRecording | AudioError"]:
        """Embed some recordings in one pass of the network.

        Args:
            sources: each as for `embed`.

        Returns:
            For each of them what `embed` returns first, or the error that it raises.

        Raises:
            EncoderError: the encoder cannot embed one of them.

        Examples:
            >>> embedder = RecordingEmbedder(encoder)
            >>> good, bad = embedder.embed_each([recording, "missing.mp3"])
            >>> good.embedding.shape, str(bad)
            ((8,), 'missing.mp3: no such file')
            >>> embedder.close()
        """
        from embedding.audio.source import on_disk
        from embedding.hyperimage.inputs import folder_for_inputs

        results: list[EmbeddedRecording | AudioError | None] = []
        usable: list[tuple[RecordingFile, AnyInputs]] = []
        with ExitStack() as files:
            for source in sources:
                try:
                    (file,) = files.enter_context(on_disk([source]))
                    _, inputs = self._decoded(file, files.enter_context(folder_for_inputs()))
                except AudioError as error:
                    results.append(error)
                else:
                    results.append(None)
                    usable.append((file, inputs))
            try:
                embedded = iter(self.embed_inputs([inputs for _, inputs in usable]))
            except EncoderError:  # one by one, to name the one that it cannot embed
                embedded = iter([self._embedded(file, inputs) for file, inputs in usable])
        return [next(embedded) if result is None else result for result in results]

    def _embedded(self, file: "RecordingFile", inputs: "AnyInputs") -> EmbeddedRecording:
        try:
            (embedded,) = self.embed_inputs([inputs])
        except EncoderError as error:
            raise EncoderError(f"{file.name}: {error}") from error
        return embedded

    def _decoded(
        self, file: "RecordingFile", folder: Path | None
    ) -> tuple["DecodedRecording", "AnyInputs"]:
        """Decode a recording in the other process; return what was found, and its inputs."""
        from embedding.hyperimage.extraction import crash_message, decode_recording

        decoded = self._decoder.run(decode_recording, self.decoding_job(file, folder=folder))
        if isinstance(decoded, Crashed):
            raise AudioError(crash_message(file))
        if isinstance(decoded, str):
            raise AudioError(decoded)
        assert decoded.inputs is not None  # only contents known before have none
        self._say_lower_rate(file.name, decoded.rate)
        return decoded, decoded.inputs

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
                tag: dict(
                    zip(predicted_values(self.encoder, tag), values[number].tolist(), strict=True)
                )
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
