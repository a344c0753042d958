"""What a genre cross-validation says, in sentences."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from evaluation.genre.splits import check_split
from evaluation.genre.study import BASELINE, NETWORK, PUBLISHED, GenreStudy

_OF_WHAT = {
    "artist": "by artists that training never had",
    "song": "that training never had, by artists that it may have had",
    "snippet": "of songs that are in training by other windows",
}
MOST_NAMED = 6
"""Labels or notes that a sentence lists."""


def summarise(study: GenreStudy) -> list[str]:
    """A sentence or two on every split: the network, the baseline, and guessing."""
    rows = {(row["split"], row["classifier"]): row for row in study.summary().to_dict("records")}
    sentences: list[str] = []
    for split in dict.fromkeys(split for split, _ in study.groups()):
        network = rows[split, NETWORK]
        facts = study.of(split, NETWORK)[0].result.facts
        noun = "windows" if split == "snippet" else "recordings"
        text = (
            f"Of {noun} {_OF_WHAT[split]}, the network puts {with_spread(network, 'precision@1')}"
            f" in the right one of {facts['labels']} {study.material.kinds}, and has the right one"
            f" among its first three for {with_spread(network, 'precision@3')}."
        )
        if (split, BASELINE) in rows:
            text += f" The SVM has {with_spread(rows[split, BASELINE], 'precision@1')}."
        if not sentences:
            share = facts["most_common_share"]
            text += f" Always guessing the commonest {study.material.tag} is right for {share:.1%}."
        sentences.append(text)
    return sentences


def cautions(study: GenreStudy) -> list[str]:
    """What a reader must know first: the leaks, the patent's other data, and notes on the data."""
    splits = dict.fromkeys(split for split, _ in study.groups())
    leaks = [
        f"{split.capitalize()} split. {check_split(split).leak}"
        for split in splits
        if split != "artist"
    ]
    published = (
        f"The patent's {PUBLISHED['precision@1']:.1%} is of other music (1,886 songs of 9 genres),"
        " split by title, so that an artist could be on both sides: a figure to know, not one to"
        " compare with."
    )
    notes = list(study.notes)
    if len(notes) > MOST_NAMED:
        notes = [*notes[:MOST_NAMED], f"And {len(notes) - MOST_NAMED} more, see genre.json."]
    return [*leaks, published, *notes]


def with_spread(row: Mapping[Any, Any], name: str) -> str:
    """A mean share and, as ±, its deviation: between seeds where there are several, else folds."""
    if pd.isna(row[name]):
        return "–"
    return f"{row[name]:.1%} ± {100 * spread(row, name):.1f}"


def spread(row: Mapping[Any, Any], name: str) -> float:
    """The standard deviation between seeds, or of a single seed's folds."""
    return float(row[f"{name} sd of seeds"] if row["seeds"] > 1 else row[f"{name} sd"])


def spread_meaning(study: GenreStudy) -> str:
    """What ± stands for."""
    seeds = len({run.seed for run in study.runs})
    if seeds > 1:
        return f"± standard deviation between the means of {seeds} seeds"
    return "± standard deviation between folds"
