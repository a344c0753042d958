"""A model that is held in memory and, once saved or loaded, on the disk as well."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from datasets.errors import NotFittedError
from recsys.config import RecommenderConfig
from recsys.model import storage
from recsys.model.live import Library


class HeldModel:
    """One library at a time, put in place of the one before it in a single step.

    Whoever answers takes the library once and goes on with it; changes wait for each other.
    """

    def __init__(self, config: RecommenderConfig | None = None) -> None:
        self.config = config or RecommenderConfig()
        self._library: Library | None = None
        self._folder: Path | None = None
        self._turn = threading.RLock()  # items are numbered in order of arrival

    def save(self, folder: str | Path) -> None:
        """Write the model to a folder, replacing the model that is there in a single step.

        From then on, onboarded items are stored there too. Raises ArtifactError where it cannot
        be written; what was there is left as it was.
        """
        place = Path(folder).absolute()  # the working directory may change later
        with self._turn:
            storage.save(place, self._fitted())
            self._folder = place

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Open a model that :meth:`save` wrote. Every file is checked before anything is used.

        Raises ArtifactError: no model there, a file missing or changed, a newer format.
        """
        place = Path(folder).absolute()
        library = storage.load(place)
        recommender = cls(library.state.config)
        recommender._library = library
        recommender._folder = place
        return recommender

    @property
    def info(self) -> dict[str, Any]:
        """Facts about the model: data set, items, blend weights, network, times, versions.

        ``dataset`` and ``items`` are those of the fit (``items`` after a rebuild those it had
        then); ``now`` counts what there is: users, items, with_listeners, with_embedding.
        ``index``: how it is searched: the method ("exact", "pruned" or "annoy"), its settings,
        and, where it is not exact, the recall measured with them on so many users' queries.
        """
        library = self._fitted()
        return {
            **library.state.info,
            "now": library.counts(),
            "onboarded": library.n_onboarded,
            "index": dict(library.index_info),
        }

    def refresh(self) -> bool:
        """Take in what other processes have done to the saved model; whether that was anything.

        A model that was replaced is loaded anew. Every answer is from one whole state: those that
        are being given meanwhile go on with the old one. Where nothing was done, this costs a look
        at the manifest and at a number. Raises ArtifactError where the model cannot be read.
        """
        with self._turn:
            library = self._fitted()
            if self._folder is None:
                return False
            self._library = storage.refreshed(self._folder, library)
            return self._library is not library

    def rebuild(self) -> None:
        """Make all that happened since the fit part of it; lists stay the same.

        The plays, users and items since are then in the matrices and the index, which is faster to
        open and to search; nothing is learned anew. A model that has been saved or loaded is
        replaced on the disk in a single step, and the song database keeps the songs. Raises
        ArtifactError where it cannot be written; all is as it was then.
        """
        from recsys.model.rebuild import rebuilt

        with self._turn:
            library = self._fitted()
            if self._folder is None:
                self._library = rebuilt(library)
            else:
                self._library = storage.replace(self._folder, library, rebuilt)

    def _change(self, change: Callable[[Library], Library]) -> None:
        """Put a changed library in place of this one."""
        with self._turn:
            library = self._fitted()
            if self._folder is None:
                self._library = change(library)
                return
            with storage.current(self._folder, library):
                self._library = change(library.reopened())

    def _fitted(self) -> Library:
        if self._library is None:
            raise NotFittedError("this recommender is not fitted: call fit, or load a saved one")
        return self._library
