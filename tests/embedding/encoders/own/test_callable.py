"""A function of one's own as an encoder."""

from pathlib import Path

import numpy as np
import pytest

from datasets.errors import DataWarning, EncoderError, EncoderUnavailableError, InvalidArgumentError
from embedding import CallableEncoder, SnippetConfig
from embedding.encoders.loading import check_same_encoder, load_encoder

RATE = 1000


def statistics(windows: np.ndarray) -> np.ndarray:
    return np.stack([windows.mean(axis=1), windows.std(axis=1), windows.max(axis=1)], axis=1)


def encoder(function=statistics, **settings) -> CallableEncoder:
    return CallableEncoder(function, **{"sample_rate": RATE, "window": 0.1, **settings})


@pytest.fixture
def windows() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((40, 100)).astype(np.float32)


def test_windows_are_given_in_batches(windows: np.ndarray) -> None:
    sizes = []

    def counted(part: np.ndarray) -> np.ndarray:
        sizes.append(len(part))
        assert part.dtype == np.float32
        assert part.flags.c_contiguous
        return statistics(part)

    own = encoder(counted, batch=16)
    assert own.dimension == 3
    np.testing.assert_array_equal(own.embed(windows), statistics(windows))
    assert sizes == [2, 2, 1, 16, 16, 8]  # first it is tried on noise
    vectors, probabilities = own.embed_and_predict(windows[:0])
    assert (vectors.shape, probabilities) == ((0, 3), {})


def test_the_mean_over_time_is_taken(windows: np.ndarray) -> None:
    own = encoder(lambda x: x.reshape(len(x), 20, 5).astype(np.float64))
    np.testing.assert_allclose(
        own.embed(windows), windows.reshape(40, 20, 5).mean(axis=1), rtol=1e-5, atol=1e-7
    )


def test_stereo() -> None:
    own = encoder(lambda x: x[:, :, :3].reshape(len(x), 6), channels=2)
    assert own.embed(np.zeros((4, 2, 100), np.float32)).shape == (4, 6)
    with pytest.raises(InvalidArgumentError, match=r"an array \[n, 2, 100\]; got \(4, 100\)"):
        own.embed(np.zeros((4, 100), np.float32))


def test_tags(windows: np.ndarray) -> None:
    own = encoder(
        lambda x: (statistics(x), {"mood": np.tile([0.25, 0.75], (len(x), 1))}),
        tags={"mood": ["calm", "wild"]},
    )
    _, probabilities = own.embed_and_predict(windows)
    assert own.heads_["mood"].tolist() == ["calm", "wild"]
    assert probabilities["mood"].shape == (40, 2)
    assert probabilities["mood"][0].tolist() == [0.25, 0.75]


def test_parts_of_recordings() -> None:
    assert encoder().front_end.snippet == SnippetConfig(seconds=0.1, count=3)
    whole = SnippetConfig(seconds=1, position="whole")
    assert encoder(snippet=whole).front_end.snippet == whole


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda x: x[:, 0], r"shape \(2,\) for 2 windows; \(2, dimension\) or"),
        (lambda x: x.mean(axis=0)[None], r"shape \(1, 100\) for 2 windows"),
        (lambda x: x[:, None, None], r"shape \(2, 1, 1, 100\)"),
        (lambda x: x[:, :0], r"shape \(2, 0\)"),
        (lambda x: x[:, :0, None], "shape"),
        (lambda x: np.float32(3), r"shape \(\)"),
        (lambda x: x.astype(complex), "complex128 of type ndarray, which are no numbers"),
        (lambda x: x > 0, "bool of type ndarray, which are no numbers"),
        (lambda x: None, "object of type NoneType, which are no numbers"),
        (lambda x: [["a", "b"]] * len(x), "of type list, which are no numbers"),
        (lambda x: [[1], [1, 2]], "returned no array, but list"),
        (lambda x: np.full((len(x), 3), np.nan), "NaN or infinite values for noise"),
        (lambda x: np.full((len(x), 3), 1e300), "NaN or infinite values for noise"),
        (lambda x: 1 / 0, "raised ZeroDivisionError: division by zero"),
        (lambda x: (x, {}), "returned"),
    ],
)
def test_what_is_no_embedding(returned, message: str, windows: np.ndarray) -> None:
    def mine(part):
        return returned(part)

    own = encoder(mine, name="mine")
    for use in (lambda: own.embed(windows), lambda: own.dimension, own.digest, own.summary):
        with pytest.raises(EncoderError, match=rf"^the function mine: .*{message}") as raised:
            use()
        assert "\n" not in str(raised.value)


def test_an_error_of_the_function_is_its_cause() -> None:
    def failing(_: np.ndarray) -> None:
        raise RuntimeError("first line\nsecond line")

    with pytest.raises(EncoderError, match=r"raised RuntimeError: first line$") as raised:
        _ = encoder(failing).dimension
    assert isinstance(raised.value.__cause__, RuntimeError)


def test_another_length_than_before(windows: np.ndarray) -> None:
    own = encoder(lambda x: np.ones((len(x), len(x) + 1)), batch=16)
    with pytest.raises(EncoderError, match="returned 17 numbers for a window, where it was 3"):
        own.embed(windows)


def test_what_changes_each_time(windows: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    dropping = encoder(lambda x: statistics(x) * (rng.random((len(x), 3)) > 0.5), name="net")
    for _ in range(2):  # it is not taken the second time, either
        with pytest.raises(EncoderError, match=r"the function net: .* each time; .*model\.eval"):
            dropping.embed(windows)
    rounding = encoder(lambda x: statistics(x) * (1 + 1e-5 * rng.random((len(x), 3))))
    assert rounding.embed(windows).shape == (40, 3)


def test_what_depends_on_what_comes_together_is_warned_of(windows: np.ndarray) -> None:
    by_batch = encoder(lambda x: statistics(x) - statistics(x).mean(axis=0), name="net")
    with pytest.warns(DataWarning, match="the function net: .* of a window alone than together"):
        by_batch.embed(windows)
    by_batch.embed(windows)  # once


def test_nan_for_some_windows_is_a_row_of_nan(windows: np.ndarray) -> None:
    windows[7] = 0
    own = encoder(lambda x: statistics(x) / x.std(axis=1, keepdims=True))
    with np.errstate(invalid="ignore"):
        found = own.embed(windows)
    assert np.isnan(found[7]).all()
    assert np.isfinite(np.delete(found, 7, axis=0)).all()


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda x: statistics(x), "with tags it must return a pair"),
        (lambda x: (statistics(x), {}), r"tags \[\], and its tags are \['mood'\]"),
        (lambda x: (statistics(x), {"mood": x[:, :3] * 0}), "3 probabilities for the tag 'mood'"),
        (lambda x: (statistics(x), {"mood": x[:, :2] * 0 + 7}), "must lie between 0 and 1"),
        (lambda x: (statistics(x), {"mood": [0.5, 0.5]}), r"shape \(2,\) for the tag 'mood'"),
    ],
)
def test_tags_that_do_not_fit(returned, message: str, windows: np.ndarray) -> None:
    with pytest.raises(EncoderError, match=message):
        encoder(returned, tags={"mood": ["calm", "wild"]}).embed(windows)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"function": "clap"}, "function must be callable, not 'clap'"),
        ({"function": None}, "function must be callable"),
        ({"sample_rate": 0}, "sample_rate: Input should be greater"),
        ({"sample_rate": -1}, "sample_rate: Input should be greater"),
        ({"sample_rate": "fast"}, "sample_rate"),
        ({"window": 0}, "window: Input should be greater"),
        ({"window": -5}, "window: Input should be greater"),
        ({"window": float("nan")}, "window"),
        ({"channels": 3}, "channels"),
        ({"batch": 0}, "batch must be"),
        ({"snippet": 5.0}, "snippet must be a SnippetConfig, not float"),
        ({"tags": {"mood": []}}, "'mood' must have a list of different values"),
        ({"tags": {"mood": "calm"}}, "'mood' must have a list of different values, not 'calm'"),
        ({"tags": {"mood": ["a", "a"]}}, "'mood' must have a list of different values"),
    ],
)
def test_bad_arguments(settings: dict, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        encoder(**settings)


def test_a_saved_one_knows_all_but_the_function(windows: np.ndarray, tmp_path: Path) -> None:
    own = encoder(name="my_clap")
    own.save(tmp_path)
    saved = load_encoder(tmp_path)
    assert (saved.digest(), saved.front_end) == (own.digest(), own.front_end)
    assert saved.summary() == own.summary()
    assert saved.summary()["method"] == "the function my_clap"
    for inputs in (windows, windows[:0]):
        with pytest.raises(EncoderUnavailableError, match=r"encoder=CallableEncoder\("):
            saved.embed_and_predict(inputs)
    saved.save(tmp_path / "again")
    assert load_encoder(tmp_path / "again").digest() == own.digest()


def test_what_can_stand_for_a_saved_one(tmp_path: Path) -> None:
    encoder().save(tmp_path)
    saved = load_encoder(tmp_path)
    check_same_encoder(encoder(), saved)
    check_same_encoder(encoder(lambda x: statistics(x) * (1 + 1e-6)), saved)
    for other, message in (
        (encoder(lambda x: -statistics(x)), "it makes something else of the same sound"),
        (encoder(lambda x: x[:, :4]), "its embeddings have 4 numbers, and had 3"),
        (encoder(sample_rate=2000, window=0.05), "its sample_rate is 2000, and was 1000"),
        (
            encoder(lambda x: (statistics(x), {"m": np.ones((len(x), 1))}), tags={"m": ["a"]}),
            r"its tags are \['m'\], and were \[\]",
        ),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            check_same_encoder(other, saved)
    with pytest.raises(InvalidArgumentError, match="made without recordings"):
        check_same_encoder(encoder(), None)


def test_functions_differ_by_what_they_do() -> None:
    digests = [encoder(function).digest() for function in (lambda x: x[:, :3], lambda x: x[:, 1:4])]
    assert digests[0] != digests[1]
    assert encoder().digest() == encoder().digest() != encoder(version="2").digest()
