import dataclasses
from typing import ClassVar

import pandas as pd
import pytest

from datasets.errors import ArtifactError
from evaluation.comparison.comparison import compare
from evaluation.models.baselines import Popularity, Random
from evaluation.splitting.cold import cold_split
from evaluation.splitting.warm import warm_split


class Counted(Popularity):
    fitted: ClassVar[list[str]] = []

    def fit(self, train):
        Counted.fitted.append("fit")
        return super().fit(train)


@pytest.fixture
def again(tastes, tmp_path):
    """Compares in one folder and says how many models were fitted for it."""
    dataset, _ = tastes
    splits = [warm_split(dataset), cold_split(dataset, among=set(dataset.interactions["item_id"]))]

    def run(models=None, **options):
        Counted.fitted.clear()
        arguments = {"splits": splits, "dataset": dataset, "ks": (5,), "n_bootstrap": 100} | options
        models = models or {"popularity": Counted, "random": Random}
        result = compare(models, resume=tmp_path / "kept", **arguments)
        return result, len(Counted.fitted)

    return run


@pytest.mark.slow
def test_what_was_kept_is_not_fitted_again_and_gives_the_same(again):
    first, fitted = again()
    assert fitted == 2
    told = []
    second, fitted = again(on_run=lambda model, split, outcome: told.append((model, split)))
    assert fitted == 0
    assert len(told) == 4
    for table in ("table", "differences", "slices", "runs"):
        pd.testing.assert_frame_equal(getattr(first, table), getattr(second, table))
    assert first.examples == second.examples
    assert first.to_dict() == second.to_dict()


@pytest.mark.slow
def test_an_interrupted_comparison_goes_on_where_it_was(again):
    def stop(model, split, outcome):
        if split == "cold":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        again(on_run=stop)
    assert len(Counted.fitted) == 2
    _, fitted = again()
    assert fitted == 0


@pytest.mark.slow
def test_another_question_is_answered_anew(again, tastes):
    dataset, embeddings = tastes
    usual = {"splits": [warm_split(dataset)], "models": {"popularity": Counted}}
    again(**usual)
    for options in (
        {"ks": (5, 10)},
        {"metrics": ["ndcg"]},
        {"sampled": 5},
        {"seed": 1},
        {"max_auc_users": 10},
        {"embeddings": embeddings},
        {"splits": [warm_split(dataset, seed=1)]},
        {"models": {"another name": Counted}},
        {"models": {"popularity": lambda: Counted(seed=1)}},
    ):
        assert again(**usual | options)[1] == 1, options
    same = dataset.take_interactions(range(len(dataset.interactions)))
    assert again(**usual, dataset=same)[1] == 0
    changed = dataset.items.assign(title=dataset.items["item_id"])
    other = dataset.from_checked(changed, dataset.audio, dataset.interactions, dataset.root)
    assert again(**usual, dataset=other)[1] == 1


@pytest.mark.slow
def test_damaged_files_are_computed_again(again, tmp_path):
    first, _ = again()
    files = sorted((tmp_path / "kept").iterdir())
    assert len(files) == 4
    contents = [path.read_bytes() for path in files]
    changed = bytearray(contents[3])
    changed[len(changed) // 2] ^= 255
    damaged = (b"", contents[1][: len(contents[1]) // 2], b"\0" * len(contents[2]), bytes(changed))
    for path, content in zip(files, damaged, strict=True):
        path.write_bytes(content)
    result, fitted = again()
    assert fitted == 2
    pd.testing.assert_frame_equal(result.table, first.table)
    assert again()[1] == 0


@pytest.mark.slow
def test_an_outcome_of_other_users_is_not_taken(again, tmp_path):
    again()
    files = sorted((tmp_path / "kept").iterdir(), key=lambda path: path.stat().st_size)
    files[0].write_bytes(files[-1].read_bytes())
    result, _ = again()
    assert set(result.table["split"]) == {"warm", "cold"}


def test_a_folder_that_cannot_be_written_is_said(tastes, tmp_path):
    dataset, _ = tastes
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot be kept there"):
        compare({"r": Random}, dataset, [warm_split(dataset)], ks=(5,), resume=tmp_path / "file")


@pytest.mark.slow
def test_two_folds_with_the_same_rows_are_two(again, tastes):
    dataset, _ = tastes
    one = dataclasses.replace(warm_split(dataset), name="one")
    again(splits=[one])
    assert again(splits=[dataclasses.replace(one, name="two")])[1] == 1
