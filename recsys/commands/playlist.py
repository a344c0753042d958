"""The command `coldtune playlist`: songs like others, or a path between two, as an M3U file."""

from pathlib import Path
from typing import Annotated

import typer

from datasets.columns import PATH
from datasets.errors import InvalidArgumentError
from datasets.texts.safe_text import printable
from recsys.commands.options import (
    Exclude,
    JsonFlag,
    Model,
    PerArtist,
    WhereFlag,
    item_or_file,
    items_named,
    parse_where,
)
from recsys.commands.printing import echo, print_frame, print_json, records


def playlist(
    model: Model,
    more: Annotated[
        list[str] | None, typer.Argument(metavar="ITEM", help="More songs, after --like.")
    ] = None,
    like: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ITEM",
            help="A song by its id, its title, 'artist - title', or a recording; repeat for more.",
        ),
    ] = None,
    length: Annotated[
        int, typer.Option("--length", "-k", help="How many songs, the given ones included.")
    ] = 20,
    path: Annotated[
        bool, typer.Option("--path", help="Go from each given song to the next in small steps.")
    ] = False,
    by: Annotated[str, typer.Option(help="sound, taste or fused.")] = "fused",
    per_artist: PerArtist = None,
    exclude: Exclude = None,
    where: WhereFlag = None,
    seeds: Annotated[
        bool, typer.Option("--seeds/--no-seeds", help="Whether the given songs are in the list.")
    ] = True,
    user: Annotated[
        str | None, typer.Option(help="A user whose taste counts as much as likeness.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="M3U file to write, ending in .m3u8; of songs whose recording is there."),
    ] = None,
    recordings: Annotated[
        Path | None,
        typer.Option(
            "--recordings", "--music", help="Folder where the recordings are now, if moved."
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Also over a file that is there already.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """A playlist of songs like one or several, or of a path from song to song."""
    from recsys import Recommender
    from recsys.playlists.m3u import NOTES, check_m3u, write_m3u

    if by not in ("sound", "taste", "fused"):
        raise InvalidArgumentError(f"--by must be sound, taste or fused, not {by!r}")
    given = [*(like or ()), *(more or ())]
    if not given:
        raise typer.BadParameter("Missing option '--like': a song that the playlist starts from.")
    if out is None and replace:
        raise InvalidArgumentError("--replace is for the file of --out")
    if out is not None:  # now, and not when all songs are chosen
        try:
            check_m3u(out, replace=replace)
        except InvalidArgumentError as error:
            raise InvalidArgumentError(str(error).replace("replace=True", "--replace")) from None
    recommender = Recommender.load(model)
    frame = recommender.playlist(
        [item_or_file(recommender, one) for one in given],
        length,
        path=path,
        by=by,  # type: ignore[arg-type]  # checked above
        per_artist=per_artist,
        exclude=items_named(recommender, exclude) or (),
        where=parse_where(where),
        include_seeds=seeds,
        user_id=user,
        playable=out is not None,
        recordings=recordings,
    )
    written = None if out is None else write_m3u(frame, out, replace=replace)
    if as_json:
        facts = {} if out is None else {"file": str(out)}
        print_json({**facts, NOTES: frame.attrs[NOTES], "items": records(frame)})
        return
    for note in frame.attrs[NOTES]:
        echo(note, err=True)
    if written is None:
        print_frame(frame.drop(columns=PATH) if (frame[PATH] == "").all() else frame)
    else:
        echo(f"{written.songs:,} songs written to {printable(out)}")
