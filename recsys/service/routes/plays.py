"""Plays: taken in once, and acknowledged when they are on the disk."""

import pandas as pd
from starlette.requests import Request
from starlette.responses import Response

from datasets.errors import InvalidArgumentError, UnknownItemError
from recsys.service.bodies.answers import PROBLEMS, check_most, json_response, known_items
from recsys.service.bodies.schemas import PlaysBody, PlaysTaken, ProblemDetails
from recsys.service.problems import Problem
from recsys.service.requests.access import changing_routes
from recsys.service.requests.context import context_of

PLAYS = changing_routes()

_CONFLICT = "was taken in before with"
"""Part of the library's message about an id that is known with other content."""


@PLAYS.post(
    "/plays",
    operation_id="takePlays",
    tags=["plays"],
    status_code=202,
    response_model=PlaysTaken,
    responses=PROBLEMS
    | {
        409: {
            "model": ProblemDetails,
            "description": "The batch or an event is known with other plays.",
            "content": {"application/problem+json": {}},
        }
    },
)
async def take_plays(request: Request, asked: PlaysBody) -> Response:
    """Take in plays, all or none; lists know them at once.

    The answer is 202 when they are on the disk. Without an answer, send them again: with a
    ``batch_id`` they count once.
    """
    context = context_of(request)
    check_most("plays", len(asked.plays), context.settings.max_plays)
    served = context.served

    def change() -> dict[str, object]:
        known_items(served.live, [play.item_id for play in asked.plays], "plays")
        report = served.change(
            lambda one: one.update(_table(asked), batch_id=asked.batch_id, mode=asked.mode)
        )
        return {
            "batch_id": asked.batch_id,
            **report._asdict(),
            "repeated": report.repeated,
            "generation": served.generation(),
        }

    try:
        taken = await context.changes.run(change)
    except InvalidArgumentError as error:
        if _CONFLICT in str(error):
            field = "batch_id" if str(error).startswith("batch") else "event_id"
            raise Problem(409, "conflict", str(error), field=field) from None
        raise
    except UnknownItemError as error:  # taken out a moment ago
        raise Problem(422, "unknown-item", str(error), field="plays") from None
    context.metrics.count_plays(int(str(taken["plays"])))
    return json_response(taken, 202)


def _table(asked: PlaysBody) -> pd.DataFrame:
    """The plays as the library takes them."""
    rows = asked.plays
    table = {
        "user_id": pd.Series([one.user_id for one in rows], dtype=object),
        "item_id": pd.Series([one.item_id for one in rows], dtype=object),
        "weight": pd.Series([one.weight for one in rows], dtype=float),
    }
    if any(one.timestamp is not None for one in rows):
        times = [pd.NaT if one.timestamp is None else pd.Timestamp(one.timestamp) for one in rows]
        table["timestamp"] = pd.to_datetime(pd.Series(times), utc=True)
    if any(one.event_id for one in rows):
        table["event_id"] = pd.Series([one.event_id for one in rows], dtype=object)
    return pd.DataFrame(table)
