"""Facts in a report: data set, splits, genre accuracy, settings, versions, time and memory."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from evaluation.comparison.comparison import Comparison
from evaluation.genre.cross_validation import GenreResult
from evaluation.genre.scores import MEASURES
from evaluation.serialization import json_safe

_DATASET_NAMES = {
    "n_users": "Users",
    "n_items": "Items",
    "n_interactions": "Interactions",
    "density": "Density",
    "n_items_with_listeners": "Items with listeners",
    "n_items_with_audio": "Items with audio",
    "n_recordings": "Recordings",
    "n_artists": "Artists",
    "n_genres": "Genres",
}

METRIC_DEFINITIONS = {
    "user_auc": (
        "User-wise AUC",
        "the chance that a held-out item of a user ranks above one that is not theirs",
    ),
    "novelty": (
        "Novelty@k",
        "mean over the list of −log₂ of the share of training users who played the item, in bits",
    ),
    "popularity_lift": (
        "Popularity lift@k",
        "mean popularity of the list over that of what the user played, less 1: 0 where both are"
        " alike, 1 where the list is twice as popular, −1 where nobody played any of it",
    ),
    "artist_diversity": (
        "Artist diversity@k",
        "share of the pairs in the list that are by different artists",
    ),
    "embedding_diversity": (
        "Sound diversity@k",
        "mean cosine distance between the embeddings of the pairs in the list",
    ),
    "serendipity": (
        "Serendipity@k",
        "mean over the list of how much lower popularity would place each hit, as a share of all"
        " places; 0 for what is no hit",
    ),
    "miscalibration": (
        "Miscalibration@k",
        "divergence (Kullback–Leibler, in nats) of the list’s genres from those the user played; 0"
        " is the same mix",
    ),
    "coverage": ("Coverage@k", "share of the items that are in anybody’s list"),
    "gini": (
        "Gini@k",
        "how unequally the places go to the items: 0 all alike, towards 1 all to one",
    ),
}
"""Printed names and definitions of optional metrics."""


def report_byline(comparison: Comparison, created: str) -> str:
    """Summarise data, models and date in the line under the title."""
    data = comparison.dataset
    return (
        f"{data['n_users']:,} users, {data['n_items']:,} items, {data['n_interactions']:,}"
        f" interactions, {len(comparison.models)} models. Made on {created[:10]}."
    )


def dataset_rows(comparison: Comparison) -> list[tuple[str, str]]:
    """List the counts of the data set with their names."""
    return [
        (label, _figure(comparison.dataset[name]))
        for name, label in _DATASET_NAMES.items()
        if name in comparison.dataset
    ]


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{100 * value:.3g}%"


def split_row(split: Mapping[str, Any]) -> dict[str, str]:
    """Describe how a split was made and how large its sides are."""
    settings = dict(split["settings"])
    how = str(settings.pop("kind", split["kind"]))
    details = ", ".join(f"{name} {value}" for name, value in settings.items())
    return {
        "name": split["name"],
        "how": f"{how} ({details})" if details else how,
        "train": f"{split['train_rows']:,}",
        "test": f"{split['test_rows']:,}",
        "users": f"{split['test_users']:,}",
        "cold": f"{split['cold_items']:,}",
        "withheld": f"{split['withheld_items']:,}",
    }


def genre_section(genre: GenreResult) -> dict[str, Any]:
    """Make the genre section: a sentence, the folds and the confusion matrix."""
    facts = genre.facts
    first, third = ((genre.predictions["rank"] <= k).mean() for k in (1, 3))
    names = [str(name) for name in genre.confusion.index]
    sentence = (
        f"Heard without any listening data, {first:.1%} of {facts['recordings']:,}"
        f" recordings by artists the network has never heard are put in the right one of"
        f" {facts['labels']} genres, and {third:.1%} have it among the first three."
        f" Always guessing the most common genre is right for {facts['most_common_share']:.1%}."
    )
    if facts["label_not_in_training"]:
        sentence += (
            f" For {facts['label_not_in_training']} recordings no training artist plays their"
            " genre; they count as wrong."
        )
    if facts["left_out"]:
        sentence += f" {facts['left_out']} recordings without a genre are left out."
    return {
        "sentence": sentence,
        "rows": [
            {
                "fold": int(row["fold"]),
                "n": int(row["n"]),
                "values": _genre_cells(row),
            }
            for row in genre.table.to_dict("records")
        ],
        "mean": _genre_cells(genre.mean),
        "sd": _genre_cells(genre.sd),
        "names": names,
        "confusion": confusion_rows(genre.confusion),
    }


def confusion_rows(confusion: pd.DataFrame) -> list[dict[str, Any]]:
    """Convert a confusion matrix to rows of cells with their share of the row in percent."""
    counts = confusion.to_numpy()
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    return [
        {
            "name": str(name),
            "cells": [
                {
                    "count": int(counts[i, j]),
                    "share": round(100 * float(shares[i, j])),
                    "right": i == j,
                }
                for j in range(len(counts))
            ],
        }
        for i, name in enumerate(confusion.index)
    ]


def _genre_cells(values: Mapping[Any, float]) -> list[str]:
    return [format_genre_measure(values[name], name) for name in MEASURES]


def format_genre_measure(value: float, name: str) -> str:
    """Format a loss in nats with three decimals, a share in percent; – where it is missing."""
    if pd.isna(value):
        return "–"
    return f"{value:.3f}" if name == "loss" else f"{value:.1%}"


def full_configuration(comparison: Comparison, given: dict[str, Any]) -> dict[str, Any]:
    """Collect all settings: those given, and those of comparison, splits and models."""
    models = {
        run["model"]: run["settings"]
        for run in comparison.runs.to_dict("records")
        if run["settings"]
    }
    splits = {split["name"]: dict(split["settings"]) for split in comparison.splits}
    safe: dict[str, Any] = json_safe(
        {
            **given,
            "comparison": dict(comparison.settings),
            "baseline": comparison.baseline,
            "controls": list(comparison.controls),
            "splits": splits,
            "models": models,
        }
    )
    return safe


def provenance_rows(comparison: Comparison) -> list[tuple[str, str]]:
    """List what the figures depend on besides the settings: seed, data, versions."""
    return [
        ("Seed", str(comparison.settings["seed"])),
        ("Data set digest", str(comparison.dataset["digest"])[:16]),
        *comparison.versions.items(),
    ]


def cost_rows(comparison: Comparison) -> list[dict[str, str]]:
    """List the time and memory of every run."""
    users = {split["name"]: split["test_users"] for split in comparison.splits}
    return [
        {
            "split": run["split"],
            "model": run["model"],
            "fit": _seconds(run["fit_seconds"]),
            "onboard": _seconds(run.get("onboard_seconds")),
            "recommend": f"{users[run['split']] / max(run['recommend_seconds'], 1e-9):,.0f}",
            "memory": _mebibytes(run),
        }
        for run in comparison.runs.to_dict("records")
    ]


def source_rows(comparison: Comparison) -> list[dict[str, str]]:
    """List what each source of the models that have several costs and brings, as they say.

    Of folds, it is the first one's. Models without a gain of any source are left out.
    """
    rows = []
    for run in comparison.runs.to_dict("records"):
        sources = run.get("sources")
        if not isinstance(sources, dict) or not any(
            facts["gain"] or not facts["used"] for facts in sources.values()
        ):
            continue
        for name, facts in sources.items():
            gain = facts["gain"] or {}
            rows.append(
                {
                    "split": run["split"],
                    "model": run["model"],
                    "source": name,
                    "part": "yes" if facts["used"] else f"no: {facts['why_not']}",
                    "fit": _seconds(facts["seconds"]) if facts["used"] else "–",
                    "warm": _gain(gain.get("warm"), gain.get("warm_error")),
                    "cold": _gain(gain.get("cold"), gain.get("cold_error")),
                }
            )
    return rows


def _gain(mean: float | None, error: float | None) -> str:
    return "–" if mean is None or error is None else f"{mean:+.4f}\u00a0±\u00a0{error:.4f}"


def _seconds(value: Any) -> str:
    if pd.isna(value):
        return "–"
    return "<0.1" if value < 0.05 else f"{value:,.1f}"


def _mebibytes(run: Mapping[Any, Any]) -> str:
    peaks = [value for key, value in run.items() if str(key).endswith("_peak_mb")]
    known = [value for value in peaks if not pd.isna(value)]
    return f"{max(known):,.0f}" if known else "–"
