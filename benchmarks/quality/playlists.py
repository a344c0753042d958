"""How near are the songs of a playlist to each other, one after the other?

    python -m benchmarks.quality.playlists EMBEDDINGS.npz
    python -m benchmarks.quality.playlists ../shared/data/lastfm-audio/embeddings-spotify.npz

An .npz file with an array `embedding` [songs, dimensions]; each dimension is standardised. Steps
are one minus the cosine of two neighbours. First the order: the songs nearest to one, in the order
of the playlist, of their scores, and at random. Then the path between two songs drawn at random:
that of the playlist, and the songs nearest to points of the straight line between the two.
"""

import time
from pathlib import Path

import numpy as np

from benchmarks.common import argument_parser
from datasets.arrays import Float32Array, IntArray
from recsys.playlists.ordering import smooth_order, step_lengths
from recsys.playlists.path import corridor, corridor_size, path_between


def main() -> None:
    """Print both tables."""
    parser = argument_parser(__doc__)
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("--length", type=int, default=20)
    parser.add_argument("--lists", type=int, default=50)
    parser.add_argument("--paths", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    raw = np.load(chosen.embeddings, allow_pickle=False)["embedding"].astype(np.float64)
    vectors = (raw - raw.mean(axis=0)) / np.maximum(raw.std(axis=0), 1e-6)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    songs = vectors.astype(np.float32)
    print(f"{len(songs):,} songs, {chosen.length} in a playlist")
    orders(songs, chosen.length, chosen.lists, chosen.seed)
    paths(songs, chosen.length, chosen.paths, chosen.seed)


def orders(songs: Float32Array, length: int, n: int, seed: int) -> None:
    """Print the mean step of the songs nearest to one, in three orders."""
    rng = np.random.default_rng(seed)
    found = []
    for start in rng.integers(len(songs), size=n):
        near = np.argsort(-(songs @ songs[start]), kind="stable")[:length]
        shuffled = np.append(near[:1], rng.permutation(near[1:]))
        ways = near[smooth_order(songs[near])], near, shuffled
        found.append([step_lengths(songs[way])[1:].mean() for way in ways])
    for name, value in zip(("playlist", "by score", "random"), np.mean(found, axis=0), strict=True):
        print(f"order {name:<14} mean step {value:.3f}")


def paths(songs: Float32Array, length: int, n: int, seed: int) -> None:
    """Print mean and largest step of paths, and of points of the straight line."""
    rng = np.random.default_rng(seed)
    found: dict[str, list[tuple[float, float]]] = {"playlist": [], "straight line": []}
    started, seconds = time.process_time(), 0.0
    for _ in range(n):
        ends = rng.choice(len(songs), 2, replace=False)
        started = time.process_time()
        way = between(songs, ends, length - 2)
        seconds += time.process_time() - started
        for name, one in (("playlist", way), ("straight line", straight(songs, ends, length - 2))):
            steps = step_lengths(songs[one])[1:]
            found[name].append((steps.mean(), steps.max()))
    for name, values in found.items():
        mean, largest = np.mean(values, axis=0)
        print(f"path {name:<15} mean step {mean:.3f}, largest {largest:.3f}")
    print(f"{seconds / n:.3f} s of one core a path")


def between(songs: Float32Array, ends: IntArray, n: int) -> IntArray:
    """The path of a playlist, both ends included."""
    rows = np.setdiff1d(np.arange(len(songs)), ends)
    near = corridor(songs, rows, songs[ends], corridor_size(n))
    places = path_between(songs[ends], songs[near], n).places
    return np.concatenate([ends[:1], near[places], ends[1:]])


def straight(songs: Float32Array, ends: IntArray, n: int) -> IntArray:
    """The songs nearest to points of the straight line, none twice, both ends included."""
    way = [int(ends[0])]
    for share in np.linspace(0, 1, n + 2)[1:-1]:
        likeness = songs @ ((1 - share) * songs[ends[0]] + share * songs[ends[1]])
        likeness[[*way, ends[1]]] = -np.inf
        way.append(int(np.argmax(likeness)))
    return np.array([*way, ends[1]])


if __name__ == "__main__":
    main()
