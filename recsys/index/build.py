"""Build, tune, verify and open the index of a large catalogue.

An index is a few files and a sidecar, ``index-facts.json``, which says what they are, which vectors
they belong to, and which recall was measured. It is tuned on users of the model: the cheapest
setting is taken that finds the share ``target_recall`` of the 10 best items for one sample of
users, and verified on another sample.
"""

import hashlib
import json
import logging
import os
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from datasets.arrays import Float32Array, IntArray
from datasets.errors import ArtifactError
from datasets.system.files import read_text, reason_of, write_text
from recsys.config import RetrievalConfig
from recsys.index.annoy import SUFFIX, AnnoyIndex
from recsys.index.base import Index
from recsys.index.exact import ExactIndex, Questions
from recsys.index.pruned import INDEX_PARTS, PrunedIndex
from recsys.index.screen import Screen
from recsys.index.screened import SCREEN_PARTS, ScreenedIndex

logger = logging.getLogger("coldtune")

_NO_ROWS = np.empty(0, np.intp)

SIDECAR = "index-facts.json"
"""Name of the file that describes an index."""

_BASE = "index"

_BLOCK = 2**23
"""Bytes of a file that are copied at once."""

_K = 10
_SAMPLE_SIZE = 200
"""Number of queries to tune with, and of others to verify with."""

_TREES = (20, 50, 100)
_MAX_SHARE_COMPARED = 0.2
"""Share of the catalogue that ``screened`` may read for ``auto`` to prefer it to ``annoy``."""

_SLACKS = tuple(round(0.1 + 0.05 * step, 2) for step in range(19))
_PUBLIC_FACTS = ("method", "recall", "target_recall", "queries", "slack", "search_k", "n_trees")


def needs_index_files(n_items: int, config: RetrievalConfig) -> bool:
    """Return whether a catalogue of this size is searched with index files.

    Args:
        n_items: items of the catalogue.
        config: settings of the search.

    Examples:
        >>> needs_index_files(1_000, RetrievalConfig()), needs_index_files(10**6, RetrievalConfig())
        (False, True)
    """
    if config.method == "auto":
        return n_items > config.exact_up_to
    return config.method != "exact"


def build_index(
    items: Float32Array,
    queries: Float32Array,
    folder: Path,
    config: RetrievalConfig,
    seed: int,
    others: Sequence[Float32Array] = (),
) -> Path:
    """Write an index, tuned and verified on queries.

    If Annoy cannot reach the target recall, a warning is logged; the recall reached is in the
    sidecar.

    Args:
        items: item vectors, float32 [n_items, D].
        queries: user vectors, float32 [n_users, D].
        folder: folder for the files.
        config: method and target recall.
        seed: seed of the samples and of Annoy.
        others: further kinds of vectors that will be asked with, float32 [m, D] each.

    Returns:
        Path of the sidecar, which `open_index` opens.

    Examples:
        >>> items = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32)
        >>> config = RetrievalConfig(method="pruned")
        >>> sidecar = build_index(items, items[:50], folder, config, seed=0)
        >>> index, facts = open_index(items, sidecar, threads=1)
        >>> facts["method"], facts["recall"] >= 0.99
        ('pruned', True)
    """
    path = folder / _BASE
    samples = _Samples(items, queries, seed)
    facts: dict[str, Any] = {}
    if config.method == "pruned":
        facts = _build_pruned(items, path, samples, config)
    elif config.method != "annoy":
        facts = _build_screened(items, (queries, *others), path, samples, config)
    # If few items can be told from the best ones, trees may search faster.
    slow = config.method == "auto" and facts["share_compared"] > _MAX_SHARE_COMPARED
    if config.method == "annoy" or slow:
        annoy = _build_annoy(items, path, samples, config, seed)
        keep = annoy["met"] or config.method == "annoy"
        if keep:
            facts = annoy
        for suffix in SCREEN_PARTS if keep else (SUFFIX,):
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
    items: Float32Array,
    sidecar: Path | None,
    threads: int,
    users: Questions | None = None,
    screen: Screen | None = None,
) -> tuple[Index, dict[str, Any]]:
    """Open the index that a sidecar describes.

    Args:
        items: item vectors, float32 [n_items, D].
        sidecar: what `build_index` returned; None searches exactly.
        threads: threads for exact search.
        users: makes vectors such as will be asked with, for exact search; see `ExactIndex`.
        screen: likewise.

    Returns:
        The index, and its facts: ``method``, and for an index with files its settings and measured
        ``recall``.

    Raises:
        ArtifactError: the sidecar or a file is damaged or belongs to other items.

    Examples:
        >>> index, facts = open_index(np.ones((5, 2), np.float32), None, threads=1)
        >>> facts
        {'method': 'exact'}
    """
    if sidecar is None:
        return ExactIndex(items, threads, users, screen), {"method": "exact"}
    facts, path = _read_sidecar(sidecar), sidecar.with_name(_BASE)
    try:
        files = {file.name: _file_facts(file) for file in _files(path, facts["method"])}
        if facts["vectors"] != _vectors_facts(items) or facts["files"] != files:
            raise ArtifactError(f"{sidecar}: the index does not belong to this model")
        index: Index
        if facts["method"] == "annoy":
            settings = int(facts["search_k"]), float(facts["length"])
            index = AnnoyIndex(path, items, *settings, threads)
        elif facts["method"] == "screened":
            index = ScreenedIndex(path, items, float(facts["slack"]))
        else:
            index = PrunedIndex(path, float(facts["slack"]))
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise ArtifactError(f"{sidecar}: does not describe an index: {error}") from None
    return index, {name: facts[name] for name in _PUBLIC_FACTS if name in facts}


def _read_sidecar(path: Path) -> dict[str, Any]:
    """Read the sidecar; raise ArtifactError if it cannot be read."""
    try:
        facts = json.loads(read_text(path))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: cannot be read: {reason_of(error)}") from None
    if not isinstance(facts, dict):
        raise ArtifactError(f"{path}: does not describe an index")
    return facts


def index_files(sidecar: Path) -> list[Path]:
    """Return the files of an index, first its sidecar.

    Args:
        sidecar: what `build_index` returned.

    Raises:
        ArtifactError: the sidecar cannot be read or names an unknown method.

    Examples:
        >>> items = np.eye(4, dtype=np.float32)
        >>> sidecar = build_index(items, items, folder, RetrievalConfig(method="pruned"), seed=0)
        >>> [path.name for path in index_files(sidecar)]
        ['index-facts.json', 'index.npy', 'index.rows.npy', 'index.lengths.npy']
    """
    method = _read_sidecar(sidecar).get("method")
    return [sidecar, *_files(sidecar.with_name(_BASE), method)]


class IndexFiles:
    """The files of an index, kept open: they can be copied when they have been removed.

    Examples:
        >>> items = np.eye(4, dtype=np.float32)
        >>> sidecar = build_index(items, items, folder, RetrievalConfig(method="pruned"), seed=0)
        >>> files = IndexFiles(sidecar)
        >>> for path in index_files(sidecar):
        ...     path.unlink()
        >>> (folder / "copy").mkdir()
        >>> open_index(items, files.copy_to(folder / "copy"), threads=1)[1]["method"]
        'pruned'
    """

    def __init__(self, sidecar: Path) -> None:
        """Open the files of the index that a sidecar describes."""
        self._files: dict[str, int] = {}
        weakref.finalize(self, _close, self._files)
        for path in index_files(sidecar):
            self._files[path.name] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def copy_to(self, folder: Path) -> Path:
        """Write the files into a folder, and return the path of the sidecar there.

        Raises:
            OSError: they cannot be written.
        """
        for name, file in self._files.items():
            place = 0  # read by place: a forked process shares the position in the file
            with (folder / name).open("wb") as copy:
                while block := os.pread(file, _BLOCK, place):
                    copy.write(block)
                    place += len(block)
        return folder / SIDECAR


def _close(files: dict[str, int]) -> None:
    for file in files.values():
        os.close(file)


class _Tuned(NamedTuple):
    """The cheapest setting of an index that reaches the target recall, or else the best one."""

    setting: float
    recall: float | None
    """On the verification sample; None for an empty catalogue."""

    met: bool
    """Whether the target was reached."""


class _Samples:
    """Queries to tune and to verify an index with, and their 10 best items by exact search."""

    def __init__(self, items: Float32Array, queries: Float32Array, seed: int) -> None:
        usable = np.flatnonzero(queries.any(axis=1))
        drawn = np.random.default_rng(seed).permutation(usable)[: 2 * _SAMPLE_SIZE]
        half = max(len(drawn) // 2, 1)
        self.tuning: Float32Array = np.ascontiguousarray(queries[drawn[:half]])
        # A single query serves for both.
        self.verification: Float32Array = np.ascontiguousarray(queries[drawn[half:]])
        if len(drawn) == 1 or not len(items):
            self.verification = self.tuning
        exact = ExactIndex(items)
        self._best = {
            id(sample): exact.search(sample, _K, None, _NO_ROWS)
            for sample in (self.tuning, self.verification)
        }
        self.n_verified = len(self.verification) if len(items) else 0

    def recall(self, index: Index, sample: Float32Array) -> float:
        """Measure the share of the 10 best items found; items with equal scores count as equal."""
        best = self._best[id(sample)]
        if not len(best.query):
            return 1.0
        found = index.search(sample, _K, None, _NO_ROWS)
        least = np.full(len(sample), np.inf)
        np.minimum.at(least, best.query, best.score)
        good = found.score >= least[found.query] - 1e-5 * np.abs(least[found.query])
        return float(good.sum()) / len(best.query)

    def tune(
        self, make: Callable[[float], Index], settings: Sequence[float], target: float
    ) -> _Tuned:
        """Find the first setting, cheapest first, that reaches the target on both samples."""
        low, high = 0, len(settings) - 1
        while low < high:
            middle = (low + high) // 2
            if self.recall(make(settings[middle]), self.tuning) >= target:
                high = middle
            else:
                low = middle + 1
        for setting in settings[low:]:
            recall = self.recall(make(setting), self.verification)
            if recall >= target:
                break
        measured = recall if self.n_verified else None
        return _Tuned(setting, measured, recall >= target)


def _build_pruned(
    items: Float32Array, path: Path, samples: _Samples, config: RetrievalConfig
) -> dict[str, Any]:
    """Write and tune a pruned index; return its facts."""
    PrunedIndex.build(items, path)
    return _tuned_slack(PrunedIndex(path, 1.0), samples, config)


def _build_screened(
    items: Float32Array,
    queries: Sequence[Float32Array],
    path: Path,
    samples: _Samples,
    config: RetrievalConfig,
) -> dict[str, Any]:
    """Write and tune a screened index; return its facts."""
    ScreenedIndex.build(items, queries, path)
    return _tuned_slack(ScreenedIndex(path, items, 1.0), samples, config)


def _tuned_slack(
    opened: PrunedIndex | ScreenedIndex, samples: _Samples, config: RetrievalConfig
) -> dict[str, Any]:
    """Choose the slack of an index; return its facts."""
    tuned = samples.tune(opened.with_slack, _SLACKS, config.target_recall)
    index = opened.with_slack(tuned.setting)
    return {
        "method": index.info["method"],
        "slack": tuned.setting,
        "recall": tuned.recall,
        "met": True,  # with a slack of 1 the search is exact
        "share_compared": index.share_compared(samples.verification, _K),
    }


def _build_annoy(
    items: Float32Array, path: Path, samples: _Samples, config: RetrievalConfig, seed: int
) -> dict[str, Any]:
    """Write and tune an Annoy index; return its facts."""
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
    """Return the files of an index with this method, without the sidecar."""
    known = {"annoy": (SUFFIX,), "pruned": INDEX_PARTS, "screened": SCREEN_PARTS}
    suffixes = known.get(str(method))
    if suffixes is None:
        raise ArtifactError(f"{path}: no index has the method {method!r}")
    return [path.with_suffix(suffix) for suffix in suffixes]


def _vectors_facts(items: Float32Array) -> dict[str, Any]:
    """Return shape and a digest of some rows, evenly spread: reading all would take seconds."""
    rows = _spread(len(items), 256)
    content = np.ascontiguousarray(items[rows], np.float32).tobytes()
    return {
        "items": len(items),
        "dimensions": int(items.shape[1]),
        "sample_sha256": hashlib.sha256(content).hexdigest(),
    }


def _file_facts(path: Path) -> dict[str, Any]:
    """Return size and a digest of some pieces of a file; the manifest has one of the whole file."""
    piece, size = 4096, path.stat().st_size
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for number in _spread(-(-size // piece), 256).tolist():
            stream.seek(number * piece)
            digest.update(stream.read(piece))
    return {"bytes": size, "sample_sha256": digest.hexdigest()}


def _spread(n: int, at_most: int) -> IntArray:
    """Return up to `at_most` of 0 … n - 1, evenly spread, with the first and the last."""
    return np.unique(np.linspace(0, n - 1, min(n, at_most)).astype(np.intp)) if n else _NO_ROWS
