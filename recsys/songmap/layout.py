"""The map of the songs: where their embeddings lie, in three dimensions (paragraphs 60 to 63)."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd

from datasets.arrays import IntArray, StrArray
from datasets.errors import InvalidArgumentError
from embedding.projection import FEWEST, Method, Projection, project
from recsys.model.live import LiveModel
from recsys.ranking.similarity import unit_vectors

MapSpace = Literal["sound", "fused"]

NAMED = 16
"""Values that get a colour and a shape of their own, the most frequent ones."""

SHAPES = 7

UNKNOWN = "unknown"

# Okabe and Ito (2008), distinct for colour-blind eyes, with blue and yellow nearer to the middle so
# that they stand out on white and on black; then three more, which shapes have to help.
_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#D55E00", "#CC79A7", "#2F7FC1", "#B8A900",
            "#9A6FB0", "#8C6D46", "#6FBF9B")  # fmt: skip
_GREY = "#8A8F98"


@dataclass(frozen=True)
class SongGroup:
    """Songs that are drawn alike. ``shape`` is a number from 0 to 6; the drawing knows which."""

    name: str
    colour: str
    shape: int
    rows: IntArray
    """Positions in the map."""
    named: bool = True
    """Whether it is one value, and not the rest in grey."""


@dataclass(frozen=True, eq=False)
class SongMap:
    """Points with what they are, ready to be drawn."""

    songs: pd.DataFrame
    """item_id, title, artist, album, genre; one row a point."""
    projection: Projection
    groups: tuple[SongGroup, ...]
    method: Method
    by: str
    embeddings: MapSpace
    total: int
    """Songs that could have been drawn."""

    @property
    def axes(self) -> list[str]:
        """What stands at the axes."""
        if self.projection.explained is None:
            name = {"umap": "UMAP", "tsne": "t-SNE"}[self.method]
            return [f"{name} {number}" for number in (1, 2, 3)]
        return [f"PC{n} ({share:.1%})" for n, share in enumerate(self.projection.explained, 1)]

    @property
    def title(self) -> str:
        """One line: what is drawn."""
        of = {"sound": "sound", "fused": "sound and taste together"}[self.embeddings]
        return f"Map of {len(self.songs):,} songs by {of}, coloured by {self.by}"

    @property
    def facts(self) -> str:
        """One line: what is to be known to read it."""
        parts = []
        if len(self.songs) < self.total:
            parts.append(f"a random sample of {self.total:,} songs")
        if self.projection.explained is not None:
            share = self.projection.explained.sum()
            parts.append(f"three principal components explain {share:.1%} of the variance")
        else:
            parts.append("neighbours are alike; axes and large distances mean nothing")
        return "; ".join(parts)


def song_map(
    library: LiveModel,
    *,
    method: Method = "pca",
    by: str = "genre",
    embeddings: MapSpace = "sound",
    limit: int = 10_000,
    seed: int = 0,
) -> SongMap:
    """A map of the songs that have something to place them by.

    method: see :func:`embedding.projection.project`. by: the column that gives the colours: genre,
    artist, or another text or tag. embeddings: ``sound``, what the network hears, or ``fused``,
    the unit vectors by which :meth:`Recommender.similar` compares. limit: of more songs than this
    a random sample is drawn, chosen by ``seed``.

    Raises InvalidArgumentError for a choice that is not there, or fewer than four such songs.
    """
    if embeddings not in get_args(MapSpace):
        raise InvalidArgumentError(f"embeddings must be sound or fused, not {embeddings!r}")
    if limit < FEWEST:
        raise InvalidArgumentError(f"limit must be at least {FEWEST}, not {limit}")
    rows = np.setdiff1d(np.arange(len(library.items)), library.items.retired)
    labels = library.items.texts(by, rows)
    if embeddings == "sound":
        vectors, known = library.items.embeddings(rows)
    else:
        vectors = unit_vectors(library, "fused")[rows]
        known = np.asarray(vectors.any(axis=1))
    place = np.flatnonzero(known)
    if len(place) < FEWEST:
        raise InvalidArgumentError(
            f"{len(place)} songs have {embeddings} embeddings; a map needs at least {FEWEST}"
        )
    total = len(place)
    if total > limit:
        place = np.sort(np.random.default_rng(seed).choice(place, limit, replace=False))
    return SongMap(
        songs=library.items.describe(rows[place]),
        projection=project(vectors[place], method, seed=seed),
        groups=_groups(labels[place]),
        method=method,
        by=by,
        embeddings=embeddings,
        total=total,
    )


def _groups(labels: StrArray) -> tuple[SongGroup, ...]:
    """One group a value, by name; the rarer values and the blank ones last, in grey."""
    counts = pd.Series(labels[labels != ""], dtype=object).value_counts(sort=False)
    # Most frequent first, by name among equals.
    ranked = sorted(counts.index, key=lambda name: (-counts[name], name))
    named = sorted(ranked[:NAMED])
    # Both change from name to name; the same pair of ten and seven comes again after 70.
    groups = [
        SongGroup(
            name,
            _COLOURS[number % len(_COLOURS)],
            number % SHAPES,
            np.flatnonzero(labels == name),
        )
        for number, name in enumerate(named)
    ]
    rest = np.flatnonzero(~np.isin(labels, ["", *named]))
    blank = np.flatnonzero(labels == "")
    for name, rows in ((f"{len(ranked) - len(named)} others", rest), (UNKNOWN, blank)):
        if len(rows):
            groups.append(SongGroup(name, _GREY, 0, rows, named=False))
    return tuple(groups)
