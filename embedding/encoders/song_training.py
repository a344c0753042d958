"""The training of a SongEncoder: of the network, of what reads a song's windows, of temperatures.

A network learns on single windows first. With ``config.sequence``, a head over the windows of each
song is trained on top. Temperatures of the probabilities are learned on artists that had no part in
the training: those held out for validation, or, where that is asked for, some whom the network then
learns from for a little longer, or by a training of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from datasets.arrays import Float32Array, IntArray
from embedding.encoders.songs import checked_recordings
from embedding.network.augmentation import covering_windows
from embedding.network.calibration import Calibration, artists_to_leave_out, calibrate
from embedding.network.checkpoints import Epoch, Pretrained
from embedding.network.config import EncoderConfig
from embedding.network.targets import TASTE, Target, as_column, validation_split

if TYPE_CHECKING:
    from embedding.network.inference import NetworkOutputs
    from embedding.network.layers import SongNetwork
    from embedding.network.training import TrainingJob

_SHARE_OF_THE_REST = 0.125
"""Epochs on all images after those without the artists on whom temperatures are learned, as a share
of these."""

_RATE_OF_THE_REST = 0.2
"""Their maximum learning rate, as a share of that of the others."""


class LabelledSongs(NamedTuple):
    """Images of songs, what is known of each, and whose they are."""

    images: Float32Array
    """float32 [n, channels, height, width]."""

    targets: list[Target]

    groups: NDArray[Any]
    """Group of each image, such as its artist."""

    recording: IntArray
    """int [n], number of the recording of each image."""

    @classmethod
    def of(
        cls,
        images: Float32Array,
        targets: list[Target],
        groups: ArrayLike | None,
        recording: IntArray | None,
    ) -> LabelledSongs:
        """Check recordings and groups; by default each image is a recording, and that its group.

        Raises:
            InvalidArgumentError: they are not those of n images.
        """
        numbers = np.arange(len(images)) if recording is None else recording
        numbers, _ = checked_recordings(numbers, len(images))
        names = as_column(numbers if groups is None else groups, len(images), "groups")
        return cls(images, targets, names, numbers)

    def known(self) -> LabelledSongs:
        """Those of which anything is known."""
        rows = np.flatnonzero(np.logical_or.reduce([target.known for target in self.targets]))
        return self if len(rows) == len(self.images) else self.take(rows)

    def take(self, rows: IntArray) -> LabelledSongs:
        """Some of them, by position."""
        return LabelledSongs(
            self.images[rows],
            [target.take(rows) for target in self.targets],
            self.groups[rows],
            self.recording[rows],
        )

    @property
    def classes(self) -> IntArray:
        """Class of each for the first tag, int [n]."""
        return self.targets[0].values.argmax(axis=1)


class TrainedNetwork(NamedTuple):
    """What a training makes."""

    network: SongNetwork
    history: list[Epoch]

    calibration: dict[str, Calibration] | None
    """Temperature of each tag; None where nobody was left out to learn them on."""


@dataclass(frozen=True, eq=False)
class SongTraining:
    """Training of a network, from the start or further, in all of its stages."""

    songs: LabelledSongs
    config: EncoderConfig
    checkpoint: Path | None
    progress: bool

    before: Pretrained | None = None
    """Weights that it starts from."""

    earlier: SongNetwork | None = None
    """The network that they are of."""

    calibrated: bool = False
    """Whether artists are left out to learn temperatures on, if none are held out."""

    def run(self) -> TrainedNetwork:
        """Train the network, and learn the temperatures of its probabilities."""
        songs, config = self.songs, self.config
        validation = validation_split(
            songs.classes, songs.groups, config.validation_fraction, config.seed
        )
        unheard, left_out, apart = validation, validation[:0], False
        if self.calibrated and not len(validation):
            left_out, many = artists_to_leave_out(
                songs.classes, songs.groups, songs.recording, config.seed
            )
            unheard, apart = left_out, many or config.sequence != "mean"
        network, history = self._stages(validation, left_out)
        calibration = None
        if len(unheard):
            calibration = learn_temperatures(self._outputs(network), songs.take(unheard))
        if apart:
            network, history = self._stages(validation)
        elif len(left_out):
            network, more = self._learn_the_rest(network, validation)
            history = continued(history, more)
        return TrainedNetwork(network, history, calibration)

    def _outputs(self, network: SongNetwork) -> NetworkOutputs:
        from embedding.network.inference import NetworkOutputs

        width, _ = covering_windows(self.songs.images, self.config.window)
        return NetworkOutputs(network, self.config, width, [1.0] * len(self.config.tags))

    def _job(self, validation: IntArray) -> TrainingJob:
        from embedding.network.training import TrainingJob

        # The first stage is the same whatever reads the windows, and so are its checkpoints.
        alone = self.config.replace(sequence="mean")
        return TrainingJob(self.songs.images, self.songs.targets, alone, validation, self.before)

    def _stages(
        self, validation: IntArray, left_out: IntArray | None = None
    ) -> tuple[SongNetwork, list[Epoch]]:
        """Train the network on single windows, then what reads a song's, without some images."""
        from embedding.network.training import train_network

        job = self._job(validation)
        if left_out is not None:
            job = replace(job, left_out=left_out)
        network, history = train_network(job, checkpoint=self.checkpoint, progress=self.progress)
        if self.config.sequence != "mean":
            from embedding.network.sequence.training import Earlier, learn_sequences

            earlier = None
            if self.before is not None and self.earlier is not None:
                earlier = Earlier(self.earlier, self.before.keep)
            learn_sequences(
                network, job, self.config.sequence, self.songs.recording, earlier, self.progress
            )
        return network, history

    def _learn_the_rest(
        self, network: SongNetwork, validation: IntArray
    ) -> tuple[SongNetwork, list[Epoch]]:
        """Train on all images for a little longer; the temperatures stay as they are."""
        from embedding.network.training import train_network

        job = self._job(validation)
        more = replace(
            job,
            config=job.config.replace(
                epochs=max(1, round(_SHARE_OF_THE_REST * job.config.epochs)),
                learning_rate=_RATE_OF_THE_REST * job.config.learning_rate,
            ),
            before=Pretrained(network.state_dict(), tuple(network.output_sizes), keep=0.0),
        )
        return train_network(more, checkpoint=self.checkpoint, progress=self.progress)


def learn_temperatures(outputs: NetworkOutputs, songs: LabelledSongs) -> dict[str, Calibration]:
    """Learn the temperatures of tags, of recordings that had no part in the training.

    Args:
        outputs: the network.
        songs: images by artists whom it was not trained on.

    Returns:
        By tag; without those of which too few recordings or artists are known.
    """
    config = outputs.config
    in_sequence = config.sequence != "mean"
    targets = [target for target in songs.targets if not target.is_taste]
    groups, recording = songs.groups, songs.recording
    if in_sequence:
        _, first, of_image = np.unique(recording, return_index=True, return_inverse=True)
        targets = [target.take(first) for target in targets]
        groups, recording = groups[first], recording[first]
    found = {}
    for target in targets:
        head = config.tags.index(target.tag)
        if in_sequence:
            logits = outputs.logits_of_songs(songs.images, head, of_image, len(groups))
        else:
            logits = outputs.logits_of_windows(songs.images, head)
        learned = calibrate(logits, target.values, config.loss, groups=groups, recording=recording)
        if learned is not None:
            found[target.tag] = learned
    return found


def pretrained(
    network: SongNetwork, known: list[int], targets: list[Target], keep: float
) -> Pretrained:
    """Return what a training of a network starts from where its targets have further classes.

    Args:
        network: the network.
        known: classes of each of its outputs.
        targets: what it is trained on now; known classes come first.
        keep: weight of the penalty for other outputs than before.
    """
    from embedding.network.layers import extend_outputs

    alone = {
        name: tensor
        for name, tensor in network.state_dict().items()
        if not name.startswith("sequence.")
    }
    start = extend_outputs(alone, [len(target.classes) for target in targets])
    return Pretrained(start, tuple(known), keep)


def unknown_taste(n: int, dimension: int) -> Target:
    """Return a target of taste of which nothing is known, so that it is kept and not learned."""
    nothing = np.zeros((n, dimension), np.float32)
    return Target(TASTE, np.arange(dimension).astype(np.str_), nothing, is_taste=True)


def continued(past: list[Epoch], history: list[Epoch]) -> list[Epoch]:
    """Return the history of a training that went on, with its epochs counted on."""
    return [*past, *({**record, "epoch": len(past) + record["epoch"]} for record in history)]
