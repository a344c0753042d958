"""Hearing new recordings: decoded in another process, embedded in this one.

A decoder may crash natively, so it never runs in the process that serves; the one it runs in is
kept, since starting one takes far longer than decoding a snippet.
"""

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from datasets.arrays import Float32Array
from datasets.errors import AudioError
from embedding.parallel import Crashed, KeptWorker
from recsys.audio import outputs, recording_with
from recsys.database.song import Recording, Scores

if TYPE_CHECKING:
    from embedding import SongEncoder
    from embedding.audio.source import RecordingFile, Source
    from embedding.hyperimage.extraction import Listening


@dataclass(frozen=True, eq=False)
class Sound:
    """What a network said of one recording."""

    embedding: Float32Array
    """float32 [e], the mean over its snippets."""

    scores: Scores
    """For each tag that the network tells, the probability of each of its values."""


class Hearing:
    """The ears of a model: an encoder, and a process that decodes for it.

    The process is started by the first recording and ends with :meth:`close`, or with this object.
    Threads may hear at the same time.
    """

    def __init__(self, encoder: "SongEncoder") -> None:
        self.encoder = encoder
        self._decoder = KeptWorker()
        self._network = threading.Lock()  # it is moved to a GPU and back, and its threads are set

    def hear(self, source: "Source") -> tuple[Float32Array, Scores, tuple[Recording, ...]]:
        """Embedding and tag probabilities of a recording, and how the song database names it.

        source: a path, the recording's bytes, or a binary file object such as an upload.

        Raises AudioError for one that cannot be used, InvalidArgumentError for what is no source.
        """
        from embedding.audio.source import on_disk
        from embedding.hyperimage.extraction import crash_of, listen

        with on_disk([source]) as (file,):
            heard = self._decoder.run(listen, self.task(file))
        if isinstance(heard, Crashed):
            raise AudioError(crash_of(file))
        if isinstance(heard, str):
            raise AudioError(heard)
        assert heard.images is not None  # nothing was known of it
        (sound,) = self.sounds([heard.images])
        return sound.embedding, sound.scores, (self.recording(file, heard.digest),)

    def task(self, file: "RecordingFile", known: Collection[str] = ()) -> "Listening":
        """What a decoding process is asked for; known: digests of contents not to be decoded."""
        from embedding.hyperimage.extraction import Listening

        return Listening(
            file, self.encoder.config.snippet, self.encoder.config.hyperimage, frozenset(known)
        )

    def sounds(self, images: Sequence[Float32Array]) -> list[Sound]:
        """What the network says of recordings, all at once.

        images: of each recording the hyper-images, float32 [n, channels, height, width].
        """
        if not images:
            return []
        together = images[0] if len(images) == 1 else np.concatenate(images)
        with self._network:
            embeddings, predicted = outputs(self.encoder, together)
        ends = np.cumsum([len(own) for own in images])
        return [
            Sound(
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

    def recording(self, file: "RecordingFile", digest: str) -> Recording:
        """How the song database names a recording with this content."""
        name = file.name if file.temporary else str(file.path.absolute())
        return recording_with(digest, name, self.encoder.config)

    def close(self) -> None:
        """End the decoding process; hearing another recording starts one again."""
        self._decoder.close()
