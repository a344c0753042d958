"""What the pages show, read from one state of the model."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from datasets.columns import ARTIST, GENRE, ITEM_ID, TITLE, USER_ID
from datasets.errors import InvalidArgumentError, UnknownUserError
from recsys.content.familiarity import DOUBTED
from recsys.database.read_write import read_songs_of
from recsys.model.live import LiveModel
from recsys.ranking.audience import EMPTY, AudienceOptions, song_audience
from recsys.ranking.explanation import Explanation, explain
from recsys.ranking.options import ListOptions
from recsys.ranking.ranking import (
    FALLBACK,
    find_candidates,
    recommend_for_users,
    user_list,
)
from recsys.ranking.similar import similar_items
from recsys.ranking.similarity import Space
from recsys.service.bodies.answers import items_of, known_item, notes_of, rows_of
from recsys.service.bodies.recordings import playable_items
from recsys.service.problems import Problem
from recsys.service.requests.context import ServiceContext

SOURCE_TITLES: Mapping[str, tuple[str, str]] = {
    "als": ("Taste", "who else plays it"),
    "ease": ("Company", "what it is played together with"),
    "fm": ("Taste and traits", "who plays it, and what it is like"),
    "content": ("Sound", "what it sounds like"),
    "popularity": ("Popularity", "how many play it"),
}
"""What the sources are called for people, and what they go by."""

_SHOWN = 8
"""Listeners and songs that a page names without being asked."""

_LONG_LIST = 50
"""Places of a listener's list that are looked at for a song."""

_MOST_SEARCHED = 200_000
"""Users up to which parts of their ids are searched."""


def key_of(text: str) -> str:
    """Return a short name for an id that may hold any character.

    Examples:
        >>> key_of("a b") == key_of("a b"), key_of("a b") == key_of("a c"), key_of("s").isalnum()
        (True, False, True)
    """
    return "x" + hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]


class Contents:
    """Reads what pages show from one state of the model.

    Args:
        context: what the application shares.
        live: the model.
    """

    def __init__(self, context: ServiceContext, live: LiveModel) -> None:
        self.context = context
        self.live = live

    # ------------------------------------------------------------------ songs

    def songs(self, item_ids: Iterable[str]) -> list[dict[str, Any]]:
        """Return songs by their ids, as cards show them."""
        ids = list(item_ids)
        rows = self.live.items.rows(ids)
        table = items_of(self.live.items.describe(rows))
        for row, is_new in zip(table, self.live.items.is_cold(rows).tolist(), strict=True):
            row["new"] = bool(is_new)
        return self._cards(table)

    def _cards(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        playable = playable_items(self.context, self.live, [row[ITEM_ID] for row in rows])
        for row in rows:
            item_id = row[ITEM_ID]
            row["key"] = key_of(item_id)
            row["name"] = row.get(TITLE) or item_id
            row["artist"] = row.get(ARTIST, "")
            row["genre"] = row.get(GENRE, "")
            row["new"] = bool(row.get("new", row.get("cold", False)))
            row["playable"] = item_id in playable
            row["audio"] = f"/v1/items/{quote(item_id, safe='')}/audio"
        return rows

    def item(self, item_id: str) -> str:
        """Return the id of a song as the model spells it; a problem (404) if there is none."""
        return known_item(self.live, item_id)

    def known(self, item_ids: Iterable[str]) -> list[str]:
        """Return those of some songs that are there, each once."""
        ids = list(dict.fromkeys(item_ids))
        rows = self.live.items.rows_or_none(ids)
        return [one for one, row in zip(ids, rows.tolist(), strict=True) if row >= 0]

    # ------------------------------------------------------------------ beginning

    def beginning(self) -> dict[str, Any]:
        """Return what the first page shows: the size of the model, listeners, new songs."""
        users, items = self.live.users, self.live.items
        count = len(users)
        rows = np.unique(np.linspace(0, max(count - 1, 0), num=min(_SHOWN, count)).astype(np.intp))
        new = items.new[::-1][:6]
        return {
            "counts": self.live.counts(),
            "listeners": [str(one) for one in users.ids_of(rows)] if count else [],
            "new_songs": self.songs(str(one) for one in items.ids(new)),
            "n_new": len(items.new),
            "hears": self.live.state.encoder is not None,
        }

    def search(self, text: str) -> dict[str, Any]:
        """Return listeners and songs that a text names."""
        items = self.live.items
        named = items.rows_named(text)
        others = items.rows_mentioning(text) if len(named) < _SHOWN else named
        rows = list(dict.fromkeys([*named.tolist(), *others.tolist()]))
        ids = [str(one) for one in items.ids(np.array(rows[:_SHOWN], np.intp))]
        return {
            "text": text,
            "users": self._users_called(text),
            "songs": self.songs(ids),
            "n_songs": len(rows),
        }

    def _users_called(self, text: str) -> list[str]:
        users = self.live.users
        found = [text] if users.row(text) is not None else []
        if len(users) <= _MOST_SEARCHED:
            folded = text.casefold()
            ids = (str(one) for one in users.ids)
            parts = [one for one in ids if folded in one.casefold()]
            parts.sort(key=lambda one: (not one.casefold().startswith(folded), len(one), one))
            found += parts
        return list(dict.fromkeys(found))[:5]

    # ------------------------------------------------------------------ lists

    def recommended(
        self, user_id: str | None, history: list[str], discovery: float | None, k: int, mark: str
    ) -> dict[str, Any]:
        """Return a list for a listener or a history, with each source's share."""
        plays = None if user_id is not None else dict.fromkeys(history, 1.0)
        options = ListOptions(k=k, discovery=discovery)
        found = user_list(self.live, user_id, plays, options)
        rows = self._cards(rows_of(self.live, found))
        for row in rows:
            row["parts"] = shown_shares(row.get("shares") or {})
            row["marked"] = row[ITEM_ID] == mark
        return {
            "rows": rows,
            "n_new": sum(row["new"] for row in rows),
            "fallback": found.attrs.get(FALLBACK),
            "notes": notes_of(found.attrs, but=(FALLBACK,)),
            "k": k,
            "more": min(2 * k, 100, self.context.settings.max_k) if len(rows) == k else k,
        }

    def played(self, user_id: str) -> dict[str, Any]:
        """Return what a listener plays: the songs played most, and kinds of music."""
        row = self.live.users.row(user_id)
        if row is None:
            return {"n": 0, "songs": [], "genres": []}
        rows, plays = self.live.users.history(row)
        most = rows[np.argsort(-plays, kind="stable")]
        ids = [str(one) for one in self.live.items.ids(most[:_SHOWN])]
        genres = pd.Series(self.live.items.texts(GENRE, rows), dtype=object)
        counts = genres[genres != ""].value_counts()
        return {
            "n": len(rows),
            "songs": self.songs(ids),
            "genres": [(str(name), int(n) / len(rows)) for name, n in counts.head(4).items()],
        }

    def default_discovery(self) -> float:
        """Return the share of accuracy that lists may lose as the model was fitted."""
        return float(self.live.state.config.fusion.discovery)

    def to_choose_from(self, chosen: list[str], page: int) -> list[dict[str, Any]]:
        """Return songs that somebody new may like: popular, of different artists and kinds."""
        taken, size = set(chosen), 12
        options = ListOptions(
            k=size * (page + 1) + len(taken), per_artist=1, diversity=0.4, exclude_seen=False
        )
        nobody = "nobody"
        while self.live.users.row(nobody) is not None:
            nobody += "?"
        rows = user_list(self.live, nobody, None, options).rows
        ids = [str(one) for one in self.live.items.ids(rows)]
        return self.songs(ids[size * page : size * (page + 1)] or ids[-size:])

    def why(self, user_id: str | None, history: list[str], item_id: str) -> dict[str, Any]:
        """Return why a song has its place in a list."""
        plays = None if user_id is not None else dict.fromkeys(history, 1.0)
        try:
            found = explain(self.live, user_id, self.item(item_id), plays, 3)
        except UnknownUserError as error:
            raise Problem(404, "unknown-user", str(error), user_id=user_id) from None
        return {
            "why": found,
            "parts": shown_shares(found.shares),
            "near": self._near(found),
            "common": [one for one in found.common if one.column != ARTIST][:4],
        }

    def _near(self, found: Explanation) -> list[dict[str, Any]]:
        groups = []
        for title, near in (
            ("Played, and liked by the same people", found.taste),
            ("Played, and sounds like it", found.sound),
        ):
            close = [one for one in near if one.cosine > 0]
            songs = self.songs(one.item_id for one in close)
            for song, one in zip(songs, close, strict=True):
                song["cosine"] = one.cosine
            if songs:
                groups.append({"title": title, "songs": songs})
        return groups

    # ------------------------------------------------------------------ one song

    def song(self, item_id: str, by: Space) -> dict[str, Any]:
        """Return all that a page says of one song."""
        item_id = self.item(item_id)
        row = self.live.items.row(item_id)
        at = np.array([row])
        (card,) = self.songs([item_id])
        familiarity = float(self.live.items.familiarity(at)[0])
        scores: Mapping[str, Mapping[str, float]] = {}
        with self.live.catalog.transaction() as connection:
            for song in read_songs_of(connection, [item_id]):
                scores = song.scores or {}
        return {
            "song": card,
            "album": str(self.live.items.describe(at).iloc[0]["album"]),
            "tags": self.live.items.tags(row),
            "listeners": int(self.live.items.user_counts[row]),
            "heard": bool(self.live.items.has_embedding(at)[0]),
            "sounds": sounds_like(scores),
            "familiarity": None if np.isnan(familiarity) else familiarity,
            "is_unlike": familiarity < DOUBTED,
            **self.near(item_id, by),
            **self.audience(item_id),
        }

    def near(self, item_id: str, by: Space) -> dict[str, Any]:
        """Return the nearest songs, or why there are none."""
        item_id, why_not, songs = self.item(item_id), "", []
        try:
            songs = self._cards(items_of(similar_items(self.live, item_id, 6, by)))
        except InvalidArgumentError as error:
            why_not = str(error)
        return {"item_id": item_id, "near": songs, "near_by": by, "near_why_not": why_not}

    def audience(self, item_id: str) -> dict[str, Any]:
        """Return who will like a song best, and where it stands in their lists."""
        options = AudienceOptions(_SHOWN)
        frame = song_audience(self.live, item_id, {}, options)
        users = items_of(frame)
        places: dict[str, int] = {}
        if users:
            ids = np.array([row[USER_ID] for row in users], object)
            long = ListOptions(k=_LONG_LIST)
            lists = recommend_for_users(self.live, ids, find_candidates(self.live, long), long)
            own = lists[lists[ITEM_ID] == item_id]
            places = dict(zip(own[USER_ID].tolist(), own["rank"].astype(int).tolist(), strict=True))
        for row in users:
            row["place"] = places.get(row[USER_ID])
            row["parts"] = shown_shares(row.get("shares") or {})
        liked = list(dict.fromkeys(row["like"] for row in users if row.get("like")))
        names = {one[ITEM_ID]: one for one in self.songs(self.known(liked))}
        for row in users:
            row["liked"] = names.get(row.get("like"))
        return {"users": users, "nobody": frame.attrs.get(EMPTY)}


def shown_shares(shares: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return shares of sources for a bar: largest first, with where each begins.

    Examples:
        >>> [(one["name"], one["start"]) for one in shown_shares({"content": 0.25, "als": 0.75})]
        [('Taste', 0.0), ('Sound', 75.0)]
    """
    known = {name: share for name, share in shares.items() if share == share and share > 0}
    parts, start = [], 0.0
    for name, share in sorted(known.items(), key=lambda one: -one[1]):
        title, what = SOURCE_TITLES.get(name, (name, ""))
        width = 100 * share
        parts.append({
            "source": name if name in SOURCE_TITLES else "other", "name": title, "what": what,
            "share": share, "start": round(start, 2), "width": round(width, 2),
        })  # fmt: skip
        start += width
    return parts


def sounds_like(scores: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Return what a song sounds like: the tag that is its genre first, then others.

    Examples:
        >>> found = sounds_like({"genre": {"jazz": 0.9, "rock": 0.1}, "mood": {"calm": 1.0}})
        >>> found["best"], found["share"], [tag["name"] for tag in found["tags"]]
        ('jazz', 0.9, ['genre', 'mood'])
    """
    tags = []
    for name in sorted(scores, key=lambda tag: (tag != GENRE, tag)):
        values = sorted(scores[name].items(), key=lambda one: -one[1])[:3]
        if values:
            tags.append({"name": name, "values": values})
    best, share = tags[0]["values"][0] if tags else ("", None)
    return {"best": best, "share": share, "tags": tags}
