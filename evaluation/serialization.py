"""JSON values of results, and the package versions that results depend on."""

import math
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from datasets.versions import package_versions

_PACKAGES: Final = (
    "coldtune", "numpy", "pandas", "scipy", "scikit-learn", "implicit", "rectools-lightfm",
    "annoy", "torch", "librosa",
)  # fmt: skip


def json_safe(value: Any) -> Any:
    """Convert a value to types that JSON has; numbers that are not finite become None.

    Args:
        value: numbers, texts, paths, arrays, and mappings or sequences of them.

    Raises:
        TypeError: there is something that has no JSON form.

    Examples:
        >>> json_safe({"mean": np.float64(0.5), "low": float("nan"), "ks": (5, 10)})
        {'mean': 0.5, 'low': None, 'ks': [5, 10]}
    """
    if isinstance(value, Mapping):
        return {str(key): json_safe(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | np.ndarray):
        return [json_safe(inner) for inner in value]
    if isinstance(value, np.generic):
        return json_safe(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"no JSON form for {type(value).__name__}")


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages that results depend on.

    Examples:
        >>> "numpy" in installed_versions()
        True
    """
    return {"python": platform.python_version(), **package_versions(_PACKAGES)}
