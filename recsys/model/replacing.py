"""Whether a new model may be saved to a folder: asked before hours are spent on learning it.

A model that is there may hold songs and plays that were acknowledged after its fit. The new one
would not have them, so they go only where that was asked for.
"""

import os
import tempfile
from pathlib import Path

from datasets.errors import ArtifactError, InvalidArgumentError
from recsys.model import artifact
from recsys.model.storage import open_catalog


def check_place(folder: Path, *, replace: bool) -> str:
    """Make sure that a model can be saved to a folder; what goes with the model there, in words.

    The words are "" where no model is there. replace: also where something goes that came after
    the fit. Nothing is left behind.

    Raises ArtifactError where nothing can be written or the folder holds something else, and
    InvalidArgumentError where something would go and ``replace`` is false.
    """
    artifact.check_destination(folder)
    _probe(folder)
    if not (folder / artifact.MANIFEST).exists():
        return ""
    try:
        later = _later(folder)
    except ArtifactError as error:
        if not replace:
            raise InvalidArgumentError(
                f"{error}; what came to the model after its fit is not known, --replace lets it go"
            ) from None
        later = "it cannot be read"
    if later and not replace:
        raise InvalidArgumentError(
            f"{folder}: the new model would not have what came to this one after its fit "
            f"({later}); --replace lets it go"
        )
    replaced = f"{folder}: the model there is replaced"
    return f"{replaced}, with what came to it after its fit ({later})" if later else replaced


def _later(folder: Path) -> str:
    """What the model of a folder took in after its fit, in words; "" for nothing."""
    info = artifact.read_manifest(folder).get("info")
    catalog = open_catalog(folder, whole=False)
    try:
        changes = catalog.changes()
    finally:
        catalog.close()
    counts = {
        "onboarded songs": len(changes.songs),
        "plays": len(changes.plays),
        "removed songs": len(changes.removed),
        # After a rebuild they are part of the model and cannot be told from it.
        "rebuilds": int(info.get("rebuilt", 0)) if isinstance(info, dict) else 0,
    }
    return ", ".join(f"{what}: {count:,}" for what, count in counts.items() if count)


def _probe(folder: Path) -> None:
    """Make a file where the model will be, or in the nearest folder above, and take it away."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    try:
        # A name that a save takes for what an earlier one left behind, and may clear away.
        handle, name = tempfile.mkstemp(prefix=f".{artifact.MANIFEST}.", dir=place)
        os.close(handle)
        Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise ArtifactError(f"{folder}: a model cannot be saved there: {error.strerror}") from None
