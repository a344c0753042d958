"""Base class of all configurations: typed, immutable, validated, with a digest."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Self, TypeVar, get_args, get_origin

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from datasets.errors import InvalidArgumentError
from datasets.texts.suggestions import did_you_mean

T = TypeVar("T")


class Settings(BaseModel):
    """Base class of all configurations (a frozen pydantic model).

    Fields are checked on construction, however a configuration is made; an unknown field, a value
    out of range, NaN, infinity, or a truth value in place of a number raises InvalidArgumentError
    naming the field. `model_dump(mode="json")` converts to JSON, `from_json` back.

    Examples:
        >>> from pydantic import Field
        >>> class Training(Settings):
        ...     epochs: int = Field(10, ge=1)
        >>> Training().replace(epochs=20)
        Training(epochs=20)
        >>> Training(epochs=0)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        datasets.errors.InvalidArgumentError: Training: epochs: Input should be greater than ...
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    def __init__(self, **values: Any) -> None:
        _in_one_line(type(self), lambda: super(Settings, self).__init__(**values))

    def __setattr__(self, name: str, value: Any) -> None:
        _in_one_line(type(self), lambda: super(Settings, self).__setattr__(name, value))

    def __delattr__(self, name: str) -> None:
        _in_one_line(type(self), lambda: super(Settings, self).__delattr__(name))

    @model_validator(mode="before")
    @classmethod
    def _no_truth_values_for_numbers(cls, values: Any) -> Any:
        """Refuse True and False where a number is meant; pydantic would take them for 1 and 0."""
        if isinstance(values, dict):
            for name, value in values.items():
                field = cls.model_fields.get(name)
                if field is None or not _is_number(field.annotation):
                    continue
                parts = value.values() if isinstance(value, Mapping) else _several(value)
                for part in parts:
                    if isinstance(part, bool | np.bool_):
                        raise ValueError(f"{name} must be a number, not {part}")
        return values

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """Create settings from a mapping; see `pydantic.BaseModel.model_validate`."""
        return _in_one_line(cls, lambda: super(Settings, cls).model_validate(obj, **options))

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
        """Create settings from JSON; see `pydantic.BaseModel.model_validate_json`."""
        return _in_one_line(
            cls, lambda: super(Settings, cls).model_validate_json(json_data, **options)
        )

    @classmethod
    def model_construct(  # type: ignore[override]  # the plugin's own signature takes no values
        cls, _fields_set: set[str] | None = None, **values: Any
    ) -> Self:
        """Create settings; checked all the same, unlike other pydantic models."""
        return cls(**values)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, with some fields changed; checked, unlike other pydantic models."""
        return self.replace(**update) if update else super().model_copy(deep=deep)

    def checked(self) -> Self:
        """Check again, as a mapping within settings can be changed in place; return a copy.

        Raises:
            InvalidArgumentError: a value is no longer valid; names the field.
        """
        return type(self)(**self.model_dump())

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """Create settings from decoded JSON, with the same checks as on construction.

        Raises:
            InvalidArgumentError: if `values` is not a JSON object with valid fields.
        """
        if not isinstance(values, dict):
            raise InvalidArgumentError(f"{cls.__name__}: must be a JSON object, not {values!r}")
        return cls(**values)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed; it is validated again."""
        # By iteration: a class may have a field called keys.
        return type(self)(**{**dict(iter(self)), **changes})

    def digest(self) -> str:
        """Return the hex SHA-256 of the canonical JSON form; equal settings have equal digests."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


class Configured:
    """Parameters as scikit-learn has them, for a class whose one argument is its settings.

    A setting is a parameter, one within settings has a name such as ``als__factors``;
    `sklearn.base.clone` returns an untrained object of equal settings.

    Examples:
        >>> from recsys import Recommender
        >>> model = Recommender().set_params(als__factors=32, threads=1)
        >>> model.get_params()["als__factors"], model.config.als.factors
        (32, 32)
    """

    config: Any

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name.

        Args:
            deep: also each setting by its own name; otherwise only ``config``, all of them.
        """
        return {"config": self.config, **(_named(self.config) if deep else {})}

    def set_params(self, **params: Any) -> Self:
        """Change settings, for the next fit.

        Args:
            **params: as `get_params` names them.

        Returns:
            The object itself.

        Raises:
            InvalidArgumentError: there is no such parameter, or a value is not valid; nothing is
                changed.
        """
        known = self.get_params()
        for name in params:
            if name not in known:
                hint = did_you_mean(name, known)
                raise InvalidArgumentError(
                    f"no parameter {name!r} of {type(self).__name__}{hint}; "
                    f"there are: {', '.join(known)}"
                )
        rest = dict(params)
        config = rest.pop("config", self.config)
        check_config(config, type(self.config))
        changes: dict[str, Any] = {name: rest[name] for name in rest if "__" not in name}
        for name in rest.keys() - changes.keys():
            outer, _, inner = name.partition("__")
            changes[outer] = _with(changes.get(outer, getattr(config, outer)), inner, rest[name])
        self._take_settings(config.replace(**changes))
        return self

    def _take_settings(self, config: Any) -> None:
        self.config = config


def check_config(config: object, kind: type[Settings]) -> None:
    """Check that an argument ``config`` is of the settings that are meant.

    Raises:
        InvalidArgumentError: it is something else, a mapping for instance.

    Examples:
        >>> from recsys import RecommenderConfig
        >>> check_config({"seed": 1}, RecommenderConfig)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        datasets.errors.InvalidArgumentError: config must be a RecommenderConfig, not dict; ...
    """
    if not isinstance(config, kind):
        name = kind.__name__
        hint = f"; give {name}(**settings) of it" if isinstance(config, Mapping) else ""
        raise InvalidArgumentError(f"config must be a {name}, not {type(config).__name__}{hint}")


def _named(settings: Settings, before: str = "") -> dict[str, Any]:
    """All settings by name, those within settings included."""
    found: dict[str, Any] = {}
    for name, value in settings:
        found[before + name] = value
        if isinstance(value, Settings):
            found |= _named(value, f"{before}{name}__")
    return found


def _with(settings: Any, name: str, value: Any) -> Any:
    """Settings, or a mapping of some, with one changed: ``name`` may lie deeper."""
    outer, deeper, inner = name.partition("__")
    values = dict(settings)
    values[outer] = _with(values[outer], inner, value) if deeper else value
    return values


def _is_number(annotation: Any) -> bool:
    """Whether a field holds a number, several, or numbers by name; or may hold None."""
    if get_origin(annotation) is dict:
        return _is_number(get_args(annotation)[1])
    kinds = set(get_args(annotation) or (annotation,)) - {type(None), ...}
    return bool(kinds) and all(
        kind in (int, float) or (bool(get_args(kind)) and _is_number(kind)) for kind in kinds
    )


def _several(value: Any) -> Iterable[Any]:
    """The values of a list or a tuple, or the one value."""
    return value if isinstance(value, list | tuple) else (value,)


def _in_one_line(settings: type[Settings], make: Callable[[], T]) -> T:
    """Call a function of pydantic; its error becomes one line that names settings and field."""
    try:
        return make()
    except ValidationError as error:
        raise InvalidArgumentError(
            _one_line(settings.__name__, list(settings.model_fields), error)
        ) from None


def _one_line(name: str, fields: Collection[str], error: ValidationError) -> str:
    """Join pydantic's errors into one line, with the path of each field."""
    problems = []
    for problem in error.errors():
        parts = [str(part) for part in problem["loc"]]
        field = ".".join(part if part.isprintable() else repr(part) for part in parts)
        cause = problem.get("ctx", {}).get("error")
        if isinstance(cause, InvalidArgumentError):
            inner = str(cause).partition(": ")[2]
            # Without a path it is of these settings themselves, else of settings within them.
            problems.append(f"{field}.{inner}" if field else inner)
        elif problem["type"] == "extra_forbidden" and len(parts) == 1:
            known = ", ".join(fields)
            hint = did_you_mean(parts[0], fields)
            problems.append(f"{field}: there is no such setting{hint}; there are: {known}")
        elif problem["type"] == "frozen_instance":
            problems.append(
                f"{field}: settings cannot be changed; `replace` returns a changed copy"
            )
        else:
            text = str(cause) if isinstance(cause, ValueError) else problem["msg"]
            problems.append(f"{field}: {text}" if field else text)
    return f"{name}: {'; '.join(problems)}"
