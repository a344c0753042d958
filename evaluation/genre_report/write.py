"""Tables and pages of a genre cross-validation on disk."""

import datetime
import json
from pathlib import Path

from datasets.errors import InvalidArgumentError
from datasets.files import atomic_write, check_writable, write_text
from evaluation.genre.study import GenreStudy
from evaluation.genre_report.conclusions import cautions, summarise
from evaluation.genre_report.page import markdown, page
from evaluation.serialization import installed_versions


def check_folder(out: Path) -> None:
    """Raise InvalidArgumentError where nothing can be written to a folder of that name."""
    try:
        check_writable(out / "genre.html")
    except OSError as error:
        raise InvalidArgumentError(f"{out}: cannot be written to: {error.strerror}") from None


def write_study(study: GenreStudy, out: Path, *, command: str = "") -> Path:
    """Write the study to a folder; returns the path of the page.

    ``genre.html`` (one self-contained page), ``genre.md``, ``genre.json`` (all but the single
    predictions), and the tables ``folds.csv`` (Fig. 9A), ``summary.csv``, ``labels.csv``,
    ``confusion.csv`` and ``predictions.csv`` (Fig. 9B). ``command`` repeats it.

    Raises :class:`~datasets.errors.InvalidArgumentError` where they cannot be written.
    """
    created = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    facts = {
        "format": 1,
        "created": created.isoformat(),
        "text": summarise(study),
        "cautions": cautions(study),
        **study.to_dict(),
        "versions": installed_versions(),
        "command": command,
    }
    tables = {
        "folds": study.folds(),
        "summary": study.summary(),
        "labels": study.labels(),
        "confusion": study.confusions(),
        "predictions": study.predictions(),
    }
    target = out / "genre.html"
    try:
        text = json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        write_text(out / "genre.json", text)
        for name, table in tables.items():
            with atomic_write(out / f"{name}.csv") as temporary:
                table.to_csv(temporary, index=False)
        write_text(out / "genre.md", markdown(study, facts))
        write_text(target, page(study, facts))
    except OSError as error:
        raise InvalidArgumentError(f"{out}: cannot be written to: {error.strerror}") from error
    return target
