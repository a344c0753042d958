"""LearnedPlays: the items whose plays an encoder has learned from, so that leaks are caught."""

import hashlib
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from datasets.arrays import BoolArray


class LearnedPlays:
    """A set of item ids, kept as hashes of eight bytes.

    An encoder that was trained to predict who plays a song says more of that song than a recording
    can. So these songs must not stand for new ones where a recommender is validated or evaluated:
    whoever holds out songs asks the encoder which it has seen the plays of.

    Args:
        item_ids: the items.

    Examples:
        >>> from embedding.encoders import LearnedPlays
        >>> learned = LearnedPlays(["s1", "s2"])
        >>> learned.contains(["s2", "s3"]), len(learned)
        (array([ True, False]), 2)
        >>> LearnedPlays.from_array(learned.to_array()) == learned
        True
    """

    def __init__(self, item_ids: Iterable[str] = ()) -> None:
        self._hashes = np.unique(_hashes(item_ids))

    @classmethod
    def from_array(cls, hashes: NDArray[Any]) -> Self:
        """Return the set of which `to_array` gave these hashes.

        Raises:
            ValueError: no array of hashes.
        """
        if hashes.ndim != 1 or hashes.dtype != np.uint64:
            raise ValueError("the items whose plays were learned are no array of hashes")
        learned = cls()
        learned._hashes = np.unique(hashes)
        return learned

    @classmethod
    def of(cls, encoder: object) -> "LearnedPlays":
        """Return what an encoder has learned from: its ``learned_plays_``; nothing without one."""
        found = getattr(encoder, "learned_plays_", None)
        return found if isinstance(found, LearnedPlays) else LearnedPlays()

    def to_array(self) -> NDArray[np.uint64]:
        """Return the hashes, uint64 [n], ascending."""
        return self._hashes

    def contains(self, item_ids: Iterable[str]) -> BoolArray:
        """Return which of the items are in the set, bool [n]."""
        return np.isin(_hashes(item_ids), self._hashes)

    def __len__(self) -> int:
        return len(self._hashes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LearnedPlays) and np.array_equal(self._hashes, other._hashes)

    def __hash__(self) -> int:
        return hash(self._hashes.tobytes())

    def __deepcopy__(self, memo: object) -> Self:
        # pandas copies the attributes of a table with it, however large they are.
        return self

    def __repr__(self) -> str:
        return f"<LearnedPlays of {len(self):,} items>"


def _hashes(item_ids: Iterable[str]) -> NDArray[np.uint64]:
    texts = (str(item).encode(errors="surrogatepass") for item in item_ids)
    parts = [hashlib.blake2b(text, digest_size=8).digest() for text in texts]
    return np.frombuffer(b"".join(parts), dtype="<u8").astype(np.uint64)
