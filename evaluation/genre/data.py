"""Labelled images of recordings for a genre cross-validation, from arrays or from a data set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datasets.arrays import Float32Array, IntArray, StrArray
from datasets.columns import ARTIST, ITEM_ID, TITLE
from datasets.errors import DataError, InvalidArgumentError
from datasets.image_arrays import ImageArrays
from datasets.music import MusicDataset
from datasets.progress import progress_bar
from embedding.hyperimage.statistics import image_statistics
from evaluation.genre.baseline import mfcc_statistics

if TYPE_CHECKING:
    from embedding.hyperimage.extraction import Failure
    from embedding.network.config import EncoderConfig

_WIDE = 1.5
"""Images more than this many times wider than high are cut for networks of fixed input width."""


@dataclass(frozen=True, eq=False)
class GenreMaterial:
    """Labelled images of recordings; made by ``from_arrays`` and ``from_dataset``.

    Examples:
        >>> from datasets.image_arrays import read_image_arrays
        >>> from embedding import EncoderConfig
        >>> from evaluation.genre import from_arrays
        >>> np.savez(folder / "logmel.npz", images=images, genre=labels)
        >>> config = EncoderConfig(architecture="IC(2,5,4)PF(8)O")
        >>> material = from_arrays(read_image_arrays(folder / "logmel.npz"), config)
        >>> material.images.shape, material.sources["labels"]
        ((24, 1, 24, 24), "'genre' of logmel.npz")
    """

    images: Float32Array
    """float32 [n_images, channels, height, width]."""

    recording: IntArray
    """Recording that each image is a window of, [n_images]."""

    names: StrArray
    """Name of each recording for readers, [n_recordings]."""

    labels: StrArray
    """Label of each recording, ``""`` where there is none, [n_recordings]."""

    songs: StrArray
    """Song of each recording, [n_recordings]."""

    artists: StrArray | None
    """Artist of each recording, [n_recordings]; an unknown artist is replaced by the song. None
    where no artist at all is known."""

    statistics: Float32Array | None
    """Features of each recording for the baseline, [n_recordings, d]; NaN where a recording has no
    image. None: no baseline."""

    window_statistics: Float32Array | None
    """The same features of each image, [n_images, d]."""

    baseline: str
    """What these features are computed from, in words."""

    sources: Mapping[str, str]
    """Where images, ids, labels and artists were found, in words."""

    tag: str = "genre"
    """The tag that the labels are values of."""

    notes: tuple[str, ...] = ()
    """Remarks for readers of the report, such as recordings that were left out."""

    @property
    def label_plural(self) -> str:
        """What the labels are called in a sentence: genres, or values of another tag."""
        return "genres" if self.tag == "genre" else f"values of “{self.tag}”"


def from_arrays(
    arrays: ImageArrays,
    config: "EncoderConfig",
    *,
    tag: str = "genre",
    window: int | None = None,
    windows: int | None = None,
    baseline: bool = True,
) -> GenreMaterial:
    """Prepare images given as arrays, cut to windows where the network takes one width only.

    Integer images are divided by the largest value of their type (uint8: 0 … 255 becomes 0 … 1).

    Args:
        arrays: images, ids, labels and artists, from
            ``datasets.image_arrays.read_image_arrays``.
        config: the network. With ``config.window`` it cuts windows itself, and images stay whole.
        tag: name of the tag that the labels are values of.
        window: width of the windows in columns. By default images stay whole if the network takes
            windows itself or if they are no wider than 1.5 times their height; else windows are
            squares.
        windows: number of windows of each image, evenly spaced; by default as many as half
            overlapping ones need.
        baseline: compute the features of the baseline.

    Returns:
        Images with labels, artists and features.

    Raises:
        InvalidArgumentError: a window is wider than the images, or ``windows`` is given without
            ``window``.
        DataError: images of one recording have different labels or artists.

    Examples:
        >>> from datasets.image_arrays import read_image_arrays
        >>> from embedding import EncoderConfig
        >>> from evaluation.genre import from_arrays
        >>> np.savez(folder / "logmel.npz", images=images, genre=labels)
        >>> config = EncoderConfig(architecture="IC(2,5,4)PF(8)O")
        >>> arrays = read_image_arrays(folder / "logmel.npz")
        >>> from_arrays(arrays, config, window=8, windows=2).images.shape
        (48, 1, 24, 8)
    """
    whole = arrays.images if arrays.images.ndim == 4 else arrays.images[:, None]
    height, width = whole.shape[2:]
    if window is None and config.window is None and width > _WIDE * height:
        window = height
    if window is None and windows is not None:
        raise InvalidArgumentError("--windows needs --window: how wide each of them is")
    ids, first, owner = np.unique(arrays.ids.astype(str), return_index=True, return_inverse=True)
    labels = _value_of_each("label", arrays.labels, owner, first, ids)
    artists = None
    if arrays.groups is not None:
        artists = _value_of_each("artist", arrays.groups, owner, first, ids)
        artists = np.where(artists == "", ids.astype(object), artists)
    cut, of_row = cut_windows(whole, window, windows)
    images = _unit_range(cut)
    sources = dict(arrays.taken)
    per_image = len(cut) // len(whole)
    sources["windows"] = (
        f"{per_image} of {window} columns from each image of {width}"
        if per_image > 1 or window
        else f"whole images of {width} columns"
        + (f", {config.window} at a time" if config.window else "")
    )
    of_images = of_windows = of_recordings = None
    if baseline:
        from embedding.encoders.songs import mean_by_recording

        of_images = image_statistics(_unit_range(whole))
        of_windows = of_images if cut is whole else image_statistics(images)
        of_recordings = mean_by_recording(of_images, owner, len(ids))
    return GenreMaterial(
        images=images,
        recording=owner[of_row].astype(np.int64),
        names=ids.astype(object),
        labels=labels,
        songs=ids.astype(object),
        artists=artists,
        statistics=of_recordings,
        window_statistics=of_windows,
        baseline="rows and cepstrum of the image",
        sources=sources,
        tag=tag,
    )


def from_dataset(
    dataset: MusicDataset,
    config: "EncoderConfig",
    *,
    tag: str = "genre",
    windows: int | None = None,
    workers: int | None = None,
    cache: Path | None = None,
    baseline: bool = True,
    progress: bool = False,
) -> GenreMaterial:
    """Compute hyper-images of a data set's recordings, and MFCC statistics for the baseline.

    Args:
        dataset: a data set with recordings.
        config: the network; its ``snippet`` and ``hyperimage`` say what is extracted.
        tag: column of the items that holds the labels.
        windows: snippets of each recording, evenly spaced; by default ``config.snippet.count``.
        workers: processes that extract; None for one per core.
        cache: folder that keeps hyper-images.
        baseline: compute the features of the baseline.
        progress: show progress bars.

    Returns:
        Images with labels, artists and features. Recordings that cannot be used are left out, and
        ``notes`` names them.

    Raises:
        DataError: the data set has no recordings, or none of them can be used.

    Examples:
        >>> from datasets.music import MusicDataset
        >>> from embedding import EncoderConfig
        >>> from evaluation.genre import from_dataset
        >>> items = pd.DataFrame({"item_id": ["a", "b"], "title": ["A", "B"], "artist": ["X", "Y"],
        ...                       "album": "", "genre": ["jazz", "rock"]})
        >>> audio = pd.DataFrame({"item_id": ["a", "b"], "path": recording.name})
        >>> plays = pd.DataFrame(columns=["user_id", "item_id", "weight"])
        >>> data = MusicDataset(items, audio, plays, recording.parent)
        >>> material = from_dataset(data, EncoderConfig(), windows=2, workers=0, baseline=False)
        >>> len(material.images), material.labels.tolist()
        (4, ['jazz', 'rock'])
    """
    from embedding.encoders.songs import mean_by_recording
    from embedding.hyperimage.extraction import extract

    if dataset.audio.empty:
        raise DataError(f"{dataset.root}: the data set has no recordings")
    snippet = config.snippet if windows is None else config.snippet.replace(count=windows)
    paths = dataset.recording_paths()
    extraction = extract(
        paths, snippet, config.hyperimage, workers=workers, cache=cache, progress=progress
    )
    if not len(extraction.images):
        raise DataError(extraction.none_usable())
    of_windows = of_recordings = None
    if baseline:
        rate = config.hyperimage.sample_rate
        of_windows = _snippet_mfccs(paths, snippet, rate, extraction.recording, progress=progress)
        of_recordings = mean_by_recording(of_windows, extraction.recording, len(paths))
    return described_recordings(
        dataset,
        tag,
        images=extraction.images,
        recording=extraction.recording,
        statistics=of_recordings,
        window_statistics=of_windows,
        images_are=f"hyper-images of {len(paths)} recordings, {snippet.count} of "
        f"{snippet.seconds:g} s each",
        failures=extraction.failures,
    )


def described_recordings(
    dataset: MusicDataset,
    tag: str,
    *,
    images: Float32Array,
    recording: IntArray,
    statistics: Float32Array | None,
    window_statistics: Float32Array | None,
    images_are: str,
    failures: "Sequence[Failure]",
) -> GenreMaterial:
    """Add names, labels and artists to what was made of a data set's recordings.

    Args:
        dataset: the data set.
        tag: column of the items that holds the labels.
        images: as in `GenreMaterial`.
        recording: as in `GenreMaterial`.
        statistics: as in `GenreMaterial`.
        window_statistics: as in `GenreMaterial`.
        images_are: what the images are, in words.
        failures: recordings that cannot be used.
    """
    items = dataset.items.set_index(ITEM_ID)
    known = (dataset.items[ARTIST] != "").any()
    ids = dataset.audio[ITEM_ID]
    names = [
        str(items[TITLE][i] or i) + (f" ({path.name})" if n > 1 else "")
        for i, n, path in zip(
            ids, ids.map(ids.value_counts()), dataset.recording_paths(), strict=True
        )
    ]
    return GenreMaterial(
        images=images,
        recording=recording,
        names=np.array(names, dtype=object),
        labels=dataset.recording_labels(tag).to_numpy(dtype=object),
        songs=ids.to_numpy(dtype=object),
        artists=dataset.recording_artists().to_numpy(dtype=object) if known else None,
        statistics=statistics,
        window_statistics=window_statistics,
        baseline="MFCCs",
        sources={
            "images": images_are,
            "labels": f"{tag!r} of the items",
            "groups": "'artist' of the items" if known else "none found",
        },
        tag=tag,
        notes=tuple(f"Left out: {failure.message}" for failure in failures),
    )


def cut_windows(
    images: NDArray[Any], window: int | None, windows: int | None
) -> tuple[NDArray[Any], IntArray]:
    """Cut wide images to evenly spaced windows.

    The first window begins at the first column and the last ends at the last column; a single
    window is in the middle.

    Args:
        images: [n, channels, height, width].
        window: width of a window in columns; None leaves images whole.
        windows: number of windows of each image; None for half overlapping ones.

    Returns:
        Windows in the order of the images [n · windows, channels, height, window], and the image
        each is cut from [n · windows].

    Raises:
        InvalidArgumentError: ``window`` or ``windows`` is out of range.
    """
    width = images.shape[3]
    if window is None:
        return images, np.arange(len(images))
    if not 1 <= window <= width:
        raise InvalidArgumentError(f"window must be 1 to {width} columns, not {window}")
    count = windows if windows is not None else max(1, int(np.ceil(2 * width / window)) - 1)
    if count < 1:
        raise InvalidArgumentError(f"windows must be at least 1, not {count}")
    places = (width - window) * (np.linspace(0, 1, count) if count > 1 else np.array([0.5]))
    parts = [images[..., start : start + window] for start in np.rint(places).astype(int)]
    cut = np.stack(parts, axis=1).reshape(-1, *images.shape[1:3], window)
    return cut, np.repeat(np.arange(len(images)), count)


def _unit_range(images: NDArray[Any]) -> Float32Array:
    if images.dtype.kind in "iu":
        return images.astype(np.float32) / np.float32(np.iinfo(images.dtype).max)
    return images.astype(np.float32, copy=False)


def _value_of_each(
    what: str, values: StrArray, owner: IntArray, first: IntArray, ids: NDArray[np.str_]
) -> StrArray:
    """The label or artist of each recording; all of its images must have the same one."""
    own = values[first]
    other = np.flatnonzero(own[owner] != values)
    if len(other):
        row = int(other[0])
        raise DataError(
            f"{str(ids[owner[row]])!r} has two values for its {what}:"
            f" {str(own[owner[row]])!r} and {str(values[row])!r}"
        )
    return own


def _snippet_mfccs(
    paths: list[Path], snippet: Any, sample_rate: int, recording: IntArray, *, progress: bool
) -> Float32Array:
    """MFCC statistics of the same snippets that the images are computed from, [n_images, 60]."""
    from embedding.audio.snippets import load_snippets

    rows: list[Float32Array] = []
    used = pd.unique(recording)
    with progress_bar("baseline's features", len(used), shown=progress) as advance:
        for number in used:
            snippets = load_snippets(paths[number], snippet, sample_rate)
            rows += [mfcc_statistics(np.atleast_2d(y).mean(axis=0), sample_rate) for y in snippets]
            advance(1)
    return np.stack(rows)
