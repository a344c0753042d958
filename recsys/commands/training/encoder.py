"""The commands `coldtune encoder list` and `encoder get`: pretrained encoders."""

from pathlib import Path
from typing import Annotated, Any

import typer

from datasets.errors import InvalidArgumentError
from datasets.texts.suggestions import did_you_mean
from recsys.commands.options import JsonFlag
from recsys.commands.printing import echo, print_frame, print_json

app = typer.Typer(help="Pretrained encoders, which hear what recordings are.", no_args_is_help=True)

MUSICNN = "musicnn"
NAMES = (MUSICNN,)
"""Encoders that can be fetched."""


@app.command("list")
def list_encoders(as_json: JsonFlag = False) -> None:
    """Name the pretrained encoders: what they are, their licence, whether they are here."""
    rows = [_facts(name) for name in NAMES]
    if as_json:
        print_json(rows)
        return
    import pandas as pd

    frame = pd.DataFrame(rows)
    frame["fetched"] = ["yes" if row["fetched"] else "no" for row in rows]
    print_frame(frame[["name", "description", "licence", "fetched", "how"]])


@app.command()
def get(
    name: Annotated[str, typer.Argument(help="Which; `coldtune encoder list` names them.")],
    wheel: Annotated[
        Path | None,
        typer.Option(help="The file of the Python wheel, if you have it; else pip downloads it."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Fetch a pretrained encoder, check it and convert it; a second time it is there."""
    from embedding.encoders.musicnn.weights import LICENCE, REQUIREMENT, get_musicnn, has_weights

    if name not in NAMES:
        raise InvalidArgumentError(
            f"no encoder {name!r} can be fetched{did_you_mean(name, NAMES)}; "
            f"there are: {', '.join(NAMES)}"
        )
    if wheel is None and not has_weights():
        echo(f"pip downloads {REQUIREMENT}, 29 MB", err=True)
    path, is_new = get_musicnn(wheel)
    if as_json:
        print_json({"name": name, "file": str(path), "fetched_now": is_new})
    elif is_new:
        echo(f"{name} from the wheel {REQUIREMENT} (licence {LICENCE}) is in {path}")
    else:
        echo(f"{name} is there already: {path}")


def _facts(name: str) -> dict[str, Any]:
    from embedding.encoders.musicnn.weights import COMMAND, LICENCE, has_weights, weights_file

    fetched = has_weights()
    return {
        "name": name,
        "description": "MusiCNN, trained on 50 tags of 200,000 songs of the Million Song Dataset",
        "licence": LICENCE,
        "fetched": fetched,
        "how": f"--encoder {name}" if fetched else COMMAND,
        "file": str(weights_file()) if fetched else None,
    }
