"""The application: the routes, what they share, and what is around every request."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response

from datasets.errors import ColdtuneError
from datasets.versions import package_versions
from recsys.recommender import Recommender
from recsys.service.page.app import add_page
from recsys.service.players.listenbrainz import LISTENBRAINZ, LISTENS
from recsys.service.players.subsonic import SUBSONIC
from recsys.service.problems import MEDIA_TYPE, log_error, problem_of
from recsys.service.requests.access import API, SCHEME, ReadingRoute
from recsys.service.requests.context import ServiceContext
from recsys.service.requests.middleware import REQUEST_ID, Around
from recsys.service.routes.facts import FACTS, FIGURES, HEALTH
from recsys.service.routes.items import ASKED_ITEMS, CHANGED_ITEMS
from recsys.service.routes.media import MEDIA
from recsys.service.routes.playlists import PLAYLISTS
from recsys.service.routes.plays import PLAYS
from recsys.service.routes.recommendations import RECOMMENDATIONS
from recsys.service.serving import ServedModel
from recsys.service.settings import ServiceSettings

_ROUTERS: tuple[APIRouter, ...] = (
    RECOMMENDATIONS,
    ASKED_ITEMS,
    CHANGED_ITEMS,
    MEDIA,
    PLAYS,
    PLAYLISTS,
    FACTS,
    LISTENS,
    LISTENBRAINZ,
    SUBSONIC,
    HEALTH,
    FIGURES,
)
"""All routes. A router of another folder is made by `reading_routes` and `changing_routes` of
`access`, and its routes reach the model by `context_of(request)`."""


def create_app(
    model: Recommender | ServedModel | Path | str, settings: ServiceSettings | None = None
) -> FastAPI:
    """Create the service as an ASGI application, for a server of one's own or for tests.

    Args:
        model: a recommender, a model that is being served, or the folder of a saved model, which is
            loaded in the background when the server starts the application.
        settings: settings; without keys it answers this machine alone.

    Returns:
        The application. `coldtune serve` runs it in one or several processes.

    Examples:
        >>> from starlette.testclient import TestClient
        >>> client = TestClient(create_app(recommender), base_url="http://localhost")
        >>> answer = client.get("/v1/users/u1/recommendations", params={"k": 2})
        >>> answer.status_code, [item["rank"] for item in answer.json()["items"]]
        (200, [1, 2])
        >>> client.get("/v1/items/nothing").json()["title"]
        'Unknown item'
    """
    settings = ServiceSettings() if settings is None else settings
    served = (
        model if isinstance(model, ServedModel) else ServedModel(model, settings.refresh_seconds)
    )
    context = ServiceContext(served, settings)

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        served.start(context.after_look)
        try:
            yield
        finally:
            served.stop()
            context.close()

    app = FastAPI(
        title="coldtune",
        summary="Recommends music, songs that nobody has played yet included.",
        version=package_versions(["coldtune"]).get("coldtune", "unknown"),
        openapi_url=f"{API}/openapi.json",
        docs_url=None,  # its page would load scripts from another host
        redoc_url=None,
        lifespan=running,
        redirect_slashes=False,
    )
    app.state.context = context
    for router in _ROUTERS:
        app.include_router(router)
    if settings.page:
        add_page(app, context)
    for kind in (HTTPException, RequestValidationError, ColdtuneError):
        app.add_exception_handler(kind, _answer_problem)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.origins),
            allow_methods=["GET", "HEAD", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "If-None-Match", "Range", REQUEST_ID],
            expose_headers=["ETag", "Location", "Retry-After", "Content-Range", REQUEST_ID],
        )
    app.add_middleware(Around, context=context)  # the last is the outermost
    _secure(app)
    return app


async def _answer_problem(request: Request, error: Exception) -> Response:
    problem = problem_of(error, request.app.state.context.scrubber)
    request_id = str(request.state.request_id)
    log_error(error, request_id, problem)
    return problem.response(request_id)


def _secure(app: FastAPI) -> None:
    """Let the description of the routes say how a key is shown, and what each needs."""
    made = app.openapi

    def described() -> dict[str, Any]:
        document = made()
        schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes.setdefault("key", SCHEME)
        document.setdefault("security", [{"key": []}])
        for router in _ROUTERS:
            for route in router.routes:
                if not isinstance(route, APIRoute) or route.path not in document["paths"]:
                    continue
                for method in route.methods or ():
                    operation = document["paths"][route.path][method.lower()]
                    if isinstance(route, ReadingRoute):
                        operation["x-role"] = route.role
                    else:
                        operation["security"] = []
                    for answer in operation.get("responses", {}).values():
                        _only_problem(answer.get("content", {}))
        return document

    app.openapi = described  # type: ignore[method-assign]


def _only_problem(content: dict[str, Any]) -> None:
    """Problems are of one media type; FastAPI describes them as plain JSON, too."""
    if MEDIA_TYPE in content:
        content[MEDIA_TYPE] = content.pop("application/json", content[MEDIA_TYPE])
