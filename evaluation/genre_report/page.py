"""A genre study as an HTML page and as Markdown."""

import json
import re
from collections.abc import Iterable
from typing import Any, Final

import pandas as pd

from datasets.texts.safe_text import escape_markdown, printable
from evaluation.genre.scores import MEASURES
from evaluation.genre.splits import SPLITS
from evaluation.genre.study import BASELINE, NETWORK, PUBLISHED, GenreStudy
from evaluation.genre_report.conclusions import (
    spread_meaning,
    spread_of_measure,
    study_cautions,
    summarise_study,
)
from evaluation.genre_report.plots import folds_plot, labels_plot
from evaluation.report.facts import confusion_rows, format_genre_measure
from evaluation.report.render import markdown_table, render_page

MAX_LABELS: Final = 30
"""Most labels in a table with a column for each; the CSV files have them all."""

_MAX_SONGS: Final = 2000
"""Most songs that the page lists; predictions.csv has them all."""

_COLUMNS: Final = (*MEASURES, "window@1", "neighbours@10")
"""Measures that have a column in the tables."""


def study_page(study: GenreStudy, facts: dict[str, Any]) -> str:
    """Render a study as a self-contained HTML page; ``facts`` are those of genre.json."""
    split = study.groups()[0][0]
    figures = {"folds": folds_plot(study), "labels": labels_plot(study, split)}
    context = {
        "byline": _byline(study, facts["created"]),
        "summary": summarise_study(study),
        "cautions": study_cautions(study),
        "spread": spread_meaning(study),
        "results": _result_rows(study),
        "published": _published_row(),
        "published_layers": _layers(PUBLISHED["architecture"]),
        "title": _title(study),
        "tag": study.material.tag,
        "kinds": study.material.label_plural,
        "source": PUBLISHED["source"],
        "leaks": [SPLITS[name] for name in dict.fromkeys(s for s, _ in study.groups())],
        "baseline": BASELINE in {run.classifier for run in study.runs},
        "baseline_of": study.material.baseline,
        "runs": [_run(study, *pair) for pair in study.groups()],
        "split": split,
        "songs": _songs(study, split),
        "most_labels": MAX_LABELS,
        "n_labels": study.runs[0].result.facts["labels"],
        "n_songs": len(study.of(split, NETWORK)[0].result.predictions),
        "noun": "windows" if split == "snippet" else "songs",
        "taken": study.material.sources,
        "command": facts["command"],
        "versions": facts["versions"],
        "configuration": json.dumps(facts["configuration"], indent=2, ensure_ascii=False),
    }
    return render_page("genre.html", context, figures, ("report.css", "genre.css"))


def _title(study: GenreStudy) -> str:
    tag = study.material.tag
    return "How well are genres heard?" if tag == "genre" else f"How well is “{tag}” heard?"


def _layers(architecture: str) -> list[str]:
    """Split an architecture into its layers, between which a line may break."""
    return re.findall(r"[^)]*\)?", architecture)[:-1]


def _byline(study: GenreStudy, created: str) -> str:
    """Summarise data and protocol in one line."""
    facts = study.runs[0].result.facts
    seeds = len({run.seed for run in study.runs})
    return " · ".join(
        [
            f"{facts['recordings']:,} recordings",
            f"{facts['labels']} {study.material.label_plural}",
            f"{facts['groups']:,} artists" if study.material.artists is not None else "no artists",
            f"{facts['folds']} folds",
            *([f"{seeds} seeds"] if seeds > 1 else []),
            created[:16].replace("T", " ") + " UTC",
        ]
    )


def _result_rows(study: GenreStudy) -> list[dict[str, Any]]:
    """Means and deviations as text and seconds a fold, for each split and classifier."""
    return [
        {
            "split": row["split"],
            "classifier": row["classifier"],
            "architecture": row["architecture"],
            "layers": _layers(row["architecture"]),
            "cells": [
                (
                    format_genre_measure(row[name], name),
                    _deviation(spread_of_measure(row, name), name),
                )
                for name in _COLUMNS
            ],
            "seconds": _seconds(row["seconds"]),
        }
        for row in study.summary().to_dict("records")
    ]


def _published_row() -> list[tuple[str, str]]:
    """The patent's figures and their range over folds, in the columns of the results."""
    cells = [("–", "")]
    for name in ("precision@1", "precision@3"):
        low, high = PUBLISHED[f"{name} range"]
        cells.append((f"{PUBLISHED[name]:.1%}", f"{100 * low:.1f}–{high:.1%}"))
    return [*cells, ("–", ""), ("–", "")]


def _deviation(value: float, name: str) -> str:
    """A standard deviation as text, in percentage points for a share."""
    if pd.isna(value):
        return ""
    return f"± {value:.3f}" if name == "loss" else f"± {100 * value:.1f}"


def _commonest(confusion: pd.DataFrame) -> pd.DataFrame:
    """The rows and columns of the commonest labels of a confusion matrix."""
    names = confusion.sum(axis=1).nlargest(MAX_LABELS).index
    return confusion.loc[confusion.index.isin(names), confusion.columns.isin(names)]


def _seconds(value: float) -> str:
    return "<0.1" if value < 0.05 else f"{value:,.1f}" if value < 10 else f"{value:,.0f}"


def _run(study: GenreStudy, split: str, classifier: str) -> dict[str, Any]:
    """Fold table (Fig. 9A), confusion matrix and label table of one split and classifier."""
    runs = study.of(split, classifier)
    confusion = _commonest(study.confusion(split, classifier))
    total = next(
        row
        for row in study.summary().to_dict("records")
        if (row["split"], row["classifier"]) == (split, classifier)
    )
    labels = study.labels().query("split == @split and classifier == @classifier")
    return {
        "title": f"{classifier}, split by {split}",
        "architecture": runs[0].architecture,
        "seeds": len(runs),
        "folds": [
            {
                "seed": run.seed,
                "fold": row["fold"],
                "n": row["n"],
                "cells": [format_genre_measure(row[name], name) for name in _COLUMNS],
                "seconds": _seconds(row["seconds"]),
            }
            for run in runs
            for row in run.result.table.to_dict("records")
        ],
        "mean": [format_genre_measure(total[name], name) for name in _COLUMNS],
        "sd": [_deviation(total[f"{name} sd"], name).removeprefix("± ") for name in _COLUMNS],
        "sd_of_seeds": [
            _deviation(total[f"{name} sd of seeds"], name).removeprefix("± ") for name in _COLUMNS
        ],
        "names": [str(name) for name in confusion.index],
        "confusion": confusion_rows(confusion),
        "labels": [
            {
                "label": row["label"],
                "n": row["n"],
                "cells": [
                    format_genre_measure(row[name], name) for name in ("precision", "recall", "F1")
                ],
            }
            for row in labels.to_dict("records")
        ],
    }


def _songs(study: GenreStudy, split: str) -> dict[str, Any]:
    """The scores of every song (Fig. 9B), the most confident mistakes first."""
    run = study.of(split, NETWORK)[0]
    predicted = run.result.predictions
    shown = _commonest(run.result.confusion).index
    scores = run.result.scores
    top = scores.max(axis=1)
    wrong = predicted["predicted"] != predicted["label"]
    order = pd.DataFrame({"wrong": wrong, "top": top}).sort_values(
        ["wrong", "top"], ascending=False, kind="stable"
    )
    rows = [
        {
            "song": str(study.material.names[predicted["recording"][place]]),
            "true": predicted["label"][place],
            "predicted": predicted["predicted"][place],
            "wrong": bool(wrong[place]),
            "cells": [
                {
                    "share": round(100 * value) if value == value else None,
                    "right": name == predicted["label"][place],
                }
                for name, value in scores.loc[place].items()
                if name in shown
            ],
        }
        for place in order.index[:_MAX_SONGS]
    ]
    mistakes = int(wrong.sum())
    return {
        "names": [str(name) for name in scores.columns if name in shown],
        "surest": rows[: min(12, mistakes)],
        "all": rows,
        "seed": run.seed,
    }


def study_markdown(study: GenreStudy, facts: dict[str, Any]) -> str:
    """Render summary, cautions and tables of a study as Markdown, without single predictions."""
    lines = [
        f"# {escape_markdown(_title(study))}",
        "",
        escape_markdown(_byline(study, facts["created"])),
        "",
    ]
    for sentence in summarise_study(study):
        lines += [escape_markdown(sentence), ""]
    lines += [
        "Read this first:",
        "",
        *(f"- {escape_markdown(note)}" for note in study_cautions(study)),
        "",
    ]
    lines += ["## Results", "", *_results_table(study), ""]
    lines += [f"{escape_markdown(spread_meaning(study))}. The patent: {PUBLISHED['source']}.", ""]
    for split, classifier in study.groups():
        lines += [
            f"## {escape_markdown(f'{classifier}, split by {split}')}",
            "",
            *_folds_table(study, split, classifier),
            "",
        ]
        lines += [
            *_labels_table(study, split, classifier),
            "",
            *_confusion_table(study, split, classifier),
            "",
        ]
    if facts["command"]:
        lines += ["## Repeat it", "", "```", printable(facts["command"]), "```", ""]
    return "\n".join(lines)


def _results_table(study: GenreStudy) -> Iterable[str]:
    rows = [
        [*map(escape_markdown, (row["split"], row["classifier"])), f"`{row['architecture']}`"]
        + [" ".join(cell).strip() for cell in row["cells"]]
        for row in _result_rows(study)
    ]
    patent = [" ".join(cell).strip() for cell in _published_row()]
    rows.append(["song", "patent (other data)", f"`{PUBLISHED['architecture']}`", *patent])
    names = ("split by", "classifier", "architecture", "loss", "precision@1", "precision@3")
    return markdown_table((*names, "single window@1", "neighbours@10"), rows, text=3)


def _folds_table(study: GenreStudy, split: str, classifier: str) -> Iterable[str]:
    rows = [
        [escape_markdown(str(row["fold"])), str(run.seed), f"`{run.architecture}`", str(row["n"])]
        + [format_genre_measure(row[name], name) for name in _COLUMNS]
        for run in study.of(split, classifier)
        for row in run.result.table.to_dict("records")
    ]
    return markdown_table(
        ("fold", "seed", "architecture", "tested", "loss", "precision@1", "precision@3",
         "single window@1", "neighbours@10"),
        rows,
        text=0,
    )  # fmt: skip


def _labels_table(study: GenreStudy, split: str, classifier: str) -> Iterable[str]:
    frame = study.labels().query("split == @split and classifier == @classifier")
    names = ("precision", "recall", "F1")
    rows = [
        [
            escape_markdown(str(row["label"])),
            str(row["n"]),
            *(format_genre_measure(row[name], name) for name in names),
        ]
        for row in frame.to_dict("records")
    ]
    return markdown_table((escape_markdown(study.material.tag), "tested", *names), rows, text=1)


def _confusion_table(study: GenreStudy, split: str, classifier: str) -> Iterable[str]:
    counts = _commonest(study.confusion(split, classifier))
    names = [escape_markdown(str(name)) for name in counts.index]
    rows = [
        [name, *map(str, row)] for name, row in zip(names, counts.to_numpy().tolist(), strict=True)
    ]
    return markdown_table(("true \\ first", *names), rows, text=1)
