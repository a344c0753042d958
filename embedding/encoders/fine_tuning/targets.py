"""What heads are trained on: labels, taste and groups, checked, as targets of the inputs known."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from datasets.arrays import Float32Array, IntArray, StrArray
from datasets.errors import DataWarning, InvalidArgumentError
from datasets.texts.safe_text import printable
from embedding.encoders.fine_tuning.config import HeadConfig
from embedding.encoders.songs import checked_recordings
from embedding.network.targets import (
    Target,
    as_column,
    known_values,
    make_targets,
    taste_directions,
)

_DEFAULT_TAG = "genre"
_MOST_NAMED = 5


class HeadTargets(NamedTuple):
    """What heads are trained on: the inputs of which anything is known."""

    rows: IntArray
    """Positions of these inputs among those given."""

    targets: list[Target]
    taste: Float32Array | None
    """Rows of length 1, or 0 where unknown."""

    groups: StrArray
    recording: IntArray

    def take(self, rows: IntArray) -> HeadTargets:
        """Those of some of the inputs, by their positions here."""
        return HeadTargets(
            self.rows[rows],
            [target.take(rows) for target in self.targets],
            None if self.taste is None else self.taste[rows],
            self.groups[rows],
            self.recording[rows],
        )

    @property
    def classes(self) -> IntArray:
        """Class of each for the first tag, int [n]; 0 without tags."""
        if not self.targets:
            return np.zeros(len(self.rows), dtype=np.int64)
        return self.targets[0].values.argmax(axis=1)


def head_targets(
    config: HeadConfig,
    labels: ArrayLike | Mapping[str, ArrayLike] | None,
    taste: Float32Array | None,
    groups: ArrayLike | None,
    recording: IntArray | None,
    n: int,
) -> HeadTargets:
    """Check what n inputs are trained on, and keep those of which anything is known.

    Args:
        config: names the tags, and says whether an input may have several values.
        labels: as in `FineTunedEncoder.fit`.
        taste: as in `FineTunedEncoder.fit`.
        groups: as in `FineTunedEncoder.fit`.
        recording: as in `FineTunedEncoder.fit`.
        n: number of inputs.

    Raises:
        InvalidArgumentError: the numbers of values differ, or there is nothing to learn.
    """
    targets, left_out = _targets_of(config, labels, n)
    liked = _directions(taste, n)
    numbers, _ = checked_recordings(np.arange(n) if recording is None else recording, n)
    names = as_column(numbers if groups is None else groups, n, "groups", "an input")
    if not targets and liked is None:
        raise InvalidArgumentError(_nothing_to_learn(labels, taste))
    if left_out:
        warnings.warn(
            f"labels: of {', '.join(map(repr, left_out))} not two values are known, so that no "
            "head is trained for it",
            DataWarning,
            stacklevel=3,
        )
    if groups is not None:
        _warn_of_single_groups(targets, names)
    known = np.zeros(n, dtype=bool) if liked is None else liked.any(axis=1)
    for target in targets:
        known = known | target.known
    rows = np.flatnonzero(known)
    return HeadTargets(
        rows,
        [target.take(rows) for target in targets],
        None if liked is None else liked[rows],
        names[rows],
        numbers[rows],
    )


def _targets_of(
    config: HeadConfig, labels: ArrayLike | Mapping[str, ArrayLike] | None, n: int
) -> tuple[list[Target], list[str]]:
    """A target for each tag with two values; and the tags without."""
    if labels is None:
        return [], []
    given = _by_tag(labels, config.tags)
    several = config.loss == "binary_cross_entropy"
    targets: list[Target] = []
    left_out: list[str] = []
    for tag in config.tags or tuple(given):
        if tag not in given:
            raise InvalidArgumentError(f"labels: the values of tag {tag!r} are missing")
        values = as_column(given[tag], n, f"labels of {tag!r}", "an input")
        if len(known_values(values, several=several)) > 1:
            targets += make_targets(values, n, (tag,), several=several)
        else:
            left_out.append(tag)
    return targets, left_out


def _by_tag(labels: Any, tags: Sequence[str]) -> dict[str, ArrayLike]:
    """Labels as a mapping from each tag to its values; a list of values is of the only tag."""
    if isinstance(labels, Mapping) or hasattr(labels, "columns"):
        return {str(tag): labels[tag] for tag in labels}
    if getattr(labels, "ndim", 1) != 1:
        raise InvalidArgumentError(
            "labels must be n values of a tag, or a mapping from each tag to its n values"
        )
    if len(tags) > 1:
        raise InvalidArgumentError(
            f"labels: one list of values, and {len(tags)} tags ({', '.join(tags)}); give a mapping "
            "from each tag to its values"
        )
    return {tags[0] if tags else _DEFAULT_TAG: labels}


def _directions(taste: Float32Array | None, n: int) -> Float32Array | None:
    """Collaborative vectors of length 1, rows of 0 where unknown; None where none is known."""
    directions = None if taste is None else taste_directions(taste, n)
    if directions is None or directions.any():
        return directions
    warnings.warn("taste: no vector is known, and none is learned", DataWarning, stacklevel=3)
    return None


def _nothing_to_learn(
    labels: ArrayLike | Mapping[str, ArrayLike] | None, taste: Float32Array | None
) -> str:
    if labels is None and taste is None:
        return "give labels or taste: there is nothing to learn"
    parts = ["no tag has two values"] if labels is not None else []
    parts += ["no vector of taste is known"] if taste is not None else []
    return f"there is nothing to learn: {' and '.join(parts)}"


def _warn_of_single_groups(targets: Sequence[Target], groups: StrArray) -> None:
    """Name the values that one group alone has: nothing shows whether they are told by others."""
    _, codes = np.unique(groups.astype(str), return_inverse=True)
    alone = []
    for target in targets:
        for column, name in enumerate(target.classes.tolist()):
            own = codes[target.values[:, column] > 0]
            if len(own) and (own == own[0]).all():
                alone.append(f"{target.tag} {printable(name)!r}")
    if alone:
        more = f" and {len(alone) - _MOST_NAMED} more" if len(alone) > _MOST_NAMED else ""
        warnings.warn(
            f"{', '.join(alone[:_MOST_NAMED])}{more}: in one group (artist) alone; learned, but "
            "nothing shows whether it is told of others",
            DataWarning,
            stacklevel=3,
        )
