"""The routes of OpenSubsonic that players need to ask for similar songs, and to report plays.

The extension ``sonicSimilarity`` has two: the songs most like one, and a way from one song to
another. What "like" means is the model's: sound and taste together, or one of them by the parameter
``by``, which is not of the specification.

Of the keys of this service only digests are stored, with which md5(key + salt) cannot be checked: a
key is sent as ``apiKey``, or as the password of any user name; tokens and salts are refused with
the error that OpenSubsonic has for it.
"""

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import cached_property
from typing import Any, get_args

import numpy as np
from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from datasets.columns import ALBUM, ARTIST, GENRE, ITEM_ID, TITLE
from datasets.errors import ColdtuneError, InvalidArgumentError, UnknownItemError
from datasets.tables.ids import checked_id
from datasets.texts.safe_text import printable
from datasets.versions import package_versions
from recsys.model.live import LiveModel
from recsys.playlists.files import RecordingFiles
from recsys.playlists.playlist import PlaylistOptions, make_playlist
from recsys.ranking.similar import similar_items
from recsys.ranking.similarity import Space, unit_vectors
from recsys.service.bodies.answers import ids_of, known_item
from recsys.service.bodies.recordings import MEDIA_TYPES
from recsys.service.bodies.schemas import LONGEST_ID
from recsys.service.listens.matching import Track, mbid_of
from recsys.service.listens.unmatched import Listen
from recsys.service.players.subsonic_answers import (
    SubsonicError,
    is_callback,
    subsonic_document,
    write_answer,
)
from recsys.service.problems import Problem, log_error, problem_of
from recsys.service.requests.access import check_access, check_origin
from recsys.service.requests.context import ServiceContext, context_of
from recsys.service.requests.keys import Key
from recsys.service.routes.media import item_audio, item_picture

SUBSONIC = APIRouter(include_in_schema=False)

EXTENSIONS = {"apiKeyAuthentication": 1, "formPost": 1, "sonicSimilarity": 1}
"""The extensions that `getOpenSubsonicExtensions` tells of, with their versions."""

_MISSING, _CLIENT_OLD, _SERVER_OLD, _WRONG_PASSWORD, _NO_TOKENS = 10, 20, 30, 40, 41
_CONFLICT, _WRONG_KEY, _NOT_ALLOWED, _NOT_FOUND = 43, 44, 50, 70

_FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 2000
_MOST_SCROBBLES = 1000
_LATEST = 3600
"""Seconds by which a player's clock may be fast."""
_FIRST = 1_033_410_600
"""2002-10-01, when scrobbling began."""

Members = dict[str, Any] | Response
"""What a method answers: members of the answer, or a recording or a picture."""


class _Call:
    """One request: its parameters, its user, and what methods need to answer it."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.context: ServiceContext = context_of(request)
        self.given: list[tuple[str, str]] = list(request.query_params.multi_items())
        self.key: Key | None = None
        self.user = ""
        """Who listens: the name that the player gives, or that of the key; "" if nobody says."""

    async def read_form(self) -> None:
        """Add the parameters of a posted form."""
        kind = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if self.request.method != "POST" or kind != _FORM:
            return
        try:
            form = await self.request.form(max_fields=_MOST_FIELDS)
        except Problem:
            raise
        except (HTTPException, ValueError, LookupError):
            raise SubsonicError(0, "the form cannot be read") from None
        self.given += [(name, one) for name, one in form.multi_items() if isinstance(one, str)]

    def all(self, name: str) -> list[str]:
        """All values of a parameter."""
        return [value for one, value in self.given if one == name]

    def get(self, name: str, default: str = "") -> str:
        """The value of a parameter; the default where it is not given or empty."""
        return next((value for value in self.all(name) if value), default)

    def need(self, name: str) -> str:
        """The value of a parameter that has to be given.

        Raises:
            SubsonicError: it is not.
        """
        if found := self.get(name):
            return found
        raise SubsonicError(_MISSING, f"Required parameter is missing: {name}")

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number among the parameters; more than the most there may be is that."""
        text = self.get(name)
        if not text:
            return min(default, most)
        if not text.isascii() or not text.removeprefix("-").isdecimal() or len(text) > 18:
            raise SubsonicError(0, f"{name} must be a whole number")
        if int(text) < least:
            raise SubsonicError(0, f"{name} must be at least {least}")
        return min(int(text), most)

    def space(self) -> Space:
        """What songs are compared by."""
        by = self.get("by", "fused")
        for one in get_args(Space):
            if by == one:
                return one
        raise SubsonicError(0, f"by must be one of {', '.join(get_args(Space))}")

    @cached_property
    def form(self) -> str:
        """In which form the answer is wanted."""
        form = self.get("f", "xml").lower()
        if form not in ("xml", "json", "jsonp"):
            return "xml"
        if form == "jsonp" and not is_callback(self.get("callback")):
            return "json"
        return form

    def check_form(self) -> None:
        """Raise an error for a form that is not known, or a function that JSONP cannot call."""
        form = self.get("f", "xml").lower()
        if form not in ("xml", "json", "jsonp"):
            raise SubsonicError(0, "f must be xml, json or jsonp")
        if form == "jsonp":
            self.need("callback")
            if not is_callback(self.get("callback")):
                raise SubsonicError(0, "callback must be the name of a function")

    # ------------------------------------------------------------------ who asks

    def check_origin(self) -> None:
        """Refuse what a page of another origin makes a browser ask; `access.check_origin` says why.

        Every method may be asked with GET, so that a browser asks without an origin, too.
        """
        check_origin(self.request)
        where = self.request.headers.get("sec-fetch-site", "none")
        origin = self.request.headers.get("origin")
        is_named = origin is not None and origin in self.context.settings.origins
        if self.context.keys is None and where in ("cross-site", "same-site") and not is_named:
            raise SubsonicError(_NOT_ALLOWED, "pages of another origin may not ask this")

    def authenticate(self) -> None:
        """Find out who asks.

        Raises:
            SubsonicError: nobody who is known, or in a way that is not possible.
        """
        key, user, password = self.get("apiKey"), self.get("u"), self.get("p")
        token, salt = self.get("t"), self.get("s")
        if len(set(filter(None, self.all("apiKey")))) > 1 or (
            key and (user or password or token or salt)
        ):
            raise SubsonicError(
                _CONFLICT, "Multiple conflicting authentication mechanisms provided"
            )
        if password and token:
            raise SubsonicError(
                _CONFLICT, "Multiple conflicting authentication mechanisms provided"
            )
        self.user = user
        if self.context.keys is None:
            return
        header = self.request.headers.get("authorization", "").split(" ", 1)
        if not (key or user or password or token) and header[0].lower() == "bearer":
            key = header[-1].strip()
        if key:
            self.key = self._identify(key, _WRONG_KEY, "Invalid API key")
            self.user = self.key.name
        elif token or salt:
            raise SubsonicError(
                _NO_TOKENS,
                "Token authentication is not possible here: only digests of keys are stored. Send "
                "the key as apiKey, or as the password (plain or enc:, legacy authentication)",
            )
        else:
            self.need("u")
            given = _plain_password(self.need("p"))
            self.key = self._identify(given, _WRONG_PASSWORD, "Wrong username or password")

    def _identify(self, token: str, code: int, message: str) -> Key:
        try:
            key = check_access(self.request, "read", token)
        except Problem as error:
            if error.status_code != 401:
                raise
            raise SubsonicError(code, message) from None
        assert key is not None
        return key

    def need_write(self) -> None:
        """Raise an error unless the key allows to change the model."""
        if self.key is not None and not self.key.allows("write"):
            raise SubsonicError(
                _NOT_ALLOWED, f"User is not authorized: the role of key {self.key.name!r} is read"
            )

    # ------------------------------------------------------------------ songs

    def songs(self, live: LiveModel, item_ids: list[str]) -> list[dict[str, Any]]:
        """Items as the API describes songs (``Child``)."""
        rows = live.items.rows(item_ids)
        texts = live.items.describe(rows)
        files = RecordingFiles(live.catalog)
        files.look_up(item_ids)
        return [
            _child(values, live.items.tags(row), files)
            for row, values in zip(rows.tolist(), texts.to_dict("records"), strict=True)
        ]

    def known(self, live: LiveModel, name: str = "id") -> str:
        """The item that a parameter names.

        Raises:
            SubsonicError: it is missing, or there is no such item.
        """
        given = self.need(name)
        try:
            return known_item(live, _checked(name, given))
        except Problem:
            raise SubsonicError(_NOT_FOUND, f"{name}: no song {printable(given)[:100]!r}") from None


SubsonicMethod = Callable[[_Call], Awaitable[Members]]

_METHODS: dict[str, SubsonicMethod] = {}


def _method(name: str) -> Callable[[SubsonicMethod], SubsonicMethod]:
    """Answer a method of the API by the function."""

    def register(function: SubsonicMethod) -> SubsonicMethod:
        _METHODS[name] = function

        async def answer_method(request: Request) -> Response:
            return await _answer(request, name, function)

        for path in (f"/rest/{name}", f"/rest/{name}.view"):
            SUBSONIC.add_api_route(path, answer_method, methods=["GET", "POST"], name=name)
        return function

    return register


async def _answer(request: Request, name: str, function: SubsonicMethod) -> Response:
    call = _Call(request)
    members: Members
    try:
        await call.read_form()
        call.check_form()
        call.check_origin()
        if name not in _FOR_EVERYBODY:
            call.authenticate()
            _check_version(call.get("v"))
        members = await function(call)
    except SubsonicError as error:
        return _write(call, {}, error)
    except (Problem, ColdtuneError) as error:
        return _write(call, {}, _as_subsonic(call, error))
    return members if isinstance(members, Response) else _write(call, members)


def _write(call: _Call, members: dict[str, Any], error: SubsonicError | None = None) -> Response:
    version = package_versions(["coldtune"]).get("coldtune", "unknown")
    return write_answer(
        subsonic_document(version, members, error),
        call.form,
        call.get("callback"),
        200 if error is None else error.status,
    )


def _as_subsonic(call: _Call, error: Exception) -> SubsonicError:
    problem = problem_of(error, call.context.scrubber)
    log_error(error, str(call.request.state.request_id), problem)
    status = problem.status_code
    code = {401: _WRONG_PASSWORD, 403: _NOT_ALLOWED, 404: _NOT_FOUND}.get(status, 0)
    keeps_its_status = status >= 500 or status in (408, 413, 416)
    return SubsonicError(code, problem.detail, status if keeps_its_status else 200)


def _check_version(text: str) -> None:
    """Check the version of the API that a player speaks, where it tells one."""
    parts = text.split(".")[:3]
    if not text or not all(part.isascii() and part.isdecimal() for part in parts) or len(text) > 20:
        return
    numbers = [int(part) for part in parts]
    if numbers[0] < 1:
        raise SubsonicError(
            _CLIENT_OLD, "Incompatible Subsonic REST protocol version. Client must upgrade"
        )
    if numbers[0] > 1:
        raise SubsonicError(
            _SERVER_OLD, "Incompatible Subsonic REST protocol version. Server must upgrade"
        )


def _plain_password(text: str) -> str:
    """A password as it is; it may come as "enc:" and its bytes in hexadecimal."""
    if not text.startswith("enc:"):
        return text
    try:
        return bytes.fromhex(text[4:]).decode("utf-8")
    except ValueError:
        raise SubsonicError(_WRONG_PASSWORD, "Wrong username or password") from None


def _checked(name: str, given: str) -> str:
    try:
        found = checked_id(name, given)
    except ColdtuneError as error:
        raise SubsonicError(0, str(error)) from None
    if len(found) > LONGEST_ID:
        raise SubsonicError(0, f"{name} has more than {LONGEST_ID} characters")
    return found


def _child(texts: dict[Any, Any], tags: dict[str, str], files: RecordingFiles) -> dict[str, Any]:
    item_id = str(texts[ITEM_ID])
    title = str(texts[TITLE]) or item_id
    child: dict[str, Any] = {
        "id": item_id,
        "isDir": False,
        "title": title,
        "type": "music",
        "mediaType": "song",
        "isVideo": False,
    }
    for name in (ALBUM, ARTIST, GENRE):
        if text := str(texts[name]):
            child[name] = text
    if artist := child.get("artist"):
        child["displayArtist"] = artist
    if genre := child.get("genre"):
        child["genres"] = [{"name": genre}]
    for name in ("year", "bpm"):
        number = tags.get(name, "").partition(".")[0]
        if number.isascii() and number.isdecimal() and len(number) < 6:
            child[name] = int(number)
    if mbid := next((one for name in tags if (one := mbid_of(tags[name]))), ""):
        child["musicBrainzId"] = mbid
    if stored := files.stored(item_id):
        suffix = stored[0].path.suffix.lower()
        child["coverArt"] = item_id
        if suffix in MEDIA_TYPES:
            child |= {"suffix": suffix[1:], "contentType": MEDIA_TYPES[suffix]}
    return child


# ---------------------------------------------------------------------- the system


@_method("ping")
async def _ping(call: _Call) -> Members:
    return {}


@_method("getLicense")
async def _license(call: _Call) -> Members:
    return {"license": {"valid": True}}


@_method("getOpenSubsonicExtensions")
async def _extensions(call: _Call) -> Members:
    found = [{"name": name, "versions": [number]} for name, number in EXTENSIONS.items()]
    return {"openSubsonicExtensions": found}


_FOR_EVERYBODY = frozenset({"getOpenSubsonicExtensions"})
"""Methods that are answered without a key."""


@_method("tokenInfo")
async def _token_info(call: _Call) -> Members:
    return {"tokenInfo": {"username": call.user}}


@_method("getUser")
async def _user(call: _Call) -> Members:
    can_write = call.key is None or call.key.allows("write")
    off = ("adminRole", "settingsRole", "uploadRole", "playlistRole", "coverArtRole",
           "commentRole", "podcastRole", "jukeboxRole", "shareRole",
           "videoConversionRole")  # fmt: skip
    can_play = bool(call.context.settings.playable_folders)
    return {
        "user": {
            "username": call.get("username", call.user),
            "scrobblingEnabled": can_write,
            "downloadRole": can_play,
            "streamRole": can_play,
            **dict.fromkeys(off, False),
        }
    }


@_method("getMusicFolders")
async def _music_folders(call: _Call) -> Members:
    return {"musicFolders": {"musicFolder": [{"id": 1, "name": "Music"}]}}


# ---------------------------------------------------------------------- songs


@_method("getSong")
async def _song(call: _Call) -> Members:
    return await call.context.ask(lambda live: {"song": call.songs(live, [call.known(live)])[0]})


async def _search(call: _Call, name: str) -> Members:
    """Songs by words; an empty query, or one of two quotation marks, is all songs."""
    most = call.context.settings.max_k
    count = call.number("songCount", 20, 0, most)
    start = call.number("songOffset", 0, 0, 10**9)
    if not call.all("query"):
        raise SubsonicError(_MISSING, "Required parameter is missing: query")
    query = " ".join(word.strip('"*') for word in call.get("query").split()).strip()
    if len(query) > 500:
        raise SubsonicError(0, "query has more than 500 characters")

    def search(live: LiveModel) -> Members:
        items = live.items
        if query:
            named = items.rows_named(query).tolist()
            rows = list(dict.fromkeys([*named, *items.rows_mentioning(query).tolist()]))
        else:
            rows = items.active[start : start + count].tolist()
        chosen = rows[start : start + count] if query else rows
        ids = items.ids(np.array(chosen, np.intp)).tolist()
        return {name: {"song": call.songs(live, ids)}}

    return await call.context.ask(search)


@_method("search2")
async def _search2(call: _Call) -> Members:
    return await _search(call, "searchResult2")


@_method("search3")
async def _search3(call: _Call) -> Members:
    return await _search(call, "searchResult3")


@_method("getSonicSimilarTracks")
async def _sonic_similar(call: _Call) -> Members:
    by = call.space()
    count = call.number("count", 10, 0, call.context.settings.max_k)

    def compute(live: LiveModel) -> Members:
        item_id = call.known(live)
        if not count:
            return {"sonicMatch": []}
        try:
            found = similar_items(live, item_id, count, by)
        except InvalidArgumentError:  # nothing is known of it that could be compared
            return {"sonicMatch": []}
        scores = found["score"].tolist()
        songs = call.songs(live, ids_of(found))
        return {"sonicMatch": [_match(*pair) for pair in zip(songs, scores, strict=True)]}

    return await call.context.ask(compute)


@_method("findSonicPath")
async def _sonic_path(call: _Call) -> Members:
    by = call.space()
    count = call.number("count", 25, 1, call.context.settings.max_k)

    def compute(live: LiveModel) -> Members:
        ends = [call.known(live, name) for name in ("startSongId", "endSongId")]
        if ends[0] == ends[1]:
            return {"sonicMatch": [_match(call.songs(live, ends[:1])[0], 1.0)]}
        if count < 2:
            raise SubsonicError(0, "count must be at least 2, for the start and the end")
        vectors = unit_vectors(live, by)
        rows = live.items.rows(ends)
        if not vectors[rows].any(axis=1).all():  # no sound, or no listeners
            return {"sonicMatch": []}
        ids = ids_of(make_playlist(live, ends, PlaylistOptions(length=count, path=True, by=by)))
        scores = vectors[live.items.rows(ids)] @ vectors[rows[0]]
        scores[0] = 1.0
        songs = call.songs(live, ids)
        return {"sonicMatch": [_match(*one) for one in zip(songs, scores.tolist(), strict=True)]}

    return await call.context.ask(compute)


def _match(song: dict[str, Any], cosine: float) -> dict[str, Any]:
    """A song with its likeness, 1 for the same song and 0 for what is not like it at all."""
    return {"entry": song, "similarity": round(min(max(cosine, 0.0), 1.0), 6)}


async def _similar_songs(call: _Call, name: str) -> Members:
    """A playlist of songs like one, of those that suit the user's taste if the model knows it."""
    count = call.number("count", 50, 0, call.context.settings.max_k)

    def compute(live: LiveModel) -> Members:
        item_id = call.known(live)
        if not count:
            return {name: {"song": []}}
        user = call.user if call.user and live.users.row(call.user) is not None else None
        options = PlaylistOptions(length=count, include_seeds=False, user_id=user)
        try:
            made = make_playlist(live, [item_id], options)
        except InvalidArgumentError:  # nothing is known of it that could be compared
            return {name: {"song": []}}
        return {name: {"song": call.songs(live, ids_of(made))}}

    return await call.context.ask(compute)


@_method("getSimilarSongs")
async def _similar_songs1(call: _Call) -> Members:
    return await _similar_songs(call, "similarSongs")


@_method("getSimilarSongs2")
async def _similar_songs2(call: _Call) -> Members:
    return await _similar_songs(call, "similarSongs2")


# ---------------------------------------------------------------------- recordings and plays


@_method("stream")
async def _stream(call: _Call) -> Members:
    return await item_audio(call.request, _checked("id", call.need("id")))


@_method("download")
async def _download(call: _Call) -> Members:
    return await item_audio(call.request, _checked("id", call.need("id")))


@_method("getCoverArt")
async def _cover_art(call: _Call) -> Members:
    return await item_picture(call.request, _checked("id", call.need("id")))


@_method("scrobble")
async def _scrobble(call: _Call) -> Members:
    """Plays of songs; what is only playing now is no play."""
    call.need_write()
    call.need("id")
    ids, times = call.all("id"), call.all("time")
    if len(ids) > _MOST_SCROBBLES:
        raise SubsonicError(0, f"id: more than {_MOST_SCROBBLES} songs are given")
    if times and len(times) != len(ids):
        raise SubsonicError(0, "time: there must be one for each id")
    if not call.user:
        raise SubsonicError(_MISSING, "Required parameter is missing: u")
    user = _checked("u", call.user)
    is_play = call.get("submission", "true").lower() not in ("false", "0")
    now = int(time.time())
    seconds = [_seconds(one, now) for one in times] or [now] * len(ids)

    def change() -> Members:
        live = call.context.served.live
        matched = []
        for given, when in zip(ids, seconds, strict=True):
            try:
                item_id = known_item(live, _checked("id", given))
            except Problem:
                raise SubsonicError(_NOT_FOUND, f"id: no song {printable(given)[:100]!r}") from None
            matched.append((Listen(user, when, Track("", "")), item_id))
        if is_play:
            try:
                report = call.context.listens.play(matched)
            except UnknownItemError as error:  # taken out a moment ago
                raise SubsonicError(_NOT_FOUND, str(error)) from None
            call.context.metrics.count_plays(report.plays)
        return {}

    return await call.context.changes.run(change)


def _seconds(text: str, now: int) -> int:
    """A time in milliseconds since 1970, in seconds."""
    if not text.isascii() or not text.isdecimal() or len(text) > 16:
        raise SubsonicError(0, "time must be in milliseconds since 1970")
    found = int(text) // 1000
    if not _FIRST <= found <= now + _LATEST:
        raise SubsonicError(0, "time must be in milliseconds since 1970, and not in the future")
    return found


@SUBSONIC.api_route("/rest/{method:path}", methods=["GET", "POST"])
async def unknown_method(request: Request, method: str) -> Response:
    """Say that a method is not known here."""
    call = _Call(request)
    with suppress(SubsonicError, Problem):
        await call.read_form()
    error = SubsonicError(0, f"no method {printable(method)[:100]!r} here", 404)
    return _write(call, {}, error)
