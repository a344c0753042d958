"""Data sets on disk for tests, what loading says of them, and what is in a folder."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from datasets.errors import DataError
from datasets.folder import load_folder
from datasets.music import MusicDataset

ITEMS = "item_id,title,artist,album,genre\na,Alpha,Ann,,jazz\nb,Beta,Bob,,\n"
AUDIO = "item_id,path,title,genre\na,a.wav,,\n"
INTERACTIONS = "user_id,item_id,weight\nu,a,1\nv,b,2\n"


def make(folder: Path, **tables: str | bytes | None) -> Path:
    """A folder with a correct data set in which the given tables are replaced (None: absent)."""
    folder.mkdir(exist_ok=True)
    (folder / "a.wav").touch()
    defaults: dict[str, Any] = {"items": ITEMS, "audio": AUDIO, "interactions": INTERACTIONS}
    for name, content in {**defaults, **tables}.items():
        if content is not None:
            data = content if isinstance(content, bytes) else content.encode()
            (folder / f"{name}.csv").write_bytes(data)
    return folder


def names_in(folder: Path) -> list[str]:
    """The names of what is in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())


def files_of(folder: Path) -> list[str]:
    """The files in a folder and below it, as paths from the folder on."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def file_contents(folder: Path) -> dict[str, bytes]:
    """The files in a folder and below it with what they hold."""
    return {name: (folder / name).read_bytes() for name in files_of(folder)}


def assert_same(left: MusicDataset, right: MusicDataset) -> None:
    pd.testing.assert_frame_equal(left.items, right.items)
    pd.testing.assert_frame_equal(left.audio, right.audio)
    pd.testing.assert_frame_equal(left.interactions, right.interactions, check_exact=True)
    assert left.digest() == right.digest()


def message_of(folder: Path) -> str:
    """The error of loading, which must be one line that names the folder."""
    with pytest.raises(DataError) as caught:
        load_folder(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(folder))
    return message.removeprefix(str(folder)).lstrip("/")


def message_or_none(folder: Path) -> str | None:
    """The error of loading, None if it loads."""
    try:
        load_folder(folder)
    except DataError as error:
        return str(error)
    return None
