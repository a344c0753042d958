from functools import partial
from typing import ClassVar

import numpy as np
import pytest

from datasets.errors import ArtifactError, EvaluationError, InvalidArgumentError
from evaluation.genre import folds as genre_folds
from evaluation.genre.cross_validation import genre_cross_validation
from evaluation.genre.folds import FoldScores, available_memory, read_scores, write_scores
from tests.helpers.genre import Nearest, material


@pytest.fixture
def cross_validate(tmp_path):
    made = material()

    def run(encoder=Nearest, key="nearest", seed=0, images=made.images, **options):
        return genre_cross_validation(
            images,
            made.labels,
            made.artists,
            encoder,
            3,
            seed,
            image_recording=made.recording,
            store=tmp_path / "store",
            key=key,
            **options,
        )

    return run


def fits(log):
    return len(log.read_text().splitlines())


def without_time(result):
    return result.table.drop(columns="seconds")


def test_an_interrupted_run_goes_on_where_it_was(cross_validate, tmp_path):
    log = tmp_path / "log"
    with pytest.raises(KeyboardInterrupt):
        cross_validate(partial(Nearest, log, fail_at=2))
    told = []
    resumed = cross_validate(partial(Nearest, log), on_fold=told.append)
    assert fits(log) == 2 + 2  # fold 1 and the interrupted one; then folds 2 and 3
    assert [row["kept"] for row in told] == [True, False, False]
    straight = cross_validate(Nearest, key="another", progress=False)
    assert without_time(resumed).equals(without_time(straight))
    np.testing.assert_array_equal(resumed.scores, straight.scores)
    cross_validate(partial(Nearest, log))
    assert fits(log) == 4  # nothing was left to do


@pytest.mark.slow
@pytest.mark.parametrize(
    "change", [{"key": "other settings"}, {"seed": 1}, {"split": "song"}, {"images": "louder"}]
)
def test_what_changes_the_result_is_computed_again(cross_validate, tmp_path, change):
    log = tmp_path / "log"
    cross_validate(partial(Nearest, log))
    if "images" in change:
        change = {"images": material().images * 2}
    cross_validate(partial(Nearest, log), **change)
    assert fits(log) == 6


def test_a_training_is_given_a_folder_of_its_own_which_is_gone_afterwards(cross_validate, tmp_path):
    log = tmp_path / "log"
    cross_validate(partial(Nearest, log))
    folders = {line.split()[1] for line in log.read_text().splitlines()}
    assert len(folders) == 3
    assert all(folder.endswith(".training") for folder in folders)
    assert [path.suffix for path in (tmp_path / "store").iterdir()] == [".npz"] * 3


@pytest.mark.slow
def test_folds_in_processes_of_their_own_give_the_same(cross_validate, tmp_path):
    log = tmp_path / "log"
    together = cross_validate(partial(Nearest, log), jobs=2)
    assert fits(log) == 3
    alone = cross_validate(Nearest, key="another")
    assert without_time(together).equals(without_time(alone))
    assert together.predictions.equals(alone.predictions)
    assert [path.suffix for path in (tmp_path / "store").iterdir()] == [".npz"] * 6


def test_a_process_that_dies_is_told_in_one_line(cross_validate, monkeypatch):
    def died(_function, jobs, _workers):
        from embedding.parallel import Crashed

        yield jobs[1], Crashed()

    monkeypatch.setattr("embedding.parallel.in_processes", died)
    with pytest.raises(EvaluationError, match="fold 2: its process died"):
        cross_validate(jobs=2)


def test_damaged_results_are_computed_again(tmp_path):
    scores = FoldScores(["a", "b"], np.array([[0.25, 0.75]]), True, 1.5)
    entry = tmp_path / "fold.npz"
    write_scores(entry, scores)
    kept = read_scores(entry, 1)
    assert (kept.classes, kept.calibrated, kept.seconds, kept.kept) == (["a", "b"], True, 1.5, True)
    np.testing.assert_array_equal(kept.probability, scores.probability)
    assert read_scores(entry, 2) is None
    entry.write_bytes(entry.read_bytes()[:-40])
    assert read_scores(entry, 1) is None
    assert read_scores(tmp_path / "absent.npz", 1) is None


def test_errors(cross_validate, tmp_path):
    with pytest.raises(InvalidArgumentError, match="kept under a key"):
        cross_validate(key="")
    with pytest.raises(InvalidArgumentError, match="jobs must be at least 1"):
        cross_validate(jobs=0)
    (tmp_path / "store").write_text("a file")
    with pytest.raises(ArtifactError, match="store"):
        cross_validate()


def test_memory_is_what_the_tightest_limit_leaves():
    assert available_memory() > 2**20


def test_digest_tells_values_shapes_and_columns_apart():
    ones = np.ones((4, 1, 2, 2), dtype=np.float32)
    column = np.array(["a", "b"])
    digests = {
        genre_folds.data_digest(ones, column),
        genre_folds.data_digest(ones * 2, column),
        genre_folds.data_digest(ones.reshape(4, 1, 1, 4), column),
        genre_folds.data_digest(ones, column[::-1]),
        genre_folds.data_digest(ones, np.array(["ab", ""])),
    }
    assert len(digests) == 5


class ReadsSequences(Nearest):
    """Tells a recording by its first window alone."""

    reads_sequences = True
    seen: ClassVar[list[list[int]]] = []

    def fit(self, images, labels, groups=None, *, recording=None):
        self.seen.append(recording.tolist())
        super().fit(images, labels, groups)

    def embed_recordings(self, images, recording):
        first = np.unique(recording, return_index=True)[1]
        return images[first].mean(axis=(2, 3)), {"genre": self.predict_proba(images[first])}


def test_a_classifier_that_reads_sequences_is_given_whole_recordings(cross_validate):
    ReadsSequences.seen.clear()
    result = cross_validate(ReadsSequences, key="sequences")
    assert [len(set(seen)) for seen in ReadsSequences.seen] == [16, 16, 16]
    assert (result.table["window@1"] == result.table["precision@1"]).all()
    single = cross_validate(ReadsSequences, key="windows", split="snippet")
    assert single.facts["images"] == 48
