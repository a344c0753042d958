"""Tables and pages of a genre cross-validation on disk."""

import json
import tempfile
from pathlib import Path

from datasets.errors import InvalidArgumentError
from datasets.files import atomic_write, write_text
from evaluation.genre_study import GenreStudy


def check_folder(out: Path) -> None:
    """Raise InvalidArgumentError where nothing can be written to a folder of that name."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        raise InvalidArgumentError(f"{out}: cannot be written to: {error.strerror}") from None


def write_study(study: GenreStudy, out: Path, *, command: str = "") -> Path:
    """Write genre.json and its tables as CSV; returns the path."""
    facts = {"format": 1, **study.to_dict(), "command": command}
    path = out / "genre.json"
    write_text(path, json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    tables = {
        "folds": study.folds(),
        "summary": study.summary(),
        "labels": study.labels(),
        "predictions": study.predictions(),
    }
    for name, table in tables.items():
        with atomic_write(out / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False)
    return path
