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

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable: folder in which several processes count together. prometheus-client looks
for it when it is imported."""

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 120.0)

CONTENT_TYPE = CONTENT_TYPE_LATEST


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
        options = {"registry": self._registry, "namespace": "coldtune"}
        self._requests = Counter(
            "requests", "Requests that were answered.", ("method", "route", "status"), **options
        )
        self._seconds = Histogram(
            "request_seconds", "Time to the end of an answer.", ("method", "route"),
            buckets=_SECONDS, **options,
        )  # fmt: skip
        self._plays = Counter("plays", "Plays that were taken in.", **options)
        self._onboarded = Counter("onboarded", "Songs that were taken in.", **options)
        newest = {"multiprocess_mode": "mostrecent", **options}
        self._items = Gauge("items", "Items of the model.", **newest)
        self._users = Gauge("users", "Users of the model.", **newest)
        self._age = Gauge("model_age_seconds", "Time since the model was fitted.", **newest)
        self._changes = Gauge("model_changes", "Changes of the model since its fit.", **newest)
        summed = {"multiprocess_mode": "livesum", **options}
        self._queue = Gauge("onboard_queue", "Recordings that are heard or wait for it.", **summed)
        self._ready = Gauge("ready", "Processes that can answer.", **summed)

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
        folder = os.environ.get(VARIABLE)
        if not folder or not Path(folder).is_dir():
            return generate_latest(self._registry)
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
