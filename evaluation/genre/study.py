"""The tables of a genre cross-validation: splits, seeds, network and baseline side by side.

:func:`evaluation.genre.study.run_study` makes them.

Running a genre cross-validation: every split and seed, the network and the baseline.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from datasets.errors import EvaluationError, InvalidArgumentError
from evaluation.genre.baseline import DESCRIPTION, StatisticsSVM
from evaluation.genre.cross_validation import GenreResult, genre_cross_validation
from evaluation.genre.data import GenreMaterial
from evaluation.genre.folds import available_memory
from evaluation.genre.scores import MEASURES, confusion_matrix, per_label
from evaluation.genre.splits import check_split, labels_of_one_group
from evaluation.serialization import json_safe

if TYPE_CHECKING:
    from embedding.network.config import EncoderConfig

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


FOLD_BYTES: Final = 2**30
"""Memory that a training takes beside its images: the library, weights, a batch's activations."""

OnFold = Callable[[str, str, int, dict[str, float]], None]
"""Told of split, classifier, seed and the row of the table, when a fold is done."""


def run_study(
    material: GenreMaterial,
    config: "EncoderConfig",
    *,
    splits: Sequence[str] = ("artist",),
    folds: int = 10,
    seeds: int = 1,
    seed: int = 0,
    jobs: int = 1,
    baseline: bool = True,
    store: Path | None = None,
    progress: bool = False,
    on_fold: OnFold | None = None,
) -> GenreStudy:
    """Cross-validate a SongEncoder of these settings, and beside it the baseline.

    Args:
        material: pictures and labels.
        config: the network; its ``threads`` are divided among the jobs.
        splits: what is kept apart, see :data:`~evaluation.genre.splits.SPLITS`.
        folds: how many.
        seeds: repetitions, with seeds ``seed``, ``seed + 1``, … for folds and network alike.
        seed: the first seed.
        jobs: folds at once, each in a process; fewer where memory does not suffice.
        baseline: also the SVM, on the same folds.
        store: folder that keeps finished folds, so that the same study goes on where it was.
        progress: show progress bars.
        on_fold: told of every fold that is done.

    Raises:
        InvalidArgumentError: an unknown split, or a number that cannot be.
        EvaluationError: the material does not allow it.
    """
    for name, number in (("seeds", seeds), ("jobs", jobs)):
        if number < 1:
            raise InvalidArgumentError(f"{name} must be at least 1, not {number}")
    for split in splits:
        check_split(split)
        _check_material(material, split)
    jobs, note = affordable_jobs(min(jobs, folds), material.images.nbytes)
    runs: list[GenreRun] = []
    for split in dict.fromkeys(splits):
        for number in range(seed, seed + seeds):
            cross_validate = partial(
                _cross_validate, material, split, folds=folds, seed=number, store=store
            )
            network = config.replace(seed=number, threads=_threads(config.threads, jobs))
            result = cross_validate(
                network,
                jobs=jobs,
                progress=progress,
                on_fold=_told(on_fold, split, NETWORK, number),
            )
            runs.append(GenreRun(split, NETWORK, config.architecture, number, result))
            if baseline:
                result = cross_validate(None, on_fold=_told(on_fold, split, BASELINE, number))
                runs.append(GenreRun(split, BASELINE, DESCRIPTION, number, result))
    notes = [*material.notes, *_notes(material, splits), *([note] if note else [])]
    return GenreStudy(tuple(runs), material, config.model_dump(mode="json"), tuple(notes))


def affordable_jobs(jobs: int, image_bytes: int) -> tuple[int, str]:
    """As many of the jobs as memory allows (at least one), and a remark where these are fewer.

    A fold needs its training images (at most ``image_bytes``) and what training takes beside.
    """
    available = available_memory()
    if available is None or jobs == 1:
        return jobs, ""
    fit = max(1, int(available // (image_bytes + FOLD_BYTES)))
    if fit >= jobs:
        return jobs, ""
    gib = available / 2**30
    return fit, f"{fit} of {jobs} jobs at once: {gib:.1f} GiB of memory do not hold more."


def _cross_validate(
    material: GenreMaterial,
    split: str,
    network: "EncoderConfig | None",
    *,
    folds: int,
    seed: int,
    store: Path | None,
    jobs: int = 1,
    progress: bool = False,
    on_fold: Callable[[dict[str, float]], None] | None,
) -> GenreResult:
    """One run of a network of these settings, or of the baseline (None)."""
    images, recording = material.images, material.recording
    factory: Any = StatisticsSVM
    key = f"SVM {DESCRIPTION}"
    if network is not None:
        from embedding import SongEncoder

        factory = partial(SongEncoder, network)
        # The number of threads changes the time and not the result.
        key = f"SongEncoder {network.replace(threads=0).digest()}"
    elif material.statistics is None or material.window_statistics is None:
        raise EvaluationError("the material was made without the baseline's features")
    elif split == "snippet":
        images = material.window_statistics
    else:
        known = np.flatnonzero(np.isfinite(material.statistics).all(axis=1))
        images, recording = material.statistics[known], known
    artists = material.songs if material.artists is None else material.artists
    return genre_cross_validation(
        images,
        material.labels,
        artists,
        factory,
        folds,
        seed,
        image_recording=recording,
        split=split,
        songs=material.songs,
        store=store,
        key=key,
        jobs=jobs,
        progress=progress,
        on_fold=on_fold,
    )


def _told(
    on_fold: OnFold | None, split: str, classifier: str, seed: int
) -> Callable[[dict[str, float]], None] | None:
    return None if on_fold is None else partial(on_fold, split, classifier, seed)


def _threads(threads: int, jobs: int) -> int:
    """Threads of each job, out of those of all; 0 (as PyTorch likes) only where it is alone."""
    from embedding.parallel import available_cores

    return threads if jobs == 1 else max(1, (threads or available_cores()) // jobs)


def _check_material(material: GenreMaterial, split: str) -> None:
    if split == "artist" and material.artists is None:
        raise EvaluationError(
            "no artists are known, so none can be kept apart: name their column with --groups, or"
            " use --split song, where the artist leaks"
        )
    if split == "snippet" and len(np.unique(material.recording)) == len(material.recording):
        raise EvaluationError(
            "the snippet split needs several windows of a recording: give --windows (and, for"
            " arrays, --window)"
        )


def _notes(material: GenreMaterial, splits: Sequence[str]) -> list[str]:
    notes = []
    labelled = material.labels != ""
    if not labelled.all():
        notes.append(f"{int((~labelled).sum())} recordings without a label are left out.")
    if "artist" in splits and material.artists is not None:
        alone = labels_of_one_group(material.labels[labelled], material.artists[labelled])
        if alone:
            notes.append(
                f"One artist only has {', '.join(alone)}: under the artist split a recording of"
                " such a label is never recognised, as no training fold has it. It counts as"
                " wrong."
            )
    return notes
