"""Genre studies: splits, seeds, network and baseline cross-validated side by side."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from datasets.arrays import Float32Array, IntArray
from datasets.errors import EvaluationError, InvalidArgumentError
from evaluation.genre.baseline import DESCRIPTION, StatisticsSVM
from evaluation.genre.cross_validation import GenreResult, genre_cross_validation
from evaluation.genre.data import GenreMaterial
from evaluation.genre.folds import available_memory
from evaluation.genre.heads import HeadClassifier
from evaluation.genre.scores import MEASURES, confusion_matrix, label_measures
from evaluation.genre.splits import genre_split, single_group_labels
from evaluation.serialization import json_safe

if TYPE_CHECKING:
    from embedding.encoders.fine_tuning.encoder import FineTunedEncoder
    from embedding.network.config import EncoderConfig

NETWORK: Final = "network"
"""Name of the network among the classifiers of a study."""

BASELINE: Final = "SVM"
"""Name of the baseline among the classifiers of a study."""

PUBLISHED: Final[Mapping[str, Any]] = {
    "source": "US 2018/0276540 A1, Fig. 9A: 1,886 songs of 9 genres, 10 folds by title; other data",
    "architecture": "IC(5,15,64)LPC(1,5,64)LPF(384)F(192)O",
    "precision@1": 0.567,
    "precision@1 range": (0.537, 0.589),
    "precision@3": 0.829,
    "precision@3 range": (0.805, 0.854),
}
"""Figures published in the patent. They are of other music, under a split by song: they give the
order of magnitude, not a target."""

FOLD_BYTES: Final = 2**30
"""Memory that training takes beside its images: the library, weights, activations of a batch."""

OnFold = Callable[[str, str, int, dict[str, float]], None]
"""Called with split, classifier, seed and the row of the table when a fold is done."""


@dataclass(frozen=True)
class GenreStudyConfig:
    """What ``run_study`` cross-validates.

    Examples:
        >>> from evaluation.genre import GenreStudyConfig
        >>> GenreStudyConfig(splits=("artist", "song"), seeds=3).folds
        10
    """

    splits: Sequence[str] = ("artist",)
    """What is kept apart, in one or several ways: ``"artist"``, ``"song"``, ``"snippet"``; see
    ``SPLITS``."""
    folds: int = 10
    """Number of folds."""
    seeds: int = 1
    """Repetitions, with seeds ``seed``, ``seed + 1``, … of both folds and network."""
    seed: int = 0
    """The first seed."""
    jobs: int = 1
    """Folds run at once, each in its own process; fewer where memory does not suffice."""
    baseline: bool = True
    """Also cross-validate the SVM, on the same folds."""


@dataclass(frozen=True, eq=False)
class GenreRun:
    """One classifier cross-validated under one split and seed."""

    split: str
    classifier: str
    architecture: str
    seed: int
    result: GenreResult


@dataclass(frozen=True, eq=False, repr=False)
class GenreStudy:
    """All runs of a study and tables over them; made by ``run_study``.

    Examples:
        >>> from datasets.image_arrays import read_image_arrays
        >>> from embedding import EncoderConfig
        >>> from evaluation.genre import from_arrays, run_study
        >>> config = EncoderConfig(architecture="IC(2,5,4)PF(8)O", epochs=1, threads=1)
        >>> np.savez(folder / "logmel.npz", images=images, genre=labels)
        >>> material = from_arrays(read_image_arrays(folder / "logmel.npz"), config)
        >>> study = run_study(material, config, splits=["song"], folds=2)
        >>> study.groups()
        [('song', 'network'), ('song', 'SVM')]
    """

    runs: tuple[GenreRun, ...]
    material: GenreMaterial
    configuration: Mapping[str, Any]
    """Settings of the network, as JSON types."""
    notes: tuple[str, ...]
    """Remarks on data and protocol for readers of the report."""

    def __repr__(self) -> str:
        return f"<GenreStudy: {len(self.runs)} runs>"

    def groups(self) -> list[tuple[str, str]]:
        """List the pairs of split and classifier in the order they ran."""
        return list(dict.fromkeys((run.split, run.classifier) for run in self.runs))

    def of(self, split: str, classifier: str) -> list[GenreRun]:
        """Select the runs of one split and classifier, one a seed."""
        return [r for r in self.runs if (r.split, r.classifier) == (split, classifier)]

    def folds(self) -> pd.DataFrame:
        """Tabulate all folds as in Fig. 9A, with split, classifier, seed and architecture."""
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
        """Tabulate means and standard deviations over folds and seeds, by split and classifier.

        ``… sd`` is the standard deviation between the folds of one seed (root mean square over
        seeds), ``… sd of seeds`` that between the seeds' means (NaN for a single seed).
        """
        rows: list[dict[str, Any]] = []
        for split, classifier in self.groups():
            runs = self.of(split, classifier)
            row: dict[str, Any] = {"split": split, "classifier": classifier}
            row |= {"architecture": runs[0].architecture, "seeds": len(runs)}
            row["n"] = int(runs[0].result.table["n"].sum())
            for name in (*MEASURES, "window@1", "window@3", "neighbours@10"):
                means = pd.Series([run.result.table[name].mean() for run in runs])
                spread = pd.Series([run.result.table[name].var(ddof=1) for run in runs])
                row[name] = float(means.mean())
                row[f"{name} sd"] = float(np.sqrt(spread.mean()))
                row[f"{name} sd of seeds"] = float(means.std(ddof=1))
            row["seconds"] = float(np.mean([run.result.table["seconds"].mean() for run in runs]))
            rows.append(row)
        return pd.DataFrame(rows)

    def predictions(self) -> pd.DataFrame:
        """Tabulate the scores of every label as in Fig. 9B, by song, split, classifier and seed."""
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
        """Count recordings by true (rows) and predicted label (columns), over folds and seeds."""
        return confusion_matrix(
            pd.concat([run.result.predictions for run in self.of(split, classifier)])
        )

    def confusions(self) -> pd.DataFrame:
        """List all confusion matrices in long form: split, classifier, true, predicted, count."""
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
        """Tabulate n, precision, recall and F1 by split, classifier and label, over all runs."""
        parts = []
        for split, classifier in self.groups():
            part = label_measures(self.confusion(split, classifier))
            part.insert(0, "split", split)
            part.insert(1, "classifier", classifier)
            parts.append(part)
        return pd.concat(parts, ignore_index=True)

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON types, without the single predictions."""
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
                "leaks": {split: genre_split(split).leak for split, _ in self.groups()},
                "runs": runs,
                "labels": self.labels().to_dict("records"),
                "taken": dict(self.material.sources),
                "notes": list(self.notes),
                "configuration": dict(self.configuration),
            }
        )
        return safe


def run_study(
    material: GenreMaterial,
    config: "EncoderConfig | FineTunedEncoder",
    options: GenreStudyConfig | None = None,
    *,
    store: Path | None = None,
    progress: bool = False,
    on_fold: OnFold | None = None,
    **changes: Any,
) -> GenreStudy:
    """Cross-validate a ``SongEncoder`` of these settings, or heads on another, and the baseline.

    Args:
        material: images and labels; for heads, from ``from_encoder``.
        config: settings of the network, or untrained heads on an encoder; their ``threads`` are
            divided among the jobs.
        options: splits, folds, seeds, jobs, and whether the baseline runs.
        store: folder that keeps finished folds, so that the same study continues after them.
        progress: show progress bars.
        on_fold: called when a fold is done.
        **changes: fields of ``GenreStudyConfig`` that replace those of ``options``, such as
            ``splits=("artist", "song"), folds=5``.

    Returns:
        All runs with their tables.

    Raises:
        InvalidArgumentError: an unknown split, or ``seeds`` or ``jobs`` below 1.
        EvaluationError: the material has no artists, windows, features or labels where needed.

    Examples:
        >>> from datasets.image_arrays import read_image_arrays
        >>> from embedding import EncoderConfig
        >>> from evaluation.genre import from_arrays, run_study
        >>> config = EncoderConfig(architecture="IC(2,5,4)PF(8)O", epochs=1, threads=1)
        >>> np.savez(folder / "logmel.npz", images=images, genre=labels)
        >>> material = from_arrays(read_image_arrays(folder / "logmel.npz"), config)
        >>> study = run_study(material, config, splits=["song"], folds=2)
        >>> study.summary()[["split", "classifier", "n"]].to_numpy().tolist()
        [['song', 'network', 24], ['song', 'SVM', 24]]
    """
    options = replace(options or GenreStudyConfig(), **changes)
    for name, number in (("seeds", options.seeds), ("jobs", options.jobs)):
        if number < 1:
            raise InvalidArgumentError(f"{name} must be at least 1, not {number}")
    for split in options.splits:
        genre_split(split)
        _check_material(material, split)
    jobs, note = affordable_jobs(min(options.jobs, options.folds), material.images.nbytes)
    runs: list[GenreRun] = []
    for split in dict.fromkeys(options.splits):
        for seed in range(options.seed, options.seed + options.seeds):
            classifiers = [_classifier(material, config, seed, jobs)]
            if options.baseline:
                classifiers.append(_baseline(material, split))
            for classifier in classifiers:
                result = genre_cross_validation(
                    classifier.inputs,
                    material.labels,
                    material.songs if material.artists is None else material.artists,
                    classifier.factory,
                    options.folds,
                    seed,
                    image_recording=classifier.recording,
                    split=split,
                    songs=material.songs,
                    store=store,
                    key=classifier.key,
                    jobs=classifier.jobs,
                    progress=progress and classifier.name == NETWORK,
                    on_fold=on_fold and partial(on_fold, split, classifier.name, seed),
                )
                runs.append(GenreRun(split, classifier.name, classifier.description, seed, result))
    notes = [*material.notes, *_notes(material, options.splits), *([note] if note else [])]
    return GenreStudy(tuple(runs), material, _configuration(config), tuple(notes))


def affordable_jobs(jobs: int, image_bytes: int) -> tuple[int, str]:
    """Limit the number of folds run at once to what memory allows.

    Args:
        jobs: folds wanted at once.
        image_bytes: size of all images; a fold needs at most that, and ``FOLD_BYTES`` beside it.

    Returns:
        The number of jobs, at least 1, and a sentence if it was reduced (else ``""``).
    """
    available = available_memory()
    if available is None or jobs == 1:
        return jobs, ""
    fit = max(1, int(available // (image_bytes + FOLD_BYTES)))
    if fit >= jobs:
        return jobs, ""
    gib = available / 2**30
    return fit, f"{fit} of {jobs} jobs at once: {gib:.1f} GiB of memory do not hold more."


@dataclass(frozen=True, eq=False)
class _Classifier:
    """A classifier of the study and what it is given."""

    name: str
    description: str
    key: str
    """Complete description of its settings, under which finished folds are stored."""
    factory: Callable[[], Any]
    inputs: Float32Array
    """Images, or features, with a row each."""
    recording: IntArray
    """Recording of each row of ``inputs``."""
    jobs: int


def _classifier(
    material: GenreMaterial, config: "EncoderConfig | FineTunedEncoder", seed: int, jobs: int
) -> _Classifier:
    """The network or the heads with a seed."""
    from embedding.encoders.fine_tuning.encoder import FineTunedEncoder

    if isinstance(config, FineTunedEncoder):
        threads = _threads_of_job(config.config.threads, jobs)
        return _heads(material, config.untrained(seed=seed, threads=threads), jobs)
    network = config.replace(seed=seed, threads=_threads_of_job(config.threads, jobs))
    return _network(material, network, jobs)


def _configuration(config: "EncoderConfig | FineTunedEncoder") -> dict[str, Any]:
    from embedding.encoders.fine_tuning.encoder import FineTunedEncoder

    if not isinstance(config, FineTunedEncoder):
        return config.model_dump(mode="json")
    return {
        "encoder": json_safe(config.backbone.summary()),
        "heads": config.config.model_dump(mode="json"),
    }


def _heads(material: GenreMaterial, encoder: "FineTunedEncoder", jobs: int) -> _Classifier:
    method = encoder.backbone.summary().get("method", "a network")
    settings = encoder.config.replace(threads=0).digest()
    return _Classifier(
        NETWORK,
        f"heads on {method}, {encoder.config.backbone}",
        f"heads {encoder.backbone.digest()} {settings}",
        partial(HeadClassifier, encoder),
        material.images,
        material.recording,
        jobs,
    )


def _network(material: GenreMaterial, config: "EncoderConfig", jobs: int) -> _Classifier:
    from embedding import SongEncoder

    return _Classifier(
        NETWORK,
        config.architecture,
        # The number of threads changes the time but not the result.
        f"SongEncoder {config.replace(threads=0).digest()}",
        partial(SongEncoder, config),
        material.images,
        material.recording,
        jobs,
    )


def _baseline(material: GenreMaterial, split: str) -> _Classifier:
    if material.statistics is None or (split == "snippet" and material.window_statistics is None):
        raise EvaluationError("the material was made without the baseline's features")
    if split == "snippet":
        assert material.window_statistics is not None
        features, recording = material.window_statistics, material.recording
    else:
        recording = np.flatnonzero(np.isfinite(material.statistics).all(axis=1))
        features = material.statistics[recording]
    key = f"SVM {DESCRIPTION}"
    return _Classifier(BASELINE, DESCRIPTION, key, StatisticsSVM, features, recording, jobs=1)


def _threads_of_job(threads: int, jobs: int) -> int:
    """Threads of each of several jobs; 0 (PyTorch's own choice) is kept for a single job only."""
    from embedding.parallel import available_cores

    return threads if jobs == 1 else max(1, (threads or available_cores()) // jobs)


def _check_material(material: GenreMaterial, split: str) -> None:
    """Raise EvaluationError where the split cannot be made."""
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
    """Remarks on labels that are missing or that only one artist has."""
    notes = []
    labelled = material.labels != ""
    if not labelled.all():
        notes.append(f"{int((~labelled).sum())} recordings without a label are left out.")
    if "artist" in splits and material.artists is not None:
        alone = single_group_labels(material.labels[labelled], material.artists[labelled])
        if alone:
            notes.append(
                f"One artist only has {', '.join(alone)}: under the artist split a recording of"
                " such a label is never recognised, as no training fold has it. It counts as"
                " wrong."
            )
    return notes
