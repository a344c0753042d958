"""The audience of a song: the users who will like it best, and why."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from datasets.arguments import check_flag, check_whole
from datasets.arrays import BoolArray, Float32Array, Float64Array, IntArray
from datasets.columns import ARTIST, ITEM_ID, RANK, SCORE, SHARE_PREFIX, TITLE, USER_ID
from datasets.errors import UnknownUserError
from datasets.tables.ids import checked_ids
from datasets.tables.values import format_value
from datasets.texts.safe_text import printable
from recsys.model.items import Where
from recsys.model.live import LiveModel
from recsys.model.user_search import BestUsers
from recsys.ranking.new_songs import level_of_new
from recsys.ranking.ranking import UNMATCHED, source_shares
from recsys.ranking.similarity import Space, unit_by_sources, unit_vectors_of
from recsys.ranking.subject import Subject, find_subject

if TYPE_CHECKING:
    from embedding.audio.source import AudioSource
    from recsys.ranking.subject import ItemOrRecording

EMPTY = "empty"
"""Attribute of an empty audience: why nobody is in it."""

LIKE = "like"
REASON = "reason"
"""Columns of an audience: the played item that is most like the song, and the reason in words."""

_SHOWN = 2
"""Sources that a reason names."""


@dataclass(frozen=True)
class AudienceOptions:
    """How many users an audience has, and who may be in it.

    Raises:
        InvalidArgumentError: a number out of its range, or an invalid or missing id.

    Examples:
        >>> AudienceOptions(k=5, users=["u1", "u2"]).k
        5
        >>> AudienceOptions(k=0)
        Traceback (most recent call last):
        datasets.errors.InvalidArgumentError: k must be a whole number of at least 1, not 0
    """

    k: int = 10
    """How many users."""

    exclude_seen: bool = True
    """Leave out the users who have played the item."""

    exclude: Iterable[str] = ()
    """Ids of users to leave out; kept as a list."""

    users: Iterable[str] | None = None
    """Ids of users to choose from, kept as a list; None for all."""

    where: Where | None = None
    """Columns of the items with the value, or the values, that an item must have which a user has
    played."""

    def __post_init__(self) -> None:
        """Check all options; ids are read once, so that they may come from a generator."""
        check_whole("k", self.k)
        check_flag("exclude_seen", self.exclude_seen)
        object.__setattr__(self, "exclude", checked_ids("exclude (users)", self.exclude))
        if self.users is not None:
            object.__setattr__(self, "users", checked_ids("users", self.users))
        if isinstance(self.where, Mapping):
            read = {
                name: list(values) if isinstance(values, Iterator) else values
                for name, values in self.where.items()
            }
            object.__setattr__(self, "where", read)


def song_audience(
    model: LiveModel,
    item: "ItemOrRecording | None",
    texts: Mapping[str, Any],
    options: AudienceOptions,
    *,
    recording: "AudioSource | None" = None,
    embedding: ArrayLike | None = None,
) -> pd.DataFrame:
    """Find the users who will like a song best; see `Recommender.audience`.

    Args:
        model: the model.
        item: an item's id, or a recording.
        texts: title, artist, album, genre and tags of a song that is no item.
        options: how many users, and who.
        recording: a recording in place of `item`.
        embedding: the embedding of a song that is no item, in place of both.

    Returns:
        The table that `Recommender.audience` describes.

    Raises:
        UnknownItemError: neither an item nor a file.
        UnknownUserError: a user of the options is not in the model.
        AudioError: a recording that cannot be used.
        InvalidArgumentError: options that cannot work, or not exactly one song.

    Examples:
        >>> recommender.save(folder / "model")
        >>> from recsys.model import load_model
        >>> model = load_model(folder / "model")
        >>> found = song_audience(model, "new-1", {}, AudienceOptions(k=3))
        >>> found["rank"].tolist(), found["score"].is_monotonic_decreasing
        ([1, 2, 3], True)
    """
    only, exclude, unmatched = _chosen(model, options)
    subject = find_subject(model, item, recording, embedding, texts)
    if options.exclude_seen and subject.row is not None:
        seen = model.users.who_played(np.array([subject.row]))
        exclude = np.concatenate([exclude, seen])
    found = BestUsers(np.empty(0, np.intp), np.empty(0, np.float32))
    is_new = subject.row is None or bool(model.items.is_cold(np.array([subject.row]))[0])
    if subject.vector.any():
        found = model.user_search.best(
            model.users,
            subject.vector,
            options.k,
            exclude=exclude,
            only=only,
            is_new=is_new,
        )
    if is_new:
        found = found._replace(scores=found.scores + level_of_new(model))
    rows = found.rows
    shares = _shares(model, rows, subject)
    liked = _most_alike(model, rows, subject)
    names = [block.name for block in model.state.blocks]
    frame = pd.DataFrame(
        {
            RANK: np.arange(1, len(rows) + 1),
            USER_ID: model.users.ids_of(rows),
            SCORE: found.scores,
            **{SHARE_PREFIX + name: shares[:, place] for place, name in enumerate(names)},
            LIKE: pd.Series([one.item_id for one in liked], dtype=object),
            REASON: pd.Series(
                [_reason(names, own, one) for own, one in zip(shares, liked, strict=True)],
                dtype=object,
            ),
        }
    )
    if not len(frame):
        frame.attrs[EMPTY] = unmatched or _why_nobody(model, subject, options, exclude)
        if unmatched:
            frame.attrs[UNMATCHED] = unmatched
    return frame


def _chosen(model: LiveModel, options: AudienceOptions) -> tuple[IntArray | None, IntArray, str]:
    """Rows of users to choose from, None for all, and to leave out; which value no item has."""
    only = None if options.users is None else _user_rows(model, options.users)
    exclude = _user_rows(model, options.exclude)
    if options.where is None or options.where == {}:
        return only, exclude, ""
    items = np.setdiff1d(model.items.rows_where(options.where), model.items.retired)
    matching = model.users.who_played(items)
    only = matching if only is None else np.intersect1d(only, matching)
    return only, exclude, "" if len(matching) else model.items.unmatched(options.where)


def _user_rows(model: LiveModel, user_ids: Iterable[str]) -> IntArray:
    ids = list(user_ids)
    rows = model.users.rows(ids)
    if len(unknown := np.flatnonzero(rows < 0)):
        name = ids[int(unknown[0])]
        raise UnknownUserError(
            f"no user {format_value(name)} in the training data{model.users.suggestion(name)}"
        )
    return rows


def _shares(model: LiveModel, rows: IntArray, subject: Subject) -> Float64Array:
    """How much of each user's score each source gave, [users, blocks]."""
    vectors = model.users.vectors(rows)
    # The inner product has the same parts whichever of the two is called the user.
    return source_shares(model.state.blocks, subject.vector, vectors)


@dataclass(frozen=True)
class _Alike:
    """The played item that is most like the song."""

    item_id: str = ""
    name: str = ""
    cosine: float = 0.0
    by: str = ""
    """What they were compared by."""


def _most_alike(model: LiveModel, users: IntArray, subject: Subject) -> list[_Alike]:
    """For each user the played item that is most like the song, by sound where that is known."""
    histories = [model.users.seen(user) for user in users.tolist()]
    owner = np.repeat(np.arange(len(users)), [len(rows) for rows in histories])
    played = np.concatenate([np.empty(0, np.intp), *histories])
    kept = ~np.isin(played, model.items.retired)
    if subject.row is not None:
        kept &= played != subject.row
    owner, played = owner[kept], played[kept]
    found = np.full(len(users), -1, np.intp)
    cosine, by_sound = np.zeros(len(users)), np.zeros(len(users), bool)
    if subject.sound.any():
        by_sound = _nearest(model, "sound", subject.sound, owner, played, found, cosine)
    if any(block.name != "popularity" for block in model.state.blocks):
        own = unit_by_sources(model, "fused", subject.vector[None])[0]
        others = ~by_sound[owner]
        _nearest(model, "fused", own, owner[others], played[others], found, cosine)
    alike = cosine > 0
    rows = found[alike]
    texts = zip(*(model.items.texts(name, rows) for name in (ITEM_ID, TITLE, ARTIST)), strict=True)
    likenesses = iter(
        _Alike(
            str(item_id),
            (f"{title or item_id} by {artist}" if artist else title or item_id),
            min(value, 1.0),
            "sound" if heard else "all sources",
        )
        for (item_id, title, artist), value, heard in zip(
            texts, cosine[alike].tolist(), by_sound[alike].tolist(), strict=True
        )
    )
    return [next(likenesses) if is_alike else _Alike() for is_alike in alike.tolist()]


def _nearest(
    model: LiveModel,
    by: Space,
    song: Float32Array,
    owner: IntArray,
    played: IntArray,
    found: IntArray,
    cosine: Float64Array,
) -> BoolArray:
    """Write the row and the cosine of what each user has played that is nearest to a song.

    Args:
        model: the model.
        by: what items are compared by.
        song: the song's unit vector.
        owner: the user of each play, ascending.
        played: the row of each play.
        found: where the rows are written.
        cosine: where the cosines are written.

    Returns:
        Whose are written: of the others no play has anything to compare.
    """
    rows, place = np.unique(played, return_inverse=True)
    vectors = unit_vectors_of(model, by, rows)
    known = np.asarray(vectors.any(axis=1))[place]
    owner, played, values = owner[known], played[known], (vectors @ song)[place[known]]
    order = np.lexsort((played, -values, owner))
    users, first = np.unique(owner[order], return_index=True)
    found[users], cosine[users] = played[order][first], values[order][first]
    written = np.zeros(len(found), bool)
    written[users] = True
    return written


def _reason(names: Sequence[str], shares: Float64Array, liked: _Alike) -> str:
    """The sources that carry the score, and what was played that is like the song, in words."""
    largest = np.argsort(-shares, kind="stable")[:_SHOWN]
    said = ", ".join(f"{names[place]} {shares[place]:.0%}" for place in largest if shares[place])
    if liked.item_id:
        said += f"; nearest by {liked.by}: {printable(liked.name)} ({liked.cosine:.2f})"
    return said


def _why_nobody(
    model: LiveModel, subject: Subject, options: AudienceOptions, exclude: IntArray
) -> str:
    """Why an audience is empty, in words."""
    if not subject.vector.any():
        return "nothing is known of this song that tells who will like it"
    if not len(model.users):
        return "the model has no users"
    if options.users is not None or options.where:
        return "none of the users to choose from is left"
    if options.exclude_seen and len(np.unique(exclude)) == len(model.users):
        return "every user has played it" if not options.exclude else "no user is left"
    return "nothing is known of the taste of the users who are left"
