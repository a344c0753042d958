"""The tables of a genre cross-validation: splits, seeds, network and baseline side by side.

:func:`evaluation.genre.genre_running.run_study` makes them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from evaluation.comparison.tables import json_safe
from evaluation.genre.cross_validation import GenreResult
from evaluation.genre.data import GenreMaterial
from evaluation.genre.scores import MEASURES, confusion_matrix, per_label
from evaluation.genre.splits import check_split

NETWORK: Final = "network"
BASELINE: Final = "SVM"

PUBLISHED: Final[Mapping[str, Any]] = {
    "source": "US 2018/0276540 A1, Fig. 9A: 1,886 songs of 9 genres, 10 folds by title; other data",
    "architecture": "IC(5,15,64)LPC(1,5,64)LPF(384)F(192)O",
    "precision@1": 0.567,
    "precision@1 range": (0.537, 0.589),
    "precision@3": 0.829,
    "precision@3 range": (0.805, 0.854),
}
"""The patent's own figures. They are of other music, under a split by song: no target to pass, but
the order of size."""


@dataclass(frozen=True, eq=False)
class GenreRun:
    """One classifier under one split and seed."""

    split: str
    classifier: str
    architecture: str
    seed: int
    result: GenreResult


@dataclass(frozen=True, eq=False)
class GenreStudy:
    """Every run, and tables over them."""

    runs: tuple[GenreRun, ...]
    material: GenreMaterial
    configuration: Mapping[str, Any]
    """Settings of the network."""
    notes: tuple[str, ...]
    """What a reader must know of the data and the protocol."""

    def groups(self) -> list[tuple[str, str]]:
        """The pairs of split and classifier, in the order they ran."""
        return list(dict.fromkeys((run.split, run.classifier) for run in self.runs))

    def of(self, split: str, classifier: str) -> list[GenreRun]:
        """The runs of one split and classifier, one a seed."""
        return [r for r in self.runs if (r.split, r.classifier) == (split, classifier)]

    def folds(self) -> pd.DataFrame:
        """Fig. 9A: a row a fold, with split, classifier, seed and architecture."""
        parts = []
        for run in self.runs:
            part = run.result.table.copy()
            part.insert(0, "split", run.split)
            part.insert(1, "classifier", run.classifier)
            part.insert(2, "seed", run.seed)
            part.insert(4, "architecture", run.architecture)
            parts.append(part)
        return pd.concat(parts, ignore_index=True)

    def summary(self) -> pd.DataFrame:
        """A row a split and classifier: means over folds and seeds, and how far they vary.

        ``… sd`` is the standard deviation between the folds of one seed (root mean square over
        seeds), ``… sd of seeds`` that between the seeds' means (NaN for a single seed).
        """
        rows: list[dict[str, Any]] = []
        for split, classifier in self.groups():
            runs = self.of(split, classifier)
            row: dict[str, Any] = {"split": split, "classifier": classifier}
            row |= {"architecture": runs[0].architecture, "seeds": len(runs)}
            row["n"] = int(runs[0].result.table["n"].sum())
            for name in (*MEASURES, "window@1", "window@3"):
                means = pd.Series([run.result.table[name].mean() for run in runs])
                spread = pd.Series([run.result.table[name].var(ddof=1) for run in runs])
                row[name] = float(means.mean())
                row[f"{name} sd"] = float(np.sqrt(spread.mean()))
                row[f"{name} sd of seeds"] = float(means.std(ddof=1))
            row["seconds"] = float(np.mean([run.result.table["seconds"].mean() for run in runs]))
            rows.append(row)
        return pd.DataFrame(rows)

    def predictions(self) -> pd.DataFrame:
        """Fig. 9B: a row a song, split, classifier and seed, with the score of every label."""
        parts = []
        for run in self.runs:
            predicted = run.result.predictions
            head = pd.DataFrame(
                {
                    "split": run.split,
                    "classifier": run.classifier,
                    "seed": run.seed,
                    "fold": predicted["fold"],
                    "song": self.material.names[predicted["recording"]],
                    "true": predicted["label"],
                    "predicted": predicted["predicted"],
                    "rank": predicted["rank"],
                }
            )
            parts.append(pd.concat([head, run.result.scores.add_prefix("score ")], axis=1))
        return pd.concat(parts, ignore_index=True)

    def confusion(self, split: str, classifier: str) -> pd.DataFrame:
        """Counts by true label (rows) and predicted one (columns), over all folds and seeds."""
        return confusion_matrix(
            pd.concat([run.result.predictions for run in self.of(split, classifier)])
        )

    def confusions(self) -> pd.DataFrame:
        """All confusion matrices in long form: split, classifier, true, predicted, count."""
        parts = []
        for split, classifier in self.groups():
            counts = self.confusion(split, classifier)
            part = counts.rename_axis(index="true").reset_index()
            part = part.melt(id_vars="true", var_name="predicted", value_name="count")
            parts.append(part.assign(split=split, classifier=classifier))
        return pd.concat(parts, ignore_index=True)[
            ["split", "classifier", "true", "predicted", "count"]
        ]

    def labels(self) -> pd.DataFrame:
        """A row a split, classifier and label: n, precision, recall, F1 over folds and seeds."""
        parts = []
        for split, classifier in self.groups():
            part = per_label(self.confusion(split, classifier))
            part.insert(0, "split", split)
            part.insert(1, "classifier", classifier)
            parts.append(part)
        return pd.concat(parts, ignore_index=True)

    def to_dict(self) -> dict[str, Any]:
        """All of it fit for JSON, without the single predictions."""
        runs = [
            {
                "split": run.split,
                "classifier": run.classifier,
                "architecture": run.architecture,
                "seed": run.seed,
                **run.result.to_dict(),
            }
            for run in self.runs
        ]
        safe: dict[str, Any] = json_safe(
            {
                "summary": self.summary().to_dict("records"),
                "published": PUBLISHED,
                "leaks": {split: check_split(split).leak for split, _ in self.groups()},
                "runs": runs,
                "labels": self.labels().to_dict("records"),
                "taken": dict(self.material.taken),
                "notes": list(self.notes),
                "configuration": dict(self.configuration),
            }
        )
        return safe
