"""The model that is served: loaded in the background, kept up to date, changed in turns."""

import hashlib
import logging
import secrets
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from datasets.errors import (
    ColdtuneError,
    EncoderError,
    EncoderUnavailableError,
    ReplacedError,
)
from embedding.encoders.loading import check_available
from embedding.encoders.protocol import Encoder
from recsys.database.changes import Play
from recsys.model.artifact import MANIFEST
from recsys.model.live import LiveModel
from recsys.ranking.options import ListOptions
from recsys.ranking.ranking import user_list
from recsys.recommender import Recommender
from recsys.service.problems import Problem

logger = logging.getLogger("coldtune.service")

T = TypeVar("T")

_TRIES = 20
"""Attempts of a change whose model is replaced meanwhile."""


class ServedModel:
    """A model as requests see it: absent while it loads, then kept up to date.

    Every answer is made from one `live` model. Others may change or replace the model in its
    folder: it is looked at every `refresh_seconds` in a thread, and answers under way go on with
    the model that they have.

    Args:
        model: the folder of a saved model, which `start` loads; or a recommender, which is served
            as it is.
        refresh_seconds: seconds between two looks at what others have done.

    Examples:
        >>> served = ServedModel(recommender)
        >>> served.is_ready, served.live.counts()["items"]
        (True, 30)
        >>> before = served.generation()
        >>> added = served.change(lambda one: one.onboard(item_id="n", embedding=np.ones(4)))
        >>> added.item_id, served.generation() == before
        ('n', False)
    """

    def __init__(self, model: Recommender | Path | str, refresh_seconds: float = 0.25) -> None:
        self.folder = None if isinstance(model, Recommender) else Path(model).absolute()
        self.failure: Exception | None = None
        """Why the model could not be loaded."""
        self.ready_since = time.time()
        self._recommender = model if isinstance(model, Recommender) else None
        self._refresh_seconds = refresh_seconds
        self._stopped = threading.Event()
        self._settled = threading.Event()
        self._thread: threading.Thread | None = None
        self._said = ""
        self._encoder: Encoder | None = None
        if self._recommender is not None:
            self._settled.set()

    def start(self, after_look: Callable[[], object] = lambda: None) -> None:
        """Load the model in a thread, and look there for what others do, until `stop`.

        Args:
            after_look: called in the thread after each look.
        """
        if self._thread is None:
            self._stopped.clear()
            this = weakref.ref(self)  # so that a service that is forgotten ends
            arguments = (this, self._stopped, self._refresh_seconds, after_look)
            self._thread = threading.Thread(
                target=_keep, args=arguments, name="coldtune-model", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=10)
            self._thread = None

    def wait(self, seconds: float) -> bool:
        """Wait until the model is loaded or has failed to; return whether it is ready."""
        self._settled.wait(seconds)
        return self.is_ready

    @property
    def is_ready(self) -> bool:
        """Whether questions can be answered."""
        return self._recommender is not None

    @property
    def recommender(self) -> Recommender:
        """The recommender.

        Raises:
            Problem: it is not loaded yet, or could not be.
        """
        if self._recommender is None:
            detail = "the model cannot be read" if self.failure else "the model is being loaded"
            raise Problem(503, "not-ready", detail, headers={"Retry-After": "1"})
        return self._recommender

    @property
    def live(self) -> LiveModel:
        """The model as it is now; it never changes."""
        return self.recommender.live

    def generation(self, live: LiveModel | None = None) -> str:
        """Return a short name of a state of the model: another after every change."""
        model = self.live if live is None else live
        fit, number = model.revision
        text = f"{model.generation or ''} {fit} {number}"
        return f"{hashlib.sha256(text.encode()).hexdigest()[:12]}.{number}"

    def fitted_at(self) -> float:
        """Return when the model was written, or given, in seconds since 1970."""
        if self.folder is not None:
            with suppress(OSError):  # just being replaced
                return (self.folder / MANIFEST).stat().st_mtime
        return self.ready_since

    def change(self, function: Callable[[Recommender], T]) -> T:
        """Change the model; if another process replaces it meanwhile, change the new one.

        Raises:
            ColdtuneError: what the function raises.
        """
        for attempt in range(_TRIES):
            recommender = self.recommender
            try:
                return function(recommender)
            except ReplacedError:
                if attempt == _TRIES - 1:
                    raise
                recommender.refresh()
        raise AssertionError("unreachable")

    def look(self) -> None:
        """Load the model if it is not there, and take in what others have done to it."""
        try:
            if self._recommender is None:
                self._load()
            else:
                self._recommender.refresh()
                self._build_network(self._recommender)
            self._said = ""
        except Exception as error:
            if not isinstance(error, ColdtuneError):
                logger.exception("the model could not be looked at")
            elif str(error) != self._said:  # once, and not at every look
                self._said = str(error)
                logger.error("%s", error)

    def _load(self) -> None:
        assert self.folder is not None
        started = time.monotonic()
        try:
            recommender = Recommender.load(self.folder)
            self._build_network(recommender)
            _warm_up(recommender)
        except ReplacedError:  # another one has come meanwhile: the next look loads it
            return
        except Exception as error:
            self.failure = error
            self._settled.set()
            raise
        self._recommender, self.failure = recommender, None
        self.ready_since = time.time()
        self._settled.set()
        logger.info("%r is ready after %.1f s", recommender, time.monotonic() - started)

    def _build_network(self, recommender: Recommender) -> None:
        """Build the network of a model that is new here, before a recording is uploaded.

        The first one imports PyTorch, which would hold up whatever is answered meanwhile.
        """
        encoder = recommender.live.state.encoder
        if encoder is not None and encoder is not self._encoder:
            # One that is not here is said to whoever uploads a recording.
            with suppress(EncoderUnavailableError, EncoderError):
                check_available(encoder)
        self._encoder = encoder


def _keep(
    served: "weakref.ref[ServedModel]",
    stopped: threading.Event,
    seconds: float,
    after_look: Callable[[], object],
) -> None:
    while True:
        one = served()
        if one is None:
            return
        one.look()
        try:
            after_look()
        except Exception:
            logger.exception("after looking at the model")
        del one
        if stopped.wait(seconds):
            return


def _warm_up(recommender: Recommender) -> None:
    """Read and compute what the first list and the first plays need, which takes a while."""
    live = recommender.live
    if not len(live.items.active):
        return
    history = [live.items.ids(live.items.active[:1])[0]]
    for _ in range(2):  # the second question alone makes what single questions are answered by
        recommender.recommend_ids(history=history, k=1)
    somebody = [secrets.token_hex(8), *map(str, live.state.user_ids[:1])]
    played, _ = live.taking_in([Play(user, history[0], 1.0) for user in somebody])  # not stored
    for user in somebody:
        user_list(played, user, None, ListOptions(k=1))
