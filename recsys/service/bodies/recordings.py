"""Recordings of items that may be listened to: files in the folders that were named for it."""

import os
from collections.abc import Iterable
from pathlib import Path

from recsys.model.live import LiveModel
from recsys.playlists.files import RecordingFiles
from recsys.service.requests.context import ServiceContext

MEDIA_TYPES = {
    ".aac": "audio/aac", ".aif": "audio/aiff", ".aiff": "audio/aiff", ".flac": "audio/flac",
    ".m4a": "audio/mp4", ".m4b": "audio/mp4", ".mp3": "audio/mpeg", ".mp4": "audio/mp4",
    ".oga": "audio/ogg", ".ogg": "audio/ogg", ".opus": "audio/ogg", ".wav": "audio/wav",
}  # fmt: skip
"""Media types of recordings by suffix."""


def find_recordings_of(
    context: ServiceContext, live: LiveModel, item_ids: Iterable[str], *, anywhere: bool = False
) -> dict[str, Path]:
    """Return where recordings of items are; items without one are left out.

    Args:
        context: what the application shares.
        live: the model.
        item_ids: the items.
        anywhere: also outside of the folders that may be listened to; for what is made of it.
    """
    ids = list(item_ids)
    fitted = context.folder_of_the_fit(live)
    folders = context.settings.playable_folders
    found: dict[str, Path] = {}
    for moved_to in (None, *(one for one in folders if one.is_dir())):
        left = [item_id for item_id in ids if item_id not in found]
        if not left:
            break
        files = RecordingFiles(live.catalog, fitted, moved_to)
        files.look_up(left)
        for item_id in left:
            path = files.find(item_id)
            if path is not None and (anywhere or is_within(path, folders)):
                found[item_id] = path
    return found


def find_recording(
    context: ServiceContext, live: LiveModel, item_id: str, *, anywhere: bool = False
) -> Path | None:
    """Return where a recording of one item is, as `find_recordings_of`; None without one."""
    return find_recordings_of(context, live, [item_id], anywhere=anywhere).get(item_id)


def playable_items(context: ServiceContext, live: LiveModel, item_ids: Iterable[str]) -> set[str]:
    """Return those of some items that have a recording that may be listened to here."""
    if not context.settings.playable_folders:
        return set()
    return set(find_recordings_of(context, live, item_ids))


def is_playable(context: ServiceContext, live: LiveModel, item_id: str) -> bool:
    """Return whether an item has a recording that may be listened to here."""
    return bool(playable_items(context, live, [item_id]))


def is_within(path: Path, folders: tuple[Path, ...]) -> bool:
    """Return whether a file lies in one of some folders, all links followed.

    Examples:
        >>> (folder / "music").mkdir()
        >>> _ = (folder / "secret.wav").write_bytes(b"")
        >>> (folder / "music" / "link.wav").symlink_to(folder / "secret.wav")
        >>> is_within(folder / "music" / "link.wav", (folder / "music",))
        False
    """
    try:
        real = Path(os.path.realpath(path, strict=True))
        return any(real.is_relative_to(os.path.realpath(one, strict=True)) for one in folders)
    except (OSError, ValueError):
        return False
