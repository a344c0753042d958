"""All public data sets by name; the module of each is imported only when it is needed."""

from importlib import import_module
from typing import Final

from datasets.errors import InvalidArgumentError
from datasets.public.base import PublicDataset
from datasets.texts.suggestions import did_you_mean

_MODULES: Final[dict[str, str]] = {
    # name: module in loaders/, which holds it as a constant (fma-small: FMA_SMALL);
    # in the order of the list that `coldtune data list` shows
    "homburg": "homburg",
    "gtzan": "gtzan",
    "fma-small": "fma",
    "fma-medium": "fma",
    "fma-large": "fma",
    "music4all": "music4all",
    "music4all-onion": "music4all",
    "hetrec-lastfm": "hetrec_lastfm",
    "lastfm-1k": "lastfm_1k",
    "lastfm-360k": "lastfm_360k",
    "msd-taste-profile": "msd_taste_profile",
    "yambda-50m": "yambda",
    "yambda-500m": "yambda",
    "movielens-100k": "movielens",
    "movielens-1m": "movielens",
    "movielens-20m": "movielens",
    "movielens-25m": "movielens",
}

NAMES: Final = tuple(_MODULES)
"""The names of all public data sets."""


def public_dataset(name: str) -> PublicDataset:
    """Return the description of a public data set; its module is imported only now.

    Args:
        name: one of ``NAMES``.

    Raises:
        InvalidArgumentError: if there is no data set of this name.

    Examples:
        >>> public_dataset("hetrec-lastfm").title
        'HetRec 2011 Last.fm-2K'
        >>> public_dataset("yambda-50m").licence
        'Apache 2.0'
    """
    if name not in _MODULES:
        hint = did_you_mean(name, NAMES)
        raise InvalidArgumentError(f"no data set {name!r}{hint}; there are: {', '.join(NAMES)}")
    module = import_module(f"datasets.public.loaders.{_MODULES[name]}")
    found: PublicDataset = getattr(module, name.replace("-", "_").upper())
    return found
