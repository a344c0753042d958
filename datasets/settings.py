"""Settings: typed, immutable configuration that checks itself and has a digest."""

import hashlib
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from datasets.errors import InvalidArgumentError


class Settings(BaseModel):
    """Base of every configuration class.

    Fields are checked on construction; an unknown field or a value out of range raises
    :class:`~datasets.errors.InvalidArgumentError` naming the field. ``model_dump(mode="json")``
    and ``model_validate`` convert to and from JSON; :meth:`replace` makes a changed copy.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InvalidArgumentError(_one_line(type(self).__name__, error)) from None

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """Settings from decoded JSON, checked as on construction."""
        if not isinstance(values, dict):
            raise InvalidArgumentError(f"{cls.__name__}: must be a JSON object, not {values!r}")
        return cls(**values)

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed, checked again."""
        return type(self)(**{**dict(self), **changes})

    def digest(self) -> str:
        """Hex SHA-256 of the canonical JSON form: equal settings, equal digest."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def _one_line(name: str, error: ValidationError) -> str:
    problems = []
    for problem in error.errors():
        field = ".".join(str(part) for part in problem["loc"])
        cause = problem.get("ctx", {}).get("error")
        if isinstance(cause, InvalidArgumentError):  # of settings within settings
            problems.append(f"{field}.{str(cause).partition(': ')[2]}")
        else:
            text = str(cause) if isinstance(cause, ValueError) else problem["msg"]
            problems.append(f"{field}: {text}" if field else text)
    return f"{name}: {'; '.join(problems)}"
