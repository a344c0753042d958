"""Items: search, facts, similar songs, the audience, new songs, and removal."""

import json
import math
from contextlib import AsyncExitStack
from pathlib import PurePosixPath
from typing import Annotated, Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from fastapi import Query
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from datasets.errors import (
    AudioError,
    EncoderError,
    InvalidArgumentError,
    UnknownItemError,
    UnknownUserError,
)
from datasets.texts.safe_text import printable
from recsys.content.familiarity import caution
from recsys.database.read_write import read_songs_of
from recsys.model.live import LiveModel
from recsys.ranking.audience import EMPTY, AudienceOptions, song_audience
from recsys.ranking.similar import similar_items
from recsys.ranking.similarity import Space
from recsys.service.bodies.answers import (
    NOT_FOUND,
    PROBLEMS,
    answer,
    check_ids,
    check_most,
    items_of,
    json_response,
    known_item,
)
from recsys.service.bodies.recordings import is_playable
from recsys.service.bodies.schemas import (
    Audience,
    EmbeddingBody,
    FoundItems,
    Id,
    Item,
    ItemList,
    Onboarded,
    PathId,
    ProblemDetails,
    SongTexts,
)
from recsys.service.bodies.uploads import Upload, kept, take_upload
from recsys.service.problems import Problem, problem_of
from recsys.service.requests.access import changing_routes, reading_routes
from recsys.service.requests.context import ServiceContext, context_of
from recsys.service.routes.recommendations import read_where

ASKED_ITEMS = reading_routes()
CHANGED_ITEMS = changing_routes()

_LONGEST_SEARCH = 500
_MOST_FIELDS = 20
_FIELD_BYTES = 64 << 10

_HAS_LISTENERS = "has listeners already"
"""Part of the library's message about an item that cannot be onboarded again."""


@ASKED_ITEMS.get(
    "/items",
    operation_id="searchItems",
    tags=["items"],
    response_model=FoundItems,
    responses=PROBLEMS,
)
async def search_items(
    request: Request,
    q: Annotated[str, Query(min_length=1, max_length=_LONGEST_SEARCH, description="Words.")],
    k: Annotated[int, Query(ge=1, le=1_000_000)] = 10,
) -> Response:
    """Items that have every word in their title, artist or id; first those that are called so."""
    context = context_of(request)
    check_most("k", k, context.settings.max_k)

    def compute(live: LiveModel) -> dict[str, Any]:
        named = live.items.rows_named(q)
        others = live.items.rows_mentioning(q) if len(named) < k else named
        rows = list(dict.fromkeys([*named.tolist(), *others.tolist()]))[:k]
        found = live.items.describe(np.array(rows, np.intp))
        return {"items": items_of(found), "named": min(len(named), k)}

    return await answer(request, compute)


@ASKED_ITEMS.get(
    "/items/{item_id}",
    operation_id="getItem",
    tags=["items"],
    response_model=Item,
    responses=PROBLEMS | NOT_FOUND,
)
async def item_facts(request: Request, item_id: PathId) -> Response:
    """What the model knows of an item."""
    context = context_of(request)
    return await answer(request, lambda live: _facts(context, live, known_item(live, item_id)))


@ASKED_ITEMS.get(
    "/items/{item_id}/similar",
    operation_id="similarItems",
    tags=["items"],
    response_model=ItemList,
    responses=PROBLEMS | NOT_FOUND,
)
async def items_like(
    request: Request,
    item_id: PathId,
    k: Annotated[int, Query(ge=1, le=1_000_000)] = 10,
    by: Annotated[Space, Query(description="What songs are compared by.")] = "fused",
) -> Response:
    """The items most similar to an item."""
    check_most("k", k, context_of(request).settings.max_k)
    return await answer(
        request,
        lambda live: {
            "items": items_of(similar_items(live, known_item(live, item_id), k, by)),
            "notes": [],
        },
    )


@ASKED_ITEMS.get(
    "/items/{item_id}/audience",
    operation_id="audienceOfItem",
    tags=["items"],
    response_model=Audience,
    responses=PROBLEMS | NOT_FOUND,
)
async def users_for_item(
    request: Request,
    item_id: PathId,
    k: Annotated[int, Query(ge=1, le=1_000_000)] = 10,
    exclude_seen: bool = True,
    exclude: Annotated[list[Id], Query(description="Users to leave out.")] = [],  # noqa: B006
    users: Annotated[list[Id] | None, Query(description="Users to choose from.")] = None,
    where: Annotated[
        list[str], Query(description="Only users who have played such an item: genre=jazz.")
    ] = [],  # noqa: B006
) -> Response:
    """The users who will like an item best."""
    context = context_of(request)
    check_most("k", k, context.settings.max_k)
    check_ids(context, exclude=exclude, users=users, where=where)
    wanted = read_where(where)

    def compute(live: LiveModel) -> dict[str, Any]:
        options = AudienceOptions(k, exclude_seen, exclude, users, wanted)
        try:
            frame = song_audience(live, known_item(live, item_id), {}, options)
        except UnknownUserError as error:
            raise Problem(422, "unknown-user", str(error), field="users") from None
        return {"users": _users(frame), "empty": frame.attrs.get(EMPTY)}

    return await answer(request, compute)


@CHANGED_ITEMS.post(
    "/items",
    operation_id="onboardItem",
    tags=["items"],
    status_code=201,
    response_model=Onboarded,
    responses=PROBLEMS
    | {
        200: {
            "model": Onboarded,
            "description": "It took the place of one that nobody had played.",
        },
        409: {
            "model": ProblemDetails,
            "description": "The item has listeners.",
            "content": {"application/problem+json": {}},
        },
        413: {
            "model": ProblemDetails,
            "description": "The upload is too large.",
            "content": {"application/problem+json": {}},
        },
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["file"],
                        "properties": {
                            "file": {"type": "string", "format": "binary"},
                            **{
                                name: {"type": "string"}
                                for name in ("item_id", "title", "artist", "album", "genre")
                            },
                            "tags": {
                                "type": "string",
                                "description": "A JSON object of texts by name.",
                                "examples": ['{"mood": "calm"}'],
                            },
                        },
                    }
                },
                "application/json": {"schema": EmbeddingBody.model_json_schema()},
            },
        }
    },
)
async def onboard_item(request: Request) -> Response:
    """Take in a new song, by its recording (multipart) or its embedding (JSON).

    The answer is 201 when it is on the disk; lists have it at once. The same id again takes the
    place of the song, unless somebody has played it.
    """
    context = context_of(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _onboard_upload(request, context)
    if kind == "application/json":
        return await _onboard_embedding(request, context)
    detail = "a song comes as multipart/form-data with a file, or as application/json"
    raise Problem(415, "unsupported-media-type", detail)


@CHANGED_ITEMS.delete(
    "/items/{item_id}",
    operation_id="removeItem",
    tags=["items"],
    status_code=204,
    responses=PROBLEMS | NOT_FOUND,
)
async def remove_item(request: Request, item_id: PathId) -> Response:
    """Take an item out of the catalogue, with the plays of it since the fit."""
    context = context_of(request)

    def change() -> None:
        known = known_item(context.served.live, item_id)
        try:
            context.served.change(lambda one: one.remove(known))
        except UnknownItemError as error:  # another request was quicker
            raise Problem(404, "unknown-item", str(error), item_id=item_id) from None

    await context.changes.run(change)
    return Response(status_code=204)


async def _onboard_embedding(request: Request, context: ServiceContext) -> Response:
    body = await request.body()
    try:
        asked = EmbeddingBody.model_validate_json(body)
    except ValidationError as error:
        raise _validation(error) from None
    if asked.item_id is None:
        raise Problem(422, "invalid-request", "item_id: is missing", field="item_id")
    item_id, texts = asked.item_id, asked.model_dump(exclude={"item_id", "embedding"})
    if not all(map(math.isfinite, asked.embedding)):
        detail = "embedding: has a value that is not a finite number"
        raise Problem(422, "invalid-request", detail, field="embedding")

    def change() -> Response:
        was_there = _is_there(context.served.live, item_id)
        result = context.served.change(
            lambda one: one.onboard(item_id=item_id, embedding=asked.embedding, **texts)
        )
        return _onboarded(context, result._asdict(), was_there=was_there)

    return await _run(context, change, item_id)


async def _onboard_upload(request: Request, context: ServiceContext) -> Response:
    context.hearing.check_room()  # before the upload is read
    context.served.live.audio  # noqa: B018 - a model that hears nothing says so
    async with AsyncExitStack() as stack:
        try:
            form = await stack.enter_async_context(
                request.form(max_files=1, max_fields=_MOST_FIELDS, max_part_size=_FIELD_BYTES)
            )
        except Problem:
            raise
        except HTTPException as error:
            raise Problem(400, "invalid-request", str(error.detail), field="body") from None
        except (UnicodeDecodeError, LookupError, ValueError):
            raise Problem(400, "invalid-request", "the form cannot be read", field="body") from None
        file, texts = _form_parts(form.multi_items())
        upload = Upload(file.file, _file_name(file.filename))
        folder = context.settings.uploads

        def change() -> Response:
            with take_upload(upload, context, texts) as song:
                was_there = _is_there(context.served.live, song.item_id)
                with kept(song, folder) as recording:
                    result = context.served.change(
                        lambda one: one.onboard(
                            recording,
                            item_id=song.item_id,
                            title=song.title,
                            artist=song.artist,
                            album=song.album,
                            genre=song.genre,
                            tags=song.tags,
                        )
                    )
                return _onboarded(context, result._asdict(), was_there=was_there)

        try:
            return await _run(context, change, texts.item_id, heard=True)
        except (AudioError, EncoderError) as error:
            problem = problem_of(error, context.scrubber)
            problem.members |= {"field": "file", "file": printable(upload.name)}
            raise problem from None


async def _run(
    context: ServiceContext, change: Any, item_id: str | None, *, heard: bool = False
) -> Response:
    lane = context.hearing if heard else context.changes
    try:
        done: Response = await lane.run(change)
    except InvalidArgumentError as error:
        if _HAS_LISTENERS in str(error):
            raise Problem(409, "conflict", str(error), field="item_id", item_id=item_id) from None
        raise
    context.metrics.count_onboarded()
    return done


def _form_parts(parts: list[tuple[str, UploadFile | str]]) -> tuple[UploadFile, SongTexts]:
    """The file and the texts of a form.

    Raises:
        Problem: a part that is missing, unknown, given twice or of the wrong kind.
    """
    given: dict[str, Any] = {}
    for name, value in parts:
        if name in given:
            raise Problem(422, "invalid-request", f"{name!r:.100} is given twice", field=name[:100])
        given[name] = value
    file = given.pop("file", None)
    if not isinstance(file, UploadFile):
        raise Problem(422, "invalid-request", "file: a recording is missing", field="file")
    for name, value in given.items():
        if not isinstance(value, str):
            detail = f"{name!r:.100}: is a file, and a text is expected"
            raise Problem(422, "invalid-request", detail, field=name[:100])
    if "tags" in given:
        try:
            given["tags"] = json.loads(given["tags"] or "{}")
        except (ValueError, RecursionError):
            raise Problem(
                422, "invalid-request", "tags: must be a JSON object of texts", field="tags"
            ) from None
    if not given.get("item_id", "x"):
        del given["item_id"]
    try:
        return file, SongTexts.model_validate(given)
    except ValidationError as error:
        raise _validation(error) from None


def _file_name(given: str | None) -> str:
    """The last part of the name that a client gave a file."""
    name = PurePosixPath((given or "").replace("\\", "/")).name
    return name[-100:] or "upload"


def _validation(error: ValidationError) -> RequestValidationError:
    found = [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False)]
    return RequestValidationError(found)


def _is_there(live: LiveModel, item_id: str) -> bool:
    return int(live.items.rows_or_none([item_id])[0]) >= 0


def _onboarded(context: ServiceContext, result: dict[str, Any], *, was_there: bool) -> Response:
    item_id = str(result["item_id"])
    said = {
        **result,
        "caution": caution(result["familiarity"]),
        "generation": context.served.generation(),
    }
    location = f"/v1/items/{quote(item_id, safe='')}"
    return json_response(said, 200 if was_there else 201, {"Location": location})


def _facts(context: ServiceContext, live: LiveModel, item_id: str) -> dict[str, Any]:
    row = live.items.row(item_id)
    at = np.array([row])
    texts = live.items.describe(at).iloc[0].to_dict()
    scores: dict[str, Any] = {}
    with live.catalog.transaction() as connection:
        for song in read_songs_of(connection, [item_id]):
            scores = song.scores or {}
    return {
        **{str(name): value for name, value in texts.items()},
        "tags": live.items.tags(row),
        "cold": bool(live.items.is_cold(at)[0]),
        "listeners": int(live.items.user_counts[row]),
        "heard": bool(live.items.has_embedding(at)[0]),
        "familiarity": float(live.items.familiarity(at)[0]),
        "scores": scores,
        "playable": is_playable(context, live, item_id),
    }


def _users(frame: pd.DataFrame) -> list[dict[str, Any]]:
    rows = items_of(frame)
    for row in rows:
        row.setdefault("shares", {})
    return rows
