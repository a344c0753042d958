"""The command `coldtune compose`: music that is, to a network, what one asks for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from datasets.errors import InvalidArgumentError
from recsys.commands.options import JsonFlag
from recsys.commands.printing import echo, print_json

if TYPE_CHECKING:
    from embedding import SongEncoder
    from embedding.composition.goals import Goal

METHODS = ("notes", "picture")


def compose(
    model: Annotated[Path, typer.Argument(help="Folder of a saved model, or of its encoder.")],
    out: Annotated[Path, typer.Option(help="Sound to write: .wav, .flac or .ogg.")],
    genre: Annotated[
        list[str] | None,
        typer.Option(help="Label to go towards, as jazz; repeat to mix: jazz=0.7 and rock=0.3."),
    ] = None,
    like: Annotated[str | None, typer.Option(help="Item to sound like.")] = None,
    user: Annotated[str | None, typer.Option(help="Listener to suit.")] = None,
    seconds: Annotated[float, typer.Option(help="Length of the sound.")] = 10.0,
    seed: Annotated[int, typer.Option(help="Another seed, another composition.")] = 0,
    steps: Annotated[int, typer.Option(help="Steps of gradient descent.")] = 150,
    method: Annotated[
        str,
        typer.Option(help="notes: of an ensemble; picture: a hyper-image first, as in the patent."),
    ] = "notes",
    picture: Annotated[Path | None, typer.Option(help="Also draw it: .png, .pdf or .svg.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Compose music that is, to the network, of a genre, like a song, or to a listener's taste."""
    from embedding.composition.composer import (
        CompositionConfig,
        check_sound_file,
        roundtrip_images,
        write_sound,
    )
    from embedding.composition.composer import compose as compose_notes
    from embedding.composition.image_inversion import dream
    from embedding.composition.plot import draw_composition
    from embedding.encoders.songs import embed_song
    from embedding.hyperimage.plots import check_figure_file

    if method not in METHODS:
        raise InvalidArgumentError(f"--method must be {' or '.join(METHODS)}, not {method!r}")
    if (bool(genre) + (like is not None) + (user is not None)) != 1:
        raise InvalidArgumentError("give --genre, --like or --user, one of them")
    check_sound_file(out)
    if picture is not None:
        check_figure_file(picture)
    config = CompositionConfig(seconds=seconds, seed=seed, steps=steps)
    encoder, goal = _encoder_and_goal(model, _label_weights(genre or []), like, user)

    make = compose_notes if method == "notes" else dream
    composition = make(encoder, goal, config, progress=True)
    rendered = roundtrip_images(encoder, composition)
    _, by_tag = embed_song(encoder, rendered)
    scores = dict(zip(encoder.classes_.tolist(), by_tag[encoder.config.tags[0]], strict=True))
    composed, again = goal.match(encoder, composition.image[None]), goal.match(encoder, rendered)
    wanted = " and ".join(genre or []) or (f"like {like}" if like else f"for {user}")
    if picture is not None:
        draw_composition(
            composition,
            encoder.config.hyperimage,
            encoder.config.snippet.seconds,
            f"{wanted}, seed {seed}: {again:.0%} reached",
            picture,
        )
    write_sound(out, composition.sound, composition.sample_rate)
    best = sorted(scores, key=scores.__getitem__, reverse=True)[:3]
    if as_json:
        result = {
            "wanted": wanted,
            "reached_by_picture": round(composed, 4),
            "reached_by_sound": round(again, 4),
            "probabilities": {name: round(float(p), 4) for name, p in scores.items()},
        }
        print_json(result, ascii_only=False)
        return
    echo(f"composed {wanted}: {composed:.1%} reached by the picture")
    echo(f"written to {out} and heard again: {again:.1%} reached by the sound; it sounds")
    echo("to the network like " + ", ".join(f"{name} ({scores[name]:.1%})" for name in best))


def _label_weights(genre: list[str]) -> dict[str, float]:
    """Parse labels with weights, such as "jazz=0.7"; without one the weight is 1."""
    weights: dict[str, float] = {}
    for text in genre:
        name, _, share = text.rpartition("=") if "=" in text else (text, "", "1")
        try:
            weight = float(share)
        except ValueError:
            raise InvalidArgumentError(
                f"--genre: the weight in {text!r} must be a number, as in jazz=0.7"
            ) from None
        if name in weights:
            raise InvalidArgumentError(f"--genre: {name!r} is given twice")
        weights[name] = weight
    return weights


def _encoder_and_goal(
    model: Path, weights: dict[str, float], like: str | None, user: str | None
) -> "tuple[SongEncoder, Goal]":
    from embedding.composition.goals import labels
    from embedding.network.storage import ENCODER_MANIFEST
    from recsys.commands.audio.composition_goals import likeness_goal, taste_goal
    from recsys.model.storage import load_model, network_of, open_network

    if (model / ENCODER_MANIFEST).is_file():
        if like is not None or user is not None:
            raise InvalidArgumentError(
                f"{model}: is an encoder alone, which knows labels but no songs and listeners"
            )
        encoder = open_network(model)
        return encoder, labels(encoder, weights)
    fitted = load_model(model.absolute())
    if fitted.state.encoder is None:
        raise InvalidArgumentError(f"{model}: this model has no network of its own to compose with")
    network = network_of(fitted.state.encoder, model)
    if like is not None:
        return network, likeness_goal(fitted, network, like)
    if user is not None:
        return network, taste_goal(fitted, user)
    return network, labels(network, weights)
