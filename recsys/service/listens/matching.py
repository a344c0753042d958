"""Which item a track is that a player names: by MusicBrainz id, by path, by artist and title.

A track is taken for an item where that is certain: one id, one file, or one name. Names that only
nearly agree (accents, guests, punctuation) are taken where a single item has them.
"""

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from datasets.arrays import IntArray
from datasets.columns import ALBUM, ARTIST, ITEM_ID, TITLE
from datasets.system.locks import Order, ThreadLock
from datasets.texts.unicode_forms import composed, folded
from recsys.database import schema
from recsys.database.read_write import batched
from recsys.model.items import ItemTable
from recsys.model.live import LiveModel
from recsys.service.listens.names import LooseName, loose_name, track_key

Hashes = NDArray[np.uint64]

_COLUMNS = frozenset({
    "mbid", "musicbrainzid", "musicbrainzrecordingid", "recordingmbid", "mbrecordingid",
    "musicbrainztrackid", "mbtrackid", "trackmbid", "musicbrainzreleasetrackid",
    "mbreleasetrackid",
})  # fmt: skip
"""Names of columns of MusicBrainz ids of recordings and tracks, letters and digits alone. Picard
calls the id of the recording "MusicBrainz Track Id"."""

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

_LONGEST_PATH, _DEEPEST = 4096, 64
"""Characters and parts of a path that is looked for."""

_MANY_NEW = 5000
"""Rows that are looked at one by one; beyond that their recordings are looked for like all."""


class Track(NamedTuple):
    """A track as a player names it.

    Examples:
        >>> Track("Ana", "Blue").mbids
        ()
    """

    artist: str
    title: str
    album: str = ""
    mbids: tuple[str, ...] = ()
    """MusicBrainz ids of the recording, or of the track on a release, the surest first."""
    path: str = ""
    """Path or file address of the recording, where the player tells it."""


def find_items(
    live: LiveModel, tracks: Sequence[Track], folders: Iterable[Path] = (), *, since: int = 0
) -> list[str | None]:
    """Find the items that tracks are.

    Args:
        live: the model.
        tracks: the tracks.
        folders: folders from which paths of recordings may start.
        since: only items in this row or later ones.

    Returns:
        The id of each track's item, None where none is certain.

    Examples:
        >>> model = recommender.live
        >>> find_items(model, [Track("ARTIST 2", "song 2"), Track("Artist 2", "Another")])
        ['s2', None]
    """
    return _Search(live, tracks, list(folders), since).found()


def mbid_of(text: object) -> str:
    """Return a MusicBrainz id as it is compared; "" for what is none.

    Examples:
        >>> mbid_of(" F4A31F0A-51DD-4FA7-986D-3095C40C5ED9 ")
        'f4a31f0a-51dd-4fa7-986d-3095c40c5ed9'
        >>> mbid_of("s1")
        ''
    """
    found = str(text).strip().lower() if isinstance(text, str) else ""
    return found if _UUID.fullmatch(found) else ""


class _Keys:
    """Hashes of the names and the MusicBrainz ids of rows, extended as rows are added."""

    def __init__(self) -> None:
        self._lock = ThreadLock("the names of items", Order.PART)
        self._count = 0
        self._names = np.empty(0, np.uint64)
        self._loose = np.empty(0, np.uint64)
        self._mbids = np.empty(0, np.uint64)
        self._mbid_rows = np.empty(0, np.intp)

    def up_to(self, items: ItemTable) -> tuple[Hashes, Hashes, Hashes, IntArray]:
        """Return the hashes of a table's rows: names, loose names, ids, and the rows of these."""
        count = len(items)
        with self._lock.held("reading names of items"):
            if count > self._count:
                self._extend(items, np.arange(self._count, count))
            n_ids = int(np.searchsorted(self._mbid_rows, count))
            return (
                self._names[:count], self._loose[:count],
                self._mbids[:n_ids], self._mbid_rows[:n_ids],
            )  # fmt: skip

    def _extend(self, items: ItemTable, rows: IntArray) -> None:
        texts = (items.texts(name, rows).tolist() for name in (ARTIST, TITLE))
        names, loose = [], []
        for artist, title in zip(*texts, strict=True):
            names.append(_hash(track_key(artist, title)) if artist.strip() and title.strip() else 0)
            loose.append(_loose_hash(loose_name(artist, title)) if names[-1] else 0)
        columns = [name for name in items.columns if _is_of_mbids(name)]
        ids, places = [], []
        for place, own in enumerate(
            zip(*(items.texts(name, rows).tolist() for name in (ITEM_ID, *columns)), strict=True)
        ):
            for mbid in dict.fromkeys(chain.from_iterable(map(_mbids_in, own))):
                ids.append(_hash(mbid))
                places.append(int(rows[place]))
        self._names = np.append(self._names, np.array(names, np.uint64))
        self._loose = np.append(self._loose, np.array(loose, np.uint64))
        self._mbids = np.append(self._mbids, np.array(ids, np.uint64))
        self._mbid_rows = np.append(self._mbid_rows, np.array(places, np.intp))
        self._count += len(rows)

    def first(self, count: int) -> "_Keys":
        """Return the hashes of the first rows alone."""
        other = _Keys()
        with self._lock.held("taking the first rows"):
            other._count = min(count, self._count)
            other._names, other._loose = self._names[:count], self._loose[:count]
            n_ids = int(np.searchsorted(self._mbid_rows, count))
            other._mbids, other._mbid_rows = self._mbids[:n_ids], self._mbid_rows[:n_ids]
        return other


class _Search:
    """One search for the items of several tracks."""

    def __init__(
        self, live: LiveModel, tracks: Sequence[Track], folders: Sequence[Path], since: int
    ) -> None:
        self._live = live
        self._items = live.items
        self._tracks = tracks
        self._since = since
        self._folders = list(dict.fromkeys(map(str, folders)))
        self._loose = [loose_name(one.artist, one.title) for one in tracks]
        self._ids: dict[int, str] = {}
        """Items by row, of those that may be one of the tracks."""

    def found(self) -> list[str | None]:
        """The id of each track's item."""
        keys = self._items.cached("names of tracks", _Keys)
        names, loose, mbids, mbid_rows = keys.up_to(self._items)
        tracks = self._tracks
        asked = [[_hash(one) for one in track.mbids] for track in tracks]
        by_mbid = self._rows_of(mbids, chain.from_iterable(asked), mbid_rows)
        by_name = self._rows_of(names, (_hash(track_key(t.artist, t.title)) for t in tracks))
        by_loose = self._rows_of(loose, map(_loose_hash, self._loose))
        by_path = self._rows_by_path()
        self._look_up(
            chain.from_iterable(
                chain.from_iterable(one.values() for one in (by_mbid, by_name, by_loose, by_path))
            )
        )
        return [
            next((item for one in own if (item := self._best(by_mbid.get(one, ()), track))), None)
            or self._by_path(number, by_path)
            or self._best(by_name.get(_hash(track_key(track.artist, track.title)), ()), track)
            or self._nearly(number, by_loose)
            for number, (track, own) in enumerate(zip(tracks, asked, strict=True))
        ]

    def _rows_of(
        self, hashes: Hashes, wanted: Iterable[int], rows: IntArray | None = None
    ) -> dict[int, list[int]]:
        """The rows with each of the wanted hashes."""
        asked = np.unique(np.fromiter(wanted, np.uint64))
        start = self._since if rows is None else int(np.searchsorted(rows, self._since))
        places = np.flatnonzero(np.isin(hashes[start:], asked)) + start
        found: dict[int, list[int]] = defaultdict(list)
        for place, own in zip(places.tolist(), hashes[places].tolist(), strict=True):
            found[own].append(place if rows is None else int(rows[place]))
        return found

    def _look_up(self, rows: Iterable[int]) -> None:
        """Read the ids of some rows, but of those in which an item is no more."""
        at = np.unique(np.fromiter(rows, np.intp))
        if not len(at):
            return
        ids = self._items.ids(at).tolist()
        now = self._items.rows_or_none(ids).tolist()
        self._ids = {
            row: str(item_id)
            for row, item_id, where in zip(at.tolist(), ids, now, strict=True)
            if row == where
        }

    def _best(self, rows: Sequence[int], track: Track) -> str | None:
        """The item among rows that all may be it: of this album, or else with most listeners."""
        there = [row for row in rows if row in self._ids]
        if len(there) > 1:
            at = np.array(there, np.intp)
            albums = [folded(one) for one in self._items.texts(ALBUM, at).tolist()]
            counts = self._items.user_counts[at].tolist()
            wanted = folded(track.album)
            best = min(
                range(len(there)),
                key=lambda n: (not wanted or albums[n] != wanted, -counts[n], there[n]),
            )
            return self._ids[there[best]]
        return self._ids[there[0]] if there else None

    def _nearly(self, number: int, by_loose: dict[int, list[int]]) -> str | None:
        """The one item whose name only nearly agrees; None where there are several."""
        own = self._loose[number]
        there = [
            row
            for row in by_loose.get(_loose_hash(own), ())
            if row in self._ids and own.may_be(self._loose_of(row))
        ]
        same = [row for row in there if self._loose_of(row).guests == own.guests]
        chosen = same if len(same) == 1 else there
        return self._ids[chosen[0]] if len(chosen) == 1 else None

    def _loose_of(self, row: int) -> LooseName:
        at = np.array([row])
        return loose_name(*(str(self._items.texts(name, at)[0]) for name in (ARTIST, TITLE)))

    # ------------------------------------------------------------------ by path

    def _rows_by_path(self) -> dict[str, list[int]]:
        """The rows of items with a recording at each of the paths that tracks may mean."""
        wanted = {
            form
            for track in self._tracks
            if track.path
            for form, _ in path_forms(track.path, self._folders)
        }
        found: dict[str, list[str]] = defaultdict(list)
        if not wanted:
            return {}
        recordings = schema.recordings
        new = len(self._items) - self._since
        with self._live.catalog.transaction() as connection:
            if self._since and new <= _MANY_NEW:
                ids = self._items.ids(np.arange(self._since, len(self._items))).tolist()
                column, pages = recordings.c.item_id, batched(list(dict.fromkeys(ids)))
            else:
                column, pages = recordings.c.path, batched(sorted(wanted))
            for page in pages:
                query = select(recordings.c.path, recordings.c.item_id).where(column.in_(page))
                for path, item_id in connection.execute(query):
                    if path in wanted:
                        found[path].append(item_id)
        rows = {path: self._items.rows_or_none(sorted({*ids})) for path, ids in found.items()}
        return {path: own[own >= 0].tolist() for path, own in rows.items()}

    def _by_path(self, number: int, by_path: dict[str, list[int]]) -> str | None:
        track = self._tracks[number]
        if not by_path or not track.path:
            return None
        for form, is_whole in path_forms(track.path, self._folders):
            rows = by_path.get(form, [])
            if not is_whole:  # the end of a path may be that of another library's file
                stem = loose_name("", PurePosixPath(form).stem).title  # a title where none is told
                agreeing = ("", stem, self._loose[number].title)
                rows = [row for row in rows if self._loose_of(row).title in agreeing]
            if found := self._best(rows, track):
                return found
        return None


def path_forms(text: str, folders: Sequence[str] = ()) -> list[tuple[str, bool]]:
    """Return the paths that a recording may have in the song database, the surest first.

    Args:
        text: a path, absolute or not, or an address ``file:///...``.
        folders: folders from which paths may start.

    Returns:
        Paths, each with whether it is the whole of what is known, and not its end alone.

    Examples:
        >>> path_forms("/music/a/b.mp3")[:3]
        [('/music/a/b.mp3', True), ('music/a/b.mp3', False), ('a/b.mp3', False)]
        >>> path_forms("/music/b.mp3", ["/music"])[1]
        ('b.mp3', True)
        >>> path_forms("file:///music/a%20b.mp3")[0], path_forms("https://example.org/b.mp3")
        (('/music/a b.mp3', True), [])
    """
    if len(text) > _LONGEST_PATH or "\0" in text:
        return []
    if text.lower().startswith("file:"):
        try:
            text = unquote(urlsplit(text).path)
        except ValueError:
            return []
    elif "://" in text:
        return []
    path = text.replace("\\", "/")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts or ".." in parts or len(parts) > _DEEPEST:
        return []
    whole = ("/" if path.startswith("/") else "") + "/".join(parts)
    forms = {whole: True}
    for folder in folders:
        start = folder.rstrip("/") + "/"
        if whole.startswith(start):
            forms.setdefault(whole[len(start) :], True)
        elif not whole.startswith("/"):
            forms.setdefault(start + whole, True)
    for place in range(len(parts) - 1):
        forms.setdefault("/".join(parts[place:]), False)
    spelt: dict[str, bool] = {}
    for form, is_whole in forms.items():
        for one in (form, composed(form), unicodedata.normalize("NFD", form)):
            spelt.setdefault(one, is_whole)
    return list(spelt.items())


def _is_of_mbids(column: str) -> bool:
    return re.sub(r"[\W_]", "", column).lower() in _COLUMNS


def _mbids_in(text: str) -> list[str]:
    """The MusicBrainz ids in a text; several may be joined."""
    if len(text) < 36:
        return []
    return _UUID.findall(text.lower()) if len(text) < 1000 else []


def _hash(text: str) -> int:
    """A hash of a text that is never 0, which stands for no text."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") or 1


def _loose_hash(name: LooseName) -> int:
    return _hash(f"{name.artist}\n{name.title}")
