"""Project the songs of a model to three dimensions, and group them by colour and shape."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd

from datasets.arrays import IntArray, StrArray
from datasets.columns import ITEM_ID
from datasets.errors import InvalidArgumentError
from datasets.texts.file_names import name_from_text
from embedding.projection import FEWEST, Projection, ProjectionMethod, project
from recsys.model.live import LiveModel
from recsys.playlists.files import RecordingFiles
from recsys.ranking.similarity import unit_vectors

MapSpace = Literal["sound", "fused"]
"""Which vectors are projected: embeddings of the audio, or fused item vectors."""

NAMED = 16
"""Number of most frequent values that get a colour and a shape of their own."""

SHAPES = 7

UNKNOWN = "unknown"

# Okabe and Ito (2008), distinct for colour-blind people, with blue and yellow of medium brightness
# to stand out on white and on black; and three more, which are told apart by shape too.
_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#D55E00", "#CC79A7", "#2F7FC1", "#B8A900",
            "#9A6FB0", "#8C6D46", "#6FBF9B")  # fmt: skip
_GREY = "#8A8F98"


@dataclass(frozen=True)
class SongGroup:
    """Songs drawn with the same colour and shape."""

    name: str
    """Label in the legend."""
    colour: str
    """Hex code."""
    shape: int
    """Number of the shape, 0 to 6."""
    rows: IntArray
    """Positions of its songs in the map."""
    named: bool = True
    """True for a single value, False for the other and unknown values, in grey."""


@dataclass(frozen=True, eq=False)
class SongMap:
    """Projected songs in groups, ready to be drawn; see ``song_map``.

    Examples:
        >>> from recsys.model import load_model
        >>> recommender.save(folder / "model")
        >>> song_map(load_model(folder / "model")).axes  # doctest: +ELLIPSIS
        ['PC1 (...%)', 'PC2 (...%)', 'PC3 (...%)']
    """

    songs: pd.DataFrame
    """item_id, title, artist, album, genre; one row per point."""
    projection: Projection
    """Their positions."""
    groups: tuple[SongGroup, ...]
    """Groups of songs, in the order of the legend."""
    method: ProjectionMethod
    """Method of projection."""
    by: str
    """Column that gives the groups."""
    embeddings: MapSpace
    """Which vectors were projected."""
    total: int
    """Number of songs with such vectors, of which `songs` may be a sample."""
    recordings: Mapping[str, Path] = field(default_factory=dict)
    """The file of each song whose recording is at hand, by item id."""

    @property
    def axes(self) -> list[str]:
        """Titles of the three axes."""
        if self.projection.explained is None:
            name = {"umap": "UMAP", "tsne": "t-SNE"}[self.method]
            return [f"{name} {number}" for number in (1, 2, 3)]
        return [f"PC{n} ({share:.1%})" for n, share in enumerate(self.projection.explained, 1)]

    @property
    def title(self) -> str:
        """Title of the map, in one line."""
        space = {"sound": "sound", "fused": "sound and taste together"}[self.embeddings]
        return f"Map of {len(self.songs):,} songs by {space}, coloured by {self.by}"

    @property
    def facts(self) -> str:
        """How to read the map, in one line."""
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
    model: LiveModel,
    *,
    method: ProjectionMethod = "pca",
    by: str = "genre",
    embeddings: MapSpace = "sound",
    limit: int = 10_000,
    seed: int = 0,
    folder: Path | None = None,
) -> SongMap:
    """Make a map of the songs that have vectors.

    Examples:
        >>> from recsys.model import load_model
        >>> recommender.save(folder / "model")
        >>> drawn = song_map(load_model(folder / "model"), by="genre")
        >>> drawn.title
        'Map of 30 songs by sound, coloured by genre'
        >>> [(group.name, len(group.rows)) for group in drawn.groups]
        [('jazz', 15), ('rock', 15)]

    Args:
        model: a saved model, opened by ``recsys.model.load_model``.
        method: `pca`, `umap` or `tsne`, see ``embedding.projection.project``.
        by: column that gives colours and shapes: genre, artist, album or a tag.
        embeddings: `sound` for embeddings of the audio, `fused` for the unit vectors that
            `Recommender.similar` compares.
        limit: a random sample is drawn of more songs than this.
        seed: seed of the sample, and of UMAP and t-SNE.
        folder: where the recordings are, if they were moved since they were heard.

    Raises:
        InvalidArgumentError: an unknown choice, or fewer than four songs with vectors.
    """
    if embeddings not in get_args(MapSpace):
        raise InvalidArgumentError(f"embeddings must be sound or fused, not {embeddings!r}")
    if limit < FEWEST:
        raise InvalidArgumentError(f"limit must be at least {FEWEST}, not {limit}")
    rows = np.setdiff1d(np.arange(len(model.items)), model.items.retired)
    labels = model.items.texts(by, rows)
    if embeddings == "sound":
        vectors, known = model.items.embeddings(rows)
        vectors = model.state.standardised(vectors)
    else:
        vectors = unit_vectors(model, "fused")[rows]
        known = np.asarray(vectors.any(axis=1))
    positions = np.flatnonzero(known)
    if len(positions) < FEWEST:
        raise InvalidArgumentError(
            f"{len(positions)} songs have {embeddings} embeddings; a map needs at least {FEWEST}"
        )
    total = len(positions)
    if total > limit:
        positions = np.sort(np.random.default_rng(seed).choice(positions, limit, replace=False))
    songs = model.items.describe(rows[positions])
    return SongMap(
        songs=songs,
        projection=project(vectors[positions], method, seed=seed),
        groups=_groups(labels[positions]),
        method=method,
        by=by,
        embeddings=embeddings,
        total=total,
        recordings=_recordings(model, songs[ITEM_ID].tolist(), folder),
    )


def _recordings(model: LiveModel, item_ids: list[str], folder: Path | None) -> dict[str, Path]:
    """The file of each song whose recording is at hand."""
    fitted = model.state.info["dataset"].get("folder")
    start = None if fitted is None else Path(name_from_text(fitted))
    files = RecordingFiles(model.catalog, start, folder)
    files.look_up(item_ids)
    found = {item_id: files.find(item_id) for item_id in item_ids}
    return {item_id: file for item_id, file in found.items() if file is not None}


def _groups(labels: StrArray) -> tuple[SongGroup, ...]:
    """Group songs by value, in order of names; rare values and unknown ones come last, in grey."""
    counts = pd.Series(labels[labels != ""], dtype=object).value_counts(sort=False)
    # Most frequent first; ties in order of names.
    ranked = sorted(counts.index, key=lambda name: (-counts[name], name))
    named = sorted(ranked[:NAMED])
    # Colour and shape both change from name to name: a pair repeats after 70 names.
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
