"""What is played comes out as its notes: no note missing, no note too many."""

import numpy as np
import pytest

from datasets.errors import InvalidArgumentError
from embedding import transforms

RATE = 22050
C_MAJOR = (60, 62, 64, 65, 67, 69, 71, 72)


def played(
    midi: float,
    seconds: float,
    decay: float,
    rate: int = RATE,
    *,
    step: int = 1,
    stretch: float = 0,
) -> np.ndarray:
    """A plucked tone with ten overtones, each ``decay`` of the one below.

    ``step`` 2 leaves out the even ones, as a clarinet does; ``stretch`` moves the higher ones up,
    as the stiff strings of a piano do.
    """
    time = np.arange(round(seconds * rate)) / rate
    hertz = 440 * 2 ** ((midi - 69) / 12)
    wave = sum(
        decay ** (n - 1) * np.sin(2 * np.pi * n * np.sqrt(1 + stretch * n * n) * hertz * time + n)
        for n in range(1, 11, step)
        if n * hertz < rate / 2
    )
    envelope = np.minimum(1, time / 0.01) * np.minimum(1, (seconds - time) / 0.03)
    return (0.2 * wave * envelope * np.exp(-2 * time)).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("decay", [0.3, 0.5, 0.7, 0.9])
def test_a_scale(decay: float) -> None:
    y = np.concatenate([played(midi, 0.5, decay) for midi in C_MAJOR])
    notes = transforms.transcribe(y=y, sr=RATE)
    assert tuple(note.midi for note in notes) == C_MAJOR
    for number, note in enumerate(notes):
        assert note.start == pytest.approx(number / 2, abs=0.05)
        assert note.end == pytest.approx(number / 2 + 0.5, abs=0.05)
        assert 0.5 < note.strength <= 1


@pytest.mark.slow
@pytest.mark.parametrize("decay", [0.5, 0.7])
@pytest.mark.parametrize(
    "chord", [(60, 64, 67), (57, 60, 64, 69), (48, 55, 64, 71), (40, 52), (62, 65, 69, 72)]
)
def test_a_chord(chord: tuple[int, ...], decay: float) -> None:
    y = sum(played(midi, 1.5, decay) for midi in chord)
    notes = transforms.transcribe(y=y, sr=RATE)
    assert sorted({note.midi for note in notes}) == sorted(chord)
    assert all(note.start < 0.1 for note in notes if note.strength > 0.3)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.15, 0.5])
@pytest.mark.parametrize(("step", "stretch", "noise"), [(2, 0, 0), (1, 4e-4, 0), (1, 0, 0.01)])
def test_an_instrument_unlike_the_templates(
    seconds: float, step: int, stretch: float, noise: float
) -> None:
    y = np.concatenate([played(m, seconds, 0.75, step=step, stretch=stretch) for m in C_MAJOR])
    y += noise * np.random.default_rng(0).normal(size=len(y)).astype(np.float32)
    assert tuple(note.midi for note in transforms.transcribe(y=y, sr=RATE)) == C_MAJOR


@pytest.mark.slow
@pytest.mark.parametrize("rate", [16000, 44100])
def test_an_instrument_out_of_tune_at_another_rate(rate: int) -> None:
    y = np.concatenate([played(midi + 0.3, 0.5, 0.6, rate) for midi in (55, 62, 70)])
    notes = transforms.transcribe(y=y, sr=rate)
    assert [note.midi for note in notes] == [55, 62, 70]


def test_the_salience_is_explained_magnitude() -> None:
    y = played(60, 1.0, 0.5)
    salience = transforms.note_salience(y=y)
    assert salience.shape == (88, 44)
    assert salience.dtype == np.float32
    assert (salience >= 0).all()
    assert (salience[:, 3:30].argmax(axis=0) == 60 - 21).all()
    # All of the spectrum is explained by some note, and twice the sound has twice the salience.
    assert (salience[39, 3:30] > 0.9 * salience[:, 3:30].sum(axis=0)).all()
    twice = transforms.note_salience(y=2 * y)
    np.testing.assert_allclose(twice, 2 * salience, rtol=1e-3, atol=1e-4 * salience.max())


def test_salience_at_hand_is_used() -> None:
    # A frame is 23 ms. Row 0 is note 21: note 60 sounds in frames 20 to 69, note 61 for 69 ms.
    salience = np.zeros((88, 100), dtype=np.float32)
    salience[39, 20:70] = np.linspace(4, 1, 50)
    salience[39, 70:] = 0.5
    salience[40, 30:33] = 4
    (note,) = transforms.transcribe(salience=salience, sr=RATE, threshold=0.2)
    assert (note.midi, note.strength) == (60, 1)
    assert note.start == pytest.approx(20 * 512 / RATE)
    assert note.end == pytest.approx(70 * 512 / RATE)


def test_silence_has_no_notes() -> None:
    assert transforms.transcribe(y=np.zeros(RATE, dtype=np.float32)) == []


def test_nothing_to_transcribe_is_an_error() -> None:
    with pytest.raises(InvalidArgumentError, match="waveform"):
        transforms.transcribe()
