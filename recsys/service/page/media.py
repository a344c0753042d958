"""Pictures of songs, outlines of their sound, and the map, for the scripts of the page."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from datasets.columns import ITEM_ID
from datasets.errors import AudioError, ColdtuneError, InvalidArgumentError
from datasets.system.locks import Order, ThreadLock
from datasets.texts.safe_text import printable
from embedding.parallel import Crashed
from recsys.model.live import LiveModel
from recsys.service.bodies.answers import as_json, has_tag, json_response, known_item
from recsys.service.bodies.recordings import find_recording
from recsys.service.bodies.schemas import Id
from recsys.service.page.artwork import draw_cover, draw_figure, hue_of
from recsys.service.problems import Problem
from recsys.service.requests.access import reading_routes
from recsys.service.requests.context import ServiceContext, context_of
from recsys.service.routes.media import item_picture
from recsys.songmap.layout import SongMap, song_map

PAGE_MEDIA = reading_routes("/page")

_KEPT = 512
"""Covers, and outlines, that are kept in memory."""

_COLUMNS = 400
"""Parts of an outline."""

_MOST_ON_MAP = 3000

QueryItem = Annotated[Id, Query()]


class Kept:
    """Keeps what was computed last, by key, for several threads.

    Examples:
        >>> kept = Kept(1)
        >>> kept.get("a", lambda: 1), kept.get("a", lambda: 2), kept.get("b", lambda: 3)
        (1, 1, 3)
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Any, Any] = OrderedDict()
        self._lock = ThreadLock("what the page keeps", Order.PART)

    def get(self, key: Any, make: Callable[[], Any]) -> Any:
        """Return the value of a key, made if it is not there."""
        with self._lock.held("keeping"):
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        with self._lock.held("keeping"):
            self._values[key] = value
            while len(self._values) > self._most:
                self._values.popitem(last=False)
        return value


class PageCache:
    """What pages of one application have computed."""

    def __init__(self) -> None:
        self.covers = Kept(_KEPT)
        self.outlines = Kept(_KEPT)
        self.maps = Kept(1)
        self._is_warm = False

    def warm_up(self, context: ServiceContext) -> None:
        """Let the process that draws load what it needs, before the first picture is asked for."""
        if not self._is_warm and context.served.is_ready:
            self._is_warm = True
            work = context.drawing.run(lambda: context.worker.run(_load_packages, None))
            self._task = asyncio.ensure_future(work)
            self._task.add_done_callback(lambda task: task.cancelled() or task.exception())


def _load_packages(_: None) -> bool:
    """Import what pictures and outlines take."""
    import matplotlib.image

    import embedding.decoding.readers
    import embedding.hyperimage.extraction

    return all((matplotlib.image, embedding.decoding.readers, embedding.hyperimage.extraction))


def _cache(request: Request) -> PageCache:
    cache: PageCache = request.app.state.page_cache
    return cache


@PAGE_MEDIA.get("/cover", include_in_schema=False)
async def cover(request: Request, item: QueryItem) -> Response:
    """The cover of a song: its hyper-image in colours, or a figure drawn from its vector."""
    context = context_of(request)

    def look(live: LiveModel) -> tuple[str, Any, float]:
        known = known_item(live, item)
        vectors, has = live.items.embeddings(np.array([live.items.row(known)]))
        vector = live.state.standardised(vectors)[0] if has[0] else None
        return known, vector, hue_of(vector, known)

    known, vector, hue = await context.ask(look)
    headers = {"Cache-Control": "private, max-age=600", "Vary": "Authorization, Cookie"}
    try:
        picture = await item_picture(request, known)
    except (Problem, ColdtuneError, OSError) as error:
        if isinstance(error, Problem) and error.status_code == 503:  # not now: not for long
            headers["Cache-Control"] = "no-store"
        text = draw_figure(vector, known, hue)
        return Response(text, headers=headers, media_type="image/svg+xml")
    if picture.status_code != 200:
        return picture  # the browser has it
    tag = f"{picture.headers['etag']}{hue:.1f}"
    made = await context.reads.run(
        lambda: _cache(request).covers.get(tag, lambda: draw_cover(bytes(picture.body), hue))
    )
    return Response(made, headers=headers, media_type="image/png")


@PAGE_MEDIA.get("/outline", include_in_schema=False)
async def outline(request: Request, item: QueryItem) -> Response:
    """The outline of a recording's sound and its length, for the player."""
    context = context_of(request)

    def find(live: LiveModel) -> Path:
        known = known_item(live, item)
        path = find_recording(context, live, known)
        if path is None:
            detail = f"item {item!r} has no recording that may be listened to here"
            raise Problem(404, "no-recording", detail, item_id=item)
        return path

    path = await context.ask(find)
    try:
        status = path.stat()
    except OSError:
        detail = f"the recording of item {item!r} cannot be read"
        raise Problem(404, "no-recording", detail, item_id=item) from None
    key = f"{path} {status.st_size} {status.st_mtime_ns}"
    made = await context.drawing.run(
        lambda: _cache(request).outlines.get(key, lambda: _outline(context, path))
    )
    return json_response(made, headers={"Cache-Control": "private, max-age=600"})


def _outline(context: ServiceContext, path: Path) -> dict[str, Any]:
    drawn = context.worker.run(outline_of, path)
    if isinstance(drawn, Crashed):
        raise AudioError(f"{printable(path.name)}: cannot be decoded")
    seconds, peaks = drawn
    return {"seconds": seconds, "peaks": peaks}


def outline_of(path: Path) -> tuple[float, list[float]]:
    """Return the length of a recording in seconds, and how loud each of its parts is, 0 to 1.

    Runs in a process that may crash: the recording is decoded.

    Examples:
        >>> seconds, peaks = outline_of(recording)
        >>> round(seconds, 1), len(peaks), max(peaks)
        (6.0, 300, 1.0)
    """
    from embedding.decoding.readers import open_recording

    with open_recording(path) as reader:
        step = max(1, reader.rate // 50)
        frames, loudest = 0, []
        for block in reader.read_blocks(step * 512):
            level = np.abs(np.nan_to_num(block)).max(axis=1)
            loudest.append(np.maximum.reduceat(level, np.arange(0, len(level), step)))
            frames += len(block)
        rate = reader.rate
    if not frames:
        return 0.0, []
    levels = np.concatenate(loudest)
    count = min(_COLUMNS, len(levels))
    peaks = np.maximum.reduceat(levels, np.arange(count) * len(levels) // count)
    most = float(peaks.max())
    shown = peaks / most if most > 0 else np.zeros(len(peaks))
    return frames / rate, [round(float(one), 3) for one in shown]


@PAGE_MEDIA.get("/map.json", include_in_schema=False)
async def map_data(
    request: Request,
    item: Annotated[list[Id], Query(max_length=200)] = [],  # noqa: B006
) -> Response:
    """The songs in two dimensions with their colours, and where the named ones are."""
    context = context_of(request)
    cache = _cache(request)
    live = context.served.live
    generation = context.served.generation(live)
    tag = f'"map-{generation}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Authorization, Cookie"}
    if not item and has_tag(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)

    def compute() -> bytes:
        drawn = cache.maps.get(generation, lambda: _drawn(live))
        return as_json({**drawn[1], "extra": _placed(live, drawn[0], item)})

    content = await context.reads.run(compute)
    return Response(content, headers=headers, media_type="application/json")


def _drawn(live: LiveModel) -> tuple[SongMap, dict[str, Any]]:
    made = song_map(live, limit=_MOST_ON_MAP, embeddings="sound")
    points = made.projection.points[:, :2]
    points = points - (points.max(axis=0) + points.min(axis=0)) / 2
    largest = max(float(np.abs(points).max()), 1e-12)
    groups = [0] * len(points)
    for number, group in enumerate(made.groups):
        for row in group.rows.tolist():
            groups[row] = number
    texts = {name: made.songs[name].map(printable).tolist() for name in ("title", "artist")}
    return made, {
        "total": made.total,
        "groups": [
            {
                "name": printable(one.name),
                "colour": one.colour,
                "n": len(one.rows),
                "named": one.named,
            }
            for one in made.groups
        ],
        "points": [[round(1000 * x), round(1000 * y)] for x, y in (points / largest).tolist()],
        "group": groups,
        "id": made.songs[ITEM_ID].tolist(),
        **texts,
    }


def _placed(live: LiveModel, drawn: SongMap, item_ids: list[str]) -> list[dict[str, Any]]:
    """Songs that are not among those drawn, each at the middle of the five nearest of these."""
    shown = drawn.songs[ITEM_ID].tolist()
    known = set(shown)
    missing = [one for one in item_ids if one not in known]
    rows = live.items.rows_or_none(missing)
    vectors, has = live.items.embeddings(rows[rows >= 0])
    if not has.any():
        return []
    own = live.state.standardised(vectors)[has]
    others = live.state.standardised(live.items.embeddings(live.items.rows(shown))[0])
    found = live.items.describe(rows[rows >= 0][has])
    points = drawn.projection.points[:, :2]
    middle = (points.max(axis=0) + points.min(axis=0)) / 2
    largest = max(float(np.abs(points - middle).max()), 1e-12)
    placed = []
    for number, vector in enumerate(own):
        nearest = np.argsort(((others - vector) ** 2).sum(axis=1), kind="stable")[:5]
        x, y = ((points[nearest].mean(axis=0) - middle) / largest).tolist()
        row = found.iloc[number]
        placed.append({
            "id": row[ITEM_ID], "title": printable(row["title"]),
            "artist": printable(row["artist"]), "at": [round(1000 * x), round(1000 * y)],
        })  # fmt: skip
    return placed


def has_map(live: LiveModel) -> bool:
    """Return whether there are enough songs for a map."""
    try:
        return int(live.items.has_embedding(live.items.active).sum()) >= 4
    except InvalidArgumentError:
        return False
