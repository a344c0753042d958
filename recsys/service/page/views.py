"""The pages, and the parts of them that change."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from datasets.errors import ColdtuneError
from datasets.system.files import open_regular
from recsys.model.live import LiveModel
from recsys.ranking.similarity import Space
from recsys.service.bodies.schemas import Id, Share
from recsys.service.page.contents import Contents
from recsys.service.page.media import has_map
from recsys.service.page.rendering import is_part, page, static_file
from recsys.service.page.session import forget, is_token, remember
from recsys.service.problems import Problem, log_error, problem_of
from recsys.service.requests.access import check_access, check_origin
from recsys.service.requests.context import ServiceContext, context_of

_MOST_SONGS = 100
"""Songs of somebody new at most."""

_REPORT_BYTES = 64 << 20

_REPORT_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""A report is one file with its scripts in it: it runs in an origin of its own, from where it
reaches nothing of the service."""


class _Page(APIRoute):
    """A route of a page: asks for a key where one is needed, and says in words what is wrong."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def shown(request: Request) -> Response:
            context = context_of(request)
            try:
                key = check_access(request, "read")
                request.state.is_known = key is not None
                request.state.may_change = key is None or key.allows("write")
                request.state.has_report = report_of(context) is not None
                request.app.state.page_cache.warm_up(context)
                return await handle(request)
            except (HTTPException, RequestValidationError, ColdtuneError) as error:
                problem = problem_of(error, context.scrubber)
                log_error(error, str(request.state.request_id), problem)
                if problem.status_code == 401:
                    return _to_entry(request)
                return _wrong(request, problem)

        return shown


PAGES = APIRouter(route_class=_Page, include_in_schema=False)
OPEN_PAGES = APIRouter(include_in_schema=False)
"""Pages that need no key: the way in, and the files that pages load."""

Songs = Annotated[list[Id], Query(max_length=_MOST_SONGS)]
Places = Annotated[int, Query(ge=1, le=100)]


def report_of(context: ServiceContext) -> Path | None:
    """Return the report of an evaluation that lies beside the model; None if there is none."""
    folder = context.served.folder
    if folder is None:
        return None
    path = folder.parent / "report" / "report.html"
    return path if path.is_file() else None


async def _contents(request: Request, read: Callable[[Contents], dict[str, Any]]) -> dict[str, Any]:
    context = context_of(request)

    def compute(live: LiveModel) -> dict[str, Any]:
        return {"has_map": has_map(live), **read(Contents(context, live))}

    return await context.ask(compute)


@PAGES.get("/")
async def beginning(request: Request) -> Response:
    """The first page."""
    return page(request, "home.html", **await _contents(request, Contents.beginning))


@PAGES.get("/page/search")
async def search(request: Request, q: Annotated[str, Query(max_length=200)] = "") -> Response:
    """Listeners and songs by name, while a name is typed."""
    text = q.strip()
    if not text:
        return Response("", media_type="text/html; charset=utf-8")
    return page(request, "found.html", **await _contents(request, lambda one: one.search(text)))


@PAGES.get("/listener")
async def listener(
    request: Request,
    user: Id,
    discovery: Share | None = None,
    k: Places = 10,
    mark: str = "",
) -> Response:
    """A listener: what is recommended, why, and what is played."""

    def read(one: Contents) -> dict[str, Any]:
        return {
            "played": one.played(user),
            "slider": one.default_discovery() if discovery is None else discovery,
            **one.recommended(user, [], discovery, k, mark),
        }

    values = await _contents(request, read)
    return page(request, "listener.html", user=user, history=[], mark=mark, **values)


@PAGES.get("/somebody")
async def somebody(
    request: Request,
    song: Songs = [],  # noqa: B006
    discovery: Share | None = None,
    k: Places = 10,
    others: Annotated[int, Query(ge=0, le=50)] = 0,
) -> Response:
    """Somebody new: songs to click, and the list that comes of it."""

    def read(one: Contents) -> dict[str, Any]:
        chosen = one.known(song)
        listed = one.recommended(None, chosen, discovery, k, "") if chosen else {"rows": []}
        return {
            "history": chosen,
            "chosen": one.songs(chosen),
            "choices": one.to_choose_from(chosen, others),
            "slider": one.default_discovery() if discovery is None else discovery,
            **listed,
        }

    values = await _contents(request, read)
    return page(request, "somebody.html", user=None, others=others, mark="", **values)


@PAGES.get("/page/list")
async def list_part(
    request: Request,
    user: Id | None = None,
    song: Songs = [],  # noqa: B006
    discovery: Share | None = None,
    k: Places = 10,
    mark: str = "",
) -> Response:
    """A list alone, as the slider moves."""

    def read(one: Contents) -> dict[str, Any]:
        history = one.known(song)
        if user is None and not history:
            raise Problem(422, "invalid-request", "a listener or songs are needed", field="user")
        listed = one.recommended(user, history, discovery, k, mark)
        return {"history": history, "slider": discovery, **listed}

    values = await _contents(request, read)
    return page(request, "list.html", user=user, mark=mark, **values)


@PAGES.get("/page/why")
async def why(
    request: Request,
    item: Id,
    user: Id | None = None,
    song: Songs = [],  # noqa: B006
) -> Response:
    """Why a song has its place in a list."""
    values = await _contents(request, lambda one: one.why(user, one.known(song), item))
    return page(request, "why.html", **values)


@PAGES.get("/song")
async def one_song(
    request: Request, item: Id, by: Space = "fused", dropped: bool = False
) -> Response:
    """A song: its sound, its nearest songs, its audience, its place on the map."""
    values = await _contents(request, lambda one: one.song(item, by))
    return page(request, "song.html", dropped=dropped, **values)


@PAGES.get("/page/near")
async def near_part(request: Request, item: Id, by: Space = "fused") -> Response:
    """The nearest songs, by another measure."""
    return page(request, "near.html", **await _contents(request, lambda one: one.near(item, by)))


@PAGES.get("/map")
async def whole_map(request: Request) -> Response:
    """All songs on a map."""
    counts = await _contents(request, lambda one: {"counts": one.live.counts()})
    return page(request, "map.html", **counts)


@PAGES.get("/report")
async def report(request: Request) -> Response:
    """The report of the evaluation that lies beside the model."""
    context = context_of(request)
    path = report_of(context)

    def read() -> bytes:
        if path is not None:
            try:
                with open_regular(path) as stream:
                    return stream.read(_REPORT_BYTES)
            except (OSError, ValueError):
                pass
        raise Problem(404, "no-report", "there is no report of an evaluation beside this model")

    headers = {"Content-Security-Policy": _REPORT_POLICY, "Cache-Control": "private, no-cache"}
    content = await context.reads.run(read)
    return Response(content, headers=headers, media_type="text/html; charset=utf-8")


# ---------------------------------------------------------------------- the way in


@OPEN_PAGES.get("/enter")
async def enter(request: Request, then: Annotated[str, Query(max_length=2000)] = "/") -> Response:
    """The form for a key."""
    if context_of(request).keys is None:
        return RedirectResponse("/", 303)
    return page(request, "enter.html", then=_own_address(then), wrong="")


@OPEN_PAGES.post("/enter")
async def take_key(
    request: Request,
    key: Annotated[str, Form(max_length=500)] = "",
    then: Annotated[str, Form(max_length=2000)] = "/",
) -> Response:
    """Let the browser keep a key, if it is one."""
    check_origin(request)
    keys = context_of(request).keys
    if keys is None:
        return RedirectResponse("/", 303)
    token = key.strip()
    if not is_token(token) or keys.identify(token) is None:
        said = "This key is not known here."
        return page(request, "enter.html", 401, then=_own_address(then), wrong=said)
    response = RedirectResponse(_own_address(then), 303)
    remember(request, response, token)
    return response


@OPEN_PAGES.post("/leave")
async def leave(request: Request) -> Response:
    """Let the browser forget its key."""
    check_origin(request)
    response = RedirectResponse("/enter", 303)
    forget(request, response)
    return response


@OPEN_PAGES.get("/page/static/{name:path}")
async def static(request: Request, name: str) -> Response:
    """A file that pages load."""
    found = static_file(request, name)
    if found is None:
        raise Problem(404, "not-found", "there is no such address here")
    return found


@OPEN_PAGES.get("/favicon.ico")
async def icon(request: Request) -> Response:
    """The picture that browsers ask for on their own."""
    found = static_file(request, "icon.svg")
    assert found is not None
    return found


def _own_address(text: str) -> str:
    """An address of this service, whatever was asked for.

    Examples:
        >>> [_own_address(one) for one in ("/map", "//evil.example", "https://a", "/\\\\evil")]
        ['/map', '/', '/', '/']
    """
    is_own = text.startswith("/") and not text.startswith("//") and "\\" not in text
    return text if is_own and text.isprintable() and text.isascii() else "/"


def _to_entry(request: Request) -> Response:
    """Lead a browser to the form for a key, and back afterwards."""
    if is_part(request):
        return Response(status_code=401, headers={"HX-Redirect": "/enter"})
    from urllib.parse import quote

    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/enter?then={quote(asked, safe='')}", 303)


_TITLES = {
    "unknown-item": "No such song",
    "unknown-user": "Nobody of this name",
    "not-ready": "One moment",
    "overloaded": "Very busy",
    "too-slow": "Very busy",
    "invalid-request": "That cannot be asked",
    "forbidden": "Not from here",
    "no-report": "No report yet",
}


def _wrong(request: Request, problem: Problem) -> Response:
    """Say in words what is wrong."""
    title = _TITLES.get(problem.kind, "Something went wrong")
    response = page(
        request,
        "wrong.html",
        problem.status_code,
        title=title,
        detail=str(problem.detail),
        waits=problem.kind == "not-ready",
        request_id=str(request.state.request_id),
        has_map=False,
    )
    if problem.kind == "not-ready":
        response.headers["Refresh"] = "2"
    return response
