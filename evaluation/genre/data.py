"""What a genre cross-validation is made of: pictures of recordings, labels, songs and artists."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datasets.arrays import Float32Array, IntArray
from datasets.columns import ARTIST, ITEM_ID, TITLE
from datasets.errors import DataError, InvalidArgumentError
from datasets.image_arrays import ImageArrays
from datasets.music import MusicDataset
from datasets.progress import progress_bar
from evaluation.genre.baseline import image_statistics, mfcc_statistics

if TYPE_CHECKING:
    from embedding.network.config import EncoderConfig

WIDE = 1.5
"""A picture so many times wider than high is cut where the network takes fixed pictures."""


@dataclass(frozen=True, eq=False)
class GenreMaterial:
    """Pictures of recordings and what is known of them."""

    images: Float32Array
    """float32 [n_images, channels, height, width]."""

    recording: IntArray
    """The recording that an image is a window of, [n_images]."""

    names: NDArray[Any]
    """What a reader knows a recording by, [n_recordings]."""

    labels: NDArray[Any]
    """Its label, "" where there is none."""

    songs: NDArray[Any]
    """The song that it is a recording of."""

    artists: NDArray[Any] | None
    """Its artist; one that is unknown stands for itself. None: no artist is known of any."""

    statistics: Float32Array | None
    """The baseline's features of a recording, [n_recordings, d]; NaN where it has no image. None:
    there is to be no baseline."""

    window_statistics: Float32Array | None
    """The same of an image, [n_images, d]."""

    baseline: str
    """What these statistics are of."""

    taken: Mapping[str, str]
    """What was taken for what, in words."""

    tag: str = "genre"
    """What the labels are."""

    notes: tuple[str, ...] = ()
    """What a reader should know, such as recordings that were left out."""

    @property
    def kinds(self) -> str:
        """What the different labels are called: genres, or values of another tag."""
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
    """Material of pictures, cut to windows where the network takes pictures of one width.

    Whole numbers are taken for shares of their type's largest (uint8: 0 … 255 becomes 0 … 1).
    Without ``window``, pictures stay whole where ``config.window`` is set (the encoder then takes
    its windows itself) or where they are no wider than 1.5 times their height; else they are cut
    to squares. Without ``windows`` there are as many as half overlapping ones need.

    Raises :class:`~datasets.errors.InvalidArgumentError` for a window wider than the pictures, and
    :class:`~datasets.errors.DataError` where one recording has two labels or artists.
    """
    whole = arrays.images if arrays.images.ndim == 4 else arrays.images[:, None]
    height, width = whole.shape[2:]
    if window is None and config.window is None and width > WIDE * height:
        window = height
    if window is None and windows is not None:
        raise InvalidArgumentError("--windows needs --window: how wide each of them is")
    ids, first, owner = np.unique(arrays.ids.astype(str), return_index=True, return_inverse=True)
    labels = _one_each("label", arrays.labels, owner, first, ids)
    artists = None
    if arrays.groups is not None:
        artists = _one_each("artist", arrays.groups, owner, first, ids)
        artists = np.where(artists == "", ids.astype(object), artists)
    cut, of_row = cut_windows(whole, window, windows)
    images = _unit_range(cut)
    taken = dict(arrays.taken)
    per = len(cut) // len(whole)
    taken["windows"] = (
        f"{per} of {window} columns from each image of {width}"
        if per > 1 or window
        else f"whole images of {width} columns"
        + (f", {config.window} at a time" if config.window else "")
    )
    of_whole = image_statistics(_unit_range(whole)) if baseline else None
    of_windows = of_whole if cut is whole or of_whole is None else image_statistics(images)
    return GenreMaterial(
        images=images,
        recording=owner[of_row].astype(np.int64),
        names=ids.astype(object),
        labels=labels,
        songs=ids.astype(object),
        artists=artists,
        statistics=None if of_whole is None else _means(of_whole, owner, len(ids)),
        window_statistics=of_windows,
        baseline="rows and cepstrum of the image",
        taken=taken,
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
    """Material of a data set's recordings: their hyper-images, and MFCCs for the baseline.

    ``windows``: snippets of a recording, evenly spaced, in place of ``config.snippet``'s number.
    Recordings that cannot be used are left out, and the notes name them. Raises
    :class:`~datasets.errors.DataError` where there is none.
    """
    from embedding.hyperimage.extraction import extract

    labels = dataset.recording_labels(tag).to_numpy(dtype=object)
    if not len(labels):
        raise DataError(f"{dataset.root}: the data set has no recordings")
    snippet = config.snippet if windows is None else config.snippet.replace(count=windows)
    paths = dataset.recording_paths()
    extraction = extract(
        paths, snippet, config.hyperimage, workers=workers, cache=cache, progress=progress
    )
    if not len(extraction.images):
        raise DataError(f"no recording can be used: {extraction.failures[0].message}")
    statistics = None
    if baseline:
        statistics = _mfcc(paths, snippet, config.hyperimage.sample_rate, extraction, progress)
    items = dataset.items.set_index(ITEM_ID)
    known = (dataset.items[ARTIST] != "").any()
    ids = dataset.audio[ITEM_ID]
    names = [
        str(items[TITLE][i] or i) + (f" ({path.name})" if n > 1 else "")
        for i, n, path in zip(ids, ids.map(ids.value_counts()), paths, strict=True)
    ]
    taken = {
        "images": f"hyper-images of {len(paths)} recordings, {snippet.count} of"
        f" {snippet.seconds:g} s each",
        "labels": f"{tag!r} of the items",
        "groups": "'artist' of the items" if known else "none found",
    }
    return GenreMaterial(
        images=extraction.images,
        recording=extraction.recording,
        names=np.array(names, dtype=object),
        labels=labels,
        songs=ids.to_numpy(dtype=object),
        artists=dataset.recording_artists().to_numpy(dtype=object) if known else None,
        statistics=None
        if statistics is None
        else _means(statistics, extraction.recording, len(paths)),
        window_statistics=statistics,
        baseline="MFCCs",
        taken=taken,
        tag=tag,
        notes=tuple(f"Left out: {failure.message}" for failure in extraction.failures),
    )


def cut_windows(
    images: NDArray[Any], window: int | None, windows: int | None
) -> tuple[NDArray[Any], IntArray]:
    """Evenly spaced windows of wide images, and the image each is of.

    ``images`` [n, channels, height, width]; returns [n · windows, channels, height, window] in the
    order of the images, and [n · windows]. The first window begins at the first column, the last
    ends at the last; a single one is in the middle. Without ``window`` images stay whole.
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


def _one_each(
    what: str, values: NDArray[Any], owner: NDArray[Any], first: NDArray[Any], ids: NDArray[Any]
) -> NDArray[Any]:
    """The value of each recording; its windows must agree."""
    own = values[first]
    other = np.flatnonzero(own[owner] != values)
    if len(other):
        row = int(other[0])
        raise DataError(
            f"{str(ids[owner[row]])!r} has two values for its {what}:"
            f" {str(own[owner[row]])!r} and {str(values[row])!r}"
        )
    return own


def _means(values: Float32Array, owner: IntArray, n: int) -> Float32Array:
    from embedding.encoder import mean_by_recording

    return mean_by_recording(values, owner, n)


def _mfcc(
    paths: list[Path], snippet: Any, sample_rate: int, extraction: Any, progress: bool
) -> Float32Array:
    """MFCC statistics of the very snippets that the images are of, [n_images, 60]."""
    from embedding.audio.snippets import load_snippets

    rows: list[Float32Array] = []
    used = pd.unique(extraction.recording)
    with progress_bar("baseline's features", len(used), shown=progress) as advance:
        for number in used:
            snippets = load_snippets(paths[number], snippet, sample_rate)
            rows += [mfcc_statistics(np.atleast_2d(y).mean(axis=0), sample_rate) for y in snippets]
            advance(1)
    return np.stack(rows)
