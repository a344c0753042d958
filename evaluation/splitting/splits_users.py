"""A split of users whom nobody has seen yet."""

import numpy as np

from datasets.errors import EvaluationError
from datasets.music import MusicDataset
from evaluation.arguments import check_fraction, check_whole, generator
from evaluation.splitting.interactions import Pairs, places
from evaluation.splitting.split import Split


def cold_user_split(
    dataset: MusicDataset,
    fraction: float = 0.2,
    given: int = 0,
    seed: int = 0,
    *,
    name: str = "cold users",
) -> Split:
    """Hold out whole users, as if they came after the model was trained.

    round(``fraction`` · users) are drawn, at least one and never all, of the users with more than
    ``given`` items. ``given`` items of each, drawn by ``seed`` too, are shown to the model after
    ``fit``; all others are tested. The draws do not depend on ``given``, so a split that gives 5
    items gives those that a split giving 1 does, where the same users can be drawn.

    Items that only cold users have played would be cold themselves: their rows are on neither
    side, and a user who then has no more than ``given`` items left is not tested. Nor are pairs
    with a weight of 0, which are no listening, on any side.

    Raises InvalidArgumentError for a fraction that is none or given < 0, and
    :class:`~datasets.errors.EvaluationError` where fewer than two users have so many items or
    nothing can be tested.
    """
    check_fraction(fraction)
    check_whole("given", given, 0)
    pairs = Pairs.of(dataset)
    random = generator(seed)
    chance, luck = random.random(pairs.n_users), random.random(len(pairs))
    enough = pairs.items_of(pairs.played) > given
    n_enough = int(enough.sum())
    if n_enough < 2:
        raise EvaluationError(
            f"a split of cold users needs at least two with more than {given} items;"
            f" there are {n_enough}"
        )
    n_cold = min(max(1, int(np.floor(n_enough * fraction + 0.5))), n_enough - 1)
    cold = np.zeros(pairs.n_users, dtype=bool)
    cold[np.lexsort((chance, ~enough))[:n_cold]] = True

    of_cold = cold[pairs.user]
    known = pairs.listeners(pairs.played & ~of_cold) > 0
    usable = of_cold & pairs.played & known[pairs.item]
    usable &= (pairs.items_of(usable) > given)[pairs.user]
    shown = usable & (places(pairs.user, pairs.n_users, ~usable, luck) < given)
    test = usable & ~shown
    if not test.any():
        raise EvaluationError("no cold user has played enough that others have played as well")
    split = Split(
        name,
        "cold users",
        np.flatnonzero(~of_cold[pairs.of_row]),
        np.flatnonzero(test[pairs.of_row]),
        given_rows=np.flatnonzero(shown[pairs.of_row]),
        settings={"kind": "whole users", "fraction": fraction, "given": given, "seed": seed},
    )
    split.check(dataset, pairs)
    return split
