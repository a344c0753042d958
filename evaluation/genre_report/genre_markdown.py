"""A genre cross-validation as Markdown, to be put beside code or into a message."""

from collections.abc import Iterable
from typing import Any

from evaluation.genre.study import PUBLISHED, GenreStudy
from evaluation.genre_report.conclusions import cautions, spread_meaning, summarise
from evaluation.genre_report.page import (
    MEASURED,
    byline,
    commonest,
    figure,
    published_row,
    result_rows,
    title,
)
from evaluation.report.markdown_tables import table


def markdown(study: GenreStudy, facts: dict[str, Any]) -> str:
    """Summary, cautions, and the tables of Fig. 9A; the single predictions are in the CSV."""
    lines = [f"# {title(study)}", "", byline(study, facts["created"]), ""]
    for sentence in summarise(study):
        lines += [sentence, ""]
    lines += ["Read this first:", "", *(f"- {note}" for note in cautions(study)), ""]
    lines += ["## Results", "", *_results(study), ""]
    lines += [f"{spread_meaning(study)}. The patent: {PUBLISHED['source']}.", ""]
    for split, classifier in study.groups():
        lines += [f"## {classifier}, split by {split}", "", *_folds(study, split, classifier), ""]
        lines += [*_labels(study, split, classifier), "", *_confusion(study, split, classifier), ""]
    if facts["command"]:
        lines += ["## Repeat it", "", "```", facts["command"], "```", ""]
    return "\n".join(lines)


def _results(study: GenreStudy) -> Iterable[str]:
    rows = [
        [row["split"], row["classifier"], f"`{row['architecture']}`"]
        + [" ".join(cell).strip() for cell in row["cells"]]
        for row in result_rows(study)
    ]
    patent = [" ".join(cell).strip() for cell in published_row()]
    rows.append(["song", "patent (other data)", f"`{PUBLISHED['architecture']}`", *patent])
    names = ("split by", "classifier", "architecture", "loss", "precision@1", "precision@3")
    return table((*names, "single window@1"), rows, text=3)


def _folds(study: GenreStudy, split: str, classifier: str) -> Iterable[str]:
    rows = [
        [str(row["fold"]), str(run.seed), f"`{run.architecture}`", str(row["n"])]
        + [figure(row[name], name) for name in MEASURED]
        for run in study.of(split, classifier)
        for row in run.result.table.to_dict("records")
    ]
    return table(
        ("fold", "seed", "architecture", "tested", "loss", "precision@1", "precision@3",
         "single window@1"),
        rows,
        text=0,
    )  # fmt: skip


def _labels(study: GenreStudy, split: str, classifier: str) -> Iterable[str]:
    frame = study.labels().query("split == @split and classifier == @classifier")
    names = ("precision", "recall", "F1")
    rows = [
        [str(row["label"]), str(row["n"]), *(figure(row[name], name) for name in names)]
        for row in frame.to_dict("records")
    ]
    return table((study.material.tag, "tested", *names), rows, text=1)


def _confusion(study: GenreStudy, split: str, classifier: str) -> Iterable[str]:
    counts = commonest(study.confusion(split, classifier))
    names = [str(name) for name in counts.index]
    rows = [
        [name, *map(str, row)] for name, row in zip(names, counts.to_numpy().tolist(), strict=True)
    ]
    return table(("true \\ first", *names), rows, text=1)
