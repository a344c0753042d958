"""Explain a recommendation: shares of the sources, similar played items, common metadata."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from datasets.arguments import check_whole
from datasets.arrays import Float32Array, IntArray
from datasets.columns import ARTIST, ITEM_ID, ITEM_TEXT, TITLE
from datasets.errors import InvalidArgumentError, UnknownUserError
from datasets.tables.ids import checked_id
from datasets.tables.spellings import label_key
from datasets.tables.values import format_value
from datasets.texts.safe_text import printable
from recsys.content.familiarity import caution
from recsys.model.live import LiveModel
from recsys.ranking.new_songs import at_level
from recsys.ranking.ranking import source_shares
from recsys.ranking.similarity import Space, unit_vectors_of


@dataclass(frozen=True)
class Neighbour:
    """A played item that is similar to the explained one."""

    item_id: str
    title: str
    artist: str
    cosine: float
    """Cosine similarity, -1 to 1."""


@dataclass(frozen=True)
class Common:
    """A metadata value that the item shares with played items."""

    column: str
    """artist, album, genre or a tag."""
    value: str
    played: int
    """How many of the played items have it."""


@dataclass(frozen=True)
class Explanation:
    """Why an item has its score for a user.

    Examples:
        >>> why = recommender.explain("u1", "s3")
        >>> why.item_id, why.cold, round(sum(why.shares.values()), 6)
        ('s3', False, 1.0)
        >>> print(str(why).splitlines()[0].partition(":")[0])
        Song 3 by Artist 3 for user u1
    """

    user_id: str | None
    """None for a history without a user id."""
    item_id: str
    title: str
    artist: str
    score: float
    """The sum of what the sources give; lists put that of a new song on the scale of known ones."""
    cold: bool
    """Nobody had played the item when the model was fitted."""
    seen: bool
    """Whether the user has played the item."""
    shares: dict[str, float]
    """How much of the score each source gave, adding to 1, as in the columns of a list."""
    n_played: int
    """Items that the user has played."""
    taste: tuple[Neighbour, ...]
    """The played items most similar by who plays them, most similar first."""
    sound: tuple[Neighbour, ...]
    """The played items most similar by sound, most similar first."""
    common: tuple[Common, ...]
    """Metadata that the item shares with played items, the most frequent first."""
    familiarity: float | None = None
    """How much the item sounds like what the model has learned from, 0 to 1; None where that is
    not known."""

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as values that JSON can hold."""
        return asdict(self)

    def __str__(self) -> str:
        who = "these plays" if self.user_id is None else f"user {self.user_id}"
        lines = [f"{_name(self)} for {who}: score {self.score:.3f}"]
        if self.cold:
            lines.append("nobody had played it when the model was fitted")
            if doubt := caution(self.familiarity):
                lines.append(doubt)
        if self.seen:
            lines.append("it is among what was played")
        parts = [f"{name} {share:.0%}" for name, share in self.shares.items()]
        lines.append(f"sources: {', '.join(parts)}")
        for by, found in (("taste", self.taste), ("sound", self.sound)):
            if found:
                near = ", ".join(f"{_name(one)} ({one.cosine:.2f})" for one in found)
                lines.append(f"nearest in {by}: {near}")
        lines += [
            f"{one.column} {one.value}: {one.played} of {self.n_played} played items have it"
            for one in self.common
        ]
        return "\n".join(map(printable, lines))


def explain(
    model: LiveModel,
    user_id: str | None,
    item_id: str,
    plays: Mapping[str, float] | None,
    n: int,
) -> Explanation:
    """Explain the score of an item for a user or for plays; see `Recommender.explain`.

    Raises:
        UnknownUserError: no such user.
        UnknownItemError: an item that is not in the catalogue.
        InvalidArgumentError: n below 1, not exactly one of user id and history, or nothing is known
            about the user.
    """
    check_whole("n", n)
    if (user_id is None) == (plays is None):
        raise InvalidArgumentError("give a user id or a history, one of them")
    item_id = checked_id("item_id", item_id)
    user_id = None if user_id is None else checked_id("user_id", user_id)
    row = model.items.row(item_id)
    vector, played = _user(model, user_id, plays)
    if not vector.any():
        who = "this history" if user_id is None else f"user {user_id!r}"
        raise InvalidArgumentError(f"nothing is known of the taste of {who}: no score to explain")
    blocks = model.state.blocks
    item = model.index.vectors(np.array([row]))
    parts = source_shares(blocks, vector, item)[0].tolist()
    others = np.setdiff1d(played, np.append(model.items.retired, row))
    texts = model.items.describe(np.array([row])).iloc[0]
    (familiarity,) = model.items.familiarity(np.array([row])).tolist()
    return Explanation(
        user_id=user_id,
        item_id=item_id,
        title=str(texts[TITLE]),
        artist=str(texts[ARTIST]),
        score=float(at_level(model, np.array([row]), item @ vector)[0]),
        cold=bool(model.items.is_cold(np.array([row]))[0]),
        seen=bool((played == row).any()),
        shares={block.name: part for block, part in zip(blocks, parts, strict=True)},
        n_played=len(played),
        taste=_nearest(model, row, others, n, "taste"),
        sound=_nearest(model, row, others, n, "sound"),
        common=_common(model, row, played),
        familiarity=None if np.isnan(familiarity) else familiarity,
    )


def _user(
    model: LiveModel, user_id: str | None, plays: Mapping[str, float] | None
) -> tuple[Float32Array, IntArray]:
    """The fused vector [D] of a user, and the rows that the user has played."""
    if plays is not None:
        played = model.items.rows(plays)
        return model.users.fold_in(played, np.array(list(plays.values()), np.float32)), played
    row = model.users.row(user_id)
    if row is None:
        raise UnknownUserError(
            f"no user {format_value(user_id)} in the training data{model.users.suggestion(user_id)}"
        )
    return model.users.vectors(np.array([row]))[0], model.users.seen(row)


def _nearest(
    model: LiveModel, row: int, played: IntArray, n: int, by: Space
) -> tuple[Neighbour, ...]:
    if by == "taste" and all(one.name in ("content", "popularity") for one in model.state.blocks):
        return ()
    vectors = unit_vectors_of(model, by, np.append(played, row))
    if not vectors[-1].any():
        return ()
    known = vectors[:-1].any(axis=1)
    played, cosines = played[known], vectors[:-1][known] @ vectors[-1]
    best = np.argsort(-cosines, kind="stable")[:n]
    texts = model.items.describe(played[best])
    columns = (texts[name].tolist() for name in (ITEM_ID, TITLE, ARTIST))
    return tuple(
        Neighbour(*values)
        for values in zip(*columns, np.clip(cosines[best], -1, 1).tolist(), strict=True)
    )


def _common(model: LiveModel, row: int, played: IntArray) -> tuple[Common, ...]:
    found = []
    shown = model.items.describe(np.array([row])).iloc[0]
    texts = {name: str(shown[name]) for name in ITEM_TEXT if name != TITLE}
    for column, value in {**texts, **model.items.tags(row)}.items():
        key = label_key(column, value)
        others = model.items.texts(column, played)
        count = sum(label_key(column, str(text)) == key for text in others)
        if value and count:
            found.append(Common(column, value, count))
    return tuple(sorted(found, key=lambda one: -one.played))


def _name(one: Explanation | Neighbour) -> str:
    title = one.title or one.item_id
    return f"{title} by {one.artist}" if one.artist else title
