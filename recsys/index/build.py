"""Building, tuning and opening the index of a large catalogue.

An index is a few files beside a sidecar, ``index-facts.json``, that says what they are, what they
belong to, and which recall was measured. It is tuned on users of the model: the cheapest setting
that finds ``target_recall`` of the 10 best of one sample of them, then verified on another one.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from datasets.arrays import Float32Array, IntArray
from datasets.errors import ArtifactError
from datasets.files import write_text
from recsys.config import RetrievalConfig
from recsys.index.annoy import SUFFIX, AnnoyIndex
from recsys.index.base import Index
from recsys.index.exact import ExactIndex
from recsys.index.pruned import PARTS, PrunedIndex

logger = logging.getLogger("coldtune")

SIDECAR = "index-facts.json"
_BASE = "index"
_K = 10
_SAMPLE = 200
"""Queries to tune with, and as many others to verify with."""

_TREES = (20, 50, 100)
_WORTH_WHILE = 0.2
"""Share of a catalogue up to which ``auto`` prefers to compare it to asking Annoy."""

_SLACKS = tuple(round(0.1 + 0.05 * step, 2) for step in range(19))
_FACTS = ("method", "recall", "target_recall", "queries", "slack", "search_k", "n_trees")


class Tuned(NamedTuple):
    """An index with the cheapest setting that was found."""

    found: Index
    setting: float
    recall: float | None
    met: bool


def needs_index_files(n_items: int, config: RetrievalConfig) -> bool:
    """Whether a catalogue of this size is searched with an index on the disk."""
    if config.method == "auto":
        return n_items > config.exact_up_to
    return config.method != "exact"


def build_index(
    items: Float32Array, queries: Float32Array, folder: Path, config: RetrievalConfig, seed: int
) -> Path:
    """Write an index of ``items`` [n, D], tuned on ``queries`` [q, D]; return its sidecar.

    Logs a warning where Annoy cannot reach the target recall; the recall it has is in the sidecar.
    """
    path = folder / _BASE
    samples = _Samples(items, queries, seed)
    facts: dict[str, Any] = {}
    if config.method != "annoy":
        facts = _build_pruned(items, path, samples, config)
    # What lengths cannot rule out, trees may.
    slow = config.method == "auto" and facts["share_compared"] > _WORTH_WHILE
    if config.method == "annoy" or slow:
        annoy = _build_annoy(items, path, samples, config, seed)
        keep = annoy["met"] or config.method == "annoy"
        if keep:
            facts = annoy
        for suffix in PARTS if keep else (SUFFIX,):
            path.with_suffix(suffix).unlink(missing_ok=True)
    if not facts["met"]:
        logger.warning(
            "the index finds %.3f of the best items, less than the target of %.3f",
            facts["recall"],
            config.target_recall,
        )
    document = {
        **facts,
        "target_recall": config.target_recall,
        "queries": samples.n_verified,
        "vectors": _vectors_facts(items),
        "files": {file.name: _file_facts(file) for file in _files(path, facts["method"])},
    }
    write_text(folder / SIDECAR, json.dumps(document, indent=1))
    return folder / SIDECAR


def open_index(
    items: Float32Array, sidecar: Path | None, threads: int
) -> tuple[Index, dict[str, Any]]:
    """The index that a sidecar describes, or exact search without one; and what is known of it.

    Raises ArtifactError where the sidecar or a file is damaged or of other items.
    """
    if sidecar is None:
        return ExactIndex(items, threads), {"method": "exact"}
    facts, path = _read_sidecar(sidecar), sidecar.with_name(_BASE)
    try:
        files = {file.name: _file_facts(file) for file in _files(path, facts["method"])}
        if facts["vectors"] != _vectors_facts(items) or facts["files"] != files:
            raise ArtifactError(f"{sidecar}: the index does not belong to this model")
        index: Index
        if facts["method"] == "annoy":
            settings = int(facts["search_k"]), float(facts["length"])
            index = AnnoyIndex(path, items, *settings, threads)
        else:
            index = PrunedIndex(path, float(facts["slack"]))
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise ArtifactError(f"{sidecar}: does not describe an index: {error}") from None
    return index, {name: facts[name] for name in _FACTS if name in facts}


def _read_sidecar(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: cannot be read: {error}") from None
    if not isinstance(facts, dict):
        raise ArtifactError(f"{path}: does not describe an index")
    return facts


def index_files(sidecar: Path) -> list[Path]:
    """The files of an index, its sidecar too. Raises ArtifactError."""
    method = _read_sidecar(sidecar).get("method")
    return [sidecar, *_files(sidecar.with_name(_BASE), method)]


class _Samples:
    """Queries to tune and to verify with, and how much of their best an index finds."""

    def __init__(self, items: Float32Array, queries: Float32Array, seed: int) -> None:
        usable = np.flatnonzero(queries.any(axis=1))
        drawn = np.random.default_rng(seed).permutation(usable)[: 2 * _SAMPLE]
        half = max(len(drawn) // 2, 1)
        self.tuning: Float32Array = np.ascontiguousarray(queries[drawn[:half]])
        # A single query has to do for both.
        self.verification: Float32Array = np.ascontiguousarray(queries[drawn[half:]])
        if len(drawn) == 1 or not len(items):
            self.verification = self.tuning
        exact = ExactIndex(items)
        self._best = {
            id(sample): exact.search(sample, _K, None, np.empty(0, np.intp))
            for sample in (self.tuning, self.verification)
        }
        self.n_verified = len(self.verification) if len(items) else 0

    def recall(self, index: Index, sample: Float32Array) -> float:
        """Share of the 10 best that is found; items with equal scores are as good as each other."""
        best = self._best[id(sample)]
        if not len(best.query):
            return 1.0
        found = index.search(sample, _K, None, np.empty(0, np.intp))
        least = np.full(len(sample), np.inf)
        np.minimum.at(least, best.query, best.score)
        good = found.score >= least[found.query] - 1e-5 * np.abs(least[found.query])
        return float(good.sum()) / len(best.query)

    def tune(
        self, make: Callable[[float], Index], settings: Sequence[float], target: float
    ) -> Tuned:
        """The first of the settings, cheapest first, that reaches the target on both samples."""
        low, high = 0, len(settings) - 1
        while low < high:
            middle = (low + high) // 2
            if self.recall(make(settings[middle]), self.tuning) >= target:
                high = middle
            else:
                low = middle + 1
        for setting in settings[low:]:
            index = make(setting)
            recall = self.recall(index, self.verification)
            if recall >= target:
                break
        measured = recall if self.n_verified else None
        return Tuned(index, setting, measured, recall >= target)


def _build_pruned(
    items: Float32Array, path: Path, samples: _Samples, config: RetrievalConfig
) -> dict[str, Any]:
    PrunedIndex.build(items, path)
    opened = PrunedIndex(path, 1.0)
    tuned = samples.tune(opened.with_slack, _SLACKS, config.target_recall)
    index = opened.with_slack(tuned.setting)
    return {
        "method": "pruned",
        "slack": tuned.setting,
        "recall": tuned.recall,
        "met": True,  # with slack 1 it is exact
        "share_compared": index.share_compared(samples.verification, _K),
    }


def _build_annoy(
    items: Float32Array, path: Path, samples: _Samples, config: RetrievalConfig, seed: int
) -> dict[str, Any]:
    # Beyond a tenth of a large catalogue, exact search is as fast.
    limit = max(len(items) // 10, 3000)
    widths = [float(int(100 * 1.5**step)) for step in range(40) if 100 * 1.5**step <= limit]
    if config.search_k is not None:
        widths = [float(config.search_k)]
    facts: dict[str, Any] = {}
    for n_trees in _TREES if config.n_trees is None else (config.n_trees,):
        path.with_suffix(SUFFIX).unlink(missing_ok=True)
        length = AnnoyIndex.build(items, path, n_trees, seed)
        opened = AnnoyIndex(path, items, 1, length)
        tuned = samples.tune(opened.with_search_k, widths, config.target_recall)
        facts = {
            "method": "annoy",
            "n_trees": n_trees,
            "search_k": int(tuned.setting),
            "length": length,
            "recall": tuned.recall,
            "met": tuned.met,
        }
        if tuned.met:
            break
    return facts


def _files(path: Path, method: object) -> list[Path]:
    suffixes = {"annoy": (SUFFIX,), "pruned": PARTS}.get(str(method))
    if suffixes is None:
        raise ArtifactError(f"{path}: no index has the method {method!r}")
    return [path.with_suffix(suffix) for suffix in suffixes]


def _vectors_facts(items: Float32Array) -> dict[str, Any]:
    """Shape and a digest of rows spread over the whole: to read all would take seconds."""
    rows = _spread(len(items), 256)
    content = np.ascontiguousarray(items[rows], np.float32).tobytes()
    return {
        "items": len(items),
        "dimensions": int(items.shape[1]),
        "sample_sha256": hashlib.sha256(content).hexdigest(),
    }


def _file_facts(path: Path) -> dict[str, Any]:
    """Size and a digest of pieces spread over a file; the model's manifest vouches for the rest."""
    piece, size = 4096, path.stat().st_size
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for number in _spread(-(-size // piece), 256).tolist():
            stream.seek(number * piece)
            digest.update(stream.read(piece))
    return {"bytes": size, "sample_sha256": digest.hexdigest()}


def _spread(n: int, at_most: int) -> IntArray:
    """Up to so many of 0 … n - 1, evenly spread, the first and the last among them."""
    return np.unique(np.linspace(0, n - 1, min(n, at_most)).astype(np.intp)) if n else _NONE


_NONE = np.empty(0, np.intp)
