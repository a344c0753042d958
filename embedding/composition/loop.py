"""A loop as levels of notes on a grid, rendered to sound differentiably."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from datasets.arrays import Float32Array
from embedding.composition.initial_loop import STEPS, InitialLoop
from embedding.composition.instruments import InstrumentSet

INAUDIBLE = 45.0
"""Notes this many dB below the loudest note are removed from the result."""


class NoteGrid:
    """Levels of k sounds at each sixteenth note of two bars.

    Attributes:
        hop: samples in a step.
        names: instrument of each sound.
        pitches: MIDI pitch of each sound, int [k]; 0 for a drum.
        levels: natural logarithm of the level of each sound at each step, float32 [STEPS, k], with
            gradient.
    """

    def __init__(self, members: InstrumentSet, opening: InitialLoop) -> None:
        self.hop = opening.hop
        self.names = tuple(members.names[row] for row in opening.chosen)
        self.pitches = members.pitches[opening.chosen]
        self.levels = torch.tensor(opening.levels, dtype=torch.float32, requires_grad=True)
        self._plays = torch.ones_like(self.levels, requires_grad=False)
        sounds = torch.from_numpy(members.sounds[opening.chosen])
        # Padded to whole steps, so that overlapping notes can be added step by step.
        self._sounds = torch.nn.functional.pad(sounds, (0, -sounds.shape[1] % self.hop))

    @property
    def samples(self) -> int:
        """Length of the loop in samples."""
        return STEPS * self.hop

    def loudness(self) -> Tensor:
        """Level of each sound at each step, 0 for removed notes: [STEPS, k]."""
        return self.levels.exp() * self._plays

    def render(self) -> Tensor:
        """Render the loop, float32 [samples]; notes at its end ring on into its start."""
        notes = (self.loudness() @ self._sounds).view(STEPS, -1, self.hop)
        late = [notes[:, step].roll(step, 0) for step in range(notes.shape[1])]
        return torch.stack(late).sum(dim=0).flatten()

    def drop_inaudible_notes(self) -> None:
        """Remove notes far below the loudest one."""
        with torch.no_grad():
            loudness = self.loudness()
            least = loudness.max() * 10 ** (-INAUDIBLE / 20)
            self._plays = (loudness >= least).to(loudness)

    def notes(self) -> Float32Array:
        """`loudness` as an array."""
        return self.loudness().detach().numpy()


def cut_snippet(
    loop: Tensor, start: int, samples: int, wanted: int, *, repeat: bool = True
) -> Tensor:
    """Cut a snippet from a loop that is played for a given time.

    Args:
        loop: [samples of the loop].
        start: start of the snippet in samples.
        samples: length for which the loop is played.
        wanted: length of the snippet.
        repeat: whether a sound shorter than the snippet is repeated; else it is padded with
            silence.

    Returns:
        [wanted].
    """
    played = min(samples, wanted)
    whole = loop.roll(-start).repeat(-(-played // len(loop)))[:played]
    if not repeat:
        return torch.nn.functional.pad(whole, (0, wanted - played))
    return whole.repeat(-(-wanted // played))[:wanted]


def minimise(
    parameters: list[Tensor],
    loss: Callable[[int], Tensor],
    *,
    steps: int,
    step_size: float,
    after: Callable[[int], None],
) -> None:
    """Minimise a loss by Adam, in place, without touching gradients of other tensors.

    Args:
        parameters: tensors to optimise.
        loss: returns the loss, given the number of the step.
        steps: number of steps.
        step_size: initial step size; it falls to zero along half a cosine.
        after: called with the number of each finished step.
    """
    optimiser = torch.optim.Adam(parameters, lr=step_size)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = step_size * (1 + math.cos(math.pi * step / steps)) / 2
        gradients = torch.autograd.grad(loss(step), parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimiser.step()
        after(step)
