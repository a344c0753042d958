"""Base class of all configurations: typed, immutable, validated, with a digest."""

import hashlib
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from datasets.errors import InvalidArgumentError


class Settings(BaseModel):
    """Base class of all configurations (a frozen pydantic model).

    Fields are checked on construction; an unknown field or a value out of range raises
    InvalidArgumentError naming the field. `model_dump(mode="json")` converts to JSON,
    `from_json` back.

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

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InvalidArgumentError(_one_line(type(self).__name__, error)) from None

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
        return type(self)(**{**dict(self), **changes})

    def digest(self) -> str:
        """Return the hex SHA-256 of the canonical JSON form; equal settings have equal digests."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def _one_line(name: str, error: ValidationError) -> str:
    """Join pydantic's errors into one line, with the path of each field."""
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
