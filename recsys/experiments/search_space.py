"""The search space: the settings of a recommender that a search varies, and their ranges.

Not searched are the seed, threads and tracking; how the best items are found (``retrieval`` trades
time for exactness and learns nothing); ``fusion.discovery``, which shows new items at the cost of
accuracy, so that a search would always turn it off; ``fusion.drop_sources``, as sources are
searched themselves; the ways of taking embeddings into LightFM and
of mapping content that cost many times as much as all else (``dense``; ``mlp``, ``auto``); and the
cross-validation of the content map, which chooses its own strengths and widths; and heads on a
given encoder, which a search does not train. Weights of the sources are chosen in every fit; where
they are fixed, they belong to the sources, which then are not searched.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, Self

from datasets.arguments import check_number
from embedding.network.config import MODERN_ARCHITECTURE, PATENT_ARCHITECTURE
from recsys.config import SOURCES, RecommenderConfig, SourceName

if TYPE_CHECKING:
    import optuna

Value = str | int | float | bool | None

Params = dict[str, Value]
"""What a study stores of a trial: {name of a parameter: value}."""

DATA, TRIAL = "data", "trial"
"""Who chooses a setting that can be left to the data."""


class SearchedSetting(Protocol):
    """One setting of the configuration and the values that are tried."""

    @property
    def name(self) -> str:
        """Its dotted name, such as ``als.factors``."""

    def suggest(self, trial: "optuna.Trial") -> Value:
        """Return a value that the trial suggests."""

    def params(self, value: Any) -> Params:
        """Return the parameters of a trial for which ``suggest`` returns this value."""

    def including(self, value: Any) -> Self:
        """Return the same setting with a range that includes this value."""

    def fingerprint(self) -> str:
        """Return a text that identifies name and range, the same in all versions of the code."""


@dataclass(frozen=True)
class IntegerRange:
    """An integer, searched on a logarithmic scale."""

    name: str
    low: int
    high: int

    def suggest(self, trial: "optuna.Trial") -> Value:
        """Return an integer that the trial suggests."""
        return trial.suggest_int(self.name, self.low, self.high, log=True)

    def params(self, value: Any) -> Params:
        """Return the parameters of a trial with this value."""
        return {self.name: value}

    def including(self, value: Any) -> Self:
        """Return the range, extended to include this value."""
        return replace(self, low=min(self.low, value), high=max(self.high, value))

    def fingerprint(self) -> str:
        """Return a text that identifies name and range."""
        return f"Whole(name={self.name!r}, low={self.low!r}, high={self.high!r})"


@dataclass(frozen=True)
class FloatRange:
    """A number, searched on a logarithmic scale if ``log``."""

    name: str
    low: float
    high: float
    log: bool = True

    def __post_init__(self) -> None:
        """Raise InvalidArgumentError for bounds between which there is no number."""
        check_number(f"low of {self.name}", self.low)
        check_number(f"high of {self.name}", self.high, least=self.low)

    def suggest(self, trial: "optuna.Trial") -> Value:
        """Return a number that the trial suggests."""
        return trial.suggest_float(self.name, self.low, self.high, log=self.log)

    def params(self, value: Any) -> Params:
        """Return the parameters of a trial with this value."""
        return {self.name: value}

    def including(self, value: Any) -> Self:
        """Return the range, extended to include this value."""
        # A logarithmic scale does not reach 0: with a value of 0 the scale is linear.
        return replace(
            self,
            low=min(self.low, value),
            high=max(self.high, value),
            log=self.log and value > 0,
        )

    def fingerprint(self) -> str:
        """Return a text that identifies name and range."""
        return f"Real(name={self.name!r}, low={self.low!r}, high={self.high!r}, log={self.log!r})"


@dataclass(frozen=True)
class Categorical:
    """One of several values."""

    name: str
    options: tuple[Value, ...]

    def suggest(self, trial: "optuna.Trial") -> Value:
        """Return one of the values."""
        return trial.suggest_categorical(self.name, self.options)

    def params(self, value: Any) -> Params:
        """Return the parameters of a trial with this value."""
        return {self.name: value}

    def including(self, value: Any) -> Self:
        """Return the same setting with this value among the options."""
        if value in self.options:
            return self
        return replace(self, options=(*self.options, value))

    def fingerprint(self) -> str:
        """Return a text that identifies name and options."""
        return f"Choice(name={self.name!r}, options={self.options!r})"


@dataclass(frozen=True)
class OptionalRange:
    """A number that a trial sets, or None: then every fit chooses it on its own data."""

    number: FloatRange | IntegerRange

    @property
    def name(self) -> str:
        """The dotted name of the number."""
        return self.number.name

    def suggest(self, trial: "optuna.Trial") -> Value:
        """Return a number or None, as the trial suggests."""
        by = trial.suggest_categorical(f"{self.name} chosen by", (DATA, TRIAL))
        return self.number.suggest(trial) if by == TRIAL else None

    def params(self, value: Any) -> Params:
        """Return the parameters of a trial with this value."""
        if value is None:
            return {f"{self.name} chosen by": DATA}
        return {f"{self.name} chosen by": TRIAL, **self.number.params(value)}

    def including(self, value: Any) -> Self:
        """Return the range, extended to include this value."""
        return self if value is None else replace(self, number=self.number.including(value))

    def fingerprint(self) -> str:
        """Return a text that identifies name and range."""
        return f"OrData(number={self.number.fingerprint()})"


@dataclass(frozen=True)
class SettingGroup:
    """Settings that matter only where the setting ``needs`` has the value ``value``."""

    settings: tuple[SearchedSetting, ...]
    """The settings searched together."""
    needs: str | None = None
    """Dotted name of a setting, or ``source.NAME``; None: they always matter."""
    value: Value = None
    """The value that ``needs`` must have."""

    def fingerprint(self) -> str:
        """Return a text that identifies the settings and the condition."""
        inner = ", ".join(setting.fingerprint() for setting in self.settings)
        comma = "," if len(self.settings) == 1 else ""
        return f"Part(dimensions=({inner}{comma}), needs={self.needs!r}, value={self.value!r})"


_GROUPS = (
    SettingGroup(
        (
            IntegerRange("als.factors", 16, 256),
            OptionalRange(FloatRange("als.regularization", 1.0, 500.0)),
            FloatRange("als.alpha", 1.0, 100.0),
            IntegerRange("als.iterations", 5, 30),
            FloatRange("als.penalty_by_plays", 0.0, 1.0, log=False),
            Categorical("als.weighting", ("relative", "binary", "log", "linear")),
        ),
        "source.als",
        True,
    ),
    SettingGroup(
        (
            IntegerRange("fm.components", 16, 256),
            OptionalRange(IntegerRange("fm.epochs", 5, 200)),
            FloatRange("fm.learning_rate", 0.003, 0.2),
            Categorical("fm.loss", ("warp", "bpr", "logistic")),
            Categorical("fm.item_penalty", (0.0, 1e-6, 1e-5, 1e-4)),
            Categorical("fm.user_penalty", (0.0, 1e-6, 1e-5, 1e-4)),
            Categorical("fm.embedding_features", ("closed-form", "closed-form+tuning", "pca")),
        ),
        "source.fm",
        True,
    ),
    SettingGroup(
        (IntegerRange("fm.tuning_epochs", 1, 10),), "fm.embedding_features", "closed-form+tuning"
    ),
    SettingGroup((IntegerRange("fm.pca_components", 4, 64),), "fm.embedding_features", "pca"),
    SettingGroup(
        (
            IntegerRange("ease.rank", 32, 1024),
            FloatRange("ease.regularization", 10.0, 2000.0),
            Categorical("ease.weighting", ("relative", "binary", "log", "linear")),
        ),
        "source.ease",
        True,
    ),
    SettingGroup(
        (
            Categorical("content_map.kind", ("kernel", "ridge", "low-rank", "cosine")),
            FloatRange("content_map.evidence", 1.0, 100.0),
            FloatRange("content_map.group_prior", 0.3, 30.0),
            OptionalRange(FloatRange("content_map.shrinkage", 0.1, 100.0)),
            FloatRange("fusion.validation_fraction", 0.05, 0.3),
        )
    ),
)

_NETWORK_GROUP = SettingGroup(
    (
        Categorical("encoder.architecture", (PATENT_ARCHITECTURE, MODERN_ARCHITECTURE)),
        IntegerRange("encoder.epochs", 5, 80),
        Categorical("encoder.batch_size", (16, 32, 64)),
        Categorical("encoder.optimiser", ("sgd", "adamw")),
        FloatRange("encoder.learning_rate", 1e-4, 0.05),
        FloatRange("encoder.weight_decay", 1e-4, 0.1),
        FloatRange("encoder.label_smoothing", 0.0, 0.2, log=False),
        FloatRange("encoder.augmentation.mixup", 0.0, 0.5, log=False),
        FloatRange("encoder.augmentation.time_mask", 0.0, 0.3, log=False),
        FloatRange("encoder.augmentation.row_mask", 0.0, 0.3, log=False),
    )
)


class SearchSpace:
    """All configurations that a search may try around one configuration, which is among them.

    Args:
        base: the configuration that the search starts from.
        network: also search the network's settings.

    Examples:
        >>> from recsys import RecommenderConfig
        >>> SearchSpace(RecommenderConfig()).names()[:3]
        ('sources', 'als.factors', 'als.regularization')
    """

    def __init__(self, base: RecommenderConfig, *, network: bool = False) -> None:
        self.base = base
        self._searches_sources = base.fusion.warm is None and base.fusion.cold is None
        self._groups = tuple(
            replace(
                group,
                settings=tuple(
                    setting.including(setting_value(base, setting.name))
                    for setting in group.settings
                ),
            )
            for group in (*_GROUPS, *((_NETWORK_GROUP,) if network else ()))
        )

    def suggest(self, trial: "optuna.Trial") -> RecommenderConfig:
        """Return the configuration that a trial suggests."""
        sources = set(self.base.sources)
        if self._searches_sources:
            sources = self._suggest_sources(trial)
        found: Params = {_source_param(name): name in sources for name in SOURCES}
        for group in self._groups:
            if group.needs is None or found.get(group.needs) == group.value:
                for setting in group.settings:
                    found[setting.name] = setting.suggest(trial)
        values = {name: value for name, value in found.items() if not _is_source_param(name)}
        config = _replaced(self.base, values)
        if sources == set(self.base.sources):
            return config  # in the order that was given
        return config.replace(sources=tuple(name for name in SOURCES if name in sources))

    def _suggest_sources(self, trial: "optuna.Trial") -> set[SourceName]:
        def is_on(name: SourceName) -> bool:
            return bool(trial.suggest_categorical(_source_param(name), (True, False)))

        on = {name for name in _FIRST_SOURCES if is_on(name)}
        # Without any other the last one is on, and is not suggested.
        return on | {_LAST_SOURCE} if not on or is_on(_LAST_SOURCE) else on

    def params(self) -> Params:
        """Return the parameters of a trial for which ``suggest`` returns ``base``."""
        on = self.base.sources
        found: Params = {_source_param(name): name in on for name in SOURCES}
        params: Params = {}
        if self._searches_sources:
            params = {_source_param(name): name in on for name in _FIRST_SOURCES}
            if set(on) != {_LAST_SOURCE}:
                params[_source_param(_LAST_SOURCE)] = _LAST_SOURCE in on
        for group in self._groups:
            if group.needs is None or found.get(group.needs) == group.value:
                for setting in group.settings:
                    found[setting.name] = setting_value(self.base, setting.name)
                    params |= setting.params(found[setting.name])
        return params

    def names(self) -> tuple[str, ...]:
        """Return the dotted names of the settings that are searched."""
        sources = ("sources",) if self._searches_sources else ()
        return (*sources, *(s.name for group in self._groups for s in group.settings))

    def fingerprint(self) -> str:
        """Return a text that identifies the space.

        A study file goes on only where its digest is the same: the text must not change with
        names of classes.
        """
        groups = ", ".join(group.fingerprint() for group in self._groups)
        return f"Space({self._searches_sources}, ({groups}))"


_LAST_SOURCE: SourceName = "als"

_FIRST_SOURCES = tuple(name for name in SOURCES if name != _LAST_SOURCE)


def setting_value(config: RecommenderConfig, name: str) -> Any:
    """Return the value of a setting by its dotted name."""
    value: Any = config
    for part in name.split("."):
        value = getattr(value, part)
    return value


def changed_settings(
    base: RecommenderConfig, found: RecommenderConfig
) -> dict[str, tuple[Any, Any]]:
    """Compare two configurations: {dotted name: (value in ``base``, value in ``found``)}.

    Examples:
        >>> from recsys import RecommenderConfig
        >>> base = RecommenderConfig()
        >>> changed_settings(base, base.replace(seed=7))
        {'seed': (0, 7)}
    """
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


def _replaced(config: Any, values: Mapping[str, Value]) -> Any:
    """A copy of settings with some, by their dotted names, replaced."""
    own = {name: value for name, value in values.items() if "." not in name}
    nested: dict[str, dict[str, Value]] = {}
    for name, value in values.items():
        section, _, rest = name.partition(".")
        if rest:
            nested.setdefault(section, {})[rest] = value
    sections = {name: _replaced(getattr(config, name), part) for name, part in nested.items()}
    return config.replace(**own, **sections)


def _source_param(source: str) -> str:
    return f"source.{source}"


def _is_source_param(name: str) -> bool:
    return name.startswith("source.")
