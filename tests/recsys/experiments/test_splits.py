"""Splits by name: every kind, numbers and folds, and names that cannot be."""

import pytest

from datasets.errors import EvaluationError, InvalidArgumentError
from datasets.music import MusicDataset
from evaluation.splitting.split import Split
from recsys.experiments.splits import SPLIT_KINDS, named_splits

IN_FOLDS = {"warm", "cold", "cold-items", "mixed", "time", "users"}
"""Splits that can be had in folds."""


def made(dataset: MusicDataset, *names: str, folds: int = 1) -> list[Split]:
    splits, remarks = named_splits(dataset, names, fraction=0.2, folds=folds, seed=0)
    assert remarks == []
    return splits


def test_every_kind_by_name(recorded: MusicDataset) -> None:
    for name in SPLIT_KINDS:
        (first, *_) = made(recorded, name)
        first.check(recorded)
        assert (first.group or first.name) == name


def test_a_number_behind_a_colon(recorded: MusicDataset) -> None:
    (thin,) = made(recorded, "semi-cold:3")
    assert thin.name == "semi-cold 3"
    kept = recorded.interactions.iloc[thin.train_rows]["item_id"].value_counts()
    assert set(kept[list(thin.few_shot_items)]) == {3}
    (last,) = made(recorded, "last:2")
    assert recorded.interactions.iloc[last.test_rows]["user_id"].value_counts().max() == 2
    (none,) = made(recorded, "cold-users:0")
    assert (none.name, len(none.fold_in_rows)) == ("cold-users 0", 0)
    (given,) = made(recorded, "cold-users:4")
    assert set(recorded.interactions.iloc[given.fold_in_rows]["user_id"].value_counts()) == {4}
    assert [split.group for split in made(recorded, "time:3")] == ["time 3"] * 3


def test_folds_of_what_can_be_had_in_folds(recorded: MusicDataset) -> None:
    for name in SPLIT_KINDS:
        splits = made(recorded, name, folds=3)
        assert len(splits) == (3 if name in IN_FOLDS else 1), name
    assert len(made(recorded, "users")) == 5


def test_what_cannot_be_made_is_said(unrecorded: MusicDataset) -> None:
    splits, remarks = named_splits(unrecorded, ["time", "warm"], fraction=0.2, folds=1, seed=0)
    assert [split.name for split in splits] == ["warm"]
    assert len(remarks) == 1
    assert remarks[0].startswith("Not measured: split “time”: the interactions have no times")
    with pytest.raises(EvaluationError) as raised:
        named_splits(unrecorded, ["time", "cold"], fraction=0.2, folds=1, seed=0)
    assert str(raised.value) == (
        "nothing can be measured: split “time”: the interactions have no times: a split by time"
        " needs the column 'timestamp'; split “cold”: a cold split needs at least two artists with"
        " a recording that somebody has listened to; there are 0"
    )


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["frosty"], "no split 'frosty'; there are: warm, cold, cold-items"),
        (["warm:2"], "no number can follow 'warm'"),
        (["last:two"], "a whole number can follow the colon, as in last:2"),
        (["last:"], "a whole number"),
        (["last:0"], "split 'last:0': the number behind last must be at least 1"),
        (["time:0"], "the number behind time must be at least 1"),
        (["warm", "semi-cold:0"], "the number behind semi-cold must be at least 1"),
        (["warm", "warm"], "named twice: warm, warm"),
    ],
)
def test_names_that_are_none(unrecorded: MusicDataset, names: list[str], words: str) -> None:
    with pytest.raises(InvalidArgumentError, match=words):
        named_splits(unrecorded, names, fraction=0.2, folds=1, seed=0)
