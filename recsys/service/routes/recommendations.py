"""Lists for a user or for a history, and why a song is in one."""

from typing import Annotated, Any

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from datasets.errors import UnknownUserError
from recsys.model.live import LiveModel
from recsys.ranking.explanation import explain
from recsys.ranking.options import ListOptions, New, history_plays
from recsys.ranking.ranking import FALLBACK, UserList, user_list
from recsys.service.bodies.answers import (
    NOT_FOUND,
    PROBLEMS,
    answer,
    check_ids,
    check_most,
    known_item,
    known_items,
    notes_of,
    rows_of,
)
from recsys.service.bodies.schemas import (
    Explained,
    ExplanationBody,
    HistoryBody,
    Id,
    ItemList,
    ListOptionsBody,
    PathId,
    Share,
)
from recsys.service.problems import Problem
from recsys.service.requests.access import reading_routes
from recsys.service.requests.context import context_of

RECOMMENDATIONS = reading_routes()

_MOST_NEAR = 50


@RECOMMENDATIONS.get(
    "/users/{user_id}/recommendations",
    operation_id="recommendForUser",
    tags=["recommendations"],
    response_model=ItemList,
    responses=PROBLEMS,
)
async def list_for_user(
    request: Request,
    user_id: PathId,
    k: Annotated[int, Query(ge=1, le=1_000_000)] = 10,
    exclude_seen: bool = True,
    exclude: Annotated[list[Id], Query()] = [],  # noqa: B006
    only: Annotated[list[Id] | None, Query()] = None,
    where: Annotated[
        list[str], Query(description="Column and value, as in genre=jazz; repeat for more.")
    ] = [],  # noqa: B006
    per_artist: Annotated[int | None, Query(ge=1, le=1_000_000)] = None,
    diversity: Share = 0.0,
    popularity_correction: Share = 0.0,
    discovery: Share | None = None,
    new: Annotated[
        str | None,
        Query(
            description='"only", a whole number of places such as 2, or a share of the places with '
            "a point such as 0.2.",
            max_length=20,
        ),
    ] = None,
) -> Response:
    """The best items for a user.

    Somebody who is unknown gets the most popular items, and ``fallback`` says so.
    """
    options = {
        "k": k, "exclude_seen": exclude_seen, "exclude": exclude, "only": only,
        "where": read_where(where), "per_artist": per_artist, "diversity": diversity,
        "popularity_correction": popularity_correction, "discovery": discovery,
        "new": read_new(new),
    }  # fmt: skip
    _check_sizes(request, options)
    return await answer(
        request,
        lambda live: {
            "user_id": user_id,
            **_listed(live, user_list(live, user_id, None, _options(live, options))),
        },
    )


@RECOMMENDATIONS.post(
    "/recommendations",
    operation_id="recommendForHistory",
    tags=["recommendations"],
    response_model=ItemList,
    responses=PROBLEMS,
)
async def list_for_history(request: Request, asked: HistoryBody) -> Response:
    """The best items for somebody who is no user of the model, by what they have played."""
    check_ids(context_of(request), history=asked.history)
    options = {name: getattr(asked, name) for name in ListOptionsBody.model_fields}
    _check_sizes(request, options)

    def compute(live: LiveModel) -> dict[str, Any]:
        own = _known_plays(live, asked.history)
        return _listed(live, user_list(live, None, own, _options(live, options)))

    return await answer(request, compute, asked.model_dump(mode="json"))


@RECOMMENDATIONS.get(
    "/users/{user_id}/explanations/{item_id}",
    operation_id="explain",
    tags=["recommendations"],
    response_model=Explained,
    responses=PROBLEMS | NOT_FOUND,
)
async def explain_to_user(
    request: Request,
    user_id: PathId,
    item_id: PathId,
    n: Annotated[int, Query(ge=1, le=_MOST_NEAR)] = 5,
) -> Response:
    """Why an item has its score for a user: sources, nearest played songs, what they share."""

    def compute(live: LiveModel) -> dict[str, Any]:
        try:
            why = explain(live, user_id, known_item(live, item_id), None, n)
        except UnknownUserError as error:
            raise Problem(404, "unknown-user", str(error), user_id=user_id) from None
        return {**why.to_dict(), "text": str(why)}

    return await answer(request, compute)


@RECOMMENDATIONS.post(
    "/explanations",
    operation_id="explainForHistory",
    tags=["recommendations"],
    response_model=Explained,
    responses=PROBLEMS | NOT_FOUND,
)
async def explain_to_listener(request: Request, asked: ExplanationBody) -> Response:
    """Why an item has its score for somebody who is no user of the model."""
    check_ids(context_of(request), history=asked.history)

    def compute(live: LiveModel) -> dict[str, Any]:
        own = _known_plays(live, asked.history)
        why = explain(live, None, known_item(live, asked.item_id), own, asked.n)
        return {**why.to_dict(), "text": str(why)}

    return await answer(request, compute, asked.model_dump(mode="json"))


def _known_plays(live: LiveModel, history: list[str] | dict[str, float]) -> dict[str, float]:
    """The plays of a history, of items that there are."""
    plays = history_plays(history)
    known = known_items(live, list(plays), "history")
    own = dict(zip(known, plays.values(), strict=True))
    if len(own) < len(plays):
        raise Problem(422, "invalid-request", "history: an item is given twice", field="history")
    return own


def read_where(texts: list[str]) -> dict[str, list[str]] | None:
    """Read filters such as ``genre=jazz`` from a query.

    Examples:
        >>> read_where(["genre=jazz", "genre=rock", "mood="])
        {'genre': ['jazz', 'rock'], 'mood': ['']}
    """
    wanted: dict[str, list[str]] = {}
    for text in texts:
        column, equals, value = text.partition("=")
        if not equals or not column.strip():
            detail = "where: a column and a value are needed, as in where=genre%3Djazz"
            raise Problem(422, "invalid-request", detail, field="where")
        wanted.setdefault(column.strip(), []).append(value)
    return wanted or None


def read_new(text: str | None) -> New | None:
    """Read how many places of a list are for new songs: "only", "2" or "0.2".

    Examples:
        >>> [read_new(text) for text in ("only", "2", "0.2", "1", "1.0", None)]
        ['only', 2, 0.2, 1, 1.0, None]
    """
    if text is None or text == "only":
        return None if text is None else "only"
    try:
        return float(text) if set(text) & set(".e") else int(text)
    except ValueError:
        detail = "new: must be only, a whole number of places, or a share of them such as 0.2"
        raise Problem(422, "invalid-request", detail, field="new") from None


def _check_sizes(request: Request, options: dict[str, Any]) -> None:
    context = context_of(request)
    check_most("k", options["k"], context.settings.max_k)
    check_ids(context, exclude=options["exclude"], only=options["only"], where=options["where"])


def _options(live: LiveModel, options: dict[str, Any]) -> ListOptions:
    exclude = known_items(live, options["exclude"], "exclude")
    only = options["only"]
    chosen = None if only is None else known_items(live, only, "only")
    return ListOptions(**{**options, "exclude": exclude, "only": chosen})


def _listed(live: LiveModel, found: UserList) -> dict[str, Any]:
    return {
        "items": rows_of(live, found),
        "fallback": found.attrs.get(FALLBACK),
        "notes": notes_of(found.attrs, but=(FALLBACK,)),
    }
