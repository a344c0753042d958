"""A loop as levels of notes on a grid, and its sound, differentiable in the levels."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from datasets.arrays import Float32Array
from embedding.composition.initial_loop import STEPS, InitialLoop
from embedding.composition.instruments import InstrumentSet

INAUDIBLE = 45.0
"""Decibels below the loudest note at which a note is left out of the finished score."""


class NoteGrid:
    """What each sound of the ensemble plays at each of the sixteenth notes of two bars.

    hop: samples in a step. names, pitches: instrument and MIDI pitch (0: a drum) of the k sounds.
    levels: natural logarithm of how loud each is at each step, float32 [STEPS, k], with gradient.
    """

    def __init__(self, members: InstrumentSet, opening: InitialLoop) -> None:
        self.hop = opening.hop
        self.names = tuple(members.names[row] for row in opening.chosen)
        self.pitches = members.pitches[opening.chosen]
        self.levels = torch.tensor(opening.levels, dtype=torch.float32, requires_grad=True)
        self._plays = torch.ones_like(self.levels, requires_grad=False)
        sounds = torch.from_numpy(members.sounds[opening.chosen])
        # Whole steps, so that notes can be laid over each other step by step.
        self._sounds = torch.nn.functional.pad(sounds, (0, -sounds.shape[1] % self.hop))

    @property
    def samples(self) -> int:
        """Length of the loop."""
        return STEPS * self.hop

    def loudness(self) -> Tensor:
        """Level of each sound at each step, 0 where it was left out: [STEPS, k]."""
        return self.levels.exp() * self._plays

    def render(self) -> Tensor:
        """The loop's sound, float32 [samples]; what rings on at its end is heard at its start."""
        notes = (self.loudness() @ self._sounds).view(STEPS, -1, self.hop)
        late = [notes[:, step].roll(step, 0) for step in range(notes.shape[1])]
        return torch.stack(late).sum(dim=0).flatten()

    def drop_inaudible_notes(self) -> None:
        """From now on, notes far below the loudest one do not play."""
        with torch.no_grad():
            loudness = self.loudness()
            least = loudness.max() * 10 ** (-INAUDIBLE / 20)
            self._plays = (loudness >= least).to(loudness)

    def notes(self) -> Float32Array:
        """:meth:`loudness` as an array."""
        return self.loudness().detach().numpy()


def cut_snippet(
    loop: Tensor, start: int, samples: int, wanted: int, *, repeat: bool = True
) -> Tensor:
    """A snippet of ``wanted`` samples, from ``start`` on, of a loop played for ``samples``.

    Where the whole is shorter than the snippet it is repeated, as a recording would be, or silence
    follows it.
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
    """Adam on ``parameters``, in place, leaving all other gradients alone.

    loss: the loss at a step's number. step_size: at the start; it falls to zero along half a
    cosine. after: called with a step's number when it is done.
    """
    optimiser = torch.optim.Adam(parameters, lr=step_size)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = step_size * (1 + math.cos(math.pi * step / steps)) / 2
        gradients = torch.autograd.grad(loss(step), parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimiser.step()
        after(step)
