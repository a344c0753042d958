"""Saved encoders of every kind."""

from pathlib import Path

import numpy as np
import pytest

from datasets.errors import ArtifactError
from embedding.encoders.loading import ENCODER_KINDS, load_encoder
from embedding.encoders.protocol import Encoder
from embedding.network.storage import save_encoder


def test_a_network_is_loaded(example_encoder: Encoder, tmp_path: Path) -> None:
    example_encoder.save(tmp_path)
    loaded = load_encoder(tmp_path)
    assert loaded.digest() == example_encoder.digest()
    assert loaded.front_end == example_encoder.front_end
    assert loaded.summary() == example_encoder.summary()


@pytest.mark.parametrize("kind", ["telepathy", ["network"], None, 3])
def test_a_kind_that_is_not_known(kind: object, tmp_path: Path) -> None:
    save_encoder(tmp_path, {"method": kind}, {"mean": np.zeros(3, np.float32)})
    with pytest.raises(ArtifactError, match="does not know"):
        load_encoder(tmp_path)


def test_a_folder_without_an_encoder(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ArtifactError, match="so this is no saved encoder"):
            load_encoder(folder)


def test_every_kind_can_be_restored() -> None:
    for place in ENCODER_KINDS.values():
        module, _, name = place.partition(":")
        cls = getattr(__import__(module, fromlist=[name]), name)
        assert callable(cls.restore)
