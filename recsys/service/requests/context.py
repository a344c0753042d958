"""What the routes of one application share: settings, model, keys, threads, figures."""

import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from starlette.requests import Request

from datasets.texts.file_names import name_from_text
from embedding.parallel import PersistentWorker
from recsys.model.live import LiveModel
from recsys.service.listens.intake import ListenIntake
from recsys.service.listens.unmatched import listens_file
from recsys.service.problems import Scrubber
from recsys.service.requests.keys import KeyFile
from recsys.service.requests.metrics import ServiceMetrics
from recsys.service.requests.running import Lane
from recsys.service.serving import ServedModel
from recsys.service.settings import ServiceSettings

T = TypeVar("T")

_GAUGES_SECONDS = 5.0
"""Interval at which the figures of the model are counted anew where it has not changed."""


class ServiceContext:
    """What all routes share; a request finds it with `context_of`.

    Args:
        served: the model.
        settings: settings of the service.
    """

    def __init__(self, served: ServedModel, settings: ServiceSettings) -> None:
        self.served = served
        self.settings = settings
        self.keys = None if settings.keys is None else KeyFile(settings.keys)
        self.metrics = ServiceMetrics()
        one = settings
        self.reads = Lane(
            "questions", threads=one.read_threads, queue=one.read_queue, seconds=one.read_seconds
        )
        self.changes = Lane("changes", threads=2, queue=one.write_queue, seconds=one.write_seconds)
        self.hearing = Lane(
            "recordings",
            threads=one.decodes,
            queue=one.onboard_queue,
            seconds=one.upload_seconds + one.write_seconds,
        )
        self.drawing = Lane("pictures", threads=1, queue=64, seconds=one.read_seconds)
        self.worker = PersistentWorker()
        """A process that reads tags and draws pictures: files are not to be trusted."""
        file = None if served.folder is None else listens_file(served.folder)
        self.listens = ListenIntake(served, settings.playable_folders, file)
        folders = [one for one in (served.folder, settings.uploads, settings.keys) if one]
        self.scrubber = Scrubber([*folders, *settings.audio_folders])
        self.pictures: OrderedDict[str, bytes] = OrderedDict()
        """Hyper-images that were drawn, by the tag of their answer, the oldest first."""
        self._told: tuple[str, float] = ("", 0.0)

    async def ask(self, function: Callable[[LiveModel], T]) -> T:
        """Answer a question from the model as it is now, in a thread."""
        live = self.served.live
        return await self.reads.run(lambda: function(live))

    def after_look(self) -> None:
        """Do what is due after each look at the model."""
        self._tell_state()
        self.listens.settle_soon()

    def _tell_state(self) -> None:
        """Tell what only this process knows; whoever is asked for figures adds it up."""
        ready = self.served.is_ready
        self.metrics.tell_state(ready=ready, onboard_queue=self.hearing.pending)

    def tell_metrics(self) -> None:
        """Bring the figures up to date; those of the model take a walk through all items."""
        self._tell_state()
        if not self.served.is_ready:
            return
        live, now = self.served.live, time.monotonic()
        generation = self.served.generation(live)
        if self._told[0] == generation and now - self._told[1] < _GAUGES_SECONDS:
            return
        self._told = generation, now
        counts = live.counts()
        self.metrics.tell_model(
            items=counts["items"],
            users=counts["users"],
            age=max(0.0, time.time() - self.served.fitted_at()),
            changes=live.revision[1],
        )

    def folder_of_the_fit(self, live: LiveModel) -> Path | None:
        """Return the folder that the paths of the fit's recordings start from, if it is known."""
        folder = live.state.info["dataset"].get("folder")
        return None if folder is None else Path(name_from_text(folder))

    def close(self) -> None:
        """Begin no more work."""
        for lane in (self.reads, self.changes, self.hearing, self.drawing):
            lane.close()
        self.listens.close()
        self.worker.close()


def context_of(request: Request) -> ServiceContext:
    """Return what the application of a request shares."""
    context: ServiceContext = request.app.state.context
    return context
