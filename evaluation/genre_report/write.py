"""Write a genre study to a folder: page, Markdown, JSON and tables."""

import datetime
import json
from pathlib import Path

from datasets.errors import InvalidArgumentError
from datasets.system.files import atomic_write, check_writable, write_text
from datasets.texts.safe_text import write_spreadsheet
from evaluation.genre.study import GenreStudy
from evaluation.genre_report.conclusions import study_cautions, summarise_study
from evaluation.genre_report.page import study_markdown, study_page
from evaluation.serialization import installed_versions


def check_study_folder(out: Path) -> None:
    """Check that a study can be written to a folder, before it is computed.

    Args:
        out: the folder.

    Raises:
        InvalidArgumentError: nothing can be written there.
    """
    try:
        check_writable(out / "genre.html")
    except OSError as error:
        raise InvalidArgumentError(f"{out}: cannot be written to: {error.strerror}") from None


def write_study(study: GenreStudy, out: Path, *, command: str = "") -> Path:
    """Write a study to a folder.

    The files are ``genre.html`` (one self-contained page), ``genre.md``, ``genre.json`` (all but
    the single predictions), and the tables ``folds.csv`` (Fig. 9A), ``summary.csv``,
    ``labels.csv``, ``confusion.csv`` and ``predictions.csv`` (Fig. 9B).

    Args:
        study: what ``run_study`` returns.
        out: the folder; it is made if it is missing.
        command: command line that repeats the study.

    Returns:
        Path of the page.

    Raises:
        InvalidArgumentError: the folder cannot be written to.

    Examples:
        >>> from datasets.image_arrays import read_image_arrays
        >>> from embedding import EncoderConfig
        >>> from evaluation.genre import from_arrays, run_study
        >>> from evaluation.genre_report import write_study
        >>> config = EncoderConfig(architecture="IC(2,5,4)PF(8)O", epochs=1, threads=1)
        >>> np.savez(folder / "logmel.npz", images=images, genre=labels)
        >>> material = from_arrays(read_image_arrays(folder / "logmel.npz"), config)
        >>> study = run_study(material, config, splits=["song"], folds=2, baseline=False)
        >>> write_study(study, folder / "report").name
        'genre.html'
    """
    created = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    facts = {
        "format": 1,
        "created": created.isoformat(),
        "text": summarise_study(study),
        "cautions": study_cautions(study),
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
                write_spreadsheet(table, temporary)
        write_text(out / "genre.md", study_markdown(study, facts))
        write_text(target, study_page(study, facts))
    except OSError as error:
        raise InvalidArgumentError(f"{out}: cannot be written to: {error.strerror}") from error
    return target
