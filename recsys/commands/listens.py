"""The command that lists what players have reported and no item is: `coldtune listens`."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from recsys.commands.options import JsonFlag, Model
from recsys.commands.printing import echo, print_frame, print_json


def listens(
    model: Model,
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="How many tracks.")] = 50,
    take_in: Annotated[
        bool,
        typer.Option("--take-in", help="First make plays of those whose songs are items by now."),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """List tracks that players have reported (coldtune serve) and that are no items of the model.

    Their listens are kept, and become plays when their songs are onboarded: at once where a service
    runs, or with --take-in.
    """
    import pandas as pd

    from recsys.model.artifact import read_manifest
    from recsys.service.players.unmatched import UnmatchedListens, listens_file

    read_manifest(model)  # says if there is no model
    if take_in:
        from recsys import Recommender
        from recsys.service.players.intake import ListenIntake
        from recsys.service.serving import ServedModel

        served = ServedModel(Recommender.load(model))
        taken = ListenIntake(served, file=listens_file(model)).settle()
        echo(f"{taken:,} listens are plays now", err=True)
    waiting = UnmatchedListens(listens_file(model))
    tracks, count = waiting.counts()
    rows = [
        {
            "listens": one.listens,
            "users": one.users,
            "artist": one.track.artist,
            "title": one.track.title,
            "album": one.track.album,
            "last": datetime.fromtimestamp(one.last, UTC).isoformat(timespec="seconds"),
        }
        for one in waiting.tracks(k)
    ]
    if as_json:
        print_json({"tracks": rows, "n_tracks": tracks, "n_listens": count})
        return
    if rows:
        print_frame(pd.DataFrame(rows))
    echo(f"{count:,} listens of {tracks:,} tracks wait for their songs", err=True)
