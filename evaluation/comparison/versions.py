"""Versions that results depend on."""

import importlib.metadata
import platform
from typing import Final

_PACKAGES: Final = (
    "coldtune", "numpy", "pandas", "scipy", "scikit-learn", "implicit", "rectools-lightfm",
    "annoy", "torch", "librosa", "plotly",
)  # fmt: skip


def installed_versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on, where installed."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
