"""Plots of a genre study as Plotly figures, in the style of ``evaluation.report.plots``."""

from typing import Any

from evaluation.genre.study import NETWORK, GenreStudy
from evaluation.report.plots import PlotlyFigure, layout_of_rows, marker, plotly_text


def folds_plot(study: GenreStudy) -> PlotlyFigure:
    """Plot precision@1 of every fold and the mean, a row for each split and classifier."""
    folds = study.folds()
    names = [plotly_text(f"{split}, {classifier}") for split, classifier in study.groups()]
    traces = []
    for classifier in dict.fromkeys(classifier for _, classifier in study.groups()):
        part = folds[folds["classifier"] == classifier]
        dots = _dots(
            classifier,
            part["precision@1"].tolist(),
            (part["split"] + ", " + part["classifier"]).map(plotly_text).tolist(),
        )
        dots["marker"]["opacity"] = 0.75
        dots["customdata"] = part[["fold", "seed"]].to_numpy().tolist()
        dots["hovertemplate"] = (
            "<b>%{y}</b><br>fold %{customdata[0]}, seed %{customdata[1]}: %{x:.1%}<extra></extra>"
        )
        traces.append(dots)
    layout = _layout("precision@1", names, row_height=34)
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


def labels_plot(study: GenreStudy, split: str) -> PlotlyFigure:
    """Plot the recall of each label, network and baseline, the network's highest on top."""
    labels = study.labels().query("split == @split")
    order = labels[labels["classifier"] == NETWORK].sort_values("recall", ascending=False)
    traces = []
    for classifier in dict.fromkeys(labels["classifier"]):
        part = labels[labels["classifier"] == classifier]
        dots = _dots(
            classifier,
            part["recall"].fillna(0).tolist(),
            [plotly_text(name) for name in part["label"]],
        )
        dots["hovertemplate"] = f"<b>%{{y}}</b>, {classifier}: %{{x:.1%}}<extra></extra>"
        traces.append(dots)
    names = [plotly_text(name) for name in order["label"]]
    layout = _layout("recordings recognised", names, row_height=26)
    return {"data": traces, "layout": layout}


def _dots(classifier: str, x: list[float], y: list[str]) -> dict[str, Any]:
    """A trace of dots, filled circles for the network and open diamonds for the baseline."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": classifier,
        "x": x,
        "y": y,
        "marker": marker(classifier != NETWORK),
        "cliponaxis": False,
    }


def _layout(x_label: str, names: list[str], row_height: int) -> PlotlyFigure:
    layout = layout_of_rows(x_label, names, row_height)
    layout["xaxis"] |= {"tickformat": ".0%"}
    return layout
