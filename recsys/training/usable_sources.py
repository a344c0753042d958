"""Which sources can learn from the plays there are; the others stay out until there are more.

A library without plays is known by its sound alone. ALS, LightFM and EASE learn who plays what from
users who have played several items, and popularity from how many have played each. From one user
they learn nothing but that this user has played something; what two share can teach them more than
sound alone knows (docs/decisions.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from datasets.errors import DataError
from recsys.config import FusionConfig, RecommenderConfig, SourceName

ENOUGH_USERS = 2
"""Fewest users with two items or more from whom sources can learn who plays what."""

WITHOUT_PLAYS: tuple[SourceName, ...] = ("content",)
"""The sources that need no plays."""


@dataclass(frozen=True)
class SourceChoice:
    """The sources that a fit uses, and why others stay out."""

    used: tuple[SourceName, ...]
    """In the order of the configuration."""

    left_out: tuple[SourceName, ...]
    """The other sources of the configuration."""

    reason: str
    """Why they stay out, for people to read; "" where none does."""

    @property
    def sentence(self) -> str:
        """Say which sources stay out and why; "" where none does."""
        if not self.left_out:
            return ""
        names = list(self.left_out)
        verb = "stay" if len(names) > 1 else "stays"
        together = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
        return f"{together} {verb} out: {self.reason}"

    def configured(self, config: RecommenderConfig) -> RecommenderConfig:
        """Return settings with these sources alone; given weights are kept for them."""
        if not self.left_out:
            return config
        weights = {kind: _of(getattr(config.fusion, kind), self.used) for kind in ("warm", "cold")}
        fusion = FusionConfig(**{**dict(config.fusion), **weights})
        return config.replace(sources=self.used, fusion=fusion)


def choose_sources(
    plays: sp.csr_matrix, sources: Sequence[SourceName], *, heard: bool
) -> SourceChoice:
    """Choose the sources that can learn from these plays.

    Where fewer than `ENOUGH_USERS` users have played two items or more, those that need plays stay
    out, if any item's sound is known; if none is, they learn from what there is.

    Args:
        plays: CSR [n_users, n_items].
        sources: the sources of the configuration.
        heard: whether any item has an embedding.

    Raises:
        DataError: nobody has played anything, and there is no sound to learn from either.

    Examples:
        >>> choose_sources(training_data.plays, ("als", "content"), heard=True).used
        ('als', 'content')
        >>> choose_sources(training_data.plays[:1], ("als", "content"), heard=True).sentence
        'als stays out: 1 user has played two items or more, and 2 are needed'
    """
    by_sound = tuple(name for name in sources if name in WITHOUT_PLAYS)
    others = tuple(name for name in sources if name not in WITHOUT_PLAYS)
    if not plays.nnz and not (by_sound and heard):
        lacks = (
            "no item has a recording that can be used, or an embedding"
            if by_sound
            else f"none of the sources {', '.join(sources)} goes without plays (content does)"
        )
        raise DataError(
            f"interactions: nobody has played anything, and {lacks}, so there is nothing to learn"
        )
    n = int((np.diff(plays.indptr) > 1).sum())  # who has played one item says nothing of others
    if not (by_sound and heard) or not others or n >= ENOUGH_USERS:
        return SourceChoice(tuple(sources), (), "")
    if not plays.nnz:
        return SourceChoice(by_sound, others, "nobody has played anything yet")
    who = "1 user has" if n == 1 else f"{n or 'no'} users have"
    reason = f"{who} played two items or more, and {ENOUGH_USERS} are needed"
    return SourceChoice(by_sound, others, reason)


def _of(
    weights: Mapping[SourceName, float] | None, names: Sequence[SourceName]
) -> dict[SourceName, float] | None:
    return None if weights is None else {name: weights[name] for name in names}
