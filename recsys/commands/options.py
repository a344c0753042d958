"""Options that several commands share."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from datasets.columns import ARTIST, ITEM_ID, TITLE
from datasets.errors import InvalidArgumentError
from datasets.system.files import read_text, reason_of
from datasets.texts.suggestions import did_you_mean
from recsys.commands.printing import echo

if TYPE_CHECKING:
    from embedding.encoders.fine_tuning.config import HeadConfig
    from embedding.encoders.protocol import Encoder
    from recsys import Recommender
    from recsys.config import RecommenderConfig
    from recsys.ranking.options import New

_MOST_NAMED = 5
"""Items of one name that an error lists."""

Model = Annotated[Path, typer.Argument(help="Folder of a saved model.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Seed = Annotated[int | None, typer.Option(help="Seed of all random choices; 0, or as configured.")]
Threads = Annotated[
    int | None, typer.Option(help="Threads; all cores, or as configured, where not given.")
]
Tracking = Annotated[
    bool | None, typer.Option(help="Log the run to MLflow; yes, or as configured.")
]
Config = Annotated[
    Path | None, typer.Option("--config", help="A RecommenderConfig as a JSON file.")
]
Recipe = Annotated[
    str | None, typer.Option(help="How the network is made: patent or modern; or as configured.")
]
Sequence = Annotated[
    str | None,
    typer.Option(
        "--sequence",
        metavar="mean|attention|recurrent",
        help="How the windows of a song become one embedding: their mean, a weighted mean, or read "
        "in order of time; or as configured.",
    ),
]
Embeddings = Annotated[
    Path | None,
    typer.Option(
        help="Embeddings in place of a network's: .npz with item_id and embedding, or CSV or "
        "Parquet with item_id and a column for each dimension."
    ),
]
EncoderOption = Annotated[
    str | None,
    typer.Option(
        "--encoder",
        metavar="NAME|FOLDER|FILE.onnx@RATE:SECONDS",
        help="What embeds recordings: a saved encoder, the one of a saved model, or an ONNX file "
        "with its sample rate and the seconds of its window.",
    ),
]
FineTune = Annotated[
    str | None,
    typer.Option(
        "--fine-tune",
        metavar="frozen|thawed",
        help="Train heads for the catalogue's tags on top of --encoder, which stays as it is "
        '(frozen) or is trained as well (thawed); their settings are "heads" in --config.',
    ),
]
K = Annotated[int, typer.Option("-k", "--k", help="How many items.")]
Exclude = Annotated[list[str] | None, typer.Option(help="Item to leave out; repeat.")]
Only = Annotated[list[str] | None, typer.Option(help="Item to choose from; repeat.")]
Seen = Annotated[bool, typer.Option(help="Also recommend what was played.")]
WhereFlag = Annotated[
    list[str] | None,
    typer.Option("--where", help="Column and value, as in genre=jazz; repeat for more."),
]
PerArtist = Annotated[int | None, typer.Option(help="At most so many items of one artist.")]
Diversity = Annotated[
    float, typer.Option(help="0: the best scores, 1: items as different as can be.")
]
PopularityCorrection = Annotated[
    float, typer.Option(help="0: none, 1: as much against popular items as for high scores.")
]
Discovery = Annotated[
    float | None,
    typer.Option(help="Share of nDCG to pay for new songs, 0 to 1; as fitted where not given."),
]
NewFlag = Annotated[
    str | None,
    typer.Option(
        "--new",
        metavar="only|N|SHARE",
        help="Places for songs nobody has played: only, a number (2), or a share (0.2, 1.0).",
    ),
]


def open_encoder_option(
    given: str | None, fine_tune: str | None = None, heads: "HeadConfig | None" = None
) -> "Encoder | None":
    """Open what --encoder names: an encoder by name, in a folder, or an ONNX file.

    Args:
        given: option --encoder.
        fine_tune: option --fine-tune: with it, the encoder below untrained heads.
        heads: settings of these heads, but for ``backbone``.

    Raises:
        InvalidArgumentError, ArtifactError: there is none, or it cannot be used.
        EncoderUnavailableError: it is not on this machine; the message says how to get it.
    """
    from embedding.encoders.fine_tuning.config import HeadConfig

    if fine_tune is None:
        if heads not in (None, HeadConfig()):
            echo(
                '--config: its "heads" are not used, as --fine-tune frozen or thawed is not given',
                err=True,
            )
        return _open_encoder(given)
    from embedding.encoders.fine_tuning.encoder import FineTunedEncoder

    if fine_tune not in ("frozen", "thawed"):
        raise InvalidArgumentError(f"--fine-tune must be frozen or thawed, not {fine_tune!r}")
    encoder = _open_encoder(given)
    if encoder is None:
        raise InvalidArgumentError("--fine-tune needs --encoder: what heads are trained on")
    return FineTunedEncoder(encoder, (heads or HeadConfig()).replace(backbone=fine_tune))


def _open_encoder(given: str | None) -> "Encoder | None":
    if given is None:
        return None
    from embedding.encoders.loading import ENCODER_NAMES, check_available, named_encoder
    from embedding.encoders.own.onnx import OnnxEncoder, onnx_file_and_window
    from recsys.model.storage import open_encoder

    if given in ENCODER_NAMES:
        encoder = named_encoder(given)
        check_available(encoder)  # now, and not when everything is read
        return encoder
    path, rate, window = onnx_file_and_window(given)
    if path.suffix.lower() == ".onnx" or os.path.isfile(path):  # noqa: PTH113
        return OnnxEncoder(path, sample_rate=rate, window=window)
    if not os.path.isdir(path):  # noqa: PTH112  # `Path.is_dir` raises for too long a name
        names = f"a name ({', '.join(ENCODER_NAMES)}), " if ENCODER_NAMES else ""
        raise InvalidArgumentError(
            f"--encoder: there is no {given!r}{did_you_mean(given, list(ENCODER_NAMES))}; give "
            f"{names}the folder of a saved encoder or model, or FILE.onnx@RATE:SECONDS"
        )
    encoder = open_encoder(path)
    check_available(encoder)
    return encoder


def check_encoder_options(
    encoder: str | None, embeddings: Path | None, sequence: str | None
) -> None:
    """Check that what embeds recordings is said once.

    Args:
        encoder: option --encoder.
        embeddings: option --embeddings.
        sequence: option --sequence.

    Raises:
        InvalidArgumentError: two of them exclude one another.
    """
    if encoder is not None and embeddings is not None:
        raise InvalidArgumentError("--encoder and --embeddings exclude one another")
    if sequence is not None and (encoder is not None or embeddings is not None):
        other = "--encoder" if encoder is not None else "--embeddings"
        raise InvalidArgumentError(
            f"--sequence is for the network that is trained on the catalogue, and {other} takes "
            "its place"
        )


def _check_sequence(given: str) -> None:
    from embedding.network.config import SequenceName

    names = get_args(SequenceName)
    if given not in names:
        raise InvalidArgumentError(
            f"--sequence must be {', '.join(names[:-1])} or {names[-1]}, not "
            f"{given!r}{did_you_mean(given, names)}"
        )


def parse_new(given: str | None) -> "New | None":
    """Parse the option --new: ``only``, a whole number of places, or a share with a point.

    Raises:
        InvalidArgumentError: it is none of these.

    Examples:
        >>> [parse_new(text) for text in ("only", "2", "0.2", "1", "1.0")]
        ['only', 2, 0.2, 1, 1.0]
    """
    if given is None:
        return None
    text = given.strip().lower()
    if text == "only":
        return "only"
    from recsys.ranking.options import ListOptions

    try:
        new: int | float = float(text) if set(text) & set(".e") else int(text)
        ListOptions(new=new)
    except (ValueError, InvalidArgumentError):
        raise InvalidArgumentError(
            "--new must be only, a whole number of places such as 2, or a share of the places from "
            f"0.0 to 1.0, not {given!r}"
        ) from None
    return new


def parse_where(given: list[str] | None) -> dict[str, list[str]]:
    """Parse texts such as `genre=jazz` into columns with their values.

    Raises:
        InvalidArgumentError: a text has no column or no "=".
    """
    wanted: dict[str, list[str]] = {}
    for text in given or ():
        column, equals, value = text.partition("=")
        if not equals or not column.strip():
            raise InvalidArgumentError(
                f"--where must be a column and a value, as in genre=jazz, not {text!r}"
            )
        wanted.setdefault(column.strip(), []).append(value)
    return wanted


def item_named(model: "Recommender", text: str) -> str:
    """Return the id of the item that somebody means: by its id, title, or "artist - title".

    Raises:
        InvalidArgumentError: several items are called so.
    """
    if model.search(text, 1)[ITEM_ID].tolist() == [text]:
        return text
    found = model.search(text, _MOST_NAMED + 1)
    named = int(found.attrs["named"])
    if not named:
        return text  # whatever looks it up says that there is none, and suggests others
    columns = (found[name].head(named).tolist() for name in (ITEM_ID, ARTIST, TITLE))
    songs = [
        f"{item_id!r} ({' - '.join(filter(None, (artist, title)))})"
        for item_id, artist, title in zip(*columns, strict=True)
    ]
    if named > 1:
        more = ", …" if named > _MOST_NAMED else ""
        raise InvalidArgumentError(
            f"several items are called {text!r}: {', '.join(songs[:_MOST_NAMED])}{more}; "
            "give the id of one"
        )
    item_id = str(found[ITEM_ID].iloc[0])
    if item_id != text:
        echo(f"{text!r} is taken for {songs[0]}", err=True)
    return item_id


def item_or_file(model: "Recommender", text: str) -> str:
    """Return the path of a recording as it is, or the id of the item that somebody means.

    Raises:
        InvalidArgumentError: several items are called so.
    """
    # `Path.is_file` raises for a text that is too long to be a path.
    return text if os.path.isfile(text) else item_named(model, text)  # noqa: PTH113


def items_named(model: "Recommender", texts: list[str] | None) -> list[str] | None:
    """Return the ids of the items that somebody means; None for None."""
    return None if texts is None else [item_named(model, text) for text in texts]


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The values of a JSON object by name; of two with one name, JSON would take the last."""
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is given twice")
    return values


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file.

    Raises:
        InvalidArgumentError: the file cannot be read or holds something else.
    """
    try:
        text = read_text(path).removeprefix("\ufeff")  # as editors of Windows write it
        values = json.loads(text, object_pairs_hook=_named_once)
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidArgumentError(f"{path}: cannot be read as JSON: {reason_of(error)}") from None
    if not isinstance(values, dict):
        raise InvalidArgumentError(f"{path}: must hold a JSON object")
    return values


def recommender_config(
    path: Path | None,
    seed: int | None,
    threads: int | None,
    tracking: bool | None,
    recipe: str | None = None,
    sequence: str | None = None,
) -> "RecommenderConfig":
    """Combine the settings of a recipe, a file and options, the later overriding the earlier.

    Args:
        path: JSON file of a RecommenderConfig.
        seed: option --seed.
        threads: option --threads.
        tracking: option --tracking.
        recipe: recipe of the network, which the file's encoder settings override.
        sequence: option --sequence.

    Raises:
        InvalidArgumentError: the file is not a JSON object, or a setting is wrong.
    """
    from embedding.network.config import EncoderConfig
    from recsys.config import RecommenderConfig

    given = {"seed": seed, "threads": threads, "tracking": tracking}
    given = {name: value for name, value in given.items() if value is not None}
    for name, value in given.items():  # checked alone, so that errors do not name the file
        try:
            RecommenderConfig.from_json({name: value})
        except InvalidArgumentError as error:
            raise InvalidArgumentError(
                f"--{name}: {str(error).rpartition(f'{name}: ')[2]}"
            ) from None
    if recipe is not None:
        EncoderConfig.recipe(recipe)  # type: ignore[arg-type]
    values = {} if path is None else read_object(path)
    values |= given
    if sequence is not None:
        _check_sequence(sequence)
        if isinstance(of_encoder := values.get("encoder", {}), dict):
            values["encoder"] = {**of_encoder, "sequence": sequence}
    try:
        if recipe is not None:
            own = values.get("encoder", {})
            values["encoder"] = EncoderConfig.recipe(recipe, **own)  # type: ignore[arg-type]
        return RecommenderConfig.from_json(values)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{path}: {error}" if path else str(error)) from None
