"""The parts of the report that are facts and not figures: data, splits, genre, provenance."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from evaluation.comparison import Comparison
from evaluation.genre import GenreResult
from evaluation.tables import json_safe

_DATASET_LABELS = {
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


def facts_line(comparison: Comparison, created: str) -> str:
    """One line under the title: how much data, how many models, when."""
    data = comparison.dataset
    return (
        f"{data['n_users']:,} users, {data['n_items']:,} items, {data['n_interactions']:,}"
        f" interactions, {len(comparison.models)} models. Made on {created[:10]}."
    )


def dataset_facts(comparison: Comparison) -> list[tuple[str, str]]:
    """Counts of the data set with their names."""
    return [
        (label, _figure(comparison.dataset[name]))
        for name, label in _DATASET_LABELS.items()
        if name in comparison.dataset
    ]


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{100 * value:.3g}%"


def split_facts(split: Mapping[str, Any]) -> dict[str, str]:
    """How a split was made and how large its sides are."""
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


def genre_facts(genre: GenreResult) -> dict[str, Any]:
    """The genre section: a sentence, the folds, and the confusion matrix with shares of rows."""
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
                "values": _genre_row(row),
            }
            for row in genre.table.to_dict("records")
        ],
        "mean": _genre_row(genre.mean),
        "sd": _genre_row(genre.sd),
        "names": names,
        "confusion": confusion_rows(genre.confusion),
    }


def confusion_rows(confusion: pd.DataFrame) -> list[dict[str, Any]]:
    """A confusion matrix as rows of cells, each with its share of the row in percent."""
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
                    "dark": bool(shares[i, j] > 0.55),
                }
                for j in range(len(counts))
            ],
        }
        for i, name in enumerate(confusion.index)
    ]


def _genre_row(values: Mapping[Any, float]) -> list[str]:
    """Loss and the two precisions; the loss is missing where training knew no label of a fold."""
    loss = values["loss"]
    return [
        "–" if math.isnan(loss) else f"{loss:.3f}",
        f"{values['precision@1']:.1%}",
        f"{values['precision@3']:.1%}",
    ]


def exact_configuration(comparison: Comparison, given: dict[str, Any]) -> dict[str, Any]:
    """Every known setting: what was given, the comparison's, the splits' and the models'."""
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


def provenance(comparison: Comparison) -> list[tuple[str, str]]:
    """What the figures depend on besides the settings: seed, data, versions."""
    return [
        ("Seed", str(comparison.settings["seed"])),
        ("Data set digest", str(comparison.dataset["digest"])[:16]),
        *comparison.versions.items(),
    ]
