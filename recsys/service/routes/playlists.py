"""Playlists, as JSON or as M3U with addresses of this service."""

import re
from typing import Any
from urllib.parse import quote

import pandas as pd
from starlette.requests import Request
from starlette.responses import Response

from datasets.errors import UnknownUserError
from datasets.texts.safe_text import printable
from recsys.model.live import LiveModel
from recsys.playlists.m3u import NOTES
from recsys.playlists.playlist import DISTANCE, PlaylistOptions, make_playlist
from recsys.service.bodies.answers import (
    PROBLEMS,
    answer,
    check_ids,
    check_most,
    items_of,
    known_items,
    notes_of,
)
from recsys.service.bodies.recordings import playable_items
from recsys.service.bodies.schemas import Playlist, PlaylistBody
from recsys.service.problems import Problem
from recsys.service.requests.access import reading_routes
from recsys.service.requests.context import ServiceContext, context_of

PLAYLISTS = reading_routes()

M3U = "audio/x-mpegurl"

_M3U_TYPES = frozenset(
    {M3U, "audio/mpegurl", "application/vnd.apple.mpegurl", "application/x-mpegurl"}
)
_HOST = re.compile(r"[A-Za-z0-9.\-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")


@PLAYLISTS.post(
    "/playlists",
    operation_id="makePlaylist",
    tags=["playlists"],
    response_model=Playlist,
    responses=PROBLEMS
    | {200: {"model": Playlist, "content": {M3U: {}}, "description": "JSON, or M3U by `Accept`."}},
)
async def playlist_of(request: Request, asked: PlaylistBody) -> Response:
    """Songs like one or several, or from each to the next, in a smooth order.

    With ``Accept: audio/x-mpegurl`` the answer is an M3U playlist of the songs whose recordings may
    be listened to here.
    """
    context = context_of(request)
    check_most("length", asked.length, context.settings.max_k)
    check_ids(context, seeds=asked.seeds, exclude=asked.exclude)

    def compute(live: LiveModel) -> dict[str, Any]:
        frame = _made(live, asked)
        rows = items_of(frame.drop(columns="path"))
        playable = playable_items(context, live, [row["item_id"] for row in rows])
        for row in rows:
            row["playable"] = row["item_id"] in playable
            distance = row[DISTANCE]
            row[DISTANCE] = distance if distance == distance else None
        return {"items": rows, "notes": notes_of(frame.attrs)}

    kinds = {one.partition(";")[0].strip() for one in request.headers.get("accept", "").split(",")}
    if kinds & _M3U_TYPES:
        start = _address(request, context)
        text = await context.ask(lambda live: _m3u(context, live, asked, start))
        headers = {"Content-Disposition": 'attachment; filename="playlist.m3u8"'}
        return Response(text, headers=headers, media_type=M3U)
    return await answer(request, compute, asked.model_dump(mode="json"))


def _made(live: LiveModel, asked: PlaylistBody) -> pd.DataFrame:
    seeds = known_items(live, asked.seeds, "seeds")
    options = asked.model_dump(exclude={"seeds"})
    options["exclude"] = known_items(live, asked.exclude, "exclude")
    try:
        return make_playlist(live, seeds, PlaylistOptions(**options))
    except UnknownUserError as error:
        raise Problem(
            422, "unknown-user", str(error), field="user_id", user_id=asked.user_id
        ) from None


def _m3u(context: ServiceContext, live: LiveModel, asked: PlaylistBody, start: str) -> str:
    frame = _made(live, asked)
    rows = items_of(frame)
    playable = playable_items(context, live, [row["item_id"] for row in rows])
    lines = ["#EXTM3U"]
    for row in rows:
        item_id = row["item_id"]
        if item_id not in playable:
            continue
        shown = " - ".join(
            filter(None, (" ".join(str(row[name]).split()) for name in ("artist", "title")))
        )
        lines += [
            f"#EXTINF:-1,{printable(shown or item_id)}",
            f"{start}/v1/items/{quote(item_id, safe='')}/audio",
        ]
    if len(lines) == 1:
        because = "; ".join(frame.attrs.get(NOTES, ())) or "no recording may be listened to here"
        raise Problem(422, "no-recording", f"no song to play: {because}", field="seeds")
    return "\n".join(lines) + "\n"


def _address(request: Request, context: ServiceContext) -> str:
    """The address of the service as this client has it."""
    if context.settings.url:
        return context.settings.url
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        raise Problem(400, "invalid-request", "the header Host is no host", field="Host")
    return f"{request.url.scheme}://{host}"
