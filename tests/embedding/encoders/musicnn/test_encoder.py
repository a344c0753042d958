import numpy as np
import pytest
import torch

from datasets.errors import ArtifactError, EncoderUnavailableError, InvalidArgumentError
from embedding.audio.config import SnippetConfig
from embedding.encoders import load_encoder
from embedding.encoders.musicnn.encoder import DIMENSIONS, MUSICNN_TAGS, MusiCNN
from embedding.hyperimage.extraction import extract_inputs
from embedding.network.storage import read_encoder, save_encoder


def patches(n: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 4, (n, 187, 96)).astype(np.float32)


def test_layers_and_tags_of_patches(musicnn_fetched):
    inputs = patches(1)
    for layer, size in DIMENSIONS.items():
        encoder = MusiCNN(layer)
        embeddings, probabilities = encoder.embed_and_predict(inputs)
        assert embeddings.shape == (1, size) == (1, encoder.dimension)
        assert probabilities["tags"].shape == (1, len(encoder.heads_["tags"]))
        assert np.isfinite(embeddings).all()
        assert ((probabilities["tags"] >= 0) & (probabilities["tags"] <= 1)).all()
    np.testing.assert_array_equal(embeddings, probabilities["tags"])  # of the layer "tags"


def test_a_patch_has_the_same_features_in_any_company_and_with_any_threads(musicnn_fetched):
    inputs, encoder = patches(3), MusiCNN()
    together = encoder.embed(inputs)
    np.testing.assert_array_equal(together[2:], encoder.embed(inputs[2:]))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        np.testing.assert_array_equal(together, encoder.embed(inputs))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
def test_heads_can_be_trained_on_it_thawed(musicnn_fetched):
    from embedding import FineTunedEncoder, HeadConfig

    config = HeadConfig(dimension=4, epochs=1, backbone="thawed", thawed_epochs=1, thawed_layers=2)
    tuned = FineTunedEncoder(MusiCNN(), config).fit(patches(4), ["a", "b", "a", "b"])
    embeddings, probabilities = tuned.embed_and_predict(patches(2))
    assert embeddings.shape == (2, 204)
    assert probabilities["genre"].shape == (2, 2)
    np.testing.assert_array_equal(MusiCNN().embed(patches(1)), tuned.backbone.embed(patches(1)))


def test_gradients_reach_every_layer(musicnn_fetched):
    inputs = torch.from_numpy(patches(1))
    for layer in DIMENSIONS:
        encoder = MusiCNN(layer)
        embeddings = encoder.embed_tensor(inputs)
        np.testing.assert_allclose(
            embeddings.detach().numpy(), encoder.embed(patches(1)), atol=1e-3, rtol=1e-4
        )
        embeddings.sum().backward()
        assert encoder.torch_module().timbre[0].kernel.grad.abs().sum() > 0


def test_no_patches_have_no_features(musicnn_fetched):
    embeddings, probabilities = MusiCNN().embed_and_predict(patches(0))
    assert embeddings.shape == (0, 200)
    assert probabilities["tags"].shape == (0, 50)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((2, 187, 95), np.float32), r"\[n, 187, 96\]; got \(2, 187, 95\)"),
        (np.zeros((187, 96), np.float32), r"got \(187, 96\)"),
        ([[1.0]], "got list"),
        (np.where(np.arange(3)[:, None, None] == 1, np.nan, patches(3)), "row 1: contains NaN"),
    ],
)
def test_other_patches_are_an_error(bad, message):
    with pytest.raises(InvalidArgumentError, match=message):
        MusiCNN().embed(bad)


def test_a_misspelt_layer_is_an_error():
    with pytest.raises(InvalidArgumentError, match="did you mean 'penultimate'"):
        MusiCNN("penultimat")


def test_a_saved_one_names_it_and_opens_without_the_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("COLDTUNE_CACHE", str(tmp_path / "nothing"))
    encoder = MusiCNN("max_pool", snippet=SnippetConfig(seconds=3, count=5))
    encoder.save(tmp_path / "saved")
    again = load_encoder(tmp_path / "saved")
    assert isinstance(again, MusiCNN)
    assert (again.layer, again.front_end) == ("max_pool", encoder.front_end)
    assert again.digest() == encoder.digest() != MusiCNN().digest()
    assert list(again.heads_["tags"]) == list(MUSICNN_TAGS)
    assert sum(file.stat().st_size for file in (tmp_path / "saved").iterdir()) < 3000
    with pytest.raises(EncoderUnavailableError, match="coldtune encoder get musicnn"):
        again.embed(patches(1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer": "last"}, "does not describe an encoder: layer must be one of"),
        ({"layer": ["a"]}, "does not describe an encoder"),
        ({"snippet": {"seconds": -1}}, "does not describe an encoder: SnippetConfig: seconds"),
        ({"snippet": None}, "does not describe an encoder"),
        ({"pretrained": "0" * 64}, "other weights than those of coldtune encoder get musicnn"),
        ({"pretrained": None}, "other weights"),
    ],
)
def test_another_manifest_is_refused(tmp_path, change, message):
    MusiCNN().save(tmp_path)
    document, _ = read_encoder(tmp_path)
    kept = {name: document[name] for name in ("method", "layer", "snippet", "pretrained")}
    save_encoder(tmp_path, kept | change, {})
    with pytest.raises(ArtifactError, match=message):
        load_encoder(tmp_path)


@pytest.mark.slow
def test_what_a_real_clip_is(musicnn_fetched, real_mini):
    """The first blues clip is blues for the original as well: .54, country .25, soul .14."""
    encoder = MusiCNN()
    expected = {
        "blues.00000.mp3": {"blues"},
        "classical.00000.mp3": {"instrumental"},
        "jazz.00000.mp3": {"jazz"},
        "metal.00000.mp3": {"metal", "heavy metal"},
    }
    paths = [real_mini / "audio" / name for name in expected]
    inputs = extract_inputs(paths, encoder.front_end, workers=0)
    tags = encoder.embed_and_predict(inputs.images)[1]["tags"]
    for number, (name, wanted) in enumerate(expected.items()):
        mean = tags[inputs.recording == number].mean(axis=0)
        top = {MUSICNN_TAGS[place] for place in np.argsort(-mean)[:5]}
        assert top & wanted, f"{name}: {top}"
