"""Plots of a genre cross-validation, as plotly's JSON; colours as in figures.py."""

from typing import Any

import pandas as pd

from evaluation.genre.study import NETWORK, GenreStudy
from evaluation.report.plots import Figure, base_layout

_ROW = 34
"""Pixels a row of dots takes."""


def folds_plot(study: GenreStudy) -> Figure:
    """Precision@1 of every fold, and their mean: a row a split and classifier."""
    folds = study.folds()
    names = [f"{split}, {classifier}" for split, classifier in study.groups()]
    traces = []
    for classifier in dict.fromkeys(classifier for _, classifier in study.groups()):
        part = folds[folds["classifier"] == classifier]
        rows = part["split"] + ", " + part["classifier"]
        traces.append(_dots(part["precision@1"], rows, classifier, part))
    layout = _rows_layout("precision@1", names)
    layout["shapes"] = [
        {
            "type": "line",
            "x0": mean, "x1": mean,
            "y0": len(names) - 1 - place - 0.34, "y1": len(names) - 1 - place + 0.34,
            "line": {"color": "$ink", "width": 2},
        }
        for place, (split, classifier) in enumerate(study.groups())
        for mean in [
            folds.query("split == @split and classifier == @classifier")["precision@1"].mean()
        ]
    ]  # fmt: skip
    return {"data": traces, "layout": layout}


def labels_plot(study: GenreStudy, split: str) -> Figure:
    """The share of each label that is recognised, network and baseline: the easiest on top."""
    labels = study.labels().query("split == @split")
    order = labels[labels["classifier"] == NETWORK].sort_values("recall", ascending=False)
    names = [str(name) for name in order["label"]]
    traces = []
    for classifier in dict.fromkeys(labels["classifier"]):
        part = labels[labels["classifier"] == classifier]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": classifier,
                "x": part["recall"].fillna(0).tolist(),
                "y": [str(name) for name in part["label"]],
                "marker": _marker(classifier),
                "cliponaxis": False,
                "hovertemplate": f"<b>%{{y}}</b>, {classifier}: %{{x:.1%}}<extra></extra>",
            }
        )
    layout = _rows_layout("recordings recognised", names, row=26)
    return {"data": traces, "layout": layout}


def _dots(
    values: "pd.Series[Any]", rows: "pd.Series[str]", classifier: str, part: pd.DataFrame
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": classifier,
        "x": values.tolist(),
        "y": rows.tolist(),
        "marker": _marker(classifier) | {"opacity": 0.75},
        "cliponaxis": False,
        "customdata": part[["fold", "seed"]].to_numpy().tolist(),
        "hovertemplate": (
            "<b>%{y}</b><br>fold %{customdata[0]}, seed %{customdata[1]}: %{x:.1%}<extra></extra>"
        ),
    }


def _marker(classifier: str) -> dict[str, Any]:
    network = classifier == NETWORK
    colour = "$accent" if network else "$second"
    return {
        "size": 9,
        "symbol": "circle" if network else "diamond-open",
        "color": colour,
        "line": {"width": 1.5, "color": colour},
    }


def _rows_layout(label: str, names: list[str], row: int = _ROW) -> Figure:
    layout = base_layout(label, height=row * len(names) + 74)
    layout["xaxis"] |= {"tickformat": ".0%"}
    layout["yaxis"] |= {
        "categoryorder": "array",
        "categoryarray": names[::-1],
        "range": [-0.6, len(names) - 0.4],
        "showgrid": False,
        "ticksuffix": "  ",
        "automargin": True,
    }
    return layout
