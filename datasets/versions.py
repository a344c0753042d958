"""Versions of installed packages, for reports and saved models."""

from collections.abc import Iterable
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
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
