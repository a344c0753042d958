"""Networks in ONNX files as encoders."""

import copy
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from datasets.errors import (
    EncoderError,
    EncoderUnavailableError,
    InvalidArgumentError,
)
from embedding import CallableEncoder, OnnxEncoder, SnippetConfig
from embedding.encoders import OnnxTag
from embedding.encoders.loading import check_same_encoder, load_encoder
from embedding.encoders.own import onnx as onnx_encoder
from embedding.encoders.own.onnx import onnx_file_and_window
from tests.helpers.onnx_models import RATE, SAMPLES, onnx_file

pytest.importorskip("onnx", reason="needs the packages onnx and onnxruntime")
pytest.importorskip("onnxruntime", reason="needs the packages onnx and onnxruntime")


@pytest.fixture
def windows() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((21, SAMPLES)).astype(np.float32)


def expected(windows: np.ndarray, dimension: int = 4) -> np.ndarray:
    weights = np.random.default_rng(0).standard_normal((SAMPLES, dimension)).astype(np.float32)
    return windows @ weights


@pytest.mark.parametrize(
    "shape",
    [
        ("n", SAMPLES),
        (1, SAMPLES),
        (4, SAMPLES),
        ("n", 1, SAMPLES),
        (4, 1, SAMPLES),
        (SAMPLES,),
    ],
    ids=str,
)
def test_inputs_of_every_form(shape: tuple, windows: np.ndarray, tmp_path: Path) -> None:
    rows = shape[0] if len(shape) > 1 else 1
    path = onnx_file(tmp_path / "e.onnx", shape=shape, outputs={"embedding": (rows, 4)})
    encoder = OnnxEncoder(path, sample_rate=RATE)
    assert encoder.front_end.window == 0.1  # as long as its input
    assert encoder.dimension == 4
    np.testing.assert_allclose(encoder.embed(windows), expected(windows), rtol=1e-4, atol=1e-4)
    assert encoder.embed(windows[:0]).shape == (0, 4)


@pytest.mark.parametrize("dtype", ["DOUBLE", "FLOAT16"])
def test_inputs_of_other_precision(dtype: str, windows: np.ndarray, tmp_path: Path) -> None:
    encoder = OnnxEncoder(onnx_file(tmp_path / "e.onnx", dtype=dtype), sample_rate=RATE)
    np.testing.assert_allclose(encoder.embed(windows), expected(windows), atol=0.05)


@pytest.mark.parametrize("shape", [("n", "samples"), (1, "samples"), ("samples",)], ids=str)
def test_an_input_of_any_length(shape: tuple, tmp_path: Path) -> None:
    outputs = {"embedding": ("n", 2)}
    path = onnx_file(tmp_path / "e.onnx", shape=shape, nodes="mean", outputs=outputs)
    encoder = OnnxEncoder(path, sample_rate=RATE, window=0.25)
    windows = np.random.default_rng(1).standard_normal((5, 250)).astype(np.float32)
    np.testing.assert_allclose(encoder.embed(windows)[:, 0], windows.mean(axis=1), atol=1e-5)
    with pytest.raises(InvalidArgumentError, match=r"takes windows of any length: give window="):
        OnnxEncoder(path, sample_rate=RATE)


@pytest.mark.parametrize("batch", ["n", 1])
def test_the_mean_over_time_is_taken(batch: object, windows: np.ndarray, tmp_path: Path) -> None:
    path = onnx_file(
        tmp_path / "e.onnx",
        shape=(batch, SAMPLES),
        nodes="frames",
        outputs={"embedding": (batch, 10, 4)},
    )
    rng = np.random.default_rng(0)
    rng.standard_normal((SAMPLES, 4))
    weights = rng.standard_normal((10, 4))
    np.testing.assert_allclose(
        OnnxEncoder(path, sample_rate=RATE).embed(windows),
        windows.reshape(21, 10, 10).mean(axis=1) @ weights,
        rtol=1e-4,
        atol=1e-4,
    )


def test_one_vector_of_one_window(windows: np.ndarray, tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "e.onnx", nodes="flat", outputs={"embedding": (4,)})
    encoder = OnnxEncoder(path, sample_rate=RATE)
    np.testing.assert_allclose(encoder.embed(windows), expected(windows), rtol=1e-4, atol=1e-4)


def test_stereo(tmp_path: Path) -> None:
    path = onnx_file(
        tmp_path / "e.onnx", shape=("n", 2, 50), nodes="frames", outputs={"embedding": ("n", 5, 4)}
    )
    encoder = OnnxEncoder(path, sample_rate=RATE)
    assert encoder.front_end.channels == 2
    assert encoder.front_end.input_shape == (2, 50)


TAGGED = {"embedding": ("n", 4), "logits": ("n", 2)}


def test_several_outputs_and_tags(windows: np.ndarray, tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "e.onnx", nodes="tags", outputs=TAGGED)
    with pytest.raises(
        InvalidArgumentError, match=r"embedding \[n, 4\], logits \[n, 2\]; say which"
    ):
        OnnxEncoder(path, sample_rate=RATE)
    encoder = OnnxEncoder(path, sample_rate=RATE, output="logits")
    assert encoder.dimension == 2
    tags = {"mood": OnnxTag(output="logits", values=("calm", "wild"), activation="softmax")}
    encoder = OnnxEncoder(path, sample_rate=RATE, tags=tags)
    vectors, probabilities = encoder.embed_and_predict(windows)
    np.testing.assert_allclose(vectors, expected(windows), rtol=1e-4, atol=1e-4)
    mean = windows.mean(axis=1)
    np.testing.assert_allclose(probabilities["mood"][:, 0], 1 / (1 + np.exp(-2 * mean)), atol=1e-5)
    assert encoder.heads_["mood"].tolist() == ["calm", "wild"]
    sigmoid = tags["mood"].replace(activation="sigmoid")
    _, probabilities = OnnxEncoder(
        path, sample_rate=RATE, tags={"mood": sigmoid}
    ).embed_and_predict(windows)
    np.testing.assert_allclose(probabilities["mood"][:, 0], 1 / (1 + np.exp(-mean)), atol=1e-5)
    raw = {"mood": tags["mood"].replace(activation="none")}
    with pytest.raises(EncoderError, match="must lie between 0 and 1"):
        OnnxEncoder(path, sample_rate=RATE, tags=raw).embed(windows)
    for wrong, message in (
        ({"output": "logit"}, r"no output 'logit'; did you mean 'logits'\?; it gives embedding"),
        ({"tags": {"mood": tags["mood"].replace(output="x")}}, "no output 'x'; it gives"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            OnnxEncoder(path, sample_rate=RATE, **wrong)


def test_settings_beside_the_file(tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "e.onnx", nodes="tags", outputs=TAGGED)
    beside = tmp_path / "e.onnx.json"
    settings = {
        "sample_rate": RATE,
        "snippet": {"seconds": 1.0, "position": "start"},
        "tags": {"mood": {"output": "logits", "values": ["calm", "wild"], "activation": "softmax"}},
    }
    beside.write_text(json.dumps(settings))
    encoder = OnnxEncoder(path)
    assert encoder.front_end.sample_rate == RATE
    assert encoder.front_end.snippet == SnippetConfig(seconds=1.0, position="start")
    assert list(encoder.heads_) == ["mood"]
    assert OnnxEncoder(path, sample_rate=2000).front_end.sample_rate == 2000
    for text, message in (
        ("{", "e.onnx.json: cannot be read"),
        ('{"rate": 3}', "e.onnx.json: OnnxSettings: rate"),
        ("[]", "e.onnx.json: OnnxSettings: must be a JSON object"),
        ('{"sample_rate": 0}', "e.onnx.json: OnnxSettings: sample_rate"),
    ):
        beside.write_text(text)
        with pytest.raises(InvalidArgumentError, match=message):
            OnnxEncoder(path)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"shape": ("n", 1, 64, 100)}, r"takes waveform \[n, 1, 64, 100\] of tensor\(float\)"),
        ({"dtype": "INT64"}, r"of tensor\(int64\); an encoder takes samples"),
        ({"shape": ("n", 3, SAMPLES)}, "; an encoder takes one channel or two"),
        (
            {"nodes": "deep", "outputs": {"embedding": ("n", 1, 1, 4)}},
            r"its output embedding is \[.*, 1, 1, 4\]; embeddings are",
        ),
        ({"outputs": {}}, "is no ONNX file|gives nothing"),
    ],
)
def test_networks_that_are_no_encoders(network: dict, message: str, tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "e.onnx", **network)
    with pytest.raises(InvalidArgumentError, match=message) as raised:
        OnnxEncoder(path, sample_rate=RATE)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_a_network_of_two_inputs(tmp_path: Path) -> None:
    from onnx import TensorProto, helper, save

    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "abc"]
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["c"])], "two", values[:2], values[2:]
    )
    opset = [helper.make_opsetid("", 17)]
    save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "e.onnx")
    with pytest.raises(
        InvalidArgumentError, match=r"takes a \[n, 4\], b \[n, 4\]; an encoder takes"
    ):
        OnnxEncoder(tmp_path / "e.onnx", sample_rate=RATE)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"nodes": "nan", "outputs": {"embedding": ("n", 2)}}, "returned NaN or infinite values"),
        (
            {"nodes": "reshaped", "outputs": {"embedding": (1, "d")}},
            r"shape \(1, 8\) for 2 windows",
        ),
    ],
)
def test_networks_that_return_no_embedding(network: dict, message: str, tmp_path: Path) -> None:
    encoder = OnnxEncoder(onnx_file(tmp_path / "e.onnx", **network), sample_rate=RATE)
    with pytest.raises(EncoderError, match=f"^the ONNX file e.onnx: .*{message}"):
        _ = encoder.dimension


@pytest.mark.parametrize("content", [b"", b"no network at all", b"\x08\x08\x12\x04test" * 50])
def test_a_file_that_is_none(content: bytes, tmp_path: Path, capfd) -> None:
    path = tmp_path / "e.onnx"
    path.write_bytes(content)
    with pytest.raises(InvalidArgumentError, match="is no ONNX file that can be used") as raised:
        OnnxEncoder(path, sample_rate=RATE, window=1)
    assert "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")


def test_another_length_for_another_window(windows: np.ndarray, tmp_path: Path) -> None:
    """Of a window at a time, the embedding is the samples above a level: now more, now fewer."""
    from onnx import TensorProto, helper, numpy_helper, save

    graph = helper.make_graph(
        [
            helper.make_node("Greater", ["x", "level"], ["above"]),
            helper.make_node("NonZero", ["above"], ["places"]),
            helper.make_node("Cast", ["places"], ["y"], to=TensorProto.FLOAT),
        ],
        "some",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, SAMPLES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, "k"])],
        [numpy_helper.from_array(np.array(0.1, np.float32), "level")],
    )
    opset = [helper.make_opsetid("", 17)]
    save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "e.onnx")
    encoder = OnnxEncoder(tmp_path / "e.onnx", sample_rate=RATE)
    with pytest.raises(EncoderError, match=r"returned \d+ numbers for a window, where it was \d+"):
        encoder.embed(windows)


def test_weights_in_a_file_of_any_name(windows: np.ndarray, tmp_path: Path) -> None:
    import onnx

    small = onnx_file(tmp_path / "small.onnx")
    path, weights = tmp_path / "e.onnx", tmp_path / "all weights.bin"
    onnx.save(
        onnx.load(small), path, save_as_external_data=True, location=weights.name, size_threshold=99
    )
    encoder = OnnxEncoder(path, sample_rate=RATE)
    np.testing.assert_allclose(encoder.embed(windows), expected(windows), rtol=1e-4, atol=1e-4)
    weights.write_bytes(weights.read_bytes()[::-1])
    assert OnnxEncoder(path, sample_rate=RATE).digest() != encoder.digest()
    weights.unlink()
    with pytest.raises(
        InvalidArgumentError, match=r"its weights are in the file 'all weights\.bin', which is not"
    ):
        OnnxEncoder(path, sample_rate=RATE)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"none\.onnx: no such file"):
        OnnxEncoder(tmp_path / "none.onnx", sample_rate=RATE)
    with pytest.raises(InvalidArgumentError, match="this is a folder"):
        OnnxEncoder(tmp_path, sample_rate=RATE)
    with pytest.raises(InvalidArgumentError, match="no such file"):
        OnnxEncoder("x" * 5000 + ".onnx", sample_rate=RATE)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "its sample rate is not known"),
        ({"sample_rate": 0}, r"e\.onnx: .*sample_rate"),
        ({"sample_rate": -1}, "sample_rate"),
        ({"sample_rate": RATE, "window": 0}, "window"),
        ({"sample_rate": RATE, "window": -1}, "window"),
        (
            {"sample_rate": RATE, "window": 5},
            r"takes windows of 100 samples, which are 0\.1 s at 1,000 Hz, and not 5 s",
        ),
        ({"sample_rate": RATE, "channels": 2}, "is not 2 channels"),
        ({"sample_rate": RATE, "batch": 0}, "batch"),
        ({"sample_rate": RATE, "threads": -1}, "threads"),
    ],
)
def test_bad_arguments(settings: dict, message: str, tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "e.onnx")
    with pytest.raises(InvalidArgumentError, match=message):
        OnnxEncoder(path, **settings)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("clap.onnx", ("clap.onnx", None, None)),
        ("a@b/clap.onnx@48000:10", ("a@b/clap.onnx", 48000, 10.0)),
        ("CLAP.ONNX@16000:0.5", ("CLAP.ONNX", 16000, 0.5)),
        ("clap.onnx@48000", ("clap.onnx", 48000, None)),
        ("folder", ("folder", None, None)),
    ],
)
def test_the_option_of_the_command_line(text: str, found: tuple) -> None:
    assert onnx_file_and_window(text) == (Path(found[0]), *found[1:])


def test_a_file_of_another_name_on_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "network@2"
    path.touch()
    assert onnx_file_and_window(f"{path}@16000:1") == (path, 16000, 1.0)
    assert onnx_file_and_window(str(path)) == (path, None, None)


@pytest.mark.parametrize("text", ["e.onnx@", "e.onnx@fast", "e.onnx@48000:", "e.onnx@1:2:3"])
def test_bad_options_of_the_command_line(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"as in e\.onnx@48000:10"):
        onnx_file_and_window(text)


class TestSaved:
    @pytest.fixture
    def encoder(self, tmp_path: Path) -> OnnxEncoder:
        return OnnxEncoder(onnx_file(tmp_path / "e.onnx"), sample_rate=RATE)

    def test_it_is_loaded_as_it_was(
        self, encoder: OnnxEncoder, windows: np.ndarray, tmp_path: Path
    ) -> None:
        encoder.save(tmp_path / "saved")
        loaded = load_encoder(tmp_path / "saved")
        assert (loaded.digest(), loaded.dimension) == (encoder.digest(), 4)
        assert loaded.summary() == encoder.summary()
        np.testing.assert_array_equal(loaded.embed_and_predict(windows)[0], encoder.embed(windows))
        for copied in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
            np.testing.assert_array_equal(copied.embed(windows), encoder.embed(windows))

    @pytest.mark.parametrize("what", ["gone", "changed", "no network", "weights changed"])
    def test_the_file_is_not_there(
        self, encoder: OnnxEncoder, windows: np.ndarray, tmp_path: Path, what: str
    ) -> None:
        encoder.save(tmp_path / "saved")
        if what == "gone":
            encoder.path.unlink()
        elif what == "changed":
            onnx_file(encoder.path, dimension=5)
        elif what == "weights changed":
            Path(f"{encoder.path}.data").write_bytes(b"other weights")
        else:
            encoder.path.write_text("no network")
        loaded = load_encoder(tmp_path / "saved")
        assert (loaded.digest(), loaded.dimension) == (encoder.digest(), 4)
        for inputs in (windows, windows[:0]):
            with pytest.raises(
                EncoderUnavailableError, match=r"encoder=OnnxEncoder\(path"
            ) as raised:
                loaded.embed_and_predict(inputs)
            assert str(encoder.path) in str(raised.value)
        loaded.save(tmp_path / "again")
        assert load_encoder(tmp_path / "again").digest() == encoder.digest()

    def test_onnxruntime_is_not_installed(
        self, encoder: OnnxEncoder, windows: np.ndarray, tmp_path: Path, monkeypatch
    ) -> None:
        encoder.save(tmp_path / "saved")
        monkeypatch.setattr(onnx_encoder, "find_spec", lambda name: None)
        loaded = load_encoder(tmp_path / "saved")
        for use in (
            lambda: loaded.embed_and_predict(windows),
            lambda: OnnxEncoder(encoder.path, sample_rate=RATE),
        ):
            with pytest.raises(EncoderUnavailableError, match=r"pip install 'coldtune\[onnx\]'"):
                use()

    def test_what_can_stand_for_it(self, encoder: OnnxEncoder, tmp_path: Path) -> None:
        encoder.save(tmp_path / "saved")
        saved = load_encoder(tmp_path / "saved")
        moved = encoder.path.rename(tmp_path / "moved.onnx")
        check_same_encoder(OnnxEncoder(moved, sample_rate=RATE), saved)
        check_same_encoder(CallableEncoder(expected, sample_rate=RATE, window=0.1), saved)
        other = onnx_file(tmp_path / "other.onnx", dimension=5)
        with pytest.raises(InvalidArgumentError, match="have 5 numbers, and had 4"):
            check_same_encoder(OnnxEncoder(other, sample_rate=RATE), saved)
