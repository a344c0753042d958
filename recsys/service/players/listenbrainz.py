"""The routes of ListenBrainz that scrobblers use, and the list of listens that wait."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from datasets.errors import ColdtuneError, DiskFullError
from datasets.tables.ids import checked_id
from recsys.service.bodies.answers import PROBLEMS, check_most, json_response
from recsys.service.bodies.schemas import LONGEST_ID
from recsys.service.listens.unmatched import Listen
from recsys.service.players.submissions import SubmissionError, read_submission
from recsys.service.problems import Problem, log_error, problem_of
from recsys.service.requests.access import check_access, check_origin, reading_routes, token_of
from recsys.service.requests.context import ServiceContext, context_of

LISTENBRAINZ = APIRouter(include_in_schema=False)  # ListenBrainz describes them
LISTENS = reading_routes()

SUBMIT = "/1/submit-listens"


class WaitingTrack(BaseModel):
    """A track that is no item."""

    artist: str
    title: str
    album: str
    mbids: list[str] = Field(description="MusicBrainz ids that players gave.")
    listens: int
    users: int
    first: int = Field(description="When it was first listened to, in seconds since 1970.")
    last: int


class WaitingTracks(BaseModel):
    """Tracks that are no items, and how many there are in all."""

    tracks: list[WaitingTrack]
    n_tracks: int
    n_listens: int


@LISTENBRAINZ.post(SUBMIT)
async def submit_listens(request: Request) -> Response:
    """Take in listens as ListenBrainz does: `single`, `import` or `playing_now`.

    The user is the name of the key (`Authorization: Token KEY`). A listen counts once, by user,
    second and track. What is no item of the model is kept until it is.
    """
    context = context_of(request)
    try:
        user_id = _user(request)
        body = await request.body()

        def change() -> Response:
            submission = read_submission(body)
            if submission.kind != "playing_now":
                listens = [Listen(user_id, when, track) for when, track in submission.listens]
                context.metrics.count_plays(context.listens.take(listens).plays)
            return json_response({"status": "ok"})

        return await context.changes.run(change)
    except (Problem, ColdtuneError) as error:
        return _refused(request, context, error)


@LISTENBRAINZ.get("/1/validate-token")
async def validate_token(request: Request) -> Response:
    """Whether a token is the key of somebody, and of whom."""
    context = context_of(request)
    try:
        token = token_of(request) or request.query_params.get("token", "")
        if not token:
            raise Problem(400, "invalid-request", "You need to provide an Authorization token.")
        name = _name_of(request, token)
    except (Problem, ColdtuneError) as error:
        return _refused(request, context, error)
    if name is None:
        return json_response({"code": 200, "message": "Token invalid.", "valid": False})
    known = {"code": 200, "message": "Token valid.", "valid": True, "user_name": name}
    return json_response(known)


@LISTENS.get(
    "/listens/unmatched",
    operation_id="unmatchedListens",
    tags=["players"],
    response_model=WaitingTracks,
    responses=PROBLEMS,
)
async def unmatched_listens(
    request: Request,
    k: Annotated[int, Query(ge=1, le=1_000_000)] = 100,
    start: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
) -> Response:
    """Tracks that players have reported and that are no items, those with most listens first.

    Their listens become plays when their song is onboarded.
    """
    context = context_of(request)
    check_most("k", k, context.settings.max_k)
    context.served.recommender  # noqa: B018 - says that the model is being loaded

    def listed() -> dict[str, Any]:
        context.listens.settle()
        found = context.listens.waiting.tracks(k, start=start)
        tracks, listens = context.listens.waiting.counts()
        return {
            "tracks": [
                {
                    "artist": one.track.artist,
                    "title": one.track.title,
                    "album": one.track.album,
                    "mbids": list(one.track.mbids),
                    "listens": one.listens,
                    "users": one.users,
                    "first": one.first,
                    "last": one.last,
                }
                for one in found
            ],
            "n_tracks": tracks,
            "n_listens": listens,
        }

    return json_response(await context.changes.run(listed))


def _user(request: Request) -> str:
    """Whose listens these are: the name of the key.

    Raises:
        Problem: no key, or one that may not do this.
    """
    check_origin(request)
    if not request.headers.get("authorization"):
        raise Problem(401, "unauthorized", "You need to provide an Authorization header.")
    token = token_of(request)
    if not token:
        raise Problem(401, "unauthorized", "Provided Authorization header is invalid.")
    name = _name_of(request, token)
    if name is None:
        raise Problem(401, "unauthorized", "Invalid authorization token.")
    check_access(request, "write")
    return name


def _name_of(request: Request, token: str) -> str | None:
    """The name of the key that a token is; where no keys are asked for, the token is the name."""
    try:
        key = check_access(request, "read", token)
        name = checked_id("the token", token) if key is None else key.name
    except Problem as error:
        if error.status_code == 401:
            return None
        raise
    except ColdtuneError:
        return None
    return name if len(name) <= LONGEST_ID else None


def _refused(request: Request, context: ServiceContext, error: Exception) -> Response:
    """What went wrong, in the form of ListenBrainz' answers."""
    if isinstance(error, SubmissionError):
        return json_response({"code": 400, "error": str(error)}, 400)
    problem = problem_of(error, context.scrubber)
    log_error(error, str(request.state.request_id), problem)
    status = problem.status_code
    if isinstance(error, DiskFullError):
        status = 503  # scrobblers keep their listens and try again
    if status == 422:
        status = 400
    return json_response({"code": status, "error": problem.detail}, status, problem.headers)
