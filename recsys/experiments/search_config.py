"""How long a search goes on and what it is after."""

from pydantic import Field

from datasets.settings import Settings
from recsys.experiments.search_objective import Kind


class SearchConfig(Settings):
    """How long a search goes on and what it is after."""

    trials: int = Field(30, ge=1)
    """Trials in all, the first with the configuration that it starts from; those that a study has
    from an earlier run count."""

    timeout: float | None = Field(None, gt=0)
    """Seconds after which no new trial begins; at least one is made."""

    cold_weight: float = Field(0.5, ge=0, le=1)
    """The objective is (1 - cold_weight) · nDCG of warm items + cold_weight · nDCG of cold items
    among themselves: 0 is warm only, 1 is cold only. Where the cold items are too few for lists of
    k of them, their item-wise AUC stands in place of nDCG."""

    k: int = Field(10, ge=1)
    """Length of the lists that nDCG judges."""

    folds: int = Field(3, ge=1)
    """Splits of each kind that a trial is measured on."""

    fraction: float = Field(0.2, gt=0, lt=1)
    """Share held out by each split, of the test and of the validation."""

    startup: int = Field(10, ge=1)
    """Trials at random before the sampler builds on what it saw."""

    pruning_after: int = Field(5, ge=1)
    """Whole trials before the first is cut short."""

    network: bool = False
    """Search the network's settings too: every trial then trains networks of its own."""

    texts: bool = False
    """Tell models artist, album, genre and tags of held-out items, not their recordings alone."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of splits that count."""
        warm: tuple[Kind, ...] = ("warm",) if self.cold_weight < 1 else ()
        cold: tuple[Kind, ...] = ("cold",) if self.cold_weight > 0 else ()
        return warm + cold
