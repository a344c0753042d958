"""What a recording sounds like: tags, how familiar it is, and what that means for lists."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from recsys.content.familiarity import caution
from recsys.database.heard import best_genre, say_sound
from recsys.database.song import Scores, Song
from recsys.model.live import LiveModel
from recsys.onboarding.recordings import build_song

if TYPE_CHECKING:
    from embedding.audio.source import AudioSource

_NOT_ONBOARDED = "(not onboarded)"
"""Stands for the id of a song that is no item, in messages."""


@dataclass(frozen=True)
class Prediction:
    """What a model says of a recording that it is not given to keep.

    Examples:
        >>> found = recommender.predict(embedding=[2, -2, 2, 2])
        >>> round(found.familiarity, 3), found.predicted
        (0.0, None)
        >>> found.caution[:46]
        'it sounds unlike what the model has learned fr'
    """

    predicted: str | None
    """Most probable genre (`recsys.database.heard`), or value of the encoder's first tag where it
    tells no genres; None where nothing is predicted."""
    probability: float | None
    """Its probability."""
    familiarity: float | None
    """How much it sounds like what the model has learned from, 0 to 1
    (`recsys.content.familiarity`); None where that is not known."""
    scores: Scores
    """Predicted probabilities, {tag: {value: probability}}; {} where none are predicted."""

    @property
    def caution(self) -> str:
        """Why the song would be recommended more carefully than others, in words; else ""."""
        return caution(self.familiarity)

    def to_dict(self) -> dict[str, Any]:
        """Return the prediction as values that JSON can hold."""
        return {
            "predicted": self.predicted,
            "probability": self.probability,
            "familiarity": self.familiarity,
            "scores": self.scores,
        }

    def __str__(self) -> str:
        sound = say_sound(self.scores)
        return ", ".join(filter(None, [sound, _familiar(self.familiarity)])) or "nothing known"


def predict(
    model: LiveModel, recording: "AudioSource | None", embedding: ArrayLike | None
) -> Prediction:
    """Say what a recording sounds like; see `Recommender.predict`."""
    song = build_song(model, recording, embedding, Song(_NOT_ONBOARDED))
    return Prediction(*best_genre(song.scores), song.familiarity, song.scores or {})


def said_of_sound(
    predicted: str | None, probability: float | None, familiarity: float | None
) -> str:
    """Return a prediction in words; "" where nothing is known.

    Examples:
        >>> said_of_sound("jazz", 0.7, 0.413)
        'it sounds like jazz (70%), familiarity 0.41'
        >>> said_of_sound(None, None, 0.413)
        'familiarity 0.41'
    """
    parts = []
    if predicted is not None and probability is not None:
        parts.append(f"it sounds like {predicted} ({probability:.0%})")
    return ", ".join(filter(None, [*parts, _familiar(familiarity)]))


def _familiar(familiarity: float | None) -> str:
    return "" if familiarity is None else f"familiarity {familiarity:.2f}"
