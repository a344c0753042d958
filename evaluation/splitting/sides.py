"""The training side as models get it, checked against the test side once more."""

import pandas as pd

from datasets.columns import ITEM_ID, TIMESTAMP, USER_ID, WEIGHT
from datasets.errors import EvaluationError
from datasets.music import MusicDataset
from evaluation.splitting.split import Split


def played_pairs(interactions: pd.DataFrame) -> pd.DataFrame:
    """Distinct (user, item) pairs with a weight above 0: a play count of 0 is no listening."""
    played = interactions[WEIGHT] > 0
    return interactions.loc[played, [USER_ID, ITEM_ID]].drop_duplicates()


def check_sides(
    split: Split, train: MusicDataset, given: pd.DataFrame, tested: pd.DataFrame
) -> None:
    """Raise :class:`~datasets.errors.EvaluationError` if anything tested reaches a model.

    ``train`` is what models are fitted on, ``given`` the interactions they are shown afterwards,
    ``tested`` the interactions under test.
    """
    shown = pd.concat([train.interactions[[USER_ID, ITEM_ID]], given[[USER_ID, ITEM_ID]]])
    both = shown.merge(tested[[USER_ID, ITEM_ID]], on=[USER_ID, ITEM_ID])
    if len(both):
        raise _leak(split, f"{both[ITEM_ID].iloc[0]!r} reaches the training side")
    held_out = train.items[ITEM_ID].isin([*split.cold_items, *split.withheld_items])
    if held_out.any():
        raise _leak(split, f"{train.items[ITEM_ID][held_out].iloc[0]!r} reaches the training side")
    if split.kind == "cold users":
        known = train.interactions[USER_ID].isin([*tested[USER_ID], *given[USER_ID]])
        if known.any():
            user = train.interactions[USER_ID][known].iloc[0]
            raise _leak(split, f"the cold user {user!r} has interactions in training")
    if split.kind == "semi-cold":
        _check_thin(split, train, tested)
    if split.kind == "time" and TIMESTAMP in tested:
        last, first = train.interactions[TIMESTAMP].max(), tested[TIMESTAMP].min()
        if last > first:
            raise _leak(split, f"training reaches until {last}, and what is tested begins {first}")


def _check_thin(split: Split, train: MusicDataset, tested: pd.DataFrame) -> None:
    others = ~tested[ITEM_ID].isin(split.thin_items)
    if others.any():
        item = tested[ITEM_ID][others].iloc[0]
        raise EvaluationError(f"split {split.name!r} tests {item!r}, which is not a thin item")
    pairs = played_pairs(train.interactions)
    kept = pairs[ITEM_ID][pairs[ITEM_ID].isin(split.thin_items)].value_counts()
    if len(kept) and kept.max() > split.keep:
        raise _leak(
            split, f"the thin item {kept.idxmax()!r} keeps {kept.max()} listeners, not {split.keep}"
        )


def _leak(split: Split, what: str) -> EvaluationError:
    return EvaluationError(f"split {split.name!r} leaks: {what}")
