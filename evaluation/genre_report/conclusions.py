"""Sentences that state the results of a genre study and what to know before reading them."""

from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from evaluation.conclusions.wording import join_names
from evaluation.genre.splits import genre_split
from evaluation.genre.study import BASELINE, NETWORK, PUBLISHED, GenreStudy

_TESTED: Final = {
    "artist": "by artists that training never had",
    "song": "that training never had, by artists that it may have had",
    "snippet": "of songs that are in training by other windows",
}
"""What the tested recordings are, by split."""

_MAX_NOTES: Final = 6
"""Most notes that are listed; genre.json has them all."""


def summarise_study(study: GenreStudy) -> list[str]:
    """Write a sentence or two on each split: the network, the baseline, and guessing.

    Where the network is worse than the baseline, that comes first.

    Args:
        study: a study with runs of the network.

    Returns:
        The sentences, in the order of the splits.

    Examples:
        >>> from datasets.image_arrays import read_image_arrays
        >>> from embedding import EncoderConfig
        >>> from evaluation.genre import from_arrays, run_study
        >>> from evaluation.genre_report import summarise_study
        >>> config = EncoderConfig(architecture="IC(2,5,4)PF(8)O", epochs=1, threads=1)
        >>> np.savez(folder / "logmel.npz", images=images, genre=labels)
        >>> material = from_arrays(read_image_arrays(folder / "logmel.npz"), config)
        >>> study = run_study(material, config, splits=["song"], folds=2, baseline=False)
        >>> summarise_study(study)[0][-55:]
        'Always guessing the commonest genre is right for 50.0%.'
    """
    rows = {(row["split"], row["classifier"]): row for row in study.summary().to_dict("records")}
    sentences: list[str] = []
    for split in dict.fromkeys(split for split, _ in study.groups()):
        network = rows[split, NETWORK]
        facts = study.of(split, NETWORK)[0].result.facts
        noun = "windows" if split == "snippet" else "recordings"
        text = (
            f"Of {noun} {_TESTED[split]}, the network puts"
            f" {mean_with_spread(network, 'precision@1')}"
            f" in the right one of {facts['labels']} {study.material.label_plural}, and has the"
            f" right one among its first three for {mean_with_spread(network, 'precision@3')}."
        )
        if (split, BASELINE) in rows:
            text += f" The SVM has {mean_with_spread(rows[split, BASELINE], 'precision@1')}."
        if not sentences:
            share = facts["most_common_share"]
            text += f" Always guessing the commonest {study.material.tag} is right for {share:.1%}."
        sentences.append(text)
    return [*_worse_than_baseline(study), *sentences, *_calibration(study)]


def _calibration(study: GenreStudy) -> list[str]:
    """A sentence on the network's probabilities for each split; none where they are not known."""
    sentences = []
    for split in dict.fromkeys(split for split, _ in study.groups()):
        found = pd.DataFrame([run.result.calibration for run in study.of(split, NETWORK)])
        if found.empty or found.isna().any(axis=None):
            continue
        mean = found.mean()
        sentences.append(
            f"The network's probabilities are off by {mean['error_before']:.3f} on the {split} "
            f"split (expected calibration error), and by {mean['error']:.3f} with a temperature of "
            f"{mean['temperature']:.2f}, which is learned on the other folds."
        )
    return sentences


def _worse_than_baseline(study: GenreStudy) -> list[str]:
    """A sentence that names the splits on which the network is worse than the SVM; [] for none."""
    found = []
    folds = study.folds()
    for split in dict.fromkeys(folds["split"]):
        values = {
            name: part.set_index(["seed", "fold"])["precision@1"]
            for name, part in folds[folds["split"] == split].groupby("classifier")
        }
        if {NETWORK, BASELINE} - set(values):
            continue
        network, baseline = values[NETWORK], values[BASELINE]
        if network.mean() < baseline.mean():
            found.append(
                f"{network.mean():.1%} against {baseline.mean():.1%} right on the {split} split"
                f" (behind in {int((network < baseline).sum())} of {len(network)} folds)"
            )
    if not found:
        return []
    return [
        f"The network is worse than the SVM: {join_names(found)}. It is not shown to hear more of"
        f" the {study.material.tag} than the simple statistics that the SVM gets."
    ]


def study_cautions(study: GenreStudy) -> list[str]:
    """List what to know before reading the figures.

    Args:
        study: any study.

    Returns:
        Sentences on the leaks of its splits, on the patent's other data, and the study's notes (at
        most six of them).
    """
    splits = dict.fromkeys(split for split, _ in study.groups())
    leaks = [
        f"{split.capitalize()} split. {genre_split(split).leak}"
        for split in splits
        if split != "artist"
    ]
    published = (
        f"The patent's {PUBLISHED['precision@1']:.1%} is of other music (1,886 songs of 9 genres),"
        " split by title, so that an artist could be on both sides: a figure to know, not one to"
        " compare with."
    )
    notes = list(study.notes)
    if len(notes) > _MAX_NOTES:
        notes = [*notes[:_MAX_NOTES], f"And {len(notes) - _MAX_NOTES} more, see genre.json."]
    return [*leaks, published, *notes]


def mean_with_spread(row: Mapping[Any, Any], name: str) -> str:
    """Format a mean share and its ``spread_of_measure``, as in ``56.7% ± 1.2``.

    Args:
        row: a row of ``GenreStudy.summary``.
        name: a measure that is a share, such as ``precision@1``.

    Returns:
        The text; ``–`` where the measure is missing.
    """
    if pd.isna(row[name]):
        return "–"
    return f"{row[name]:.1%} ± {100 * spread_of_measure(row, name):.1f}"


def spread_of_measure(row: Mapping[Any, Any], name: str) -> float:
    """Return the standard deviation between seeds, or between folds where there is one seed."""
    return float(row[f"{name} sd of seeds"] if row["seeds"] > 1 else row[f"{name} sd"])


def spread_meaning(study: GenreStudy) -> str:
    """Explain what ± stands for in the figures of a study."""
    seeds = len({run.seed for run in study.runs})
    if seeds > 1:
        return f"± standard deviation between the means of {seeds} seeds"
    return "± standard deviation between folds"
