"""What a search may change: the settings of a recommender, each with the range that is tried.

Left out are the seed, threads and tracking; how the best items are found (``retrieval`` trades time
for exactness and learns nothing); ``fusion.discovery``, which is a wish: new items are shown at the
cost of accuracy, so that a search would always take it away; the ways of taking embeddings into
LightFM and of mapping content that cost many times as much as all else (``dense``; ``mlp``,
``auto``); and the cross-validation of the content map, which chooses its own strengths. Weights of
the sources are chosen in every fit; where they are fixed, they belong to the sources, which then
stay.

One setting that a search may change: what is tried of it, and how a study keeps it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, Self

from embedding.network.config import MODERN_ARCHITECTURE, PATENT_ARCHITECTURE
from recsys.config import SOURCES, RecommenderConfig, SourceName

if TYPE_CHECKING:
    import optuna

Value = str | int | float | bool | None

Params = dict[str, Value]
"""What a study keeps of a trial: {name of a parameter: value}."""

DATA, TRIAL = "data", "trial"
"""Who chooses a setting that can be left to the data."""


class Dimension(Protocol):
    """One setting of the configuration, by its dotted name, and what is tried of it."""

    @property
    def name(self) -> str:
        """Where the setting is: ``als.factors``."""

    def suggest(self, trial: "optuna.Trial") -> Value:
        """A value of the trial's choice."""

    def params(self, value: Any) -> Params:
        """The parameters by which :meth:`suggest` returns this value."""

    def including(self, value: Any) -> Self:
        """The same with a range that has this value."""


@dataclass(frozen=True)
class Whole:
    """A whole number, searched on a logarithmic scale."""

    name: str
    low: int
    high: int

    def suggest(self, trial: "optuna.Trial") -> Value:
        return trial.suggest_int(self.name, self.low, self.high, log=True)

    def params(self, value: Any) -> Params:
        return {self.name: value}

    def including(self, value: Any) -> Self:
        return replace(self, low=min(self.low, value), high=max(self.high, value))


@dataclass(frozen=True)
class Real:
    """A number, searched on a logarithmic scale where ``log``."""

    name: str
    low: float
    high: float
    log: bool = True

    def suggest(self, trial: "optuna.Trial") -> Value:
        return trial.suggest_float(self.name, self.low, self.high, log=self.log)

    def params(self, value: Any) -> Params:
        return {self.name: value}

    def including(self, value: Any) -> Self:
        # No logarithmic scale reaches 0: a setting that is 0 makes it a linear one.
        return replace(
            self,
            low=min(self.low, value),
            high=max(self.high, value),
            log=self.log and value > 0,
        )


@dataclass(frozen=True)
class Choice:
    """One of several values."""

    name: str
    options: tuple[Value, ...]

    def suggest(self, trial: "optuna.Trial") -> Value:
        return trial.suggest_categorical(self.name, self.options)

    def params(self, value: Any) -> Params:
        return {self.name: value}

    def including(self, value: Any) -> Self:
        if value in self.options:
            return self
        return replace(self, options=(*self.options, value))


@dataclass(frozen=True)
class OrData:
    """A number of the trial's choice, or None: then every fit chooses it on its own data."""

    number: Real | Whole

    @property
    def name(self) -> str:
        return self.number.name

    def suggest(self, trial: "optuna.Trial") -> Value:
        by = trial.suggest_categorical(f"{self.name} chosen by", (DATA, TRIAL))
        return self.number.suggest(trial) if by == TRIAL else None

    def params(self, value: Any) -> Params:
        if value is None:
            return {f"{self.name} chosen by": DATA}
        return {f"{self.name} chosen by": TRIAL, **self.number.params(value)}

    def including(self, value: Any) -> Self:
        return self if value is None else replace(self, number=self.number.including(value))


@dataclass(frozen=True)
class Part:
    """Settings that matter only where ``needs`` (a dotted name) has the value ``value``."""

    dimensions: tuple[Dimension, ...]
    needs: str | None = None
    value: Value = None


_PARTS = (
    Part(
        (
            Whole("als.factors", 16, 256),
            OrData(Real("als.regularization", 1.0, 500.0)),
            Real("als.alpha", 1.0, 100.0),
            Whole("als.iterations", 5, 30),
            Choice("als.weighting", ("binary", "log", "linear")),
        ),
        "source.als",
        True,
    ),
    Part(
        (
            Whole("fm.components", 16, 256),
            OrData(Whole("fm.epochs", 5, 200)),
            Real("fm.learning_rate", 0.003, 0.2),
            Choice("fm.loss", ("warp", "bpr", "logistic")),
            Choice("fm.item_penalty", (0.0, 1e-6, 1e-5, 1e-4)),
            Choice("fm.user_penalty", (0.0, 1e-6, 1e-5, 1e-4)),
            Choice("fm.embedding_features", ("closed-form", "closed-form+tuning", "pca")),
        ),
        "source.fm",
        True,
    ),
    Part((Whole("fm.tuning_epochs", 1, 10),), "fm.embedding_features", "closed-form+tuning"),
    Part((Whole("fm.pca_components", 4, 64),), "fm.embedding_features", "pca"),
    Part(
        (Whole("ease.rank", 32, 1024), Real("ease.regularization", 10.0, 2000.0)),
        "source.ease",
        True,
    ),
    Part(
        (
            Choice("content_map.kind", ("ridge", "low-rank", "cosine")),
            Real("content_map.evidence", 1.0, 100.0),
            Real("content_map.group_prior", 0.3, 30.0),
            OrData(Real("content_map.shrinkage", 0.1, 100.0)),
            Real("fusion.validation_fraction", 0.05, 0.3),
        )
    ),
)

_NETWORK = Part(
    (
        Choice("encoder.architecture", (PATENT_ARCHITECTURE, MODERN_ARCHITECTURE)),
        Whole("encoder.epochs", 5, 80),
        Choice("encoder.batch_size", (16, 32, 64)),
        Choice("encoder.optimiser", ("sgd", "adamw")),
        Real("encoder.learning_rate", 1e-4, 0.05),
        Real("encoder.weight_decay", 1e-4, 0.1),
        Real("encoder.label_smoothing", 0.0, 0.2, log=False),
        Real("encoder.augmentation.mixup", 0.0, 0.5, log=False),
        Real("encoder.augmentation.time_mask", 0.0, 0.3, log=False),
        Real("encoder.augmentation.row_mask", 0.0, 0.3, log=False),
    )
)


class Space:
    """All configurations that a search may try around one configuration, which is among them.

    network: whether the network's settings are searched too.
    """

    def __init__(self, base: RecommenderConfig, *, network: bool = False) -> None:
        self.base = base
        self._sources = base.fusion.warm is None and base.fusion.cold is None
        self._parts = tuple(
            replace(
                part,
                dimensions=tuple(
                    dimension.including(setting(base, dimension.name))
                    for dimension in part.dimensions
                ),
            )
            for part in (*_PARTS, *((_NETWORK,) if network else ()))
        )

    def suggest(self, trial: "optuna.Trial") -> RecommenderConfig:
        """A configuration of the trial's choice."""
        on = self._suggest_sources(trial) if self._sources else set(self.base.sources)
        found: Params = {_switch(name): name in on for name in SOURCES}
        for part in self._parts:
            if part.needs is None or found.get(part.needs) == part.value:
                for dimension in part.dimensions:
                    found[dimension.name] = dimension.suggest(trial)
        config = _changed(self.base, {k: v for k, v in found.items() if not _is_switch(k)})
        if on == set(self.base.sources):
            return config  # in the order that was given
        return config.replace(sources=tuple(name for name in SOURCES if name in on))

    def _suggest_sources(self, trial: "optuna.Trial") -> set[SourceName]:
        def is_on(name: SourceName) -> bool:
            return bool(trial.suggest_categorical(_switch(name), (True, False)))

        on = {name for name in _ASKED if is_on(name)}
        # Without any other the last one is on, and is not asked for.
        return on | {_LAST} if not on or is_on(_LAST) else on

    def params(self) -> Params:
        """The parameters of the configuration that the search starts from."""
        on = self.base.sources
        found: Params = {_switch(name): name in on for name in SOURCES}
        params: Params = {}
        if self._sources:
            params = {_switch(name): name in on for name in _ASKED}
            if set(on) != {_LAST}:
                params[_switch(_LAST)] = _LAST in on
        for part in self._parts:
            if part.needs is None or found.get(part.needs) == part.value:
                for dimension in part.dimensions:
                    found[dimension.name] = setting(self.base, dimension.name)
                    params |= dimension.params(found[dimension.name])
        return params

    def names(self) -> tuple[str, ...]:
        """The settings that are searched, by their dotted names."""
        own = ("sources",) if self._sources else ()
        return (*own, *(d.name for part in self._parts for d in part.dimensions))

    def __repr__(self) -> str:
        return f"Space({self._sources}, {self._parts})"


_LAST: SourceName = "als"

_ASKED = tuple(name for name in SOURCES if name != _LAST)


def setting(config: RecommenderConfig, name: str) -> Any:
    """The value of a setting by its dotted name."""
    value: Any = config
    for part in name.split("."):
        value = getattr(value, part)
    return value


def changes(base: RecommenderConfig, found: RecommenderConfig) -> dict[str, tuple[Any, Any]]:
    """{dotted name: (value in ``base``, value in ``found``)} of the settings that differ."""
    own, other = (_flat(config.model_dump(mode="json")) for config in (base, found))
    return {name: (own[name], other[name]) for name in own if own[name] != other[name]}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        nested = isinstance(value, Mapping) and f"{prefix}{name}" not in (
            "fusion.warm",
            "fusion.cold",
        )
        flat |= _flat(value, f"{prefix}{name}.") if nested else {prefix + name: value}
    return flat


def _changed(config: Any, values: Mapping[str, Value]) -> Any:
    """A copy of settings with some, by their dotted names, replaced."""
    own = {name: value for name, value in values.items() if "." not in name}
    nested: dict[str, dict[str, Value]] = {}
    for name, value in values.items():
        section, _, rest = name.partition(".")
        if rest:
            nested.setdefault(section, {})[rest] = value
    sections = {name: _changed(getattr(config, name), part) for name, part in nested.items()}
    return config.replace(**own, **sections)


def _switch(source: str) -> str:
    return f"source.{source}"


def _is_switch(name: str) -> bool:
    return name.startswith("source.")
