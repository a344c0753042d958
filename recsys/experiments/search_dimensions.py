"""One setting that a search may change: what is tried of it, and how a study keeps it."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, Self

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
