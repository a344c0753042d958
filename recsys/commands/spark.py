"""The commands `coldtune spark …`: batch jobs on a cluster of Apache Spark."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
    items_named,
    parse_new,
    parse_where,
)
from recsys.commands.printing import echo, print_json

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

spark_app = typer.Typer(
    help="Batch jobs on a cluster: embeddings, play counts, factors, lists (docs/scale.md).",
    no_args_is_help=True,
)

Master = Annotated[
    str | None,
    typer.Option(
        help="Address of the cluster, as spark://host:7077, yarn or local[4]; without it, that of "
        "spark-submit, else this machine."
    ),
]
Conf = Annotated[
    list[str] | None,
    typer.Option(help="Setting of Spark, as spark.executor.memory=8g; repeat for more."),
]
Out = Annotated[str, typer.Option(help="Folder to write, on any file system of the cluster.")]
Ship = Annotated[
    bool, typer.Option("--ship", help="Copy the model to the workers, who cannot open its folder.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]


@spark_app.command()
def embed(
    recordings: Annotated[
        str,
        typer.Argument(
            help="Parquet with path (or content) and item_id, CSV with path and item_id, or a data "
            "set's folder."
        ),
    ],
    encoder: Annotated[
        str, typer.Option(help="A saved encoder, a model that has one, or a name such as musicnn.")
    ],
    out: Out,
    slice_size: Annotated[int, typer.Option("--slice", help="Recordings a task.")] = 64,
    ship: Ship = False,
    master: Master = None,
    conf: Conf = None,
    as_json: JsonFlag = False,
) -> None:
    """Embed a table of recordings; a run that was stopped goes on where it was."""
    from recsys.cluster.embedding import embed_on_cluster

    with _session(master, conf) as spark:
        table = _recordings(spark, recordings)
        report = embed_on_cluster(spark, table, encoder, out, slice_size=slice_size, ship=ship)
    if as_json:
        print_json(report.to_dict(), indent=None)
        return
    if report.resumed:
        echo(f"{report.resumed:,} recordings were done by an earlier run")
    if report.failed:
        echo(f"{report.failed:,} recordings could not be used; the column problem says why")
    echo(
        f"embeddings of {report.embedded:,} recordings, {report.dimension} numbers each, are in "
        f"{out}"
    )


@spark_app.command()
def plays(
    log: Annotated[
        str, typer.Argument(help="Log of plays: Parquet, or JSON lines (.json, .jsonl, .ndjson).")
    ],
    out: Out,
    robots: Annotated[
        int, typer.Option(help="Leave out users with more plays on one day; 0: nobody.")
    ] = 1000,
    user: Annotated[str, typer.Option(help="What the log calls the user.")] = "user_id",
    item: Annotated[str, typer.Option(help="What it calls the item.")] = "item_id",
    time: Annotated[str, typer.Option(help="What it calls the time.")] = "timestamp",
    weight: Annotated[str, typer.Option(help="What it calls the number of plays.")] = "weight",
    overwrite: Overwrite = False,
    master: Master = None,
    conf: Conf = None,
    as_json: JsonFlag = False,
) -> None:
    """Sum up a log of plays to interactions, without robots."""
    from recsys.cluster.plays import RobotRule, count_plays, read_plays

    rule = RobotRule(robots)
    names = {"user_id": user, "item_id": item, "timestamp": time, "weight": weight}
    renamed = {name: there for name, there in names.items() if there != name}
    with _session(master, conf) as spark:
        table = read_plays(spark, log, renamed)
        report = count_plays(spark, table, out, robots=rule, overwrite=overwrite)
    if as_json:
        print_json(report.to_dict(), indent=None)
        return
    for name, n in report.left_out.items():
        if n:
            what = "no JSON" if name == "line" else f"{name} is missing or cannot be read"
            echo(f"{n:,} lines of the log were left out: {what}")
    if report.robots:
        echo(
            f"{report.robots:,} users with more than {robots:,} plays on a day were taken for "
            f"robots: {report.robot_plays:,} lines of the log were left out"
        )
    echo(
        f"{report.interactions:,} interactions of {report.users:,} users and {report.items:,} "
        f"items, from {report.counted:,} lines of the log, are in {out}"
    )


@spark_app.command()
def sample(
    interactions: Annotated[str, typer.Argument(help="Interactions, as coldtune spark plays.")],
    out: Out,
    plays: Annotated[int, typer.Option(help="About how many interactions to draw.")],
    items: Annotated[str | None, typer.Option(help="The catalogue, as Parquet.")] = None,
    most_items: Annotated[
        int, typer.Option(help="With more items, those with most listeners are kept.")
    ] = 1_000_000,
    seed: Annotated[int, typer.Option(help="Another seed draws other users.")] = 0,
    overwrite: Overwrite = False,
    master: Master = None,
    conf: Conf = None,
    as_json: JsonFlag = False,
) -> None:
    """Draw users with all of their plays: a data set that one machine can learn from."""
    from recsys.cluster.plays import sample_plays

    with _session(master, conf) as spark:
        found = sample_plays(
            spark, interactions, out, plays, items=items, most_items=most_items, seed=seed,
            overwrite=overwrite,
        )  # fmt: skip
    if as_json:
        print_json(found, indent=None)
        return
    if found["items_left_out"]:
        echo(f"{found['items_left_out']:,} items with fewer listeners were left out")
    echo(
        f"{found['interactions']:,} interactions of {found['users']:,} users and "
        f"{found['items']:,} items, of {found['of_interactions']:,} of {found['of_users']:,} "
        f"users, are in {out}"
    )


@spark_app.command()
def als(
    interactions: Annotated[str, typer.Argument(help="Interactions, as coldtune spark plays.")],
    out: Out,
    factors: Annotated[int, typer.Option(help="Length of the vectors.")] = 64,
    regularization: Annotated[float, typer.Option(help="L2 penalty, times plays.")] = 0.5,
    alpha: Annotated[float, typer.Option(help="Confidence of one unit of weight.")] = 20.0,
    iterations: Annotated[int, typer.Option(help="Alternations of the two solves.")] = 15,
    weighting: Annotated[str, typer.Option(help="binary, log or linear.")] = "binary",
    seed: Annotated[int, typer.Option(help="Of the first vectors.")] = 0,
    checkpoints: Annotated[
        str | None, typer.Option(help="Folder for checkpoints, which all machines see.")
    ] = None,
    overwrite: Overwrite = False,
    master: Master = None,
    conf: Conf = None,
    as_json: JsonFlag = False,
) -> None:
    """Learn the vectors of ALS from all plays; coldtune train takes them with --factors."""
    from recsys.cluster.factors import learn_factors

    if weighting not in ("binary", "log", "linear"):
        raise InvalidArgumentError(f"--weighting must be binary, log or linear, not {weighting!r}")
    with _session(master, conf) as spark:
        report = learn_factors(
            spark, interactions, out, factors=factors, regularization=regularization, alpha=alpha,
            iterations=iterations, weighting=weighting,  # type: ignore[arg-type]
            seed=seed, checkpoints=checkpoints, overwrite=overwrite,
        )  # fmt: skip
    if as_json:
        print_json(report.to_dict(), indent=None)
        return
    echo(
        f"vectors of {report.users:,} users and {report.items:,} items, {report.rank} numbers "
        f"each, learned from {report.interactions:,} interactions, are in {out}"
    )


@spark_app.command()
def lists(
    model: Model,
    out: Out,
    k: K = 10,
    users: Annotated[
        str | None, typer.Option(help="Parquet with user_id; all users of the model without.")
    ] = None,
    plays: Annotated[
        str | None,
        typer.Option(
            help="Interactions: lists for all users in them; those whom the model does not know "
            "are folded in from their plays."
        ),
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
    ship: Ship = False,
    overwrite: Overwrite = False,
    master: Master = None,
    conf: Conf = None,
    as_json: JsonFlag = False,
) -> None:
    """The best items for every user, as Parquet; the lists of coldtune recommend-all."""
    from recsys import Recommender
    from recsys.cluster.lists import recommend_on_cluster
    from recsys.cluster.session import read_cluster_table

    places = parse_new(new)
    named: dict[str, Any] = {"exclude": exclude or (), "only": only}
    if exclude or only:
        recommender = Recommender.load(model)
        named = {
            "exclude": items_named(recommender, exclude) or (),
            "only": items_named(recommender, only),
        }
    with _session(master, conf) as spark:
        report = recommend_on_cluster(
            spark, model, out,
            None if users is None else read_cluster_table(spark, users),
            None if plays is None else read_cluster_table(spark, plays),
            k, batch_size=batch, ship=ship, overwrite=overwrite, exclude_seen=not seen,
            where=parse_where(where), per_artist=per_artist, diversity=diversity,
            popularity_correction=popularity_correction, discovery=discovery, new=places, **named,
        )  # fmt: skip
    if as_json:
        print_json(report.to_dict(), indent=None)
        return
    if report.new_rows:
        echo(f"{report.new_rows:,} rows are songs that nobody has played")
    echo(f"lists of {report.users:,} users, {report.rows:,} rows, written to {out}")


@contextmanager
def _session(master: str | None, conf: list[str] | None) -> Iterator["SparkSession"]:
    """A session of Spark, ended with the command unless it was there before."""
    from recsys.cluster.session import check_installed, open_cluster

    check_installed()
    from pyspark.sql import SparkSession

    settings = {}
    for text in conf or ():
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise InvalidArgumentError(
                f"--conf must be a setting and a value, as in spark.cores.max=8, not {text!r}"
            )
        settings[name.strip()] = value
    before = SparkSession.getActiveSession()
    spark = open_cluster(master, settings)
    try:
        yield spark
    finally:
        if before is None:
            spark.stop()


def _recordings(spark: "SparkSession", place: str) -> "DataFrame":
    """The table of recordings that an argument names."""
    from recsys.cluster.session import read_cluster_table

    folder = Path(place)
    if folder.is_dir() and not _is_parquet(folder):
        from datasets.folder import load_folder

        dataset = load_folder(folder)
        if dataset.audio.empty:
            raise InvalidArgumentError(f"{place}: the data set has no recordings")
        ids, paths = dataset.audio["item_id"], dataset.recording_paths()
        rows = [(str(item), str(path.absolute())) for item, path in zip(ids, paths, strict=True)]
        return spark.createDataFrame(rows, ["item_id", "path"])
    return read_cluster_table(spark, place)


def _is_parquet(folder: Path) -> bool:
    parts = [part.name for part in folder.glob("*.parquet") if part.is_file()]
    return bool(parts) and not {"items.parquet", "audio.parquet"} & set(parts)
