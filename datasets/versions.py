"""Versions of installed packages, for reports and saved models."""

from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version


def package_versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed, in the given order.

    Examples:
        >>> list(package_versions(["numpy", "no-such-package", "pandas"]))
        ['numpy', 'pandas']
    """
    versions = {}
    for name in packages:
        try:
            versions[name] = _installed(name)
        except PackageNotFoundError:
            continue
    return versions


@cache  # each fit asks for ten; one that is missing is looked for anew
def _installed(package: str) -> str:
    return version(package)
