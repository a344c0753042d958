"""Answers as JSON: lists with their ids and generations, and whether a client has them already."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from starlette.requests import Request
from starlette.responses import Response

from datasets.columns import (
    ARTIST,
    COLD,
    GENRE,
    ITEM_ID,
    NEW,
    RANK,
    SCORE,
    SHARE_PREFIX,
    TITLE,
)
from datasets.errors import UnknownItemError
from recsys.model.live import LiveModel
from recsys.ranking.ranking import FALLBACK, UserList
from recsys.service.bodies.schemas import ProblemDetails
from recsys.service.problems import Problem
from recsys.service.requests.context import ServiceContext, context_of

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "model": ProblemDetails,
        "description": said,
        "content": {"application/problem+json": {}},
    }
    for status, said in (
        (401, "No key, or one that is not known."),
        (403, "A key that may not do this."),
        (422, "A field that is wrong."),
        (503, "The model is loading, or too much is asked; try again after Retry-After."),
    )
}
"""Answers that every route may give, for OpenAPI."""

NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: {
        "model": ProblemDetails,
        "description": "No such item or user.",
        "content": {"application/problem+json": {}},
    }
}

_DIGITS = 6


def as_json(document: Any) -> bytes:
    """Return values as JSON in ASCII; what is no finite number becomes null.

    Examples:
        >>> as_json({"score": np.float32(0.5), "title": "\\u2028", "n": float("nan")})
        b'{"score":0.5,"title":"\\\\u2028","n":null}'
    """
    return _ENCODER.encode(_plain(document)).encode("ascii")


_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def _plain(value: Any) -> Any:
    kind = type(value)  # first what most values are: a check against a protocol takes far longer
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is float:
        return round(value, _DIGITS) if math.isfinite(value) else None
    if kind is dict or isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float):
        return round(value, _DIGITS) if math.isfinite(value) else None
    if isinstance(value, str | int | bool) or value is None:
        return value
    return str(value)


def json_response(
    document: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an answer of JSON."""
    return Response(as_json(document), status, headers, media_type="application/json")


async def answer(
    request: Request, compute: Callable[[LiveModel], Mapping[str, Any]], question: Any = None
) -> Response:
    """Answer a question from one state of the model.

    The answer has the id of the list and the generation of the model. Both depend on the question
    and the model alone, so that a client who has this answer already (``If-None-Match``) is told so
    before anything is computed.

    Args:
        request: the request; its path and query are part of the question.
        compute: gives the answer, in a thread.
        question: the body of the request, if it has one.
    """
    context = context_of(request)
    live = context.served.live
    generation = context.served.generation(live)
    list_id = _list_id(request, question, generation)
    tag = f'"{list_id}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Accept, Authorization"}
    if request.method == "GET" and has_tag(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)

    def computed() -> bytes:
        return as_json({"list_id": list_id, "generation": generation, **compute(live)})

    content = await context.reads.run(computed)
    return Response(content, headers=headers, media_type="application/json")


def _list_id(request: Request, question: Any, generation: str) -> str:
    asked = [
        request.scope["path"],
        sorted(request.query_params.multi_items()),
        question,
        generation,
    ]
    text = json.dumps(asked, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def has_tag(header: str, tag: str) -> bool:
    """Return whether a header If-None-Match names a tag.

    Examples:
        >>> has_tag('W/"a", "b"', '"a"'), has_tag("*", '"a"'), has_tag('"c"', '"a"')
        (True, True, False)
    """
    named = {one.strip().removeprefix("W/") for one in header.split(",")}
    return tag in named or "*" in named


def items_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a list of items; the shares of the sources become one member."""
    shares = [str(name) for name in frame.columns if str(name).startswith(SHARE_PREFIX)]
    names = [str(name) for name in frame.columns if name not in shares]
    columns = [frame[name].tolist() for name in names]
    rows: list[dict[str, Any]] = [
        dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)
    ]
    if shares and len(frame):
        parts = frame[shares].to_numpy().tolist()
        plain = [name.removeprefix(SHARE_PREFIX) for name in shares]
        for row, values in zip(rows, parts, strict=True):
            if not any(map(math.isnan, values)):  # a list of what is popular has none
                row["shares"] = dict(zip(plain, values, strict=True))
    return rows


def rows_of(live: LiveModel, found: UserList) -> list[dict[str, Any]]:
    """Return the rows of a user's list, as `items_of` does of its table, without making one."""
    names = (ITEM_ID, TITLE, ARTIST, GENRE)
    texts = zip(*(live.items.texts(name, found.rows).tolist() for name in names), strict=True)
    columns = texts, found.scores.tolist(), found.is_new.tolist()
    rows: list[dict[str, Any]] = [
        {
            RANK: rank, ITEM_ID: item_id, SCORE: score, TITLE: title, ARTIST: artist, GENRE: genre,
            COLD: is_new, NEW: is_new,
        }
        for rank, ((item_id, title, artist, genre), score, is_new) in enumerate(
            zip(*columns, strict=True), 1
        )
    ]  # fmt: skip
    if FALLBACK not in found.attrs:  # a list of what is popular has no shares
        sources = [block.name for block in live.state.blocks]
        for row, shares in zip(rows, found.shares.tolist(), strict=True):
            row["shares"] = dict(zip(sources, shares, strict=True))
    return rows


def notes_of(attrs: Mapping[Any, Any], but: Sequence[str] = ()) -> list[str]:
    """Return what the attributes of a list say in words."""
    said: list[str] = []
    for name, value in attrs.items():
        if name not in but:
            said += [value] if isinstance(value, str) else [str(one) for one in value]
    return said


def known_item(live: LiveModel, item_id: str) -> str:
    """Return the id of an item as the model spells it.

    The library takes a text that is no id for the path of a file; nothing that comes from outside
    may reach it before this has been asked.

    Raises:
        Problem: 404, there is no such item.
    """
    try:
        row = live.items.row(item_id)
    except UnknownItemError as error:
        raise Problem(404, "unknown-item", str(error), item_id=item_id) from None
    return str(live.items.ids(np.array([row]))[0])


def known_items(live: LiveModel, item_ids: Sequence[str], field: str) -> list[str]:
    """Return the ids of items as the model spells them.

    Raises:
        Problem: 422, one of them is no item; names it.
    """
    found = []
    for number, item_id in enumerate(item_ids):
        try:
            row = live.items.row(item_id)
        except UnknownItemError as error:
            raise Problem(
                422, "unknown-item", str(error), field=f"{field}.{number}", item_id=item_id
            ) from None
        found.append(str(live.items.ids(np.array([row]))[0]))
    return found


def check_most(name: str, value: int, most: int) -> None:
    """Raise a problem (422) if a number of the request is larger than the service allows."""
    if value > most:
        detail = f"{name}: {value:,} is more than the {most:,} that are given at once here"
        raise Problem(422, "invalid-request", detail, field=name)


def check_ids(
    context: ServiceContext, **ids: Sequence[object] | Mapping[str, object] | None
) -> None:
    """Raise a problem (422) if a request names too many ids."""
    for name, values in ids.items():
        if values is not None:
            check_most(name, len(values), context.settings.max_ids)


def ids_of(frame: pd.DataFrame) -> list[str]:
    """Return the item ids of a list."""
    return [str(one) for one in frame[ITEM_ID].tolist()]
