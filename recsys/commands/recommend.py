"""The commands `coldtune recommend`, `recommend-all`, `similar`, `audience` and `explain`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from datasets.columns import SHARE_PREFIX
from datasets.errors import InvalidArgumentError
from recsys.commands.options import (
    Discovery,
    Diversity,
    Exclude,
    JsonFlag,
    K,
    Model,
    NewFlag,
    Only,
    PerArtist,
    PopularityCorrection,
    Seen,
    WhereFlag,
    item_named,
    item_or_file,
    items_named,
    parse_new,
    parse_where,
)
from recsys.commands.printing import echo, print_frame, print_json, records

if TYPE_CHECKING:
    import pandas as pd

ItemOrFile = Annotated[
    str,
    typer.Argument(
        metavar="FILE|ITEM",
        help="A recording, or an item by its id, its title, or 'artist - title'.",
    ),
]


def recommend(
    model: Model,
    user: Annotated[str | None, typer.Argument(help="A user of the training data.")] = None,
    k: K = 10,
    history: Annotated[
        list[str] | None,
        typer.Option(help="Item played by somebody else, by id or title; repeat for more."),
    ] = None,
    exclude: Exclude = None,
    only: Only = None,
    where: WhereFlag = None,
    per_artist: PerArtist = None,
    diversity: Diversity = 0.0,
    popularity_correction: PopularityCorrection = 0.0,
    discovery: Discovery = None,
    new: NewFlag = None,
    seen: Seen = False,
    as_json: JsonFlag = False,
) -> None:
    """The items that a user will like best."""
    from recsys import Recommender

    places = parse_new(new)
    recommender = Recommender.load(model)
    frame = recommender.recommend(
        user,
        k,
        history=items_named(recommender, history),
        exclude_seen=not seen,
        exclude=items_named(recommender, exclude) or (),
        only=items_named(recommender, only),
        where=parse_where(where),
        per_artist=per_artist,
        diversity=diversity,
        popularity_correction=popularity_correction,
        discovery=discovery,
        new=places,
    )
    fallback = frame.attrs.get("fallback")
    notes = {name: frame.attrs[name] for name in ("new_places", "discovery") if name in frame.attrs}
    if as_json:
        print_json({"fallback": fallback, **notes, "items": records(frame)})
        return
    if frame.empty:
        having = f" that has {' and '.join(where)}" if where else ""
        unmatched = frame.attrs.get("unmatched")
        kind = {"only": "new item"}.get(str(places), "item")
        echo(f"No {kind}{having} is left to recommend{f': {unmatched}' if unmatched else '.'}")
        return
    if fallback:
        who = "these listeners" if user is None else repr(user)
        what = "songs of every kind" if fallback == "varied" else f"the {fallback} items"
        echo(f"Nothing is known of {who}: these are {what}.")
    for note in notes.values():
        echo(f"{note[:1].upper()}{note[1:]}.")
    print_frame(shares_together(frame) if sys.stdout.isatty() else frame)


def shares_together(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Put the shares of the sources into one column, largest first: a terminal is narrow."""
    names = [name for name in frame.columns if name.startswith(SHARE_PREFIX)]
    texts = []
    for row in frame[names].itertuples(index=False):
        known = [
            (share, name.removeprefix(SHARE_PREFIX))
            for name, share in zip(names, row, strict=True)
            if share > 0
        ]
        ordered = sorted(known, key=lambda pair: -pair[0])
        texts.append(", ".join(f"{name} {share:.2f}" for share, name in ordered))
    return frame.drop(columns=names).assign(shares=texts)


def similar(
    model: Model,
    item: ItemOrFile,
    k: K = 10,
    by: Annotated[str, typer.Option(help="sound, taste or fused.")] = "fused",
    as_json: JsonFlag = False,
) -> None:
    """The items most like an item, or like a recording that stays outside the model."""
    from recsys import Recommender

    if by not in ("sound", "taste", "fused"):
        raise InvalidArgumentError(f"--by must be sound, taste or fused, not {by!r}")
    recommender = Recommender.load(model)
    frame = recommender.similar(item_or_file(recommender, item), k, by=by)  # type: ignore[arg-type]
    if as_json:
        print_json(records(frame))
    else:
        print_frame(frame)


def audience(
    model: Model,
    item: ItemOrFile,
    k: Annotated[int, typer.Option("-k", "--k", help="How many users.")] = 10,
    seen: Annotated[bool, typer.Option(help="Also list users who have played it.")] = False,
    users: Annotated[
        list[str] | None, typer.Option("--user", help="User to choose from; repeat.")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="User to leave out; repeat.")] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where", help="Users who played an item that has this, as genre=jazz; repeat."
        ),
    ] = None,
    title: str = "",
    artist: str = "",
    album: str = "",
    genre: str = "",
    as_json: JsonFlag = False,
) -> None:
    """The users who will like a song best: an item, or a recording that stays outside the model.

    Title, artist, album and genre tell of a recording what its sound does not.
    """
    from recsys import Recommender

    recommender = Recommender.load(model)
    texts = {"title": title, "artist": artist, "album": album, "genre": genre}
    frame = recommender.audience(
        item_or_file(recommender, item),
        k,
        exclude_seen=not seen,
        exclude=exclude or (),
        users=users,
        where=parse_where(where) or None,
        **texts,  # type: ignore[arg-type]
    )
    empty = frame.attrs.get("empty")
    if as_json:
        print_json({"empty": empty, "users": records(frame)})
    elif empty:
        echo(f"No user is left to hear it: {empty}")
    else:
        print_frame(shares_together(frame) if sys.stdout.isatty() else frame)


def explain(
    model: Model,
    user: Annotated[str, typer.Argument(help="A user of the training data.")],
    item: Annotated[str, typer.Argument(help="An item by its id, its title, or 'artist - title'.")],
    n: Annotated[int, typer.Option("-n", help="How many played items of each kind.")] = 5,
    as_json: JsonFlag = False,
) -> None:
    """Why a user gets an item: what each source says, and what they played that is like it."""
    from recsys import Recommender

    recommender = Recommender.load(model)
    found = recommender.explain(user, item_named(recommender, item), n=n)
    if as_json:
        print_json(found.to_dict())
    else:
        echo(found)


def recommend_all(
    model: Model,
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    k: K = 10,
    users: Annotated[
        Path | None,
        typer.Option(help="User ids, one a line or a table with user_id; all users without."),
    ] = None,
    batch: Annotated[int, typer.Option(help="Users ranked at once.")] = 4096,
    exclude: Exclude = None,
    only: Only = None,
    where: WhereFlag = None,
    per_artist: PerArtist = None,
    diversity: Diversity = 0.0,
    popularity_correction: PopularityCorrection = 0.0,
    discovery: Discovery = None,
    new: NewFlag = None,
    seen: Seen = False,
    as_json: JsonFlag = False,
) -> None:
    """The best items for every user, as a Parquet file; a killed run goes on where it was."""
    from recsys import Recommender

    places = parse_new(new)
    recommender = Recommender.load(model)
    report = recommender.write_recommendations(
        out, users, k, exclude_seen=not seen,
        exclude=items_named(recommender, exclude) or (), only=items_named(recommender, only),
        where=parse_where(where), per_artist=per_artist, diversity=diversity,
        popularity_correction=popularity_correction, discovery=discovery, new=places,
        batch_size=batch, progress=True,
    )  # fmt: skip
    if as_json:
        print_json(report.to_dict(), indent=None)
        return
    if report.resumed:
        echo(f"{report.resumed:,} users had their lists from an earlier run")
    if report.fallback_users:
        echo(f"nothing is known of {report.fallback_users:,} users: they got the popular items")
    if report.other_places:
        echo(
            f"too few songs are left: {report.other_places:,} lists have not as many new ones as "
            "were asked for"
        )
    if report.new_rows:
        echo(f"{report.new_rows:,} rows are songs that nobody has played")
    echo(f"lists of {report.users:,} users, {report.rows:,} rows, written to {out}")
