"""The HTML page of a genre cross-validation: rows of text for its template.

A genre cross-validation as Markdown, to be put beside code or into a message.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

import pandas as pd

from evaluation.genre.scores import MEASURES
from evaluation.genre.splits import SPLITS
from evaluation.genre.study import BASELINE, NETWORK, PUBLISHED, GenreStudy
from evaluation.genre_report.conclusions import cautions, spread, spread_meaning, summarise
from evaluation.genre_report.plots import folds_plot, labels_plot
from evaluation.report.facts import confusion_rows
from evaluation.report.render import render, table

SONGS = 2000
"""The most songs that the page lists; the file has them all."""

LABELS = 30
"""The most labels in a table that has a column for each; the file has them all."""

MEASURED = (*MEASURES, "window@1")
"""Columns of the tables."""


def page(study: GenreStudy, facts: dict[str, Any]) -> str:
    """The page as text; ``facts`` are what is written as JSON beside it."""
    split = study.groups()[0][0]
    figures = {"folds": folds_plot(study), "labels": labels_plot(study, split)}
    context = {
        "byline": byline(study, facts["created"]),
        "summary": summarise(study),
        "cautions": cautions(study),
        "spread": spread_meaning(study),
        "results": result_rows(study),
        "published": published_row(),
        "published_layers": breakable(PUBLISHED["architecture"]),
        "title": title(study),
        "tag": study.material.tag,
        "kinds": study.material.kinds,
        "source": PUBLISHED["source"],
        "leaks": [SPLITS[name] for name in dict.fromkeys(s for s, _ in study.groups())],
        "baseline": BASELINE in {run.classifier for run in study.runs},
        "baseline_of": study.material.baseline,
        "runs": [_run(study, *pair) for pair in study.groups()],
        "split": split,
        "songs": _songs(study, split),
        "most_labels": LABELS,
        "n_labels": study.runs[0].result.facts["labels"],
        "n_songs": len(study.of(split, NETWORK)[0].result.predictions),
        "noun": "windows" if split == "snippet" else "songs",
        "taken": study.material.taken,
        "command": facts["command"],
        "versions": facts["versions"],
        "configuration": json.dumps(facts["configuration"], indent=2, ensure_ascii=False),
    }
    return render("genre.html", context, figures, ("report.css", "genre.css"))


def title(study: GenreStudy) -> str:
    """The question that the page answers."""
    tag = study.material.tag
    return "How well are genres heard?" if tag == "genre" else f"How well is “{tag}” heard?"


def breakable(architecture: str) -> list[str]:
    """The layers of an architecture, between which a line may end."""
    return re.findall(r"[^)]*\)?", architecture)[:-1]


def byline(study: GenreStudy, created: str) -> str:
    """What was measured, in one line."""
    facts = study.runs[0].result.facts
    seeds = len({run.seed for run in study.runs})
    return " · ".join(
        [
            f"{facts['recordings']:,} recordings",
            f"{facts['labels']} {study.material.kinds}",
            f"{facts['groups']:,} artists" if study.material.artists is not None else "no artists",
            f"{facts['folds']} folds",
            *([f"{seeds} seeds"] if seeds > 1 else []),
            created[:16].replace("T", " ") + " UTC",
        ]
    )


def result_rows(study: GenreStudy) -> list[dict[str, Any]]:
    """A row a split and classifier: means and deviations as text, seconds a fold."""
    return [
        {
            "split": row["split"],
            "classifier": row["classifier"],
            "architecture": row["architecture"],
            "layers": breakable(row["architecture"]),
            "cells": [
                (figure(row[name], name), deviation(spread(row, name), name)) for name in MEASURED
            ],
            "seconds": _seconds(row["seconds"]),
        }
        for row in study.summary().to_dict("records")
    ]


def published_row() -> list[tuple[str, str]]:
    """The patent's figures in the columns of :func:`result_rows`, with their range over folds."""
    cells = [("–", "")]
    for name in ("precision@1", "precision@3"):
        low, high = PUBLISHED[f"{name} range"]
        cells.append((f"{PUBLISHED[name]:.1%}", f"{100 * low:.1f}–{high:.1%}"))
    return [*cells, ("–", "")]


def figure(value: float, name: str) -> str:
    """A loss in nats with three digits, a share in percent with one; – where there is none."""
    if pd.isna(value):
        return "–"
    return f"{value:.3f}" if name == "loss" else f"{value:.1%}"


def deviation(value: float, name: str) -> str:
    """A deviation beside its :func:`figure`: in percentage points for a share."""
    if pd.isna(value):
        return ""
    return f"± {value:.3f}" if name == "loss" else f"± {100 * value:.1f}"


def commonest(confusion: pd.DataFrame) -> pd.DataFrame:
    """The part of a confusion matrix that is of its commonest labels."""
    names = confusion.sum(axis=1).nlargest(LABELS).index
    return confusion.loc[confusion.index.isin(names), confusion.columns.isin(names)]


def _seconds(value: float) -> str:
    return "<0.1" if value < 0.05 else f"{value:,.1f}" if value < 10 else f"{value:,.0f}"


def _run(study: GenreStudy, split: str, classifier: str) -> dict[str, Any]:
    """Fig. 9A of one split and classifier, with its confusion matrix and figures per label."""
    runs = study.of(split, classifier)
    confusion = commonest(study.confusion(split, classifier))
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
                "cells": [figure(row[name], name) for name in MEASURED],
                "seconds": _seconds(row["seconds"]),
            }
            for run in runs
            for row in run.result.table.to_dict("records")
        ],
        "mean": [figure(total[name], name) for name in MEASURED],
        "sd": [deviation(total[f"{name} sd"], name).removeprefix("± ") for name in MEASURED],
        "sd_of_seeds": [
            deviation(total[f"{name} sd of seeds"], name).removeprefix("± ") for name in MEASURED
        ],
        "names": [str(name) for name in confusion.index],
        "confusion": confusion_rows(confusion),
        "labels": [
            {
                "label": row["label"],
                "n": row["n"],
                "cells": [figure(row[name], name) for name in ("precision", "recall", "F1")],
            }
            for row in labels.to_dict("records")
        ],
    }


def _songs(study: GenreStudy, split: str) -> dict[str, Any]:
    """Fig. 9B: the scores of every song, the surest mistakes first."""
    run = study.of(split, NETWORK)[0]
    predicted = run.result.predictions
    shown = commonest(run.result.confusion).index
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
        for place in order.index[:SONGS]
    ]
    mistakes = int(wrong.sum())
    return {
        "names": [str(name) for name in scores.columns if name in shown],
        "surest": rows[: min(12, mistakes)],
        "all": rows,
        "seed": run.seed,
    }


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
