"""The public data sets by name; the module of each is imported when it is asked for."""

from importlib import import_module
from typing import Final

from datasets.errors import InvalidArgumentError
from datasets.public.base import PublicDataset

_PLACES: Final[dict[str, tuple[str, str]]] = {
    # name: (module in loaders/, what it calls the PublicDataset); in the order of the list shown
    "homburg": ("homburg", "DATASET"),
    "gtzan": ("gtzan", "DATASET"),
    "fma-small": ("fma", "SMALL"),
    "fma-medium": ("fma", "MEDIUM"),
    "fma-large": ("fma", "LARGE"),
    "music4all": ("music4all", "DATASET"),
    "music4all-onion": ("music4all", "ONION"),
    "hetrec-lastfm": ("hetrec_lastfm", "DATASET"),
    "lastfm-1k": ("lastfm_1k", "DATASET"),
    "lastfm-360k": ("lastfm_360k", "DATASET"),
    "msd-taste-profile": ("msd_taste_profile", "DATASET"),
    "yambda-50m": ("yambda", "SMALL"),
    "yambda-500m": ("yambda", "MEDIUM"),
    "movielens-100k": ("movielens", "ML_100K"),
    "movielens-1m": ("movielens", "ML_1M"),
    "movielens-20m": ("movielens", "ML_20M"),
    "movielens-25m": ("movielens", "ML_25M"),
}

NAMES: Final = tuple(_PLACES)
"""The names of all public data sets."""


def public_dataset(name: str) -> PublicDataset:
    """The public data set of this name. Raises InvalidArgumentError for one that is not there."""
    if name not in _PLACES:
        raise InvalidArgumentError(f"no data set {name!r}; there are: {', '.join(NAMES)}")
    module, attribute = _PLACES[name]
    found: PublicDataset = getattr(import_module(f"datasets.public.loaders.{module}"), attribute)
    return found
