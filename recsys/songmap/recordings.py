"""The recordings of songs that are at hand: files that the song database names and that exist."""

from collections.abc import Sequence
from pathlib import Path

from datasets.texts.file_names import name_from_text
from recsys.database.queries import recording_paths
from recsys.model.live import LiveModel


def recordings_at_hand(
    model: LiveModel, item_ids: Sequence[str], folder: Path | None = None
) -> dict[str, Path]:
    """Find the files that songs' embeddings were computed from, where they still exist.

    A relative path is looked for in `folder`, in the folder of the data set that the model learned
    from, and in the working directory, in this order.

    Examples:
        >>> from recsys.model import load_model
        >>> recommender.save(folder / "model")
        >>> recordings_at_hand(load_model(folder / "model"), ["s0"])  # it learned from embeddings
        {}

    Args:
        model: a saved model.
        item_ids: ids of songs of its catalogue.
        folder: another folder that relative paths may start from.

    Returns:
        The first file that exists of each song, as an absolute path.
    """
    with model.catalog.transaction() as connection:
        stored = recording_paths(connection, item_ids)
    learned_from = model.state.info["dataset"].get("folder")
    folders = [Path.cwd()]
    if learned_from is not None:
        folders.insert(0, Path(name_from_text(learned_from)))
    if folder is not None:
        folders.insert(0, folder.absolute())
    found = {}
    for item_id, paths in stored.items():
        places = (start / name_from_text(path) for path in paths for start in folders)
        file = next((place for place in places if _is_file(place)), None)
        if file is not None:
            found[item_id] = file
    return found


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # of a path that no system can have
        return False
