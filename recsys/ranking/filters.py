"""What a list may hold and how it is ordered: the wishes of a caller, as rows and numbers."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from datasets.arguments import check_whole
from datasets.arrays import IntArray
from datasets.errors import InvalidArgumentError
from recsys.model.items import Where
from recsys.model.live import LiveModel
from recsys.ranking.arguments import check_k, check_share, texts_of
from recsys.ranking.similarity import knows_likeness

_POOL = 10
_LEAST_POOL = 100
"""Lists that are reordered are chosen from this many times k candidates, and from no fewer."""


@dataclass(frozen=True)
class Filters:
    """Which items a list may hold, how many, and what counts besides the score."""

    k: int
    """Length of the list."""
    exclude_seen: bool
    """Leave out what the user has played."""
    exclude: IntArray
    """Rows to leave out."""
    only: IntArray | None
    """Rows to choose from, None for all; what ``where`` asks for is in here."""
    per_artist: int | None = None
    """At most this many items of an artist."""
    diversity: float = 0.0
    """0 for the best scores, 1 for items as different as can be."""
    popularity_correction: float = 0.0
    """Share of the standardised log popularity taken off the standardised score."""

    @property
    def by_score_alone(self) -> bool:
        """Whether the list is simply the k best scores of what is eligible."""
        return self.per_artist is None and not self.diversity and not self.popularity_correction

    @property
    def pool_size(self) -> int:
        """How many of the best candidates the list is chosen from, unless a cap needs more."""
        if self.by_score_alone:
            return self.k
        if not self.diversity and not self.popularity_correction:
            return 2 * self.k  # in the order of scores, so that more candidates change nothing
        return max(_LEAST_POOL, _POOL * self.k)


def make_filters(
    library: LiveModel,
    k: int,
    *,
    exclude_seen: bool,
    exclude: Iterable[str],
    only: Iterable[str] | None,
    where: Where | None,
    per_artist: int | None,
    diversity: float,
    popularity_correction: float,
) -> Filters:
    """The wishes of a caller, checked.

    Raises InvalidArgumentError for a number out of its range, an unknown column, or diversity where
    nothing tells items apart, and UnknownItemError for an unknown item.
    """
    check_k(k)
    if per_artist is not None:
        check_whole("per_artist", per_artist)
    check_share("diversity", diversity)
    check_share("popularity_correction", popularity_correction)
    if diversity and not knows_likeness(library):
        raise InvalidArgumentError(
            "diversity needs embeddings or a source that knows taste, and this model has neither"
        )
    rows = None if only is None else library.items.rows(texts_of("only", only))
    if where:
        having = library.items.rows_where(where)
        rows = having if rows is None else np.intersect1d(rows, having)
    return Filters(
        k=int(k),
        exclude_seen=exclude_seen,
        exclude=library.items.rows(texts_of("exclude", exclude)),
        only=rows,
        per_artist=None if per_artist is None else int(per_artist),
        diversity=float(diversity),
        popularity_correction=float(popularity_correction),
    )
