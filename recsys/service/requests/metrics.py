"""Figures of the service for Prometheus, of all its processes together."""

import os
from pathlib import Path

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

FIGURES_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable: folder in which several processes count together. prometheus-client looks
for it when it is imported."""

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 120.0)

CONTENT_TYPE = CONTENT_TYPE_LATEST

_NAMESPACE = "coldtune"


class ServiceMetrics:
    """What one service counts; each has a registry of its own.

    Examples:
        >>> metrics = ServiceMetrics()
        >>> metrics.count_request("GET", "/v1/model", 200, 0.003)
        >>> b'route="/v1/model"' in metrics.text()
        True
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = self._counter(
            "requests", "Requests that were answered.", ("method", "route", "status")
        )
        self._seconds = Histogram(
            "request_seconds",
            "Time to the end of an answer.",
            ("method", "route"),
            namespace=_NAMESPACE,
            registry=self._registry,
            buckets=_SECONDS,
        )
        self._plays = self._counter("plays", "Plays that were taken in.")
        self._onboarded = self._counter("onboarded", "Songs that were taken in.")
        self._items = self._gauge("items", "Items of the model.")
        self._users = self._gauge("users", "Users of the model.")
        self._age = self._gauge("model_age_seconds", "Time since the model was fitted.")
        self._changes = self._gauge("model_changes", "Changes of the model since its fit.")
        self._queue = self._gauge(
            "onboard_queue", "Recordings that are heard or wait for it.", summed=True
        )
        self._ready = self._gauge("ready", "Processes that can answer.", summed=True)

    def _counter(self, name: str, said: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(name, said, labels, namespace=_NAMESPACE, registry=self._registry)

    def _gauge(self, name: str, said: str, *, summed: bool = False) -> Gauge:
        """A figure of the model, the newest of all processes, or a sum over those that live."""
        return Gauge(
            name,
            said,
            namespace=_NAMESPACE,
            registry=self._registry,
            multiprocess_mode="livesum" if summed else "mostrecent",
        )

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer by its method, the template of its route, and its status."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def count_plays(self, plays: int) -> None:
        """Count plays that were taken in."""
        self._plays.inc(plays)

    def count_onboarded(self) -> None:
        """Count a song that was taken in."""
        self._onboarded.inc()

    def tell_model(self, *, items: int, users: int, age: float, changes: int) -> None:
        """Tell what the model has now.

        Args:
            items: how many items.
            users: how many users.
            age: seconds since it was fitted.
            changes: how many changes it has taken in since.
        """
        self._items.set(items)
        self._users.set(users)
        self._age.set(age)
        self._changes.set(changes)

    def tell_state(self, *, ready: bool, onboard_queue: int) -> None:
        """Tell whether this process can answer, and how many recordings wait in it."""
        self._ready.set(int(ready))
        self._queue.set(onboard_queue)

    def text(self) -> bytes:
        """Return all figures as Prometheus reads them."""
        folder = os.environ.get(FIGURES_FOLDER)
        if not folder or not Path(folder).is_dir():
            return generate_latest(self._registry)
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
